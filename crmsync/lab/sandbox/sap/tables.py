"""Rows in memory, by key and by the fields that other entities point with."""

from collections.abc import Iterator
from typing import Any

from crmsync.lab.sandbox.sap.errors import not_found
from crmsync.lab.sandbox.sap.metadata import Entity, Nav, Row, entities

Key = tuple[Any, ...]


class Table:
    """The rows of one entity set, in the order they came."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self._rows: dict[Key, Row] = {}
        self._groups: dict[tuple[str, ...], dict[Key, dict[Key, Row]]] = {}
        self.version = 0

    def key(self, row: Row) -> Key:
        return tuple(row.get(name, "") for name in self.entity.keys)

    def get(self, key: Key) -> Row | None:
        return self._rows.get(key)

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def insert(self, row: Row) -> None:
        key = self.key(row)
        self.version += 1
        self._rows[key] = row
        for names, groups in self._groups.items():
            groups.setdefault(_values(row, names), {})[key] = row

    def delete(self, row: Row) -> None:
        key = self.key(row)
        self.version += 1
        del self._rows[key]
        for names, groups in self._groups.items():
            groups[_values(row, names)].pop(key)

    def where(self, names: tuple[str, ...], values: Key) -> list[Row]:
        """Rows with these values in these fields; indexed, so long tables cost nothing."""
        if names not in self._groups:
            self._groups[names] = {}
            for key, row in self._rows.items():
                self._groups[names].setdefault(_values(row, names), {})[key] = row
        return list(self._groups[names].get(values, {}).values())


def _values(row: Row, names: tuple[str, ...]) -> Key:
    return tuple(row.get(name, "") for name in names)


class Tables:
    """Every table of the system."""

    def __init__(self) -> None:
        self._tables = {name: Table(entity) for name, entity in entities().items()}

    def changed(self) -> None:
        """Say that rows may hold other values than before, so that no answer is taken from memory."""
        for table in self._tables.values():
            table.version += 1

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def found(self, name: str, key: Key | None) -> Row:
        """The row of a key. Raises ODataError (404)."""
        row = self[name].get(key or ())
        if row is None:
            raise not_found("Requested entity could not be found")
        return row

    def related(self, row: Row, nav: Nav) -> list[Row]:
        """The rows that a navigation property leads to."""
        values = _values(row, nav.on)
        if not all(values):
            return []
        found = self[nav.target].where(nav.on, values)
        return [one for one in found if all(one.get(name) == value for name, value in nav.fixed)]
