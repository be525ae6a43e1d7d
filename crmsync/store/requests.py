"""Idempotency of the API: a request with a key that was used before gets the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update

from crmsync.store.rows import Rows
from crmsync.store.tables import api_requests

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Request:
    """One that was done; *answer* is sealed."""

    fingerprint: str
    status: int
    answer: str


class Requests(Rows):
    def begin(self, caller: str, key: str, fingerprint: str) -> Request | None:
        """Take the *key* for a request. None if it is new; else what was done with it before.

        Who asks with the same key at the same time waits here until the first one's transaction ends.
        """
        self._connection.execute(delete(api_requests).where(api_requests.c.created_at < self._now - KEPT))
        row = {"caller": caller, "key": key, "fingerprint": fingerprint, "created_at": self._now}
        if self._insert_once(api_requests, row | {"status": 0, "answer": ""}):
            return None
        return self.get(caller, key)

    def get(self, caller: str, key: str) -> Request | None:
        """What was done with the *key* before; for a day."""
        is_this = (api_requests.c.caller == caller, api_requests.c.key == key)
        query = select(api_requests.c.fingerprint, api_requests.c.status, api_requests.c.answer).where(*is_this)
        row = self._connection.execute(query.where(api_requests.c.created_at >= self._now - KEPT)).first()
        return Request(*row) if row else None

    def end(self, caller: str, key: str, *, status: int, answer: str) -> None:
        is_this = (api_requests.c.caller == caller, api_requests.c.key == key)
        self._connection.execute(update(api_requests).where(*is_this).values(status=status, answer=answer))
