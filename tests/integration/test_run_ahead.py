"""How far one message goes: the steps that follow in the same task, and what is handed back to Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Task
from celery.worker import state
from sqlalchemy import Connection, text

from crmsync.celery import app
from crmsync.company import Company
from crmsync.domain.ledger import EntryKey, EntryState
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import (
    AmountMismatchError,
    BugError,
    BusyError,
    OutcomeSettlingError,
    RateLimitedError,
    StoreUnavailableError,
    VendorUnavailableError,
)
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import UnitOfWork
from crmsync.store.ledger import Ledger
from crmsync.store.tables import runs
from crmsync.worker import ahead, dead_letters, housekeeping, queues
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step
from tests.fakes import DEFAULT, FakeClock

Body = Callable[[Attempt], Mapping[str, Any]]

KEY = EntryKey("s4hana", "order", "SF-006xx0000012abcAAA")
_FLOW = Flow("ahead", subject="deal", steps=("read", "match", "make", "tell"))
_BACKGROUND = Flow("behind", subject="products", steps=("look", "note"), every=lambda behaviour: 60)
_bodies: dict[str, Body] = {}
_known: dict[str, Mapping[str, Any]] = {}  # what the store knows of customers


def _known_customer(company: Company, uow: UnitOfWork, run: Run) -> Mapping[str, Any] | None:
    return _known.get(run.subject_key)


@step(_FLOW, queue="crm")
def read(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["read"](attempt)


@step(_FLOW, queue="erp", known=_known_customer)
def match(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["match"](attempt)


@step(_FLOW, queue="erp", reserves=lambda company, run: KEY)
def make(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["make"](attempt)


@step(_FLOW, queue="books")
def tell(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["tell"](attempt)


@step(_BACKGROUND, queue="crm")
def look(attempt: Attempt) -> Mapping[str, Any]:
    return {}


@step(_BACKGROUND, queue="crm")
def note(attempt: Attempt) -> Mapping[str, Any]:
    return {}


class WorkerKilledError(BaseException):
    """The process is gone."""


class Visited(list[str]):
    """The steps whose bodies ran, in order."""


@pytest.fixture(autouse=True)
def visited() -> Iterator[Visited]:
    """By default each step learns nothing, and `make` makes its document."""
    found = Visited()

    def body(attempt: Attempt) -> Mapping[str, Any]:
        found.append(attempt.run.step)
        return create(attempt) if attempt.run.step == "make" else {}

    _bodies.update(dict.fromkeys(_FLOW.steps, body))
    yield found
    _bodies.clear()
    _known.clear()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of all queues, and a broker that takes everything."""
    monkeypatch.setattr(queues, "consumed", frozenset({"crm", "erp", "books"}))
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)


@pytest.fixture
def run_id(services: Services) -> str:
    with services.store.begin() as uow:
        return _FLOW.open_run(uow, DEFAULT, "006xx0000012abcAAA", correlation_id="c")[0]


def create(attempt: Attempt) -> Mapping[str, Any]:
    return attempt.create_once(KEY, find=list, create=lambda: {"number": "1"})


def deliver(task: Task, run_id: str, flow: Flow = _FLOW) -> list[dict[str, Any]]:
    """Let a worker execute the message of *task*. Returns the chain that Celery sends then."""
    steps = flow.steps[flow.steps.index(task.step) + 1 :]
    task.push_request(id="m", called_directly=False, retries=0, chain=flow.chain(run_id, steps))
    try:
        task.run(run_id)
        return list(task.request.chain or ())
    finally:
        task.pop_request()


def named(chain: list[dict[str, Any]]) -> list[str]:
    return [signature["task"].partition(".")[2] for signature in reversed(chain)]


def get(services: Services, run_id: str) -> Run:
    with services.store.read() as uow:
        run = uow.runs.get(run_id)
    assert run is not None
    return run


def raises(error: BaseException) -> Body:
    def body(attempt: Attempt) -> Mapping[str, Any]:
        raise error

    return body


def entry_state(services: Services) -> EntryState | None:
    with services.store.read() as uow:
        entry = uow.ledger.get(KEY)
    return entry.state if entry else None


def test_one_message_does_all_steps_and_leaves_none(services: Services, run_id: str, visited: Visited) -> None:
    left = deliver(read, run_id)

    assert (visited, left) == (list(_FLOW.steps), [])
    assert get(services, run_id).status is RunStatus.DONE


def test_the_history_stays_a_line_a_step(services: Services, run_id: str) -> None:
    deliver(read, run_id)

    with services.store.read() as uow:
        lines = [(line.step, line.event) for line in uow.history.of_run(run_id)]
    assert lines == [(step, "done") for step in _FLOW.steps]


def test_what_a_step_learned_reaches_the_next(services: Services, run_id: str) -> None:
    _bodies["read"] = lambda attempt: {"name": "200 sensors"}
    _bodies["match"] = lambda attempt: dict(attempt.run.results["read"])

    deliver(read, run_id)

    assert get(services, run_id).results["match"] == {"name": "200 sensors"}


def test_a_step_that_must_wait_is_handed_back_with_its_time(
    services: Services, run_id: str, visited: Visited, clock: FakeClock
) -> None:
    _bodies["make"] = raises(VendorUnavailableError(system="SAP"))

    left = deliver(read, run_id)

    run = get(services, run_id)
    assert (visited, named(left)) == (["read", "match"], ["make", "tell"])
    assert (run.step, run.attempts, run.leased_until) == ("make", 1, None)
    assert clock.now + timedelta(seconds=left[-1]["options"]["countdown"]) == run.due_at
    assert "countdown" not in left[0]["options"]


def test_a_step_without_a_slot_is_handed_back(services: Services, run_id: str) -> None:
    _bodies["match"] = raises(BusyError("All are taken.", wait_seconds=1, system="SAP"))

    left = deliver(read, run_id)

    assert (named(left), left[-1]["options"]) == (["match", "make", "tell"], {"countdown": 1})
    assert get(services, run_id).attempts == 0


def test_a_long_wait_is_left_to_the_store(services: Services, run_id: str) -> None:
    _bodies["match"] = raises(RateLimitedError(retry_after_seconds=900))

    assert deliver(read, run_id) == []
    assert get(services, run_id).queued_until is None


def test_a_step_that_dies_ends_the_chain(services: Services, run_id: str) -> None:
    _bodies["make"] = raises(AmountMismatchError(system="SAP"))

    with pytest.raises(AmountMismatchError):
        deliver(read, run_id)

    with services.store.read() as uow:
        [letter] = uow.dead_letters.list(None)
    assert letter.step == "make"


def test_what_another_worker_serves_is_handed_back(
    services: Services, run_id: str, visited: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "consumed", frozenset({"crm", "erp"}))

    left = deliver(read, run_id)

    run = get(services, run_id)
    assert (visited, named(left), left[-1]["options"]) == (["read", "match", "make"], ["tell"], {})
    assert (run.step, run.leased_until) == ("tell", None)


def test_a_worker_that_ends_hands_back_between_two_steps(
    services: Services, run_id: str, visited: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_stopping", bytearray(1))

    def stops(attempt: Attempt) -> Mapping[str, Any]:
        ahead.stop()
        visited.append("match")
        return {}

    _bodies["match"] = stops

    left = deliver(read, run_id)

    assert (visited, named(left)) == (["read", "match"], ["make", "tell"])
    assert (get(services, run_id).leased_until, entry_state(services)) == (None, None)


def test_a_message_is_done_before_the_broker_takes_it_for_lost(
    run_id: str, visited: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(ahead, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def takes_long(attempt: Attempt) -> Mapping[str, Any]:
        now[0] += ahead.LONGEST_SECONDS + 1
        return {}

    _bodies["match"] = takes_long

    assert named(deliver(read, run_id)) == ["make", "tell"]
    assert app.conf.broker_transport_options["visibility_timeout"] / 2 > ahead.LONGEST_SECONDS


def test_a_setting_gives_one_message_a_step(
    services: Services, run_id: str, visited: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "settings", Settings.from_env({"CRMSYNC_RUN_AHEAD": "0"}))

    for task in (read, match, make, tell):
        left = deliver(task, run_id)
        assert named(left) == list(_FLOW.steps[_FLOW.steps.index(task.step) + 1 :])

    assert visited == list(_FLOW.steps)
    assert get(services, run_id).status is RunStatus.DONE


def test_background_work_gives_its_thread_back_after_each_step(services: Services) -> None:
    """So that what waits for a thread is a deal's next step and not a whole comparison."""
    with services.store.begin() as uow:
        run_id = _BACKGROUND.open_run(uow, DEFAULT, "behind", correlation_id="c")[0]

    assert named(deliver(look, run_id, _BACKGROUND)) == ["note"]


def test_starts_count_for_each_step(services: Services, run_id: str, clock: FakeClock) -> None:
    """The worker dies at the third step five times: the third step dies of it, and the first is never blamed."""

    _bodies["make"] = raises(WorkerKilledError())
    with pytest.raises(WorkerKilledError):
        deliver(read, run_id)
    assert get(services, run_id).starts == 1
    for _ in range(4):
        clock.advance(61)
        with pytest.raises(WorkerKilledError):
            deliver(make, run_id)
    clock.advance(61)

    with pytest.raises(Exception, match="5 times"):
        deliver(make, run_id)
    with services.store.read() as uow:
        [letter] = uow.dead_letters.list(None)
    assert letter.step == "make"


def test_who_is_overtaken_between_two_steps_goes_no_further(
    services: Services, run_id: str, visited: Visited, clock: FakeClock
) -> None:
    def overtaken(attempt: Attempt) -> Mapping[str, Any]:
        visited.append("match")
        clock.advance(61)
        with services.store.begin() as uow:
            assert uow.runs.claim(run_id, "match", lease_seconds=60) is not None
        return {}

    _bodies["match"] = overtaken

    assert deliver(read, run_id) == []
    assert visited == ["read", "match"]
    assert (get(services, run_id).step, entry_state(services)) == ("match", None)


def test_the_next_step_has_a_whole_lease(services: Services, run_id: str, clock: FakeClock) -> None:
    _bodies["read"] = lambda attempt: clock.advance(50) or {}
    held: dict[str, Any] = {}
    _bodies["match"] = lambda attempt: held.update(until=get(services, run_id).leased_until) or {}

    deliver(read, run_id)

    assert held["until"] == clock.now + timedelta(seconds=60)


def test_a_customer_that_is_linked_costs_its_line_in_the_history(
    services: Services, run_id: str, visited: Visited
) -> None:
    _known["006xx0000012abcAAA"] = {"customer_key": "1000123"}

    deliver(read, run_id)

    assert visited == ["read", "make", "tell"]
    assert get(services, run_id).results["match"] == {"customer_key": "1000123"}
    with services.store.read() as uow:
        assert [line.step for line in uow.history.of_run(run_id)] == list(_FLOW.steps)


def test_what_a_step_is_about_to_make_is_in_the_ledger_with_its_claim(services: Services, run_id: str) -> None:
    seen: list[EntryState | None] = []

    def looks(attempt: Attempt) -> Mapping[str, Any]:
        seen.append(entry_state(services))
        return create(attempt)

    _bodies["make"] = looks

    deliver(read, run_id)

    assert (seen, entry_state(services)) == ([EntryState.SENT], EntryState.CONFIRMED)


def test_what_was_reserved_and_never_sent_is_known_not_to_exist(services: Services, run_id: str) -> None:
    """Else the next attempt would look for it, and wait until its absence is certain."""
    _bodies["make"] = raises(VendorUnavailableError(system="Zoho Books"))

    deliver(read, run_id)

    assert entry_state(services) is EntryState.INTENT


def test_what_a_killed_worker_may_have_made_gets_its_settle_time_after_the_lease(
    services: Services, run_id: str, clock: FakeClock
) -> None:
    """The intent was written with the claim, and the vendor's lists are without the document yet."""
    made: list[str] = []

    def dies() -> Mapping[str, Any]:
        made.append("1")
        raise WorkerKilledError

    _bodies["make"] = lambda attempt: attempt.create_once(KEY, find=list, create=dies)
    with pytest.raises(WorkerKilledError):
        deliver(read, run_id)

    clock.advance(89)
    with pytest.raises(OutcomeSettlingError):
        make.execute(run_id)
    assert made == ["1"]

    clock.advance(2)
    with pytest.raises(WorkerKilledError):
        make.execute(run_id)
    assert made == ["1", "1"]


def test_an_answer_that_was_lost_is_looked_for(services: Services, run_id: str, clock: FakeClock) -> None:
    def fails(attempt: Attempt) -> Mapping[str, Any]:
        def call() -> Mapping[str, Any]:
            raise VendorUnavailableError(system="SAP")

        return attempt.create_once(KEY, find=list, create=call)

    def finds(attempt: Attempt) -> Mapping[str, Any]:
        return attempt.create_once(KEY, find=lambda: [{"number": "7"}], create=lambda: {"number": "8"})

    _bodies["make"] = fails
    deliver(read, run_id)
    assert entry_state(services) is EntryState.UNKNOWN
    _bodies["make"] = finds
    clock.advance(10)

    deliver(make, run_id)

    assert get(services, run_id).results["make"] == {"number": "7"}


def test_a_row_of_an_earlier_attempt_is_not_taken_for_new(services: Services, run_id: str, clock: FakeClock) -> None:
    """A run that reads its source once more comes to what it may have made before."""
    with services.store.begin() as uow:
        uow.ledger.reserve(KEY, run_id, certain_at=uow.now + timedelta(seconds=90))
    _bodies["make"] = lambda attempt: attempt.create_once(
        KEY, find=lambda: [{"number": "7"}], create=lambda: {"number": "8"}
    )

    deliver(read, run_id)

    assert get(services, run_id).results["make"] == {"number": "7"}


def test_a_row_of_an_earlier_attempt_stays_as_it_is_where_the_step_waits_before_it_sends(
    services: Services, run_id: str
) -> None:
    """That this attempt sent nothing says nothing of what the earlier one may have made."""
    with services.store.begin() as uow:
        uow.ledger.reserve(KEY, run_id, certain_at=uow.now + timedelta(seconds=90))
    _bodies["make"] = raises(VendorUnavailableError(system="Zoho Books"))

    deliver(read, run_id)

    assert entry_state(services) is EntryState.SENT


def test_the_sweeper_brings_back_what_was_lost_with_its_worker(
    services: Services, run_id: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bodies["match"] = raises(WorkerKilledError())
    enqueued: list[list[str]] = []
    monkeypatch.setattr(_FLOW, "enqueue", lambda run_id, results: enqueued.append(sorted(results)))
    with pytest.raises(WorkerKilledError):
        deliver(read, run_id)
    assert deliver(read, run_id) == []  # the broker delivers the message again: the lease is another's

    clock.advance(61)
    housekeeping.enqueue_due(services, timedelta(seconds=30))

    assert enqueued == [["read"]]


def test_flower_sees_at_which_step_a_task_is(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setitem(state.requests, "m", SimpleNamespace(send_event=told.append))

    deliver(read, run_id)

    assert told == ["task-match", "task-make", "task-tell"]


def test_who_is_overtaken_after_its_call_still_writes_what_it_made(
    services: Services, run_id: str, clock: FakeClock
) -> None:
    """The document exists, whoever has the run by now: else only the other's look finds it, if the list shows it."""

    def overtaken(attempt: Attempt) -> Mapping[str, Any]:
        found = create(attempt)
        clock.advance(61)
        with services.store.begin() as uow:
            assert uow.runs.claim(run_id, "make", lease_seconds=60) is not None
        return found

    _bodies["make"] = overtaken

    assert deliver(read, run_id) == []
    run = get(services, run_id)
    assert (run.step, sorted(run.results), entry_state(services)) == ("make", ["match", "read"], EntryState.CONFIRMED)


@pytest.mark.parametrize("asked", ["known", "reserves"])
def test_what_the_next_step_can_not_read_is_its_own_fault(
    services: Services, run_id: str, visited: Visited, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """It dies of it at once, under its own name; the step before is done, and not done again five times."""
    task = app.tasks["ahead.match" if asked == "known" else "ahead.make"]

    def unreadable(using: Services, *_: Any) -> Any:
        raise KeyError("number")

    def body(attempt: Attempt) -> Mapping[str, Any]:
        raise KeyError("number")

    monkeypatch.setattr(type(task), asked, staticmethod(unreadable))
    _bodies[task.step] = body

    with pytest.raises(BugError):
        deliver(read, run_id)

    with services.store.read() as uow:
        [letter] = uow.dead_letters.list(None)
    assert (letter.step, letter.error) == (task.step, "BugError")
    assert visited == list(_FLOW.steps[: _FLOW.steps.index(task.step)])


@pytest.fixture
def promises(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each transaction that writes what is about to be sent: whether its commit waits for the disk."""
    found: list[bool] = []

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(Ledger, name)

        def write(ledger: Ledger, *arguments: Any, **options: Any) -> Any:
            found.append(is_durable(ledger._connection))
            return real(ledger, *arguments, **options)

        return write

    for name in ("reserve", "send_again"):
        monkeypatch.setattr(Ledger, name, watched(name))
    return found


def is_durable(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one()) == 2
    return str(connection.execute(text("SHOW synchronous_commit")).scalar_one()) == "on"


@pytest.mark.parametrize("is_linked", [False, True])
def test_what_is_about_to_be_sent_is_on_the_disk_before(
    services: Services, run_id: str, promises: list[bool], is_linked: bool
) -> None:
    """Else a power cut forgets the promise, and not the document: it would be made once more."""
    if is_linked:
        _known["006xx0000012abcAAA"] = {"customer_key": "1000123"}

    deliver(read, run_id)

    assert promises == [True]


def test_so_is_what_is_sent_by_a_message_of_its_own_and_what_is_sent_again(
    services: Services, run_id: str, promises: list[bool], clock: FakeClock
) -> None:
    _bodies["match"] = raises(BusyError("All are taken.", wait_seconds=1, system="SAP"))
    deliver(read, run_id)
    _bodies["match"] = lambda attempt: {}
    _bodies["make"] = raises(BusyError("All are taken.", wait_seconds=1, system="SAP"))
    clock.advance(1)
    deliver(match, run_id)
    _bodies["make"] = create
    clock.advance(1)

    deliver(make, run_id)

    assert promises == [True, True, True]  # with the claim; by the next message, which finds it; sent again
    assert entry_state(services) is EntryState.CONFIRMED


@pytest.mark.parametrize("is_committed", [False, True], ids=["rolled_back", "answer_lost"])
def test_a_store_that_goes_when_a_document_was_made_makes_no_second_one(
    services: Services, run_id: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """Whether the transaction between the two steps was committed is not known; the message that is left changes
    nothing before the lease is over."""
    begin = services.store.begin
    documents: list[Mapping[str, Any]] = []

    @contextmanager
    def broken(**options: Any) -> Iterator[UnitOfWork]:
        with suppress(_RolledBackError), begin(**options) as uow:
            yield uow
            if not is_committed:
                raise _RolledBackError
        raise StoreUnavailableError

    def made() -> Mapping[str, Any]:
        monkeypatch.setattr(services.store, "begin", broken)
        documents.append({"number": str(len(documents) + 1)})
        return documents[-1]

    _bodies["make"] = lambda attempt: attempt.create_once(KEY, find=lambda: documents, create=made)

    left = deliver(read, run_id)

    monkeypatch.setattr(services.store, "begin", begin)
    assert (named(left), left[-1]["options"]) == (["make", "tell"], {"countdown": StoreUnavailableError.wait_seconds})
    clock.advance(StoreUnavailableError.wait_seconds)
    assert deliver(make, run_id) == []
    clock.advance(61)
    assert deliver(app.tasks[f"ahead.{get(services, run_id).step}"], run_id) == []
    run = get(services, run_id)
    assert (run.status, run.results["make"], len(documents)) == (RunStatus.DONE, {"number": "1"}, 1)


class _RolledBackError(Exception):
    """Ends a transaction without its writes."""


def test_steps_that_are_to_be_done_again_are_in_the_chain_that_goes_on(
    services: Services, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document is gone, and is made anew: the message came for a run whose later steps were done."""
    monkeypatch.setattr(services, "settings", Settings.from_env({"CRMSYNC_RUN_AHEAD": "0"}))
    for task in (read, match, make):
        deliver(task, run_id)
    with services.store.begin() as uow:
        results = {step: result for step, result in get(services, run_id).results.items() if step != "read"}
        changed = runs.update().where(runs.c.id == run_id)
        uow.connection.execute(changed.values(step="read", results={**results, "tell": {}}))

    def undoes(attempt: Attempt) -> Mapping[str, Any]:
        attempt.undoes |= {"make", "tell"}
        return {}

    _bodies["read"] = undoes
    read.push_request(id="m", called_directly=False, retries=0, chain=[])
    try:
        read.run(run_id)
        assert named(read.request.chain) == ["make", "tell"]
    finally:
        read.pop_request()
    assert get(services, run_id).step == "make"


def test_a_run_that_ends_early_sends_no_message_more(services: Services, run_id: str, visited: Visited) -> None:
    def ends(attempt: Attempt) -> Mapping[str, Any]:
        attempt.ends_as = RunStatus.DISCARDED
        return {}

    _bodies["match"] = ends

    assert deliver(read, run_id) == []
    assert (visited, get(services, run_id).status) == (["read"], RunStatus.DISCARDED)
