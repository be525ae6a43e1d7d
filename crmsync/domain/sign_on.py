"""Whom an identity provider signs in, as what: which claim gives which role, and how a person is called here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crmsync.domain.access import Role, tenant_name, user_name

_RULES = re.compile(r"\s*([^\s:=,]+)\s*:\s*(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Grant:
    """Whoever has *value* in the claim has this role; *tenant* None: in the whole installation."""

    value: str
    role: Role
    tenant: str | None


@dataclass(frozen=True, slots=True)
class Grants:
    """*claim* is a name, or a path such as realm_access.roles; the first grant that fits counts."""

    claim: str
    grants: tuple[Grant, ...]

    def of(self, claims: Mapping[str, Any]) -> Grant | None:
        """The first grant whose value *claims* have; None if they have none: then the person is not let in.

        >>> grants = read_grants("groups: chiefs=admin, acme=operator@acme")
        >>> [grants.of({"groups": held}) for held in (["acme", "others"], "chiefs", ["chief"])]
        ... # doctest: +NORMALIZE_WHITESPACE
        [Grant(value='acme', role=<Role.OPERATOR: 'operator'>, tenant='acme'),
         Grant(value='chiefs', role=<Role.ADMIN: 'admin'>, tenant=None), None]
        """
        held = _claim(claims, self.claim)
        listed = held if isinstance(held, list) else [held]
        values = {each for each in listed if isinstance(each, str)}
        return next((grant for grant in self.grants if grant.value in values), None)


def read_grants(text: str) -> Grants:
    """CLAIM: VALUE=ROLE, VALUE=ROLE@TENANT, … Raises: ValueError."""
    match = _RULES.fullmatch(text)
    if match is None:
        raise ValueError("expected a claim and its values, such as groups: crm-admins=admin, acme-sales=viewer@acme")
    return Grants(match[1], tuple(_grant(part.strip()) for part in match[2].split(",") if part.strip()))


def identity_of(issuer: str, subject: str) -> str:
    """A fingerprint of who it is to the provider: the only thing that never changes and is never given to another."""
    return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()


def name_of(claims: Mapping[str, Any], identity: str) -> str:
    """How a person is called here from the first sign-in on: an address that the provider has verified, else a number.

    Every other name is one that people choose, and might be somebody else's.

    >>> name_of({"email": "Ada@Example.com", "email_verified": True}, "0123456789abcdef")
    'ada@example.com'
    >>> name_of({"email": "Ada@Example.com"}, "0123456789abcdef")
    'oidc-0123456789ab'
    """
    email = claims.get("email")
    if claims.get("email_verified") is True and isinstance(email, str) and "@" in email:
        try:
            return user_name(email)
        except ValueError:
            pass
    return number_of(identity)


def number_of(identity: str) -> str:
    """The name of who has no other."""
    return f"oidc-{identity[:12]}"


def _grant(text: str) -> Grant:
    value, is_there, told = text.rpartition("=")
    role, _, tenant = told.strip().partition("@")
    if not is_there or not value.strip() or role not in set(Role) or told.endswith("@"):
        raise ValueError(f"expected VALUE=viewer, operator or admin, perhaps with @TENANT, found {text!r}")
    return Grant(value.strip(), Role(role), tenant_name(tenant) if tenant else None)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """
    >>> _claim({"a.b": 1}, "a.b"), _claim({"a": {"b": 2}}, "a.b"), _claim({"a": 3}, "a.b")
    (1, 2, None)
    """
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
