"""The rows of runs: who executes them, and how far they are."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, case, false, or_, select, update

from crmsync.domain.runs import CLOCK_SLACK, Origin, Run, RunStatus
from crmsync.store.prepared import Prepared
from crmsync.store.run_lists import Place, RunLists, in_list, is_of_tenant
from crmsync.store.tables import runs

_ACTIVE = RunStatus.ACTIVE.value


def is_free(now: Any) -> ColumnElement[bool]:
    """Whether no worker holds the run."""
    return or_(runs.c.leased_until.is_(None), runs.c.leased_until <= now)


# Built once: these run for every step of every deal.
_CLAIM = (
    update(runs)
    .where(
        runs.c.id == bindparam("run_id"),
        runs.c.step == bindparam("at_step"),
        runs.c.status == _ACTIVE,
        runs.c.due_at <= bindparam("soon"),
        is_free(bindparam("now")),
    )
    .values(
        leased_until=bindparam("until"),
        fence=runs.c.fence + 1,
        starts=runs.c.starts + 1,
        updated_at=bindparam("now"),
        # Whoever reads the source from here on sees what changed before.
        again=case((runs.c.step == bindparam("first_step"), false()), else_=runs.c.again),
    )
    .returning(*runs.c)
)
_FENCED = update(runs).where(runs.c.id == bindparam("run_id"), runs.c.fence == bindparam("held_fence"))
_STEP_ENDS: dict[str, Any] = {"leased_until": None, "attempts": 0, "starts": 0, "progress": {}}


def _new(*columns: str) -> dict[str, Any]:
    return {name: bindparam(f"new_{name}") for name in columns}


_END = _FENCED.values(
    _new("step", "status", "results", "answers", "title", "amount", "currency", "queued_until", "due_at", "updated_at")
    | _new("customer_key")
    | _STEP_ENDS
)
_FINISH = Prepared(_END)
_FINISH_LAST = Prepared(_END.where(runs.c.again.is_(False)))
# The end of a step and the claim of the next one, by the worker that goes on with it.
_FINISH_AND_CLAIM = Prepared(
    _FENCED.values(
        _new("step", "results", "answers", "title", "amount", "currency", "due_at", "updated_at", "customer_key")
        | {**_STEP_ENDS, "starts": 1, "leased_until": bindparam("until"), "fence": runs.c.fence + 1}
    )
)
_BEGIN_AGAIN = Prepared(
    _FENCED.where(runs.c.again.is_(True)).values(
        _STEP_ENDS
        | _new("step", "queued_until", "due_at", "updated_at", "results", "progress")
        | {"again": False, "answers": {}}  # a person has answered for what was, and not for what changed since
    )
)
_RENEW = Prepared(_FENCED.values(leased_until=bindparam("until")))
_PROGRESS = Prepared(_FENCED.values(leased_until=bindparam("until"), progress=bindparam("new_progress")))
_RELEASE = Prepared(
    _FENCED.values(_new("due_at", "queued_until", "attempts", "updated_at") | {"leased_until": None, "starts": 0})
)
_STOP = Prepared(
    _FENCED.values(
        _new("title", "amount", "currency", "updated_at")
        | {"status": RunStatus.STOPPED.value, "leased_until": None, "starts": 0}
    )
)
_GET = select(runs).where(runs.c.id == bindparam("run_id"))


class Runs(RunLists):
    """What a worker writes of its run names the fence under which it holds it; False means: overtaken."""

    def start_all(
        self,
        flow: str,
        origin: Origin,
        subjects: Sequence[tuple[str, str]],
        *,
        step: str,
        queued_until: datetime,
    ) -> list[tuple[str, bool]]:
        """Open the run of *flow* for each of *subjects*, once; each comes with its correlation id.

        Returns the id of each, and whether it is new. All in one go, because each question costs time.
        """
        same: dict[str, Any] = {"flow": flow, "tenant": origin.tenant, "source": origin.source}
        same |= {"status": _ACTIVE, "step": step, "queued_until": queued_until}
        same |= dict.fromkeys(("created_at", "updated_at", "due_at"), self._now)
        rows = [{"id": uuid.uuid4().hex, "subject_key": key, "correlation_id": of, **same} for key, of in subjects]
        new = self._insert_new(rows, runs.c.id)
        known = self._ids(flow, origin.source, [row["subject_key"] for row in rows if row["id"] not in new])
        return [(row["id"], True) if row["id"] in new else (known[row["subject_key"]], False) for row in rows]

    def _ids(self, flow: str, source: str, subject_keys: Collection[str]) -> dict[str, str]:
        if not subject_keys:
            return {}
        query = select(runs.c.subject_key, runs.c.id).where(*_of_subjects(flow, source, subject_keys))
        return dict(self._connection.execute(query).all())

    def get(self, run_id: str) -> Run | None:
        row = self._connection.execute(_GET, {"run_id": run_id}).first()
        return run_of(row) if row is not None else None

    def of_subject(self, flow: str, source: str, subject_key: str) -> Run | None:
        return self.of_subjects(flow, source, [subject_key]).get(subject_key)

    def of_subjects(self, flow: str, source: str, subject_keys: Collection[str]) -> dict[str, Run]:
        """The runs of those subjects of a connection that have one, by subject."""
        query = select(runs).where(*_of_subjects(flow, source, subject_keys))
        return {row.subject_key: run_of(row) for row in self._connection.execute(query)}

    def called(self, tenant: str | None, flow: str, subject_key: str) -> list[Run]:
        """The runs of *flow* for what has this key in any connection of *tenant*; those of the newest first."""
        is_it = and_(runs.c.flow == flow, runs.c.subject_key == subject_key, is_of_tenant(tenant))
        return [run_of(row) for row in self._connection.execute(in_list(select(runs).where(is_it)))]

    def of_account(self, source: str, account: str) -> list[str]:
        """The runs of deals of this customer of the CRM, oldest first."""
        is_it = (runs.c.source == source, runs.c.customer_key == account)
        query = select(runs.c.id).where(*is_it).order_by(runs.c.created_at)
        return list(self._connection.execute(query).scalars())

    def claim(self, run_id: str, step: str, *, lease_seconds: float, first_step: str = "") -> Run | None:
        """Take the lease of a run that stands at *step*, is due and free. None: it is none of these.

        At *first_step* the source is read: what changed before is seen, and need not be read again.
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
        ends_as: RunStatus = RunStatus.DONE,
        title: str | None = None,
        amount: Decimal | None = None,
        currency: str | None = None,
    ) -> bool:
        """Record what the step learned and move on to *next_step*; None: the run is done.

        A run that is to begin again does not end this way: see begin_again().
        """
        return self._write(
            _FINISH if next_step else _FINISH_LAST,
            run,
            {
                "new_step": next_step or run.step,
                "new_status": _ACTIVE if next_step else ends_as.value,
                "new_results": {**run.results, run.step: dict(result)},
                "new_answers": dict(run.answers),
                **_described(run, title, amount, currency),
                "new_customer_key": _customer_key(result) or run.customer_key,
                "new_queued_until": queued_until,
                "new_due_at": self._now,
                "new_updated_at": self._now,
            },
        )

    def finish_and_claim(
        self,
        run: Run,
        learned: Mapping[str, Any],
        *,
        next_step: str,
        lease_seconds: float,
        title: str | None = None,
        amount: Decimal | None = None,
        currency: str | None = None,
    ) -> Run | None:
        """Record what the step learned, and what others did (*learned*, by step), and claim *next_step*.

        Returns the run under the new lease; None: overtaken.
        """
        described = _described(run, title, amount, currency)
        claimed = replace(
            run.at_new_step(next_step, self._now, leased_until=self._now + timedelta(seconds=lease_seconds)),
            results={**run.results, **learned},
            title=described["new_title"],
            amount=described["new_amount"],
            currency=described["new_currency"],
            customer_key=_customer_key(learned[run.step]) or run.customer_key,
        )
        values = {
            "new_step": next_step,
            "new_results": claimed.results,
            "new_answers": dict(run.answers),
            **described,
            "new_customer_key": claimed.customer_key,
            "new_due_at": self._now,
            "new_updated_at": self._now,
            "until": claimed.leased_until,
        }
        return claimed if self._write(_FINISH_AND_CLAIM, run, values) else None

    def begin_again(
        self,
        run: Run,
        *,
        first_step: str,
        queued_until: datetime,
        due_at: datetime | None = None,
        results: Mapping[str, Any] | None = None,
        progress: Mapping[str, Any] | None = None,
    ) -> bool:
        """Begin again, because the source changed meanwhile. False if it did not, or the run is another worker's."""
        values = {"new_step": first_step, "new_queued_until": queued_until, "new_due_at": due_at or self._now}
        values |= {"new_results": dict(results or {}), "new_progress": dict(progress or {})}
        return self._write(_BEGIN_AGAIN, run, {**values, "new_updated_at": self._now})

    def restart(self, run_id: str, *, first_step: str, queued_until: datetime, due_at: datetime | None = None) -> bool:
        """Make a run that is over active again, from its first step on. False if it is not over."""
        forgotten = {"results": {}, "answers": {}, "progress": {}, "is_reduced": False, "again": False}
        over = (RunStatus.DONE, RunStatus.DISCARDED)
        return self._begin_again(run_id, over, due_at, step=first_step, queued_until=queued_until, **forgotten)

    def reread(
        self,
        run: Run,
        *,
        first_step: str,
        results: Mapping[str, Any],
        progress: Mapping[str, Any],
        queued_until: datetime,
        due_at: datetime,
    ) -> bool:
        """Let a run that is over do its first step again, with what it has done. False if it is not over."""
        anew = {"answers": {}, "is_reduced": False, "again": False}
        known = {"results": dict(results), "progress": dict(progress)}
        over = (RunStatus.DONE, RunStatus.DISCARDED)
        return self._begin_again(run.id, over, due_at, step=first_step, queued_until=queued_until, **known, **anew)

    def repeat_at_end(self, run_id: str) -> bool:
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
            {**_described(run, title, amount, currency), "new_updated_at": self._now},
        )

    def reopen(
        self,
        run_id: str,
        *,
        step: str,
        results: Mapping[str, Any],
        answers: Mapping[str, Any],
        progress: Mapping[str, Any],
        due_at: datetime | None = None,
    ) -> bool:
        """Make a stopped run active again at *step*, due now or at *due_at*. Whoever still held it is overtaken."""
        learned = {"results": dict(results), "answers": dict(answers), "progress": dict(progress)}
        return self._begin_again(run_id, (RunStatus.STOPPED,), due_at, step=step, queued_until=None, **learned)

    def _begin_again(
        self, run_id: str, only_from: Collection[RunStatus], due_at: datetime | None, **values: Any
    ) -> bool:
        statement = update(runs).where(runs.c.id == run_id, runs.c.status.in_([each.value for each in only_from]))
        fresh = {"status": _ACTIVE, "attempts": 0, "starts": 0, "leased_until": None, "fence": runs.c.fence + 1}
        at = {"due_at": due_at or self._now, "updated_at": self._now}
        return self._connection.execute(statement.values(**fresh, **at, **values)).rowcount == 1

    def leave(self, run_id: str, *, status: RunStatus, results: Mapping[str, Any]) -> bool:
        """End a stopped run as it is: given up, or done as it was before."""
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status == RunStatus.STOPPED.value)
            .values(
                status=status.value,
                results=dict(results),
                progress={},
                again=False,
                updated_at=self._now,
                fence=runs.c.fence + 1,
            )
        )
        return self._connection.execute(statement).rowcount == 1

    def queued(self, run_id: str, until: datetime | None) -> None:
        """A message for the run was sent (or, None, could not be)."""
        self._connection.execute(update(runs).where(runs.c.id == run_id).values(queued_until=until))

    def newest(
        self,
        tenant: str | None,
        *,
        limit: int,
        status: str | None = None,
        flow: str | None = None,
        without: Collection[str] = (),
        after: Place | None = None,
    ) -> list[Run]:
        """What listed() shows, with all that the runs learned."""
        ids = self._newest(tenant, limit=limit, status=status, flow=flow, without=without, after=after)
        rows = self._connection.execute(in_list(select(runs).where(runs.c.id.in_(ids)))).all() if ids else ()
        return [run_of(row) for row in rows]

    def _write(self, statement: Prepared, run: Run, values: Mapping[str, Any]) -> bool:
        return statement.run(self._connection, {"run_id": run.id, "held_fence": run.fence, **values}) == 1


def _described(run: Run, title: str | None, amount: Decimal | None, currency: str | None) -> dict[str, Any]:
    """What people shall see of the run from now on; None leaves it as it is."""
    return {
        "new_title": run.title if title is None else title[:200],
        "new_amount": run.amount if amount is None else amount,
        "new_currency": run.currency if currency is None else currency,
    }


def _customer_key(learned: Mapping[str, Any]) -> str:
    """The account of a deal that was read: people look for its runs by the customer's number."""
    customer = learned.get("customer")
    return str(customer.get("key") or "")[:40] if isinstance(customer, Mapping) else ""


def _of_subjects(flow: str, source: str, subject_keys: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return runs.c.flow == flow, runs.c.subject_key.in_(subject_keys), runs.c.source == source


def run_of(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    values["status"] = RunStatus(values["status"])
    return Run(**values)
