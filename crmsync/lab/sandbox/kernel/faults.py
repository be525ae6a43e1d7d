"""What is to go wrong, where and how often: the switchboard of faults, and those that are known by name."""

import random
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from crmsync.lab.sandbox.kernel import wire

# Odd answers that vendors, their edges and their accounts are known to give: each is a fault, spelled out.
#
# `sandbox.faults.play(name)` switches one on. What a name does not state (how often, at which call) is given there:
# `play("salesforce-edge-420", operation="update_deal", times=1)`.


Details = Mapping[str, Any]

PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
LOGIN_PAGE = "https://login.example.com/saml"
ELSEWHERE = "http://localhost:9/elsewhere"  # nobody listens there, and nobody should come


def _edge(status: int, title: str = "", **headers: str) -> Details:
    """What a server in front of the application says."""
    return {"kind": "answer", "status": status, "body": PAGE.format(title) if title else "", "headers": headers}


def _text(text: str) -> Details:
    return {"kind": "answer", "status": 200, "body": text, "headers": {"Content-Type": "text/plain"}}


def no_token(error: str, description: str = "", status: int = 400) -> Details:
    """A refusal of the token endpoint, as OAuth 2.0 words it."""
    told = {"error_description": description} if description else {}
    return {"kind": "answer", "operation": "token", "status": status, "body": {"error": error, **told}}


# The application's edge, its gateways, and pages where JSON was asked for
EDGES: dict[str, Details] = {
    "edge-420": _edge(420, "Too much traffic"),
    "edge-maintenance": _edge(200, "Down for maintenance"),
    "edge-not-found": _edge(404, "Page not found"),
    "edge-login": _edge(302, "", Location=LOGIN_PAGE),
    "edge-forbidden": _edge(403, "Access denied"),
    "edge-unauthorized": _edge(401, "Sign in"),
    "edge-bad-gateway": _edge(502, "Bad gateway"),
    "edge-empty": _edge(200),
    "edge-not-acceptable": _edge(406),
    "edge-text": _text("upstream connect error"),
    "edge-half-json": {"kind": "answer", "status": 200, "body": '{"records": ['},
    "edge-other-json": {"kind": "answer", "status": 200, "body": {"status": "maintenance"}},
    "edge-null": {"kind": "answer", "status": 200, "body": "null"},
}

# Token endpoints: what passes, what is somebody else's answer, and what must not be followed
TOKENS: dict[str, Details] = {
    "token-maintenance": {**EDGES["edge-maintenance"], "operation": "token"},
    "token-empty": {**EDGES["edge-empty"], "operation": "token"},
    "token-forbidden": {**EDGES["edge-forbidden"], "operation": "token"},
    "token-too-many": {**_edge(429, "Too many requests", **{"Retry-After": "7"}), "operation": "token"},
    "token-found-elsewhere": {**_edge(302, "", Location=ELSEWHERE), "operation": "token"},
    "token-moved-elsewhere": {**_edge(307, "", Location=ELSEWHERE), "operation": "token"},
    "token-bomb": {"kind": "bomb", "operation": "token", "size": 2_500 * 1024 * 1024, "layers": 2},
    "token-trickle": {"kind": "trickle", "operation": "token"},
    "token-stall": {"kind": "stall", "operation": "token"},
    "token-server-error": no_token("server_error"),
    "token-temporarily-unavailable": no_token("temporarily_unavailable", "The service is temporarily unavailable", 503),
}


def oddities_of(vendor: str, own: Mapping[str, Details]) -> dict[str, Details]:
    """What is known of a vendor: what every edge and token endpoint may say, and what is its *own*, by name."""
    return {f"{vendor}-{name}": {"system": vendor, **one} for name, one in {**EDGES, **TOKENS, **own}.items()}


# The switchboard.


INSTEAD = ("error", "limit", "refuse", "answer")  # the vendor's work is not done
KINDS = (*INSTEAD, "slow", "lost", "drop", "down", "headers", *wire.KINDS)


class UnknownFault(ValueError):
    """A fault names a system, operation or kind that does not exist."""


@dataclass
class Fault:
    """One thing that goes wrong.

    `times` is how many calls it still hits (None: until cleared), `rate` the chance per call, `after` how many calls
    pass unharmed first, `path` a pattern that is to be found in the address; `seconds` the wait of `slow`, of a limit's
    Retry-After, and between two pieces of a trickle. `status`, `code`, `message` and `html` shape the answer of `error`
    and `refuse`; `status`, `headers` and `body` (text, or anything that is sent as JSON) are that of `answer`,
    before which the work is done or not.
    `headers` also replaces those of a true answer (None: takes one away). `place`, `sent`, `size`, `layers`: see Wire.
    """

    system: str
    kind: str
    operation: str = "*"
    times: int | None = None
    rate: float = 1.0
    after: int = 0
    seconds: float = 1.0
    status: int | None = None
    code: str | None = None
    message: str | None = None
    html: bool = False
    headers: dict[str, str | None] = field(default_factory=dict)
    body: Any = ""
    done: bool = False
    path: str = ""
    place: str = "body"
    sent: int | None = None
    size: int = 256 * wire.MEBIBYTE
    layers: int = 1
    id: int = 0
    hits: int = 0

    def concerns(self, system: str, operation: str, target: str) -> bool:
        everything = self.operation == "*" or self.kind == "down"
        return (
            self.system in (system, "*")
            and (everything or self.operation == operation)
            and bool(re.search(self.path, target))
        )

    @property
    def wire(self) -> wire.Wire | None:
        """How the answer travels, where this fault is about that."""
        if self.kind not in wire.KINDS:
            return None
        return wire.Wire(self.kind, self.place, self.seconds, self.sent, self.size, self.layers)


@dataclass
class FaultBoard:
    """The faults that are switched on; the first that strikes wins. Chances come from a seeded generator."""

    operations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seed: int = 0
    own_kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    oddities: Mapping[str, Details] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._ids = count(1)
        self._random = random.Random(self.seed)

    def add(self, system: str, kind: str, operation: str = "*", **details: Any) -> Fault:
        """Switch a fault on. Raises UnknownFault for names that would never strike."""
        self._check(system, kind, operation)
        if details.get("place", "body") not in wire.PLACES:
            raise UnknownFault(f"place {details['place']!r} is none of {', '.join(wire.PLACES)}")
        try:
            fault = Fault(system, kind, operation, **details)
        except TypeError as error:
            raise UnknownFault(str(error)) from error
        with self._lock:
            fault.id = next(self._ids)
            self._faults.append(fault)
        return fault

    def play(self, name: str, **changes: Any) -> Fault:
        """Switch one of the known oddities on; what is given replaces its details. Raises UnknownFault."""
        if name not in self.oddities:
            raise UnknownFault(f"oddity {name!r} is none of {', '.join(self.oddities)}")
        return self.add(**{**self.oddities[name], **changes})

    def _check(self, system: str, kind: str, operation: str) -> None:
        kinds = (*KINDS, *self.own_kinds.get(system, ()))
        if kind not in kinds:
            raise UnknownFault(f"kind {kind!r} is none of {', '.join(kinds)}")
        if system != "*" and system not in self.operations:
            raise UnknownFault(f"system {system!r} is none of {', '.join(self.operations)}")
        known = {name for names in self.operations.values() for name in names}
        names = known if system == "*" else set(self.operations[system])
        if operation != "*" and operation not in names:
            raise UnknownFault(f"operation {operation!r} is none of {', '.join(sorted(names))}")

    def take(self, system: str, operation: str, target: str = "") -> Fault | None:
        """The fault that hits this call, if any; counts it."""
        if not self._faults:
            return None
        with self._lock:
            return next((fault for fault in self._faults if self._strikes(fault, system, operation, target)), None)

    def _strikes(self, fault: Fault, system: str, operation: str, target: str) -> bool:
        if fault.times == 0 or not fault.concerns(system, operation, target):
            return False
        if fault.after > 0:
            fault.after -= 1
            return False
        if fault.rate < 1 and self._random.random() >= fault.rate:
            return False
        fault.hits += 1
        fault.times = None if fault.times is None else fault.times - 1
        return True

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def clear(self, system: str | None = None, fault_id: int | None = None) -> int:
        """Switch faults off, all of them or those of one system or one id; returns how many."""
        with self._lock:
            kept = [f for f in self._faults if system not in (None, f.system) or fault_id not in (None, f.id)]
            cleared = len(self._faults) - len(kept)
            self._faults = kept
        return cleared
