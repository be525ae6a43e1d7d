"""Stored counts of how many rows a table has up to a position, so that only newer rows are counted on request.

A row is counted by what never changes of it: a run by its tenant and flow, an entry of the ledger by its connection and
kind. How many of them are over is the rest: all, without those that an index of the others counts. So nobody who ends a
run writes a tally.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, func, literal_column, select, true

from crmsync.store.facts import Facts
from crmsync.store.rows import CLOCKS
from crmsync.store.tables import Instant, deliveries, facts, ledger, runs

LAG = timedelta(minutes=15)  # whoever wrote a row has committed it by then; a clock that is behind more makes it miss
PREFIX = "tally."  # in front of a book's name: a fact

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Book:
    """The rows of a table, counted by their *keys*; *position* is by which they are older or newer than others.

    *path* are the columns that an index has in front of the position.
    """

    name: str
    table: Table
    keys: tuple[ColumnElement[Any], ...]
    position: ColumnElement[Any]
    path: tuple[ColumnElement[Any], ...] = ()

    @property
    def fact(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def is_by_time(self) -> bool:
        return isinstance(self.position.type, Instant)


_RUNS = (runs.c.tenant, runs.c.flow)
RUNS = Book("runs", runs, _RUNS, runs.c.created_at, (*_RUNS, runs.c.status))
# Nothing is ever deleted of it. Grouped by the column itself, SQLite reads the whole index of the connections, and not
# what is newer.
_CONNECTION = ledger.c.connection.concat(literal_column("''"))
LEDGER = Book("ledger_by_connection", ledger, (_CONNECTION, ledger.c.kind), ledger.c.id)
_SOURCE = (deliveries.c.source,)
DELIVERIES = Book("deliveries", deliveries, (*_SOURCE, deliveries.c.is_healed), deliveries.c.received_at, _SOURCE)
BOOKS = (RUNS, LEDGER, DELIVERIES)


@dataclass(frozen=True, slots=True)
class Tally:
    """*counts* are of the rows below the position *until* (None: of none), as they were counted *at* an instant."""

    book: Book
    counts: Counter[Key]
    until: Any = None
    at: datetime | None = None

    @property
    def is_newer(self) -> ColumnElement[bool]:
        """Whether a row is not counted yet."""
        return true() if self.until is None else self.book.position >= self.until

    def to_json(self) -> str:
        until = self.until.isoformat() if self.book.is_by_time else self.until
        counts = sorted([*key, count] for key, count in self.counts.items() if count)
        return json.dumps({"until": until, "at": self.at.isoformat() if self.at else None, "counts": counts})


def _tally_of(book: Book, kept: str | None) -> Tally:
    if not kept:
        return Tally(book, Counter())
    read = json.loads(kept)
    until = datetime.fromisoformat(read["until"]) if book.is_by_time else read["until"]
    counts = Counter({tuple(key): count for *key, count in read["counts"]})
    return Tally(book, counts, until, datetime.fromisoformat(read["at"]))


class Tallies(Facts):
    def kept(self, book: Book) -> Tally:
        return self.read(book, self.get(book.fact))

    def read(self, book: Book, kept: str | None) -> Tally:
        """What was counted by a clock that was ahead is nothing: nobody knows which rows it left out."""
        tally = _tally_of(book, kept)
        is_ahead = book.is_by_time and tally.at is not None and tally.at > self._now + CLOCKS
        return Tally(book, Counter()) if is_ahead else tally

    def newer(self, tally: Tally) -> Select[Any]:
        """What counts the rows that *tally* does not: their keys, and how many there are."""
        return self._counted(tally.book, tally.is_newer)

    def is_due(self, book: Book) -> bool:
        """Whether so much is newer that it should be counted once for all."""
        at = self.kept(book).at
        return at is None or self._now - at >= LAG

    def fold(self, book: Book) -> None:
        """Count what is newer, up to where no more rows can come."""
        before = self._locked(book)
        until = self._now - LAG if book.is_by_time else self._settled_number(before)
        if before.until is None or until >= before.until:
            query = self._counted(book, and_(before.is_newer, book.position < until))
            newer = Counter({tuple(key): count for *key, count in self._connection.execute(query)})
            counts = before.counts + newer
            self.set(book.fact, Tally(book, counts, until, self._now).to_json())

    def dropped(self, book: Book, rows: Iterable[Sequence[Any]]) -> None:
        """Rows were deleted: each is its keys and its position."""
        gone = [(tuple(key), position) for *key, position in rows]
        before = self._locked(book) if gone else Tally(book, Counter())
        if before.until is not None:
            counts = Counter(before.counts)
            counts.subtract(key for key, position in gone if position < before.until)
            self.set(book.fact, Tally(book, counts, before.until, before.at).to_json())

    def _locked(self, book: Book) -> Tally:
        self.set_once(book.fact, "")
        query = select(facts.c.value).where(facts.c.name == book.fact).with_for_update()
        return self.read(book, self._connection.execute(query).scalar())

    def _settled_number(self, before: Tally) -> int:
        """The number after the last row that was written so long ago that no smaller one can come."""
        numbers, book = before.book.position, before.book
        is_settled = and_(before.is_newer, book.table.c.created_at < self._now - LAG)
        last = self._connection.execute(select(func.max(numbers)).where(is_settled)).scalar()
        return int(before.until or 1) if last is None else int(last) + 1

    def _counted(self, book: Book, condition: ColumnElement[bool]) -> Select[Any]:
        # All values that there are: with them an index finds the position.
        known = zip(book.path, zip(*self._places(*book.path), strict=True), strict=False) if book.path else ()
        is_known = [column.in_(set(values)) for column, values in known]
        return select(*book.keys, func.count()).where(condition, *is_known).group_by(*book.keys)
