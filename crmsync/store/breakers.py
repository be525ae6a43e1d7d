"""The circuit breakers of the connections, shared by all processes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update

from crmsync.domain.breaker import LONGEST_HOLD_SECONDS, Breaker, hold_seconds
from crmsync.store.rows import Rows
from crmsync.store.tables import breakers


class Breakers(Rows):
    def get(self, connection: str) -> Breaker:
        row = self._connection.execute(select(breakers).where(breakers.c.connection == connection)).first()
        return Breaker(**row._mapping) if row is not None else Breaker(connection)

    def all(self) -> list[Breaker]:
        rows = self._connection.execute(select(breakers).order_by(breakers.c.connection))
        return [Breaker(**row._mapping) for row in rows]

    def open_for(self, system: str) -> Breaker | None:
        """The open breaker of the connection to *system*, if it has one."""
        query = select(breakers).where(breakers.c.system == system, breakers.c.opened_at.is_not(None))
        row = self._connection.execute(query).first()
        return Breaker(**row._mapping) if row is not None else None

    def failed(self, connection: str, *, system: str, threshold: int, is_probe: bool, reason: str = "") -> bool:
        """Count a failure. True if the breaker opens by it; with a *reason* it opens at once.

        A probe that failed makes an open one wait longer; calls that were under way when it opened do not.
        """
        self._insert_once(breakers, {"connection": connection, "failures": 0, "probes": 0})
        mine = breakers.c.connection == connection
        known = {"failures": breakers.c.failures + 1, "system": system, "reason": reason}
        self._connection.execute(update(breakers).where(mine).values(**known))
        found = self.get(connection)
        if found.is_open:
            if is_probe:
                self._hold(connection, found.probes + 1)
            return False
        if found.failures < threshold and not reason:
            return False
        opens = update(breakers).where(mine, breakers.c.opened_at.is_(None)).values(opened_at=self._now)
        is_first = self._connection.execute(opens).rowcount == 1
        self._hold(connection, 0)
        return is_first

    def _hold(self, connection: str, probes: int) -> None:
        retry_at = self._now + timedelta(seconds=hold_seconds(probes))
        statement = update(breakers).where(breakers.c.connection == connection)
        self._connection.execute(statement.values(retry_at=retry_at, probes=probes))

    def probe(self, connection: str, *, seconds: float) -> bool:
        """Take the right to look whether the system answers; nobody else may for *seconds*."""
        longest = timedelta(seconds=LONGEST_HOLD_SECONDS)
        is_due = or_(breakers.c.retry_at <= self._now, breakers.c.retry_at > self._now + longest)
        statement = (
            update(breakers)
            .where(breakers.c.connection == connection, breakers.c.opened_at.is_not(None), is_due)
            .values(retry_at=self._now + timedelta(seconds=seconds))
        )
        return self._connection.execute(statement).rowcount == 1

    def succeeded(self, connection: str) -> Breaker | None:
        """Forget the failures. Returns the breaker as it was, if it was open."""
        found = self.get(connection)
        mine = (breakers.c.connection == connection, breakers.c.failures > 0)
        closed: dict[str, Any] = {"failures": 0, "opened_at": None, "retry_at": None, "probes": 0, "reason": ""}
        if found.is_open:
            closed["closed_at"] = self._now
        is_first = self._connection.execute(update(breakers).where(*mine).values(**closed)).rowcount == 1
        return found if found.is_open and is_first else None
