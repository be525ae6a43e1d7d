"""Payments in the books: over several invoices, too much, in another currency, given back, deleted, come off."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.http import Request, Response, Server
from tests.sandbox.clients import BooksClient, Json


@pytest.fixture
def heard(sandbox: Sandbox) -> Iterator[list[Json]]:
    found: list[Json] = []

    def receive(request: Request) -> Response:
        found.append(json.loads(request.body)["payment"])
        return Response(200, b"ok")

    server = Server(receive)
    server.start()
    sandbox.receiver.base_url = server.url
    yield found
    server.stop()


def two(books: BooksClient) -> tuple[Json, Json]:
    contact = books.contact()["contact_id"]
    return books.invoice(contact), books.invoice(contact)


def payment(books: BooksClient, payment_id: str) -> Json:
    found: Json = books.call("GET", f"/customerpayments/{payment_id}").json()["payment"]
    return found


def test_one_payment_over_two_invoices_with_a_rest(books: BooksClient, sandbox: Sandbox, heard: list[Json]) -> None:
    first, second = two(books)
    parts = {first["invoice_id"]: None, second["invoice_number"]: Decimal("40.10")}
    paid = sandbox.invoices.pay_many(parts, Decimal(150), webhook=True)
    assert (books.read(first)["status"], books.read(second)["status"]) == ("paid", "partially_paid")
    assert books.read(second)["balance"] == 59.9
    shown = payment(books, paid.payment_id)
    assert (shown["amount"], shown["unused_amount"]) == (150, 9.9)
    assert [part["amount_applied"] for part in shown["invoices"]] == [100, 40.1]
    assert [one["payment_id"] for one in heard] == [paid.payment_id]
    [share] = books.call("GET", f"/invoices/{second['invoice_id']}/payments").json()["payments"]
    assert (share["payment_id"], share["amount"]) == (paid.payment_id, 40.1)
    [row] = sandbox.ledger()["payments"]
    assert (row["unused"], row["amount"], row["refunded"]) == (Decimal("9.90"), 150, 0)


def test_one_share_comes_off_and_the_money_stays(books: BooksClient, sandbox: Sandbox) -> None:
    first, second = two(books)
    paid = sandbox.invoices.pay_many({first["invoice_id"]: None, second["invoice_id"]: None})
    [share] = books.call("GET", f"/invoices/{first['invoice_id']}/payments").json()["payments"]
    sandbox.clock.advance(10)
    path = f"/invoices/{first['invoice_id']}/payments/{share['invoice_payment_id']}"
    assert books.call("DELETE", path).json()["code"] == 0
    assert (books.read(first)["status"], books.read(second)["status"]) == ("sent", "paid")
    after = payment(books, paid.payment_id)
    assert (after["unused_amount"], len(after["invoices"])) == (100, 1)
    assert after["last_modified_time"] > share["last_modified_time"]
    assert books.call("DELETE", path).json()["code"] == 1002


def test_a_void_invoice_lets_its_payments_go(books: BooksClient, sandbox: Sandbox, heard: list[Json]) -> None:
    made = books.invoice()
    ids = [sandbox.invoices.pay(made["invoice_id"], Decimal(amount)).payment_id for amount in (30, 70)]
    before = payment(books, ids[0])["last_modified_time"]
    sandbox.clock.advance(10)
    done = sandbox.invoices.void(made["invoice_number"], webhook=True)
    assert (done.payment_ids, [one.status for one in done.answers]) == (tuple(ids), [200, 200])
    assert [(one["payment_id"], one["invoices"], one["unused_amount"]) for one in heard] == [
        (ids[0], [], 30), (ids[1], [], 70)]  # fmt: skip
    assert payment(books, ids[0])["last_modified_time"] > before
    assert (books.read(made)["status"], books.read(made)["payment_made"]) == ("void", 0)


def test_a_payment_is_refunded_as_far_as_it_is_unused(books: BooksClient, sandbox: Sandbox, heard: list[Json]) -> None:
    made = books.invoice()
    paid = sandbox.invoices.pay_many({made["invoice_id"]: None}, Decimal(130)).payment_id
    sandbox.clock.advance(10)
    sandbox.payments.refund(paid, Decimal(20), webhook=True)
    assert (heard[0]["amount_refunded"], heard[0]["unused_amount"]) == (20, 10)
    sandbox.payments.refund(paid)
    assert payment(books, paid)["unused_amount"] == 0
    assert books.call("DELETE", f"/customerpayments/{paid}").json()["code"] == 24019
    path = f"/customerpayments/{paid}/refunds"
    for one in books.call("GET", path).json()["payment_refunds"]:
        assert books.call("DELETE", f"{path}/{one['payment_refund_id']}").json()["code"] == 0
    assert payment(books, paid)["amount_refunded"] == 0
    assert books.read(made)["status"] == "paid"


def test_a_deleted_payment_is_announced_as_it_was(books: BooksClient, sandbox: Sandbox, heard: list[Json]) -> None:
    made = books.invoice()
    paid = sandbox.invoices.pay(made["invoice_id"]).payment_id
    before = books.read(made)["last_modified_time"]
    sandbox.clock.advance(10)
    done = sandbox.payments.delete(paid, webhook=True)
    assert (done.invoice_id, done.answer and done.answer.status) == (made["invoice_id"], 200)
    assert heard[0]["invoices"][0]["amount_applied"] == 100
    assert books.call("GET", f"/customerpayments/{paid}").json()["code"] == 1002
    after = books.read(made)
    assert (after["status"], after["balance"]) == ("sent", 100)
    assert after["last_modified_time"] > before


def test_a_payment_moves_to_another_invoice(books: BooksClient, sandbox: Sandbox) -> None:
    first, second = two(books)
    paid = sandbox.invoices.pay(first["invoice_id"]).payment_id
    body = {"invoices": [{"invoice_id": second["invoice_id"], "amount_applied": 60}]}
    assert books.call("PUT", f"/customerpayments/{paid}", json=body).json()["payment"]["unused_amount"] == 40
    assert (books.read(first)["status"], books.read(second)["status"]) == ("sent", "partially_paid")
    assert books.call("PUT", f"/customerpayments/{paid}", json={"amount": 50}).json()["code"] == 24016
    sandbox.payments.update(paid, invoices={first["invoice_number"]: Decimal(100)})
    assert (books.read(first)["status"], books.read(second)["status"]) == ("paid", "sent")


def test_a_payment_in_another_currency_has_a_rate(books: BooksClient, sandbox: Sandbox) -> None:
    currencies = books.call("GET", "/settings/currencies").json()["currencies"]
    euro = next(one["currency_id"] for one in currencies if one["currency_code"] == "EUR")
    made = books.invoice(books.contact(currency_id=euro)["contact_id"], exchange_rate=1.08)
    paid = sandbox.invoices.pay(made["invoice_id"], Decimal(50), exchange_rate=1.1, date="2026-11-20")
    shown = payment(books, paid.payment_id)
    assert (shown["currency_code"], shown["exchange_rate"], shown["amount"]) == ("EUR", 1.1, 50)
    assert books.read(made)["balance"] == 50


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": "10.005"}, 24015),
        ({"amount": "NaN"}, 2),
        ({"exchange_rate": 0}, 2),
        ({"invoices": ["x"]}, 2),
        ({"twice": 60}, 24017),
        ({"reference_number": "x" * 101}, 15),
        ({"date": "20/11/2026"}, 2),
    ],
)
def test_a_wrong_payment_changes_nothing(books: BooksClient, sandbox: Sandbox, changes: Json, expected: int) -> None:
    made = books.invoice()
    body: Json = {"customer_id": made["customer_id"], "payment_mode": "cash", "amount": 200, "date": "2026-11-20"}
    parts = [{"invoice_id": made["invoice_id"], "amount_applied": changes["twice"]}] * 2 if "twice" in changes else []
    answer = books.call("POST", "/customerpayments", json={**body, "invoices": parts, **changes})
    assert answer.json()["code"] == expected
    assert (books.read(made)["balance"], sandbox.ledger()["payments"]) == (100, [])


def test_money_over_the_control_api(books: BooksClient, sandbox: Sandbox, heard: list[Json]) -> None:
    first, second = two(books)

    def control(method: str, path: str, **body: Any) -> Json:
        answer = requests.request(method, f"{sandbox.control_url}/control{path}", json=body or None, timeout=10)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    parts = {first["invoice_id"]: None, second["invoice_id"]: "25.50"}
    paid = control("POST", "/invoices/pay", invoices=parts, amount="130", webhook=True)
    assert paid["applied"] == {first["invoice_id"]: 100, second["invoice_id"]: 25.5}
    path = f"/payments/{paid['payment_id']}"
    assert control("POST", f"{path}/refund", amount="4.50", webhook=True)["webhook"]["status"] == 200
    assert control("PUT", path, invoices={first["invoice_id"]: "100"})["applied"] == {first["invoice_id"]: 100}
    assert control("POST", f"/invoices/{first['invoice_id']}/void", webhook=True)["payment_ids"] == [paid["payment_id"]]
    other = control("POST", f"/invoices/{second['invoice_id']}/pay")
    assert control("DELETE", f"/payments/{other['payment_id']}", webhook=True)["webhook"]["status"] == 200
    assert len(heard) == 4


def test_products_and_deals_over_the_control_api(sandbox: Sandbox) -> None:
    def control(method: str, path: str, **body: Any) -> requests.Response:
        return requests.request(method, f"{sandbox.control_url}/control{path}", json=body or None, timeout=10)

    codes = control("POST", "/products/bulk", number=20, stock="3").json()["codes"]
    assert len(control("POST", "/products/stock", share=0.2).json()["stock"]) == 5
    assert control("PUT", f"/products/{codes[0]}/stock", rows=[{"quantity": 4, "plant": "1710"}]).status_code == 200
    assert sandbox.products.stock()[codes[0]] == 4
    assert control("POST", f"/products/{codes[0]}/refuse", reason="ENTITY_IS_LOCKED").status_code == 200
    assert control("POST", f"/products/{codes[0]}/accept").status_code == 200
    assert control("DELETE", f"/products/{codes[0]}").json()["id"].startswith("01t")
    assert control("POST", "/products/NO-SUCH/refuse").status_code == 400
    ids = control("POST", "/deals/bulk", deals=3, customers=1).json()["ids"]
    control("POST", "/deals/close", ids=ids)
    control("POST", "/deals/backdate", ids=ids[:1], seconds=60)
    control("POST", f"/deals/{ids[1]}/refuse", reason="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no")
    control("POST", f"/deals/{ids[1]}/accept")
    control("DELETE", f"/deals/{ids[2]}")
    assert [deal["is_won"] for deal in sandbox.ledger()["deals"]] == [True, True]
