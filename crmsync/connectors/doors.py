"""A door: a kind of webhook that a system sends. The receiver knows what comes in at all of them; a connector, whether
it is authentic and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from crmsync.domain.webhooks import WebhookEvent


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call, before its body was read. *query* are the decoded pairs of its address, *mimetype* that of its body."""

    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    mimetype: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What an authentic call says. *hints* are, by subject, the records that it touches, as far as the call names them.

    *left_out* says what was wrong with each part that was left out. A probe starts nothing.
    """

    events: tuple[WebhookEvent, ...] = ()
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    is_probe: bool = False
    answer: tuple[str, str] | None = None
    """The body and the type of the answer that this sender wants; None: ours."""


PROBE = Announced(is_probe=True)


@dataclass(frozen=True, slots=True)
class Knock:
    """A message that starts nothing, and that a door lets in if it knows the secret of *variable*."""

    name: str
    variable: str
    body: bytes
    headers: Mapping[str, str]
    query: str = ""
    organization_variable: str = ""
    """The setting that says whose messages the door takes, if it checks that as well."""


@dataclass(frozen=True, slots=True)
class Shut:
    """Why a form of a door is not knocked at; whether that is a fault."""

    name: str
    why: str
    is_fault: bool


class DoorCode(Protocol):
    """What a connector does at a door: a module with these functions. *settings* are None where nothing is configured.

    Whatever is refused is a WebhookError.
    """

    def form(self, arrival: Arrival) -> str:
        """Which of the door's forms this is."""

    def admit(self, arrival: Arrival, settings: Any) -> None:
        """Check the request before its body is read."""

    def read(self, arrival: Arrival, settings: Any, body: bytes, now: datetime) -> Announced: ...

    def knocks(self, settings: Any, now: datetime) -> Iterator[Knock | Shut]:
        """The doctor's test requests, one for each form that is open; a Shut without a name stands for all forms."""


@dataclass(frozen=True, slots=True)
class Door:
    """*secrets* are the variables that prove that a call is authentic."""

    name: str
    path: str
    """Where the senders of the environment's own connection find it; all others: /hooks/<connection>/<name>."""
    secrets: tuple[str, ...]
    announces: str
    """The role whose records its calls tell of."""
    forms: Mapping[str, str]
    """What people call each form in which calls come, by the name under which those that are refused are counted."""
    code: Callable[[], DoorCode]
    methods: tuple[str, ...] = ("POST",)
