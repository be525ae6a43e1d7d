"""What is to go wrong, where and how often: the switchboard of faults."""

import random
import re
import threading
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from crmsync.lab.sandbox import oddities, wire

INSTEAD = ("error", "limit", "refuse", "answer")  # the vendor's work is not done
KINDS = (*INSTEAD, "slow", "lost", "drop", "down", "headers", *wire.KINDS)
OF_VENDOR = {"sap": ("incomplete", "vanish")}  # what only one vendor does


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
        if name not in oddities.ODDITIES:
            raise UnknownFault(f"oddity {name!r} is none of {', '.join(oddities.ODDITIES)}")
        return self.add(**{**oddities.ODDITIES[name], **changes})

    def _check(self, system: str, kind: str, operation: str) -> None:
        kinds = (*KINDS, *OF_VENDOR.get(system.partition("-")[0], ()))
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
