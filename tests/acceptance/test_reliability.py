"""Whatever dies, hangs or forgets in the middle of the work: nothing accepted is lost, nothing is made twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from crmsync.embedded import embedded_client_url
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.deals import Deal
from tests import system as harness
from tests.system import RedisServer, System, big_sandbox, until

pytestmark = pytest.mark.acceptance

DEALS, CUSTOMERS = 30, 10
LATENCY_SECONDS = 0.02  # enough that a burst has a middle


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with big_sandbox(latency_seconds=LATENCY_SECONDS) as sandbox:
        yield sandbox


@pytest.fixture
def system(tmp_path: Path, sandbox: Sandbox) -> Iterator[System]:
    with harness.database(tmp_path) as url, System(tmp_path, sandbox, database_url=url) as system:
        yield system


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A broker that a test may mistreat, whatever the suite's own is."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def brokered(tmp_path: Path, sandbox: Sandbox, own_redis: RedisServer) -> Iterator[System]:
    """A system on the test's own Redis, which is not started yet."""
    with (
        harness.database(tmp_path) as url,
        System(tmp_path, sandbox, database_url=url, redis_url=own_redis.url) as system,
    ):
        yield system


def burst(sandbox: Sandbox) -> list[Deal]:
    return sandbox.deals.bulk(DEALS, CUSTOMERS)


def names(sandbox: Sandbox) -> list[str]:
    return sorted({deal["account"] for deal in sandbox.ledger()["deals"]})


def orders_made(system: System, number: int) -> None:
    """Until the burst is so far; there is work under way then."""
    until(lambda: len(system.sandbox.ledger()["orders"]) >= number, what=f"{number} orders are made")


def all_ended(system: System, deals: list[Deal]) -> None:
    until(lambda: not system.statuses(deals)["active"], what="every run has come to an end")


def was_started(system: System, deal: Deal, times: int) -> bool:
    """Or its run has ended: where a lease ran out before the worker was killed, that was a start too."""
    run = system.run_of(deal)
    return run.starts >= times or not run.status.is_active


def assert_all_done_once(system: System, deals: list[Deal]) -> None:
    all_ended(system, deals)
    system.wait_for("done", *deals)
    assert len(names(system.sandbox)) == CUSTOMERS
    system.assert_each_once(deals, customers=names(system.sandbox))


# -- processes die


@pytest.mark.parametrize("pool", ["worker", "prefork"])
def test_killing_every_process_loses_and_doubles_nothing(system: System, sandbox: Sandbox, pool: str) -> None:
    deals = burst(sandbox)
    system.start("web", pool, "beat")

    system.close_all(deals[:20])
    for made, name in ((1, pool), (5, "beat"), (10, pool)):
        orders_made(system, made)
        system.kill(name)
        system.start(name)
    system.kill("web")
    system.start("web")
    system.close_all(deals[20:], insist=True)
    orders_made(system, 22)
    for name in ("web", pool, "beat"):
        system.kill(name)
    system.start("web", pool, "beat")

    assert_all_done_once(system, deals)


def test_a_worker_killed_while_answers_get_lost_doubles_nothing(system: System, sandbox: Sandbox) -> None:
    deals = burst(sandbox)
    for vendor in ("salesforce", "sap", "zoho"):
        sandbox.faults.add(vendor, "error", rate=0.05)
        sandbox.faults.add(vendor, "lost", rate=0.05)
    system.start("web", "worker", "beat")

    system.close_all(deals)
    orders_made(system, 5)
    system.kill("worker")
    system.start("worker")
    all_ended(system, deals)
    sandbox.faults.clear()
    if system.letters():
        system.dead_letters("replay", "--all", "--yes")

    assert_all_done_once(system, deals)


@pytest.mark.parametrize("pool", ["worker", "prefork"])
def test_a_worker_that_is_asked_to_stop_leaves_nothing_behind(system: System, sandbox: Sandbox, pool: str) -> None:
    deals = burst(sandbox)
    system.start("web", pool)  # no beat: nobody repairs what a stop would break
    system.close_all(deals)
    orders_made(system, 3)

    assert system.terminate(pool) == 0

    with system.store.read() as uow:
        held = [deal.id for deal in deals if (run := system.run_of(deal)).leased_until and run.is_leased(uow.now)]
    assert held == []
    assert system.statuses(deals)["active"] > 0, "it was stopped in the middle"
    system.start(pool)
    assert_all_done_once(system, deals)


def test_workers_that_share_the_queues_hand_runs_to_each_other(tmp_path: Path, sandbox: Sandbox) -> None:
    deals = burst(sandbox)
    with (
        harness.database(tmp_path) as url,  # and no sweep: what is not handed over stands still
        System(tmp_path, sandbox, database_url=url, CRMSYNC_SWEEP_SECONDS="600") as system,
    ):
        system.start("web", "crm", "others")

        system.close_all(deals)

        assert_all_done_once(system, deals)


def test_two_beats_double_nothing(system: System, sandbox: Sandbox) -> None:
    deals = burst(sandbox)
    system.start("web", "worker@1", "worker@2", "beat@1", "beat@2")

    system.close_all(deals)
    orders_made(system, 3)
    with system.redis() as client:
        client.flushdb()  # both sweepers find the same runs then

    assert_all_done_once(system, deals)


def test_a_run_that_takes_its_worker_down_each_time_is_left_to_a_person(tmp_path: Path, sandbox: Sandbox) -> None:
    """The worker is killed whenever it works on the deal; after so many starts the run is a dead letter."""
    sandbox.latency.seconds = 0
    with (
        harness.database(tmp_path) as url,
        System(tmp_path, sandbox, database_url=url, CRMSYNC_LEASE_SECONDS="1", CRMSYNC_MAX_STARTS="2") as system,
    ):
        system.start("web", "worker", "beat")
        poison, healthy = sandbox.deals.create("Poison Ltd"), sandbox.deals.create("Healthy Ltd", email="h@example.com")
        sandbox.faults.add("salesforce", "slow", "query", seconds=30)
        system.close(poison.id)
        for start in (1, 2):
            until(lambda: was_started(system, poison, start), what="the step was started")  # noqa: B023
            system.kill("worker")
            system.start("worker")

        all_ended(system, [poison])
        letter = system.letter_of(poison)
        assert (letter.step, letter.error) == ("fetch_deal", "BugError")
        assert "started 2 times" in letter.cause

        sandbox.faults.clear()
        system.close(healthy.id)
        system.dead_letters("replay", str(letter.id), "--yes")
        all_ended(system, [poison, healthy])
        system.assert_each_once([poison, healthy], customers=["Poison Ltd", "Healthy Ltd"])


# -- Redis dies, hangs or forgets


def test_emptying_redis_loses_nothing(system: System, sandbox: Sandbox) -> None:
    deals = burst(sandbox)
    system.start("web", "worker", "beat")

    system.close_all(deals)
    for made in (2, 10, 18):
        orders_made(system, made)
        with system.redis() as client:
            client.flushdb()

    assert_all_done_once(system, deals)


@pytest.mark.skipif(bool(harness.TEST_REDIS_URL), reason="the suite runs on a Redis of its own, not the embedded one")
def test_the_embedded_redis_comes_back_when_it_is_killed(system: System, sandbox: Sandbox) -> None:
    deals = burst(sandbox)
    system.start("web", "worker", "beat")

    system.close_all(deals[:15])
    orders_made(system, 3)
    with redis.Redis.from_url(embedded_client_url(system.state)) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    system.close_all(deals[15:])

    assert_all_done_once(system, deals)
    assert system.processes["worker"].poll() is None
    assert system.processes["beat"].poll() is None


def test_a_redis_that_is_killed_and_comes_back_empty_is_used_again(
    brokered: System, sandbox: Sandbox, own_redis: RedisServer
) -> None:
    own_redis.start()
    deals = burst(sandbox)
    brokered.start("web", "worker", "beat")

    brokered.close_all(deals[:15])
    orders_made(brokered, 3)
    own_redis.kill()
    brokered.close_all(deals[15:])
    own_redis.start()

    assert_all_done_once(brokered, deals)
    assert brokered.processes["worker"].poll() is None
    assert brokered.processes["beat"].poll() is None


@pytest.mark.parametrize("pool", ["worker", "prefork"])
def test_a_worker_goes_on_when_its_connections_are_cut(brokered: System, own_redis: RedisServer, sandbox: Sandbox,
                                                       pool: str) -> None:  # fmt: skip
    own_redis.start()
    deals = burst(sandbox)
    brokered.start("web", pool, "beat")

    brokered.close_all(deals[:15])
    for made in (2, 6, 10):
        orders_made(brokered, made)
        with brokered.redis() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    brokered.close_all(deals[15:])

    assert_all_done_once(brokered, deals)
    assert brokered.processes[pool].poll() is None


def test_webhooks_are_taken_without_redis_and_done_when_it_starts(
    brokered: System, sandbox: Sandbox, own_redis: RedisServer
) -> None:
    deals = burst(sandbox)
    brokered.start("web")

    brokered.close_all(deals)
    assert brokered.statuses(deals) == {"active": DEALS}
    brokered.start("worker", "beat")
    own_redis.start()

    assert_all_done_once(brokered, deals)


def test_a_redis_that_hangs_does_not_hold_the_receiver(
    brokered: System, sandbox: Sandbox, own_redis: RedisServer
) -> None:
    own_redis.start()
    deals = burst(sandbox)
    brokered.start("web", "worker", "beat")
    brokered.close_all(deals[:5])
    own_redis.signal(signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        brokered.close_all(deals[5:])  # the sandbox waits ten seconds for each answer, and then has none
        assert time.monotonic() - started_at < 20
    finally:
        own_redis.signal(signal.SIGCONT)

    assert_all_done_once(brokered, deals)
