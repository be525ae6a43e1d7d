"""An inventory carried out in this process: one thread does the steps, another shows their progress.

Both read the store, so it makes no difference whether a worker has taken the run meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from celery.exceptions import Ignore
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from crmsync import log, services
from crmsync.celery import app
from crmsync.cli import screen
from crmsync.company import Company
from crmsync.domain.audit import Act
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.stock import ProductState
from crmsync.errors import CrmsyncError
from crmsync.flows import inventory
from crmsync.reading.stock import inventory_done, only_run, stock_known
from crmsync.reading.telling import outcome
from crmsync.services import Services
from crmsync.worker import starting

if TYPE_CHECKING:
    from crmsync.store import Store

FLOW = inventory.FLOW
LOOK_SECONDS = 0.2
QUEUED_FOR = timedelta(minutes=1)  # no message is needed: this process does the work
ABANDONED_AFTER = timedelta(seconds=30)  # a run that is due for longer has no worker: this process takes it


@dataclass(frozen=True, slots=True)
class Phase:
    """What is to be seen of a step that has begun."""

    step: str
    text: str
    is_done: bool


def carry_out(using: Services, company: Company, who: Act) -> Run:
    """One inventory of *company*, from its beginning to its end, whoever does it; returns how it stands then.

    Raises: ConfigurationError; StoreUnavailableError; KeyboardInterrupt, and the workers have it.
    """
    for role in FLOW.roles:
        company.bound(role).api  # noqa: B018 - says what is not configured
    run_id, is_ours = _begin(using, company, who)
    with _as_this_process(using), _display() as display:
        if not is_ours:
            display.say("An inventory is already running; this is its progress.")
        worker = _Hand(using, run_id, is_ours=is_ours)
        worker.start()
        try:
            return _watch(using, run_id, worker, display)
        finally:
            worker.leave()
            _hand_over(using, run_id)


def _begin(using: Services, company: Company, who: Act) -> tuple[str, bool]:
    """The id of the flow's only run, and whether it begins here; one that is under way is not asked to begin again."""
    with using.store.begin() as uow:
        before = FLOW.run_of(uow, company, FLOW.name)
        if before is not None and before.status.is_active:
            return before.id, False
        correlation_id = log.new_correlation_id()
        to_enqueue = starting.start(uow, FLOW, company, FLOW.name, correlation_id=correlation_id, queued_for=QUEUED_FOR)
        run = FLOW.run_of(uow, company, FLOW.name)
        assert run is not None  # just opened  # noqa: S101
        after = {"flow": FLOW.name, "subject_key": FLOW.name}
        uow.audit.add(who, "run.start", "run", run.id, tenant=run.tenant, after=after)
    return run.id, to_enqueue is not None


def _hand_over(using: Services, run_id: str) -> None:
    """What is not done goes to the workers as soon as this process's lease is over."""
    with using.store.begin(durable=False) as uow:
        run = uow.runs.get(run_id)
        if run is not None and run.status.is_active:
            uow.runs.queued(run_id, None)


@contextmanager
def _as_this_process(using: Services) -> Iterator[None]:
    """Let tasks find *using*, and keep their log lines off the bar."""
    quiet, logger = logging.NullHandler(), logging.getLogger("crmsync")
    before = services.use(using)
    logger.addHandler(quiet)
    try:
        yield
    finally:
        logger.removeHandler(quiet)
        services.use(before)


class _Hand(threading.Thread):
    """Does the run's steps as long as nobody else has it. *failure* is what ended it early."""

    def __init__(self, using: Services, run_id: str, *, is_ours: bool) -> None:
        super().__init__(name="inventory", daemon=True)
        self.failure: Exception | None = None
        self._using = using
        self._run_id = run_id
        self._is_ours = is_ours
        self._is_left = threading.Event()

    def run(self) -> None:
        try:
            while not self._is_left.is_set():
                run = _read(self._using, self._run_id)
                if not run.status.is_active:
                    return
                if self._is_free(run):
                    self._execute(run)
                self._is_left.wait(self._pause(run))
        except Exception as error:  # for the thread that watches
            self.failure = error

    def leave(self) -> None:
        """Begin no further step, and wait for none that is at work."""
        self._is_left.set()
        self.join(timeout=LOOK_SECONDS)

    def _is_free(self, run: Run) -> bool:
        now = self._using.store.clock()
        since = timedelta(0) if self._is_ours else ABANDONED_AFTER
        return not run.is_leased(now) and run.due_at + since <= now

    def _execute(self, run: Run) -> None:
        """What became of it stands in the store: done, parked until its due time, or buried."""
        try:
            app.tasks[FLOW.task_name(run.step)].execute(run.id)
            self._is_ours = True
        except Ignore:
            pass
        except CrmsyncError as error:
            if not hasattr(error, "retry_in_seconds"):
                raise

    def _pause(self, run: Run) -> float:
        """Until a parked run is due; and not at all after a step that was done."""
        now = self._using.store.clock()
        fresh = _read(self._using, run.id)
        if self._is_free(fresh) or not fresh.status.is_active:
            return 0.0
        return min(max(LOOK_SECONDS, (fresh.due_at - now).total_seconds()), 1.0)


def _read(using: Services, run_id: str) -> Run:
    with using.store.read() as uow:
        run = uow.runs.get(run_id)
    assert run is not None  # runs are never deleted  # noqa: S101
    return run


def _watch(using: Services, run_id: str, worker: _Hand, display: Display) -> Run:
    """Raises: what ended the other thread."""
    while True:
        run = _read(using, run_id)
        display.show(phases(run), _waiting(using, run))
        if not run.status.is_active:
            return run
        if worker.failure is not None:
            raise worker.failure
        time.sleep(LOOK_SECONDS)


def phases(run: Run) -> list[Phase]:
    """The steps of *run* that are done or at work, in order."""
    begun = [step for step in FLOW.steps if step in run.results or (step == run.step and run.status.is_active)]
    return [Phase(step, _text(step, run), step in run.results) for step in begun]


def _text(step: str, run: Run) -> str:
    doing, found = FLOW.about_of(step).doing, outcome(run, step)
    return f"{doing}: {found}" if found else doing


def _waiting(using: Services, run: Run) -> str:
    """Why the run stands still, or "" if it does not."""
    now = using.store.clock()
    if not run.status.is_active or run.is_leased(now) or run.due_at <= now:
        return ""
    with using.store.read() as uow:
        said = [line.detail for line in uow.history.of_run(run.id, last=1) if line.event in ("waiting", "retry")]
    return " ".join([*said, f"Continues at {run.due_at:%H:%M:%S} UTC."])


# What is seen


class Display(Protocol):
    def say(self, text: str) -> None:
        """One sentence."""

    def show(self, found: list[Phase], waiting: str) -> None:
        """Show how far the run is."""


@contextmanager
def _display() -> Iterator[Display]:
    out = screen.console(stderr=True)
    if not out.is_terminal:
        yield Lines(out.print)
        return
    columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, BarColumn(bar_width=30), TimeElapsedColumn(), console=out) as progress:
        yield Bars(progress)


class Lines:
    """Progress without a terminal: one line for each phase when it begins and ends, and for each wait."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write
        self._said: set[tuple[str, bool]] = set()
        self._waited = ""

    def say(self, text: str) -> None:
        self._write(text)

    def show(self, found: list[Phase], waiting: str) -> None:
        for phase in found:
            if (phase.step, phase.is_done) not in self._said:
                self._said |= {(phase.step, False), (phase.step, phase.is_done)}
                self._write(phase.text + (", done" if phase.is_done else " …"))
        if waiting and waiting != self._waited:
            self._write(waiting)
        self._waited = waiting


class Bars:
    """Progress in a terminal: one bar for each phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        self._progress.console.print(text)

    def show(self, found: list[Phase], waiting: str) -> None:
        for phase in found:
            if phase.step not in self._bars:
                self._bars[phase.step] = self._progress.add_task(phase.text, total=None)
            bar = self._bars[phase.step]
            text = f"{phase.text}. {waiting}" if waiting and not phase.is_done else phase.text
            self._progress.update(bar, description=text)
            if phase.is_done:
                self._progress.update(bar, total=1, completed=1)


# What came of it


def outcome_of(run: Run, counts: Mapping[str, int]) -> dict[str, Any]:
    """What an inventory did; figures of steps that were not reached are zero."""
    done = inventory_done(run)
    return {
        "run": run.id,
        "status": run.status.value,
        "step": run.step if run.status is not RunStatus.DONE else "",
        "products": counts["active"],
        "products_read": done.read.products,
        "materials": done.stock.materials,
        "newly_unknown": done.stock.unknown,
        "first_unknown": list(done.stock.first_unknown),
        "changed": done.wrote.changed,
        "written": done.wrote.written or 0,
        "refused": done.wrote.refused,
        "newly_refused": done.wrote.newly_refused,
        "newly_low": done.wrote.newly_low,
        "reasons": dict(done.wrote.reasons),
        "lowest": [list(each) for each in done.wrote.lowest],
        "low_unwritten": done.wrote.low_unwritten,
        "low": counts["low"],
        "unknown": counts["unknown"],
    }


def known_stock(
    store: Store, chosen: Collection[str], *, limit: int, tenant: str | None = None, connection: str = ""
) -> dict[str, Any]:
    """What the store knows of the stock of a *tenant*, or of one *connection*: counts, the *chosen* lists, the run."""
    with store.read() as uow:
        known = stock_known(uow, tenant, connection=connection, lists=chosen, limit=limit)
        run = only_run(uow, tenant, connection=connection)
    counts, ended = known.line.counts, known.line.last_done
    return {
        "last_run": outcome_of(run, counts) | {"updated_at": run.updated_at} if run else None,
        "last_success_at": ended.at if ended else None,
        "last_remark": ended.detail if ended else "",
        "counts": counts,
        "lists": {which: [_item(product) for product in products] for which, products in known.lists.items()},
    }


def _item(product: ProductState) -> Mapping[str, Any]:
    """*available* is what was read, *shown* what the CRM says."""
    return {
        "key": product.key,
        "code": product.code,
        "available": product.available,
        "low": product.is_low,
        "shown": product.shown,
        "written": product.is_written and not product.problem,
        "reason": product.problem,
    }
