"""Cases from the field: the watchdog, which must go on whatever happens to the work that it watches."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore
from sqlalchemy import text

from crmsync.alerts import delivery
from crmsync.beat import Scheduler
from crmsync.celery import app as celery
from crmsync.connectors.limits import breaker as breaker_module
from crmsync.connectors.limits.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.domain.breaker import FailedCall
from crmsync.domain.dead_letters import FIRST_SHOWN_SECONDS, DeadLetter
from crmsync.domain.deals import Deal
from crmsync.domain.learned import CustomerMatched
from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import AmountMismatchError, BugError, CrmsyncError, InvalidDealError, VendorUnavailableError
from crmsync.flows import catch_up, compare_orders, inventory
from crmsync.services import Services
from crmsync.store.tables import dead_letters as dead_letters_table
from crmsync.store.tables import runs as runs_table
from crmsync.web.app import create_app
from crmsync.worker import dead_letters, housekeeping, queues, starting, watch
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests import builders
from tests.fakes import DEFAULT, FakeClock, FakeMessenger
from tests.system import RedisServer, System, big_sandbox, running, until

SAP = "SAP S/4HANA"
HOUR = 3600.0

ORDER = EntryKey("s4hana", "order", "SF-006A")
ALERT = {"headline": "It is told", "facts": [], "cause": "", "advice": "", "command": ""}

_FLOW = Flow("watched", subject="deal", steps=("order", "bill"), rereads=())
_PERIODIC = Flow("watched_period", subject="period", steps=("order",), rereads=(), repeats=True)
_bodies: dict[str, Callable[[Attempt], Mapping[str, Any]]] = {}


@step(_FLOW, queue="erp")
def order(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["order"](attempt)


@step(_FLOW, queue="books")
def bill(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["bill"](attempt)


@pytest.fixture(autouse=True)
def bodies(broker: list[str], shown: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What each step does; by default it learns nothing."""
    monkeypatch.setattr(breaker_module, "BELIEVED_SECONDS", -1.0)
    monkeypatch.setattr(housekeeping._neighbours, "check", lambda using: None)
    _bodies.update(dict.fromkeys(_FLOW.steps, lambda attempt: {}))
    yield _bodies
    _bodies.clear()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs for which a chain was sent; nothing reaches a broker."""
    enqueued: list[str] = []
    monkeypatch.setattr(FLOWS["watched"], "enqueue", lambda run_id, results: enqueued.append(run_id))
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    monkeypatch.setattr(queues, "lengths", dict)
    return enqueued


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose letters were put on the queue `dead_letter`, which always looks empty."""
    letters: list[str] = []
    monkeypatch.setattr(dead_letters, "show", lambda letter: letters.append(letter.run_id))
    monkeypatch.setattr(queues, "length", lambda queue: -1)
    monkeypatch.setattr(queues, "empty", lambda queue: 0)
    return letters


def runs_of(services: Services, count: int) -> list[str]:
    with services.store.begin() as uow:
        return [_FLOW.open_run(uow, DEFAULT, f"deal {number}", correlation_id="c")[0] for number in range(count)]


def get(services: Services, run_id: str) -> Run:
    with services.store.read() as uow:
        run = uow.runs.get(run_id)
    assert run is not None
    return run


def statuses(services: Services, run_ids: list[str]) -> set[RunStatus]:
    return {get(services, run_id).status for run_id in run_ids}


def work(services: Services, run_ids: list[str]) -> None:
    """A message for each run that is due, as the sweeper and Celery's retries send them."""
    for run_id in run_ids:
        run = get(services, run_id)
        if run.status is RunStatus.ACTIVE and run.due_at <= services.store.clock():
            with contextlib.suppress(Ignore, CrmsyncError):
                {"order": order, "bill": bill}[run.step].execute(run_id)


class Sap:
    """A system behind the breaker that all processes share; *is_down* it answers nothing."""

    def __init__(self, services: Services) -> None:
        self.is_down = True
        self.calls = 0
        breaker = SharedBreaker("s4hana", SAP, services._breakers())
        self._budget = GuardedBudget(UNLIMITED, breaker)

    def make_order(self, attempt: Attempt) -> Mapping[str, Any]:
        with self._budget.call("create order"):
            self.calls += 1
            if self.is_down:
                raise VendorUnavailableError(f"{SAP} did not answer.", system=SAP)
        self._budget.learn({}, 201)
        return {}


# P10: SAP is down for four hours, 6 deals wait


def test_P10__looks_of_an_open_breaker_use_up_no_run(
    services: Services, clock: FakeClock, bodies: dict[str, Any]
) -> None:
    sap = Sap(services)
    bodies["order"] = sap.make_order
    for _ in range(services.settings.behaviour.breaker_failures):
        with services.store.begin() as uow:
            uow.breakers.failed("s4hana", FailedCall(is_probe=False), system=SAP, threshold=20)
    run_ids = runs_of(services, 6)

    ends_at = clock.now.timestamp() + 4 * HOUR
    while clock.now.timestamp() < ends_at:
        work(services, run_ids)
        clock.advance(60)

    assert sap.calls > 40, "somebody looks"
    assert statuses(services, run_ids) == {RunStatus.ACTIVE}
    assert {get(services, run_id).attempts for run_id in run_ids} == {0}

    sap.is_down = False
    for _ in range(20):  # the longest time between two looks, and some more
        work(services, run_ids)
        clock.advance(20)
    assert statuses(services, run_ids) == {RunStatus.DONE}


def test_P10__calls_under_way_when_the_breaker_opens_use_up_no_run(services: Services, bodies: dict[str, Any]) -> None:
    def opens_meanwhile(attempt: Attempt) -> Mapping[str, Any]:
        with services.store.begin() as uow:
            uow.breakers.failed("s4hana", FailedCall(is_probe=False), system=SAP, threshold=1)
        raise VendorUnavailableError(system=SAP)

    bodies["order"] = opens_meanwhile
    [run_id] = runs_of(services, 1)
    work(services, [run_id])

    run = get(services, run_id)
    assert (run.attempts, run.status) == (0, RunStatus.ACTIVE)
    assert 15 < (run.due_at - services.store.clock()).total_seconds() < 21


def test_P10__an_outage_of_another_system_does_use_up_attempts(services: Services, bodies: dict[str, Any]) -> None:
    with services.store.begin() as uow:
        uow.breakers.failed("s4hana", FailedCall(is_probe=False), system=SAP, threshold=1)

    def fail(attempt: Attempt) -> Mapping[str, Any]:
        raise VendorUnavailableError(system="Zoho Books")

    bodies["order"] = fail
    [run_id] = runs_of(services, 1)
    work(services, [run_id])
    assert get(services, run_id).attempts == 1


def test_P10__a_system_that_refuses_us_as_a_whole_is_given_up_at_once(services: Services) -> None:
    with services.store.begin() as uow:
        assert uow.breakers.failed(
            "s4hana", FailedCall(is_probe=False, reason="The plan is over."), system=SAP, threshold=20
        )
        assert uow.breakers.get("s4hana").reason == "The plan is over."
        uow.breakers.succeeded("s4hana")
        breaker = uow.breakers.get("s4hana")
    assert (breaker.is_open, breaker.reason, breaker.closed_at) == (False, "", uow.now)


# O15: the clock was an hour ahead


def test_O15__a_breaker_that_a_wrong_clock_opened_is_looked_through_again(
    services: Services, clock: FakeClock, bodies: dict[str, Any]
) -> None:
    sap = Sap(services)
    bodies["order"] = sap.make_order
    clock.advance(HOUR)
    with services.store.begin() as uow:
        uow.breakers.failed("s4hana", FailedCall(is_probe=False), system=SAP, threshold=1)
    clock.advance(-HOUR)
    sap.is_down = False
    [run_id] = runs_of(services, 1)
    work(services, [run_id])
    work(services, [run_id])
    assert statuses(services, [run_id]) == {RunStatus.DONE}


# T3: vendor work hangs in every thread


@pytest.mark.parametrize("kind", ["worker", "prefork"])
def test_T3__sweeps_and_alerts_do_not_wait_behind_work_that_hangs(tmp_path: Path, kind: str) -> None:
    threads = {"worker": 8, "prefork": 4}[kind]
    with running(tmp_path, "web", kind, "beat", CRMSYNC_LEASE_SECONDS="60") as system:
        first, *deals = system.sandbox.deals.bulk(threads + 5, 2)
        system.close(first.id)
        system.wait_for("done", first)  # signed in everywhere: a sign-in holds one thread only
        system.sandbox.faults.add("salesforce", "slow", seconds=20)
        system.close_all(deals)
        until(lambda: leased(system) == threads, what="every thread hangs in a call")

        with system.store.begin() as uow:
            uow.alerts.add(None, "test", ALERT)
        swept = sweep_sign(system)
        until(lambda: "It is told" in system.log(), what="the alert is delivered")
        until(lambda: sweep_sign(system) > swept, what="another sweep ends")
        assert leased(system) == threads


def leased(system: System) -> int:
    with system.store.read() as uow:
        return sum(count for *_, count in uow.runs.tally(None))


def sweep_sign(system: System) -> str:
    with system.store.read() as uow:
        return uow.facts.get(watch.SWEEP) or ""


def hour_ahead(clock: FakeClock) -> Iterator[None]:
    """Inside, the clock is an hour ahead."""
    clock.advance(HOUR)
    yield
    clock.advance(-HOUR)


ahead = contextmanager(hour_ahead)


def test_O15__leases_due_times_and_messages_of_a_wrong_clock_end_with_it(
    services: Services, clock: FakeClock, bodies: dict[str, Any], broker: list[str]
) -> None:
    waits, held, queued = runs_of(services, 3)
    with ahead(clock), services.store.begin() as uow:
        uow.runs.claim(held, "order", lease_seconds=60)
        taken = uow.runs.claim(waits, "order", lease_seconds=60)
        assert taken is not None
        uow.runs.release(taken, wait_seconds=300, attempts=1)
        uow.runs.queued(queued, uow.now + timedelta(seconds=15))

    housekeeping.sweep_now(services)
    assert sorted(broker) == sorted([waits, queued])
    clock.advance(61)
    housekeeping.sweep_now(services)
    assert held in broker


def test_O15__locks_and_renewals_of_a_wrong_clock_hold_up_nobody(services: Services, clock: FakeClock) -> None:
    with ahead(clock), services.store.begin() as uow:
        assert uow.locks.take("customer", "one", seconds=60)
        assert uow.tokens.begin_renewal("zoho_books", seconds=30)
        uow.tokens.count_renewal("zoho_books", keep_seconds=600)
    with services.store.begin() as uow:
        assert uow.locks.take("customer", "other", seconds=60)
        assert uow.tokens.begin_renewal("zoho_books", seconds=30)
        row = uow.tokens.get("zoho_books")
    assert row is not None
    assert row.renewals == ()


def test_O15__periods_go_on_after_a_wrong_clock(services: Services, clock: FakeClock) -> None:
    def start() -> bool:
        with services.store.begin() as uow:
            to_enqueue = starting.start_period(
                uow, _PERIODIC, DEFAULT, 600, correlation_id="c", queued_for=timedelta(0)
            )
            uow.connection.execute(runs_table.update().values(status=RunStatus.DONE.value))
        return to_enqueue is not None

    assert not start(), "the beginning of the first period is over"
    clock.advance(600)
    assert start()
    with ahead(clock):
        assert start()
    assert start(), "the period that is now, again"
    assert not start()
    clock.advance(600)
    assert start()


def test_O15__an_alert_that_a_wrong_clock_put_off_is_told(
    services: Services, clock: FakeClock, messenger: FakeMessenger
) -> None:
    with ahead(clock), services.store.begin() as uow:
        uow.alerts.add(None, "cause", ALERT)
    delivery.deliver(services.store, messenger)
    assert [content["headline"] for content, *_ in messenger.told] == [ALERT["headline"]]


def test_O15__catch_up_looks_a_day_back_after_a_wrong_clock(services: Services, clock: FakeClock) -> None:
    go_live = clock.now - timedelta(days=30)
    with services.store.begin() as uow:
        uow.facts.set_once("go_live", go_live.isoformat())
        uow.facts.set(catch_up._checkpoint(catch_up.DEALS, "salesforce"), (clock.now + timedelta(hours=1)).isoformat())

    since, until = catch_up._window(services, services.company(), catch_up.DEALS, clock.now)
    assert since <= clock.now - timedelta(days=1) < until


def test_O15__stock_and_orders_are_read_again_after_a_wrong_clock(services: Services, clock: FakeClock) -> None:
    for ahead in (timedelta(hours=1), timedelta(days=3000)):
        with services.store.begin() as uow:
            for name in (
                "catalogue.whole_at.salesforce",
                "catalogue.read_at.salesforce",
                compare_orders.checkpoint("s4hana"),
            ):
                uow.facts.set(name, (clock.now + ahead).isoformat())
            uow.ledger.reserve(ORDER, "r", certain_at=clock.now)
            uow.ledger.confirmed(ORDER, {"key": "1", "number": "4711"})
        clock.advance(HOUR / 4)
        attempt = Attempt(get(services, runs_of(services, 1)[0]), services, clock.now)

        assert inventory._since(attempt) is None, "the whole catalogue"
        assert [entry.key for entry in compare_orders._made(attempt)] == [ORDER]


def test_O15__what_is_kept_of_an_instant_and_can_not_be_read_is_none(services: Services, clock: FakeClock) -> None:
    with services.store.begin() as uow:
        for kept in ("", "yesterday", (clock.now + timedelta(minutes=6)).isoformat()):
            uow.facts.set("at", kept)
            assert uow.facts.instant("at") is None
        assert uow.facts.instant("at", longest_ahead=timedelta(minutes=2)) == clock.now + timedelta(minutes=6)


class Ticks(Scheduler):
    """Beat's scheduler without a broker; its clocks are told the time."""

    sent: list[str]

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        self.sent.append(entry.name)

    producer = None


def test_O15__beat_goes_on_in_its_interval_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, steady = [1_800_000_000.0], [50.0]
    monkeypatch.setattr(time, "time", lambda: wall[0])
    monkeypatch.setattr(time, "monotonic", lambda: steady[0])
    beat = Ticks(app=celery, lazy=False)
    beat.sent = []
    for jump in (0.0, HOUR, -HOUR, -HOUR, 0.0):
        beat.sent.clear()
        wall[0] += jump
        assert 0 <= beat.tick() <= 60
        assert sorted(beat.sent) == ["start_periods", "sweep"]
        wall[0] += 61
        steady[0] += 61


# O14: beat on a fresh container, under an arbitrary uid, on a read-only root


def test_O14__beat_needs_no_file(tmp_path: Path) -> None:
    with RedisServer() as server, big_sandbox() as sandbox:
        server.start()
        nowhere = {"CRMSYNC_HOME": "/dev/null/home", "HOME": "/dev/null", "DATABASE_URL": "sqlite:////dev/null/no.db"}
        with System(tmp_path, sandbox, redis_url=server.url, **nowhere) as system:
            system.start("beat")
            until(lambda: system.queue_length("housekeeping") >= 2, what="beat sends")
            assert system.processes["beat"].poll() is None
            assert "Traceback" not in system.log()


# O13: a run of a flow, or at a step, that this release lacks; and other rows that nobody can use


def change(services: Services, run_id: str, **values: Any) -> None:
    with services.store.begin() as uow:
        uow.connection.execute(runs_table.update().where(runs_table.c.id == run_id).values(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"flow": "of_another_release"},
        {"step": "of_another_release"},
        {"results": text("'not json'")},
        {"results": text("'[1, 2]'")},
        {"answers": text("'{'")},
    ],
    ids=str,
)
def test_O13__a_run_that_this_release_cannot_continue_stops_no_other(
    services: Services, clock: FakeClock, messenger: FakeMessenger, broker: list[str], values: dict[str, Any]
) -> None:
    if not services.store.is_sqlite and not isinstance(next(iter(values.values())), str):
        pytest.skip("PostgreSQL takes no damaged JSON")
    strange, good = runs_of(services, 2)
    kept = {name: get(services, strange).__getattribute__(name) for name in values}
    change(services, strange, **values)

    for _ in range(3):
        housekeeping.sweep_now(services)
        work(services, [good])
        work(services, [good])
        clock.advance(400)
    assert set(broker) == {good}
    assert len(messenger.told) == 1, "one alert, once"
    assert strange in str(messenger.told[0][0])

    change(services, strange, **kept)
    housekeeping.sweep_now(services)
    housekeeping.sweep_now(services)
    assert strange in broker, "it goes on by itself"
    with services.store.read() as uow:
        assert uow.alerts.open_causes(None, "stranded:") == []


def test_O13__an_alert_that_nobody_can_read_stops_no_other(
    services: Services, messenger: FakeMessenger, broker: list[str]
) -> None:
    with services.store.begin() as uow:
        uow.alerts.add(None, "of another release", {"another": "shape"})
        uow.alerts.add(None, "good", ALERT)
    told = messenger.tell

    def tell(content: Mapping[str, Any], **options: Any) -> str:
        return content["headline"] and told(content, **options)

    messenger.tell = tell  # type: ignore[method-assign]
    housekeeping.sweep_now(services)
    assert [content["headline"] for content, *_ in messenger.told] == [ALERT["headline"]]


def test_O13__a_letter_of_another_release_stops_no_other(
    services: Services, bodies: dict[str, Any], shown: list[str]
) -> None:
    strange, good = runs_of(services, 2)
    for run_id in (strange, good):
        bury(services, bodies, run_id, BugError())
    change(services, strange, flow="of_another_release")
    with services.store.begin() as uow:
        letters = dead_letters_table.update().where(dead_letters_table.c.run_id == strange)
        uow.connection.execute(letters.values(kind="of_another_release"))

    shown.clear()
    dead_letters.redraw(services)
    assert shown == [good]


def test_O13__one_duty_that_fails_stops_no_other(
    services: Services, messenger: FakeMessenger, broker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a duty")

    monkeypatch.setattr(dead_letters, "redraw", fail)
    monkeypatch.setattr(dead_letters, "return_passing", fail)
    with services.store.begin() as uow:
        uow.alerts.add(None, "good", ALERT)
    [run_id] = runs_of(services, 1)
    housekeeping.sweep_now(services)
    assert (len(messenger.told), broker) == (1, [run_id])


# P10, on: letters of an outage


def bury(services: Services, bodies: dict[str, Any], run_id: str, error: CrmsyncError) -> None:
    def fail(attempt: Attempt) -> Mapping[str, Any]:
        raise error

    bodies["order"] = fail
    for _ in range(4):
        change(services, run_id, due_at=services.store.clock())
        work(services, [run_id])
    assert get(services, run_id).status is RunStatus.STOPPED


def test_P10__the_letters_of_an_outage_need_nobody(
    services: Services, clock: FakeClock, bodies: dict[str, Any], messenger: FakeMessenger, broker: list[str]
) -> None:
    [run_id] = runs_of(services, 1)  # too few to open the breaker
    bury(services, bodies, run_id, VendorUnavailableError(f"{SAP} did not answer.", system=SAP))
    ends_at = clock.now.timestamp() + HOUR
    while clock.now.timestamp() < ends_at:
        housekeeping.sweep_now(services)
        work(services, [run_id])
        clock.advance(45)

    bodies["order"] = lambda attempt: {}
    for _ in range(22):  # a quarter of an hour, and some more
        housekeeping.sweep_now(services)
        work(services, [run_id])
        clock.advance(45)
    assert get(services, run_id).status is RunStatus.DONE
    assert len(messenger.told) <= 2, "one alert, and its last count"


def test_P10__letters_go_on_at_once_when_their_system_is_seen_to_be_back(
    services: Services, clock: FakeClock, bodies: dict[str, Any], broker: list[str]
) -> None:
    run_ids = runs_of(services, 3)
    for run_id in run_ids:
        bury(services, bodies, run_id, VendorUnavailableError(system=SAP))
    with services.store.begin() as uow:
        uow.breakers.failed("s4hana", FailedCall(is_probe=False), system=SAP, threshold=1)
    clock.advance(1)
    with services.store.begin() as uow:
        uow.breakers.succeeded("s4hana")

    assert dead_letters.return_passing(services) == 3
    assert statuses(services, run_ids) == {RunStatus.ACTIVE}


def test_P10__what_needs_a_person_waits_for_one(services: Services, clock: FakeClock, bodies: dict[str, Any]) -> None:
    run_ids = runs_of(services, 3)
    for run_id, error in zip(run_ids, (BugError(), InvalidDealError(), AmountMismatchError()), strict=True):
        bury(services, bodies, run_id, error)
    clock.advance(24 * HOUR)

    assert dead_letters.return_passing(services) == 0
    assert statuses(services, run_ids) == {RunStatus.STOPPED}


def letter_of(services: Services, run_id: str) -> DeadLetter:
    with services.store.read() as uow:
        letter = uow.dead_letters.of_run(run_id)
    assert letter is not None
    return letter


def shown_later(services: Services, bodies: dict[str, Any], run_id: str) -> None:
    """It was replayed, and failed again."""
    dead_letters.replay_message(services, run_id)
    bury(services, bodies, run_id, BugError())


def replaying(services: Services, bodies: dict[str, Any], run_id: str) -> None:
    dead_letters.replay_message(services, run_id)


def discarded(services: Services, bodies: dict[str, Any], run_id: str) -> None:
    dead_letters.discard(services, letter_of(services, run_id).id, by="a person")


@pytest.mark.parametrize("became", [shown_later, replaying, discarded], ids=lambda became: became.__name__)
def test_P10__a_message_of_a_letter_that_is_not_on_show_any_more_replays_nothing(
    services: Services, bodies: dict[str, Any], became: Callable[..., None]
) -> None:
    [run_id] = runs_of(services, 1)
    bury(services, bodies, run_id, BugError())
    became(services, bodies, run_id)
    before = get(services, run_id), letter_of(services, run_id)

    dead_letters.replay_message(services, run_id)
    assert (get(services, run_id), letter_of(services, run_id)) == before


def test_P10__a_message_replays_a_letter_that_failed_again_once_it_is_on_show(
    services: Services, bodies: dict[str, Any], clock: FakeClock
) -> None:
    [run_id] = runs_of(services, 1)
    bury(services, bodies, run_id, BugError())
    shown_later(services, bodies, run_id)

    for wait_seconds, status in ((FIRST_SHOWN_SECONDS - 1, RunStatus.STOPPED), (1, RunStatus.ACTIVE)):
        clock.advance(wait_seconds)
        dead_letters.replay_message(services, run_id)
        assert get(services, run_id).status is status


# No worker takes runs


def ready(services: Services) -> tuple[int, str]:
    answer = create_app(services).test_client().get("/readyz")
    return answer.status_code, answer.get_json()["checks"]["workers"]["status"]


def open_alerts(services: Services) -> list[str]:
    with services.store.read() as uow:
        return uow.alerts.open_causes(None, "watch:")


def test_O15__it_is_told_when_nobody_takes_runs_and_when_somebody_does_again(
    services: Services, clock: FakeClock, bodies: dict[str, Any], broker: list[str]
) -> None:
    housekeeping.keep_watch(services)
    assert ready(services)[1] == "ok"
    [run_id] = runs_of(services, 1)
    for _ in range(5):  # every thread is stuck; the lookouts live
        clock.advance(15)
        housekeeping.sweep_now(services)
        housekeeping.keep_watch(services)
    assert ready(services) == (503, "down")
    assert open_alerts(services) == ["watch:workers"]

    work(services, [run_id])
    watch.check(services)
    assert ready(services)[1] == "ok"
    assert open_alerts(services) == []


def test_O15__it_is_told_when_all_workers_are_gone(
    services: Services, clock: FakeClock, messenger: FakeMessenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_started", -HOUR)
    housekeeping.keep_watch(services)
    clock.advance(120)
    watch.look_out(services)  # a receiver does
    watch.look_out(services)
    assert ready(services) == (503, "down")
    assert [content["headline"] for content, *_ in messenger.told] == ["No worker takes runs"]
    housekeeping.keep_watch(services)
    assert open_alerts(services) == []


def test_O15__workers_sweep_by_themselves_where_beat_is_gone(
    services: Services, clock: FakeClock, broker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_started", -HOUR)
    housekeeping.sweep()
    clock.advance(120)
    [run_id] = runs_of(services, 1)

    housekeeping.keep_watch(services)
    assert broker == [run_id]
    assert open_alerts(services) == ["watch:beat"]
    housekeeping.sweep()
    assert open_alerts(services) == []


def test_O15__a_sweep_in_the_future_counts_as_none(
    services: Services, clock: FakeClock, broker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_started", -HOUR)
    with ahead(clock):
        housekeeping.sweep()
    assert watch.needs_sweep(services)


def test_O13__what_this_release_cannot_read_of_a_run_is_no_dead_letter(
    services: Services, clock: FakeClock, bodies: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by a step that does not look at it."""
    monkeypatch.setitem(_FLOW.learns, "order", CustomerMatched)
    [run_id] = runs_of(services, 1)
    learned = CustomerMatched("1000001").to_json()
    work(services, [run_id])
    billed: list[str] = []
    bodies["bill"] = lambda attempt: billed.append(attempt.run.subject_key)

    change(services, run_id, results={"order": learned | {"v": 2}})
    work(services, [run_id])
    run = get(services, run_id)
    assert (run.status, run.attempts, run.due_at > clock() + timedelta(minutes=4)) == (RunStatus.ACTIVE, 0, True)
    with services.store.read() as uow:
        assert uow.dead_letters.of_run(run_id) is None
    assert billed == []

    change(services, run_id, results={"order": learned}, due_at=clock())
    work(services, [run_id])
    assert get(services, run_id).status is RunStatus.DONE
    assert billed == ["deal 0"]


def test_O13__what_a_newer_release_learned_is_read_by_an_older_one() -> None:
    made = builders.deal()
    kept = json.loads(json.dumps(made.to_json()))
    kept["requested_on"] = "2026-11-20"
    kept["customer"] |= {"score": 7}
    kept["customer"]["address"] |= {"floor": "3"}
    kept["lines"][0] |= {"tax": {"code": "A1"}}

    assert Deal.from_json(kept) == made


def test_T3__a_slack_that_hangs_stops_no_sweep(services: Services, messenger: FakeMessenger, broker: list[str]) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def tell(content: Mapping[str, Any], **options: Any) -> str:
        hangs.set()
        assert goes_on.wait(30)
        return ""

    messenger.tell = tell  # type: ignore[method-assign]
    with services.store.begin() as uow:
        uow.alerts.add(None, "good", ALERT)
    delivering = threading.Thread(target=housekeeping.deliver_alerts)
    delivering.start()
    assert hangs.wait(30)

    with services.store.begin() as uow:
        uow.alerts.add(None, "another", ALERT)
    [run_id] = runs_of(services, 1)
    housekeeping.sweep_now(services)
    assert broker == [run_id]
    with services.store.read() as uow:
        assert uow.facts.get(watch.SWEEP)
    goes_on.set()
    delivering.join()


@pytest.mark.parametrize("kind", ["worker", "prefork"])
def test_T3__a_worker_with_a_bulkhead_ends_cleanly(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, "web", kind, "beat") as system:
        deal = system.sandbox.deals.create("Last Ltd", email="last@example.com")
        system.close(deal.id)
        system.wait_for("done", deal)
        assert system.terminate(kind) == 0
        assert "Traceback" not in system.log()
