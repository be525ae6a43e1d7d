"""Payments: read, added up on their invoices, and found by change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import responses
from responses import matchers

from crmsync.connectors.base import Payments
from crmsync.connectors.kit.fields import Day, Instant, Readable
from crmsync.connectors.zoho_books.payment_schemas import end_of, stamp_text
from crmsync.connectors.zoho_books.payments import Progress
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange, Payment, PaymentChange, Settlement
from crmsync.errors import RecordNotFoundError, RejectedError, UnexpectedAnswerError, VendorUnavailableError

from ..conftest import LoadFixture
from .conftest import API, Build

PAYMENT = "460000000042059"
INVOICE = "460000000039129"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NO_INVOICE = {"code": 1002, "message": "Invoice does not exist."}
SORT = {"sort_column": "last_modified_time", "sort_order": "D"}

Role = Callable[[Payments], Any]
READS: dict[str, tuple[str, Role]] = {
    "payment": (f"customerpayments/{PAYMENT}", lambda books: books.read_payment(PAYMENT)),
    "settlement": (f"invoices/{INVOICE}", lambda books: books.read_settlement(INVOICE)),
}


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def invoice(**changes: Any) -> dict[str, Any]:
    """An answer to GET /invoices/{id} with total 100; a value of None takes the field away."""
    usual = {"invoice_id": INVOICE, "invoice_number": "INV-12", "status": "sent", "currency_code": "USD"}
    fields = {**usual, "total": 100, "balance": 100, "payment_made": 0, "last_payment_date": "", **changes}
    return {"code": 0, "message": "success", "invoice": {k: v for k, v in fields.items() if v is not None}}


def page(*rows: dict[str, Any], has_more: bool, key: str = "customerpayments", **context: str) -> dict[str, Any]:
    return {"code": 0, key: list(rows), "page_context": {"has_more_page": has_more, **context}}


def row(number: int, **times: str) -> dict[str, Any]:
    return {"payment_id": str(number), "amount": 5, "date": "2026-11-01", **times}


def changed(number: int, hour: int, **times: str) -> dict[str, Any]:
    return row(number, last_modified_time=f"2026-11-20T{hour:02}:00:00+0000", **times)


# One payment


def test_payment_names_its_invoices_and_its_day(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/customerpayments/{PAYMENT}", json=fixture("customerpayment__two_invoices"))
    role: Payments = books()

    assert role.read_payment(PAYMENT) == Payment(PAYMENT, (INVOICE, "460000000039131"), date(2026, 11, 19), "7")


@pytest.mark.parametrize(
    ("key", "fields", "expected"),
    [
        ("payment", {}, Payment("46", ())),
        ("payment", {"invoices": None, "date": None}, Payment("46", ())),
        ("payment", {"invoices": [], "date": " "}, Payment("46", ())),
        ("customerpayment", {"date": "2026-11-19"}, Payment("46", (), date(2026, 11, 19))),
        ("payment", {"payment_number": 7}, Payment("46", (), None, "7")),
        ("payment", {"invoices": [{"invoice_id": 7}, {"invoice_id": "7"}]}, Payment("46", ("7",))),
        ("payment", {"invoices": [{"invoice_id": "7", "amount_applied": 0}]}, Payment("46", ("7",))),
        ("payment", {"invoices": [{"invoice_id": "7", "amount_applied": "5.00"}]}, Payment("46", ("7",))),
    ],
    ids=[
        "bare",
        "nulls",
        "not applied, no day",
        "the other key",
        "a number that is one",
        "an invoice named twice",
        "nothing applied yet",
        "text for an amount",
    ],
)
def test_payment_is_read_however_it_is_written(
    zoho: responses.RequestsMock, books: Build, key: str, fields: dict[str, Any], expected: Payment
) -> None:
    zoho.get(f"{API}/customerpayments/46", json={"code": 0, key: {"payment_id": "46", **fields}})

    assert books().read_payment("46") == expected


@pytest.mark.parametrize(("path", "read"), READS.values(), ids=READS.keys())
@pytest.mark.parametrize("status", [400, 404, 200])
def test_what_was_deleted_is_not_found(
    zoho: responses.RequestsMock, books: Build, path: str, read: Role, status: int
) -> None:
    zoho.get(f"{API}/{path}", json={"code": 1002, "message": "does not exist"}, status=status)

    with pytest.raises(RecordNotFoundError):
        read(books())


@pytest.mark.parametrize(("path", "read"), READS.values(), ids=READS.keys())
@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ({"json": {"code": 5, "message": "Invalid URL Passed"}}, 404, RejectedError),
        ({"json": {"code": 5, "message": "Invalid value"}}, 400, RejectedError),
        ({"json": {"code": 2, "message": "Invalid value"}}, 400, RejectedError),
        ({"body": "<html>no such page</html>"}, 404, VendorUnavailableError),
        ({"json": {"code": 0, "message": "success"}}, 200, UnexpectedAnswerError),
        ({"json": {"code": 0, "payment": {}, "invoice": {}}}, 200, UnexpectedAnswerError),
        ({"json": {"code": 0, "payment": [], "invoice": []}}, 200, UnexpectedAnswerError),
    ],
    ids=["wrong address", "wrong id", "wrong value", "page of a proxy", "no record", "empty record", "a list"],
)
def test_nothing_else_is_taken_for_deleted(
    zoho: responses.RequestsMock,
    books: Build,
    path: str,
    read: Role,
    answer: dict[str, Any],
    status: int,
    error: type[Exception],
) -> None:
    zoho.get(f"{API}/{path}", status=status, **answer)

    with pytest.raises(error) as caught:
        read(books())

    assert type(caught.value) is error
    assert "Invalid" not in str(caught.value)


# One invoice


def test_settlement_takes_one_call_and_keeps_the_currency_of_the_invoice(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/invoices/{INVOICE}", json=fixture("invoice__partly_paid"))

    assert books().read_settlement(INVOICE) == Settlement(
        key=INVOICE,
        number="INV-00012",
        reference="SF-006xx0000012abcAAA",
        total=Money(Decimal("55953.92"), "EUR"),
        balance=Money(Decimal("5000.00"), "EUR"),
        paid=Money(Decimal("50000.00"), "EUR"),
        paid_on=date(2026, 11, 19),
        written_off=Decimal("53.92"),
        credited=Decimal("900.00"),
        is_mailed=True,
    )
    assert len(zoho.calls) == 1


@pytest.mark.parametrize(
    ("fields", "paid", "is_paid"),
    [
        ({"balance": "0.00", "payment_made": "100.00", "total": "100.00"}, "100", True),
        ({"balance": 0, "payment_made": None}, "100", True),
        ({"balance": 40, "payment_made": ""}, "60", False),
        ({"balance": 40, "payment_made": None, "credits_applied": "10", "write_off_amount": 5}, "45", False),
        ({"balance": 0, "payment_made": None, "credits_applied": 100}, "0", True),
        ({"balance": 0, "payment_made": None, "write_off_amount": 100}, "0", False),
        ({"balance": 40, "payment_made": None, "credits_applied": 90}, "0", False),
        ({"balance": 100, "payment_made": None, "status": "draft"}, "0", False),
        ({"balance": 0, "payment_made": None, "status": "void"}, "0", False),
    ],
    ids=[
        "amounts as text",
        "the balance tells",
        "an empty amount",
        "credits and write-offs are no payment",
        "all of it credited",
        "all of it given up",
        "never below zero",
        "a draft",
        "void",
    ],
)
def test_what_was_paid_is_told_or_worked_out(
    zoho: responses.RequestsMock, books: Build, fields: dict[str, Any], paid: str, is_paid: bool
) -> None:
    zoho.get(f"{API}/invoices/{INVOICE}", json=invoice(**{"last_payment_date": "2026-11-19", **fields}))

    settlement = books().read_settlement(INVOICE)

    assert (settlement.paid, settlement.is_paid) == (usd(paid), is_paid)
    assert settlement.paid_on == (date(2026, 11, 19) if Decimal(paid) else None)


@pytest.mark.parametrize("day", [None, "", " ", "soon"])
def test_day_is_looked_up_where_the_invoice_does_not_tell_it(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, day: str | None
) -> None:
    zoho.get(f"{API}/invoices/{INVOICE}", json=invoice(balance=60, payment_made=40, last_payment_date=day))
    zoho.get(f"{API}/invoices/{INVOICE}/payments", json=fixture("invoice_payments__three"))

    assert books().read_settlement(INVOICE).paid_on == date(2026, 11, 19)
    assert len(zoho.calls) == 2


@pytest.mark.parametrize(
    "fields",
    [{}, {"balance": 0, "credits_applied": 100}, {"status": "void", "payment_made": 40}, {"status": "VOID"}],
    ids=["nothing paid", "credited", "void with money", "void"],
)
def test_day_of_no_payment_costs_no_call(zoho: responses.RequestsMock, books: Build, fields: dict[str, Any]) -> None:
    zoho.get(f"{API}/invoices/{INVOICE}", json=invoice(**fields))

    settlement = books().read_settlement(INVOICE)

    assert settlement.paid_on is None
    assert settlement.is_void == ("status" in fields)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 404, "json": NO_INVOICE}, None),
        ({"status": 400, "json": NO_INVOICE}, None),
        ({"status": 204}, None),
        ({"json": {"code": 0}}, None),
        ({"json": {"code": 0, "payments": []}}, None),
        ({"json": {"code": 0, "payments": [{"amount": 5}, {"date": " ", "amount": 5}]}}, None),
        (
            {"json": {"code": 0, "payments": [{"date": "2026-11-19"}, {"date": "2026-11-20", "amount": "0.00"}]}},
            date(2026, 11, 19),
        ),
        (
            {
                "json": {
                    "code": 0,
                    "payments": [
                        {"date": "2026-11-18", "amount_applied": "5"},
                        {"date": "2026-11-20", "amount_applied": 0},
                    ],
                }
            },
            date(2026, 11, 18),
        ),
    ],
    ids=["gone", "gone, 400", "no content", "no rows", "empty", "no days", "a row of nothing", "the other amount"],
)
def test_day_stays_unknown_where_no_payment_tells_it(
    zoho: responses.RequestsMock, books: Build, answer: dict[str, Any], expected: date | None
) -> None:
    zoho.get(f"{API}/invoices/{INVOICE}", json=invoice(balance=60, payment_made=40))
    zoho.get(f"{API}/invoices/{INVOICE}/payments", **answer)

    assert books().read_settlement(INVOICE).paid_on == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("total", None),
        ("balance", None),
        ("balance", ""),
        ("balance", "1,000.00"),
        ("total", "NaN"),
        ("payment_made", "all"),
        ("currency_code", None),
        ("currency_code", ""),
        ("invoice_number", None),
    ],
)
def test_settlement_is_never_guessed(zoho: responses.RequestsMock, books: Build, name: str, value: str | None) -> None:
    zoho.get(f"{API}/invoices/{INVOICE}", json=invoice(**{name: value}))

    with pytest.raises(UnexpectedAnswerError) as caught:
        books().read_settlement(INVOICE)

    assert list(caught.value.field_errors) == [f"invoice.{name}"]


# Changed invoices


def test_changed_invoices_are_asked_from_a_second_earlier(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/invoices", json=fixture("invoices__changed"))

    found = list(books().changed_invoices(NOON))

    assert found == [
        InvoiceChange(INVOICE, "SF-006xx0000012abcAAA", NOON, Decimal("5000.00"), Decimal("55953.92")),
        InvoiceChange(
            "460000000039133", "", NOON + timedelta(seconds=30), Decimal("0.00"), Decimal("100.00"), is_void=True
        ),
    ]
    assert zoho.calls[0].request.params == {
        "organization_id": "10234695",
        "last_modified_time": "2026-11-20T11:59:59+0000",
        "page": "1",
        "per_page": "200",
    }
    assert "last_modified_time=2026-11-20T11%3A59%3A59%2B0000" in zoho.calls[0].request.url


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ({}, NOON),
        ({"last_modified_time": None}, NOON),
        ({"last_modified_time": ""}, NOON),
        ({"last_modified_time": "yesterday"}, NOON),
        ({"last_modified_time": "2026-11-20T12:00:00"}, NOON),
        ({"last_modified_time": "2026-11-20T12:00:00Z"}, NOON),
        ({"last_modified_time": "2026-11-20T17:31:00+05:30"}, NOON + timedelta(minutes=1)),
    ],
    ids=["missing", "null", "empty", "nonsense", "no offset", "Z", "colon"],
)
def test_row_without_a_stamp_counts_as_changed(
    zoho: responses.RequestsMock, books: Build, stamp: dict[str, Any], expected: datetime
) -> None:
    row = {"invoice_id": "46", "total": 100, "balance": "100.00", **stamp}
    zoho.get(f"{API}/invoices", json=page(row, has_more=False, key="invoices"))

    (found,) = books().changed_invoices(NOON + timedelta(microseconds=700))

    assert found == InvoiceChange("46", "", expected, Decimal(100), Decimal(100))
    assert found.is_untouched


def test_changed_invoices_of_every_page_are_read(zoho: responses.RequestsMock, books: Build) -> None:
    for number in (1, 2):
        rows = page({"invoice_id": str(number), "total": 1, "balance": 1}, has_more=number == 1, key="invoices")
        zoho.get(f"{API}/invoices", json=rows, match=[_page(number)])

    assert [change.key for change in books().changed_invoices(NOON)] == ["1", "2"]


@pytest.mark.parametrize("answer", [{"status": 204}, {"json": page(has_more=False, key="invoices")}])
def test_no_invoice_has_changed(zoho: responses.RequestsMock, books: Build, answer: dict[str, Any]) -> None:
    zoho.get(f"{API}/invoices", **answer)

    assert list(books().changed_invoices(NOON)) == []


def test_row_without_a_balance_is_no_answer(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.get(f"{API}/invoices", json=page({"invoice_id": "46", "total": 1}, has_more=False, key="invoices"))

    with pytest.raises(UnexpectedAnswerError):
        list(books().changed_invoices(NOON))


# Changed payments


def _page(number: int) -> Any:
    return matchers.query_param_matcher({"page": str(number)}, strict_match=False)


def test_changed_payments_end_where_older_ones_begin(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/customerpayments", json=fixture("customerpayments__newest_first"))

    assert list(books().changed_payments(NOON + timedelta(microseconds=700))) == [
        PaymentChange("460000000042063", NOON + timedelta(seconds=1)),
        PaymentChange("460000000042061", NOON),
    ]
    assert len(zoho.calls) == 1
    assert zoho.calls[0].request.params == {**SORT, "organization_id": "10234695", "page": "1", "per_page": "200"}


def test_row_with_a_day_alone_changed_before_that_day_was_over_everywhere(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/customerpayments", json=fixture("customerpayments__as_documented"))

    assert list(books().changed_payments(NOON)) == [
        PaymentChange("460000000042061", datetime(2026, 11, 21, 11, 59, 59, tzinfo=UTC))
    ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (
            {"last_modified_time": "2026-11-20T14:00:00+0000", "created_time": "2026-11-20T13:00:00+0000"},
            NOON + timedelta(hours=2),
        ),
        ({"last_modified_time": "", "created_time": "2026-11-20T05:00:00-0800"}, NOON + timedelta(hours=1)),
        ({"created_time": "?", "date": "2026-11-20"}, datetime(2026, 11, 21, 11, 59, 59, tzinfo=UTC)),
    ],
    ids=["changed", "made", "day"],
)
def test_row_tells_the_best_time_it_has(
    zoho: responses.RequestsMock, books: Build, times: dict[str, str], expected: datetime
) -> None:
    zoho.get(f"{API}/customerpayments", json=page(row(1, **times), has_more=False))

    assert list(books().changed_payments(NOON)) == [PaymentChange("1", expected)]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 204},
        {"json": page(has_more=False)},
        {"json": page(has_more=False, key="customer_payments")},
        {"json": page({"payment_id": "1"}, {"payment_id": "2", "date": ""}, has_more=False)},
    ],
    ids=["no content", "no rows", "no rows, documented key", "rows without any time"],
)
def test_no_payment_has_changed(zoho: responses.RequestsMock, books: Build, answer: dict[str, Any]) -> None:
    zoho.get(f"{API}/customerpayments", **answer)

    assert list(books().changed_payments(NOON)) == []


def test_pages_are_read_while_they_hold_what_changed(zoho: responses.RequestsMock, books: Build) -> None:
    hours = range(23, 9, -1)
    for number, hour in enumerate(hours, 1):
        zoho.get(f"{API}/customerpayments", json=page(changed(number, hour), has_more=True), match=[_page(number)])
        if hour < NOON.hour:
            break

    assert [change.key for change in books().changed_payments(NOON)] == [str(n) for n in range(1, 13)]
    assert len(zoho.calls) == 13


@pytest.mark.parametrize(
    ("hours", "context"),
    [((9, 15), {}), ((15, 9), {"sort_column": "created_time"})],
    ids=["rows out of order", "another order is claimed"],
)
def test_list_that_is_not_sorted_is_read_for_five_pages(
    zoho: responses.RequestsMock, books: Build, hours: tuple[int, int], context: dict[str, str]
) -> None:
    for number in range(1, 6):
        rows = [changed(number * 10 + hour, hour) for hour in hours]
        zoho.get(f"{API}/customerpayments", json=page(*rows, has_more=True, **context), match=[_page(number)])

    found = [change.key for change in books().changed_payments(NOON)]

    assert found == ["25", "35", "45", "55", "65"]
    assert len(zoho.calls) == 5


def test_refused_sort_is_not_asked_for_again(zoho: responses.RequestsMock, books: Build) -> None:
    sort = matchers.query_param_matcher(SORT, strict_match=False)
    unsorted = matchers.query_param_matcher({"organization_id": "10234695", "page": "1", "per_page": "200"})
    refused = zoho.get(f"{API}/customerpayments", json={"code": 2, "message": "?"}, status=400, match=[sort])
    rows = page(changed(1, 9), changed(2, 13), has_more=False, sort_column="created_time")
    taken = zoho.get(f"{API}/customerpayments", json=rows, match=[unsorted])
    role = books()

    found = [[change.key for change in role.changed_payments(NOON)] for _ in range(2)]

    assert found == [["2"], ["2"]]
    assert (refused.call_count, taken.call_count) == (1, 2)


def test_sort_is_not_blamed_for_what_is_refused_without_it(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.get(f"{API}/customerpayments", json={"code": 2, "message": "?"}, status=400)
    role = books()

    for _ in range(2):
        with pytest.raises(RejectedError):
            list(role.changed_payments(NOON))

    assert ["sort_column" in call.request.params for call in zoho.calls] == [True, False, True, False]


def test_list_without_rows_is_no_answer(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.get(f"{API}/customerpayments", json={"code": 0, "message": "success"})

    with pytest.raises(UnexpectedAnswerError):
        list(books().changed_payments(NOON))


def test_same_page_twice_ends_the_reading(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.get(f"{API}/customerpayments", json=page(changed(1, 13), has_more=True))

    with pytest.raises(UnexpectedAnswerError):
        list(books().changed_payments(NOON))


# The parts that decide


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([[15, 13], [13, 12], [12, 11]], 3),
        ([[15, 11], [10]], 1),
        ([[11], [10]], 1),
        ([[15], [16], [11], [10], [9], [8]], 5),
        ([[11, 15], [10], [9], [8], [7], [6]], 5),
        ([[], [11], [10], [9], [8], [7]], 5),
        ([[15], [14], [13], [12], [12], [12], [12]], None),
    ],
    ids=["until older", "older on the first", "only older", "climbs between pages", "climbs", "no times", "all newer"],
)
def test_reading_ends_after(pages: list[list[int]], expected: int | None) -> None:
    progress = Progress(NOON)
    ends = [progress.is_enough("", [NOON.replace(hour=hour) for hour in hours]) for hours in pages]

    assert (ends.index(True) + 1 if True in ends else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-18T02:02:51-0800", datetime(2026, 11, 18, 10, 2, 51, tzinfo=UTC)),
        (" 2026-11-18T15:32:51+0530 ", datetime(2026, 11, 18, 10, 2, 51, tzinfo=UTC)),
        ("2026-11-18T10:02:51Z", datetime(2026, 11, 18, 10, 2, 51, tzinfo=UTC)),
        ("2026-11-18", None),
        ("2026-11-18T10:02:51", None),
        ("2025-19-19T02:02:51+0800", None),
        ("0001-01-01T00:00:00+0800", None),
        ("", None),
        (" ", None),
        (None, None),
        (5, None),
    ],
)
def test_stamp(text: Any, expected: datetime | None) -> None:
    stamp = Readable(Instant())

    assert stamp.deserialize(text) == expected
    assert expected is None or stamp.deserialize(stamp_text(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-18", date(2026, 11, 18)),
        ("2026-11-18T02:02:51-0800", date(2026, 11, 18)),
        ("2026-02-30", None),
        ("18/11/2026", None),
        (" ", None),
        (None, None),
        (20261118, None),
    ],
)
def test_day(text: Any, expected: date | None) -> None:
    assert Readable(Day()).deserialize(text) == expected


def test_last_day_of_all_has_no_end() -> None:
    assert end_of(date.max) is None
