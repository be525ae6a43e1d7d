"""When what was paid on an invoice may go to its deal: once the deal's own run has written there, or never will."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import RunStatus
from crmsync.errors import RecordNotFoundError, WaitsForOtherRunError
from crmsync.flows import invoice_to_deal, order_to_invoice
from crmsync.services import Services
from crmsync.store.tables import runs
from crmsync.worker.attempt import Attempt
from tests.fakes import DEFAULT, connection_of, fill_everywhere

DEAL, INVOICE = "006xx0000012abcAAA", "11"
WRITTEN = {step: {} for step in order_to_invoice.FLOW.steps}
UNWRITTEN = {step: {} for step in order_to_invoice.FLOW.steps[:-1]}


class Books:
    """They had the invoice, which was deleted since; *reads* counts how often they were asked."""

    system = "Zoho Books"
    reads = 0

    def read_settlement(self, key: str) -> Any:
        self.reads += 1
        raise RecordNotFoundError(system=self.system)


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    made = Books()
    fill_everywhere(monkeypatch, payments=made)
    return made


def attempt(services: Services, **deal_run: Any) -> Attempt:
    """At the first step of the invoice's run; the run of its deal stands as *deal_run* says."""
    with services.store.begin() as uow:
        deal, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, DEAL, correlation_id="c")
        key = EntryKey(connection_of("invoices"), "invoice", f"SF-{DEAL}")
        uow.ledger.reserve(key, deal, certain_at=uow.now)
        uow.ledger.confirmed(key, {"key": INVOICE, "number": "INV-1"})
        uow.connection.execute(update(runs).where(runs.c.id == deal).values(currency="USD", **deal_run))
        run_id, _ = invoice_to_deal.FLOW.open_run(uow, DEFAULT, INVOICE, correlation_id="c")
        run = uow.runs.claim(run_id, "read_invoice", first_step="read_invoice", lease_seconds=60)
    assert run is not None
    return Attempt(run, services, uow.now)


@pytest.mark.parametrize(
    ("deal_run", "wait_seconds"),
    [
        pytest.param({"status": RunStatus.ACTIVE.value, "results": UNWRITTEN}, 5, id="is at work"),
        pytest.param({"status": RunStatus.ACTIVE.value, "results": WRITTEN}, 5, id="looks again"),
        pytest.param({"status": RunStatus.STOPPED.value, "results": UNWRITTEN}, 120, id="waits for a person"),
    ],
)
def test_a_payment_waits_while_the_run_of_its_deal(
    services: Services, books: Books, deal_run: dict[str, Any], wait_seconds: float
) -> None:
    with pytest.raises(WaitsForOtherRunError) as waits:
        invoice_to_deal.read_invoice.body(attempt(services, **deal_run))

    assert (waits.value.wait_seconds, books.reads) == (wait_seconds, 0)


@pytest.mark.parametrize(
    "deal_run",
    [
        pytest.param({"status": RunStatus.DONE.value, "results": WRITTEN}, id="is done"),
        pytest.param({"status": RunStatus.STOPPED.value, "results": WRITTEN}, id="was done, and asks about a change"),
        pytest.param({"status": RunStatus.DISCARDED.value, "results": UNWRITTEN}, id="was given up"),
    ],
)
def test_a_payment_goes_to_its_deal_when_the_run_of_that(
    services: Services, books: Books, deal_run: dict[str, Any]
) -> None:
    learned = invoice_to_deal.read_invoice.body(attempt(services, **deal_run))

    assert (learned.deal, books.reads) == (DEAL, 1)
