"""The outbox of alerts: one open row for each cause, which counts what happens under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, case, func, select, update

from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import alerts

UNREADABLE_SECONDS = 3600.0  # how long one that can't be told waits; another release may be able to tell it
QUIET_SECONDS = 900.0  # a cause that stays silent this long is over: the next one is a new alert


class Alerts(Rows):
    def add(self, cause: str, content: Mapping[str, Any]) -> None:
        """Tell people of *cause*; while it is open, only count."""
        self._close_quiet(cause)
        if not self.add_once(cause, content):
            counted = update(alerts).where(alerts.c.cause == cause, alerts.c.closed_at.is_(None))
            again = {"occurrences": alerts.c.occurrences + 1, "updated_at": self._now, "content": dict(content)}
            self._connection.execute(counted.values(**again))

    def add_once(self, cause: str, content: Mapping[str, Any]) -> bool:
        """Tell people of *cause*, unless they were told and it is still open. Returns whether this is news."""
        first = {
            "cause": cause,
            "opened_at": self._now,
            "updated_at": self._now,
            "occurrences": 1,
            "told": 0,
            "due_at": self._now,
            "attempts": 0,
            "message_id": "",
            "content": dict(content),
        }
        return self._insert_once(alerts, first)

    def is_open(self, cause: str) -> bool:
        query = select(alerts.c.id).where(alerts.c.cause == cause, alerts.c.closed_at.is_(None))
        return self._connection.execute(query).first() is not None

    def open_causes(self, prefix: str) -> list[str]:
        """The causes of the open alerts that begin with *prefix*."""
        query = select(alerts.c.cause).where(alerts.c.cause.startswith(prefix, autoescape=True))
        return list(self._connection.execute(query.where(alerts.c.closed_at.is_(None))).scalars())

    def close(self, cause: str) -> bool:
        """The cause is gone: the next time is a new alert. False if none was open."""
        statement = update(alerts).where(alerts.c.cause == cause, alerts.c.closed_at.is_(None))
        return self._connection.execute(statement.values(closed_at=self._now)).rowcount > 0

    def _close_quiet(self, cause: str) -> None:
        quiet_since = self._now - timedelta(seconds=QUIET_SECONDS)
        self._connection.execute(
            update(alerts)
            .where(alerts.c.cause == cause, alerts.c.closed_at.is_(None), alerts.c.updated_at < quiet_since)
            .values(closed_at=self._now)
        )

    def claim_due(self, *, limit: int, seconds: float) -> Sequence[Row[Any]]:
        """Alerts that people don't know all of, for one sender at a time for *seconds*."""
        is_unreal = alerts.c.updated_at > self._now + CLOCKS
        is_due = ((alerts.c.due_at <= self._now) | is_unreal) & (alerts.c.told < alerts.c.occurrences)
        batch = select(alerts.c.id).where(is_due).order_by(alerts.c.id).limit(limit)
        statement = (
            update(alerts)
            .where(alerts.c.id.in_(batch), is_due)
            .values(
                due_at=self._now + timedelta(seconds=seconds),
                updated_at=case((is_unreal, self._now), else_=alerts.c.updated_at),
            )
            .returning(alerts.c.id)
        )
        ids = list(self._connection.execute(statement).scalars())
        return [row for row in map(self._readable, ids) if row is not None]

    def _readable(self, alert_id: int) -> Row[Any] | None:
        """None for one whose content is damaged: it must not keep the others."""
        try:
            return self._connection.execute(select(alerts).where(alerts.c.id == alert_id)).one()
        except ValueError:
            self.not_told(alert_id, attempts=0, wait_seconds=UNREADABLE_SECONDS)
            return None

    def told(self, alert_id: int, *, occurrences: int, message_id: str, wait_seconds: float) -> None:
        """People know of *occurrences*; they hear of more not before *wait_seconds*."""
        self._connection.execute(
            update(alerts)
            .where(alerts.c.id == alert_id)
            .values(
                told=occurrences,
                attempts=0,
                message_id=message_id,
                due_at=self._now + timedelta(seconds=wait_seconds),
            )
        )

    def not_told(self, alert_id: int, *, attempts: int, wait_seconds: float) -> None:
        self._connection.execute(
            update(alerts)
            .where(alerts.c.id == alert_id)
            .values(attempts=attempts, due_at=self._now + timedelta(seconds=wait_seconds))
        )

    def newest(self, *, limit: int) -> Sequence[Row[Any]]:
        return self._connection.execute(select(alerts).order_by(alerts.c.id.desc()).limit(limit)).all()

    def pending_count(self) -> int:
        """Alerts that people don't know all of."""
        query = select(func.count()).select_from(alerts).where(alerts.c.told < alerts.c.occurrences)
        return self._connection.execute(query).scalar_one()
