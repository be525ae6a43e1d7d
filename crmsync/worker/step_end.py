"""How an attempt at a step ends: done, waiting or stopped for good; each in one transaction.

    done     its result is stored, and where the task goes on, the next step claimed and what it makes reserved
    waits    Celery's autoretry, or a due time where the wait is long
    dead     a dead letter, an alert, a message on the queue `dead_letter`

A worker that was overtaken writes nothing but what it knows of documents.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn

from celery.exceptions import Ignore

from crmsync import failpoints, log
from crmsync.company import Company
from crmsync.domain.dead_letters import without_accepted
from crmsync.domain.ledger import Entry, EntryKey
from crmsync.domain.runs import LONG_WAIT_SECONDS, Retry, RetryPolicy, Run, RunStatus, next_try
from crmsync.errors import (
    BugError,
    BusyError,
    CrmsyncError,
    LockedByOtherRunError,
    NotNowError,
    ProcessFaultError,
    WaitsForOtherRunError,
)
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters, letter_alerts, process_faults, shares
from crmsync.worker.ahead import Ahead, NextStep, Onward
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import AGREED, WAS_DISCARDED, Flow

logger = logging.getLogger(__name__)

# They come back again and again, and a history of them would hide what happened.
_UNREMARKABLE = (BusyError, LockedByOtherRunError, WaitsForOtherRunError, ProcessFaultError)


# Done


def done(attempt: Attempt, flow: Flow, learned: Mapping[str, Any], ahead: Ahead) -> Onward | None:
    """Store what the step learned. Returns the next step where this task goes on with it.

    Raises: Ignore where the chain of the message must not go on.
    """
    run = _with_results(attempt)
    undone = [] if attempt.ends_as else flow.undone({**run.results, run.step: learned})
    task = ahead.task_of(undone[0]) if undone else None
    if task is not None:
        return _go_on(attempt, run, learned, _ahead_of(task, undone, ahead))
    _finish(attempt, flow, run, learned, undone)
    if ahead.has_moved or attempt.undoes:  # the message's own chain does not have the steps that were undone
        ahead.hand_back(run, undone)
    return None


def _ahead_of(task: NextStep, undone: Sequence[str], ahead: Ahead) -> list[NextStep]:
    """The next step, and as long as the store itself may know what it would learn, the one after it."""
    tasks = [task]
    for step in undone[1:]:
        following = ahead.task_of(step) if tasks[-1].known is not None else None
        if following is None:
            break
        tasks.append(following)
    return tasks


def _go_on(attempt: Attempt, run: Run, learned: Mapping[str, Any], tasks: Sequence[NextStep]) -> Onward:
    """End this step and claim the next in one transaction, which waits for the disk where that step makes something.

    Raises: Ignore.
    """
    is_durable = any(task.reserves is not None for task in tasks)
    with attempt.services.store.begin(durable=is_durable) as uow:
        attempt.record_outcomes(uow)
        onward = _claim_next(uow, attempt, run, learned, tasks)
    if onward is None:  # after the commit: who was overtaken has still written what it made
        raise Ignore
    failpoints.hit("stored", f"{run.flow}.{run.step}")
    logger.info("step done", extra={"action": "step_done"})
    return onward


def _claim_next(
    uow: UnitOfWork, attempt: Attempt, run: Run, learned: Mapping[str, Any], tasks: Sequence[NextStep]
) -> Onward | None:
    """None: overtaken."""
    known = _known(attempt.company, uow, replace(run, results={**run.results, run.step: learned}), tasks)
    task = tasks[len(known)]
    claimed = uow.runs.finish_and_claim(
        run,
        {run.step: learned, **known},
        next_step=task.step,
        lease_seconds=attempt.services.settings.behaviour.lease_seconds,
        **attempt.described,
    )
    if claimed is None:
        return None
    uow.history.note(run, "done", started_at=attempt.started_at, detail=attempt.remark, skipped=known)
    failpoints.hit("ending", f"{run.flow}.{run.step}")
    _write_rest(uow, attempt)
    return Onward(task, claimed, _reserve(attempt, uow, claimed, task), fresh=frozenset(known))


def _known(company: Company, uow: UnitOfWork, run: Run, tasks: Sequence[NextStep]) -> dict[str, Mapping[str, Any]]:
    """What steps would learn, by step, as far as the store can tell; the last of *tasks* is to be done in any case."""
    known: dict[str, Mapping[str, Any]] = {}
    for task in tasks[:-1]:
        found = task.known_to_store(company, uow, replace(run, results={**run.results, **known}))
        if found is None:
            break
        known[task.step] = found
    return known


def _reserve(attempt: Attempt, uow: UnitOfWork, run: Run, task: NextStep) -> dict[EntryKey, Entry | None]:
    key = task.about_to_make(attempt.company, run)
    if key is None:
        return {}
    return {key: uow.ledger.reserve(key, run.id, certain_at=attempt.certain_at(uow.now))}


def _finish(attempt: Attempt, flow: Flow, run: Run, learned: Mapping[str, Any], undone: Sequence[str]) -> None:
    """End this step, and the run after its last one. Raises: Ignore."""
    pause = timedelta(0) if flow.is_background else attempt.services.settings.behaviour.look_again
    with attempt.services.store.begin(durable=False) as uow:
        attempt.record_outcomes(uow)
        is_ours, begins_again = _end(uow, attempt, flow, run, learned, undone, pause)
        failpoints.hit("ending", f"{run.flow}.{run.step}")
    failpoints.hit("stored", f"{run.flow}.{run.step}")
    if begins_again and not pause:
        dead_letters.best_effort(partial(flow.enqueue, run.id))
    if not (undone or flow.is_background):
        shares.ended(attempt.services, run.source)
    if not is_ours:
        raise Ignore
    logger.info("step done", extra={"action": "step_done"})


def _end(
    uow: UnitOfWork,
    attempt: Attempt,
    flow: Flow,
    run: Run,
    learned: Mapping[str, Any],
    undone: Sequence[str],
    pause: timedelta,
) -> tuple[bool, bool]:
    """Returns whether the step ended here, and whether its run begins again instead of being done."""
    queued_until = uow.now + attempt.services.settings.behaviour.queued_for
    is_ours = uow.runs.finish_step(
        run,
        learned,
        next_step=undone[0] if undone else None,
        queued_until=queued_until,
        ends_as=attempt.ends_as or RunStatus.DONE,
        **attempt.described,
    )
    begins_again = not (is_ours or undone) and _begin_again(uow, attempt, flow, run, learned, pause, queued_until)
    if is_ours or begins_again:
        uow.history.note(run, "done", started_at=attempt.started_at, detail=attempt.remark)
        _write_rest(uow, attempt)
    if is_ours and not undone:
        _settle_letter(uow, attempt)
    return is_ours, begins_again


def _write_rest(uow: UnitOfWork, attempt: Attempt) -> None:
    for key in attempt.gone:
        uow.ledger.gone(key)
    for key in attempt.back:
        uow.ledger.stands_again(key)
    for write in attempt.with_end:
        write(uow)


def _settle_letter(uow: UnitOfWork, attempt: Attempt) -> None:
    is_discarded = attempt.ends_as is RunStatus.DISCARDED
    cause = uow.dead_letters.run_is_done(attempt.run.id, is_discarded=is_discarded)
    letter_alerts.settle(uow, attempt.services.settings, cause)


def _begin_again(
    uow: UnitOfWork,
    attempt: Attempt,
    flow: Flow,
    run: Run,
    learned: Mapping[str, Any],
    pause: timedelta,
    queued_until: datetime,
) -> bool:
    """After a *pause*: who repeats an announcement again and again does not make us ask again and again."""
    due_at = uow.now + pause
    until = due_at if pause else queued_until
    results: dict[str, Any] = {}
    progress: dict[str, Any] = {}
    if flow.source:  # it checks whether what it has done is still right, and does nothing twice
        results = {**run.results, run.step: dict(learned)}
        progress = {AGREED: results.pop(flow.source, None)}
        progress |= {WAS_DISCARDED: True} if attempt.ends_as is RunStatus.DISCARDED else {}
    return uow.runs.begin_again(
        run, first_step=flow.steps[0], results=results, progress=progress, queued_until=until, due_at=due_at
    )


def _with_results(attempt: Attempt) -> Run:
    """The run with what it knows now of the steps before this one."""
    kept = {step: result for step, result in attempt.run.results.items() if step not in attempt.undoes}
    answers = without_accepted(attempt.run.answers, attempt.undoes)
    return replace(attempt.run, results={**kept, **attempt.relearned}, answers=answers)


# Not done


def failed(attempt: Attempt, error: Exception) -> NoReturn:
    """What this process lacks is waited for; all else is the run's. Raises: *error*, or Ignore."""
    fault = process_faults.process_fault(error)
    if fault is not None:
        postponed(attempt, fault)
    elif isinstance(error, CrmsyncError):
        _fail(attempt, error)
    else:
        # Whatever a step did not foresee is a bug; its text may hold a customer's data, so only its place is kept.
        facts = {"action": "bug", "place": log.place_of(error)}
        logger.error("unexpected %s", type(error).__name__, extra=facts)
        name = f"{attempt.run.flow}.{attempt.run.step}"
        _fail(attempt, BugError(f"Unexpected {type(error).__name__} in {name}.", code=type(error).__name__))


def postponed(attempt: Attempt, error: NotNowError) -> NoReturn:
    """Come back later; this was no attempt. Raises: *error*, or Ignore."""
    _release(attempt, error, Retry(error.wait_seconds, is_attempt=False), "waiting")


def _fail(attempt: Attempt, error: CrmsyncError) -> NoReturn:
    """Try again, or bury the run. Raises."""
    behaviour = attempt.services.settings.behaviour
    policy = RetryPolicy(behaviour.max_retries, behaviour.retry_backoff_seconds)
    held = attempt.services.held_seconds(error)
    decision = next_try(error, attempt.run.attempts, policy, held_seconds=held)
    if decision is not None:
        _release(attempt, error, decision, "waiting" if held is not None else "retry")
    if not dead_letters.bury(attempt, error):
        raise Ignore
    shares.ended(attempt.services, attempt.run.source)
    raise _telling(error, None)


def _release(attempt: Attempt, error: CrmsyncError, decision: Retry, event: str) -> NoReturn:
    is_long = decision.wait_seconds > LONG_WAIT_SECONDS
    with attempt.services.store.begin(durable=False) as uow:
        attempt.record_outcomes(uow)
        is_ours = uow.runs.release(
            attempt.run,
            wait_seconds=decision.wait_seconds,
            attempts=attempt.run.attempts + decision.is_attempt,
            queued_for=None if is_long else attempt.services.settings.behaviour.queued_for,
        )
        if is_ours and not isinstance(error, _UNREMARKABLE):
            uow.history.note(attempt.run, event, started_at=attempt.started_at, detail=str(error))
        if isinstance(error, ProcessFaultError):
            process_faults.tell(uow, attempt.services, error)
    logger.info("comes back in %.1f s: %s", decision.wait_seconds, error, extra={"action": event, "error": error.cause})
    if is_long or not is_ours:
        raise Ignore
    raise _telling(error, decision.wait_seconds)


def wait_of(error: BaseException | None, otherwise: float | None = None) -> float | None:
    """In how many seconds the message is to come again; None: it is not."""
    undecided = error.wait_seconds if isinstance(error, NotNowError) else otherwise
    return getattr(error, "retry_in_seconds", undecided)


def _telling(error: CrmsyncError, retry_in_seconds: float | None) -> CrmsyncError:
    """*error* as Celery may show it: with what the store decided, and without its causes, which may hold data."""
    error.retry_in_seconds = retry_in_seconds  # type: ignore[attr-defined]
    error.__cause__, error.__suppress_context__ = None, True
    return error
