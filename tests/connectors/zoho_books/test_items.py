"""The books' own items on the lines of invoices: where there are some, at the cost of one list for many invoices."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import responses
from responses import matchers

from crmsync.connectors.kit.notes import OwnNotes
from crmsync.errors import (
    AccountRefusedError,
    MappingError,
    PermanentError,
    RejectedError,
    VendorUnavailableError,
)

from ..conftest import LoadFixture
from .builders import invoice_request, line
from .conftest import API, NOW, Build

INACTIVE = {"code": 1007, "message": "The item Generator is inactive."}


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> Any:
        return self.now


@pytest.fixture
def created(zoho: responses.RequestsMock, fixture: LoadFixture) -> responses.BaseResponse:
    return zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)


def listed(zoho: responses.RequestsMock, *rows: tuple[str, str], has_more: bool = False) -> responses.BaseResponse:
    items = [{"item_id": key, "name": f"Item {key}", "sku": sku, "status": "active", "rate": 1} for key, sku in rows]
    body = {"code": 0, "message": "success", "items": items, "page_context": {"has_more_page": has_more}}
    return zoho.get(f"{API}/items", json=body)


def lines_of(zoho: responses.RequestsMock, position: int = -1) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads(zoho.calls[position].request.body, parse_float=Decimal)["line_items"]
    return lines


def items_of(zoho: responses.RequestsMock) -> list[list[str]]:
    posts = [call for call in zoho.calls if call.request.method == "POST"]
    return [[each.get("item_id", "") for each in json.loads(call.request.body)["line_items"]] for call in posts]


def test_items_are_read_once_on_every_page_for_all_invoices(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, created: Any
) -> None:
    for page, name in (("1", "items__two_pages_first"), ("2", "items__two_pages_last")):
        query = {"organization_id": "10234695", "filter_by": "Status.Active", "page": page, "per_page": "200"}
        zoho.get(f"{API}/items", json=fixture(name), match=[matchers.query_param_matcher(query)])
    connector = books(item_lookup=None)

    for _ in range(2):
        connector.create_invoice(invoice_request(line("1", "5", "5"), line("1", "5", "5", code="IN7080")))

    assert items_of(zoho) == [["460000000027017", "460000000027019"]] * 2
    assert len(zoho.calls) == 4


def test_what_has_no_item_is_free_text_and_costs_no_query_either(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, created: Any
) -> None:
    items = fixture("items__two_pages_first")
    items["page_context"]["has_more_page"] = False
    zoho.get(f"{API}/items", json=items)
    connector = books(item_lookup=None)

    for _ in range(3):
        connector.create_invoice(
            invoice_request(line("1", "5", "5"), line("1", "5", "5", code="GC1001"), line("1", "5", "5", code="NEW"))
        )

    assert items_of(zoho) == [["460000000027017", "", ""]] * 3
    assert len(zoho.calls) == 4


def test_a_line_of_an_item_says_what_the_deal_says(zoho: responses.RequestsMock, books: Build, created: Any) -> None:
    listed(zoho, ("1", "GC1060"))

    books(item_lookup=None).create_invoice(invoice_request(line("2", "5", "10"), line("2", "5", "10", description="")))

    assert lines_of(zoho) == [
        {"item_id": "1", "name": "GC1060", "description": "Generator", "rate": 5, "quantity": 2},
        {"item_id": "1", "name": "GC1060", "description": "GC1060", "rate": 5, "quantity": 2},
    ]


@pytest.mark.parametrize(("item_lookup", "item_id"), [(None, ""), (True, "1")], ids=["where there is one", "always"])
def test_one_piece_of_many_is_taken_from_no_stock_unless_it_must_be(
    zoho: responses.RequestsMock, books: Build, created: Any, item_lookup: bool | None, item_id: str
) -> None:
    listed(zoho, ("1", "GC1060"))

    books(item_lookup=item_lookup).create_invoice(invoice_request(line("1000", "0.0125", "12.50")))

    assert items_of(zoho) == [[item_id]]


def test_a_sku_of_two_active_items_is_nobodys(zoho: responses.RequestsMock, books: Build, created: Any) -> None:
    listed(zoho, ("1", "SAME"), ("2", "SAME"), ("3", " gc1060 "))

    books(item_lookup=None).create_invoice(invoice_request(line("1", "5", "5", code="OTHER"), line("1", "5", "5")))

    assert items_of(zoho) == [["", "3"]]
    with pytest.raises(MappingError, match="or more than one"):
        books(item_lookup=True).create_invoice(invoice_request(line("1", "5", "5", code="SAME")))


def test_an_item_that_is_only_bought_is_on_no_invoice(zoho: responses.RequestsMock, books: Build, created: Any) -> None:
    rows = [
        {"item_id": key, "sku": sku, "status": "active", "item_type": kind}
        for key, sku, kind in (("1", "GC1060", "purchases"), ("2", "IN7080", "sales_and_purchases"))
    ]
    zoho.get(f"{API}/items", json={"code": 0, "items": rows, "page_context": {"has_more_page": False}})

    books(item_lookup=None).create_invoice(invoice_request(line("1", "5", "5"), line("1", "5", "5", code="IN7080")))

    assert items_of(zoho) == [["", "2"]]


def test_one_process_reads_the_list_for_all_that_are_started_later(
    zoho: responses.RequestsMock, books: Build, created: Any
) -> None:
    clock, notes = Clock(), OwnNotes()
    first = listed(zoho, ("1", "GC1060"))
    for _ in range(3):
        books(item_lookup=None, clock=clock, notes=notes).create_invoice(invoice_request(line("1", "5", "5")))
        clock.now += timedelta(hours=1)
    assert (items_of(zoho), first.call_count) == ([["1"]] * 3, 1)

    listed(zoho, ("2", "GC1060"))
    clock.now = NOW + timedelta(hours=6)
    books(item_lookup=None, clock=clock, notes=notes).create_invoice(invoice_request(line("1", "5", "5")))
    assert items_of(zoho)[3:] == [["2"]]


def test_a_process_whose_list_is_old_takes_the_one_that_another_has_read_since(
    zoho: responses.RequestsMock, books: Build, created: Any
) -> None:
    clock, notes = Clock(), OwnNotes()
    one, other = (books(item_lookup=True, clock=clock, notes=notes) for _ in range(2))
    listed(zoho, ("1", "OLD"))
    with pytest.raises(MappingError):
        one.create_invoice(invoice_request(line("1", "5", "5")))
    clock.now += timedelta(hours=1)
    again = listed(zoho, ("2", "GC1060"))

    for connector in (other, one):
        connector.create_invoice(invoice_request(line("1", "5", "5")))

    assert (items_of(zoho), again.call_count) == ([["2"], ["2"]], 1)


@pytest.mark.parametrize(
    "note",
    ["", "null", "[1]", '{"ids": []}', '{"read_at": "2026-11-21T23:59:00+00:00", "ids": {"gc1060": "9"}}'],
    ids=["empty", "null", "a list", "half", "of a clock ahead"],
)
def test_a_note_that_can_not_be_right_is_passed_over(
    zoho: responses.RequestsMock, books: Build, created: Any, note: str
) -> None:
    notes = OwnNotes()
    notes.write("items.10234695", note)
    listed(zoho, ("1", "GC1060"))

    books(item_lookup=None, notes=notes).create_invoice(invoice_request(line("1", "5", "5")))

    assert items_of(zoho) == [["1"]]


def test_the_list_is_read_again_after_six_hours(zoho: responses.RequestsMock, books: Build, created: Any) -> None:
    clock = Clock()
    connector = books(item_lookup=None, clock=clock)
    listed(zoho, ("1", "GC1060"))
    listed(zoho, ("2", "GC1060"))

    for hours in (0, 5, 6):
        clock.now = NOW + timedelta(hours=hours)
        connector.create_invoice(invoice_request(line("1", "5", "5")))

    assert items_of(zoho) == [["1"], ["1"], ["2"]]


def test_a_code_that_must_have_an_item_is_looked_for_again_after_a_minute(
    zoho: responses.RequestsMock, books: Build, created: Any
) -> None:
    clock = Clock()
    connector = books(item_lookup=True, clock=clock)
    first = listed(zoho, ("1", "OLD"))
    for seconds in (0, 59):
        clock.now = NOW + timedelta(seconds=seconds)
        with pytest.raises(MappingError, match="no active item with the SKU GC1060") as caught:
            connector.create_invoice(invoice_request(line("1", "5", "5")))
        assert caught.value.is_definite
    assert first.call_count == 1

    listed(zoho, ("2", "GC1060"))
    clock.now = NOW + timedelta(seconds=60)
    connector.create_invoice(invoice_request(line("1", "5", "5")))

    assert items_of(zoho) == [["2"]]


def test_an_item_that_is_no_longer_active_costs_one_more_look_and_is_free_text(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    clock = Clock()
    connector = books(item_lookup=None, clock=clock)
    listed(zoho, ("1", "GC1060"), ("2", "IN7080"))
    listed(zoho, ("2", "IN7080"))
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)
    zoho.post(f"{API}/invoices", json=INACTIVE, status=400)
    zoho.post(f"{API}/invoices", json=fixture("invoice__created"), status=201)
    both = invoice_request(line("1", "5", "5"), line("1", "5", "5", code="IN7080"))

    connector.create_invoice(both)
    clock.now = NOW + timedelta(hours=1)
    connector.create_invoice(both)

    assert items_of(zoho)[1:] == [["1", "2"], ["", "2"]]


def test_a_refusal_that_no_item_explains_stays_one(zoho: responses.RequestsMock, books: Build) -> None:
    clock = Clock()
    connector = books(item_lookup=None, clock=clock)
    read = listed(zoho, ("1", "GC1060"))
    zoho.post(f"{API}/invoices", json={"code": 3008, "message": "The customer is inactive."}, status=400)

    for seconds in (0, 60, 61):
        clock.now = NOW + timedelta(seconds=seconds)
        with pytest.raises(RejectedError) as caught:
            connector.create_invoice(invoice_request(line("1", "5", "5")))
        assert caught.value.code == "3008"

    assert (read.call_count, len(items_of(zoho))) == (2, 3)


@pytest.mark.parametrize(
    ("status", "code"), [(401, 57), (404, 5), (400, 1002)], ids=["no permission", "no such address", "hidden"]
)
def test_items_that_can_not_be_read_stop_no_invoice(
    zoho: responses.RequestsMock, books: Build, created: Any, status: int, code: int
) -> None:
    hidden = zoho.get(f"{API}/items", json={"code": code, "message": "no"}, status=status)
    connector = books(item_lookup=None)

    for _ in range(2):
        connector.create_invoice(invoice_request(line("1", "5", "5")))
    seen = hidden.call_count

    assert items_of(zoho) == [[""], [""]]
    assert seen == (2 if status == 401 else 1)  # after a 401 one fresh token is tried
    with pytest.raises(PermanentError):
        books(item_lookup=True).create_invoice(invoice_request(line("1", "5", "5")))


def test_an_account_that_is_refused_is_no_matter_of_items(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.get(f"{API}/items", json={"code": 103001, "message": "Your plan is over."}, status=400)

    with pytest.raises(AccountRefusedError):
        books(item_lookup=None).create_invoice(invoice_request(line("1", "5", "5")))


def test_an_outage_while_items_are_read_leaves_no_doubt_about_the_invoice(
    zoho: responses.RequestsMock, books: Build
) -> None:
    zoho.get(f"{API}/items", status=503)

    with pytest.raises(VendorUnavailableError) as caught:
        books(item_lookup=None).create_invoice(invoice_request(line("1", "5", "5")))

    assert caught.value.is_definite


def test_and_a_list_that_was_read_before_serves_on(zoho: responses.RequestsMock, books: Build, created: Any) -> None:
    clock = Clock()
    connector = books(item_lookup=None, clock=clock)
    listed(zoho, ("1", "GC1060"))
    away = zoho.get(f"{API}/items", status=503)

    for seconds in (0, 6 * 3600, 6 * 3600 + 59):
        clock.now = NOW + timedelta(seconds=seconds)
        connector.create_invoice(invoice_request(line("1", "5", "5")))

    assert items_of(zoho) == [["1"]] * 3
    assert away.call_count == 1


def test_a_catalogue_without_end_is_read_to_the_five_thousandth(
    zoho: responses.RequestsMock, books: Build, created: Any
) -> None:
    for page in range(25):
        listed(zoho, *((f"{page}{row:03}", f"SKU-{page}-{row}") for row in range(200)), has_more=True)

    books(item_lookup=None).create_invoice(invoice_request(line("1", "5", "5", code="SKU-24-199")))

    assert items_of(zoho) == [["24199"]]


@pytest.mark.parametrize(
    ("item_lookup", "rows", "is_ok", "detail"),
    [
        (None, [("1", "A"), ("2", "B"), ("3", "B")], True, "1 items by SKU, other codes as free text"),
        (None, [], True, "0 items by SKU, other codes as free text"),
        (True, [("1", "A"), ("2", "B")], True, "2 items by SKU, a deal with any other code stops"),
        (True, [], False, "ZOHO_ITEM_LOOKUP=true requires an item for each product, but no active item has a SKU"),
        (False, None, True, "free text (ZOHO_ITEM_LOOKUP=false)"),
    ],
    ids=["where there is one", "where there is none", "always", "always, and there are none", "never"],
)
def test_doctor_says_what_stands_on_invoices(
    zoho: responses.RequestsMock,
    books: Build,
    fixture: LoadFixture,
    item_lookup: bool | None,
    rows: Any,
    is_ok: bool,
    detail: str,
) -> None:
    lists_for_doctor(zoho, fixture)
    if rows is not None:
        listed(zoho, *rows)

    (check,) = [check for check in books(item_lookup=item_lookup).check() if check.name == "invoice lines"]

    assert (check.is_ok, check.detail.startswith(detail)) == (is_ok, True)


@pytest.mark.parametrize(("item_lookup", "is_ok"), [(None, True), (True, False)])
def test_doctor_says_where_items_can_not_be_read(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, item_lookup: bool | None, is_ok: bool
) -> None:
    lists_for_doctor(zoho, fixture)
    zoho.get(f"{API}/items", json={"code": 57, "message": "no"}, status=401)

    (check,) = [check for check in books(item_lookup=item_lookup).check() if check.name == "invoice lines"]

    assert check.is_ok is is_ok
    assert ("free text, for the items can't be read" in check.detail) is is_ok


def lists_for_doctor(zoho: responses.RequestsMock, fixture: LoadFixture) -> None:
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    for kind in ("contacts", "invoices", "customerpayments"):
        zoho.get(f"{API}/{kind}", json={"code": 0, "message": "success", kind: []})
    zoho.get(f"{API}/settings/currencies", json={"code": 0, "message": "success", "currencies": []})
