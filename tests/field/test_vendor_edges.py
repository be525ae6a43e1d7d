"""Cases from the field: what stands before a vendor, and what was learned at the sign-in."""

from __future__ import annotations

import pytest

from crmsync import errors
from crmsync.connectors.s4hana import csrf
from crmsync.domain.documents import Document, OrderRequest
from tests.builders import deal
from tests.field.raw_server import RawServer, answer, html, redirect
from tests.field.vendors import ORDER_SERVICE, ORDERS, csrf_token, json_answer, sap

REQUEST = OrderRequest("SF-006xx0000012abcAAA", "17100001", deal())
CREATED = json_answer({"d": {"SalesOrder": "4711"}}, "201 Created")
METADATA = f"{ORDER_SERVICE}$metadata"

# -- T7: the CSRF token

WITHOUT_TOKEN = {
    "a page": html(),
    "nothing": answer(b""),
    "the log-in page": redirect("https://login.example.com/"),
    "no such page": html("404 Not Found"),
    "forbidden": html("403 Forbidden"),
}


@pytest.mark.parametrize("root", WITHOUT_TOKEN.values(), ids=WITHOUT_TOKEN)
def test_T7__a_root_without_a_token_sends_to_the_metadata(root: bytes) -> None:
    with RawServer(CREATED) as server:
        server.at(ORDER_SERVICE, root)
        server.at(METADATA, answer(b"<edmx:Edmx/>", headers=["x-csrf-token: t"], content_type="application/xml"))
        server.at(ORDERS, CREATED)

        assert sap(server.url).create_order(REQUEST) == Document("4711", "4711")

    assert server.requests[-1].headers["x-csrf-token"] == "t"


@pytest.mark.parametrize("anywhere", [html(), redirect("https://login.example.com/"), html("404 Not Found")])
def test_T7__no_token_anywhere_passes_and_nothing_was_sent(anywhere: bytes) -> None:
    with RawServer(anywhere) as server, pytest.raises(errors.VendorUnavailableError) as caught:
        sap(server.url).create_order(REQUEST)

    assert caught.value.is_definite
    assert {request.line.partition(" ")[0] for request in server.requests} == {"GET"}


# -- T14: a 403 whose header a gateway took off

FORBIDDEN = {
    "a page": html("403 Forbidden"),
    "nothing": answer(b"", "403 Forbidden"),
    "json": json_answer({}, "403 No"),
}


@pytest.mark.parametrize("refusal", FORBIDDEN.values(), ids=FORBIDDEN)
def test_T14__an_old_token_is_fetched_anew_for_any_403(refusal: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csrf, "YOUNG_SECONDS", -1.0)
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token("old"), csrf_token("new"))
        server.at(ORDERS, refusal, CREATED)

        assert sap(server.url).create_order(REQUEST).number == "4711"

    sent = [request.headers.get("x-csrf-token") for request in server.requests if request.line.startswith("POST")]
    assert sent == ["old", "new"]


def test_T14__a_403_for_a_young_token_is_a_permission() -> None:
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, html("403 Forbidden"))

        with pytest.raises(errors.AuthenticationError):
            sap(server.url).create_order(REQUEST)

    assert len(server.requests) == 2


def test_T14__a_403_that_speaks_of_the_token_means_it_at_any_age() -> None:
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, answer(b"CSRF token validation failed", "403 Forbidden"), CREATED)

        assert sap(server.url).create_order(REQUEST).number == "4711"
