"""Which connections are bound to which flows. Those of the environment have no row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, select, update

from crmsync.domain.bindings import Binding
from crmsync.store.rows import Rows
from crmsync.store.tables import bindings

_KEY = ("tenant", "flow", "source")


class Bindings(Rows):
    def all(self, tenant: str | None) -> list[Binding]:
        """The bindings of *tenant*, None: of all, by their keys."""
        query = select(bindings).order_by(*(bindings.c[name] for name in _KEY))
        query = query if tenant is None else query.where(bindings.c.tenant == tenant)
        return [_binding(row) for row in self._connection.execute(query)]

    def add(self, binding: Binding) -> bool:
        """Add a binding. False if there is one of this tenant, flow and source."""
        stamps = {"version": 1, "created_at": self._now, "updated_at": self._now}
        key = {name: getattr(binding, name) for name in _KEY}
        values = {"roles": dict(binding.roles), "options": dict(binding.options)}
        return self._insert_once(bindings, {**key, **values, **stamps})

    def change(self, binding: Binding) -> bool:
        """Write its roles and options. False where its version is not the one in the store any more."""
        is_same = and_(_is(binding), bindings.c.version == binding.version)
        values = {"roles": dict(binding.roles), "options": dict(binding.options)}
        statement = update(bindings).where(is_same)
        statement = statement.values(**values, version=binding.version + 1, updated_at=self._now)
        return self._connection.execute(statement).rowcount == 1

    def remove(self, binding: Binding) -> bool:
        is_same = and_(_is(binding), bindings.c.version == binding.version)
        return self._connection.execute(delete(bindings).where(is_same)).rowcount == 1


def _is(binding: Binding) -> ColumnElement[bool]:
    return and_(*(bindings.c[name] == getattr(binding, name) for name in _KEY))


def _binding(row: Row[Any]) -> Binding:
    return Binding(row.tenant, row.flow, row.source, row.roles, row.options, row.version, row.created_at)
