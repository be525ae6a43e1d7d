"""The circuit breaker of a connection, as several processes share it over the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from sqlalchemy import select

from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits import breaker as breaker_module
from crmsync.connectors.limits.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.connectors.way_out.transport import new_session
from crmsync.errors import (
    AccountRefusedError,
    AuthenticationError,
    CrmsyncError,
    NotNowError,
    RejectedError,
    VendorUnavailableError,
)
from crmsync.flows import order_to_invoice
from crmsync.services import Services
from crmsync.store.tables import alerts
from crmsync.store.watch import BreakerWatch
from tests.fakes import DEFAULT, FakeClock

URL = "https://erp.example.com/orders"
THRESHOLD = 3


@pytest.fixture(autouse=True)
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    monkeypatch.setattr(breaker_module, "BELIEVED_SECONDS", -1.0)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def content(headline: str) -> Any:
    return lambda system, breaker: {
        "headline": f"{system} {headline}",
        "facts": [],
        "cause": str(breaker.failures),
        "advice": "",
        "command": "",
    }


@pytest.fixture
def process(services: Services) -> Any:
    """A client as each process has one."""

    def make(connection: str = "s4hana") -> VendorClient:
        watch = BreakerWatch(services.store, threshold=THRESHOLD, opened=content("is down"), closed=content("is back"))
        return VendorClient(
            system="SAP",
            session=new_session(),
            authorizer=None,
            explain=lambda reply: None,
            call_seconds=5,
            budget=GuardedBudget(UNLIMITED, SharedBreaker(connection, "SAP", watch)),
        )

    return make


def ask(client: VendorClient) -> Any:
    return client.call("read order", "GET", URL)


def fails(client: VendorClient, times: int) -> None:
    for _ in range(times):
        with pytest.raises(VendorUnavailableError):
            ask(client)


def told(services: Services) -> list[str]:
    with services.store.read() as uow:
        return [row.content["headline"] for row in uow.connection.execute(select(alerts).order_by(alerts.c.id))]


def test_of_two_connections_to_one_vendor_an_outage_is_that_of_the_one_that_was_asked(
    services: Services, process: Any, vendor: responses.RequestsMock
) -> None:
    """A company may have two of them, in different roles: by the vendor's name nobody can tell which has failed."""
    vendor.get(URL, status=503)
    one, other = process("con_erp1"), process("con_erp2")
    for _ in range(THRESHOLD):
        with pytest.raises(VendorUnavailableError) as failed:
            ask(other)

    assert failed.value.connection == "con_erp2"
    assert services.held_seconds(failed.value) is not None
    vendor.replace("GET", URL, status=404)
    with pytest.raises(CrmsyncError) as refused:
        ask(one)
    assert refused.value.connection == "con_erp1"


def test_a_sign_in_that_fails_tells_whose_it_was(process: Any) -> None:
    def sign_in() -> None:
        raise AuthenticationError("The user is locked.", system="SAP")

    with pytest.raises(AccountRefusedError) as refused:
        process("con_erp2").signed_in(sign_in)

    assert refused.value.connection == "con_erp2"


def test_it_opens_for_every_process_and_tells_people_once(
    services: Services, process: Any, vendor: responses.RequestsMock
) -> None:
    vendor.get(URL, status=503)
    one, other = process(), process()
    fails(one, 2)
    fails(other, 1)

    for client in (one, other, one):
        with pytest.raises(NotNowError) as refusal:
            ask(client)
        assert refusal.value.is_definite
        assert refusal.value.wait_seconds > 15
    assert len(vendor.calls) == THRESHOLD, "nobody calls"
    assert told(services) == ["SAP is down"]


def test_one_looks_when_its_time_is_over_and_closes_it(
    services: Services, process: Any, vendor: responses.RequestsMock, clock: FakeClock
) -> None:
    down = vendor.get(URL, status=503)
    one, other = process(), process()
    fails(one, THRESHOLD)
    clock.advance(16)

    fails(one, 1)
    with pytest.raises(NotNowError):
        ask(other)
    clock.advance(16)
    with pytest.raises(NotNowError):
        ask(other)

    clock.advance(15)
    vendor.remove(down)
    vendor.get(URL, json={})
    assert ask(other).status == 200
    assert ask(one).status == 200
    assert told(services) == ["SAP is down"]
    with services.store.read() as uow:
        (alert,) = uow.alerts.newest(None, limit=5, is_open=False)
    assert alert.content["end"]["headline"] == "SAP is back"


def test_only_one_looks_at_a_time(
    services: Services, process: Any, vendor: responses.RequestsMock, clock: FakeClock
) -> None:
    vendor.get(URL, status=503)
    fails(process(), THRESHOLD)
    clock.advance(16)

    with services.store.begin() as uow:
        assert uow.breakers.probe("s4hana", seconds=45)
    with pytest.raises(NotNowError):
        ask(process())


def test_an_answer_of_whatever_kind_ends_the_row(
    services: Services, process: Any, vendor: responses.RequestsMock
) -> None:
    client = process()
    for status in (503, 503, 400, 503, 503):
        vendor.get(URL, status=status)
    fails(client, 2)
    with pytest.raises(RejectedError):
        ask(client)
    fails(client, 2)

    assert told(services) == []
    with services.store.read() as uow:
        assert uow.breakers.get("s4hana").failures == 2


def test_no_answer_counts_as_well_as_an_error(services: Services, process: Any, vendor: responses.RequestsMock) -> None:
    fails(process(), THRESHOLD)

    assert told(services) == ["SAP is down"]


@pytest.mark.parametrize("last", ["waiting", "retry"])
def test_its_end_brings_back_the_runs_that_wait_and_no_others(services: Services, last: str) -> None:
    """Whatever line was written last of all: each run's own last line tells whether it waits."""
    with services.store.begin() as uow:
        ids = {
            event: order_to_invoice.FLOW.open_run(uow, DEFAULT, event, correlation_id="c")[0]
            for event in ("waiting", "retry")
        }
        for event in sorted(ids, key=lambda event: event == last):
            run = uow.runs.claim(ids[event], "fetch_deal", lease_seconds=60)
            assert run is not None
            uow.runs.release(run, wait_seconds=300, attempts=0, queued_for=None)
            uow.history.note(run, event)
        started_runs = uow.breakers.release_waiting()
        due = {event for event, run_id in ids.items() if (run := uow.runs.get(run_id)) and run.due_at <= uow.now}

    assert (started_runs, due) == (1, {"waiting"})
