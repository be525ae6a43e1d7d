"""Which tenant a connection, and what is stored about it, belongs to."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true

from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.connections import ID_PREFIX
from crmsync.store.rows import Rows
from crmsync.store.tables import connections, runs


def is_owned(tenant: str | None, connection: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the column *connection* names a connection of *tenant*; None: of any."""
    if tenant is None:
        return true()
    own = connection.in_(select(connections.c.id).where(connections.c.tenant == tenant))
    is_of_environment = ~connection.startswith(ID_PREFIX, autoescape=True)
    return or_(own, is_of_environment) if tenant == DEFAULT_TENANT else own


class Owners(Rows):
    """Which tenant owns each connection.

    Those of the environment belong to its tenant; what is left of one that was removed, to nobody.

    What is known is read once in a transaction.
    """

    def tenant_of(self, connection: str) -> str:
        return self._known.get(connection, "" if connection.startswith(ID_PREFIX) else DEFAULT_TENANT)

    def name_of(self, connection: str) -> str:
        """What people call it; its id where they gave it no name, or it was removed."""
        return self._names.get(connection, connection)

    def is_of(self, tenant: str | None, connection: str) -> bool:
        """Whether *connection* belongs to *tenant*; None: to any."""
        return tenant is None or self.tenant_of(connection) == tenant

    def made_by(self, tenant: str | None) -> list[str]:
        """The connections that people of *tenant* have made, None: of any."""
        return [connection for connection, owner in self._known.items() if tenant in (None, owner)]

    def tenants(self) -> list[str]:
        """Which there are: those that have a connection or a run."""
        return self._tenants

    @cached_property
    def _tenants(self) -> list[str]:
        return sorted({*self._known.values(), *self._values(runs.c.tenant)})

    @cached_property
    def _known(self) -> dict[str, str]:
        return dict(self._connection.execute(select(connections.c.id, connections.c.tenant)).all())

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(self._connection.execute(select(connections.c.id, connections.c.name)).all())
