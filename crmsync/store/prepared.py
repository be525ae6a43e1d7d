"""Statements that run for every step of every deal: compiled once, then sent as text.

SQLAlchemy looks up a statement that it has compiled, and copies and checks its parameters, at every execution: for a
short write that takes longer than the database does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, FromClause, Insert, Table, Update
from sqlalchemy.dialects import postgresql, sqlite

Values = Mapping[str, Any]
Statement = Update | Insert | Callable[[Dialect], Any]


def insert_if_new(table: FromClause, dialect_name: str) -> Any:
    """An INSERT that writes nothing where one of the table's constraints says that the row is there already."""
    insert: Any = postgresql.insert if dialect_name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def insert_once(table: Table, *columns: str) -> Prepared:
    """As insert_if_new(), prepared."""
    return Prepared(lambda dialect: insert_if_new(table, dialect.name).inline(), columns=columns)


class Prepared:
    """An UPDATE, or an INSERT of *columns*, that gives no rows. It has no IN, whose text depends on the values."""

    def __init__(self, statement: Statement, *, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, tuple[str, Callable[[Values], Any]]] = {}

    def run(self, connection: Connection, *values: Values) -> int:
        """Execute it with each of *values*. Returns how many rows it has written."""
        text, parameters = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        sent = [parameters(each) for each in values]
        return connection.exec_driver_sql(text, sent if len(sent) > 1 else sent[0]).rowcount

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[Values], Any]]:
        statement = self._statement(dialect) if callable(self._statement) else self._statement
        compiled: Any = statement.compile(dialect=dialect, column_keys=self._columns)
        constants, convert = dict(compiled.params), dict(compiled._bind_processors)
        names = compiled.positiontup if compiled.positional else list(constants)

        def parameters(values: Values) -> Any:
            known = {**constants, **values}
            sent = [convert[name](known[name]) if name in convert else known[name] for name in names]
            return tuple(sent) if compiled.positional else dict(zip(names, sent, strict=True))

        found = str(compiled), parameters
        self._compiled[dialect.name] = found
        return found
