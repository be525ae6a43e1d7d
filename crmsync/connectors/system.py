"""What crmsync knows of a system before it works with it: one value for each vendor, in the package of its connector.

What costs memory is imported only when it is asked for: who asks only what is configured does without requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from crmsync.connectors.budget import UNLIMITED, Budget
from crmsync.environment import Reader, read_into

if TYPE_CHECKING:
    from crmsync.connectors.auth import TokenStore
    from crmsync.connectors.base import Connector
    from crmsync.connectors.budget import Quota
    from crmsync.connectors.notes import Notes
    from crmsync.domain.accounts import Claim
    from crmsync.settings import Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a connector works with beside its settings. Without notes it keeps its own."""

    token_store: TokenStore
    behaviour: Behaviour
    budget: Budget = UNLIMITED
    notes: Notes | None = None


class Connect(Protocol):
    def __call__(self, connection: str, settings: Any, tools: Tools) -> Connector: ...


@dataclass(frozen=True, slots=True)
class Door:
    """A kind of webhook that a system sends; *secrets* are the variables that prove that one is authentic."""

    name: str
    path: str
    """Where the senders of the environment's own connection find it."""
    secrets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class System:
    """A vendor as crmsync knows it."""

    name: str
    title: str
    """What people call it."""
    roles: tuple[str, ...]
    """What it can do for a company: names of systems.ROLES."""
    guide: str
    """How it is set up, in the documentation."""
    auth_kinds: tuple[str, ...]
    """The ways to sign in."""
    doors: tuple[Door, ...] = ()
    settings: type[Any]
    read: Callable[[Reader], Any | None]
    """Its settings, of a reader of variables; None where they say nothing of it."""
    variable: str
    """To begin with."""
    prefixes: tuple[str, ...]
    """With which its variables begin."""
    config_name: str = ""
    """In the output of `crmsync config`, where that is not its own name."""
    other_prefixes: tuple[str, ...] = ()
    """With which people begin them by mistake."""
    credentials: tuple[str, ...]
    """The settings that sign in, and that a process may be without."""
    connect: Connect
    quota: Callable[[str, Any], Quota]
    """What it allows the account of a connection, by the connection and its settings."""
    claim: Callable[[Any], Claim]
    """What its settings say of the account."""
    full_key: Callable[[str], str] = lambda text: text
    """The full id of a record that is named by its short one; any other text as it is."""

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The variables whose values are secrets."""
        reader = Reader({})
        read_into(self.settings, reader)
        return frozenset(reader.secrets)

    @cached_property
    def door_secrets(self) -> frozenset[str]:
        named = {name for door in self.doors for name in door.secrets}
        return self.secrets & {f"{name}{which}" for name in named for which in ("", "_PREVIOUS")}

    @property
    def sign_in_secrets(self) -> frozenset[str]:
        return self.secrets - self.door_secrets
