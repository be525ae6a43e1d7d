"""The base class of every step: lease, attempt, end; retry by Celery, decided by the store.

message ─▶ claim the run ─▶ body ─▶ finish            the chain goes on
              │               ├──▶ retry              Celery's autoretry, or a due time where the wait is long
              │               └──▶ bury               dead letter + alert + message on `dead_letter`
              └──▶ not ours: the message ends         (the sweeper brings the run back when it is due)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from celery import Task
from celery.exceptions import Ignore

from crmsync import failpoints, log
from crmsync.celery import DEAD_LETTER, app
from crmsync.connectors.budget import background
from crmsync.connectors.lease import deadline
from crmsync.domain.dead_letters import without_accepted
from crmsync.domain.runs import LONG_WAIT_SECONDS, Message, Retry, RetryPolicy, Run, RunStatus, next_try, unclaimed
from crmsync.errors import (
    BugError,
    BusyError,
    CrmsyncError,
    LeaseLostError,
    LockedByOtherRunError,
    NotNowError,
    ProcessFaultError,
    StoreUnavailableError,
    WaitsForOtherRunError,
)
from crmsync.services import Services, services
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters, letter_alerts, process_faults, queues
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import AGREED, WAS_DISCARDED, Flow

logger = logging.getLogger(__name__)

Body = Callable[[Attempt], Mapping[str, Any]]

LONG_STEPS = 4  # a step of minutes meets more restarts than one of seconds, and is no poison for it

# They come back again and again, and a history of them would hide what happened.
_UNREMARKABLE = (BusyError, LockedByOtherRunError, WaitsForOtherRunError, ProcessFaultError)


def step(flow: Flow, *, queue: str) -> Callable[[Body], Task]:
    """Make a step of *flow* of the function: it takes an Attempt and returns what it learned, as JSON."""

    def register(body: Body) -> Task:
        name = body.__name__
        task: Task = app.task(
            _execute,
            base=StepTask,
            bind=True,
            name=flow.task_name(name),
            queue=queue,
            flow=flow,
            step=name,
            body=staticmethod(body),
        )
        return task

    return register


def _execute(self: StepTask, run_id: str) -> None:
    try:
        self.execute(run_id)
    except Ignore:
        # The chain ends here. Celery tells nobody of a task that is ignored: Flower would show it as running for ever.
        self.request.chain = None


class StepTask(Task):
    """A Celery task with one argument, the run's id. Attempts, waits and results live in the store."""

    abstract = True
    autoretry_for = (CrmsyncError,)  # retry() tells those that the store decided to try again from the others
    retry_backoff = 2  # seconds, doubled each time; the store's decision, where there is one, replaces it
    retry_jitter = False
    max_retries = None  # the store counts attempts: a redelivered message knows nothing of them

    flow: ClassVar[Flow]
    step: ClassVar[str]
    body: ClassVar[Body]

    def retry(
        self, *args: Any, exc: BaseException | None = None, countdown: float | None = None, **options: Any
    ) -> Any:
        """Wait as long as the store decided; give up where it decided that."""
        undecided = exc.wait_seconds if isinstance(exc, NotNowError) else countdown
        wait = getattr(exc, "retry_in_seconds", undecided)
        if wait is None and exc is not None:
            raise exc
        return super().retry(*args, exc=exc, countdown=wait, **options)

    def execute(self, run_id: str) -> None:
        """Do the step for the run, if it is this step's turn and nobody else is at it."""
        with log.bound(run=run_id, step=self.name):
            if (self.request.delivery_info or {}).get("routing_key") == DEAD_LETTER:
                self._replay(run_id)
                raise Ignore
            run = self._claim_of(services(), run_id)
            if run is not None:
                with log.bound(correlation_id=run.correlation_id):
                    self._attempt(services(), run)

    def _claim_of(self, using: Services, run_id: str) -> Run | None:
        try:
            run = self._claim(using, run_id)
        except StoreUnavailableError as error:
            process_faults.remember(error)
            raise
        process_faults.tell_remembered(using)
        return run

    def _replay(self, run_id: str) -> None:
        """No message replays a letter, whatever it says, but where a person started a worker for that."""
        if queues.is_replayer:
            dead_letters.replay_message(services(), run_id)
        else:
            logger.warning("a message asked for a replay, and this worker does none", extra={"action": "not_replayed"})

    def _claim(self, using: Services, run_id: str) -> Run | None:
        """The run under our lease; None if the step is done and the chain may go on."""
        with using.store.begin(durable=False) as uow:
            run = uow.runs.claim(
                run_id,
                self.step,
                first_step=self.flow.steps[0],
                lease_seconds=using.settings.behaviour.lease_seconds,
            )
            found = run or uow.runs.get(run_id)
        if found is None:
            logger.warning(
                "a message names a run that the database does not have: does another installation use this broker?",
                extra={"action": "unknown_run"},
            )
        if run is None and unclaimed(found, self.step, self.flow.steps, using.store.clock()) is Message.END:
            raise Ignore
        return run

    def _attempt(self, using: Services, run: Run) -> None:
        attempt = Attempt(run, using, using.store.clock())
        failpoints.hit("claimed", self.name)
        try:
            self._stop_poison(attempt)
            kind_of_work = background() if self.flow.is_background else nullcontext()
            with deadline(attempt.calls_end_at(run.updated_at)), kind_of_work:
                learned = type(self).body(attempt)
            failpoints.hit("answered", self.name)
        except LeaseLostError:
            logger.warning("another worker took the run over", extra={"action": "lease_lost"})
            raise Ignore from None
        except NotNowError as error:
            self._postpone(attempt, error)
        except Exception as error:
            self._end(attempt, error)
        else:
            self._finish(attempt, learned)

    def _end(self, attempt: Attempt, error: Exception) -> None:
        """What this process lacks is waited for; all else is the run's. Raises."""
        fault = process_faults.process_fault(error)
        if fault is not None:
            self._postpone(attempt, fault)
        elif isinstance(error, CrmsyncError):
            self._fail(attempt, error)
        else:
            # Whatever a step did not foresee is a bug; its text may hold a customer's data, so only its place is kept.
            facts = {"action": "bug", "place": log.place_of(error)}
            logger.error("unexpected %s", type(error).__name__, extra=facts)
            bug = BugError(f"Unexpected {type(error).__name__} in {self.name}.", code=type(error).__name__)
            self._fail(attempt, bug)

    def _stop_poison(self, attempt: Attempt) -> None:
        """Raises: BugError for a step that took its worker down each time it was started."""
        limit = attempt.services.settings.behaviour.max_starts * (LONG_STEPS if self.flow.is_background else 1)
        if attempt.run.starts > limit:
            raise BugError(f"The step was started {limit} times and never came to an end.", code="LostWorker")

    def _finish(self, attempt: Attempt, learned: Mapping[str, Any]) -> None:
        behaviour = attempt.services.settings.behaviour
        run = _with_results(attempt)
        undone = [] if attempt.ends_as else self.flow.undone({**run.results, self.step: learned})
        pause = timedelta(0) if self.flow.is_background else behaviour.look_again
        with attempt.services.store.begin(durable=False) as uow:
            attempt.record_confirmed(uow)
            queued_until = uow.now + behaviour.queued_for
            next_step = undone[0] if undone else None
            is_ours = uow.runs.finish_step(
                run,
                learned,
                next_step=next_step,
                queued_until=queued_until,
                ends_as=attempt.ends_as or RunStatus.DONE,
                **attempt.described,
            )
            goes_round = not is_ours and not undone and self._go_round(uow, attempt, learned, pause, queued_until)
            if is_ours or goes_round:
                uow.history.note(run, "done", started_at=attempt.started_at, detail=attempt.remark)
            if is_ours:
                self._settle(uow, attempt, is_done=not undone)
        failpoints.hit("stored", self.name)
        if goes_round and not pause:
            dead_letters.best_effort(partial(self.flow.ring, run.id))
        if not is_ours:
            raise Ignore
        logger.info("step done", extra={"action": "step_done"})
        if attempt.undoes and undone:  # the rest of this chain does not have the steps that were undone
            dead_letters.best_effort(partial(self.flow.ring, run.id, {**run.results, self.step: learned}))
            raise Ignore

    def _settle(self, uow: UnitOfWork, attempt: Attempt, *, is_done: bool) -> None:
        for key in attempt.gone:
            uow.ledger.gone(key)
        for key in attempt.back:
            uow.ledger.stands_again(key)
        if is_done:
            is_discarded = attempt.ends_as is RunStatus.DISCARDED
            cause = uow.dead_letters.run_is_done(attempt.run.id, is_discarded=is_discarded)
            letter_alerts.settle(uow, attempt.services.settings, cause)

    def _go_round(
        self, uow: UnitOfWork, attempt: Attempt, learned: Mapping[str, Any], pause: timedelta, queued_until: datetime
    ) -> bool:
        """After a *pause*: who repeats an announcement again and again does not make us ask again and again."""
        due_at = uow.now + pause
        until = due_at if pause else queued_until
        run, flow = attempt.run, self.flow
        results: dict[str, Any] = {}
        progress: dict[str, Any] = {}
        if flow.source:  # it looks whether what it has done is still right, and does nothing twice
            results = {**_with_results(attempt).results, self.step: dict(learned)}
            progress = {AGREED: results.pop(flow.source, None)}
            progress |= {WAS_DISCARDED: True} if attempt.ends_as is RunStatus.DISCARDED else {}
        return uow.runs.go_round(
            run, first_step=flow.steps[0], results=results, progress=progress, queued_until=until, due_at=due_at
        )

    def _postpone(self, attempt: Attempt, error: NotNowError) -> None:
        """Come back later; this was no attempt. Raises."""
        self._release(attempt, error, Retry(error.wait_seconds, is_attempt=False), "waiting")

    def _fail(self, attempt: Attempt, error: CrmsyncError) -> None:
        """Try again, or bury the run. Raises."""
        behaviour = attempt.services.settings.behaviour
        policy = RetryPolicy(behaviour.max_retries, behaviour.retry_backoff_seconds)
        held = attempt.services.held_seconds(error)
        decision = next_try(error, attempt.run.attempts, policy, held_seconds=held)
        if decision is not None:
            self._release(attempt, error, decision, "waiting" if held is not None else "retry")
        if not dead_letters.bury(attempt, error):
            raise Ignore
        raise _telling(error, None)

    def _release(self, attempt: Attempt, error: CrmsyncError, decision: Retry, event: str) -> None:
        is_long = decision.wait_seconds > LONG_WAIT_SECONDS
        with attempt.services.store.begin(durable=False) as uow:
            attempt.record_confirmed(uow)
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
        logger.info(
            "comes back in %.1f s: %s", decision.wait_seconds, error, extra={"action": event, "error": error.cause}
        )
        if is_long or not is_ours:
            raise Ignore
        raise _telling(error, decision.wait_seconds)


def _with_results(attempt: Attempt) -> Run:
    """The run with what it knows now of the steps before this one."""
    kept = {step: result for step, result in attempt.run.results.items() if step not in attempt.undoes}
    answers = without_accepted(attempt.run.answers, attempt.undoes)
    return replace(attempt.run, results={**kept, **attempt.relearned}, answers=answers)


def _telling(error: CrmsyncError, retry_in_seconds: float | None) -> CrmsyncError:
    """*error* as Celery may show it: with what the store decided, and without its causes, which may hold data."""
    error.retry_in_seconds = retry_in_seconds  # type: ignore[attr-defined]
    error.__cause__, error.__suppress_context__ = None, True
    return error
