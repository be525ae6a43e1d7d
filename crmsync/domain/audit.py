"""The audit: who did what to which object, each entry chained to the one before by a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

GENESIS = "0" * 64  # what the first entry follows
REASON_LENGTH = 500
_SECRET_WORDS = ("password", "secret", "token", "hash", "key_id", "credential")


class Origin(StrEnum):
    """From where somebody acted."""

    API = "api"
    TOWER = "tower"
    CLI = "cli"


_PLACES = {Origin.API: ", by the API", Origin.TOWER: ", in the control tower", Origin.CLI: ""}


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody does something: who, from where, and why. *behind* is who answers for a token; None: *name* itself."""

    name: str
    origin: Origin
    reason: str = ""
    behind: str | None = None

    @property
    def person(self) -> str:
        """Who answers for it; "" where nobody knows.

        >>> Act("Ada", Origin.CLI).person, Act("ci", Origin.API, behind="bob").person
        ('ada', 'bob')
        """
        return (self.name if self.behind is None else self.behind).strip().lower()

    def __str__(self) -> str:
        """As a run's history says it.

        >>> str(Act("ada", Origin.TOWER)), str(Act("ada", Origin.CLI))
        ('ada, in the control tower', 'ada')
        """
        return f"{self.name}{_PLACES[self.origin]}"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row; *before* and *after* hold what changed of the object, and neither secrets nor personal data."""

    id: int
    at: datetime
    name: str
    origin: str
    verb: str
    object_type: str
    object_key: str
    tenant: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str
    previous: str
    hash: str

    def content(self) -> dict[str, Any]:
        """Everything that the hash stands for, but the previous hash."""
        return {
            "at": self.at.astimezone(UTC).isoformat(),
            "name": self.name,
            "origin": self.origin,
            "verb": self.verb,
            "object_type": self.object_type,
            "object_key": self.object_key,
            "tenant": self.tenant,
            "before": dict(self.before),
            "after": dict(self.after),
            "reason": self.reason,
        }

    def expected_hash(self) -> str:
        return chained(self.previous, self.content())


def chained(previous: str, content: Mapping[str, Any]) -> str:
    """The hash of an entry over its content and the hash before it."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def without_secrets(facts: Mapping[str, Any]) -> dict[str, Any]:
    """*facts* as an entry may hold them: an audit is kept for ever, and nothing can be taken out of it.

    >>> without_secrets({"role": "admin", "password_hash": "x", "expires_at": None})
    {'role': 'admin', 'expires_at': None}
    """
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
        if not any(word in name for word in _SECRET_WORDS)
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking a chain; *head* is the last hash that holds, to be noted elsewhere."""

    count: int
    head: str
    broken_at: int | None = None  # the id of the first entry that does not follow from the one before
    found: bool = True  # whether the hash that was asked for is one of the chain's

    @property
    def is_whole(self) -> bool:
        return self.broken_at is None and self.found


def verify(entries: Iterable[AuditEntry], *, noted: str = "") -> Verdict:
    """Whether each of *entries*, oldest first, follows from the one before, and the hash *noted* is among them.

    Without a hash that was noted elsewhere nobody can tell that entries are missing at the end.
    """
    previous, count, found = GENESIS, 0, noted in ("", GENESIS)
    for entry in entries:
        if entry.previous != previous or entry.hash != entry.expected_hash():
            return Verdict(count, previous, entry.id, found)
        previous, count, found = entry.hash, count + 1, found or entry.hash == noted
    return Verdict(count, previous, None, found)
