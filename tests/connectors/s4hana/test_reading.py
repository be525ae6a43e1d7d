"""Collections are read to their last page, whichever way the service pages."""

from __future__ import annotations

from typing import Any

import pytest

from crmsync import errors

from ..conftest import LoadFixture
from .conftest import ORDERS, Build, Sap

ORDER_SET = f"{ORDERS}/A_SalesOrder"
REFERENCE = "SF-006xx0000012abcAAA"


@pytest.fixture
def rows(fixture: LoadFixture) -> Any:
    """*count* orders, the first of them ours if *ours*."""

    def made(count: int, *, ours: bool = False, **more: Any) -> Any:
        (row,) = fixture("orders__by_assignment")["d"]["results"]
        found = [{**row, "PurchaseOrderByCustomer": f"PO-{number}"} for number in range(count)]
        if ours:
            found[0]["PurchaseOrderByCustomer"] = REFERENCE
        return {"d": {"results": found, **more}}

    return made


def numbers(connector: Any) -> list[str]:
    return [each.number for each in connector.find_orders(REFERENCE)]


def test_a_service_that_pages_by_itself_is_followed_on_our_own_host(sap: Sap, build: Build, rows: Any) -> None:
    link = "http://internal:8000/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder?$skiptoken=7"
    sap.answers("GET", ORDER_SET, rows(2, __next=link))
    sap.answers("GET", f"{ORDER_SET}?$skiptoken=7&sap-client=100", rows(1, ours=True))

    assert numbers(build(sap_client="100")) == ["4711"]


def test_a_relative_link_is_followed(sap: Sap, build: Build, rows: Any) -> None:
    sap.answers("GET", ORDER_SET, rows(2, __next="A_SalesOrder?$skiptoken=7"))
    sap.answers("GET", f"{ORDER_SET}?$skiptoken=7", rows(1, ours=True))

    assert numbers(build()) == ["4711"]


def test_a_service_that_does_not_page_is_asked_for_the_next_rows(sap: Sap, build: Build, rows: Any) -> None:
    sap.answers("GET", ORDER_SET, rows(50))
    sap.answers("GET", ORDER_SET, rows(1, ours=True))

    assert numbers(build()) == ["4711"]
    assert [(each["$top"], each["$skip"], each["$orderby"]) for each in sap.queries()] == [
        ("50", "0", "SalesOrder"),
        ("50", "50", "SalesOrder"),
    ]


def test_a_page_that_comes_again_ends_in_an_error_not_in_nothing_found(sap: Sap, build: Build, rows: Any) -> None:
    sap.answers("GET", ORDER_SET, rows(2, __next="A_SalesOrder?$skiptoken=7"))
    sap.answers("GET", f"{ORDER_SET}?$skiptoken=7", rows(2, __next="A_SalesOrder?$skiptoken=7"))

    with pytest.raises(errors.UnexpectedAnswerError):
        numbers(build())


@pytest.mark.parametrize("body", ["[]", "{}"])
def test_what_is_not_saps_is_an_outage_and_not_nothing_found(sap: Sap, build: Build, body: str) -> None:
    sap.answers("GET", ORDER_SET, body=body)

    with pytest.raises(errors.VendorUnavailableError):
        numbers(build())


@pytest.mark.parametrize("body", ['{"d": {}}', '{"d": {"results": {}}}', '{"d": {"results": ["4711"]}}'])
def test_what_is_no_collection_is_an_error_not_nothing_found(sap: Sap, build: Build, body: str) -> None:
    sap.answers("GET", ORDER_SET, body=body)

    with pytest.raises(errors.UnexpectedAnswerError):
        numbers(build())


def test_a_bare_list_is_a_collection(sap: Sap, build: Build, rows: Any) -> None:
    sap.answers("GET", ORDER_SET, {"d": rows(1, ours=True)["d"]["results"]})

    assert numbers(build()) == ["4711"]


def test_calls_ask_for_json_in_one_language(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", f"{ORDER_SET}('4711')", fixture("order__read"))

    build(language="DE").read_order("4711")

    assert sap.sent[0].headers["Accept"] == "application/json"
    assert sap.sent[0].headers["Accept-Language"] == "DE"
