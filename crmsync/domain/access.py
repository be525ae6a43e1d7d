"""Who may do what: roles, people, API tokens, and on whose behalf a request is made."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

TOKEN_PREFIX = "crm"  # noqa: S105 - what scanners of secrets look for
_ID_LENGTH, _SECRET_LENGTH = 12, 40
_LOWER = string.ascii_lowercase + string.digits
_ANY = string.ascii_letters + string.digits
_TOKEN = re.compile(rf"{TOKEN_PREFIX}_([a-z0-9]{{{_ID_LENGTH}}})_([A-Za-z0-9]{{{_SECRET_LENGTH}}})")
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

DEFAULT_TENANT = "default"  # the environment's


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"  # reads only
    OPERATOR = "operator"  # starts, replays, discards
    ADMIN = "admin"  # people, tokens, connections, audit

    def covers(self, needed: Role) -> bool:
        """
        >>> Role.OPERATOR.covers(Role.VIEWER), Role.OPERATOR.covers(Role.ADMIN)
        (True, False)
        """
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request speaks for. *tenant* is None where it may see all of them.

    *person* answers for what a token does: who made it, or who answers for the token that made it; "" where that is
    not known any more. For people it is their own name. *until* is when a token expires; None where it does not.
    """

    name: str
    role: Role
    tenant: str | None = None
    token_id: str = ""
    person: str = ""
    until: datetime | None = None

    def may(self, needed: Role) -> bool:
        return self.role.covers(needed)

    def sees(self, tenant: str) -> bool:
        return self.tenant is None or self.tenant == tenant

    def may_grant(self, role: Role, tenant: str | None) -> bool:
        """Whether it may give somebody that role there: nobody gives more than they have."""
        return self.may(role) and (self.tenant is None or self.tenant == tenant)

    def may_grant_until(self, ends: datetime | None) -> bool:
        """Whether what it gives may end then: what a token has given does not outlive it. None stands for never."""
        return self.until is None or (ends is not None and ends <= self.until)


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in with a password. *tenant* is None where they see all tenants."""

    name: str
    role: Role
    tenant: str | None
    is_disabled: bool
    created_at: datetime
    version: int
    identity: str | None = None  # of those whom the identity provider signs in: a fingerprint of who it says they are

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.role, self.tenant, person=self.name)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A program's key, without its secret: that is shown once and kept as its SHA-256."""

    id: str
    name: str
    role: Role
    tenant: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    version: int
    person: str = ""

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def state(self, now: datetime) -> str:
        """valid, expired or revoked"""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.is_valid(now) else "expired"

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.role, self.tenant, self.id, self.person, self.expires_at)


@dataclass(frozen=True, slots=True)
class NewToken:
    """The id and the secret of a token that has just been made."""

    id: str
    secret: str

    @classmethod
    def made(cls) -> NewToken:
        return cls(_chosen(_LOWER, _ID_LENGTH), _chosen(_ANY, _SECRET_LENGTH))

    @property
    def text(self) -> str:
        """The token as its owner sends it."""
        return f"{TOKEN_PREFIX}_{self.id}_{self.secret}"


def read_token(text: str) -> NewToken | None:
    """The parts of what was sent as a token; None where it can't be one.

    >>> made = NewToken.made()
    >>> read_token(made.text) == made, read_token("crm_short_x"), read_token(made.text + "!")
    (True, None, None)
    """
    match = _TOKEN.fullmatch(text)
    return NewToken(*match.groups()) if match else None


def fingerprint(secret: str) -> str:
    """What is kept of a random secret: it can't be guessed, so a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def user_name(text: str) -> str:
    """A person's name as it is kept: in small letters. Raises: ValueError.

    >>> user_name(" Ada@Example.com ")
    'ada@example.com'
    """
    name = text.strip().lower()
    if not _USER_NAME.fullmatch(name):
        raise ValueError("expected letters, digits and . _ @ + -, at most 100, such as ada or ada@example.com")
    return name


def tenant_name(text: str) -> str:
    """The name of a tenant as it is kept. Raises: ValueError for what can't be one."""
    if not _TENANT.fullmatch(text):
        raise ValueError("expected small letters, digits, _ and -, at most 40, such as acme-gmbh")
    return text


def new_secret() -> str:
    """A password or a session that nobody guesses."""
    return _chosen(_ANY, _SECRET_LENGTH)


def _chosen(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
