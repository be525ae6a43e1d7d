"""How crmsync's own runs stand: whether all have ended, and which never will."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import StoreUnavailableError
from crmsync.lab.machine import until
from crmsync.lab.prove.stage import Stage
from crmsync.lab.prove.verdict import Expected
from crmsync.reading.runs import run_called
from crmsync.store import UnitOfWork
from crmsync.store.tables import runs

DEALS_FLOW = "order_to_invoice"
MANY = 1000

Stand = tuple[Any, ...]  # flow, subject, status, step, fence


class Watch:
    """Looks at the runs; those that were given up once are not waited for again."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._given_up: set[str] = set()  # ids of runs, and of deals that have none

    def ignore(self, run_ids: Iterable[str]) -> None:
        """Never wait for these."""
        self._given_up |= set(run_ids)

    def until_ended(self, expected: Sequence[Expected], patience_seconds: float) -> list[str]:
        """Wait until every run has ended, those of *expected* well. Returns what is stuck, in sentences.

        Once all were over, a run that is under way was started since: by the sweeper, say. Later cases wait for it.
        """
        were_over = self.wait(expected, patience_seconds)
        return self._stuck(expected, with_active=not were_over)

    def wait(self, expected: Sequence[Expected], patience_seconds: float) -> bool:
        """Wait until every run has ended, or only a person could help it.

        False when no further run has ended for as long as *patience_seconds*: a slow machine has more to do, and is
        not stuck.
        """
        most, is_over = 0, False

        def has_news() -> bool:
            nonlocal most, is_over
            before, most, is_over = most, max(most, self._count_done()), self._is_over(expected)
            return is_over or most > before

        while not is_over and until(has_news, patience_seconds=patience_seconds):
            pass
        return is_over

    def count_since(self, instant: datetime) -> int:
        """How many runs have done something since then."""
        query = select(func.count()).select_from(runs).where(runs.c.updated_at >= instant)
        with self._stage.store.read() as uow:
            return int(uow.connection.execute(query).scalar_one())

    def ended_runs(self) -> Mapping[str, Stand]:
        """How each run stands that has come to its end, by id."""
        query = select(runs.c.id, runs.c.flow, runs.c.subject_key, runs.c.status, runs.c.step, runs.c.fence)
        with self._stage.store.read() as uow:
            rows = uow.connection.execute(query.where(runs.c.status == RunStatus.DONE.value)).all()
        return {row.id: tuple(row[1:]) for row in rows}

    def changed_since(self, before: Mapping[str, Stand]) -> list[str]:
        """Runs that had ended and were written to since, in sentences."""
        now = self.ended_runs()
        return [
            f"a late write changed {flow} {subject}, which had ended"
            for run_id, (flow, subject, *stand) in before.items()
            if now.get(run_id) != (flow, subject, *stand)
        ]

    def _count_done(self) -> int:
        try:
            with self._stage.store.read() as uow:
                counts = uow.runs.counts(None)
        except StoreUnavailableError:
            return 0
        return sum(count for (_, status), count in counts.items() if status == RunStatus.DONE.value)

    def _is_over(self, expected: Sequence[Expected]) -> bool:
        try:
            with self._stage.store.read() as uow:
                return not (self._under_way(uow) or self._without_run(uow, expected))
        except StoreUnavailableError:
            return False

    def _under_way(self, uow: UnitOfWork) -> bool:
        """Whether a run is active, or has stopped of what passes: crmsync lets that go on by itself."""
        if self._unended(uow, RunStatus.ACTIVE):
            return True
        letters = [uow.dead_letters.of_run(run.id) for run in self._unended(uow, RunStatus.STOPPED)]
        return any(letter is not None and letter.is_passing for letter in letters)

    def _unended(self, uow: UnitOfWork, status: RunStatus) -> list[Run]:
        if not any(count for (_, name), count in uow.runs.counts(None).items() if name == status.value):
            return []
        return [run for run in uow.runs.newest(None, limit=MANY, status=status.value) if run.id not in self._given_up]

    def _without_run(self, uow: UnitOfWork, expected: Sequence[Expected]) -> list[str]:
        deals = [each.deal for each in expected if each.deal not in self._given_up]
        return [deal for deal in deals if run_called(uow, None, DEALS_FLOW, deal) is None]

    def _stuck(self, expected: Sequence[Expected], *, with_active: bool) -> list[str]:
        with self._stage.store.read() as uow:
            active = self._unended(uow, RunStatus.ACTIVE) if with_active else []
            stopped = self._unended(uow, RunStatus.STOPPED)
            missing = self._without_run(uow, expected)
            found = [_say_active(run) for run in active] + [_say_stopped(uow, run) for run in stopped]
        self._given_up |= {*missing, *(run.id for run in (*active, *stopped))}
        return found + [f"{deal}: accepted, but it has no run" for deal in missing]


def _say_active(run: Run) -> str:
    lease = f", leased until {run.leased_until:%H:%M:%S}" if run.leased_until else ""
    return (
        f"{run.flow} {run.subject_key} stands at {run.step}: due {run.due_at:%H:%M:%S}{lease}, "
        f"attempts {run.attempts}, starts {run.starts}"
    )


def _say_stopped(uow: UnitOfWork, run: Run) -> str:
    letter = uow.dead_letters.of_run(run.id)
    why = f"{letter.error}: {letter.cause}" if letter else "no dead letter says why"
    return f"{run.flow} {run.subject_key} waits for a person at {run.step}: {why}"
