"""The call budget over a real Redis: what several processes share, and what becomes of a run that must wait."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import responses
from celery.exceptions import Ignore
from redis import Redis

from crmsync.broker_address import Address
from crmsync.cli.limits import _to_json, _usage
from crmsync.connection_book import known_of_environment
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits import redis_link
from crmsync.connectors.limits.budget import Announcement, Quota, background
from crmsync.connectors.limits.redis_link import Link, redis_client
from crmsync.connectors.limits.shared_budget import SharedBudget, State
from crmsync.connectors.way_out.transport import new_session
from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import RunStatus
from crmsync.errors import NotNowError, RateLimitedError
from crmsync.services import Services
from crmsync.services import redis_link as link_of
from crmsync.settings import Settings
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests.fakes import DEFAULT, FakeVendor, start_run
from tests.system import RedisServer

pytestmark = pytest.mark.redis

URL = "https://books.example.com/invoices"
INVOICE = EntryKey("zoho_books", "invoice", "SF-006xx0000012abcAAA")
ZOHO = {
    "ZOHO_CLIENT_ID": "1000.X",
    "ZOHO_CLIENT_SECRET": "s",
    "ZOHO_REFRESH_TOKEN": "r",
    "ZOHO_ORGANIZATION_ID": "10001",
}

MakeBudget = Callable[..., SharedBudget]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as made:
        made.start()
        yield made


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def process(server: RedisServer, redis: Redis) -> Iterator[MakeBudget]:
    """The budget as one more process has it."""
    clients = []

    def make(**limits: Any) -> SharedBudget:
        client = redis_client(Address(server.url))
        clients.append(client)
        percent = limits.pop("reserve_percent", 30)
        quota = Quota("zoho_books", "Zoho Books", "10001", **{"calls_at_once": 4, **limits})
        return SharedBudget(quota, Link(lambda: client), reserve_percent=percent, call_seconds=5)

    yield make
    for client in clients:
        client.close()


def use(budget: SharedBudget, times: int = 1) -> None:
    for _ in range(times):
        with budget.call("read"):
            pass


def refusal(budget: SharedBudget) -> RateLimitedError:
    with pytest.raises(RateLimitedError) as found:
        use(budget)
    return found.value


def state(budget: SharedBudget, window: str) -> State:
    return next(state for state in budget.states() if state.window == window)


def in_the_past(redis: Redis, window: str, count: int, *, seconds: float) -> None:
    redis.lpush(f"crmsync:zoho_books:10001:{window}", *[time.time() - seconds] * count)


# -- rates


def test_a_minute_is_shared_by_all_processes(process: MakeBudget) -> None:
    one, other = process(per_minute=10), process(per_minute=10)

    use(one, 6)
    use(other, 4)

    for budget in (one, other):
        error = refusal(budget)
        assert str(error) == "The budget of 10 calls a minute for Zoho Books is used up. [OVER_BUDGET]"
        assert error.retry_after_seconds == pytest.approx(60, abs=5)


def test_an_hour_is_shared_and_each_connection_stops_at_its_own_limit_and_reserve(process: MakeBudget) -> None:
    one, other = process(per_hour=10, per_minute=100), process(per_hour=4, reserve_percent=50)

    with background():
        use(other, 2)
        assert "used its 2 of the 4 calls an hour" in str(refusal(other))
    use(other, 2)

    assert str(refusal(other)) == "The budget of 4 calls an hour for Zoho Books is used up. [OVER_BUDGET]"
    use(one, 6)
    assert refusal(one).retry_after_seconds == pytest.approx(3600, abs=5)
    assert state(one, "hour").reserved == 3
    assert state(other, "hour").reserved == 2


def test_the_minute_moves(process: MakeBudget, redis: Redis) -> None:
    in_the_past(redis, "minute", 10, seconds=59.5)
    budget = process(per_minute=10)
    assert refusal(budget).retry_after_seconds == pytest.approx(0.5, abs=0.3)

    time.sleep(0.6)

    use(budget, 10)


@pytest.mark.parametrize("ahead_seconds", [3600, 365 * 86_400], ids=["an hour", "a year"])
@pytest.mark.parametrize("window", ["minute", "hour", "day"])
def test_O15__calls_that_a_wrong_clock_counted_hold_up_nobody_when_it_is_right(
    process: MakeBudget, redis: Redis, window: str, ahead_seconds: float
) -> None:
    """Redis may have had the same clock, so that neither the calls nor their keys end before that time."""
    in_the_past(redis, window, 4, seconds=5)
    in_the_past(redis, window, 8, seconds=-ahead_seconds)
    redis.set("crmsync:zoho_books:10001:pause", time.time() + ahead_seconds + 60)
    budget = process(**{f"per_{window}": 10})

    with background():
        use(budget)
    use(budget, 9)

    assert 0 < (refusal(budget).retry_after_seconds or 0) <= 86_400
    assert budget.pause_left_seconds() == 0


def test_background_work_leaves_the_reserve_to_orders_and_payments(process: MakeBudget) -> None:
    budget = process(per_minute=10)

    with background():
        use(budget, 7)
        assert "Background work has used its 7 of the 10 calls a minute" in str(refusal(budget))
    use(budget, 3)

    refusal(budget)


def test_both_kinds_of_work_are_counted_together(process: MakeBudget) -> None:
    budget = process(per_minute=10)

    use(budget, 3)
    with background():
        use(budget, 4)
        refusal(budget)

    assert (state(budget, "minute").used, state(budget, "minute").left) == (7, 3)


def test_what_the_minute_refuses_is_not_counted_in_the_day(process: MakeBudget) -> None:
    budget = process(per_minute=2, per_day=100)
    use(budget, 2)

    refusal(budget)

    assert state(budget, "day").used == 2


def test_what_the_day_refuses_is_not_counted_in_the_minute_and_holds_no_slot(process: MakeBudget) -> None:
    budget = process(per_minute=10, per_day=3)
    use(budget, 3)

    refusal(budget)

    assert (state(budget, "minute").used, state(budget, "at once").used) == (3, 0)


def test_who_finds_no_slot_is_counted_nowhere(process: MakeBudget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmsync.connectors.limits.slots.PATIENCE_SECONDS", 0.05)
    one, other = process(calls_at_once=1, per_minute=10), process(calls_at_once=1, per_minute=10)

    with one.call("a long one"), pytest.raises(NotNowError):
        use(other)

    assert state(one, "minute").used == 1


def test_a_budget_of_windows_alone_counts_as_well(process: MakeBudget) -> None:
    budget = process(calls_at_once=0, per_minute=2)
    use(budget, 2)

    assert refusal(budget).code == "OVER_BUDGET"


def test_a_redis_that_has_forgotten_the_scripts_is_told_them_again(process: MakeBudget, redis: Redis) -> None:
    budget = process(per_minute=2)
    use(budget)
    redis.script_flush()

    with budget.call("1"):
        redis.script_flush()

    assert (state(budget, "minute").used, state(budget, "at once").used) == (2, 0)


def test_a_day_that_is_used_waits_for_its_oldest_call(process: MakeBudget, redis: Redis) -> None:
    in_the_past(redis, "day", 5, seconds=86_400 - 120)

    assert refusal(process(per_minute=10, per_day=5)).retry_after_seconds == pytest.approx(120, abs=5)


# -- what the vendor says


def reads_limit(headers: Any) -> Announcement:
    return Announcement(per_minute=int(headers["limit"]))


def reads_usage(headers: Any) -> Announcement:
    used, allowed = headers["usage"].split("/")
    return Announcement(used=int(used), allowed=int(allowed))


def test_a_limit_that_the_vendor_announced_holds_for_all(process: MakeBudget) -> None:
    one, other = process(per_minute=5, read=reads_limit), process(per_minute=5, read=reads_limit)

    one.learn({"limit": "12"})
    use(one, 6)
    use(other, 6)

    refusal(other)
    assert (state(other, "minute").allowed, state(other, "minute").is_announced) == (12, True)


def test_an_announced_limit_is_kept_within_reason(process: MakeBudget) -> None:
    budget = process(per_minute=5, read=reads_limit)

    budget.learn({"limit": "0"})

    assert state(budget, "minute").allowed == 10


def test_background_work_stops_where_the_vendors_count_reaches_the_reserve(process: MakeBudget) -> None:
    one, other = process(read=reads_usage), process(read=reads_usage)

    one.learn({"usage": "700/1000"})

    use(other)
    with background():
        error = refusal(other)
    assert error.retry_after_seconds == 900
    assert str(error.args[0]) == (
        "Zoho Books has counted 700 of 1000 calls in 24 hours; what is left is reserved for orders and payments."
    )


def test_nobody_calls_where_the_vendor_has_counted_all(process: MakeBudget, redis: Redis) -> None:
    budget = process(read=reads_usage)

    budget.learn({"usage": "1000/1000"})

    assert "1000 of 1000" in str(refusal(budget))
    assert 0 < int(redis.ttl("crmsync:zoho_books:10001:usage")) <= 900  # type: ignore[arg-type]


def test_a_usage_that_changes_with_every_call_is_not_written_with_every_call(process: MakeBudget, redis: Redis) -> None:
    budget = process(read=reads_usage)

    for used in range(100):
        budget.learn({"usage": f"{used}/1000"})

    assert redis.get("crmsync:zoho_books:10001:usage") == "0/1000"


def test_what_one_process_was_refused_the_others_do_not_try(process: MakeBudget) -> None:
    one, other = process(), process()

    one.refused(40.0)

    error = refusal(other)
    assert str(error.args[0]) == "Zoho Books has asked crmsync to slow down."
    assert error.retry_after_seconds == pytest.approx(40, abs=2)


# -- at once


def test_no_more_calls_are_under_way_than_the_vendor_allows(process: MakeBudget) -> None:
    budgets = [process(calls_at_once=3) for _ in range(4)]
    under_way, peak, lock = 0, 0, threading.Lock()

    def work(budget: SharedBudget) -> None:
        nonlocal under_way, peak
        for _ in range(5):
            with budget.call("read"):
                with lock:
                    under_way += 1
                    peak = max(peak, under_way)
                time.sleep(0.005)
                with lock:
                    under_way -= 1

    threads = [threading.Thread(target=work, args=(budget,)) for budget in budgets for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (peak, state(budgets[0], "at once").used) == (3, 0)


def test_who_finds_no_slot_comes_back_in_a_second(process: MakeBudget) -> None:
    one, other = process(calls_at_once=1), process(calls_at_once=1)

    with one.call("a long one"):
        started_at = time.monotonic()
        with pytest.raises(NotNowError) as found:
            use(other)
        waited = time.monotonic() - started_at
        assert state(other, "at once").used == 1

    assert waited < 1.2
    assert 0.5 <= found.value.wait_seconds <= 1.5
    use(other)


def test_background_work_of_all_processes_leaves_a_slot(process: MakeBudget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmsync.connectors.limits.slots.BACKGROUND_PATIENCE_SECONDS", 0.05)
    one, two, three = (process(calls_at_once=3) for _ in range(3))

    with background(), one.call("1"), two.call("2"), pytest.raises(NotNowError):
        use(three)
    with background(), one.call("1"), two.call("2"):
        pass
    with one.call("1"), two.call("2"), three.call("3"):
        pass


def test_an_order_finds_the_slot_that_background_work_left(process: MakeBudget) -> None:
    one, two = process(calls_at_once=2), process(calls_at_once=2)

    with background():
        long = one.call("1")
        long.__enter__()
    use(two)
    long.__exit__(None, None, None)


def test_the_slot_of_a_killed_process_frees_itself(process: MakeBudget, redis: Redis) -> None:
    with process(calls_at_once=1).call("1"):
        left = int(redis.pttl("crmsync:zoho_books:10001:slot:0"))  # type: ignore[arg-type]

    assert 5_000 < left <= 10_000


def test_who_has_lost_his_slot_leaves_it_to_its_next_holder(process: MakeBudget, redis: Redis) -> None:
    one, other = process(calls_at_once=1), process(calls_at_once=1)
    late = one.call("longer than a call may")
    late.__enter__()
    redis.flushdb()

    with other.call("2"):
        late.__exit__(None, None, None)
        assert state(other, "at once").used == 1


def test_the_last_free_slot_of_many_is_found_at_once(process: MakeBudget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmsync.connectors.limits.slots.PATIENCE_SECONDS", 0.0)
    one, other = process(calls_at_once=30), process(calls_at_once=30)
    with ExitStack() as calls:
        for number in range(29):
            calls.enter_context(one.call(str(number)))

        use(other)


def test_a_call_outlives_an_emptied_redis(process: MakeBudget, redis: Redis) -> None:
    budget = process(calls_at_once=1, per_minute=10)

    with budget.call("1"):
        redis.flushdb()

    use(budget)


def test_a_redis_that_hangs_costs_a_moment_and_no_call(process: MakeBudget, server: RedisServer) -> None:
    budget = process(per_minute=10, per_day=10)
    use(budget)

    server.signal(signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        use(budget, 20)
        waited = time.monotonic() - started_at
    finally:
        server.signal(signal.SIGCONT)

    assert waited < 3 * redis_link.TIMEOUT_SECONDS


# -- the run that must wait


class Books:
    """A create of one call, through a client with *budget*."""

    def __init__(self, budget: SharedBudget) -> None:
        self.client = VendorClient(
            system="Zoho Books",
            session=new_session(),
            authorizer=None,
            explain=lambda reply: None,
            call_seconds=5,
            budget=budget,
        )

    def create(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.call("create invoice", "POST", URL, json={}).body
        return found


def attempt(services: Services) -> Attempt:
    with services.store.begin() as uow:
        run_id, _ = start_run(uow, "flow", "006", step="first", correlation_id="c", queued_until=uow.now)
        run = uow.runs.claim(run_id, "first", lease_seconds=60)
    assert run is not None
    return Attempt(run, services, services.store.clock())


def end(attempt: Attempt) -> None:
    with attempt.services.store.begin() as uow:
        attempt.record_outcomes(uow)
        uow.runs.release(attempt.run, wait_seconds=0, attempts=0, queued_for=None)


@pytest.mark.parametrize(
    ("limits", "error"),
    [({"per_minute": 1}, RateLimitedError), ({"calls_at_once": 1}, NotNowError)],
    ids=["over the rate", "too many at once"],
)
@responses.activate
def test_a_create_that_the_budget_refused_is_sent_later_without_a_search(
    services: Services, process: MakeBudget, redis: Redis, limits: dict[str, int], error: type[Exception]
) -> None:
    responses.post(URL, json={"number": "1"})
    budget, vendor = process(**limits), FakeVendor()
    first = attempt(services)
    with process(**limits).call("somebody else's"), pytest.raises(error):
        first.create_once(INVOICE, find=vendor.find, create=Books(budget).create)
    end(first)
    assert len(responses.calls) == 0

    redis.delete("crmsync:zoho_books:10001:minute")
    made = attempt(services).create_once(INVOICE, find=vendor.find, create=Books(budget).create)

    assert (made, len(responses.calls), vendor.searches) == ({"number": "1"}, 1, 0)


@pytest.fixture
def flow() -> Iterator[Flow]:
    before = dict(FLOWS)
    yield Flow("budgeted", subject="deal", steps=("ask",), rereads=())
    FLOWS.clear()
    FLOWS.update(before)


def test_a_run_over_budget_waits_as_a_due_time(services: Services, process: MakeBudget, flow: Flow) -> None:
    budget = process(per_minute=5, per_day=1)
    use(budget)

    def ask(attempt: Attempt) -> Any:
        use(budget)

    task = step(flow, queue="crm")(ask)
    with services.store.begin() as uow:
        run_id = flow.open_run(uow, DEFAULT, "006", correlation_id="c")[0]

    with pytest.raises(Ignore):  # the message has ended: nothing of the worker is held
        task.execute(run_id)

    with services.store.read() as uow:
        run = uow.runs.get(run_id)
        assert run is not None
        wait = (run.due_at - uow.now).total_seconds()
    assert (run.status, run.attempts, run.leased_until) == (RunStatus.ACTIVE, 0, None)
    assert 3600 <= wait <= 4500


# -- for people


def test_the_command_shows_every_limit(server: RedisServer, redis: Redis) -> None:
    settings = Settings.from_env({**ZOHO, "REDIS_URL": server.url, "ZOHO_RESERVE_PERCENT": "40"})
    in_the_past(redis, "minute", 30, seconds=20)

    known = known_of_environment(settings)["zoho_books"]
    shown = _to_json(_usage(known, settings, link_of(settings)))

    minute, day, at_once = shown["limits"]
    assert {key: minute[key] for key in ("window", "allowed", "used", "reserved", "left")} == {
        "window": "minute",
        "allowed": 100,
        "used": 30,
        "reserved": 40,
        "left": 70,
    }
    assert shown["reserve_percent"] == 40
    assert minute["resets_in_seconds"] == pytest.approx(40, abs=2)
    assert (day["allowed"], day["used"], at_once["allowed"]) == (10_000, 0, 10)
    assert (shown["calls_under_way"], shown["organization"]) == (0, "10001")
