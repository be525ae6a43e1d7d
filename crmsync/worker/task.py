"""The base class of every step: its message, its claim, its body, and how far one message goes.

message ─▶ claim the run ─▶ body ─▶ done ─▶ the next step's body ─▶ …     as far as this task may go: ahead.py
              │               └──▶ waits, or is dead                      step_end.py
              └──▶ not ours: the message ends         (the sweeper brings the run back when it is due)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from typing import Any, ClassVar, overload

from celery import Task
from celery.exceptions import Ignore

from crmsync import failpoints, log
from crmsync.celery import DEAD_LETTER, app
from crmsync.company import Company
from crmsync.connectors.limits.budget import background
from crmsync.connectors.way_out.lease import deadline
from crmsync.domain.kept import Learned
from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import Message, Run, unclaimed
from crmsync.domain.steps import About
from crmsync.errors import BugError, CrmsyncError, LeaseLostError, NewerReleaseError, NotNowError, StoreUnavailableError
from crmsync.services import Services, services
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters, process_faults, queues, step_end
from crmsync.worker.ahead import Ahead, Onward
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow, L, Result, Step

logger = logging.getLogger(__name__)

Body = Callable[[Attempt], Learned | Mapping[str, Any] | None]
Known = Callable[[Company, UnitOfWork, Run], Learned | None]
Reserves = Callable[[Company, Run], EntryKey | None]

# What an earlier step learned and this one can't read: it meets that itself, and the step before is not blamed for it.
_UNREADABLE = (ArithmeticError, AttributeError, CrmsyncError, LookupError, TypeError, ValueError)
ABOUT = About()
LONG_STEPS = 4  # a step of minutes meets more restarts than one of seconds, and is no poison for it


@overload
def step(flow: Flow, *, queue: str, about: About = ABOUT) -> Callable[[Callable[[Attempt], None]], StepTask[Any]]: ...
@overload
def step(
    flow: Flow,
    *,
    queue: str,
    learns: type[Result],
    known: Known | None = None,
    reserves: Reserves | None = None,
    about: About = ABOUT,
) -> Callable[[Callable[[Attempt], Result | Mapping[str, Any]]], StepTask[Result]]: ...
def step(
    flow: Flow,
    *,
    queue: str,
    learns: type[Any] | None = None,
    known: Known | None = None,
    reserves: Reserves | None = None,
    about: About = ABOUT,
) -> Callable[[Callable[[Attempt], Any]], Any]:
    """Make a step of *flow* of the function: it takes an Attempt and returns what it learned, a value of *learns*.

    A mapping that it returns is what the store holds already, and stays as it is. *known* gives what the step would
    learn where the store knows it already: then the step is not done. *reserves* says which document the step is about
    to make, so that its row is written with the claim; None: none, or not known yet. *about* is for people.
    """

    def register(body: Body) -> StepTask[Any]:
        name = body.__name__
        flow.about[name] = about
        if learns is not None:
            flow.learns[name] = learns
        task: StepTask[Any] = app.task(
            _execute,
            base=StepTask,
            bind=True,
            name=flow.task_name(name),
            queue=queue,
            flow=flow,
            step=name,
            learns=learns,
            body=staticmethod(body),
            known=staticmethod(known) if known else None,
            reserves=staticmethod(reserves) if reserves else None,
        )
        return task

    return register


def _execute(self: StepTask[Any], run_id: str) -> None:
    try:
        self.execute(run_id)
    except Ignore:
        # The chain ends here. Celery tells nobody of a task that is ignored: Flower would show it as running for ever.
        self.request.chain = None


class StepTask(Task, Step[L]):
    """A Celery task with one argument, the run's id. Attempts, waits and results live in the store."""

    abstract = True
    autoretry_for = (CrmsyncError,)  # retry() tells those that the store decided to try again from the others
    retry_backoff = 2  # seconds, doubled each time; the store's decision, where there is one, replaces it
    retry_jitter = False
    max_retries = None  # the store counts attempts: a redelivered message knows nothing of them

    flow: ClassVar[Flow]
    body: ClassVar[Body]
    known: ClassVar[Known | None]
    reserves: ClassVar[Reserves | None]

    def retry(
        self, *args: Any, exc: BaseException | None = None, countdown: float | None = None, **options: Any
    ) -> Any:
        """Wait as long as the store decided; give up where it decided that."""
        wait = step_end.wait_of(exc, countdown)
        if wait is None and exc is not None:
            raise exc
        return super().retry(*args, exc=exc, countdown=wait, **options)

    def execute(self, run_id: str) -> None:
        """Do the step for the run, if it is this step's turn and nobody else is at it; then what may follow at once."""
        with log.bound(run=run_id, step=self.name):
            if (self.request.delivery_info or {}).get("routing_key") == DEAD_LETTER:
                self._replay(run_id)
                raise Ignore
            run = self._claim_of(services(), run_id)
        if run is not None:
            self._go(services(), Onward(self, run))

    def _go(self, using: Services, first: Onward) -> None:
        """Step after step."""
        ahead = Ahead(self.flow, self.request, is_allowed=using.settings.behaviour.run_ahead)
        onward: Onward | None = first
        while onward is not None:
            here, run = onward.task, onward.run
            if here is not self:
                ahead.moved_to(here.step)
            try:
                with log.bound(run=run.id, step=here.name, correlation_id=run.correlation_id):
                    onward = here.attempt(using, onward, ahead)
            except CrmsyncError as error:
                wait = step_end.wait_of(error)
                if here is self or wait is None:
                    raise
                ahead.hand_back(run, self.flow.undone(run.results), countdown=wait)
                return

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

    def attempt(self, using: Services, claimed: Onward, ahead: Ahead) -> Onward | None:
        """One attempt at this step of the run. Returns the next step where this task goes on with it.

        Raises: what step_end raises: the error that Celery is to retry or to show, or Ignore.
        """
        run = claimed.run
        attempt = Attempt(run, using, using.store.clock(), reserved=dict(claimed.reserved), fresh=claimed.fresh)
        failpoints.hit("claimed", self.name)
        try:
            self._stop_poison(attempt)
            if not self.flow.can_read(run):
                raise NewerReleaseError
            kind_of_work = background() if self.flow.is_background else nullcontext()
            with deadline(attempt.calls_end_at(run.updated_at)), kind_of_work:
                learned = as_json(type(self).body(attempt))
            failpoints.hit("answered", self.name)
        except LeaseLostError:
            logger.warning("another worker took the run over", extra={"action": "lease_lost"})
            raise Ignore from None
        except NotNowError as error:
            step_end.postponed(attempt, error)
        except Exception as error:
            attempt.label_fields(error)
            step_end.failed(attempt, error)
        else:
            return step_end.done(attempt, self.flow, learned, ahead)

    def known_to_store(self, company: Company, uow: UnitOfWork, run: Run) -> Mapping[str, Any] | None:
        """What the step would learn; None: it is to be done."""
        known = type(self).known
        with suppress(*_UNREADABLE):
            found = known(company, uow, run) if known else None
            return None if found is None else as_json(found)
        return None

    def about_to_make(self, company: Company, run: Run) -> EntryKey | None:
        """The ledger's row of the document that the step makes, as far as that is known before."""
        reserves = type(self).reserves
        with suppress(*_UNREADABLE):
            return None if reserves is None else reserves(company, run)
        return None

    def _stop_poison(self, attempt: Attempt) -> None:
        """Raises: BugError for a step that took its worker down each time it was started."""
        limit = attempt.services.settings.behaviour.max_starts * (LONG_STEPS if self.flow.is_background else 1)
        if attempt.run.starts > limit:
            raise BugError(f"The step was started {limit} times and never finished.", code="LostWorker")


def as_json(learned: Learned | Mapping[str, Any] | None) -> Mapping[str, Any]:
    return learned.to_json() if isinstance(learned, Learned) else learned or {}
