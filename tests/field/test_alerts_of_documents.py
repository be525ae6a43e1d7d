"""Cases from the field: an alert of one document closes when somebody has put it right at its system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import update

from crmsync.domain.documents import Document
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.domain.payments import Settlement
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.flows import compare_orders, order_to_invoice, unmailed
from crmsync.flows.held_orders import check_holds
from crmsync.services import Services
from crmsync.store.tables import ledger, runs
from crmsync.worker.attempt import Attempt
from tests.builders import NOW
from tests.fakes import DEFAULT, FakeClock, connection_of, fill_everywhere
from tests.field.raw_server import RawServer
from tests.field.test_alerts_end import open_alerts
from tests.field.vendors import json_answer, sap, zoho

DEAL = "006xx0000012abcAAA"
MADE = Document("4711", "4711", net=Money.of("47000.00", "USD"))
BLOCKED = replace(MADE, holds=("billing block 01",))
TOTAL = Money.of("47000.00", "USD")
BILLED = Settlement("46", "INV-000001", f"SF-{DEAL}", total=TOTAL, balance=TOTAL, paid=Money.of(0, "USD"))
DAY_SECONDS = 86_400.0


class FakeErp:
    """An ERP that has one order, as it is told; None: the order is gone."""

    system = "SAP S/4HANA"

    def __init__(self) -> None:
        self.order: Document | None = MADE

    def read_orders(self, keys: Sequence[str]) -> list[Document]:
        return [self.order] if self.order is not None and self.order.key in keys else []

    def read_order(self, key: str) -> Document:
        if self.order is None:
            raise RecordNotFoundError("There is no such order.", system=self.system)
        return self.order


@pytest.fixture
def erp(services: Services, monkeypatch: pytest.MonkeyPatch) -> FakeErp:
    made = FakeErp()
    fill_everywhere(monkeypatch, orders=made)
    return made


@pytest.fixture
def alert_of_holds(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = replace(services.settings.behaviour, held_orders="alert")
    monkeypatch.setattr(services, "settings", replace(services.settings, behaviour=behaviour))


@pytest.fixture
def under_way(services: Services) -> Run:
    """A deal whose run has made its order and is not done: a problem of the order is an alert, and no dead letter."""
    key = EntryKey(connection_of("orders"), "order", DEAL)
    with services.store.begin() as uow:
        run_id = order_to_invoice.FLOW.open_run(uow, DEFAULT, DEAL, correlation_id="c")[0]
        uow.ledger.reserve(key, run_id, certain_at=uow.now)
        uow.ledger.confirmed(key, MADE.to_json())
        run = uow.runs.get(run_id)
    assert run is not None
    return replace(run, title="Acme Ltd – 200 sensors", amount=MADE.net.amount if MADE.net else None, currency="USD")


def compare(services: Services, clock: FakeClock) -> None:
    """The next look of the flow, a day later: the order is not among those that were made lately any more."""
    clock.advance(DAY_SECONDS)
    with services.store.begin() as uow:
        run_id = compare_orders.FLOW.open_run(uow, DEFAULT, f"look at {clock()}", correlation_id="c")[0]
    compare_orders.look_at_orders.execute(run_id)


WRONG: dict[str, Document | None] = {
    "gone": None,
    "rejected": replace(MADE, is_void=True),
    "worth something else": replace(MADE, net=Money.of("46000.00", "USD")),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_P14__the_alert_of_an_order_that_is_not_as_it_was_made_ends_when_it_is_again(
    services: Services, clock: FakeClock, erp: FakeErp, under_way: Run, wrong: Document | None
) -> None:
    erp.order = wrong
    for _ in range(2):
        compare(services, clock)
    (alert,) = open_alerts(services)
    assert alert["headline"] == "An order is not as it was made"
    assert ["Deal", DEAL] in alert["facts"]

    erp.order = MADE
    compare(services, clock)

    assert open_alerts(services) == []


@pytest.mark.parametrize("is_told_before", [False, True], ids=["after it was given up", "before"])
def test_P14__who_gives_a_deal_up_and_rejects_its_order_is_not_told_of_it(
    services: Services, clock: FakeClock, erp: FakeErp, under_way: Run, is_told_before: bool
) -> None:
    erp.order = replace(BLOCKED, is_void=True)
    if is_told_before:
        compare(services, clock)
        assert len(open_alerts(services)) == 1
    with services.store.begin() as uow:
        uow.connection.execute(update(runs).where(runs.c.id == under_way.id).values(status=RunStatus.DISCARDED.value))

    compare(services, clock)

    assert open_alerts(services) == []


@pytest.mark.parametrize("hold", ["billing block 01", "delivery block 03", "credit check was not passed"])
def test_P14__the_alert_of_a_held_order_ends_when_the_order_is_released(
    services: Services, clock: FakeClock, erp: FakeErp, alert_of_holds: None, under_way: Run, hold: str
) -> None:
    erp.order = replace(MADE, holds=(hold,))
    check_holds(Attempt(under_way, services, NOW), erp.order, system=erp.system)
    compare(services, clock)
    (alert,) = open_alerts(services)
    assert hold in alert["cause"]
    assert ["Deal", DEAL] in alert["facts"]
    assert ["Amount", "47,000.00 USD"] in alert["facts"]

    erp.order = MADE
    compare(services, clock)

    assert open_alerts(services) == []


def test_P14__the_alert_of_an_incomplete_order_ends_when_it_is_delivered_or_billed(
    services: Services, clock: FakeClock, erp: FakeErp, alert_of_holds: None, under_way: Run
) -> None:
    """No field of the order says that it was completed; but what is incomplete can't be delivered."""
    made = replace(MADE, remarks=("SLS_LORD/009",), is_incomplete=True)
    with services.store.begin() as uow:
        uow.connection.execute(update(ledger).values(document=made.to_json()))
    check_holds(Attempt(under_way, services, NOW), made, system=erp.system)
    compare(services, clock)
    (alert,) = open_alerts(services)
    assert "it is incomplete" in alert["cause"]

    erp.order = replace(MADE, is_in_hand=True)
    compare(services, clock)

    assert open_alerts(services) == []


@pytest.mark.parametrize(("status", "is_in_hand"), [("", False), ("A", False), ("B", True), ("C", True)])
def test_P14__the_erp_tells_whether_something_has_followed_an_order(status: str, is_in_hand: bool) -> None:
    with RawServer(json_answer({"d": {"SalesOrder": "4711", "OverallSDProcessStatus": status}})) as server:
        assert sap(server.url).read_order("4711").is_in_hand is is_in_hand
    assert "OverallSDProcessStatus" in server.requests[-1].path


def test_P14__an_order_that_is_held_and_then_changed_has_one_alert(
    services: Services, clock: FakeClock, erp: FakeErp, alert_of_holds: None, under_way: Run
) -> None:
    check_holds(Attempt(under_way, services, NOW), BLOCKED, system=erp.system)
    erp.order = replace(BLOCKED, is_void=True)

    compare(services, clock)

    assert [alert["headline"] for alert in open_alerts(services)] == ["An order is not as it was made"]


def test_P14__an_order_of_which_no_alert_tells_is_not_read_for_ever(
    services: Services, clock: FakeClock, erp: FakeErp, under_way: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(services, clock)
    asked: list[str] = []
    monkeypatch.setattr(erp, "read_orders", lambda keys: asked.extend(keys) or [])

    compare(services, clock)

    assert asked == []


OVER: dict[str, Settlement | None] = {
    "mailed": replace(BILLED, is_mailed=True),
    "paid": replace(BILLED, balance=Money.of(0, "USD"), paid=TOTAL),
    "void": replace(BILLED, is_void=True),
    "deleted": None,
}


@pytest.mark.parametrize("settlement", OVER.values(), ids=OVER)
def test_P14__the_alert_of_an_invoice_that_a_person_mails_ends_when_that_is_over(
    services: Services, under_way: Run, settlement: Settlement | None
) -> None:
    attempt = Attempt(under_way, services, NOW)
    unmailed.leave_to_person(attempt, Document("46", "INV-000001"), system="Zoho Books")
    unmailed.settle(attempt, "46", BILLED)
    (alert,) = open_alerts(services)
    assert ["Amount", "47,000.00 USD"] in alert["facts"]

    unmailed.settle(attempt, "46", settlement)

    assert open_alerts(services) == []


@pytest.mark.parametrize(("status", "is_mailed"), [("draft", False), ("pending_approval", False), ("Overdue", True)])
def test_P14__the_books_tell_whether_the_customer_has_the_invoice(status: str, is_mailed: bool) -> None:
    invoice = {"invoice_id": "46", "invoice_number": "INV-1", "currency_code": "USD", "total": 100, "balance": 100}
    with RawServer(json_answer({"code": 0, "invoice": {**invoice, "status": status}})) as server:
        assert zoho(server.url).read_settlement("46").is_mailed is is_mailed
