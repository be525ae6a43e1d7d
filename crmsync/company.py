"""What a flow works with: a tenant, and for each role the connection that fills it.

A flow asks `company.orders.api` and names neither a vendor nor an account: which of them it is, is bound outside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

from crmsync.connectors.base import Catalogue, Connector, Deals, Invoices, Orders, Payments, Stock
from crmsync.connectors.registry import systems
from crmsync.connectors.system import System
from crmsync.domain.bindings import NEEDS
from crmsync.domain.runs import Origin
from crmsync.errors import ConfigurationError
from crmsync.options import Options
from crmsync.systems import ROLES

Api = TypeVar("Api", bound=Connector, covariant=True)


class Connections(Protocol):
    """Gives the connectors of connections, and connects when a call is about to be made."""

    def connector(self, connection: str, role: str = "") -> Connector:
        """The connector of *connection*, for what this *role* asks, "" for what all do.

        Raises: ConfigurationError, NotNowError.
        """

    def at_hand(self, connection: str) -> Connector | None:
        """The connector, if it was used already; None where it was not, or something has to be asked first."""

    def system_of(self, connection: str) -> str: ...

    def declared(self, connection: str) -> System: ...

    def is_configured(self, connection: str) -> bool: ...


@dataclass(frozen=True)
class Bound(Generic[Api]):
    """A role, filled: *connection* is the id under which everything about it is remembered, "" where it is not."""

    connection: str
    connections: Connections = field(repr=False, compare=False)
    role: str = field(default="", repr=False, compare=False)

    @property
    def api(self) -> Api:
        """What the role can be asked for. Raises: ConfigurationError, NotNowError."""
        if not self.connection:
            raise ConfigurationError("No connection is bound to this role.")
        return cast(Api, self.connections.connector(self.connection, self.role))

    @property
    def at_hand(self) -> Api | None:
        """The same where nothing has to be asked or connected first."""
        return cast("Api | None", self.connections.at_hand(self.connection)) if self.connection else None

    @property
    def system(self) -> str:
        """The system's name for people, without asking it anything."""
        return self.connections.system_of(self.connection) if self.connection else ""

    @property
    def declared(self) -> System:
        """What is known of its system before anything is asked of it."""
        return self.connections.declared(self.connection)

    @property
    def is_configured(self) -> bool:
        return bool(self.connection) and self.connections.is_configured(self.connection)


@dataclass(frozen=True)
class Company:
    """What each role can do: `connectors.base`."""

    tenant: str
    options: Options
    deals: Bound[Deals]
    catalogue: Bound[Catalogue]
    orders: Bound[Orders]
    stock: Bound[Stock]
    invoices: Bound[Invoices]
    payments: Bound[Payments]

    def bound(self, role: str) -> Bound[Any]:
        return cast(Bound[Any], getattr(self, role))

    def origin(self, role: str) -> Origin:
        """The origin of a run whose subject comes from the connection in this *role*."""
        return Origin(self.tenant, self.bound(role).connection)

    def works_with(self, connection: str, flow: str) -> bool:
        """Whether *connection* fills a role of *flow*."""
        return any(self.bound(role).connection == connection for role in NEEDS[flow])

    def has(self, roles: Iterable[str]) -> bool:
        """Whether the connections of these *roles* are configured."""
        return all(self.bound(role).is_configured for role in roles)


# What is asked for where the environment configures nothing.
_USUAL: Mapping[str, str] = {
    "deals": "salesforce",
    "catalogue": "salesforce",
    "orders": "s4hana",
    "stock": "s4hana",
    "invoices": "zoho_books",
    "payments": "zoho_books",
}


def company_of(tenant: str, roles: Mapping[str, str], connections: Connections, options: Options) -> Company:
    """The company whose *roles* are filled by these connections; others are not."""
    return Company(tenant, options, **{role: Bound(roles.get(role, ""), connections, role) for role in ROLES})


def default_roles(configured: Collection[str] = ()) -> dict[str, str]:
    """Which connection of the environment fills which role: the usual one, or else the first *configured* that can."""
    return {role: _filled_by(role, usual, configured) for role, usual in _USUAL.items()}


def _filled_by(role: str, usual: str, configured: Collection[str]) -> str:
    able = [name for name, system in systems().items() if name in configured and role in system.roles]
    return usual if usual in able or not able else able[0]
