"""CSRF tokens: fetched once, bound to their cookies, renewed once when stale, never mistaken for a permission."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import responses

from crmsync import errors
from crmsync.connectors.way_out.lease import deadline
from crmsync.domain.documents import Document, OrderRequest
from tests.builders import customer, deal

from ..conftest import LoadFixture
from .conftest import ORDERS, PARTNERS, Build, Sap

ORDER_SET = f"{ORDERS}/A_SalesOrder"
PARTNER_SET = f"{PARTNERS}/A_BusinessPartner"
STALE = {"status": 403, "body": "CSRF token validation failed", "headers": {"x-csrf-token": "Required"}}
REQUEST = OrderRequest("SF-006xx0000012abcAAA", "17100001", deal())


@pytest.fixture
def accepts_order(sap: Sap, fixture: LoadFixture) -> Callable[[], None]:
    return lambda: sap.answers("POST", ORDER_SET, fixture("order__created"), status=201)


def credentials(request: requests.PreparedRequest) -> tuple[str | None, str | None]:
    return request.headers.get("x-csrf-token"), request.headers.get("Cookie")


def test_a_write_carries_the_token_and_every_cookie_it_came_with(
    sap: Sap, build: Build, accepts_order: Callable[[], None]
) -> None:
    first, second = "SAP_SESSIONID_T_100=one", "sap-usercontext=sap-client=100"
    sap.gives_token(ORDERS, "token-1", first, second)
    accepts_order()

    build().create_order(REQUEST)

    token, cookie = credentials(sap.sent[1])
    assert token == "token-1"
    assert set((cookie or "").split("; ")) == {first, second}


def test_the_fetch_asks_for_nothing_but_a_token(sap: Sap, build: Build, accepts_order: Callable[[], None]) -> None:
    sap.gives_token(ORDERS)
    accepts_order()

    build(sap_client="100").create_order(REQUEST)

    fetch, write = sap.sent
    assert (fetch.method, fetch.url) == ("GET", f"{ORDERS}/?sap-client=100")
    assert fetch.headers["x-csrf-token"] == "Fetch"
    assert fetch.body is None
    assert write.url == f"{ORDER_SET}?sap-client=100"


def test_a_token_is_fetched_once_per_service(
    sap: Sap, build: Build, fixture: LoadFixture, accepts_order: Callable[[], None]
) -> None:
    connector = build()
    sap.gives_token(ORDERS, "for-orders", "SAP_SESSIONID_T_100=orders")
    sap.gives_token(PARTNERS, "for-partners", "SAP_SESSIONID_T_100=partners")
    sap.answers("POST", PARTNER_SET, fixture("partner__created"), status=201)
    accepts_order()
    accepts_order()

    connector.create_order(REQUEST)
    connector.create_customer(customer(), reference="001XX000003DGB2AAA", currency="EUR")
    connector.create_order(REQUEST)

    assert [credentials(request) for request in sap.sent if request.method == "POST"] == [
        ("for-orders", "SAP_SESSIONID_T_100=orders"),
        ("for-partners", "SAP_SESSIONID_T_100=partners"),
        ("for-orders", "SAP_SESSIONID_T_100=orders"),
    ]


def test_reads_join_the_session_of_the_writes(
    sap: Sap, build: Build, fixture: LoadFixture, accepts_order: Callable[[], None]
) -> None:
    connector = build()
    sap.gives_token(ORDERS)
    accepts_order()
    sap.answers("GET", f"{ORDER_SET}('4711')", fixture("order__read"))

    connector.create_order(REQUEST)
    connector.read_order("4711")

    assert credentials(sap.sent[-1]) == (None, "SAP_SESSIONID_T_100=one")


def test_a_stale_token_is_renewed_and_the_write_repeated(
    sap: Sap, build: Build, accepts_order: Callable[[], None]
) -> None:
    sap.gives_token(ORDERS, "old", "SAP_SESSIONID_T_100=old")
    sap.answers("POST", ORDER_SET, **STALE)
    sap.gives_token(ORDERS, "new", "SAP_SESSIONID_T_100=new")
    accepts_order()

    assert build().create_order(REQUEST) == Document("4711", "4711")
    assert [credentials(request) for request in sap.sent if request.method == "POST"] == [
        ("old", "SAP_SESSIONID_T_100=old"),
        ("new", "SAP_SESSIONID_T_100=new"),
    ]


def test_a_token_that_is_stale_again_is_not_tried_a_third_time(sap: Sap, build: Build) -> None:
    for _ in range(2):
        sap.gives_token(ORDERS)
        sap.answers("POST", ORDER_SET, **STALE)

    with pytest.raises(errors.AuthenticationError, match="CSRF") as caught:
        build().create_order(REQUEST)

    assert caught.value.is_definite


def test_another_403_is_a_missing_permission(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, fixture("error__no_details"), status=403)

    with pytest.raises(errors.AuthenticationError, match="communication arrangements"):
        build().create_order(REQUEST)

    assert len(sap.sent) == 2


@pytest.mark.parametrize("status", [200, 302, 403, 404, 405, 406, 501])
def test_a_service_without_a_root_gives_its_token_with_the_metadata(
    sap: Sap, build: Build, accepts_order: Callable[[], None], status: int
) -> None:
    sap.answers("GET", f"{ORDERS}/", status=status)
    sap.answers("GET", f"{ORDERS}/$metadata", body="<edmx:Edmx/>", headers={"x-csrf-token": "token-1"})
    accepts_order()

    build().create_order(REQUEST)

    assert sap.sent[1].headers["Accept"] == "application/xml"
    assert credentials(sap.sent[2]) == ("token-1", None)


# how the fetch fails → the error of the write, which was not sent
FETCH_FAILURES: dict[str, tuple[dict[str, Any], type[errors.CrmsyncError]]] = {
    "timeout": ({"body": requests.ReadTimeout()}, errors.VendorUnavailableError),
    "broken": ({"body": requests.ConnectionError()}, errors.VendorUnavailableError),
    "signed out": ({"status": 401, "body": "<html>"}, errors.AuthenticationError),
    "too many calls": ({"status": 429}, errors.RateLimitedError),
}

# what both addresses answer → the error of the write, which was not sent
NOWHERE: dict[str, tuple[dict[str, Any], type[errors.CrmsyncError]]] = {
    "dump": ({"status": 500}, errors.VendorUnavailableError),
    "forbidden": ({"status": 403}, errors.AuthenticationError),
    "moved": ({"status": 302}, errors.VendorUnavailableError),
    "a page": ({"status": 200, "body": "<html>"}, errors.VendorUnavailableError),
    "no such address": ({"status": 404}, errors.VendorUnavailableError),
    "no real token": ({"status": 200, "headers": {"x-csrf-token": "Required"}}, errors.VendorUnavailableError),
}


@pytest.mark.parametrize(("answer", "error_type"), NOWHERE.values(), ids=NOWHERE)
def test_a_token_that_is_found_nowhere_means_that_nothing_was_sent(
    sap: Sap, build: Build, answer: dict[str, Any], error_type: type[errors.CrmsyncError]
) -> None:
    sap.answers("GET", f"{ORDERS}/", **answer)
    sap.answers("GET", f"{ORDERS}/$metadata", **answer)

    with pytest.raises(error_type) as caught:
        build().create_order(REQUEST)

    assert caught.value.is_definite
    assert [request.method for request in sap.sent] == ["GET", "GET"]


@pytest.mark.parametrize(("answer", "error_type"), FETCH_FAILURES.values(), ids=FETCH_FAILURES)
def test_a_failed_fetch_means_that_nothing_was_sent(
    sap: Sap, build: Build, answer: dict[str, Any], error_type: type[errors.CrmsyncError]
) -> None:
    sap.answers("GET", f"{ORDERS}/", **answer)

    with pytest.raises(error_type) as caught:
        build().create_order(REQUEST)

    assert caught.value.is_definite
    assert [request.method for request in sap.sent] == ["GET"]


def test_a_lease_too_short_for_the_fetch_sends_nothing(sap: Sap, build: Build) -> None:
    with deadline(time.monotonic() + 1), pytest.raises(errors.NotNowError) as caught:
        build().create_order(REQUEST)

    assert caught.value.is_definite
    assert not sap.sent


@responses.activate
def test_threads_share_one_token(build: Build, fixture: LoadFixture) -> None:
    at_once = threading.Barrier(8)
    headers = {"x-csrf-token": "token-1"}
    root = responses.add("GET", f"{ORDERS}/", json={}, headers=headers)
    responses.add("POST", ORDER_SET, json=fixture("order__created"), status=201)
    connector = build()

    def create(_: int) -> Document:
        at_once.wait(timeout=10)
        return connector.create_order(REQUEST)

    with ThreadPoolExecutor(8) as threads:
        assert {each.number for each in threads.map(create, range(8))} == {"4711"}

    assert root.call_count == 1
