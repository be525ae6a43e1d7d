"""Cases from the field, T7, T14: a session before SAP ends, and whoever goes on sending its cookies is turned away."""

from __future__ import annotations

import pytest

from crmsync import errors
from crmsync.connectors.s4hana import csrf
from tests.builders import customer
from tests.field.raw_server import Peer, RawServer, answer, html, redirect
from tests.field.test_vendor_edges import CREATED, REQUEST
from tests.field.vendors import json_answer, sap

ORDER = json_answer({"d": {"SalesOrder": "4711"}})


class Gateway:
    """Gives each client a session by a cookie, and turns away the cookies of all but its latest session."""

    def __init__(self, turned_away: bytes) -> None:
        self._turned_away = turned_away
        self._begun = 0
        self._is_over = False

    def forgets(self) -> None:
        self._is_over = True

    def __call__(self, peer: Peer) -> None:
        cookie = peer.request.headers.get("cookie", "")
        if cookie and (self._is_over or cookie != f"sid={self._begun}"):
            peer.send(self._turned_away)
            return
        headers = []
        if not cookie:
            self._begun, self._is_over = self._begun + 1, False
            headers = [f"Set-Cookie: sid={self._begun}; Path=/"]
        if peer.request.headers.get("x-csrf-token") == "Fetch":
            peer.send(json_answer({"d": {}}, "200 OK", "x-csrf-token: t", *headers))
        else:
            peer.send(CREATED if peer.request.line.startswith("POST") else ORDER)


ENDS = {
    "the log-in page": redirect("https://login.example.com/"),
    "a page": html(),
    "no such session": html("400 Session not found"),
    "timed out": html("440 Login Time-out"),
    "an error": html("500 Session timed out"),
    "unavailable": html("503 Service Unavailable"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_T7__a_session_that_is_over_is_left_by_the_next_call(end: bytes) -> None:
    gateway = Gateway(end)
    with RawServer(gateway) as server:
        erp = sap(server.url)
        erp.create_order(REQUEST)
        gateway.forgets()
        with pytest.raises(errors.VendorUnavailableError):
            erp.read_order("4711")
        assert erp.read_order("4711").number == "4711"
        assert erp.create_order(REQUEST).number == "4711"

        gateway.forgets()
        with pytest.raises(errors.VendorUnavailableError) as caught:
            erp.create_order(REQUEST)
        assert not caught.value.is_definite
        assert erp.create_order(REQUEST).number == "4711"


REFUSALS = {"no signature": html("401 Unauthorized"), "forbidden": html("403 Forbidden")}


@pytest.mark.parametrize("end", REFUSALS.values(), ids=REFUSALS)
def test_T14__a_refusal_in_an_old_session_is_asked_about_in_a_new_one(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csrf, "YOUNG_SECONDS", -1.0)
    gateway = Gateway(end)
    with RawServer(gateway) as server:
        erp = sap(server.url)
        erp.create_order(REQUEST)
        gateway.forgets()
        assert erp.read_order("4711").number == "4711"
        erp.create_order(REQUEST)
        gateway.forgets()
        assert erp.create_order(REQUEST).number == "4711"


def test_T14__a_wrong_password_is_sent_once_more_at_most_and_only_to_leave_a_session() -> None:
    with RawServer(answer(b"", "401 Unauthorized")) as server:
        erp = sap(server.url)
        with pytest.raises(errors.AccountRefusedError):
            erp.read_order("4711")

    assert len(server.requests) == 1


def test_T14__a_permission_that_is_missing_costs_a_read_one_more_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csrf, "YOUNG_SECONDS", -1.0)
    gateway = Gateway(html())
    with RawServer(gateway) as server:
        erp = sap(server.url)
        erp.create_order(REQUEST)
        asked = len(server.requests)
        server.at("/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder('", html("403 Forbidden"))
        for _ in range(2):
            with pytest.raises(errors.AuthenticationError):
                erp.read_order("4711")

    assert len(server.requests) == asked + 3


def test_T7__a_session_that_is_left_while_a_token_is_fetched_keeps_the_cookies_of_that_token() -> None:
    """One call fails while another thread waits for the token of another service, in the same session."""

    def sap_with_one_session(peer: Peer) -> None:
        line, headers = peer.request.line, peer.request.headers
        if headers.get("x-csrf-token") != "Fetch":
            peer.send(CREATED if line.startswith("POST") and headers.get("cookie") else html("503 Unavailable"))
            return
        if "API_BUSINESS_PARTNER" in line:
            with pytest.raises(errors.VendorUnavailableError):
                erp.read_order("4711")
        begins = [] if headers.get("cookie") else ["Set-Cookie: sid=1; Path=/"]
        peer.send(json_answer({"d": {}}, "200 OK", "x-csrf-token: t", *begins))

    with RawServer(sap_with_one_session) as server:
        erp = sap(server.url)
        erp.create_order(REQUEST)
        with pytest.raises(errors.CrmsyncError):
            erp.create_customer(customer(), reference="SF-1", currency="USD")
        [sent] = [each for each in server.requests if each.line.startswith("POST") and "PARTNER" in each.line]

    assert sent.headers.get("cookie") == "sid=1"
