"""Caches facts that seldom change, so that a process does not ask the store for every deal."""

from __future__ import annotations

from datetime import datetime, timedelta

from crmsync.store.engine import Store

FOR = timedelta(seconds=10)  # how late a process may hear of another's change


class Remembered:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[str | None, datetime]] = {}

    def get(self, name: str) -> str | None:
        now = self._store.clock()
        known = self._known.get(name)
        if known is not None and abs(now - known[1]) < FOR:
            return known[0]
        with self._store.read() as uow:
            value = uow.facts.get(name)
        self._known[name] = value, now
        return value

    def set(self, name: str, value: str) -> None:
        with self._store.begin(durable=False) as uow:
            uow.facts.set(name, value)
        self._known[name] = value, uow.now
