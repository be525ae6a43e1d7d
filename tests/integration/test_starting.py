"""Runs that look again: none of what changed while a run was under way is overlooked, and no period runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services
from crmsync.store.runs import Runs
from crmsync.worker import starting
from crmsync.worker.flow import FLOWS, Flow
from tests.fakes import DEFAULT, FakeClock, run_of_subject

HOUR = 3600


@pytest.fixture(autouse=True)
def no_flow_remains() -> Iterator[None]:
    before = dict(FLOWS)
    yield
    FLOWS.clear()
    FLOWS.update(before)


@pytest.fixture
def flow() -> Flow:
    return Flow("looks", subject="thing", steps=("read", "tell"), rereads=("read", "tell"), repeats=True)


def start(services: Services, flow: Flow) -> starting.ToEnqueue | None:
    with services.store.begin() as uow:
        return starting.start(uow, flow, DEFAULT, "x", correlation_id="c")


def run_of(services: Services, flow: Flow) -> Run:
    with services.store.read() as uow:
        run = run_of_subject(uow, flow.name, "x")
    assert run is not None
    return run


def claim(services: Services, flow: Flow, step: str) -> Run:
    with services.store.begin() as uow:
        run = uow.runs.claim(run_of(services, flow).id, step, first_step=flow.steps[0], lease_seconds=60)
    assert run is not None
    return run


def finish(services: Services, flow: Flow, run: Run) -> bool:
    """Ends the step as a worker does; whether the run goes round."""
    undone = flow.undone({**run.results, run.step: {}})
    with services.store.begin() as uow:
        if uow.runs.finish_step(run, {}, next_step=undone[0] if undone else None, queued_until=uow.now):
            return False
        return uow.runs.begin_again(run, first_step=flow.steps[0], queued_until=uow.now)


def work(services: Services, flow: Flow) -> bool:
    """Both steps; whether the run goes round."""
    assert not finish(services, flow, claim(services, flow, "read"))
    return finish(services, flow, claim(services, flow, "tell"))


def test_the_first_change_opens_the_run(services: Services, flow: Flow) -> None:
    to_enqueue = start(services, flow)

    assert to_enqueue == (run_of(services, flow).id, {})


def test_a_change_after_the_end_starts_it_from_the_first_step(services: Services, flow: Flow) -> None:
    start(services, flow)
    assert not work(services, flow)
    assert run_of(services, flow).status is RunStatus.DONE

    assert start(services, flow) == (run_of(services, flow).id, {})

    run = run_of(services, flow)
    assert (run.status, run.step, run.results) == (RunStatus.ACTIVE, "read", {})


def test_a_change_after_the_source_was_read_is_not_overlooked(services: Services, flow: Flow) -> None:
    start(services, flow)
    reading = claim(services, flow, "read")
    assert start(services, flow) is None, "there is nothing to enqueue: it is under way"
    finish(services, flow, reading)

    assert finish(services, flow, claim(services, flow, "tell")), "it goes round"
    assert run_of(services, flow).step == "read"
    assert not work(services, flow), "once"


def test_a_run_that_is_at_work_is_asked_to_look_again_before_anything_else(
    services: Services, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round it could end between the two questions, and nobody would look."""
    start(services, flow)
    monkeypatch.setattr(Runs, "restart", lambda *_, **__: pytest.fail("asked too early"))

    assert start(services, flow) is None
    assert run_of(services, flow).again


def test_a_change_before_the_source_is_read_needs_no_second_round(services: Services, flow: Flow) -> None:
    start(services, flow)
    assert start(services, flow) is None

    assert not work(services, flow)


def test_an_overtaken_worker_does_not_send_it_round(services: Services, flow: Flow, clock: FakeClock) -> None:
    start(services, flow)
    overtaken = claim(services, flow, "read")
    clock.advance(61)
    claim(services, flow, "read")
    start(services, flow)

    assert not finish(services, flow, overtaken)
    with services.store.begin() as uow:
        assert not uow.runs.begin_again(overtaken, first_step="read", queued_until=uow.now)


def test_a_change_revives_a_run_that_died_of_whatever(services: Services, flow: Flow) -> None:
    start(services, flow)
    run = claim(services, flow, "read")
    with services.store.begin() as uow:
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, VendorUnavailableError(system="The books"))

    assert start(services, flow) == (run.id, {})
    assert run_of(services, flow).status is RunStatus.ACTIVE


def test_a_flow_that_does_its_work_once_is_not_started_again(services: Services) -> None:
    flow = Flow("once", subject="thing", steps=("read", "tell"), rereads=("read",))
    start(services, flow)
    work(services, flow)

    assert start(services, flow) is None
    assert run_of(services, flow).status is RunStatus.DONE


# Periods


@pytest.fixture
def hourly() -> Flow:
    return Flow(
        "x", subject="hour", steps=("read", "tell"), rereads=("read", "tell"), repeats=True, every=lambda _: HOUR
    )


def start_period(services: Services, flow: Flow) -> starting.ToEnqueue | None:
    with services.store.begin() as uow:
        return starting.start_period(uow, flow, DEFAULT, HOUR, correlation_id="c", queued_for=timedelta(0))


def test_each_hour_runs_once_however_often_it_is_asked_for(services: Services, hourly: Flow, clock: FakeClock) -> None:
    assert start_period(services, hourly) is None, "the first hour that it sees has begun before"
    clock.advance(HOUR)

    assert start_period(services, hourly) is not None
    work(services, hourly)
    assert start_period(services, hourly) is None
    clock.advance(HOUR)
    assert start_period(services, hourly) is not None


def test_hours_that_were_slept_through_run_once(services: Services, hourly: Flow, clock: FakeClock) -> None:
    start_period(services, hourly)
    clock.advance(5 * HOUR)

    assert start_period(services, hourly) is not None
    work(services, hourly)
    assert start_period(services, hourly) is None


def test_a_run_that_outlasts_its_hour_does_not_pile_up(services: Services, hourly: Flow, clock: FakeClock) -> None:
    start_period(services, hourly)
    clock.advance(HOUR)
    start_period(services, hourly)
    clock.advance(HOUR)

    assert start_period(services, hourly) is None
    work(services, hourly)
    assert run_of(services, hourly).status is RunStatus.DONE, "it does not go round for the hour it missed"
    clock.advance(HOUR)
    assert start_period(services, hourly) is not None
