"""Faults strike where and as often as they are told, in each vendor's own words."""

from typing import Any

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.faults import KINDS, FaultBoard, UnknownFault
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient, order, partner

SOQL = "SELECT Id FROM Account"


def test_an_error_strikes_as_often_as_told(sandbox: Sandbox, books: BooksClient) -> None:
    sandbox.faults.add("zoho", "error", "find_customer", times=2)
    statuses = [books.call("GET", "/contacts").status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert sandbox.faults.all()[0]["hits"] == 2


def test_other_operations_and_systems_are_spared(sandbox: Sandbox, books: BooksClient, crm: CrmClient) -> None:
    sandbox.faults.add("zoho", "error", "create_invoice")
    assert books.call("GET", "/invoices").status_code == 200
    assert crm.query(SOQL).status_code == 200
    sandbox.faults.clear()
    assert sandbox.faults.all() == []


def test_a_star_strikes_everything_and_after_lets_some_pass(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.faults.add("salesforce", "error", after=1)
    assert [crm.query(SOQL).status_code for _ in range(3)] == [200, 503, 503]


def test_down_is_down_for_tokens_too(sandbox: Sandbox, crm: CrmClient, erp: ErpClient) -> None:
    sandbox.faults.add("*", "down")
    assert (crm.token().status_code, crm.query(SOQL).status_code) == (503, 503)
    assert erp.call("GET", "API_SALES_ORDER_SRV/").status_code == 503


@pytest.mark.parametrize(("kind", "left"), [("lost", 1), ("drop", 0)])
def test_the_connection_breaks_after_or_before_the_commit(
    sandbox: Sandbox, erp: ErpClient, books: BooksClient, kind: str, left: int
) -> None:
    customer, contact = erp.customer(), books.contact()["contact_id"]
    sandbox.faults.add("sap", kind, "create_order", times=1)
    sandbox.faults.add("zoho", kind, "create_invoice", times=1)

    with pytest.raises(requests.ConnectionError):
        erp.create_order(order(customer))
    with pytest.raises(requests.ConnectionError):
        books.invoice(contact)

    ledger = sandbox.ledger()
    assert (len(ledger["orders"]), len(ledger["invoices"])) == (left, left)
    assert erp.create_order(order(customer)).status_code == 201


def test_slow_answers_in_the_end(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.faults.add("salesforce", "slow", "query", seconds=0.01)
    assert crm.query(SOQL).elapsed.total_seconds() >= 0.01


def test_limits_sound_like_the_vendor(sandbox: Sandbox, crm: CrmClient, erp: ErpClient, books: BooksClient) -> None:
    sandbox.faults.add("*", "limit", seconds=7)
    answer = crm.query(SOQL)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    answer = erp.create_partner(partner())
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    answer = books.call("GET", "/contacts")
    assert (answer.status_code, answer.json()["code"]) == (429, 44)
    assert books.token().json()["error"] == "Access Denied"


def test_refusals_can_be_worded(sandbox: Sandbox, crm: CrmClient, erp: ErpClient, books: BooksClient) -> None:
    deal = sandbox.deals.create()
    sandbox.faults.add("salesforce", "refuse", "update_deal", code="UNABLE_TO_LOCK_ROW", message="unable to obtain")
    sandbox.faults.add("sap", "refuse", "create_customer")
    sandbox.faults.add("zoho", "refuse", "create_customer", status=200, code="3")

    answer = crm.call("PATCH", f"/sobjects/Opportunity/{deal.id}", json={"NextStep": "x"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "UNABLE_TO_LOCK_ROW")
    answer = erp.create_partner(partner())
    assert "being processed" in answer.json()["error"]["message"]["value"]
    answer = books.call("POST", "/contacts", json={"contact_name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (200, 3)
    assert sandbox.ledger()["contacts"] == []


def test_an_error_can_be_a_page(sandbox: Sandbox, crm: CrmClient, erp: ErpClient) -> None:
    sandbox.faults.add("*", "error", status=503, html=True)
    answers = [crm.query(SOQL), erp.create_partner(partner())]
    assert {(one.status_code, one.headers["Content-Type"].split(";")[0]) for one in answers} == {(503, "text/html")}


def test_chances_are_the_same_for_the_same_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        board = FaultBoard({"sap": ("create_order",)}, seed)
        board.add("sap", "error", "create_order", rate=0.5)
        return [board.take("sap", "create_order") is not None for _ in range(50)]

    assert strikes(1) == strikes(1)
    assert 10 < sum(strikes(1)) < 40
    assert strikes(1) != strikes(2)


@pytest.mark.parametrize(
    "names",
    [("mars", "error", "*"), ("sap", "boom", "*"), ("sap", "error", "create_ordr"), ("sap", "error", "create_invoice")],
)
def test_a_fault_that_would_never_strike_is_an_error(sandbox: Sandbox, names: tuple[str, str, str]) -> None:
    with pytest.raises(UnknownFault):
        sandbox.faults.add(*names)


def test_every_kind_can_be_added(sandbox: Sandbox) -> None:
    for kind in KINDS:
        sandbox.faults.add("*", kind, times=1, rate=0.5)
    with pytest.raises(UnknownFault):
        sandbox.faults.add("sap", "error", colour="red")


def test_calls_are_counted_by_operation(sandbox: Sandbox, crm: CrmClient, erp: ErpClient) -> None:
    crm.query(SOQL)
    erp.order()
    calls: dict[str, Any] = sandbox.calls()
    assert calls["salesforce"] == {"operations": {"query": 1, "token": 1}, "business": 1, "overhead": 1}
    expected = {"create_customer": 1, "create_order": 1, "csrf": 1, "token": 1}
    assert calls["sap"] == {"operations": expected, "business": 2, "overhead": 2}
