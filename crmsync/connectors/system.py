"""The description of a system: one value for each vendor, in the package of its connector.

What costs memory is imported only when it is asked for: who asks only what is configured does without requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from crmsync import declared
from crmsync.connectors.consent import Consent
from crmsync.connectors.declaration import problems_of
from crmsync.connectors.doors import Door
from crmsync.connectors.limits.budget import UNLIMITED, Budget
from crmsync.declared import Check, Setting
from crmsync.environment import Reader, read_into

if TYPE_CHECKING:
    from crmsync.connectors.base import Connector
    from crmsync.connectors.kit.notes import Notes
    from crmsync.connectors.limits.budget import Quota
    from crmsync.connectors.signing_in.auth import TokenStore
    from crmsync.domain.accounts import Claim
    from crmsync.settings import Behaviour


@dataclass(frozen=True, slots=True)
class Usage:
    """What the companies that use a connection have set of what its connector must know."""

    default_currency: str = ""
    """The currency of all deals; "" where each says its own."""
    copies_stock: bool = True
    """Whether it is asked for stock, or for products."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a connector works with beside its settings. Without notes it keeps its own."""

    token_store: TokenStore
    behaviour: Behaviour
    usage: Callable[[], Usage] = Usage
    """As it is now: people may change it at any time."""
    budget: Budget = UNLIMITED
    notes: Notes | None = None
    is_outside: bool = False
    """Whether it may connect to the internet alone, and to no machine of this network."""


class Connect(Protocol):
    def __call__(self, connection: str, settings: Any, tools: Tools) -> Connector: ...


def _any_key(text: str) -> str:
    if not text.strip():
        raise ValueError("is missing")
    return text.strip()


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
    auth_setting: str = ""
    """The setting that says which of them, where there is one."""
    consent: Consent | None = None
    """The page where people let crmsync in, where it has one."""
    doors: tuple[Door, ...] = ()
    settings: type[Any]
    check: Check | None = None
    """Checks the settings as a whole."""
    variable: str
    """To begin with."""
    mentioned_by: tuple[str, ...]
    """The variables any of which says that the environment configures it; a door's secret says so as well."""
    prefixes: tuple[str, ...]
    """With which its variables begin."""
    config_name: str = ""
    """In the output of `crmsync config`, where that is not its own name."""
    other_prefixes: tuple[str, ...] = ()
    """With which people begin them by mistake."""
    connect: Connect
    quota: Callable[[str, Any], Quota]
    """What it allows the account of a connection, by the connection and its settings."""
    published_limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    """The most calls that it allows anybody, by the setting that limits them."""
    claim: Callable[[Any], Claim]
    """What its settings say of the account."""
    harden: Callable[[Any], Iterable[tuple[str, str]]] | None = None
    """What `crmsync doctor --security` checks beside what it checks of every system: each with advice, "" for none."""
    full_key: Callable[[str], str] = lambda text: text
    """The full id of a record that is named by its short one; any other text as it is."""
    account_key: Callable[[str], str] = _any_key
    """The key of an account that people name. Raises: ValueError, whose text says what is wrong with it."""
    label_of: Callable[[str], str] = lambda field: field
    """What people see there of a deal's field, by its path in the domain, such as `lines[1].total`."""
    field_of: Callable[[str], str] = lambda label: label
    """The other way round: what earlier releases have kept of a deal's fields at fault bears their labels."""
    words: tuple[str, ...] = ()
    """What people there call a deal, in front of its key."""

    def problems(self) -> list[str]:
        """What is wrong with it, in words: a package that somebody else has made must not be found out by a run."""
        return problems_of(self)

    @property
    def door_paths(self) -> tuple[str, ...]:
        return tuple(each.path for each in self.doors)

    def read(self, reader: Reader) -> Any | None:
        """Its settings from the environment; None where that says nothing of it."""
        doors = [reader.has_door_secret(name) for door in self.doors for name in door.secrets]
        if not reader.any_set(*self.mentioned_by) and not any(doors):
            return None
        found = read_into(self.settings, reader)
        if self.check is not None:
            self.check(found, reader)
        return found

    def read_mapping(self, values: Mapping[str, Any], *, allow_http: bool = False) -> tuple[Any, dict[str, str]]:
        """Its settings from a row or a body, by their names, and what is wrong with them, by name."""
        return declared.read_mapping(self.settings, values, check=self.check, allow_http=allow_http)

    def read_row(self, values: Mapping[str, Any], *, allow_http: bool = False) -> tuple[Any, dict[str, str]]:
        """As read_mapping(); what consent in the browser brings may still be missing."""
        found, problems = self.read_mapping(values, allow_http=allow_http)
        outstanding = self.consent.secret if self.consent is not None and self.awaits_consent(values) else ""
        return found, {name: problem for name, problem in problems.items() if name != outstanding}

    @cached_property
    def declared(self) -> tuple[Setting, ...]:
        """Each of its settings."""
        return declared.declared_of(self.settings)

    @property
    def schema(self) -> dict[str, Any]:
        """What a mapping of its settings has to be, in JSON Schema."""
        return declared.json_schema(self.settings)

    def addresses_of(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The part of *settings*, by name, that says where credentials are sent."""
        return {each.name: settings[each.name] for each in self.declared if each.is_address and each.name in settings}

    def auth_kind_of(self, settings: Mapping[str, Any]) -> str:
        """The way to sign in that *settings* say, else the usual one."""
        return str(settings.get(self.auth_setting) or self.auth_kinds[0])

    def awaits_consent(self, values: Mapping[str, Any]) -> bool:
        """Whether all that a connection of these settings and secrets may lack is what consent brings."""
        found = self.consent
        return found is not None and self.auth_kind_of(values) == found.auth_kind and not values.get(found.secret)

    @property
    def door_secrets(self) -> frozenset[str]:
        return frozenset(each.variable for each in self.declared if each.is_of_a_door)

    @property
    def sign_in_secrets(self) -> frozenset[str]:
        return frozenset(each.variable for each in self._signing_in)

    def is_withheld(self, settings: Any) -> bool:
        """Whether this process is not given what signs in."""
        return any(getattr(settings, each.name).is_withheld for each in self._signing_in)

    @property
    def _signing_in(self) -> list[Setting]:
        return [each for each in self.declared if each.is_secret and not each.is_of_a_door]
