"""Cases from the field: stock is told as it was read, whether it could be written or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from crmsync.cli.inventory_run import known_stock
from crmsync.domain.runs import RunStatus
from crmsync.domain.stock import ProductState
from crmsync.errors import RejectedError, VendorUnavailableError
from crmsync.flows import inventory
from crmsync.reading.stock import stock_known
from crmsync.services import Services
from tests.fakes import FakeClock
from tests.integration.test_inventory_flow import (
    HOUR,
    Catalogue,
    Erp,
    catalogue,
    connected,
    digests,
    erp,
    quiet,
    run_of,
    start,
    step,
    stocked,
    take_stock,
)

__all__ = ["catalogue", "connected", "erp", "quiet"]


def page(services: Services, which: str = "low") -> tuple[Mapping[str, int], list[ProductState]]:
    with services.store.read() as uow:
        found = stock_known(uow, None)
    return found.line.counts, list(found.lists[which])


def counts(services: Services) -> dict[str, int]:
    return dict(page(services)[0])


def test_P4__a_product_that_the_catalogue_refuses_is_low_and_alerted_and_shown_as_it_was_read(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A", "B")
    stocked(erp, A=500, B=500)
    take_stock(services)
    catalogue.refuses["01tA"] = "ENTITY_IS_LOCKED: is locked"
    stocked(erp, A=0, B=500)
    clock.advance(HOUR)

    outcome = take_stock(services)

    (low,) = page(services)[1]
    assert (low.code, low.available, low.shown, low.problem) == ("A", 0, 500, "ENTITY_IS_LOCKED: is locked")
    assert counts(services) == {"active": 2, "low": 1, "unknown": 0, "refused": 1, "unwritten": 0}
    (digest,) = digests(services)
    assert digest["headline"] == "1 product is low on stock"
    assert "Less than 10 left: A: 0. Low, and not written to the CRM: A." in digest["cause"].replace("\n", " ")
    assert (outcome["newly_low"], outcome["low_unwritten"], outcome["refused"]) == (1, 1, 1)
    shown = known_stock(services.store, ["low"], limit=5)
    assert [(each["available"], each["shown"], each["written"]) for each in shown["lists"]["low"]] == [(0, 500, False)]

    clock.advance(HOUR)
    assert take_stock(services)["newly_low"] == 0, "people know of it"


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("Salesforce lacks a field.", system="Salesforce"),
        VendorUnavailableError(system="Salesforce"),
    ],
)
def test_P4__what_is_low_is_told_although_nothing_can_be_written(
    services: Services,
    erp: Erp,
    catalogue: Catalogue,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    catalogue.has("A", "B")
    stocked(erp, A=0, B=500)

    def fails(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "write_levels", fails)
        start(services)
        for name in ("read_catalogue", "read_stock"):
            step(services, name)
        with pytest.raises(type(error)):
            step(services, "write_levels")

    assert digests(services)[0]["headline"] == "1 product is low on stock"
    assert counts(services) == {"active": 2, "low": 1, "unknown": 0, "refused": 0, "unwritten": 2}
    clock.advance(HOUR)
    if run_of(services).status is RunStatus.ACTIVE:  # a passing fault: it is tried again
        step(services, "write_levels")
    for _ in range(2):
        take_stock(services)
        clock.advance(HOUR)
    headlines = [digest["headline"] for digest in digests(services)]
    assert [each for each in headlines if "low on stock" in each] == ["1 product is low on stock"], "and told once"
    assert counts(services)["unwritten"] == 0


def test_P4__a_job_at_work_is_no_reason_to_tell_early(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    catalogue.bulk_above = 0
    catalogue.has("A")
    stocked(erp, A=0)
    start(services)
    for name in ("read_catalogue", "read_stock"):
        step(services, name)
    with pytest.raises(Exception, match="processing the update"):
        step(services, "write_levels")

    assert digests(services) == []
    assert counts(services)["low"] == 1, "it was read"


def test_P4__what_nobody_can_read_has_no_number(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    """The ERP does not know the code; what the catalogue once said is no reading."""
    catalogue.has("A", "GHOST")
    stocked(erp, A=500)
    take_stock(services)
    with services.store.begin() as uow:
        uow.products.written("salesforce", [*uow.products.to_write("salesforce")], [])

    counted, unknown = page(services, "unknown")

    assert [(each.code, each.available, each.is_low) for each in unknown] == [("GHOST", None, False)]
    assert (counted["unknown"], counted["low"]) == (1, 0)


def test_P4__a_product_that_is_not_sold_any_more_is_in_no_list(
    services: Services, erp: Erp, catalogue: Catalogue
) -> None:
    catalogue.has("A")
    stocked(erp, A=0)
    take_stock(services)
    with services.store.begin() as uow:
        uow.products.retire_unseen("salesforce", uow.now.replace(year=uow.now.year + 1))

    assert counts(services)["low"] == 0


def test_P4__an_empty_answer_is_not_believed_although_nothing_was_ever_written(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A")
    catalogue.refuses["01tA"] = "ENTITY_IS_LOCKED: is locked"
    stocked(erp, A=500)
    take_stock(services)
    erp.rows = []
    clock.advance(HOUR)
    start(services)
    step(services, "read_catalogue")

    with pytest.raises(Exception, match="no stock at all"):
        inventory.read_stock.execute(run_of(services).id)
