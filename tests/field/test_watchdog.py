"""Cases from the field: the watchdog, which must go on whatever happens to the work that it watches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore

from crmsync.connectors import breaker as breaker_module
from crmsync.connectors.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.budget import UNLIMITED
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import CrmsyncError, VendorUnavailableError
from crmsync.services import Services
from crmsync.worker import dead_letters, watch
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests.fakes import FakeClock
from tests.system import System, big_sandbox, database, until

SAP = "SAP S/4HANA"
HOUR = 3600.0

_FLOW = Flow("watched", subject="deal", steps=("order", "bill"), rereads=())
_bodies: dict[str, Callable[[Attempt], Mapping[str, Any]]] = {}


@step(_FLOW, queue="erp")
def order(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["order"](attempt)


@step(_FLOW, queue="books")
def bill(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["bill"](attempt)


@pytest.fixture(autouse=True)
def bodies(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[[Attempt], Mapping[str, Any]]]]:
    """What each step does; and nothing reaches a broker."""
    monkeypatch.setattr(breaker_module, "BELIEVED_SECONDS", -1.0)
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(FLOWS["watched"], "ring", lambda run_id, results: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    _bodies.update(dict.fromkeys(_FLOW.steps, lambda attempt: {}))
    yield _bodies
    _bodies.clear()


def runs_of(services: Services, count: int) -> list[str]:
    with services.store.begin() as uow:
        return [_FLOW.open_run(uow, f"deal {number}", correlation_id="c")[0] for number in range(count)]


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
            uow.breakers.failed("s4hana", system=SAP, threshold=20, is_probe=False)
    run_ids = runs_of(services, 6)

    ends_at = clock.now.timestamp() + 4 * HOUR
    while clock.now.timestamp() < ends_at:
        work(services, run_ids)
        clock.advance(20)

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
            uow.breakers.failed("s4hana", system=SAP, threshold=1, is_probe=False)
        raise VendorUnavailableError(system=SAP)

    bodies["order"] = opens_meanwhile
    [run_id] = runs_of(services, 1)
    work(services, [run_id])

    run = get(services, run_id)
    assert (run.attempts, run.status) == (0, RunStatus.ACTIVE)
    assert 15 < (run.due_at - services.store.clock()).total_seconds() < 21


def test_P10__an_outage_of_another_system_does_use_up_attempts(services: Services, bodies: dict[str, Any]) -> None:
    with services.store.begin() as uow:
        uow.breakers.failed("s4hana", system=SAP, threshold=1, is_probe=False)

    def fail(attempt: Attempt) -> Mapping[str, Any]:
        raise VendorUnavailableError(system="Zoho Books")

    bodies["order"] = fail
    [run_id] = runs_of(services, 1)
    work(services, [run_id])
    assert get(services, run_id).attempts == 1


def test_P10__a_system_that_refuses_us_as_a_whole_is_given_up_at_once(services: Services) -> None:
    with services.store.begin() as uow:
        assert uow.breakers.failed("s4hana", system=SAP, threshold=20, is_probe=False, reason="The plan is over.")
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
        uow.breakers.failed("s4hana", system=SAP, threshold=1, is_probe=False)
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
    with (
        big_sandbox() as sandbox,
        database(tmp_path) as url,
        System(tmp_path, sandbox, database_url=url, CRMSYNC_LEASE_SECONDS="60") as system,
    ):
        system.start("web", kind, "beat")
        first, *deals = system.sandbox.deals.bulk(threads + 5, 2)
        system.close(first.id)
        system.wait_for("done", first)  # signed in everywhere: a sign-in holds one thread only
        sandbox.faults.add("salesforce", "slow", seconds=20)
        system.close_all(deals)
        until(lambda: leased(system) == threads, what="every thread hangs in a call")

        with system.store.begin() as uow:
            uow.alerts.add("test", {"headline": "It is told", "facts": [], "cause": "", "advice": "", "command": ""})
        swept = sweep_sign(system)
        until(lambda: "It is told" in system.log(), patience_seconds=5, what="the alert is delivered")
        until(lambda: sweep_sign(system) > swept, patience_seconds=5, what="another sweep ends")
        assert leased(system) == threads


def leased(system: System) -> int:
    with system.store.read() as uow:
        return sum(count for *_, count in uow.runs.tally())


def sweep_sign(system: System) -> str:
    with system.store.read() as uow:
        return uow.facts.get(watch.SWEEP) or ""
