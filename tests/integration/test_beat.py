"""What beat starts, on real processes: two beats, and each period is run once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from crmsync.store.tables import deliveries, history
from tests.system import System, running, until

SECONDS = 2


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("beat")
    periods = {
        "CRMSYNC_INVENTORY_SECONDS": str(SECONDS),
        "CRMSYNC_CATCH_UP_SECONDS": "1",  # a beat asks as often as the shortest period, so for each of the others twice
        "CRMSYNC_CATCH_UP_GRACE_SECONDS": "1",
    }
    with running(home, "web", "worker", "beat@1", "beat@2", **periods) as made:
        yield made


def rounds(system: System) -> tuple[int, int]:
    """How often the inventory has read the catalogue, and the number of the period that was started last."""
    with system.store.read() as uow:
        ended = history.select().where(history.c.step == "read_catalogue", history.c.event == "done")
        return len(uow.connection.execute(ended).all()), int(
            uow.facts.get(f"period.inventory.salesforce.{SECONDS}") or 0
        )


def test_stock_follows_the_erp_and_no_period_runs_twice(system: System) -> None:
    system.sandbox.products.set_stock("GATEWAY-10", Decimal(77))

    def is_told() -> bool:
        rows = {row["ProductCode"]: row["Available_Stock__c"] for row in system.sandbox.ledger()["products"]}
        return rows["GATEWAY-10"] == 77

    until(is_told)
    first_round, first_period = rounds(system)
    until(lambda: rounds(system)[1] >= first_period + 5)
    last_round, last_period = rounds(system)
    # A round is counted at its end, which may lie in the next period: the one that is at work at first is counted too.
    assert last_round - first_round <= last_period - first_period + 1


def test_a_deal_that_nobody_announced_is_ordered_and_billed_once(system: System) -> None:
    deal = system.sandbox.deals.create("Silent Ltd", email="silent@example.com")
    system.sandbox.deals.close(deal.id)

    until(lambda: system.statuses([deal]) == {"done": 1})

    system.assert_each_once([deal], customers=["Silent Ltd"])
    with system.store.read() as uow:
        of_deal = deliveries.select().where(deliveries.c.subject_key == deal.id)
        seen = [(row.source, row.is_healed) for row in uow.connection.execute(of_deal)]
    assert seen == [("catch_up.order_to_invoice.salesforce", True)]


def test_a_payment_that_nobody_announced_reaches_its_deal(system: System) -> None:
    deal = system.sandbox.deals.create("Quiet Payer Ltd", email="quiet@example.com")
    system.close(deal.id)
    system.wait_for("done", deal)
    (invoice,) = system.documents(deal)[1]

    paid = system.sandbox.invoices.pay(invoice["number"])
    until(lambda: payment_of(system, deal.id) == (True, 47000))
    system.sandbox.payments.delete(paid.payment_id)
    until(lambda: payment_of(system, deal.id) == (False, 0))


def payment_of(system: System, deal_id: str) -> tuple[bool, Any]:
    (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal_id]
    return bool(row["Payment_Received__c"]), row["Payment_Amount__c"]
