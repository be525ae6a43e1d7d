"""The history of runs, line by line: for people, and to continue a run; no line holds personal data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from crmsync.domain.runs import Run
from crmsync.store.prepared import Prepared
from crmsync.store.rows import Rows
from crmsync.store.run_lists import is_of_tenant
from crmsync.store.tables import history, runs

_NOTE = Prepared(history.insert(), columns=("run_id", "step", "event", "at", "started_at", "detail"))


class History(Rows):
    def note(
        self,
        run: Run,
        event: str,
        *,
        started_at: datetime | None = None,
        detail: str = "",
        skipped: Collection[str] = (),
    ) -> None:
        """Add a line to the run's history; and one for each step after it that was *skipped*, as the store knew it."""
        line = {
            "run_id": run.id,
            "step": run.step,
            "event": event,
            "at": self._now,
            "started_at": started_at,
            "detail": detail[:500],
        }
        of_skipped = ({**line, "step": step, "started_at": self._now, "detail": ""} for step in skipped)
        _NOTE.run(self._connection, line, *of_skipped)

    def forget(self, run_id: str, *, before: datetime) -> None:
        """Drop old lines of a run that repeats for ever."""
        self._connection.execute(history.delete().where(history.c.run_id == run_id, history.c.at < before))

    def of_run(self, run_id: str, *, last: int | None = None) -> Sequence[Row[Any]]:
        """The lines of the run, or only its *last* ones; oldest first."""
        query = select(history).where(history.c.run_id == run_id).order_by(history.c.id.desc()).limit(last)
        return self._connection.execute(query).all()[::-1]

    def of_runs(self, run_ids: Collection[str]) -> dict[str, list[Row[Any]]]:
        """The lines of these runs, oldest first."""
        query = select(history).where(history.c.run_id.in_(run_ids)).order_by(history.c.id)
        found: dict[str, list[Row[Any]]] = {}
        for line in self._connection.execute(query):
            found.setdefault(line.run_id, []).append(line)
        return found

    def last_end(self, tenant: str | None, flow: str, last_step: str, *, source: str = "") -> Row[Any] | None:
        """The line with which the only run of *flow* came to its end the last time; of several the latest.

        *source* is the connection that the run is of, "" for any.
        """
        query = (
            select(history)
            .join(runs, runs.c.id == history.c.run_id)
            .where(runs.c.flow == flow, runs.c.subject_key == flow, is_of_tenant(tenant))
            .where(history.c.step == last_step, history.c.event == "done")
            .order_by(history.c.id.desc())
            .limit(1)
        )
        query = query.where(runs.c.source == source) if source else query
        return self._connection.execute(query).first()
