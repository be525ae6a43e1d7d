"""A connection: one company's account at one system, whether it may be used now, and what a change of it means."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from crmsync import plain
from crmsync.domain.accounts import Claim
from crmsync.errors import ConfigurationError, ConnectionPausedError, CrmsyncError

ID_PREFIX = "con_"
NAME_LENGTH = 100
INTERVAL_SECONDS_MIN, INTERVAL_SECONDS_MAX = 60, 2_592_000
_ID_LENGTH = 16
_LETTERS = string.ascii_lowercase + string.digits
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class Status(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"  # a person has paused it
    ERROR = "error"  # the system refuses it, or can't be reached
    EXPIRED = "expired"  # what signs in is no longer taken


class Direction(StrEnum):
    """Which way records go, seen from crmsync."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BIDIRECTIONAL = "bidirectional"


@dataclass(frozen=True, slots=True)
class Connection:
    """An account at a system, without its secrets.

    *settings* are by name, as the system declares them; times are in UTC.

    *version* grows with every change of a person's. One of the environment is not stored, and can't be changed here.
    """

    id: str
    tenant: str
    system: str
    name: str
    auth_kind: str
    settings: Mapping[str, Any]
    created_at: datetime | None = None
    updated_at: datetime | None = None
    status: Status = Status.ACTIVE
    sync_enabled: bool = True
    interval_seconds: int | None = None
    direction: Direction = Direction.BIDIRECTIONAL
    last_success_at: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None
    version: int = 1
    secret_names: tuple[str, ...] = ()
    """The settings that are secrets, and set."""
    is_of_environment: bool = False

    @property
    def has_failed(self) -> bool:
        return self.status in (Status.ERROR, Status.EXPIRED)

    @property
    def why_not_now(self) -> str:
        """Why nothing is done with it, "" where it may be."""
        if self.status is Status.INACTIVE:
            return f"The connection {self.name} is paused"
        if not self.sync_enabled:
            return f"Sync is switched off for the connection {self.name}"
        return ""

    def require_work(self, system: str) -> None:
        """Refuse work while it is paused.

        Raises: ConnectionPausedError, so that runs wait, and go on by themselves when it is resumed.
        """
        if self.why_not_now:
            advice = f"Resume it: `crmsync connections resume {self.id}`."
            raise ConnectionPausedError(f"{self.why_not_now}; its runs wait.", system=system, advice=advice)


class UnknownConnectionError(ConfigurationError):
    """There is no such connection."""


class InvalidConnectionError(CrmsyncError):
    """The connection can't be made like this."""


class ReadOnlyConnectionError(CrmsyncError):
    """The connection is one of the environment, and is changed there."""


class ConnectionChangedError(CrmsyncError):
    """Somebody else has changed the connection meanwhile; look at it again."""


class NameTakenError(CrmsyncError):
    """Another connection of the tenant has that name."""


class ConnectionInUseError(CrmsyncError):
    """Runs that are not over need the connection."""


class ConsentMissingError(CrmsyncError):
    """Nobody has let crmsync in yet."""


class OtherAccountRefusedError(CrmsyncError):
    """The settings name another account than the connection has worked with."""


def new_id() -> str:
    return ID_PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))


# -- what it belongs to


def seal_of(connection_id: str, tenant: str, system: str, addresses: Mapping[str, Any]) -> str:
    """What its secrets are sealed together with: they open for no other connection, and for no other address.

    >>> seal_of("con_a", "default", "books", {"base_url": "https://books.example.com"})
    '["con_a", "default", "books", {"base_url": "https://books.example.com"}]'
    """
    return json.dumps([connection_id, tenant, system, dict(addresses)], sort_keys=True, ensure_ascii=True)


def secrets_text(secrets_by_name: Mapping[str, str]) -> str:
    """Secrets as they are sealed, all together."""
    return json.dumps(dict(secrets_by_name), sort_keys=True)


def secrets_of(text: str) -> dict[str, str]:
    return {str(name): str(value) for name, value in json.loads(text).items()}


# -- what is asked for


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants of a connection; None: as it is, or as usual."""

    name: str | None = None
    auth_kind: str | None = None
    settings: Mapping[str, Any] | None = None  # all of them, without secrets
    secrets: Mapping[str, str | None] = field(default_factory=dict)  # those that change; None takes one away
    sync_enabled: bool | None = None
    interval_seconds: int | None = None
    direction: str | None = None


def problems_of(wanted: Wanted, auth_kinds: Collection[str]) -> dict[str, str]:
    """What is wrong beside the system's own settings, by name.

    >>> problems_of(Wanted(name=" ", direction="sideways", interval_seconds=5), ["oauth2"])  # doctest: +ELLIPSIS
    {'name': 'expected 1 to 100 characters', 'direction': 'expected inbound, ...', 'interval_seconds': 'expected ...'}
    """
    found: dict[str, str] = {}
    if wanted.name is not None and not 1 <= len(wanted.name.strip()) <= NAME_LENGTH:
        found["name"] = f"expected 1 to {NAME_LENGTH} characters"
    elif wanted.name is not None and not all(map(plain.is_seen, wanted.name)):
        found["name"] = "contains a character that nobody can see"
    if wanted.auth_kind is not None and wanted.auth_kind not in auth_kinds:
        found["auth_kind"] = f"expected {' or '.join(auth_kinds)}"
    if wanted.direction is not None and wanted.direction not in list(Direction):
        found["direction"] = f"expected {', '.join(Direction)}"
    interval = wanted.interval_seconds
    if interval is not None and not INTERVAL_SECONDS_MIN <= interval <= INTERVAL_SECONDS_MAX:
        found["interval_seconds"] = f"expected {INTERVAL_SECONDS_MIN} to {INTERVAL_SECONDS_MAX}"
    return found


def problem_of_tenant(tenant: str) -> str:
    """
    >>> problem_of_tenant("acme"), bool(problem_of_tenant("Acme & Co"))
    ('', True)
    """
    return "" if _TENANT.fullmatch(tenant) else "expected small letters, digits, _ and -, at most 40"


# -- what a refusal means

# What token endpoints say when the consent, or what signs in, was good once, and is not any more (RFC 6749, 5.2, and
# what vendors say instead); no_consent is ours.
_ENDED = re.compile(r"invalid_(grant|code|token)|expired_\w+|no_consent|(consent|login|interaction)_required")


def status_after(code: str) -> Status:
    """What a connection is whose account was refused, by the *code* of the sign-in; "" where that was not it.

    >>> [str(status_after(code)) for code in ("invalid_grant", "invalid_code", "invalid_client", "")]
    ['expired', 'expired', 'error', 'error']
    """
    return Status.EXPIRED if _ENDED.fullmatch(code.lower()) else Status.ERROR


# -- what a change means


def secrets_to_give_again(
    before: Mapping[str, Any], after: Mapping[str, Any], kept: Collection[str], given: Collection[str]
) -> list[str]:
    """The secrets that a person has to give again, because an address has changed to which they would be sent.

    Otherwise whoever may change a connection could have its secrets sent to an address of their own.

    >>> secrets_to_give_again({"url": "https://a"}, {"url": "https://b"}, ["password", "secret"], ["secret"])
    ['password']
    >>> secrets_to_give_again({"url": "https://a"}, {"url": "https://a"}, ["password"], [])
    []
    """
    return sorted(set(kept) - set(given)) if dict(before) != dict(after) else []


def refusal_of_account(claim: Claim, known: str) -> str:
    """Why settings that say *claim* are not taken by a connection that has worked with the account *known*.

    "" where they are: it is that account, or only the sign-in can name it, which itself refuses another one.
    """
    if not known or not claim.identity or claim.identity == known:
        return ""
    return (
        f"This connection has worked with {claim.system} {known}, and these settings are of {claim.identity}: what is "
        "remembered of one account is never used with another."
    )
