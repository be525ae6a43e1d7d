"""Runs: who executes them, how far they are, when they are due."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, case, false, func, or_, select, update

from crmsync.domain.runs import CLOCK_SLACK, LONG_WAIT_SECONDS, Run, RunStatus
from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import history, runs

_ACTIVE = RunStatus.ACTIVE.value


def _is_free(now: Any) -> ColumnElement[bool]:
    return or_(runs.c.lease_until.is_(None), runs.c.lease_until <= now)


# Built once: these run for every step of every deal.
_CLAIM = (
    update(runs)
    .where(
        runs.c.id == bindparam("run_id"),
        runs.c.step == bindparam("at_step"),
        runs.c.status == _ACTIVE,
        runs.c.due_at <= bindparam("soon"),
        _is_free(bindparam("now")),
    )
    .values(
        lease_until=bindparam("until"),
        fence=runs.c.fence + 1,
        starts=runs.c.starts + 1,
        updated_at=bindparam("now"),
        # Whoever reads the source from here on sees what changed before.
        again=case((runs.c.step == bindparam("first_step"), false()), else_=runs.c.again),
    )
    .returning(*runs.c)
)
_FENCED = update(runs).where(runs.c.id == bindparam("run_id"), runs.c.fence == bindparam("held_fence"))
_FINISH = _FENCED.values(
    {
        name: bindparam(f"new_{name}")
        for name in ("step", "status", "results", "title", "amount", "currency", "queued_until", "due_at", "updated_at")
    }
    | {"lease_until": None, "attempts": 0, "starts": 0, "progress": {}}
)
_FINISH_LAST = _FINISH.where(runs.c.again.is_(False))
_GO_ROUND = _FENCED.where(runs.c.again.is_(True)).values(
    {name: bindparam(f"new_{name}") for name in ("step", "queued_until", "due_at", "updated_at")}
    | {"lease_until": None, "attempts": 0, "starts": 0, "progress": {}, "results": {}, "again": False}
)
_RENEW = _FENCED.values(lease_until=bindparam("until"))
_PROGRESS = _FENCED.values(lease_until=bindparam("until"), progress=bindparam("new_progress"))
_RELEASE = _FENCED.values(
    {name: bindparam(f"new_{name}") for name in ("due_at", "queued_until", "attempts", "updated_at")}
    | {"lease_until": None, "starts": 0}
)
_STOP = _FENCED.values(
    {name: bindparam(f"new_{name}") for name in ("title", "amount", "currency", "updated_at")}
    | {"status": RunStatus.STOPPED.value, "lease_until": None, "starts": 0}
)
_NOTE = history.insert()
_GET = select(runs).where(runs.c.id == bindparam("run_id"))


class Runs(Rows):
    """What a worker writes of its run names the fence under which it holds it; False means: overtaken."""

    def start(
        self, flow: str, subject_key: str, *, step: str, correlation_id: str, queued_until: datetime
    ) -> tuple[str, bool]:
        """Open the run of *flow* for *subject_key*, once. Returns its id and whether it is new."""
        run_id = uuid.uuid4().hex
        values = {
            "id": run_id,
            "flow": flow,
            "subject_key": subject_key,
            "status": _ACTIVE,
            "step": step,
            "correlation_id": correlation_id,
            "created_at": self._now,
            "updated_at": self._now,
            "due_at": self._now,
            "queued_until": queued_until,
            "fence": 0,
            "attempts": 0,
            "starts": 0,
            "title": "",
            "currency": "",
            "results": {},
            "answers": {},
        }
        if self._insert_once(runs, values):
            return run_id, True
        return self._connection.execute(
            select(runs.c.id).where(runs.c.flow == flow, runs.c.subject_key == subject_key)
        ).scalar_one(), False

    def get(self, run_id: str) -> Run | None:
        row = self._connection.execute(_GET, {"run_id": run_id}).first()
        return run_of(row) if row is not None else None

    def of_subject(self, flow: str, subject_key: str) -> Run | None:
        row = self._connection.execute(
            select(runs).where(runs.c.flow == flow, runs.c.subject_key == subject_key)
        ).first()
        return run_of(row) if row is not None else None

    def of_subjects(self, flow: str, subject_keys: Collection[str]) -> dict[str, Run]:
        """The runs of those subjects that have one, by subject."""
        query = select(runs).where(runs.c.flow == flow, runs.c.subject_key.in_(subject_keys))
        return {row.subject_key: run_of(row) for row in self._connection.execute(query)}

    def claim(self, run_id: str, step: str, *, lease_seconds: float, first_step: str = "") -> Run | None:
        """Take the lease of a run that stands at *step*, is due and free. None: it is none of these.

        At *first_step* the source is read: what changed before is seen, and need not be looked at again.
        """
        row = self._connection.execute(
            _CLAIM,
            {
                "run_id": run_id,
                "at_step": step,
                "first_step": first_step,
                "now": self._now,
                "soon": self._now + CLOCK_SLACK,
                "until": self._now + timedelta(seconds=lease_seconds),
            },
        ).first()
        return run_of(row) if row is not None else None

    def renew_lease(self, run: Run, *, lease_seconds: float) -> bool:
        until = self._now + timedelta(seconds=lease_seconds)
        return self._write(_RENEW, run, {"until": until})

    def record_progress(self, run: Run, progress: Mapping[str, Any], *, lease_seconds: float) -> bool:
        """Write how far the step is, and renew the lease."""
        until = self._now + timedelta(seconds=lease_seconds)
        return self._write(_PROGRESS, run, {"until": until, "new_progress": dict(progress)})

    def finish_step(
        self,
        run: Run,
        result: Mapping[str, Any],
        *,
        next_step: str | None,
        queued_until: datetime,
        title: str | None = None,
        amount: Decimal | None = None,
        currency: str | None = None,
    ) -> bool:
        """Record what the step learned and move on to *next_step*; None: the run is done.

        A run that is to look again does not end so: see go_round().
        """
        return self._write(
            _FINISH if next_step else _FINISH_LAST,
            run,
            {
                "new_step": next_step or run.step,
                "new_status": _ACTIVE if next_step else RunStatus.DONE.value,
                "new_results": {**run.results, run.step: dict(result)},
                "new_title": run.title if title is None else title[:200],
                "new_amount": run.amount if amount is None else amount,
                "new_currency": run.currency if currency is None else currency,
                "new_queued_until": queued_until,
                "new_due_at": self._now,
                "new_updated_at": self._now,
            },
        )

    def go_round(self, run: Run, *, first_step: str, queued_until: datetime, due_at: datetime | None = None) -> bool:
        """Begin again, because the source changed meanwhile. False if it did not, or the run is another worker's."""
        values = {"new_step": first_step, "new_queued_until": queued_until, "new_due_at": due_at or self._now}
        return self._write(_GO_ROUND, run, {**values, "new_updated_at": self._now})

    def wake(self, run_id: str, *, first_step: str, queued_until: datetime, due_at: datetime | None = None) -> bool:
        """Make a run that is over active again, from its first step on. False if it is not over."""
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status.in_((RunStatus.DONE.value, RunStatus.DISCARDED.value)))
            .values(
                status=_ACTIVE,
                step=first_step,
                results={},
                answers={},
                progress={},
                is_reduced=False,
                again=False,
                attempts=0,
                starts=0,
                fence=runs.c.fence + 1,
                lease_until=None,
                due_at=due_at or self._now,
                queued_until=queued_until,
                updated_at=self._now,
            )
        )
        return self._connection.execute(statement).rowcount == 1

    def look_again(self, run_id: str) -> bool:
        """Let an active run begin again when it comes to its end. False if it is not active."""
        statement = update(runs).where(runs.c.id == run_id, runs.c.status == _ACTIVE).values(again=True)
        return self._connection.execute(statement).rowcount == 1

    def release(
        self, run: Run, *, wait_seconds: float, attempts: int, queued_for: timedelta | None = timedelta(seconds=15)
    ) -> bool:
        """Give the lease back and be due again in *wait_seconds*.

        A message comes by itself then, and is believed to be on its way for *queued_for*; None: none comes.
        """
        due_at = self._now + timedelta(seconds=wait_seconds)
        return self._write(
            _RELEASE,
            run,
            {
                "new_due_at": due_at,
                "new_queued_until": due_at + queued_for if queued_for is not None else None,
                "new_attempts": attempts,
                "new_updated_at": self._now,
            },
        )

    def stop(self, run: Run, *, title: str | None, amount: Decimal | None, currency: str | None) -> bool:
        """The run waits for a person."""
        return self._write(
            _STOP,
            run,
            {
                "new_title": run.title if title is None else title[:200],
                "new_amount": run.amount if amount is None else amount,
                "new_currency": run.currency if currency is None else currency,
                "new_updated_at": self._now,
            },
        )

    def reopen(
        self,
        run_id: str,
        *,
        step: str,
        results: Mapping[str, Any],
        answers: Mapping[str, Any],
        due_at: datetime | None = None,
    ) -> bool:
        """Make a stopped run active again at *step*, due now or at *due_at*. Whoever still held it is overtaken."""
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status == RunStatus.STOPPED.value)
            .values(
                status=_ACTIVE,
                step=step,
                results=dict(results),
                answers=dict(answers),
                attempts=0,
                starts=0,
                fence=runs.c.fence + 1,
                lease_until=None,
                due_at=due_at or self._now,
                queued_until=None,
                updated_at=self._now,
            )
        )
        return self._connection.execute(statement).rowcount == 1

    def discard(self, run_id: str) -> bool:
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status == RunStatus.STOPPED.value)
            .values(status=RunStatus.DISCARDED.value, updated_at=self._now, fence=runs.c.fence + 1)
        )
        return self._connection.execute(statement).rowcount == 1

    def queued(self, run_id: str, until: datetime | None) -> None:
        """A message for the run was sent (or, None, could not be)."""
        self._connection.execute(update(runs).where(runs.c.id == run_id).values(queued_until=until))

    def claim_due(self, *, limit: int, queued_until: datetime) -> list[Run]:
        """Runs that are due, free, and that no message is on its way for; they count as queued from here on.

        One that can't be read must not keep the others: it comes without a flow.
        """
        is_due = and_(
            runs.c.status == _ACTIVE,
            runs.c.due_at <= self._now,
            or_(runs.c.queued_until.is_(None), runs.c.queued_until <= self._now),
            _is_free(self._now),
        )
        batch = select(runs.c.id).where(is_due).order_by(runs.c.due_at).limit(limit)
        # The condition stands twice: PostgreSQL checks only the outer one again after it has waited for a row.
        statement = update(runs).where(runs.c.id.in_(batch), is_due).values(queued_until=queued_until)
        ids = list(self._connection.execute(statement.returning(runs.c.id)).scalars())
        return [self._readable(run_id) for run_id in ids]

    def set_right(self, *, lease_seconds: float, queued_for: timedelta) -> int:
        """Take back what a clock that was ahead promised: due times, leases and messages of hours to come.

        A run that was written in the future is due now; a lease or a message is worth no more than one of now. Returns
        how many were set right.
        """
        active, longest = runs.c.status == _ACTIVE, timedelta(seconds=lease_seconds)
        message = timedelta(seconds=LONG_WAIT_SECONDS) + queued_for
        written = update(runs).where(active, runs.c.updated_at > self._now + CLOCKS)
        leased = update(runs).where(active, self._is_unreal(runs.c.lease_until, lease_seconds))
        queued = update(runs).where(active, self._is_unreal(runs.c.queued_until, message.total_seconds()))
        statements = (
            leased.values(lease_until=self._now + longest),
            queued.values(queued_until=None),
            written.values(due_at=self._now, queued_until=None, updated_at=self._now),
        )
        return sum(self._connection.execute(statement).rowcount for statement in statements)

    def postpone(self, run_ids: Collection[str], *, seconds: float) -> None:
        """Let runs that nobody can continue be due again later."""
        later = self._now + timedelta(seconds=seconds)
        self._connection.execute(
            update(runs).where(runs.c.id.in_(run_ids), runs.c.status == _ACTIVE).values(due_at=later, queued_until=None)
        )

    def _readable(self, run_id: str) -> Run:
        try:
            found = self.get(run_id)
        except (ValueError, TypeError):
            found = None
        return found or Run(run_id, "", "", RunStatus.ACTIVE, "", "", self._now, self._now, self._now)

    def note(self, run: Run, event: str, *, started_at: datetime | None = None, detail: str = "") -> None:
        """Add a line to the run's history."""
        self._connection.execute(
            _NOTE,
            {
                "run_id": run.id,
                "step": run.step,
                "event": event,
                "at": self._now,
                "started_at": started_at,
                "detail": detail[:500],
            },
        )

    def last_stopped_attempt_at(self, run_id: str) -> datetime | None:
        """When the attempt began that stopped the run last."""
        of_run = (history.c.run_id == run_id, history.c.event == "stopped")
        query = select(history.c.started_at).where(*of_run).order_by(history.c.id.desc()).limit(1)
        return self._connection.execute(query).scalar()

    def forget_history(self, run_id: str, *, before: datetime) -> None:
        """Drop old lines of a run that repeats for ever."""
        self._connection.execute(history.delete().where(history.c.run_id == run_id, history.c.at < before))

    def history(self, run_id: str) -> Sequence[Row[Any]]:
        return self._connection.execute(select(history).where(history.c.run_id == run_id).order_by(history.c.id)).all()

    def counts(self) -> dict[tuple[str, str], int]:
        """How many runs stand in each (flow, status)."""
        rows = self._connection.execute(
            select(runs.c.flow, runs.c.status, func.count()).group_by(runs.c.flow, runs.c.status)
        )
        return {(flow, status): count for flow, status, count in rows}

    def newest(self, *, limit: int, status: str | None = None) -> list[Run]:
        query = select(runs).order_by(runs.c.created_at.desc()).limit(limit)
        return [
            run_of(row) for row in self._connection.execute(query.where(runs.c.status == status) if status else query)
        ]

    def due_count(self) -> int:
        """How many runs could go on now, whether a message is on its way for them or not."""
        is_due = and_(runs.c.status == _ACTIVE, runs.c.due_at <= self._now, _is_free(self._now))
        return self._connection.execute(select(func.count()).select_from(runs).where(is_due)).scalar_one()

    def tally(self) -> Sequence[Row[Any]]:
        """How many runs stand where (flow, status, step, count), and how many of them a worker holds (leased)."""
        is_leased = case((runs.c.lease_until > self._now, 1))
        place = (runs.c.flow, runs.c.status, runs.c.step)
        query = select(*place, func.count().label("standing"), func.count(is_leased).label("leased"))
        return self._connection.execute(query.group_by(*place)).all()

    def due_since(self) -> dict[str, datetime]:
        """For each flow, since when its longest-waiting run could have gone on and nobody has taken it."""
        is_waiting = and_(runs.c.status == _ACTIVE, runs.c.due_at <= self._now, _is_free(self._now))
        query = select(runs.c.flow, func.min(runs.c.due_at)).where(is_waiting).group_by(runs.c.flow)
        return dict(self._connection.execute(query).all())

    def taken_at(self) -> datetime | None:
        """When a worker last took a run; now, where one holds a run."""
        active = runs.c.status == _ACTIVE
        if self._connection.execute(select(runs.c.id).where(active, runs.c.lease_until > self._now).limit(1)).first():
            return self._now
        ended = select(history.c.at).where(history.c.started_at.is_not(None)).order_by(history.c.id.desc()).limit(1)
        # Who waits for a quota or a lock leaves no line in the history, but a due time after its last change.
        released = select(func.max(runs.c.updated_at)).where(active, runs.c.due_at > runs.c.updated_at)
        found = [self._connection.execute(query).scalar() for query in (ended, released)]
        return max((each for each in found if each is not None), default=None)

    def _write(self, statement: Any, run: Run, values: Mapping[str, Any]) -> bool:
        parameters = {"run_id": run.id, "held_fence": run.fence, **values}
        return self._connection.execute(statement, parameters).rowcount == 1


def run_of(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    values["status"] = RunStatus(values["status"])
    return Run(**values)
