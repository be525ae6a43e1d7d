"""A subscription: a separate address for the webhooks of a connection, with its own secret."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from crmsync.errors import CrmsyncError

ID_PREFIX = "whk_"
SECRET_LENGTH_MIN, SECRET_LENGTH_MAX = 12, 500
OVERLAP = timedelta(days=1)
OVERLAP_SECONDS_MAX = 7 * 86_400
_LETTERS = string.ascii_lowercase + string.digits

TELLS: Mapping[str, tuple[str, str]] = {"deals": ("deal", "deal.closed"), "payments": ("payment", "payment.recorded")}
"""What the webhooks of a role's records are about, and what they say of it."""


class SubscriptionStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook that people have set up, without its secrets.

    The secret before the last rotation stays good until *previous_until*.
    """

    id: str
    tenant: str
    connection: str
    door: str
    events: tuple[str, ...]
    entity_types: tuple[str, ...]
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    previous_until: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Secrets:
    """*previous* is "" where there is none."""

    current: str
    previous: str = ""

    def text(self) -> str:
        return json.dumps({"current": self.current, "previous": self.previous})

    @classmethod
    def of(cls, text: str) -> Secrets:
        return cls(**json.loads(text))

    def valid(self, previous_until: datetime | None, now: datetime) -> Secrets:
        """The secrets that open the door now."""
        is_good = previous_until is not None and now < previous_until
        return self if is_good else Secrets(self.current)


class UnknownSubscriptionError(CrmsyncError):
    """There is no such webhook."""


class InvalidSubscriptionError(CrmsyncError):
    """The webhook can't be like this."""


class SubscriptionChangedError(CrmsyncError):
    """Somebody else has changed the webhook meanwhile; look at it again."""


def new_id() -> str:
    return ID_PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(16))


def seal_of(of: Subscription) -> str:
    """What its secrets are sealed together with: they open for no other address."""
    return json.dumps(["webhook", of.id, of.tenant, of.connection, of.door])


def problems_of(role: str, events: Sequence[str] | None, entity_types: Sequence[str] | None) -> dict[str, str]:
    """What is wrong with a choice of the events and entities of a door of *role*, by field; None chooses all.

    >>> problems_of("deals", ["deal.closed"], ["invoice"])
    {'entity_types': 'expected deal'}
    """
    entity, event = TELLS[role]
    chosen = {"events": (events, [event]), "entity_types": (entity_types, [entity])}
    return {name: _expected(known) for name, (given, known) in chosen.items() if not _is_some_of(given, known)}


def _is_some_of(given: Sequence[str] | None, known: Collection[str]) -> bool:
    return given is None or (bool(given) and set(given) <= set(known))


def _expected(known: Collection[str]) -> str:
    return f"expected {', '.join(known)}"
