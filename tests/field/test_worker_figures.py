"""Cases from the field: figures about the workers' work are true, and add up."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from crmsync.domain.catch_up import Verdict
from crmsync.domain.payments import InvoiceChange, PaymentChange
from crmsync.flows import catch_up, invoice_to_deal, payment_to_invoices
from crmsync.flows.sightings import Sighting, start
from crmsync.reading.flows import catch_up_rows
from crmsync.services import Services
from crmsync.store.tables import runs as runs_table
from tests.builders import invoice_read
from tests.fakes import DEFAULT, FakeClock, connection_of
from tests.field.test_broker_commands import message
from tests.integration.test_catch_up import Books, books, crm, enqueued, invoice, look, our_invoice, went_live
from tests.system import System, running, until

__all__ = ["books", "crm", "enqueued", "went_live"]

LOGIN = ("operator", "a password of Flower")
KEYS = [str(number) for number in range(1, 6)]


def figures(services: Services) -> dict[str, tuple[int, int, int]]:
    """For each flow what catch-up expected, had received, and healed."""
    with services.store.read() as uow:
        rows = catch_up_rows(uow, None)
    assert all(row.expected == row.received + row.healed for row in rows)
    return {row.flow: (row.expected, row.received, row.healed) for row in rows}


def announced(services: Services) -> None:
    with services.store.begin() as uow:
        for key in KEYS:
            uow.deliveries.add(connection_of("payments"), key)


def read_now(services: Services, key: str) -> None:
    """The invoice's run has read it at this moment."""
    with services.store.begin() as uow:
        run_id, _ = invoice_to_deal.FLOW.open_run(uow, DEFAULT, key, correlation_id="c")
        results = {"read_invoice": invoice_read(read_at=uow.now).to_json()}
        changed = runs_table.update().where(runs_table.c.id == run_id)
        uow.connection.execute(changed.values(status="done", results=results))


@pytest.mark.parametrize("seconds", [-2, 0, 1, 59])
def test_P12__payments_whose_webhooks_came_are_not_counted_as_healed(
    services: Services, books: Books, clock: FakeClock, seconds: float
) -> None:
    announced(services)
    changes: list[InvoiceChange] = []
    for key in KEYS:
        our_invoice(services, key)
        changes.append(invoice(key, clock, ago=0))
    books.payments = [PaymentChange(key, clock.now) for key in KEYS]
    books.invoices = changes
    clock.advance(seconds)
    for key in KEYS:
        read_now(services, key)
    clock.advance(1200)
    for _ in range(3):
        look(services, catch_up.PAYMENTS)

    assert figures(services)["payment_to_invoices"] == (5, 5, 0)
    assert figures(services).get("invoice_to_deal", (0, 0, 0))[2] == 0


def test_P12__payments_of_which_the_books_tell_the_day_only_are_not_counted_as_healed(
    services: Services, books: Books, clock: FakeClock, enqueued: list[str]
) -> None:
    announced(services)
    day_ends_at = clock.now + timedelta(hours=12)
    books.payments = [PaymentChange(key, day_ends_at, day_ends_at - timedelta(hours=50)) for key in KEYS]
    clock.advance(24 * 3600)
    look(services, catch_up.PAYMENTS)

    assert figures(services)["payment_to_invoices"] == (5, 5, 0)
    assert len(enqueued) == 5, "they are looked at all the same: they may have changed later that day"


def test_P12__what_nobody_announced_is_healed(services: Services, books: Books, clock: FakeClock) -> None:
    books.payments = [PaymentChange(key, clock.now) for key in KEYS]
    our_invoice(services, "7")
    books.invoices = [invoice("7", clock, ago=0)]
    clock.advance(1200)
    look(services, catch_up.PAYMENTS)

    assert figures(services) == {"payment_to_invoices": (5, 0, 5), "invoice_to_deal": (1, 0, 1)}


def test_P12__a_payment_that_changed_long_after_its_webhook_is_healed(
    services: Services, books: Books, clock: FakeClock
) -> None:
    announced(services)
    clock.advance(3600)
    books.payments = [PaymentChange("1", clock.now)]
    clock.advance(1200)
    look(services, catch_up.PAYMENTS)

    assert figures(services)["payment_to_invoices"] == (1, 0, 1)


@pytest.mark.parametrize("step", ["read_invoice", "write_payment"])
def test_P12__an_invoice_whose_run_was_woken_and_has_not_ended_is_not_counted_as_healed(
    services: Services, books: Books, clock: FakeClock, step: str
) -> None:
    for key in KEYS:
        our_invoice(services, key)
        with services.store.begin() as uow:
            run_id, _ = invoice_to_deal.FLOW.open_run(uow, DEFAULT, key, correlation_id="c")
            read = {"read_invoice": invoice_read(read_at=clock.now - timedelta(hours=2)).to_json()}
            results = read if step == "write_payment" else {}  # a run that begins again forgets what it knew
            changed = runs_table.update().where(runs_table.c.id == run_id)
            uow.connection.execute(changed.values(step=step, results=results))
    books.invoices = [invoice(key, clock, balance=50, ago=0) for key in KEYS]
    clock.advance(1200)
    look(services, catch_up.PAYMENTS)

    assert figures(services)["invoice_to_deal"] == (5, 5, 0)


def test_P12__an_invoice_whose_payment_was_announced_and_still_waits_is_not_counted_as_healed(
    services: Services, books: Books, clock: FakeClock
) -> None:
    """A second part is paid, its webhook has come, and the books have not answered since."""
    for key in KEYS:
        our_invoice(services, key)
        read_now(services, key)
    clock.advance(7200)
    announced(services)
    with services.store.begin() as uow:
        for key in KEYS:
            uow.applications.hint("zoho_books", key, [key])
    books.invoices = [invoice(key, clock, balance=50, ago=60) for key in KEYS]
    clock.advance(1200)
    look(services, catch_up.PAYMENTS)

    assert figures(services)["invoice_to_deal"] == (5, 5, 0)


def test_P12__a_second_part_that_nobody_announced_is_healed(services: Services, books: Books, clock: FakeClock) -> None:
    our_invoice(services, "1")
    with services.store.begin() as uow:
        uow.deliveries.add(connection_of("payments"), "1")
        uow.applications.hint("zoho_books", "1", ["1"])
    read_now(services, "1")
    clock.advance(7200)
    books.invoices = [invoice("1", clock, balance=50, ago=0)]
    clock.advance(1200)
    look(services, catch_up.PAYMENTS)

    assert figures(services)["invoice_to_deal"] == (1, 0, 1)


def test_P12__what_has_just_changed_may_still_be_announced(services: Services, clock: FakeClock) -> None:
    """A person who looks by hand does not leave the last moments out: their webhooks are on their way."""
    just_now, long_ago = clock.now - timedelta(seconds=5), clock.now - timedelta(hours=1)
    seen = [
        Sighting(payment_to_invoices.FLOW, key, at, Verdict.START) for key, at in (("1", just_now), ("2", long_ago))
    ]

    started = start(services, services.company(), seen, correlation_id="c")

    assert (started.all, started.healed) == (2, 1)
    assert figures(services)["payment_to_invoices"] == (2, 1, 1)


def test_P12__a_run_of_catch_up_tells_what_it_started_from_what_was_missed(
    services: Services, books: Books, clock: FakeClock
) -> None:
    announced(services)
    day_ends_at = clock.now + timedelta(hours=12)
    books.payments = [PaymentChange(key, day_ends_at, day_ends_at - timedelta(hours=50)) for key in KEYS]
    clock.advance(24 * 3600)

    run = look(services, catch_up.PAYMENTS)

    assert run.title == "Checked 5 changes, started 5, 0 of them missed"
    assert run.results["look_for_payments"]["healed"] == 0


# P11: Flower beside workers whose messages come doubled, wait, and find nothing to do


def tasks(system: System) -> dict[str, dict[str, Any]]:
    url = f"http://127.0.0.1:{system.flower_port}/api/tasks"
    answer = requests.get(url, params={"limit": 5000}, auth=LOGIN, timeout=10)
    found: dict[str, dict[str, Any]] = answer.json()
    return {each: task for each, task in found.items() if str(task["name"]).startswith("order_to_invoice")}


def is_heard(system: System) -> bool:
    """Flower switches the workers' events on; what ran before it did so is not shown."""
    url = f"http://127.0.0.1:{system.flower_port}/api/tasks"
    try:
        return "housekeeping.sweep" in requests.get(url, auth=LOGIN, timeout=10).text
    except requests.RequestException:
        return False


def test_P11__no_task_runs_for_ever_in_flower(tmp_path: Path) -> None:
    with running(tmp_path, "web", "worker", "beat", "flower", FLOWER_BASIC_AUTH=":".join(LOGIN)) as system:
        until(lambda: is_heard(system), what="Flower hears of tasks")
        system.sandbox.faults.add("sap", "error", "create_order", status=503, times=2)
        deals = system.sandbox.deals.bulk(6, 2)
        system.close_all(deals)
        for message in doubled([system.run_of(deal).id for deal in deals]):
            with system.redis() as client:
                client.lpush("crm", message)
        system.wait_for("done", *deals)

        until(lambda: system.queue_length("crm") == 0, what="every message is taken")
        ended = {"SUCCESS", "FAILURE", "REVOKED"}
        until(
            lambda: len(tasks(system)) > 12 and {task["state"] for task in tasks(system).values()} <= ended,
            patience_seconds=30,
            what="Flower shows every task as ended",
        )


def doubled(run_ids: list[str]) -> list[str]:
    """A second message for the first step of each run, as kombu writes it."""
    return [
        json.dumps(message(body=base64.b64encode(json.dumps([[run_id], {}, {"chain": None}]).encode()).decode()))
        for run_id in run_ids
    ]
