"""An account at a vendor, as its stand-in plays it, and where its webhooks go."""

import http.client
import random
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import quote

from crmsync.lab.sandbox.kernel.faults import Details, Fault, FaultBoard
from crmsync.lab.sandbox.kernel.http import (
    HTML,
    JSON,
    ConnectionDropped,
    Match,
    NotOffered,
    Request,
    Response,
    Router,
    Server,
    dumps,
    html,
)
from crmsync.lab.sandbox.kernel.ledger import Calls, Clock, Ledger

# Where the stand-ins send their webhooks, and what is answered there.


@dataclass
class Receiver:
    """The address of the crmsync receiver."""

    base_url: str = "http://127.0.0.1:8000"


@dataclass
class Doors:
    """Where one company's webhooks go in at the receiver."""

    receiver: Receiver
    deal: str = "/webhook/salesforce/deal-closed"
    payment: str = "/webhook/zoho/payment"

    def deal_url(self, token: str | None = None) -> str:
        """The door for won deals; Outbound Messages carry a token in the address."""
        query = f"?token={quote(token)}" if token else ""
        return f"{self.receiver.base_url}{self.deal}{query}"

    def payment_url(self) -> str:
        return f"{self.receiver.base_url}{self.payment}"


@dataclass
class Answer:
    """A receiver's answer; status 0 where there was none, with the reason as text."""

    status: int
    text: str


def post(url: str, body: bytes, headers: dict[str, str], *, timeout: float = 10) -> Answer:
    """POST once, without retry."""
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return Answer(response.status, response.read().decode(errors="replace"))
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error))


# An account at a vendor, as its stand-in plays it: the gate each call passes before and after the vendor's own work.
#
# count → latency → fault before → the vendor's work, under its lock → fault after → answer


@dataclass
class Latency:
    """Seconds that each call takes on top of its work; per system, else for all."""

    seconds: float = 0.0
    systems: dict[str, float] = field(default_factory=dict)

    def of(self, system: str) -> float:
        return self.systems.get(system, self.seconds)


@dataclass
class Surroundings:
    """What the stand-ins of one sandbox have in common."""

    clock: Clock
    faults: FaultBoard
    calls: Calls
    ledger: Ledger
    latency: Latency
    seed: int = 0


class Account:
    """One account's HTTP face. A subclass fills `router`, and says how its own refusals look."""

    vendor: ClassVar[str]
    system: ClassVar[str]  # as crmsync calls it
    prefix: ClassVar[str]  # of its environment variables
    profile_type: ClassVar[type[Any]]  # what can be set; `of_another(number)` makes another company's of it
    own_kinds: ClassVar[tuple[str, ...]] = ()  # faults that only this vendor has
    oddities: ClassVar[Mapping[str, Details]] = {}  # its own odd answers, by name

    def __init__(self, around: Surroundings, profile: Any, number: int = 1) -> None:
        self.around = around
        self.profile = profile
        self.number = number
        self.name = self.vendor if number == 1 else f"{self.vendor}-{number}"
        self.clock = around.clock
        self.ledger = around.ledger.of(self.name)
        self.lock = threading.RLock()
        self.router = Router()
        self.url = ""
        self._server: Server | None = None
        self.random = random.Random(f"{around.seed}/{self.name}")

    @property
    def operations(self) -> tuple[str, ...]:
        """What a call may be counted as, and a fault may be about."""
        return (*self.router.operations, "other")

    def open(self, port: int = 0) -> None:
        """Listen on *port* of this machine; 0 takes a free one."""
        self._server = Server(self.serve, port)
        self.url = self._server.url
        self._server.start()

    def close(self) -> None:
        """Stop listening, and cut the connections that are still open."""
        if self._server:
            self._server.stop()
            self._server = None

    def token(self, length: int = 32) -> str:
        return "".join(self.random.choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=length))

    def serve(self, request: Request) -> Response:
        match = self.router.match(request)
        operation = match.operation if match else "other"
        self.around.calls.count(self.name, operation)
        fault = self.around.faults.take(self.name, operation, request.target)
        self._wait(fault)
        response = self._struck(fault, operation) if fault else None
        if response is None:
            with self.lock:
                response = self._worked(request, match)
                response = self._afterwards(fault, response) if fault else response
        response.headers.setdefault("Date", format_datetime(self.clock.now(), usegmt=True))
        if fault is None:
            return self.finish(request, response)
        return _sent(fault, response if fault.kind == "answer" else self.finish(request, response))

    def _worked(self, request: Request, match: Match | None) -> Response:
        try:
            return match.call() if match else self.unknown(request)
        except NotOffered as error:
            return error.response()

    def _wait(self, fault: Fault | None) -> None:
        seconds = self.around.latency.of(self.name) + (fault.seconds if fault and fault.kind == "slow" else 0)
        if seconds:
            time.sleep(seconds)

    def _struck(self, fault: Fault, operation: str) -> Response | None:
        """The answer of a fault that strikes before any work is done; None where the work goes on."""
        if fault.kind == "drop":
            raise ConnectionDropped
        if fault.kind == "down":
            return html(503, "Service Unavailable")
        if fault.kind == "answer":
            return None if fault.done else literal(fault)
        shapes = {"error": self.error_answer, "limit": self.limit_answer, "refuse": self.refusal}
        return shapes[fault.kind](fault, operation) if fault.kind in shapes else None

    def _afterwards(self, fault: Fault, response: Response) -> Response:
        return literal(fault) if fault.kind == "answer" else self.afterwards(fault, response)

    def afterwards(self, fault: Fault, response: Response) -> Response:
        """What a fault that only this vendor knows makes of the work that is done."""
        return response

    def error_answer(self, fault: Fault, operation: str) -> Response:
        """The vendor's server error."""
        raise NotImplementedError

    def limit_answer(self, fault: Fault, operation: str) -> Response:
        """The vendor's answer to a caller that calls too often."""
        raise NotImplementedError

    def refusal(self, fault: Fault, operation: str) -> Response:
        """The vendor's answer to data that it does not accept."""
        raise NotImplementedError

    def unknown(self, request: Request) -> Response:
        return html(404, "Not Found")

    def finish(self, request: Request, response: Response) -> Response:
        """Last touch on every answer, such as limit headers."""
        return response

    def settings(self) -> dict[str, Any]:
        """What a connection to this account is told, by the names that crmsync gives its fields; no secrets."""
        raise NotImplementedError

    def secrets(self) -> dict[str, str]:
        """What a connection to this account keeps to itself, likewise."""
        raise NotImplementedError

    def connection(self) -> dict[str, Any]:
        """What a row for a connection to this account takes."""
        return {"name": self.name, "system": self.system, "settings": self.settings(), "secrets": self.secrets()}

    def environment(self) -> dict[str, str]:
        """The environment variables that point crmsync at this account."""
        fields = {**self.settings(), **self.secrets()}
        return {f"{self.prefix}{name.upper().removeprefix(self.prefix)}": str(value) for name, value in fields.items()}

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        """What exists now, for the ledger."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all records, tokens and sessions."""
        raise NotImplementedError

    def expire_tokens(self) -> None:
        """Make every token that was given out worthless."""
        raise NotImplementedError


def literal(fault: Fault) -> Response:
    """Exactly the answer that the fault states: somebody else's, as a gateway's or a proxy's."""
    plain = isinstance(fault.body, str)
    body = fault.body.encode() if plain else dumps(fault.body)
    kind = HTML if fault.html or (plain and fault.body.startswith("<")) else JSON
    stated = {name: value for name, value in fault.headers.items() if value is not None}
    return Response(fault.status or 200, body, {**({"Content-Type": kind} if body else {}), **stated})


def _sent(fault: Fault, response: Response) -> Response:
    """The answer as it leaves: not at all, with other headers, or over a bad line."""
    if fault.kind == "lost":
        raise ConnectionDropped
    if fault.kind == "headers":
        changed = {name.lower() for name in fault.headers}
        kept = {name: value for name, value in response.headers.items() if name.lower() not in changed}
        response.headers = kept | {name: value for name, value in fault.headers.items() if value is not None}
    response.wire = fault.wire
    return response
