"""Runs that check their subject again: their source has changed, or their time has come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from crmsync.company import Company
from crmsync.domain.dead_letters import DeadLetter, LetterKind
from crmsync.domain.runs import RunStatus
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters
from crmsync.worker.flow import AGREED, WAS_DISCARDED, WITH_DOCUMENTS, Flow, Results

REMEMBERED = timedelta(days=7)
CLOCKS = timedelta(minutes=5)  # a period that begins later than this was counted by a wrong clock

ToEnqueue = tuple[str, Results]  # a run, and what it has done


def start(
    uow: UnitOfWork,
    flow: Flow,
    company: Company,
    subject_key: str,
    *,
    correlation_id: str,
    queued_for: timedelta = timedelta(0),
    pause: timedelta = timedelta(0),
) -> ToEnqueue | None:
    """The source of a company's *subject_key* has changed: open its run, let it go on, or let it check again.

    Pass what is returned to enqueue(). None: nothing to enqueue. The run is under way, and repeats at its end; or it
    waits for a person, whom this does not concern; or it has checked less than *pause* ago, and the sweeper brings it
    when that is over: whoever repeats an announcement does not decide how often we ask the source.
    """
    subjects = [(subject_key, correlation_id)]
    return start_all(uow, flow, company, subjects, queued_for=queued_for, pause=pause)[0]


def start_all(
    uow: UnitOfWork,
    flow: Flow,
    company: Company,
    subjects: Sequence[tuple[str, str]],
    *,
    queued_for: timedelta,
    pause: timedelta,
) -> list[ToEnqueue | None]:
    """start() for each of *subjects*, each with its correlation id."""
    opened = flow.open_runs(uow, company, subjects, queued_for=queued_for)
    return [
        (run_id, {}) if is_new else _start_known(uow, flow, run_id, queued_for=queued_for, pause=pause)
        for run_id, is_new in opened
    ]


def _start_known(
    uow: UnitOfWork, flow: Flow, run_id: str, *, queued_for: timedelta, pause: timedelta
) -> ToEnqueue | None:
    # In this order: a run that ends between the two questions is found at its end. The other way round it is found
    # at work, then not at work, and nobody checks.
    if flow.may_reread and uow.runs.repeat_at_end(run_id):
        return None
    due_at = _not_before(uow, run_id, pause)
    if flow.repeats and _begin_again(uow, flow, run_id, due_at, queued_for):
        return (run_id, {}) if due_at <= uow.now else None
    if flow.source and (results := _reread(uow, flow, run_id, due_at, queued_for)) is not None:
        return (run_id, results) if due_at <= uow.now else None
    letter = uow.dead_letters.of_run(run_id)
    if letter is not None and letter.failures == 1:  # it is news that its source was corrected
        due_at = uow.now
    kinds = tuple(LetterKind) if flow.repeats else _concerned(flow, letter)
    results = dead_letters.revive(uow, run_id, kinds=kinds, due_at=due_at)
    return None if results is None or due_at > uow.now else (run_id, results)


def _concerned(flow: Flow, letter: DeadLetter | None) -> tuple[LetterKind, ...]:
    """What a change of the source may settle: bad data, and what a person was asked about the source itself."""
    is_about_source = letter is not None and letter.step == flow.source
    return (LetterKind.DATA, LetterKind.REVIEW) if is_about_source else (LetterKind.DATA,)


def enqueue(flow: Flow, to_enqueue: ToEnqueue | None) -> None:
    """Send the message of a run of *flow* that was started, once that is committed; else the sweeper brings the run."""
    if to_enqueue is not None:
        dead_letters.best_effort(partial(flow.enqueue, *to_enqueue))


def check_documents(uow: UnitOfWork, flow: Flow, run_id: str, *, queued_for: timedelta) -> ToEnqueue | None:
    """A document of the run is not as it was made: check all of them, and ask a person. enqueue() what is returned.

    None: the run is not done, and checks them by itself when it goes on.
    """
    run = uow.runs.get(run_id)
    if run is None or run.status is not RunStatus.DONE:
        return None
    results = _reread(uow, flow, run_id, uow.now, queued_for, **{WITH_DOCUMENTS: True})
    return None if results is None else (run_id, results)


def _reread(
    uow: UnitOfWork, flow: Flow, run_id: str, due_at: datetime, queued_for: timedelta, **remembered: Any
) -> Results | None:
    """Let a run that is over read its source again; what it has done stands. None if it is not over."""
    run = uow.runs.get(run_id)
    if run is None or run.status not in (RunStatus.DONE, RunStatus.DISCARDED):
        return None
    results = {step: result for step, result in run.results.items() if step != flow.source}
    progress = {AGREED: dict(flow.reading_of(run)), **remembered}
    if run.status is RunStatus.DISCARDED:
        progress[WAS_DISCARDED] = True
        uow.dead_letters.take_up(run_id)
    queued_until = uow.now + queued_for if due_at <= uow.now else due_at
    is_ours = uow.runs.reread(
        run, first_step=flow.steps[0], results=results, progress=progress, queued_until=queued_until, due_at=due_at
    )
    return results if is_ours else None


def _not_before(uow: UnitOfWork, run_id: str, pause: timedelta) -> datetime:
    """When the run may check again: *pause* after it came to its end, and never later than *pause* from now."""
    run = uow.runs.get(run_id) if pause else None
    return uow.now if run is None else min(max(uow.now, run.updated_at + pause), uow.now + pause)


def _begin_again(uow: UnitOfWork, flow: Flow, run_id: str, due_at: datetime, queued_for: timedelta) -> bool:
    queued_until = uow.now + queued_for if due_at <= uow.now else due_at
    return uow.runs.restart(run_id, first_step=flow.steps[0], queued_until=queued_until, due_at=due_at)


def start_period(
    uow: UnitOfWork, flow: Flow, company: Company, seconds: int, *, correlation_id: str, queued_for: timedelta
) -> ToEnqueue | None:
    """Start the company's only run of the flow for the period that *now* lies in, once, whoever asks.

    Pass what is returned to enqueue(). None: the period has its run; or the last one is still at work, and this period
    goes without; or it is the first that crmsync sees, of which the beginning is over.
    """
    name = f"period.{flow.name}.{flow.origin(company).source}.{seconds}"
    period = period_of(uow.now, seconds)
    unreal = period_of(uow.now + CLOCKS, seconds) + 1
    if uow.facts.set_once(name, str(period)) == str(period) or not uow.facts.advance(name, period, unreal=unreal):
        return None
    run = flow.run_of(uow, company, flow.name)
    if run is not None and run.status.is_active:
        return None
    if run is not None:
        uow.history.forget(run.id, before=uow.now - REMEMBERED)
    return start(uow, flow, company, flow.name, correlation_id=correlation_id, queued_for=queued_for)


def period_of(now: datetime, seconds: int) -> int:
    """The number of the period of *seconds*; hours begin at the full hour."""
    return int(now.timestamp()) // seconds
