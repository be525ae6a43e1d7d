"""The figures of /metrics, as Prometheus reads them."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from crmsync import broker
from crmsync.domain.ledger import EntryKey
from crmsync.errors import AmountMismatchError, VendorUnavailableError
from crmsync.services import Services
from tests.fakes import FakeClock

Figures = dict[tuple[str, ...], float]


def scrape(client: FlaskClient) -> Figures:
    """(name, label values…) → figure."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_an_empty_store_has_figures_too(operator: FlaskClient) -> None:
    assert scrape(operator) == {
        ("crmsync_oldest_due_seconds",): 0,
        ("crmsync_dead_letters", "failure"): 0,
        ("crmsync_dead_letters", "data"): 0,
        ("crmsync_dead_letters", "review"): 0,
        ("crmsync_alerts_pending",): 0,
    }


def test_figures_are_the_stores(
    operator: FlaskClient, services: Services, a_run: Any, a_letter: Any, clock: FakeClock
) -> None:
    a_letter(AmountMismatchError(), key="006xx0000012ab1AAA")
    a_letter(VendorUnavailableError(), key="006xx0000012ab2AAA")
    a_letter(VendorUnavailableError(), key="006xx0000012ab3AAA")
    a_run(key="006xx0000012ab4AAA", done=7)
    run = a_run(key="006xx0000012ab5AAA", done=2)
    with services.store.begin() as uow:
        for reference in ("SF-1", "SF-2"):
            uow.ledger.reserve(EntryKey("s4hana", "order", reference), run.id, certain_at=uow.now)
        uow.ledger.confirmed(EntryKey("s4hana", "order", "SF-1"), {"number": "1"})
        uow.deliveries.add("zoho_books", "p")
    clock.advance(42)

    figures = scrape(operator)

    assert figures["crmsync_runs", "order_to_invoice", "stopped"] == 3
    assert figures["crmsync_runs", "order_to_invoice", "done"] == 1
    assert figures["crmsync_runs", "order_to_invoice", "active"] == 1
    assert figures["crmsync_dead_letters", "review"] == 1
    assert figures["crmsync_dead_letters", "failure"] == 2
    assert figures["crmsync_dead_letters", "data"] == 0
    assert figures["crmsync_deliveries_total", "salesforce"] == 5
    assert figures["crmsync_deliveries_total", "zoho_books"] == 1
    assert figures["crmsync_ledger", "order", "sent"] == 1
    assert figures["crmsync_ledger", "order", "confirmed"] == 1
    assert figures["crmsync_alerts_pending",] == 2
    assert figures["crmsync_oldest_due_seconds",] == 42


def test_queues_are_counted(operator: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def lengths(settings: Any, names: tuple[str, ...]) -> dict[str, int]:
        asked.append(names)
        return {"crm": 3, "dead_letter": 1}

    monkeypatch.setattr(broker, "queue_lengths", lengths)

    figures = scrape(operator)

    assert figures["crmsync_queue_length", "crm"] == 3
    assert figures["crmsync_queue_length", "dead_letter"] == 1
    assert asked == [("crm", "dead_letter")]


def test_without_a_broker_only_the_queues_are_missing(operator: FlaskClient) -> None:
    figures = scrape(operator)

    assert not [key for key in figures if key[0] == "crmsync_queue_length"]
    assert ("crmsync_alerts_pending",) in figures


def test_without_a_store_the_scrape_fails(operator: FlaskClient, services: Services) -> None:
    with services.store.engine.connect() as connection:
        connection.execute(text("DROP TABLE runs"))
        connection.commit()

    answer = operator.get("/metrics")

    assert answer.status_code == 503
    assert answer.text == "The database does not answer.\n"
