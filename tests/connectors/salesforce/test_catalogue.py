"""Products are read in pages; their stock is written in calls of 200, and a refused row stops no other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from crmsync.connectors.salesforce.errors import bulk_refusal, refusal
from crmsync.domain.stock import Product, Rejection, StockLevel
from crmsync.errors import PermanentError, UnexpectedAnswerError, VendorUnavailableError

from ..conftest import LoadFixture
from .conftest import DATA, FIXTURES, INSTANCE, QUERY, Build

COLLECTION = f"{DATA}/composite/sobjects"
KEYS = [f"01txx000000000{number}AAA" for number in range(1, 5)]


def level(key: str, available: str = "12.5", *, is_low: bool = False) -> StockLevel:
    return StockLevel(key, "CODE", Decimal(available), is_low)


def nothing() -> None: ...


class Calls:
    """Counts how often the lease was renewed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class TestProducts:
    def test_pages_are_read_to_the_last_and_products_without_code_left_out(
        self, crm: Build, salesforce: responses.RequestsMock
    ) -> None:
        salesforce.get(QUERY, body=(FIXTURES / "products__first_page.json").read_bytes())
        salesforce.get(
            f"{INSTANCE}/services/data/v68.0/query/0r8xx0000000001AAA-2",
            body=(FIXTURES / "products__last_page.json").read_bytes(),
        )

        pages = [list(page) for page in crm().products(datetime(2026, 11, 20, tzinfo=UTC))]

        assert pages == [
            [Product(KEYS[0], "SENSOR-100", True, Decimal("12.5"), False, datetime(2026, 11, 20, 9, 15, tzinfo=UTC))],
            [Product(KEYS[2], "4711", False, None, None, datetime(2026, 11, 20, 9, 16, tzinfo=UTC))],
        ]

    @pytest.mark.parametrize(
        ("since", "where"),
        [
            (None, "WHERE IsActive = true"),
            (datetime(2026, 11, 20, tzinfo=UTC), "WHERE SystemModstamp >= 2026-11-20T00:00:00Z"),
        ],
    )
    def test_the_query(
        self,
        crm: Build,
        salesforce: responses.RequestsMock,
        fixture: LoadFixture,
        since: datetime | None,
        where: str,
    ) -> None:
        salesforce.get(QUERY, json=fixture("query__none"))

        list(crm(stock_field="Stock__c").products(since))

        query = parse_qs(urlsplit(salesforce.calls[0].request.url or "").query)["q"][0]
        select = "SELECT Id, ProductCode, IsActive, SystemModstamp, Stock__c, Low_Stock_Alert__c FROM Product2"
        assert query == f"{select} {where}"

    def test_a_field_that_is_missing_is_named(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        text = "No such column 'Available_Stock__c' on entity 'Product2'"
        salesforce.get(QUERY, status=400, json=[{"errorCode": "INVALID_FIELD", "message": text}])

        with pytest.raises(PermanentError, match="Available_Stock__c"):
            list(crm().products(None))


class TestWriteLevels:
    def test_a_row_that_is_refused_stops_no_other(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.patch(COLLECTION, json=fixture("collection__mixed"))

        rejections = crm().write_levels([level(key) for key in KEYS], nothing)

        assert rejections == [
            Rejection(
                KEYS[1],
                "FIELD_CUSTOM_VALIDATION_EXCEPTION: Available_Stock__c is refused by a validation rule of the "
                "organization",
            ),
            Rejection(KEYS[2], "UNABLE_TO_LOCK_ROW: Another change has locked the record in Salesforce."),
        ]

    def test_what_is_sent(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        salesforce.patch(COLLECTION, json=[{"success": True}] * 2)

        crm(stock_field="Stock__c").write_levels([level(KEYS[0]), level(KEYS[1], "0", is_low=True)], nothing)

        assert salesforce.calls[0].request.body == (
            b'{"allOrNone": false, "records": ['
            b'{"attributes": {"type": "Product2"}, "id": "01txx0000000001AAA", "Stock__c": 12.5,'
            b' "Low_Stock_Alert__c": false}, '
            b'{"attributes": {"type": "Product2"}, "id": "01txx0000000002AAA", "Stock__c": 0,'
            b' "Low_Stock_Alert__c": true}]}'
        )

    @pytest.mark.parametrize(
        ("count", "sizes"), [(0, []), (1, [1]), (200, [200]), (201, [200, 1]), (450, [200, 200, 50])]
    )
    def test_calls_of_200_and_the_lease_renewed_before_each(self, crm: Build, count: int, sizes: list[int]) -> None:
        def answer(request: Any) -> tuple[int, dict[str, str], str]:
            sent.append(len(json.loads(request.body)["records"]))
            return 200, {}, json.dumps([{"success": True, "errors": []}] * sent[-1])

        sent: list[int] = []
        keep_alive = Calls()
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
            mock.add_callback("PATCH", COLLECTION, answer)

            assert crm().write_levels([level(KEYS[0])] * count, keep_alive) == []

        assert (sent, keep_alive.count) == (sizes, len(sizes))

    @pytest.mark.parametrize(
        "text",
        ['[{"success": true}]', '[{"success": true}, {}]'],
    )
    def test_an_answer_that_does_not_tell_each_row_apart(
        self, crm: Build, salesforce: responses.RequestsMock, text: str
    ) -> None:
        salesforce.patch(COLLECTION, body=text)

        with pytest.raises(UnexpectedAnswerError):
            crm().write_levels([level(KEYS[0]), level(KEYS[1])], nothing)

    @pytest.mark.parametrize("text", ["", "null", "{}", "[]", "<html>", "Id,sf__Error\n"])
    def test_an_answer_that_is_not_salesforces(self, crm: Build, salesforce: responses.RequestsMock, text: str) -> None:
        salesforce.patch(COLLECTION, body=text)

        with pytest.raises(VendorUnavailableError):
            crm().write_levels([level(KEYS[0]), level(KEYS[1])], nothing)

    def test_a_call_that_fails_as_a_whole_raises(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        salesforce.patch(COLLECTION, status=503, body="<html>")

        with pytest.raises(VendorUnavailableError):
            crm().write_levels([level(KEYS[0])], nothing)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ([{"statusCode": "STRING_TOO_LONG", "fields": ["A__c", "B__c"]}], "STRING_TOO_LONG: A__c is too long; B__c is"),
        ([{"statusCode": "REQUIRED_FIELD_MISSING"}], "REQUIRED_FIELD_MISSING: A field of the record is required."),
        ([{"statusCode": "NEW_CODE", "message": "Ann"}], "NEW_CODE: The record is refused."),
        ([{"statusCode": "INVALID_FIELD", "message": "Ann"}], "INVALID_FIELD: Salesforce lacks a field"),
        ([{"statusCode": "Ann Payer"}], "The record is refused."),
        ([{"errorCode": "STRING_TOO_LONG"}], "The record is refused."),
        (
            [{"statusCode": "STRING_TOO_LONG", "fields": ["Ann Payer"]}],
            "STRING_TOO_LONG: A field of the record is too long.",
        ),
        ([], "The record is refused."),
        (None, "The record is refused."),
        ("STRING_TOO_LONG", "The record is refused."),
    ],
)
def test_the_reason_is_a_code_and_our_words(errors: Any, reason: str) -> None:
    assert refusal(errors).startswith(reason)
    assert "Ann" not in refusal(errors)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NUMBER_OUTSIDE_VALID_RANGE:Ann: no:Stock__c --", "NUMBER_OUTSIDE_VALID_RANGE: Stock__c is outside"),
        ("STRING_TOO_LONG:…:Low__c, Stock__c --", "STRING_TOO_LONG: Stock__c is too long; Low__c is too long"),
        ("ENTITY_IS_LOCKED:Ann holds it:--", "ENTITY_IS_LOCKED: The record is locked in Salesforce by an approval"),
        ("NEW_CODE:no:Ann --", "NEW_CODE: The record is refused."),
        ("NEW_CODE", "NEW_CODE: The record is refused."),
        ("Ann Payer:no:--", "The record is refused."),
        ("", "The record is refused."),
    ],
)
def test_so_is_that_of_a_bulk_job(text: str, reason: str) -> None:
    found = bulk_refusal(text, ["Stock__c", "Low__c"])

    assert found.startswith(reason)
    assert "Ann" not in found
