"""Invoices: made, found again by reference, read and mailed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import responses
from responses import matchers

from crmsync.domain.documents import Document
from crmsync.domain.money import Money
from crmsync.errors import RejectedError, UnexpectedAnswerError, VendorUnavailableError

from ..conftest import LoadFixture
from .builders import CUSTOMER_KEY, REFERENCE, invoice_request, line
from .conftest import API, Build

DRAFT = Document(
    "460000000039129", "INV-00012", Money(Decimal("47020.10"), "USD"), Money(Decimal("55953.92"), "USD"), False, False
)


def sent(zoho: responses.RequestsMock, position: int = -1) -> Any:
    return json.loads(zoho.calls[position].request.body, parse_float=Decimal)


def page(*rows: dict[str, Any], has_more: bool) -> dict[str, Any]:
    return {"code": 0, "message": "success", "invoices": list(rows), "page_context": {"has_more_page": has_more}}


def invoice_row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "invoice_id": str(number),
        "invoice_number": f"INV-{number}",
        "reference_number": REFERENCE,
        "customer_id": CUSTOMER_KEY,
        **changes,
    }


def test_invoice_is_created_unsent_with_one_call(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    request = replace(invoice_request(line("200", "235.10", "47020.00")), dated_on=date(2026, 11, 20))
    made = books().create_invoice(request)

    assert made == DRAFT
    assert len(zoho.calls) == 1
    assert zoho.calls[0].request.params == {"organization_id": "10234695", "send": "false"}
    assert sent(zoho) == {
        "customer_id": "460000000026049",
        "reference_number": "SF-006xx0000012abcAAA",
        "date": "2026-11-20",
        "due_date": "2026-12-20",
        "payment_terms": 30,
        "is_inclusive_tax": False,
        "line_items": [
            {"name": "GC1060", "description": "Generator", "rate": Decimal("235.1"), "quantity": 200},
        ],
    }


def test_where_the_day_is_not_known_the_books_date_the_invoice_and_add_the_terms(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    books().create_invoice(replace(invoice_request(line("1", "5", "5")), dated_on=None))

    assert not {"date", "due_date"} & sent(zoho).keys()
    assert sent(zoho)["payment_terms"] == 30


@pytest.mark.parametrize(("send", "flag"), [(True, "true"), (False, "false")])
def test_invoice_is_mailed_by_the_create_only_where_asked(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, send: bool, flag: str
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    books().create_invoice(invoice_request(line("1", "5", "5"), send=send))

    assert zoho.calls[0].request.params["send"] == flag


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (line("2", "100.00", "200.00"), {"rate": 100, "quantity": 2}),
        (line("2.5", "100.00", "225.00"), {"rate": 90, "quantity": Decimal("2.5")}),
        (
            line("3", "4.00", "10.00"),
            {"rate": 10, "quantity": 1, "description": "3 × Generator"},
        ),
        (
            line("200", "235.10", "41142.50"),
            {"rate": Decimal("41142.5"), "quantity": 1, "description": "200 × Generator"},
        ),
        (line("3", "4", "10", description=""), {"rate": 10, "quantity": 1, "description": "3 × GC1060"}),
        (line("1", "5", "5", code="C" * 120, description="d" * 2100), {"name": "C" * 100, "description": "d" * 2000}),
        (line("4", "5", "0"), {"rate": 0, "quantity": 4}),
        (
            line("1000", "0.0125", "12.50"),
            {"rate": Decimal("12.5"), "quantity": 1, "description": "1,000 × 0.0125 USD: Generator"},
        ),
        (
            line("200", "17.555", "3511.00"),
            {"rate": 3511, "quantity": 1, "description": "200 × 17.555 USD: Generator"},
        ),
        (
            line("7", "14.285714285714286", "100.000000000000002"),
            {"rate": 100, "quantity": 1, "description": "7 × Generator"},
        ),
        (
            line("2.125", "8.00", "17.00"),
            {"rate": 17, "quantity": 1, "description": "2.125 × 8 USD: Generator"},
        ),
        (line("0.3", "3.37", "1.011"), {"rate": Decimal("3.37"), "quantity": Decimal("0.3")}),
    ],
    ids=[
        "list price",
        "discount that leaves whole cents per unit",
        "no rate is exact: one piece at the total",
        "discount in percent, not allowed here: one piece at the total",
        "one piece without description",
        "too long texts",
        "free of charge",
        "a rate finer than the cent",
        "a rate finer than the cent, few",
        "a quotient",
        "a quantity finer than Zoho's",
        "a total that is rounded",
    ],
)
def test_line_makes_exactly_the_total_of_the_deal(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, made: Any, expected: dict[str, Any]
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    books().create_invoice(invoice_request(made))

    written = sent(zoho)["line_items"][0]
    assert {key: written[key] for key in expected} == expected
    assert Money(Decimal(written["rate"] * written["quantity"]), "USD").rounded() == made.total_in("USD")


def test_discount_is_shown_where_the_organization_allows_it(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    books(line_discounts=True).create_invoice(invoice_request(line("200", "235.10", "41142.50")))

    body = sent(zoho)
    assert body["line_items"] == [
        {
            "name": "GC1060",
            "description": "Generator",
            "rate": Decimal("235.1"),
            "quantity": 200,
            "discount": "12.5%",
        }
    ]
    assert (body["discount_type"], body["is_discount_before_tax"]) == ("item_level", True)


@pytest.mark.parametrize(
    "made",
    [line("200", "235.105", "41142.50"), line("20.125", "10.00", "100.63")],
    ids=["a unit price finer than the cent", "a quantity finer than Zoho's"],
)
def test_a_discount_is_not_shown_on_numbers_that_zoho_rounds(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, made: Any
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    books(line_discounts=True).create_invoice(invoice_request(made))

    (written,) = sent(zoho)["line_items"]
    assert (written["rate"], written["quantity"], "discount" in written) == (made.total, 1, False)


def test_every_line_carries_the_configured_tax(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)

    books(tax_id="460000000027005").create_invoice(invoice_request(line("1", "5", "5"), line("3", "4", "10")))

    assert [each["tax_id"] for each in sent(zoho)["line_items"]] == ["460000000027005"] * 2


def test_unique_field_makes_the_create_an_upsert(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    headers = {"X-Unique-Identifier-Key": "cf_deal", "X-Unique-Identifier-Value": REFERENCE, "X-Upsert": "true"}
    zoho.put(
        f"{API}/invoices",
        json=fixture("invoice__created"),
        match=[
            matchers.header_matcher(headers),
            matchers.query_param_matcher({"organization_id": "10234695"}),
        ],
    )

    made = books(invoice_unique_field="cf_deal").create_invoice(invoice_request(line("1", "5", "5"), send=True))

    assert made == DRAFT
    assert sent(zoho)["custom_fields"] == [{"api_name": "cf_deal", "value": REFERENCE}]


def test_refused_upsert_points_at_the_unique_field(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.put(f"{API}/invoices", json={"code": 2, "message": "Invalid value passed for cf_deal"}, status=400)

    with pytest.raises(RejectedError) as caught:
        books(invoice_unique_field="cf_deal").create_invoice(invoice_request(line("1", "5", "5")))

    assert caught.value.is_definite
    assert "cf_deal" in (caught.value.advice or "")


def test_currency_is_named_only_where_it_is_known_already(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Any
) -> None:
    zoho.get(f"{API}/settings/currencies", json=fixture("currencies__euro_is_foreign"))
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)
    connector = books()

    connector.create_invoice(invoice_request(line("1", "5", "5"), currency="EUR"))
    before = sent(zoho)
    connector.create_customer(customer, reference="R", currency="EUR")
    connector.create_invoice(invoice_request(line("1", "5", "5"), currency="EUR"))

    assert "currency_id" not in before
    assert sent(zoho)["currency_id"] == "460000000000109"


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ({"json": {"code": 0, "message": "success"}}, {"invoice"}),
        ({"json": {"code": 0, "invoice": {"invoice_number": "INV-1"}}}, {"invoice.invoice_id"}),
        ({"json": {"code": 0, "invoice": {"invoice_id": True, "invoice_number": "I"}}}, {"invoice.invoice_id"}),
        ({"json": {"code": 0, "invoice": {"invoice_id": "1", "invoice_number": None}}}, {"invoice.invoice_number"}),
        (
            {"json": {"code": 0, "invoice": {"invoice_id": "1", "invoice_number": "I", "total": "much"}}},
            {"invoice.total"},
        ),
    ],
    ids=[
        "no invoice",
        "no id",
        "an id that is none",
        "no number",
        "no amount",
    ],
)
def test_unreadable_success_leaves_open_whether_the_invoice_exists(
    zoho: responses.RequestsMock, books: Build, answer: dict[str, Any], fields: set[str]
) -> None:
    zoho.post(f"{API}/invoices", **{"status": 201, **answer})

    with pytest.raises(UnexpectedAnswerError) as caught:
        books().create_invoice(invoice_request(line("1", "5", "5")))

    assert not caught.value.is_definite
    assert set(caught.value.field_errors) == fields
    assert caught.value.operation == "create invoice"
    assert "Acme" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        {"body": "<html>Acme</html>", "content_type": "text/html"},
        {"json": {"message": "success"}},
        {"json": ["Acme"]},
        {"status": 204},
    ],
    ids=["a page", "no code", "a list", "no body"],
)
def test_a_success_that_is_not_zohos_leaves_it_open_too(
    zoho: responses.RequestsMock, books: Build, answer: dict[str, Any]
) -> None:
    zoho.post(f"{API}/invoices", **{"status": 201, **answer})

    with pytest.raises(VendorUnavailableError) as caught:
        books().create_invoice(invoice_request(line("1", "5", "5")))

    assert not caught.value.is_definite
    assert "Acme" not in str(caught.value)


def test_search_finds_exactly_the_reference_whoever_it_is_for_and_tells_what_is_void(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    query = {"organization_id": "10234695", "reference_number": REFERENCE, "page": "1", "per_page": "200"}
    zoho.get(
        f"{API}/invoices",
        json=fixture("invoices__by_reference"),
        match=[matchers.query_param_matcher(query)],
    )

    found = books().find_invoices(REFERENCE)

    assert found == [
        Document("460000000039129", "INV-00012", None, Money(Decimal("55953.92"), "USD"), is_mailed=True),
        Document("460000000039128", "INV-00011", None, Money(Decimal("55953.92"), "USD"), is_void=True),
        Document("460000000039127", "INV-00010", None, Money(Decimal("1.00"), "USD")),
    ]


@pytest.mark.parametrize("context", [{"has_more_page": True}, [{"has_more_page": True}]], ids=["documented", "array"])
def test_search_reads_to_the_last_page(zoho: responses.RequestsMock, books: Build, context: Any) -> None:
    zoho.get(f"{API}/invoices", json={**page(invoice_row(1), has_more=True), "page_context": context})
    zoho.get(f"{API}/invoices", json=page(invoice_row(2), has_more=False))

    assert [each.key for each in books().find_invoices(REFERENCE)] == ["1", "2"]
    assert [call.request.params["page"] for call in zoho.calls] == ["1", "2"]


def test_search_goes_on_after_a_full_page_that_says_nothing(zoho: responses.RequestsMock, books: Build) -> None:
    full = page(*(invoice_row(number) for number in range(200)), has_more=False)
    del full["page_context"]
    zoho.get(f"{API}/invoices", json=full)
    zoho.get(f"{API}/invoices", json=page(has_more=False))

    assert len(books().find_invoices(REFERENCE)) == 200


def test_page_that_comes_twice_ends_the_search(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.get(f"{API}/invoices", json=page(invoice_row(1), has_more=True))

    with pytest.raises(UnexpectedAnswerError, match="the same page came twice"):
        books().find_invoices(REFERENCE)


def test_mailed_invoice_says_so(zoho: responses.RequestsMock, books: Build, fixture: LoadFixture) -> None:
    zoho.get(f"{API}/invoices/460000000039129", json=fixture("invoice__mailed"))

    read = books().read_invoice("460000000039129")

    assert read == Document(DRAFT.key, DRAFT.number, DRAFT.net, DRAFT.total, is_mailed=True)


@pytest.mark.parametrize(
    ("status", "is_emailed", "is_mailed", "is_void"),
    [
        ("draft", False, False, False),
        ("draft", True, True, False),
        ("sent", None, True, False),
        ("viewed", False, True, False),
        ("overdue", False, False, False),
        ("paid", "true", True, False),
        ("void", False, False, True),
        (None, None, False, False),
    ],
)
def test_status_of_an_invoice(
    zoho: responses.RequestsMock, books: Build, status: Any, is_emailed: Any, is_mailed: bool, is_void: bool
) -> None:
    row = invoice_row(1, status=status, is_emailed=is_emailed, total="", sub_total=None)
    zoho.get(f"{API}/invoices/1", json={"code": 0, "invoice": row})

    read = books().read_invoice("1")

    assert (read.is_mailed, read.is_void, read.net, read.total) == (is_mailed, is_void, None, None)


def test_amounts_keep_their_digits(zoho: responses.RequestsMock, books: Build) -> None:
    body = '{"code":0,"invoice":{"invoice_id":1,"invoice_number":"I","currency_code":"EUR","total":90071992547409.93}}'
    zoho.get(f"{API}/invoices/1", body=body, content_type="application/json")

    assert books().read_invoice("1").total == Money(Decimal("90071992547409.93"), "EUR")


def test_mail_goes_to_the_recipients(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.post(f"{API}/invoices/46/email", json={"code": 0, "message": "Your invoice has been sent."})

    books().send_invoice("46", ("ap@acme.example",))

    assert sent(zoho) == {"to_mail_ids": ["ap@acme.example"]}


def test_mail_without_recipients_has_no_body(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.post(f"{API}/invoices/46/email", json={"code": 0, "message": "Your invoice has been sent."})

    books().send_invoice("46", ())

    assert zoho.calls[0].request.body is None
