"""How a connection that people have made is getting on: when it worked last, and whether it is refused.

Said once a minute, however many calls it takes; a change is said at once, and what is known already never.
"""

from __future__ import annotations

import time

from crmsync.domain.connections import Connection, Status, status_after
from crmsync.store.connections import LAST_ERROR_LENGTH
from crmsync.store.engine import Store

EVERY_SECONDS = 60.0


class Standing:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, float] = {}

    def note(self, of: Connection) -> bool:
        """It has worked. Those of the environment are not stored. True if it was said that it did not."""
        last = self._noted.get(of.id)
        if of.is_of_environment or (not of.has_failed and last and time.monotonic() - last < EVERY_SECONDS):
            return False
        self._noted[of.id] = time.monotonic()
        with self._store.begin(durable=False) as uow:
            uow.connections.succeeded(of.id)
        return of.has_failed

    def refused(self, of: Connection, reason: str, code: str) -> bool:
        """Its system signs nobody in, for a *reason* in our words. Returns whether it was not known as expired before.

        All else is said by the breaker, which opens.
        """
        is_known = of.status in (Status.EXPIRED, Status.INACTIVE) and of.last_error == reason[:LAST_ERROR_LENGTH]
        if of.is_of_environment or is_known or status_after(code) is not Status.EXPIRED:
            return False
        with self._store.begin(durable=False) as uow:
            uow.connections.failed(of.id, reason, status=Status.EXPIRED)
        return True
