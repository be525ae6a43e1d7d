"""Which tenant a connection, and what is stored about it, belongs to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, select, true

from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.connections import ID_PREFIX
from crmsync.store import UnitOfWork
from crmsync.store.tables import connections


class Owners:
    """Those of the environment belong to its tenant; what is left of one that was removed, to nobody."""

    def __init__(self, uow: UnitOfWork) -> None:
        rows = uow.connection.execute(select(connections.c.id, connections.c.tenant))
        self._tenants: dict[str, str] = {row.id: row.tenant for row in rows}

    def tenant_of(self, connection: str) -> str:
        return self._tenants.get(connection, "" if connection.startswith(ID_PREFIX) else DEFAULT_TENANT)

    def is_of(self, tenant: str | None, connection: str) -> bool:
        """None: of any."""
        return tenant is None or self.tenant_of(connection) == tenant

    def owns(self, tenant: str | None, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether *column* names a connection of *tenant*; None: of any."""
        if tenant is None:
            return true()
        own = column.in_([each for each, owner in self._tenants.items() if owner == tenant])
        return or_(own, ~column.startswith(ID_PREFIX, autoescape=True)) if tenant == DEFAULT_TENANT else own
