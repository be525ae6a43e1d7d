"""A flow: its steps in order, its runs opened, and their messages sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from celery import Task
from celery.utils import uuid
from kombu import Producer
from kombu.exceptions import BatchPublishError, OperationalError

from crmsync.celery import app
from crmsync.company import Company
from crmsync.domain.kept import Learned
from crmsync.domain.runs import Origin, Run, first_undone
from crmsync.domain.steps import About, Calls, title_of
from crmsync.options import Options
from crmsync.services import Services
from crmsync.store import UnitOfWork

FLOWS: dict[str, Flow] = {}


# What the source's step remembers as its progress while it reads the source again.
AGREED = "agreed"  # what it learned before
MAY_MAKE = "may_make"  # a person wants made again what is gone
ASKED_OF = "asked_of"  # what a person was shown, who then said that the run goes on: as in SEEN
WITH_DOCUMENTS = "with_documents"  # a document is not as it was made: check them even if the source did not change
WAS_ASKED = "was_asked"  # a person was asked about its documents, and may have begun to take them back
WAS_DISCARDED = "was_discarded"  # the run was given up, and stays so unless the source has changed
LEFT = "left"  # in SEEN: what is agreed where a person leaves it so, if that is not the deal as it was seen
SEEN = "seen"  # what stopped it, so that a person can leave it so: the deal, its documents, and which are gone

L = TypeVar("L")
Result = TypeVar("Result", bound=Learned)
Results = Mapping[str, Any]  # what a run has learned, by step
Message = tuple["Flow", str, Results]  # the flow and the run whose chain is sent, and what the run has done
Every = Callable[[Options], int]
Finds = Callable[[Services, Company, UnitOfWork], Collection[str]]


class Step(Generic[L]):
    """A step's name, and the class of what it learns."""

    step: str
    learns: type[L]


class Flow:
    """*subject* is what people call what a run is for: "deal".

    A flow that *repeats* brings its subject to the source's present state as often as that changes; one that does not
    does its work once. *rereads* are the steps that a replay does again: those that only read the source; of a flow
    that repeats all of them.
    *source*, of a flow that makes documents, is the step that reads what they are made of: what it learned is agreed,
    and is remembered while the step looks again. Such a run looks again when its source is announced once more.
    A run's subject comes from the connection that fills *subject_role* for a company that *bound_as* is bound for: a
    flow that looks after another goes with that one.
    *every* tells after how many seconds beat starts the flow's only run again (0: never), if its *roles* are
    configured. *finds* tells the sweeper for which subjects there is news in the store. Both kinds of flow work in the
    background, with what the others leave of the call budgets.
    *is_rehearsed*: its steps do nothing but call systems and note what they learn, so that a replay of it can be shown
    before it is done; others enqueue runs as well.
    *title* is for people, "": as it is called in the code. *leads_to* is the flow whose run one of this leads to, and
    *look_calls* are those of checking a run that is done: both for those who ask what a run would cost.
    """

    def __init__(
        self,
        name: str,
        *,
        subject: str,
        steps: Sequence[str],
        rereads: Sequence[str] | None = None,
        source: str = "",
        repeats: bool = False,
        every: Every | None = None,
        finds: Finds | None = None,
        roles: Sequence[str] = (),
        is_rehearsed: bool = False,
        title: str = "",
        leads_to: Flow | None = None,
        look_calls: Calls | None = None,
        subject_role: str = "deals",
        bound_as: str = "order_to_invoice",
    ) -> None:
        self.name = name
        self.subject = subject
        self.steps = tuple(steps)
        if rereads is None:
            rereads = self.steps if repeats else ()
        self.rereads = frozenset(rereads)
        self.source = source
        self.repeats = repeats
        self.every = every
        self.finds = finds
        self.roles = tuple(roles)
        self.is_rehearsed = is_rehearsed
        self.title = title or title_of(name)
        self.leads_to = leads_to
        self.look_calls = look_calls or {}
        self.subject_role = subject_role
        self.bound_as = bound_as
        self.learns: dict[str, type[Learned]] = {}  # by step, as each declares
        self.about: dict[str, About] = {}
        FLOWS[name] = self

    @property
    def may_reread(self) -> bool:
        """Whether a run reads its source once more when that has changed."""
        return self.repeats or bool(self.source)

    @property
    def is_background(self) -> bool:
        return self.every is not None or self.finds is not None

    def about_of(self, step: str) -> About:
        """What *step* says of itself; of one that only another release has, nothing is known."""
        found = self.about.get(step, About())
        title = found.title or title_of(step)
        return replace(found, title=title, doing=found.doing or title)

    def task_name(self, step: str) -> str:
        return f"{self.name}.{step}"

    def origin(self, company: Company) -> Origin:
        """Where the subjects of a company's runs come from."""
        return company.origin(self.subject_role)

    def is_paused(self, company: Company) -> bool:
        """Whether nothing of it is started for a company now."""
        return not {self.name, self.bound_as}.isdisjoint(company.options.paused)

    def company_of(self, using: Services, run: Run) -> Company:
        """What a run of this flow works with."""
        return using.companies.of(run.tenant, self.bound_as, self.subject_role, run.source)

    def run_of(self, uow: UnitOfWork, company: Company, subject_key: str) -> Run | None:
        return uow.runs.of_subject(self.name, self.origin(company).source, subject_key)

    def open_run(
        self,
        uow: UnitOfWork,
        company: Company,
        subject_key: str,
        *,
        correlation_id: str,
        queued_for: timedelta = timedelta(0),
    ) -> tuple[str, bool]:
        """Open the run for *subject_key*, once. Returns its id and whether it is new; enqueue() it after the commit."""
        return self.open_runs(uow, company, [(subject_key, correlation_id)], queued_for=queued_for)[0]

    def open_runs(
        self, uow: UnitOfWork, company: Company, subjects: Sequence[tuple[str, str]], *, queued_for: timedelta
    ) -> list[tuple[str, bool]]:
        """open_run() for each of *subjects*, each with its correlation id."""
        queued_until = uow.now + queued_for
        return uow.runs.start_all(
            self.name, self.origin(company), subjects, step=self.steps[0], queued_until=queued_until
        )

    def enqueue(self, run_id: str, results: Results | None = None) -> None:
        """Send the chain of a run's undone steps. A message lost here is sent again by the sweeper.

        Raises: the broker's connection errors.
        """
        enqueue_all([(self, run_id, results or {})])

    def _first_message(self, run_id: str, results: Results) -> tuple[Task, Any] | None:
        """The first of a run's undone steps, and its message with the others in it; None where nothing is undone.

        The message that chain(...) sends, made by hand: chain() copies every signature several times, which costs a
        webhook more than its two inserts and their commit.
        """
        undone = self.undone(results)
        if not undone:
            return None
        task = app.tasks[self.task_name(undone[0])]
        rest = self.chain(run_id, undone[1:])
        return task, app.amqp.as_task_v2(uuid(), task.name, (run_id,), {}, chain=rest, ignore_result=True)

    def chain(self, run_id: str, steps: Sequence[str], *, countdown: float | None = None) -> list[dict[str, Any]]:
        """The chain of *steps* as a message holds it: backwards. The first of them comes in *countdown* seconds."""
        signatures = [self._signature(step, run_id) for step in reversed(steps)]
        if countdown and signatures:
            signatures[-1]["options"]["countdown"] = countdown
        return signatures

    def _signature(self, step: str, run_id: str) -> dict[str, Any]:
        """An immutable Celery signature, as the data that it is in a message."""
        return {
            "task": self.task_name(step),
            "args": [run_id],
            "kwargs": {},
            "options": {},
            "subtask_type": None,
            "immutable": True,
        }

    def can_read(self, run: Run) -> bool:
        """Whether no newer release has learned anything for the run that this one can't read."""
        found = [(kind, run.results.get(step)) for step, kind in self.learns.items()]
        if self.source in self.learns:
            found.append((self.learns[self.source], run.progress.get(AGREED)))
        return all(kind.can_read(value) for kind, value in found if isinstance(value, Mapping))

    def undone(self, results: Results) -> list[str]:
        return [step for step in self.steps if step not in results]

    def is_complete(self, run: Run) -> bool:
        """Whether the run once came to its end, and nothing of that was undone."""
        return bool(self.source) and self.steps[-1] in run.results

    def reading_of(self, run: Run) -> Mapping[str, Any]:
        """What was last agreed of the source; nothing where it was not read yet, or the flow makes no documents."""
        found = run.results.get(self.source) or run.progress.get(AGREED)
        return found if isinstance(found, Mapping) else {}

    def last_reading(self, run: Run) -> Mapping[str, Any]:
        """What was last read of the source, agreed or not: what stopped the run is not agreed."""
        return run.progress.get(SEEN, {}).get("reading") or self.reading_of(run)

    def replay_from(self, results: Results) -> tuple[str, dict[str, Any]]:
        """Where a replay starts and which results stand: all but what was read from the source."""
        standing = {step: result for step, result in results.items() if step not in self.rereads}
        return first_undone(self.steps, standing) or self.steps[-1], standing


def enqueue_all(messages: Iterable[Message]) -> None:
    """Send the chains of several runs, where the broker allows it in one go.

    Raises: the broker's connection errors; then each of them may have been sent, or not.
    """
    try:
        with app.producer_or_acquire() as producer, producer.batch():
            _send_all(
                producer, filter(None, (flow._first_message(run_id, results) for flow, run_id, results in messages))
            )
    except BatchPublishError as error:
        raise OperationalError(str(error)) from error


def _send_all(producer: Producer, messages: Iterable[tuple[Task, Any]]) -> None:
    """What apply_async() does in the end: looking up where each message goes costs it more than making and sending."""
    declared: set[str] = set()
    with producer.connection._reraise_as_library_errors():
        for task, message in messages:
            declare = () if task.queue in declared else None  # None: the queue, if there is none yet
            app.amqp.send_task_message(
                producer, task.name, message, queue=task.queue, declare=declare, serializer="json", retry=False
            )
            declared.add(task.queue)


def result(run: Run, step: str, kind: type[Result]) -> Result:
    """What *step* has learned, for those who go on with it; read once, however many steps one message does.

    Raises: NewerReleaseError where this release can't read it.
    """
    stored, (before, found) = run.results[step], run.read.get(step, (None, None))
    if stored is not before:
        found = kind.from_json(stored)
        run.read[step] = stored, found
    read: Result = found
    return read


@overload
def learned(run: Run, step: Step[Result]) -> Result | None: ...
@overload
def learned(run: Run, step: str, kind: type[Result]) -> Result | None: ...
def learned(run: Run, step: Step[Result] | str, kind: type[Result] | None = None) -> Result | None:
    """What *step* has learned, for readers that change nothing: None where it has not, or this release can't read it.

    The step is the task, or its name where importing it would be a circle.
    """
    name, learns = (step, kind) if isinstance(step, str) else (step.step, step.learns)
    assert learns is not None  # as the overloads say  # noqa: S101
    return learns.peek(run.results.get(name))


def company_of(using: Services, run: Run) -> Company:
    """What the run works with; that of the environment where only another release has its flow."""
    flow = FLOWS.get(run.flow)
    return flow.company_of(using, run) if flow is not None else using.company()
