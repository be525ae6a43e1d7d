"""The circuit breakers of the connections, shared by all processes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import exists, func, or_, select, update

from crmsync.domain.breaker import Breaker, FailedCall, hold_seconds
from crmsync.domain.connections import ID_PREFIX
from crmsync.store.owners import is_owned
from crmsync.store.rows import Rows
from crmsync.store.run_lists import IS_ACTIVE
from crmsync.store.tables import breakers, history, runs

_REASON_LENGTH = 300


class Breakers(Rows):
    def get(self, connection: str) -> Breaker:
        row = self._connection.execute(select(breakers).where(breakers.c.connection == connection)).first()
        return Breaker(**row._mapping) if row is not None else Breaker(connection)

    def all(self, tenant: str | None) -> list[Breaker]:
        """The breakers of a tenant's connections; None: of all."""
        query = select(breakers).where(is_owned(tenant, breakers.c.connection))
        rows = self._connection.execute(query.order_by(breakers.c.connection))
        return [Breaker(**row._mapping) for row in rows]

    def open_of(self, connection: str, system: str) -> Breaker | None:
        """The open breaker of *connection*; where that is not known, of the environment's to *system*."""
        if not connection:
            return self.open_for(system)
        found = self.get(connection)
        return found if found.is_open else None

    def open_for(self, system: str) -> Breaker | None:
        """The open breaker of the environment's connection to *system*, if it has one."""
        is_made = breakers.c.connection.startswith(ID_PREFIX, autoescape=True)
        query = select(breakers).where(breakers.c.system == system, breakers.c.opened_at.is_not(None), ~is_made)
        row = self._connection.execute(query).first()
        return Breaker(**row._mapping) if row is not None else None

    def failed(self, connection: str, call: FailedCall, *, system: str, threshold: int) -> bool:
        """Count a failure. True if people don't know of it: the breaker opens, or has a reason now.

        A probe that failed makes an open one wait longer; calls that were under way when it opened do not.
        """
        self._insert_once(breakers, {"connection": connection, "failures": 0, "probes": 0})
        before = self.get(connection)
        known: dict[str, Any] = {"failures": breakers.c.failures + 1, "system": system}
        if call.reason:
            operations = before.with_refused(call.operation)
            known |= {"reason": call.reason[:_REASON_LENGTH], "operations": operations[:_REASON_LENGTH]}
        elif not before.is_open or (before.operations and before.failures + 1 >= threshold):
            known |= {"reason": "", "operations": ""}
        mine = breakers.c.connection == connection
        self._connection.execute(update(breakers).where(mine).values(**known))
        if before.is_open:
            if call.is_probe:
                self._hold(connection, before.probes + 1, call.least_hold_seconds)
            return bool(call.reason and not before.reason)
        if before.failures + 1 < threshold and not call.reason:
            return False
        opens = update(breakers).where(mine, breakers.c.opened_at.is_(None)).values(opened_at=self._now)
        is_first = self._connection.execute(opens).rowcount == 1
        self._hold(connection, 0, call.least_hold_seconds)
        return is_first

    def _hold(self, connection: str, probes: int, least_seconds: float) -> None:
        retry_at = self._now + timedelta(seconds=max(least_seconds, hold_seconds(probes)))
        statement = update(breakers).where(breakers.c.connection == connection)
        self._connection.execute(statement.values(retry_at=retry_at, probes=probes))

    def probe(self, connection: str, *, seconds: float) -> bool:
        """Take the right to probe whether the system answers; nobody else may for *seconds*."""
        longest = timedelta(seconds=self.get(connection).longest_hold_seconds)
        is_due = or_(breakers.c.retry_at <= self._now, breakers.c.retry_at > self._now + longest)
        statement = (
            update(breakers)
            .where(breakers.c.connection == connection, breakers.c.opened_at.is_not(None), is_due)
            .values(retry_at=self._now + timedelta(seconds=seconds))
        )
        return self._connection.execute(statement).rowcount == 1

    def probe_now(self, connection: str) -> None:
        """Let the next caller probe whether the system answers."""
        statement = update(breakers).where(breakers.c.connection == connection, breakers.c.opened_at.is_not(None))
        self._connection.execute(statement.values(retry_at=self._now, probes=0))

    def release_waiting(self) -> int:
        """Let the runs that wait for any system, which cost them no attempt, come back now. Returns how many."""
        # Said outright: two levels down, a query would take its own `runs` in place of those to be updated.
        newest = select(func.max(history.c.id)).where(history.c.run_id == runs.c.id).correlate(runs).scalar_subquery()
        last = history.alias()
        is_waiting = exists().where(last.c.id == newest, last.c.event == "waiting")
        statement = update(runs).where(IS_ACTIVE, runs.c.leased_until.is_(None), runs.c.due_at > self._now, is_waiting)
        return self._connection.execute(statement.values(due_at=self._now, queued_until=None)).rowcount

    def succeeded(self, connection: str, operation: str = "") -> Breaker | None:
        """Forget the failures. Returns the breaker as it was, if it was open and is not any more.

        One that holds some operations closes when all of them were done.
        """
        found = self.get(connection)
        if found.is_open and found.operations and (left := found.without(operation)):
            self._still_refuses(found, left)
            return None
        mine = (breakers.c.connection == connection, breakers.c.failures > 0)
        closed: dict[str, Any] = {"failures": 0, "opened_at": None, "retry_at": None, "probes": 0}
        closed |= {"reason": "", "operations": ""}
        if found.is_open:
            closed["closed_at"] = self._now
        is_first = self._connection.execute(update(breakers).where(*mine).values(**closed)).rowcount == 1
        return found if found.is_open and is_first else None

    def _still_refuses(self, found: Breaker, operations: str) -> None:
        """What was not refused says nothing of what was; and what is done again lets the next one look at once."""
        if operations == found.operations and found.failures == 1:
            return
        changes: dict[str, Any] = {"failures": 1, "operations": operations}
        if operations != found.operations:
            changes["retry_at"] = self._now
        self._connection.execute(update(breakers).where(breakers.c.connection == found.connection).values(**changes))
