"""When a stored connection last worked: written once a minute, however many calls it makes."""

from __future__ import annotations

import time

from crmsync.domain.connections import ID_PREFIX
from crmsync.store.engine import Store

EVERY_SECONDS = 60.0


class Successes:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, float] = {}

    def note(self, connection: str) -> None:
        """Those of the environment are not stored, and have nothing to note it in."""
        last = self._noted.get(connection)
        if not connection.startswith(ID_PREFIX) or (last and time.monotonic() - last < EVERY_SECONDS):
            return
        self._noted[connection] = time.monotonic()
        with self._store.begin(durable=False) as uow:
            uow.connections.succeeded(connection)
