"""The notes of a connection, for all processes; what they say can be read again, so they are no secret and no truth."""

from __future__ import annotations

from crmsync.store.engine import Store


class KeptNotes:
    def __init__(self, store: Store, connection: str) -> None:
        self._store = store
        self._connection = connection

    def read(self, name: str) -> str | None:
        with self._store.read() as uow:
            return uow.facts.get(self._named(name))

    def write(self, name: str, text: str) -> None:
        with self._store.begin(durable=False) as uow:
            uow.facts.set(self._named(name), text)

    def _named(self, name: str) -> str:
        return f"notes.{self._connection}.{name}"
