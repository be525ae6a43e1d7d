"""The notes of a connection, for all processes: a cache of what can be read again, without secrets."""

from __future__ import annotations

from crmsync.store.engine import Store
from crmsync.store.remembered import Remembered


class KeptNotes:
    def __init__(self, store: Store, connection: str) -> None:
        self._facts = Remembered(store)
        self._connection = connection

    def read(self, name: str) -> str | None:
        return self._facts.get(self._named(name))

    def write(self, name: str, text: str) -> None:
        self._facts.set(self._named(name), text)

    def _named(self, name: str) -> str:
        return f"notes.{self._connection}.{name}"
