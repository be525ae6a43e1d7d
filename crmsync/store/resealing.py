"""Encrypts every secret again with the current key, so that the previous one can be thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, select, update

from crmsync.settings import Secret
from crmsync.store.engine import Store
from crmsync.store.keys import KeyRing
from crmsync.store.rows import Rows
from crmsync.store.tables import accounts, dead_letters, tokens

AT_ONCE = 200  # rows of a transaction: others wait for as long as that takes

_SEALED = ((tokens.c.connection, tokens.c.value), (dead_letters.c.id, dead_letters.c.words))
_MARKED = (accounts.c.credentials, tokens.c.credentials)


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many secrets are sealed with the present key now, and how many no key of this process opens."""

    sealed: int = 0
    unreadable: int = 0

    def __add__(self, other: Resealed) -> Resealed:
        return Resealed(self.sealed + other.sealed, self.unreadable + other.unreadable)


class Sealed(Rows):
    """What is sealed, row by row in the order of its key."""

    def some(self, key: Column[Any], sealed: Column[Any], *, after: Any) -> Sequence[tuple[Any, str]]:
        query = select(key, sealed).where(sealed != "").order_by(key).limit(AT_ONCE)
        rows = self._connection.execute(query.where(key > after) if after is not None else query)
        return [(row[0], row[1]) for row in rows]

    def replace(self, key: Column[Any], column: Column[Any], at: Any, *, was: str, now: str) -> None:
        """Unless it was changed meanwhile."""
        self._connection.execute(update(_table(key)).where(key == at, column == was).values({column.name: now}))

    def replace_all(self, column: Column[Any], *, was: str, now: str) -> None:
        self._connection.execute(update(_table(column)).where(column == was).values({column.name: now}))


def _table(column: Column[Any]) -> Table:
    return column.table


def reseal(store: Store, ring: KeyRing, credentials: Iterable[Secret]) -> Resealed:
    """Every process may go on meanwhile. *credentials* are those whose fingerprints are kept."""
    total = Resealed()
    for key, sealed in _SEALED:
        after: Any = None
        while True:
            with store.begin() as uow:
                rows = Sealed(uow.connection, uow.now)
                found = rows.some(key, sealed, after=after)
                total += sum((_one(rows, ring, key, sealed, *each) for each in found), Resealed())
            if not found:
                break
            after = found[-1][0]
    _mark_anew(store, ring, credentials)
    return total


def _one(rows: Sealed, ring: KeyRing, key: Column[Any], column: Column[Any], at: Any, sealed: str) -> Resealed:
    if ring.is_sealed_anew(sealed):
        return Resealed(sealed=1)
    opened = ring.open(sealed)
    if opened is None:
        return Resealed(unreadable=1)
    rows.replace(key, column, at, was=sealed, now=ring.seal(opened))
    return Resealed(sealed=1)


def _mark_anew(store: Store, ring: KeyRing, credentials: Iterable[Secret]) -> None:
    """So that nobody takes the same credentials for others, and a token for one that they have not brought."""
    with store.begin() as uow:
        rows = Sealed(uow.connection, uow.now)
        for secret in credentials:
            now, *before = ring.marks(secret)
            for mark in before:
                for column in _MARKED:
                    rows.replace_all(column, was=mark, now=now)
