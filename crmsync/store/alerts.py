"""The outbox of alerts: one open row for each cause, which counts its occurrences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, false, func, select, text, true, update

from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import HAS_NEWS, alerts

UNREADABLE_SECONDS = 3600.0  # how long one that can't be sent waits; another release may be able to send it
CONTINUED, EARLIER = "continued", 10  # a mark in the content of alerts that go on in a newer one; how many are told
_HAS_NEWS = text(f"({HAS_NEWS})")
QUIET_SECONDS = 900.0  # a cause that stays silent this long is over: the next one is a new alert


def _is_of(tenant: str | None) -> ColumnElement[bool]:
    """None: of any; what concerns the whole installation is of none."""
    return true() if tenant is None else alerts.c.tenant == tenant


class Alerts(Rows):
    """Whoever adds one says whose it is: its tenant first, None for what concerns the whole installation, and the
    connection that it is about. A cause is of one tenant and connection alone, for it has one open alert at most."""

    def add(self, tenant: str | None, cause: str, content: Mapping[str, Any], *, connection: str = "") -> None:
        """Open an alert of *cause*; while one is open, only count.

        One that was quiet for long goes on in a new alert, which people notice; the old one is closed.
        """
        if self._is_quiet(cause):
            self._continue(cause)
        if not self.add_once(tenant, cause, content, connection=connection):
            counted = update(alerts).where(alerts.c.cause == cause, alerts.c.closed_at.is_(None))
            again = {"occurrences": alerts.c.occurrences + 1, "updated_at": self._now, "content": dict(content)}
            self._connection.execute(counted.values(**again))

    def add_once(self, tenant: str | None, cause: str, content: Mapping[str, Any], *, connection: str = "") -> bool:
        """Open an alert of *cause*, unless one is open. Returns whether it was opened."""
        first = {
            "cause": cause,
            "tenant": tenant or "",
            "connection": connection,
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

    def open_causes(self, tenant: str | None, prefix: str, *, connection: str | None = None) -> list[str]:
        """The causes of a tenant's open alerts that begin with *prefix*; with *connection* only what is about it.

        What an earlier release has raised names no connection: that counts as being about it.
        """
        is_it = (alerts.c.cause.startswith(prefix, autoescape=True), _is_of(tenant))
        query = select(alerts.c.cause).where(*is_it)
        if connection is not None:
            query = query.where(alerts.c.connection.in_((connection, "")))
        return list(self._connection.execute(query.where(alerts.c.closed_at.is_(None))).scalars())

    def revise(self, cause: str, content: Mapping[str, Any], *, is_news: bool = False) -> None:
        """Change the content of the open alert of *cause*: of several dead letters some are settled.

        Of *news* people hear at once, also where their message can't be changed.
        """
        is_open = (alerts.c.cause == cause, alerts.c.closed_at.is_(None))
        before = self._connection.execute(select(alerts.c.content).where(*is_open)).scalar()
        if before is not None and before != content:
            changes: dict[str, Any] = {"content": dict(content), "updated_at": self._now, "is_stale": true()}
            changes |= {"told": 0, "due_at": self._now} if is_news else {}
            self._connection.execute(update(alerts).where(*is_open).values(**changes))

    def close(self, cause: str, *, end: Mapping[str, Any] | None = None, is_told: bool = True) -> bool:
        """The cause is gone: the next time is a new alert. False if none was open.

        *end* is the content of the closing message; without *is_told* none is sent.
        """
        is_open = (alerts.c.cause == cause, alerts.c.closed_at.is_(None))
        if end is not None:
            before = self._connection.execute(select(alerts.c.content).where(*is_open)).scalar()
            if before is not None:
                self._connection.execute(update(alerts).where(*is_open).values(content={**before, "end": dict(end)}))
        changes: dict[str, Any] = {"closed_at": self._now, "is_stale": is_told}
        if is_told:
            changes["due_at"] = self._now
            self._close_continued(cause)
        return self._connection.execute(update(alerts).where(*is_open).values(**changes)).rowcount > 0

    def close_quiet(self, cause: str) -> bool:
        """Close what nothing has happened under for long."""
        return self._is_quiet(cause) and self.close(cause)

    def _is_quiet(self, cause: str) -> bool:
        quiet_since = self._now - timedelta(seconds=QUIET_SECONDS)
        query = select(alerts.c.id).where(alerts.c.cause == cause, alerts.c.closed_at.is_(None))
        return self._connection.execute(query.where(alerts.c.updated_at < quiet_since)).first() is not None

    def _continue(self, cause: str) -> None:
        """A newer alert takes this one's place. Its message stays as it is until that one is solved."""
        query = select(alerts.c.id, alerts.c.content).where(alerts.c.cause == cause, alerts.c.closed_at.is_(None))
        for row in self._connection.execute(query).all():
            changes = {"closed_at": self._now, "is_stale": false(), "content": {**row.content, CONTINUED: True}}
            self._connection.execute(update(alerts).where(alerts.c.id == row.id).values(**changes))

    def _close_continued(self, cause: str) -> None:
        """The messages of earlier alerts of *cause* say that it is solved, too."""
        query = select(alerts.c.id, alerts.c.content).where(alerts.c.cause == cause, alerts.c.closed_at.is_not(None))
        for row in self._connection.execute(query.order_by(alerts.c.id.desc()).limit(EARLIER)).all():
            if row.content.get(CONTINUED):
                content = {name: value for name, value in row.content.items() if name != CONTINUED}
                changes = {"closed_at": self._now, "due_at": self._now, "is_stale": true(), "content": content}
                self._connection.execute(update(alerts).where(alerts.c.id == row.id).values(**changes))

    def open(self, tenant: str | None) -> Sequence[Row[Any]]:
        """The open alerts of a tenant, oldest first; None: of all, and those of the whole installation."""
        rows = self._connection.execute(select(alerts).where(alerts.c.closed_at.is_(None), _is_of(tenant)))
        return sorted(rows, key=lambda row: row.id)

    def claim_due(self, *, limit: int, seconds: float) -> Sequence[Row[Any]]:
        """Alerts that people don't know all of, for one sender at a time for *seconds*."""
        is_unreal = alerts.c.updated_at > self._now + CLOCKS
        is_due = ((alerts.c.due_at <= self._now) | is_unreal) & _HAS_NEWS
        # Put in order here: the database would go through all alerts to find them in order.
        batch = sorted(self._connection.execute(select(alerts.c.id).where(is_due)).scalars())[:limit]
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

    def told(self, alert: Any, *, message_id: str, wait_seconds: float) -> None:
        """The *alert* was sent as it was claimed; the next message is due after *wait_seconds*."""
        is_same = (alerts.c.updated_at == alert.updated_at) & alerts.c.closed_at.is_not_distinct_from(alert.closed_at)
        self._connection.execute(
            update(alerts)
            .where(alerts.c.id == alert.id)
            .values(
                told=alert.occurrences,
                attempts=0,
                message_id=message_id,
                due_at=case((is_same, self._now + timedelta(seconds=wait_seconds)), else_=alerts.c.due_at),
                is_stale=case((is_same, false()), else_=alerts.c.is_stale),
            )
        )

    def not_told(self, alert_id: int, *, attempts: int, wait_seconds: float) -> None:
        self._connection.execute(
            update(alerts)
            .where(alerts.c.id == alert_id)
            .values(attempts=attempts, due_at=self._now + timedelta(seconds=wait_seconds))
        )

    def newest(self, tenant: str | None, *, limit: int, is_open: bool = True) -> Sequence[Row[Any]]:
        """The newest of those that are open, or of those that are solved."""
        if is_open:
            return self.open(tenant)[: -limit - 1 : -1]
        query = select(alerts).where(alerts.c.closed_at.is_not(None), _is_of(tenant))
        return self._connection.execute(
            query.order_by(alerts.c.closed_at.desc(), alerts.c.id.desc()).limit(limit)
        ).all()

    def open_count(self, tenant: str | None) -> int:
        query = select(func.count()).select_from(alerts).where(alerts.c.closed_at.is_(None), _is_of(tenant))
        return self._connection.execute(query).scalar_one()

    def pending_count(self, tenant: str | None) -> int:
        """Alerts that people don't know all of."""
        is_pending = (alerts.c.told < alerts.c.occurrences, _HAS_NEWS, _is_of(tenant))
        query = select(func.count()).select_from(alerts).where(*is_pending)
        return self._connection.execute(query).scalar_one()
