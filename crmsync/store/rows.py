"""What every group of rows shares: a connection, timestamps, and an insert that tolerates duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, literal, select

from crmsync.store.prepared import insert_if_new

CLOCKS = timedelta(minutes=5)  # what lies further in the future than it could was written by a wrong clock


class Rows:
    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    def _is_unreal(self, until: ColumnElement[Any], longest_seconds: float) -> ColumnElement[bool]:
        """Whether a promise that lasts *longest_seconds* at most ends later than one that is made now could."""
        return until > self._now + timedelta(seconds=longest_seconds) + CLOCKS

    def _values(self, column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> list[Any]:
        """The few values that *column*, the next one of an index, has: one probe of the index for each of them."""
        found = select(func.min(column).label("value")).where(*conditions).cte("found", recursive=True)
        following = select(func.min(column)).where(*conditions, column > found.c.value).scalar_subquery()
        found = found.union_all(select(following).where(found.c.value.is_not(None)))
        query = select(found.c.value).where(found.c.value.is_not(None))
        return list(self._connection.execute(query).scalars())

    def _places(self, *columns: ColumnElement[Any]) -> list[tuple[Any, ...]]:
        """The values that the first columns of an index have together, in order: few of few."""
        places: list[tuple[Any, ...]] = [()]
        for depth, column in enumerate(columns):
            places = [
                (*place, value)
                for place in places
                for value in self._values(
                    column, *(each == at for each, at in zip(columns[:depth], place, strict=True))
                )
            ]
        return places

    def _insert_once(self, table: Table, values: Mapping[str, Any]) -> bool:
        """Insert a row. False if one of the table's constraints says that it is there already."""
        statement = _insert_once(table, self._connection.dialect.name)
        return self._connection.execute(statement, values).first() is not None

    def _insert_new(self, rows: Sequence[Mapping[str, Any]], told: Column[Any]) -> set[Any]:
        """Insert the rows that are not there already, in one go. Returns what *told* is of those."""
        if not rows:
            return set()
        statement = _insert_new(told, self._connection.dialect.name)
        return set(self._connection.execute(statement, list(rows)).scalars())


@cache
def _insert_once(table: Table, dialect_name: str) -> Any:
    # Not the row count: it is undefined where the driver asks for generated keys.
    return insert_if_new(table, dialect_name).returning(literal(1))


@cache
def _insert_new(told: Column[Any], dialect_name: str) -> Any:
    return insert_if_new(told.table, dialect_name).returning(told)
