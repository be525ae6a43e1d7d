"""Which account of a vendor a connection belongs to: what is stored for one account is never used with another.

Tokens, links, the ledger, checkpoints, products and payments of a store belong to the account that each connection met
first: an organization's id, or an address with what stands for the organization there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from crmsync.errors import ConfigurationError, OtherAccountError
from crmsync.settings import Secret

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Claim:
    """What the environment says of a connection.

    *identity* may be "" where a sign-in names it (*is_told*); *credentials* is everything that a sign-in is made with.
    """

    system: str
    identity: str
    credentials: tuple[str | Secret, ...]
    is_told: bool = False

    def signs_in_with(self) -> Secret:
        """All of the credentials. Raises: ConfigurationError in a process from which one is withheld."""
        return Secret("\n".join(each if isinstance(each, str) else each.reveal() for each in self.credentials))


@dataclass(frozen=True, slots=True)
class Account:
    """What the store knows: *credentials* is the fingerprint of those that were last seen to belong to it."""

    connection: str
    identity: str
    credentials: str
    met_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why two accounts are not mixed. Each time it is met it is a new error."""

    system: str
    sentence: str
    advice: str

    def error(self) -> OtherAccountError:
        return OtherAccountError(self.sentence, system=self.system, advice=self.advice)


def place_of(url: str) -> str:
    """Which system an address leads to, however it is written. The path counts: a gateway has many behind one host.

    >>> place_of("https://user:password@S4.example.com.:443/"), place_of("https://gateway.example.com:8443/s4-test")
    ('s4.example.com', 'gateway.example.com:8443/s4-test')
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{f'[{host}]' if ':' in host else host}{port}{re.sub('/+', '/', parts.path).rstrip('/')}"


def refusal(connection: str, claim: Claim, known: Account | None, told: str) -> Refusal | None:
    """Why the account that a sign-in *told* is not that of the environment or of the store; None if it is."""
    if told and claim.identity and told != claim.identity:
        sentence = f"The environment names {claim.system} {claim.identity}, but the credentials are those of {told}."
        return Refusal(claim.system, sentence, "Correct the one that is wrong.")
    met = told or claim.identity
    if known is None or known.identity == met:
        return None
    return Refusal(claim.system, _sentence(claim.system, known.identity, met), _advice(connection))


def refused_at_start(claims: Mapping[str, Claim], known: Mapping[str, Account]) -> ConfigurationError | None:
    """What is wrong with an environment whose connections are not those of the store; None if nothing is."""
    mixed = {
        connection: _sentence(claim.system, known[connection].identity, claim.identity)
        for connection, claim in claims.items()
        if connection in known and claim.identity not in ("", known[connection].identity)
    }
    if not mixed:
        return None
    return ConfigurationError(
        "The environment and the store belong to different accounts.",
        field_errors=mixed,
        advice=_advice(*mixed),
    )


def _sentence(system: str, known: str, met: str) -> str:
    return f"This store belongs to {system} {known}, but the credentials are those of {met or 'an unknown account'}."


def _advice(*connections: str) -> str:
    commands = " and ".join(f"`crmsync accounts adopt {connection}`" for connection in connections)
    return (
        "Restore the previous credentials, or start with a new store (another CRMSYNC_HOME or DATABASE_URL). "
        f"If it is the same company's account under a new address: {commands}."
    )
