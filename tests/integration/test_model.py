"""A model of a run's life: two workers that crash, stall and overtake each other, and a vendor that loses answers.

Hypothesis plays the scheduler. Everything but the vendor, the clock and the broker is the real thing: the tasks, the
attempt, the store, the HTTP client with its deadline. A worker is a thread that runs only while it holds the baton; it
hands the baton back around every transaction and in the middle of every call, and may be left there for ever (a
crash), for long (SIGSTOP), or while the other one works.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from celery import Task
from celery.exceptions import Ignore
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crmsync import services as process
from crmsync.celery import app
from crmsync.connectors.kit import http
from crmsync.connectors.way_out import lease
from crmsync.domain.dead_letters import DeadLetter, LetterStatus
from crmsync.domain.ledger import Entry, EntryKey, EntryState, Move
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import CrmsyncError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, UnitOfWork, schema
from crmsync.store.ledger import Ledger
from crmsync.store.prepared import Prepared
from crmsync.store.runs import Runs
from crmsync.store.tables import audit, metadata
from crmsync.worker import attempt as attempts
from crmsync.worker import dead_letters, housekeeping, queues, shares, starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step
from tests.builders import NOW
from tests.fakes import DEFAULT, FakeClock, FakeMessenger, run_of_subject

_FLOW = Flow("modelled", subject="deal", steps=("read", "make", "tell"), rereads=("read",), repeats=True)
ORDER = EntryKey("s4hana", "order", "SF-006xx0000012abcAAA")
CALL_SECONDS = 24  # what a call may take: the vendor commits within it, or never
LAG_SECONDS = 30  # how long the vendor's lists may lag behind: CRMSYNC_SETTLE_SECONDS
CERTAIN_SECONDS = 90  # after the promise of a worker that was never heard of again: its lease and the settle time
SHORT = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, database=None)


# Workers that take turns


class CrashedError(BaseException):
    """The process is gone: nothing of it runs any more."""


class Worker:
    """A thread that runs from pause to pause, only while go_on() waits for it."""

    def __init__(self) -> None:
        self.is_idle = True
        self.is_crashed = False
        self.fence = 0  # the last one it claimed
        self.stall = 0.0  # how long its next transaction takes
        self.answer = Answer.OK  # what its next call hears
        self.has_made = False  # it has heard that the document is made
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)

    def start(self, work: Callable[[], None]) -> None:
        self.is_idle = self.is_crashed = self.has_made = False
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def go_on(self) -> None:
        self._go.release()
        assert self._paused.acquire(timeout=30), "it waits for something that is not the baton"

    def go_on_until(self, is_so: Callable[[], Any]) -> None:
        while not (self.is_idle or is_so()):
            self.go_on()

    def crash(self) -> None:
        self.is_crashed = True
        while not self.is_idle:
            self.go_on()

    def pause(self) -> None:
        if not self.is_crashed:
            self._paused.release()
            self._go.acquire()
        if self.is_crashed:
            raise CrashedError

    def _run(self, work: Callable[[], None]) -> None:
        _current.set(self)
        self._go.acquire()
        try:
            work()
        except CrashedError:
            pass
        finally:
            self.is_idle = True
            self._paused.release()


_current: ContextVar[Worker | None] = ContextVar("current_worker", default=None)


def pause() -> None:
    """Here a worker may be stopped. The machine's own thread, a healthy worker, never is."""
    worker = _current.get()
    if worker is not None:
        worker.pause()


# The vendor, and the wire to it


class Answer(StrEnum):
    OK = "ok"
    LOST = "lost"  # the connection broke: the vendor may still be at it
    UNREACHED = "unreached"  # no byte left
    REFUSED = "422"
    LIMITED = "429"
    ERROR = "500"
    GATEWAY = "504"  # gave up waiting: the vendor may still be at it


@dataclass
class Call:
    """A POST that the vendor received. *made_at* may lie ahead; a document *shows* some time after it was made."""

    sent_at: datetime
    made_at: datetime | None = None
    shows_at: datetime | None = None
    is_over: bool = False  # answered: what is not made by now never will be

    def make(self, at: datetime, lag: float) -> None:
        self.made_at, self.shows_at, self.is_over = at, at + timedelta(seconds=lag), True


class Vendor:
    """Makes documents; nothing stops it from making two."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.looks = 0

    @property
    def documents(self) -> list[Call]:
        return [call for call in self.calls if call.made_at and call.made_at <= self.clock.now]

    @property
    def under_way(self) -> list[Call]:
        return [call for call in self.calls if not call.is_over and self.clock.now <= self._latest(call)]

    def body(self, call: Call) -> dict[str, str]:
        return {"key": str(self.calls.index(call) + 1)}

    def listed(self) -> list[dict[str, str]]:
        return [self.body(call) for call in self.documents if call.shows_at and call.shows_at <= self.clock.now]

    def be_as_slow_as_allowed(self) -> None:
        for call in self.under_way:
            call.make(self._latest(call), LAG_SECONDS)

    def answer(self, call: Call, wanted: Answer) -> Answer:
        """What the caller hears: what is *wanted*, if it can be true."""
        if wanted is Answer.OK and call in self.under_way:
            call.make(self.clock.now, LAG_SECONDS)
        if wanted is Answer.OK and call not in self.documents:
            return Answer.LOST
        if wanted in (Answer.REFUSED, Answer.LIMITED) and call.made_at:
            return Answer.OK
        call.is_over = call.is_over or wanted not in (Answer.LOST, Answer.GATEWAY)
        return wanted

    def _latest(self, call: Call) -> datetime:
        return call.sent_at + timedelta(seconds=CALL_SECONDS)


class Wire:
    """Stands in for a requests session."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor

    def ask(self, method: str, url: str, **_: Any) -> Any:
        """The client has checked its deadline in this very instant.

        So the one case that docs/architecture.md admits is kept out: a worker that is stopped between that check and
        the POST for longer than the call's deadline and the settle time.
        """
        worker = _current.get()
        if worker is not None and worker.answer is Answer.UNREACHED:
            raise requests.exceptions.ConnectTimeout
        exchange = self._post if method == "POST" else self._get
        return exchange(worker)

    def _post(self, worker: Worker | None) -> Any:
        call = Call(self.vendor.clock.now)
        self.vendor.calls.append(call)
        pause()
        heard = self.vendor.answer(call, worker.answer if worker else Answer.OK)
        return _response(heard, self.vendor.body(call))

    def _get(self, worker: Worker | None) -> Any:
        self.vendor.looks += 1
        listed = self.vendor.listed()  # as it is when the question arrives; the answer may take its time
        pause()
        return _response(worker.answer if worker else Answer.OK, listed)


def _response(heard: Answer, body: Any) -> Any:
    if heard in (Answer.LOST, Answer.UNREACHED):
        raise requests.exceptions.ReadTimeout
    chunks = [json.dumps(body).encode()]
    return _Response(200 if heard is Answer.OK else int(heard), chunks)


class _Response:
    headers: Mapping[str, str] = {}
    encoding = "utf-8"

    def __init__(self, status: int, chunks: list[bytes]) -> None:
        self.status_code = status
        self.raw = SimpleNamespace(read1=lambda *_, **__: chunks.pop() if chunks else b"")

    def __enter__(self) -> _Response:
        return self

    def __exit__(self, *_: object) -> None:
        pass


# What the workers work on


class SteppedStore(Store):
    """Hands the baton back around every transaction that may write, and watches what becomes of the run in it."""

    def __init__(self, url: str, *, clock: FakeClock) -> None:
        super().__init__(url, clock=clock)
        self.violations: list[str] = []

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[UnitOfWork]:
        pause()
        with super().begin(durable=durable) as uow:
            before = _run_of(uow)
            yield uow
            worker = _current.get()
            if worker is not None:
                self._watch(worker, before, _run_of(uow), uow.now)
                self.clock.advance(worker.stall)
                worker.stall = 0.0
        pause()

    def _watch(self, worker: Worker, before: Run | None, after: Run | None, now: datetime) -> None:
        assert before is not None
        assert after is not None
        if after.fence > before.fence:
            is_own = before.fence == worker.fence  # it goes on with the next step
            worker.fence = after.fence
            self._expect(is_own or not before.is_leased(now), "claimed a run that another worker holds")
        elif after != replace(before, queued_until=after.queued_until):  # whose run has ended sends others that are due
            self._expect(before.fence == worker.fence, "an overtaken worker wrote")
            self._expect(before.leased_until is not None, "one claim ended twice")

    def _expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.violations.append(otherwise)


def _run_of(uow: UnitOfWork) -> Run | None:
    return run_of_subject(uow, "modelled", "x")


@dataclass
class World:
    """What stays from one example to the next: the database; begin_anew() empties it."""

    services: Services
    store: SteppedStore
    clock: FakeClock
    enqueued: list[str] = field(default_factory=list)
    version: int = 0  # of the source: raised by each change

    def begin_anew(self) -> None:
        self.vendor = Vendor(self.clock)
        self.client = http.VendorClient(
            system="ERP",
            session=Wire(self.vendor),  # type: ignore[arg-type]
            authorizer=None,
            explain=lambda reply: None,
            call_seconds=CALL_SECONDS,
        )
        self.clock.now = NOW
        self.store.violations.clear()
        self.version = 0
        # What a process remembers for some seconds would otherwise depend on the example before.
        self.services.companies.forget()
        shares._shares.clear()
        with self.store.begin() as uow:
            for table in reversed(metadata.sorted_tables):
                if table is not audit:  # of which no row can be deleted; no run writes any
                    uow.connection.execute(table.delete())
        self.change()

    def change(self) -> None:
        self.version += 1
        with self.store.begin() as uow:
            starting.start(uow, _FLOW, DEFAULT, "x", correlation_id="c")

    def read(self, attempt: Attempt) -> Mapping[str, Any]:
        pause()
        seen = self.version
        pause()
        return {"version": seen}

    def make(self, attempt: Attempt) -> Mapping[str, Any]:
        return attempt.create_once(ORDER, find=self._find, create=self._create)

    def _find(self) -> Any:
        return self.client.call("find", "GET", "https://erp.test/orders").body

    def _create(self) -> Any:
        pause()  # signing in comes first, and may be slow
        made = self.client.call("create", "POST", "https://erp.test/orders", json={}).body
        worker = _current.get()
        if worker is not None:
            worker.has_made = True
        return made

    def run(self) -> Run:
        with self.store.read() as uow:
            run = _run_of(uow)
        assert run is not None
        return run

    def letter(self) -> DeadLetter | None:
        with self.store.read() as uow:
            return uow.dead_letters.of_run(self.run().id)

    def entry(self) -> Entry | None:
        with self.store.read() as uow:
            return uow.ledger.get(ORDER)

    def chain(self) -> None:
        """The message that is sent for the run as it stands, and what follows it, as Celery does it."""
        run = self.run()
        run_id, messages = run.id, _FLOW.chain(run.id, _FLOW.undone(run.results))
        while messages:
            messages = self._deliver(app.tasks[messages.pop()["task"]], run_id, messages)

    def _deliver(self, task: Task, run_id: str, chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the chain that the task leaves; none where another message will come."""
        task.push_request(id="m", chain=chain)
        try:
            task.execute(run_id)
            return list(task.request.chain or ())
        except (Ignore, CrmsyncError):
            return []
        finally:
            task.pop_request()

    def sweep(self) -> None:
        housekeeping.enqueue_due(self.services, self.services.settings.behaviour.queued_for)
        while self.enqueued:
            self.enqueued.clear()
            self.chain()

    def replay(self) -> None:
        letter = self.letter()
        if letter is not None and letter.status is LetterStatus.WAITING:
            dead_letters.replay(self.services, letter.id, by="a person")


_bodies: dict[str, Callable[[Attempt], Mapping[str, Any]]] = {}


@step(_FLOW, queue="erp")
def read(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["read"](attempt)


@step(_FLOW, queue="erp", reserves=lambda company, run: ORDER)
def make(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["make"](attempt)


@step(_FLOW, queue="erp")
def tell(attempt: Attempt) -> Mapping[str, Any]:
    return {}


@pytest.fixture(params=[True, False], ids=["ahead", "a_message_a_step"])
def world(database_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[World]:
    """In both ways in which workers go through a run."""
    monkeypatch.setattr(queues, "consumed", frozenset({"erp"}) if request.param else frozenset())
    clock = FakeClock()
    store = SteppedStore(database_url, clock=clock)
    schema.migrate(store)
    made = World(Services(Settings.from_env({}), store, messenger=FakeMessenger()), store, clock)
    _bodies.update(read=made.read, make=made.make)
    for module in (http, lease, attempts):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now.timestamp()))
    monkeypatch.setattr(_FLOW, "enqueue", lambda run_id, results=None: made.enqueued.append(run_id))
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    before = process.use(made.services)
    yield made
    process.use(before)
    store.close()


# The machine

workers = st.sampled_from((0, 1))
seconds = st.sampled_from((1, 2, 5, 10, 23, 30, 55, 61, 90))


class Life(RuleBasedStateMachine):
    world: World

    @initialize()
    def begin(self) -> None:
        self.world.begin_anew()
        self.workers = [Worker(), Worker()]
        self.fence = 0
        self.confirmed: Entry | None = None

    @rule(which=workers, pauses=st.integers(1, 8), answer=st.sampled_from(Answer))
    def goes_on(self, which: int, pauses: int, answer: Answer) -> None:
        worker = self.workers[which]
        worker.answer = answer
        if worker.is_idle:
            worker.start(self.world.chain)  # a message has come
        for _ in range(pauses):
            if not worker.is_idle:
                worker.go_on()

    @precondition(lambda self: self.is_any_busy())
    @rule(which=workers, stall=seconds)
    def stalls_in_its_transaction(self, which: int, stall: int) -> None:
        if not self.workers[which].is_idle:
            self.workers[which].stall = stall
            self.workers[which].go_on()

    @precondition(lambda self: self.is_any_busy())
    @rule(which=workers)
    def crashes(self, which: int) -> None:
        self.workers[which].crash()

    @rule(passed=seconds)
    def time_passes(self, passed: int) -> None:
        self.world.clock.advance(passed)

    @precondition(lambda self: self.world.vendor.under_way)
    @rule(lag=st.sampled_from((0, 10, LAG_SECONDS)))
    def the_vendor_makes_it(self, lag: int) -> None:
        self.world.vendor.under_way[0].make(self.world.clock.now, lag)

    @precondition(lambda self: self.world.version < 3)
    @rule()
    def the_source_changes(self) -> None:
        self.world.change()

    @precondition(lambda self: self.world.run().status is RunStatus.STOPPED)
    @rule()
    def a_person_replays(self) -> None:
        self.world.replay()

    @invariant()
    def there_is_at_most_one_document(self) -> None:
        assert len(self.world.vendor.documents) <= 1

    @invariant()
    def only_who_holds_the_run_writes_it_and_once(self) -> None:
        assert self.world.store.violations == []

    @invariant()
    def fences_only_grow(self) -> None:
        fence = self.world.run().fence
        assert fence >= self.fence
        self.fence = fence

    @invariant()
    def what_is_confirmed_exists_and_stays(self) -> None:
        entry = self.world.entry()
        assert self.confirmed in (None, entry)
        if entry is not None and entry.state is EntryState.CONFIRMED:
            assert entry.document in map(self.world.vendor.body, self.world.vendor.documents)
            self.confirmed = entry

    @invariant()
    def what_a_worker_heard_is_written_whoever_has_the_run_by_now(self) -> None:
        entry = self.world.entry()
        is_known = entry is not None and entry.state is EntryState.CONFIRMED
        assert is_known or not any(each.has_made and each.is_idle and not each.is_crashed for each in self.workers)

    @invariant()
    def no_run_is_lost(self) -> None:
        run, letter = self.world.run(), self.world.letter()
        is_waiting = letter is not None and letter.status is LetterStatus.WAITING
        assert is_waiting == (run.status is RunStatus.STOPPED)
        assert letter is None or "Unexpected" not in letter.cause

    @invariant()
    def a_run_that_is_over_has_seen_the_last_change(self) -> None:
        run = self.world.run()
        if run.status is RunStatus.DONE:
            assert run.results["read"] == {"version": self.world.version}

    def is_any_busy(self) -> bool:
        return not all(worker.is_idle for worker in self.workers)

    def teardown(self) -> None:
        """Whatever has happened: time and one healthy worker bring it to its end, and late comers change nothing."""
        try:
            if not self.world.store.violations:
                self._heal()
                self._let_the_others_go_on()
                self._check_end()
        finally:
            for worker in self.workers:
                worker.crash()

    def _heal(self) -> None:
        self.world.vendor.be_as_slow_as_allowed()
        for _ in range(60):
            if self.world.run().status is RunStatus.DONE:
                return
            self.world.clock.advance(15)
            self.world.replay()
            self.world.sweep()

    def _let_the_others_go_on(self) -> None:
        for worker in self.workers:
            worker.answer = Answer.OK
            worker.go_on_until(lambda: False)

    def _check_end(self) -> None:
        assert self.world.run().status is RunStatus.DONE
        assert len(self.world.vendor.documents) == 1
        self.what_is_confirmed_exists_and_stays()
        self.only_who_holds_the_run_writes_it_and_once()
        assert self.confirmed is not None


def live(world: World, how: settings) -> None:
    machine = type("Life", (Life,), {"world": world})
    run_state_machine_as_test(machine, settings=how)


def test_no_interleaving_doubles_or_loses_anything(world: World) -> None:
    live(world, SHORT)


# What it found, in the fewest words


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    """It has a message."""
    world.begin_anew()
    made = Worker()
    made.start(world.chain)
    yield made
    made.crash()


def test_a_worker_stopped_right_after_its_promise_does_not_send_when_its_time_is_over(
    world: World, worker: Worker
) -> None:
    """Its time counts from the lease that it renewed with the promise, not from when it could go on."""
    worker.go_on_until(world.entry)
    world.clock.advance(CERTAIN_SECONDS + 1)
    world.sweep()  # another worker looks, finds nothing, and makes it
    assert len(world.vendor.documents) == 1

    worker.go_on_until(lambda: False)

    assert len(world.vendor.documents) == 1


@pytest.mark.parametrize("world", [False], indirect=True)
def test_a_commit_that_takes_long_uses_up_the_time_to_send(world: World, worker: Worker) -> None:
    worker.go_on_until(lambda: world.run().step == "make" and world.run().leased_until)
    worker.stall = 40
    worker.go_on_until(world.entry)

    world.clock.advance(15)
    worker.go_on_until(lambda: world.vendor.calls)

    assert world.vendor.calls == [], "55 of the lease's 60 seconds are over"


@pytest.mark.parametrize("world", [True], indirect=True)
def test_a_transaction_that_takes_long_uses_up_the_time_of_the_next_step(world: World, worker: Worker) -> None:
    """The next step's lease, and its promise, count from the beginning of that transaction."""
    worker.go_on_until(lambda: world.run().leased_until)
    worker.go_on()  # reads the source
    worker.go_on()
    worker.stall = 40
    worker.go_on_until(world.entry)

    world.clock.advance(15)
    worker.go_on_until(lambda: world.vendor.calls or world.run().leased_until is None)

    assert world.vendor.calls == [], "55 of the lease's 60 seconds are over"


def test_a_look_proves_nothing_of_what_came_after_it(world: World, worker: Worker) -> None:
    """The document shows up while the vendor's answer to the look, that it is not there, is on its way."""
    worker.answer = Answer.LOST
    worker.go_on_until(lambda: world.vendor.calls)
    world.vendor.be_as_slow_as_allowed()  # shows after 54 s, which is when absence would be certain
    worker.go_on_until(lambda: False)

    world.clock.advance(CALL_SECONDS + LAG_SECONDS - 1)
    worker.answer = Answer.OK
    worker.start(world.chain)
    worker.go_on_until(lambda: world.vendor.looks)
    world.clock.advance(2)
    worker.go_on_until(lambda: False)

    assert len(world.vendor.documents) == 1


# The machine can fail


def no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "reserve", lambda *_, **__: None)


def no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "next_move", lambda entry: Move.SEND)


def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: Runs, statement: Prepared, run: Run, values: Mapping[str, Any]) -> bool:
        held = self.get(run.id)
        assert held is not None
        return statement.run(self._connection, {"run_id": run.id, "held_fence": held.fence, **values}) == 1

    monkeypatch.setattr(Runs, "_write", write)


Sabotage = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("sabotage", [no_ledger, no_look, no_fence])
def test_what_protects_is_missed_when_it_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage
) -> None:
    sabotage(monkeypatch)
    quick = settings(SHORT, phases=[Phase.generate], max_examples=500, report_multiple_bugs=False)

    with pytest.raises(AssertionError):
        live(world, settings(quick, suppress_health_check=list(HealthCheck)))
