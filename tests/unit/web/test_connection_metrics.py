"""The figures of each connection in /metrics."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from crmsync import connections
from crmsync.connectors.limits.redis_link import NoRedisError
from crmsync.connectors.limits.shared_budget import State
from crmsync.domain.breaker import FailedCall
from crmsync.domain.connections import Wanted
from crmsync.domain.runs import Origin
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.web import connection_metrics
from tests.fakes import FakeClock
from tests.unit.web.api.conftest import ADA, BOOKS
from tests.unit.web.test_metrics import scrape

NAME = 'Müller "Söhne" \\ Co'
STATES = [State("minute", 100, 7, 30), State("24 hours", None, None, None), State("at once", 10, 1, 3)]


class FakeBudget:
    def states(self) -> list[State]:
        return STATES


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_metrics, "shared_budget", lambda *_: FakeBudget())


def made(services: Services, name: str = NAME) -> str:
    with services.store.begin() as uow:
        wanted = Wanted(name=name, settings=BOOKS["settings"], secrets=BOOKS["secrets"])
        return connections.create(services, uow, ADA, "acme", "zoho_books", wanted).id


def key(figure: str, connection: str, /, **labels: str) -> tuple[str, ...]:
    """As scrape() has it: the values of the labels in the order of their names."""
    told = {"tenant": "acme", "connection": connection, **labels}
    return (f"crmsync_connection_{figure}", *(told[label] for label in sorted(told)))


def a_run_from(uow: UnitOfWork, source: str) -> str:
    origin = Origin("acme", source)
    return uow.runs.start_all("payments", origin, [("77", "c")], step="read_payment", queued_until=uow.now)[0][0]


def test_a_connection_has_figures_of_its_own(
    operator: FlaskClient, services: Services, clock: FakeClock, counted: None
) -> None:
    one, other = made(services), made(services, "Other books")
    with services.store.begin() as uow:
        uow.connections.succeeded(one)
        now = uow.now
        uow.breakers.failed(other, FailedCall(is_probe=False), system="Zoho Books", threshold=1)
        a_run_from(uow, one)
    clock.advance(42)

    figures = scrape(operator)

    assert figures["crmsync_connections",] == 2
    assert figures[key("info", one, system="zoho_books", name=NAME)] == 1
    assert figures[key("breaker_open", one)] == 0
    assert figures[key("breaker_open", other)] == 1
    assert figures[key("last_success_timestamp_seconds", one)] == now.timestamp()
    assert key("last_success_timestamp_seconds", other) not in figures
    assert figures[key("oldest_due_seconds", one)] == 42
    assert figures[key("oldest_due_seconds", other)] == 0
    assert figures[key("calls_used", one, window="minute")] == 7
    assert figures[key("calls_allowed", other, window="at once")] == 10
    assert figures[key("calls_reserved", one, window="minute")] == 30
    assert key("calls_used", one, window="24 hours") not in figures, "not known is not 0"


def test_a_letter_counts_for_the_connection_at_fault_or_the_source(
    operator: FlaskClient, services: Services, a_letter: Any
) -> None:
    one = made(services)
    error = VendorUnavailableError()
    error.connection = one
    a_letter(error)
    with services.store.begin() as uow:
        run = uow.runs.get(a_run_from(uow, one))
        assert run is not None
        uow.dead_letters.add(run, VendorUnavailableError())

    figures = scrape(operator)

    assert figures[key("dead_letters", one, kind="failure")] == 2
    assert figures[key("dead_letters", one, kind="review")] == 0
    assert figures["crmsync_dead_letters", "failure"] == 2, "that of all keeps its name and labels"


def test_without_redis_only_the_call_budgets_are_missing(
    operator: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asked = made(services), []

    def refuse(*_: object) -> None:
        asked.append(1)
        raise NoRedisError

    made(services, "Other books")
    monkeypatch.setattr(connection_metrics, "shared_budget", refuse)

    figures = scrape(operator)

    assert figures[key("breaker_open", one)] == 0
    assert not [key for key in figures if key[0].startswith("crmsync_connection_calls")]
    assert len(asked) == 1, "it is not asked again for each"


def test_many_connections_have_a_bounded_number_of_series(
    operator: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch, counted: None
) -> None:
    monkeypatch.setattr(connection_metrics, "CONNECTIONS_MAX", 2)
    for number in range(3):
        made(services, f"Books {number}")

    figures = scrape(operator)

    assert figures["crmsync_connections",] == 3
    for name in ("crmsync_connection_info", "crmsync_connection_breaker_open"):
        assert len([key for key in figures if key[0] == name]) == 2
