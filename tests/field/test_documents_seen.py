"""Cases from the field: a document is what its system says of it now, in words that people understand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from crmsync.connectors.s4hana.errors import remarks
from crmsync.domain.dead_letters import LetterKind
from crmsync.domain.documents import Document, OrderRequest
from crmsync.domain.payments import figures
from crmsync.flows.held_orders import check_holds
from crmsync.lab.sandbox.deals import Deal
from crmsync.services import Services
from crmsync.store import Store
from crmsync.worker.attempt import Attempt
from tests.builders import NOW, deal, run
from tests.fakes import run_of_subject
from tests.field.life import leave
from tests.field.raw_server import RawServer, answer
from tests.field.vendors import ORDERS, csrf_token, json_answer, sap, zoho
from tests.system import System, running, until

TOTAL = Decimal("47000.00")
CENT = Decimal("0.01")
_numbers = iter(range(1, 10_000))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("documents")
    settings = {"CRMSYNC_CATCH_UP_GRACE_SECONDS": "0", "CRMSYNC_COMPARE_SECONDS": "1"}
    with running(home, "web", "worker", "beat", **settings) as made:
        yield made


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    yield shared
    shared.sandbox.faults.clear()


@pytest.fixture
def billed(system: System) -> Deal:
    deal = system.sandbox.deals.create(f"Buyer {next(_numbers):04d} Ltd")
    system.close(deal.id)
    system.wait_for("done", deal)
    return deal


# -- V8: what happened to the money besides payments


def settle(system: System, deal: Deal, **amounts: Decimal) -> None:
    """What somebody does in the books: credits, write-offs, payments that no webhook announces."""
    number = system.documents(deal)[1][0]["number"]
    books = system.sandbox.zoho
    paid = amounts.pop("paid", Decimal(0))
    if paid:
        system.sandbox.invoices.pay(number, paid)
    with books.lock:
        (doc,) = [doc for doc in books.organization.invoices.docs.values() if doc["invoice_number"] == number]
        doc.update(amounts)
        books.organization.invoices.settle(doc)
        books.organization.invoices._changed(doc, "changed")


def says(system: System, deal: Deal, *, received: bool, amount: Decimal, status: str) -> None:
    wanted = (received, amount, status)

    def shown() -> tuple[Any, ...]:
        (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal.id]
        paid = Decimal(str(row["Payment_Amount__c"] or 0))
        return bool(row["Payment_Received__c"]), paid, row["Sync_Status__c"]

    found = system.run("crmsync", "catch-up", "--yes", "--json")
    assert found.returncode == 0, found.stderr
    try:
        until(lambda: shown() == wanted)
    except AssertionError:
        raise AssertionError(
            f"the deal says {shown()}, not {wanted}; {[each.cause for each in system.letters()]}"
        ) from None


MONEY: dict[str, tuple[dict[str, Decimal], tuple[bool, Decimal, str]]] = {
    "credited": ({"credits_applied": TOTAL}, (False, Decimal(0), "Credited")),
    "written off": ({"write_off_amount": TOTAL}, (False, Decimal(0), "Written off")),
    "a cent written off": (
        {"paid": TOTAL - CENT, "write_off_amount": CENT},
        (True, TOTAL - CENT, "46,999.99 USD paid, 0.01 USD written off"),
    ),
    "half given up": (
        {"paid": TOTAL / 2, "write_off_amount": TOTAL / 2},
        (False, TOTAL / 2, "23,500.00 USD paid, 23,500.00 USD written off"),
    ),
    "part credited, the rest paid": (
        {"paid": Decimal(40000), "credits_applied": Decimal(7000)},
        (True, Decimal(40000), "40,000.00 USD paid, 7,000.00 USD credited"),
    ),
    "part credited, the rest open": (
        {"credits_applied": Decimal(7000)},
        (False, Decimal(0), "7,000.00 USD credited, 40,000.00 USD open"),
    ),
    "tax withheld, the rest paid": (
        {"paid": TOTAL - 4700, "tax_amount_withheld": Decimal(4700)},
        (True, TOTAL - 4700, "42,300.00 USD paid, 4,700.00 USD withheld as tax"),
    ),
    "all of it at once": (
        {
            "paid": Decimal(30000),
            "credits_applied": Decimal(7000),
            "tax_amount_withheld": Decimal(4700),
            "write_off_amount": CENT,
        },
        (
            False,
            Decimal(30000),
            "30,000.00 USD paid, 7,000.00 USD credited, 4,700.00 USD withheld as tax, 0.01 USD written off, "
            "5,299.99 USD open",
        ),
    ),
    "paid": ({"paid": TOTAL}, (True, TOTAL, "Synced")),
}


@pytest.mark.parametrize(("done", "told"), MONEY.values(), ids=MONEY)
def test_V8__the_deal_says_what_the_books_say_in_words(
    system: System, billed: Deal, done: dict[str, Decimal], told: tuple[bool, Decimal, str]
) -> None:
    settle(system, billed, **done)
    says(system, billed, received=told[0], amount=told[1], status=told[2])


def test_V8__a_credit_that_was_taken_back_is_no_longer_told(system: System, billed: Deal) -> None:
    settle(system, billed, credits_applied=TOTAL)
    says(system, billed, received=False, amount=Decimal(0), status="Credited")
    settle(system, billed, credits_applied=Decimal(0))
    says(system, billed, received=False, amount=Decimal(0), status="Synced")


def test_V8__a_void_invoice_is_called_void_when_a_person_has_left_it_so(system: System, billed: Deal) -> None:
    system.sandbox.invoices.void(system.documents(billed)[1][0]["number"])
    says(system, billed, received=False, amount=Decimal(0), status="Needs attention")
    leave(system, billed)
    says(system, billed, received=False, amount=Decimal(0), status="Invoice void")


# what an answer tells, and what the deal is told: money that came in ways which the answer has no field for
OTHERWISE: dict[str, tuple[dict[str, Any], tuple[bool, str, str]]] = {
    "a retainer for all": ({"payment_made": 0, "balance": 0}, (False, "0", "Settled otherwise")),
    "a retainer for a part": (
        {"payment_made": 60, "balance": 0},
        (True, "60", "60.00 USD paid, 40.00 USD settled otherwise"),
    ),
    "a retainer, and more to pay": (
        {"payment_made": 0, "balance": 75},
        (False, "0", "25.00 USD settled otherwise, 75.00 USD open"),
    ),
    "tax without the amount of payments": (
        {"tax_amount_withheld": "10.00", "balance": "0.00"},
        (True, "90", "90.00 USD paid, 10.00 USD withheld as tax"),
    ),
    "less than a cent": ({"payment_made": "99.996", "balance": 0}, (True, "100.00", "")),
    "paid too much": ({"payment_made": 120, "balance": 0}, (True, "120", "")),
    "void after a payment": ({"payment_made": 60, "balance": 0, "status": "void"}, (False, "0", "Invoice void")),
}


@pytest.mark.parametrize(("told", "says"), OTHERWISE.values(), ids=OTHERWISE)
def test_V8__what_was_settled_in_another_way_is_not_called_nothing(
    told: dict[str, Any], says: tuple[bool, str, str]
) -> None:
    invoice = {"invoice_id": "46", "invoice_number": "INV-1", "currency_code": "USD", "total": 100, **told}
    with RawServer(json_answer({"code": 0, "invoice": {"last_payment_date": "2026-11-20", **invoice}})) as server:
        found = figures(zoho(server.url).read_settlement("46"))

    assert (found.is_received, found.amount.amount, found.status) == (says[0], Decimal(says[1]), says[2])


# -- V5: an order that was made, but can't be delivered or billed


def won(system: System, **fault: Any) -> Deal:
    """A deal whose order is made incomplete; the customer is known, so that the fault strikes the order."""
    deal = system.sandbox.deals.create(f"Buyer {next(_numbers):04d} Ltd")
    system.sandbox.faults.add("sap", "incomplete", "create_order", times=1, **fault)
    assert system.close(deal.id) == 200
    return deal


def order_of(system: System, deal: Deal) -> dict[str, Any]:
    """The order as the ERP keeps it."""
    rows = system.sandbox.sap.tables["A_SalesOrder"]
    (order,) = [row for row in rows if row["PurchaseOrderByCustomer"] == f"SF-{deal.id}"]
    return order


HELD = ("SLS_LORD/009", "incomplete", "billing block 01", "delivery block 01", "credit check was not passed")


def test_V5__an_incomplete_order_reaches_a_person_before_the_customer_gets_a_bill(system: System) -> None:
    deal = won(system)
    system.wait_for("stopped", deal)

    letter = system.letter_of(deal)
    assert (letter.kind, letter.error, letter.step) == (LetterKind.REVIEW, "OrderHeldError", "create_order")
    assert all(word in letter.cause for word in HELD), letter.cause
    orders, invoices = system.documents(deal)
    assert (len(orders), invoices) == (1, [])
    shown = system.run("crmsync", "runs", "show", deal.id, "--json").stdout
    assert "SLS_LORD/009" in shown, "the run's history does not say it"

    system.dead_letters("replay", str(letter.id), "--accept", "--yes", "--reason", "a test")
    system.wait_for("done", deal)
    assert [len(documents) for documents in system.documents(deal)] == [1, 1]


def test_V5__an_order_that_was_released_goes_on_without_being_accepted(system: System) -> None:
    """A block stands at the order, so it is read again; only what SAP never tells again must be accepted."""
    deal = won(system, code="V1/399")
    system.wait_for("stopped", deal)
    with system.sandbox.sap.lock:
        order = order_of(system, deal)
        order.update({"DeliveryBlockReason": "", "HeaderBillingBlockReason": "", "TotalCreditCheckStatus": "D"})
    system.dead_letters("replay", str(system.letter_of(deal).id), "--yes")
    system.wait_for("done", deal)


BLOCKS = {
    "billing": ({"HeaderBillingBlockReason": "02"}, "billing block 02"),
    "delivery": ({"DeliveryBlockReason": "03"}, "delivery block 03"),
    "credit": ({"TotalCreditCheckStatus": "B"}, "credit check"),
    "approval": ({"SalesDocApprovalStatus": "A"}, "approval status A"),
}


@pytest.mark.parametrize(("block", "word"), BLOCKS.values(), ids=BLOCKS)
def test_V5__each_thing_that_holds_an_order_back_is_named(system: System, block: dict[str, str], word: str) -> None:
    deal = won(system, code="V1/399", body=block)
    system.wait_for("stopped", deal)
    assert word in system.letter_of(deal).cause


@pytest.mark.parametrize(
    ("status", "held"), [("", ()), ("A", ("approval status A",)), ("B", ()), ("C", ("approval status C",))]
)
def test_V5__an_order_that_was_approved_is_not_held(status: str, held: tuple[str, ...]) -> None:
    """SAP leaves the status at the order for ever: awaited, given, refused."""
    shown = json_answer({"d": {"SalesOrder": "4711", "SalesDocApprovalStatus": status, "TotalCreditCheckStatus": "A"}})
    with RawServer(shown) as server:
        assert sap(server.url).read_order("4711").holds == held


def test_V5__a_warning_that_holds_nothing_back_is_only_noted(system: System) -> None:
    deal = won(system, code="V1/399", body={"DeliveryBlockReason": ""})
    system.wait_for("done", deal)
    with system.store.read() as uow:
        noted = [row.detail for row in uow.history.of_run(system.run_of(deal).id) if row.step == "create_order"]
    assert any("V1/399" in detail for detail in noted)


# what one message says, another way: SAP's own forms, and what proxies make of them
NOTE = {"code": "V1/399", "message": "Date is in the past", "severity": "warning", "details": []}
LEFT_OUT = {"code": "SLS_LORD/009", "message": "Dokument ist unvollständig", "severity": "warning", "details": []}
ONE = json.dumps(LEFT_OUT)
HEADERS = {
    "as it is": ONE,
    "in the words of the application below": ONE.replace("SLS_LORD/009", "V1/555"),
    "in UTF-8": json.dumps(LEFT_OUT, ensure_ascii=False).encode().decode("latin-1"),
    "encoded": quote(ONE),
    "encoded as a form": quote_plus(ONE),
    "encoded twice": quote(quote(ONE)),
    "a list": json.dumps([NOTE, LEFT_OUT]),
    "two headers in one": f"{json.dumps(NOTE)}, {ONE}",
    "in the details": json.dumps({**NOTE, "severity": "info", "details": [LEFT_OUT]}),
    "in the details of a detail": json.dumps({**NOTE, "details": [{**NOTE, "details": [LEFT_OUT]}]}),
    "in details that were XML": json.dumps({**NOTE, "details": {"results": [LEFT_OUT]}}),
    "a severity in capitals": ONE.replace("warning", "Warning"),
    "a severity of one letter": ONE.replace("warning", "W"),
    "no severity": json.dumps({"code": "SLS_LORD/009"}),
    "cut": json.dumps({**LEFT_OUT, "details": [NOTE]})[:-30],
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_V5__an_incomplete_order_is_seen_in_every_form_of_the_message(header: str) -> None:
    with RawServer(csrf_token()) as server:
        made = json.dumps({"d": {"SalesOrder": "4711"}}).encode()
        server.at(ORDERS, answer(made, "201 Created", (f"sap-message: {header}",)))
        order = sap(server.url).create_order(OrderRequest("SF-1", "17100001", deal()))

    assert order.is_incomplete
    assert {"SLS_LORD/009", "V1/555"} & set(order.remarks)


@pytest.mark.parametrize("severity", ["info", "success", "I"])
def test_V5__information_that_comes_with_an_order_holds_nothing_back(severity: str) -> None:
    assert remarks({"sap-message": json.dumps({**NOTE, "severity": severity})}) == []


@pytest.mark.parametrize(("policy", "is_told"), [("alert", True), ("note", False)])
def test_V5__a_setting_decides_between_review_and_alert(
    services: Services, monkeypatch: pytest.MonkeyPatch, policy: str, is_told: bool
) -> None:
    behaviour = replace(services.settings.behaviour, held_orders=policy)
    monkeypatch.setattr(services, "settings", replace(services.settings, behaviour=behaviour))
    attempt = Attempt(run(), services, NOW)
    order = Document("1", "4711", remarks=("SLS_LORD/009",), is_incomplete=True)

    check_holds(attempt, order, system="SAP S/4HANA")

    assert "SLS_LORD/009" in attempt.remark
    assert told(services.store) == (["An order is held back"] if is_told else [])


def test_V5__what_came_with_the_order_outlives_the_worker_that_made_it() -> None:
    order = Document("1", "4711", remarks=("SLS_LORD/009",), holds=("billing block 01",), is_incomplete=True)
    assert Document.from_json(order.to_json()) == order


# -- V6: a number that was believed unseen


def told(store: Store) -> list[str]:
    with store.read() as uow:
        return [row.content["headline"] for row in uow.alerts.newest(None, limit=50)]


def alert_about(system: System, deal: Deal) -> str:
    def found() -> str:
        with system.store.read() as uow:
            rows = uow.alerts.newest(None, limit=200)
        return next((row.content["cause"] for row in rows if ["Deal", deal.id] in row.content["facts"]), "")

    return until(found, what="somebody is told of the order")


def test_V6__an_order_that_is_gone_is_found_by_itself(system: System) -> None:
    deal = system.sandbox.deals.create(f"Buyer {next(_numbers):04d} Ltd")
    system.sandbox.faults.add("sap", "vanish", "create_order", times=1)
    system.close(deal.id)
    system.wait_for("done", deal)

    number = system.run_of(deal).results["create_order"]["number"]
    assert f"order {number} is gone, invoice" in alert_about(system, deal)
    assert system.letter_of(deal).error == "DocumentGoneError"


def test_V6__so_is_one_that_was_rejected(system: System, billed: Deal) -> None:
    """And so is one whose amount was changed: the comparison reads what the ERP says now."""
    with system.sandbox.sap.lock:
        order = order_of(system, billed)
        order["OverallSDDocumentRejectionSts"] = "C"
    assert f"order {order['SalesOrder']} was rejected" in alert_about(system, billed)


def test_V6__so_is_one_that_is_worth_something_else(system: System, billed: Deal) -> None:
    with system.sandbox.sap.lock:
        order = order_of(system, billed)
        order["TotalNetAmount"] = Decimal("46000.00")
    told = alert_about(system, billed)
    assert told.startswith(f"The deal is 47,000.00 USD; order {order['SalesOrder']} is 46,000.00 USD, invoice")
    assert system.letter_of(billed).error == "AmountMismatchError"


def test_V6__many_orders_are_read_in_one_query_and_nobody_is_told_of_good_ones(system: System) -> None:
    deals = [system.sandbox.deals.create("One Buyer Ltd") for _ in range(12)]
    system.close_all(deals)
    system.wait_for("done", *deals)
    before = looked(system)
    calls = system.sandbox.calls()["sap"]["operations"]
    until(lambda: looked(system) > before + 1, what="two comparisons")
    after = system.sandbox.calls()["sap"]["operations"]
    assert after["find_order"] - calls.get("find_order", 0) <= 2 * (looked(system) - before + 1)
    assert after.get("get_order", 0) - calls.get("get_order", 0) < len(deals), "each order was read by itself"
    with system.store.read() as uow:
        facts = [row.content["facts"] for row in uow.alerts.newest(None, limit=200)]
    assert not [deal for deal in deals if ["Deal", deal.id] in [fact for each in facts for fact in each]]


def looked(system: System) -> int:
    with system.store.read() as uow:
        run = run_of_subject(uow, "compare_orders", "compare_orders")
        return sum(row.event == "done" for row in uow.history.of_run(run.id)) if run else 0
