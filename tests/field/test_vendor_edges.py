"""Cases from the field: what stands before a vendor, and what was learned at the sign-in."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crmsync import errors
from crmsync.connectors.s4hana import csrf
from crmsync.connectors.salesforce.addresses import trusted
from crmsync.connectors.signing_in import renewals
from crmsync.connectors.signing_in.grants import access_token
from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.way_out.lease import deadline
from crmsync.domain.documents import Document, OrderRequest
from tests.builders import customer, deal
from tests.field.raw_server import RawServer, Script, answer, html, redirect
from tests.field.vendors import (
    BOOKS,
    DEAL,
    DEAL_PATH,
    ORDER_SERVICE,
    ORDERS,
    QUERY_PATH,
    Signed,
    csrf_token,
    json_answer,
    salesforce,
    salesforce_refusal,
    sap,
    write_back,
    zoho,
    zoho_answer,
    zoho_check,
)

INVOICE = json_answer(
    {"code": 0, "invoice": {"invoice_id": "46", "invoice_number": "INV-1", "total": 1, "currency_code": "USD"}}
)
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
    "an error": html("500 Internal Server Error"),
    "a gateway's error": html("502 Bad Gateway"),
    "what was asked": csrf_token("Fetch"),
    "no value": csrf_token("null"),
    "blanks": csrf_token("  "),
    "a value of another page": json_answer({}, "404 Not Found", "x-csrf-token: other"),
}


@pytest.mark.parametrize("root", WITHOUT_TOKEN.values(), ids=WITHOUT_TOKEN)
def test_T7__a_root_without_a_token_sends_to_the_metadata(root: bytes) -> None:
    with RawServer(CREATED) as server:
        server.at(ORDER_SERVICE, root)
        server.at(METADATA, answer(b"<edmx:Edmx/>", headers=["x-csrf-token: t"], content_type="application/xml"))
        server.at(ORDERS, CREATED)

        assert sap(server.url).create_order(REQUEST) == Document("4711", "4711")

    assert server.requests[-1].headers["x-csrf-token"] == "t"


ANYWHERE = [html(), redirect("https://login.example.com/"), html("404 Not Found"), html("503 Service Unavailable")]


@pytest.mark.parametrize("anywhere", ANYWHERE)
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


# -- T6: whoever answers in the application's place

EDGE = {
    "420 with a page": html("420 Enhance Your Calm"),
    "200 with a page": html(),
    "404 with a page": html("404 Not Found"),
    "403 with a page": html("403 Forbidden"),
    "400 with a page": html("400 Bad Request"),
    "302 to a login page": redirect("https://acme.my.salesforce.com/?ec=302"),
    "406 with nothing": answer(b"", "406 Not Acceptable"),
    "200 with nothing": answer(b""),
    "a text": answer(b"Down for maintenance", content_type="text/plain"),
    "JSON of somebody else": json_answer({"message": "no Route matched with those values"}, "404 Not Found"),
    "JSON of somebody else under 200": json_answer({"status": "maintenance"}),
    "JSON that says nothing": json_answer(None),
    "an empty object": json_answer({}),
    "an empty list": json_answer([]),
    "an empty object, accepted": json_answer({}, "202 Accepted"),
    "a guard's word": json_answer({"success": False, "errors": [{"code": 1020}]}),
    "an incident": json_answer({"id": "7", "state": "open", "status": "down", "url": "https://status.example.com"}),
    "a list of somebody else": json_answer([{"id": "7", "status": "down"}]),
    "a choice": json_answer({"records": [], "done": True, "d": {"results": []}}, "300 Multiple Choices"),
    "JSON of somebody else in a list": json_answer([{"error": "down"}], "400 Bad Request"),
    "half of an answer": answer(b'[{"errorCode": "NOT_FOUND"', "404 Not Found"),
    "401 with a page": html("401 Unauthorized"),
}
CALLS = {
    "Salesforce query": lambda url: salesforce(url).fetch_deal(DEAL),
    "Salesforce write-back": lambda url: write_back(salesforce(url)),
    "Zoho read": lambda url: zoho(url).read_invoice("46"),
    "Zoho mail": lambda url: zoho(url).send_invoice("46", ()),
    "Zoho list": lambda url: zoho(url).find_invoices("SF-1"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("edge", EDGE.values(), ids=EDGE)
def test_T6__what_the_edge_answers_passes_and_proves_nothing(edge: bytes, call: Callable[[str], object]) -> None:
    with RawServer(edge) as server, pytest.raises(errors.VendorUnavailableError) as caught:
        call(server.url)

    assert not caught.value.is_definite
    assert caught.value.is_outage


@pytest.mark.parametrize("name", ["Salesforce query", "Zoho read", "Zoho mail"])
def test_T6__no_content_is_no_answer_to_who_asks_for_some(name: str) -> None:
    with RawServer(answer(b"", "204 No Content")) as server, pytest.raises(errors.VendorUnavailableError) as caught:
        CALLS[name](server.url)

    assert not caught.value.is_definite


def test_T6__a_404_of_the_application_is_its_own() -> None:
    gone = salesforce_refusal("NOT_FOUND", "The requested resource does not exist", status="404 Not Found")
    with RawServer(gone) as server, pytest.raises(errors.RecordNotFoundError):
        write_back(salesforce(server.url))
    with RawServer(zoho_answer(1002, "404 Not Found")) as server, pytest.raises(errors.RecordNotFoundError):
        zoho(server.url).read_invoice("46")


@pytest.mark.parametrize("status", ["414 URI Too Long", "431 Request Header Fields Too Large"])
def test_T6__a_call_that_is_too_long_is_no_outage(status: str) -> None:
    with RawServer(html(status)) as server, pytest.raises(errors.RejectedError):
        salesforce(server.url).fetch_deal(DEAL)


# -- T7: the same before SAP

SAP_EDGE = {name: EDGE[name] for name in EDGE if name not in ("403 with a page", "401 with a page")}


@pytest.mark.parametrize("edge", SAP_EDGE.values(), ids=SAP_EDGE)
def test_T7__a_page_at_a_read_passes(edge: bytes) -> None:
    with RawServer(edge) as server, pytest.raises(errors.VendorUnavailableError):
        sap(server.url).read_order("4711")


@pytest.mark.parametrize("edge", SAP_EDGE.values(), ids=SAP_EDGE)
def test_T7__a_page_at_a_write_passes_and_proves_nothing(edge: bytes) -> None:
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, edge)
        with pytest.raises(errors.VendorUnavailableError) as caught:
            sap(server.url).create_order(REQUEST)

    assert not caught.value.is_definite


@pytest.mark.parametrize("edge", SAP_EDGE.values(), ids=SAP_EDGE)
def test_T7__a_page_at_a_search_finds_not_nobody(edge: bytes) -> None:
    with RawServer(edge) as server, pytest.raises(errors.VendorUnavailableError):
        sap(server.url).find_customers_by_keys(customer())


# -- T9: the organization has another address by now


class Moved(Signed):
    """A sign-in that names *new* from the first renewal on."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(old)
        self._new = new

    def renew(self, stale: Any) -> Renewal:
        self.instance_url = self._new
        return super().renew(stale)


def expired() -> bytes:
    return salesforce_refusal("INVALID_SESSION_ID", "Session expired or invalid", status="401 Unauthorized")


OLD_ADDRESS: dict[str, tuple[Script, ...]] = {
    "401": (expired(),),
    "301": (redirect("https://new.my.salesforce.com/", "301 Moved Permanently"),),
    "307": (redirect("https://new.my.salesforce.com/", "307 Temporary Redirect"),),
    "308": (redirect("https://new.my.salesforce.com/", "308 Permanent Redirect"),),
    "URL_NOT_RESET, 400": (salesforce_refusal("URL_NOT_RESET", "Destination URL not reset"),),
    "URL_NOT_RESET, 404": (salesforce_refusal("URL_NOT_RESET", "…", status="404 Not Found"),),
    "a page, 404": (html("404 Not Found"),),
    "a page, 421": (html("421 Misdirected Request"),),
    "a page, 200": (html(),),
    "a page, 420": (html("420 Enhance Your Calm"),),
    "a page, 451": (html("451 Unavailable For Legal Reasons"),),
    "a page, 503": (html("503 Service Unavailable"),),
    "a page, 530": (html("530 Site Frozen"),),
    "an empty page, 200": (answer(b""),),
    "a page of choices": (answer(b"[]", "300 Multiple Choices"),),
    "an empty object as a page": (answer(b"{}"),),
}
WRITTEN = answer(b"", "204 No Content")


@pytest.mark.parametrize("old", OLD_ADDRESS.values(), ids=OLD_ADDRESS)
def test_T9__the_call_is_repeated_once_at_the_new_address(old: tuple[Script, ...]) -> None:
    with RawServer(*old) as before, RawServer(WRITTEN) as now:
        sign_in = Moved(before.url, now.url)
        crm = salesforce(before.url, authorizer=sign_in)
        write_back(crm)
        write_back(crm)

    assert (len(before.requests), len(now.requests), sign_in.renewals) == (1, 2, 1)
    assert now.requests[0].path == DEAL_PATH
    assert now.requests[0].headers["authorization"] == "Bearer token-1"


def test_T9__it_may_move_again() -> None:
    with (
        RawServer(html("404 Not Found")) as first,
        RawServer(html("404 Not Found")) as second,
        RawServer(WRITTEN) as now,
    ):
        sign_in = Moved(first.url, second.url)
        crm = salesforce(first.url, authorizer=sign_in)
        with pytest.raises(errors.VendorUnavailableError):
            write_back(crm)  # it has moved on before we came
        sign_in._new = now.url
        write_back(crm)

    assert (len(first.requests), len(second.requests), len(now.requests)) == (1, 2, 1)


def test_T9__an_address_that_is_gone_is_left_for_the_new_one() -> None:
    with RawServer() as before:
        pass
    with RawServer(WRITTEN) as now:
        write_back(salesforce(before.url, authorizer=Moved(before.url, now.url)))

    assert len(now.requests) == 1


def test_T9__pages_go_on_at_the_new_address() -> None:
    first = {"records": [], "done": False, "nextRecordsUrl": f"{QUERY_PATH}/0r8xx-2000"}
    last = json_answer({"records": [], "done": True})
    with RawServer() as before, RawServer(last) as now:
        before.at(QUERY_PATH, json_answer(first), html("404 Not Found"))
        list(salesforce(before.url, authorizer=Moved(before.url, now.url)).products(None))

    assert [request.path for request in now.requests] == [f"{QUERY_PATH}/0r8xx-2000"]


@pytest.mark.parametrize("old", [html("404 Not Found"), html("420 Enhance Your Calm"), html()])
def test_T9__where_it_has_not_moved_the_failure_stays_and_sign_ins_are_few(old: bytes) -> None:
    with RawServer(old) as server:
        sign_in = Signed(server.url)
        crm = salesforce(server.url, authorizer=sign_in)
        for _ in range(3):
            with pytest.raises(errors.VendorUnavailableError):
                write_back(crm)

    assert sign_in.renewals <= 1
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "new", ["https://evil.example.com", "https://my.salesforce.com.evil.example.com", "http://x.y"]
)
def test_T9__a_token_goes_to_no_host_but_salesforces(new: str) -> None:
    with RawServer(html("404 Not Found")) as before, pytest.raises(errors.CrmsyncError):
        write_back(salesforce(before.url, authorizer=Moved(before.url, new)))

    assert len(before.requests) == 1
    with pytest.raises(errors.AccountRefusedError, match="sends no credentials"):
        trusted(new, "https://login.salesforce.com")


@pytest.mark.parametrize(
    "address",
    [
        "https://acme.my.salesforce.com",
        "https://acme--uat.sandbox.my.salesforce.com",
        "https://acme.develop.my.salesforce.com",
        "https://acme.my.salesforce.mil",
        "https://acme.cloudforce.com",
        "https://na1.force.com",
        "https://sign-in.acme.example",
        "https://crm.acme.test",
    ],
)
def test_T9__hosts_of_salesforce_of_the_sign_in_and_of_the_setting_are_trusted(address: str) -> None:
    assert trusted(address, "https://sign-in.acme.example", ("acme.test",)) == address


# -- T10: a 401 that means a scope


def test_T10__a_missing_scope_costs_one_token_and_is_called_a_permission() -> None:
    with RawServer(INVOICE) as server:
        server.at(f"{BOOKS}/customerpayments", zoho_answer(57, "401 Unauthorized"))
        sign_in = Signed(server.url)
        books = zoho(server.url, authorizer=sign_in)

        for number in range(12):
            with pytest.raises(errors.AuthenticationError, match="permission") as caught:
                books.read_payment(str(number))
            assert "customerpayments" in (caught.value.advice or "")
            assert type(caught.value) is errors.AuthenticationError
            assert books.read_invoice("46").number == "INV-1"

    assert sign_in.renewals == 1


def test_T10__twelve_payments_at_once_cost_one_token() -> None:
    with RawServer(zoho_answer(57, "401 Unauthorized")) as server:
        sign_in = Signed(server.url)
        books = zoho(server.url, authorizer=sign_in)

        def read(number: int) -> bool:
            with pytest.raises(errors.AuthenticationError):
                books.read_payment(str(number))
            return True

        with ThreadPoolExecutor(12) as threads:
            assert all(threads.map(read, range(12)))

    assert sign_in.renewals == 1


def test_T10__other_scopes_keep_their_renewal_and_a_dead_token_is_still_renewed() -> None:
    dead = zoho_answer(57, "401 Unauthorized")
    with RawServer() as server:
        server.at(f"{BOOKS}/customerpayments", dead)
        server.at(f"{BOOKS}/invoices", dead, INVOICE, dead, INVOICE)
        sign_in = Signed(server.url)
        books = zoho(server.url, authorizer=sign_in)
        with pytest.raises(errors.AuthenticationError):
            books.read_payment("1")

        for _ in range(2):
            assert books.read_invoice("46").number == "INV-1"

    assert sign_in.renewals == 3


def test_T10__a_new_token_that_is_dead_itself_is_not_taken_for_a_missing_permission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Zoho has one code for both; a read that was allowed before tells the two apart."""
    monkeypatch.setattr(renewals, "AGAIN_SECONDS", 60.0)
    dead = zoho_answer(57, "401 Unauthorized")
    with RawServer() as server, deadline(time.monotonic() + 600):
        server.at(f"{BOOKS}/customerpayments", dead)
        server.at(f"{BOOKS}/invoices", INVOICE, dead, INVOICE)
        books = zoho(server.url, authorizer=Signed(server.url))
        books.read_invoice("46")

        with pytest.raises(errors.NotNowError, match="new token"):
            books.read_payment("1")
        monkeypatch.setattr(renewals, "AGAIN_SECONDS", 0.0)
        with pytest.raises(errors.AuthenticationError, match="permission"):
            books.read_payment("1")


def test_T10__a_scope_that_was_taken_away_costs_steps_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was allowed before in the same scope proves nothing."""
    monkeypatch.setattr(renewals, "AGAIN_SECONDS", 0.0)
    with RawServer() as server, deadline(time.monotonic() + 600):
        sign_in = Signed(server.url)
        books = zoho(server.url, authorizer=sign_in)
        server.at(f"{BOOKS}/invoices", INVOICE, zoho_answer(57, "401 Unauthorized"))
        books.read_invoice("46")
        for _ in range(6):
            with pytest.raises(errors.AuthenticationError, match="permission"):
                books.read_invoice("46")

    assert sign_in.renewals == 2


def test_T10__it_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewals, "FRUITLESS_SECONDS", -1.0)
    with RawServer(zoho_answer(57, "401 Unauthorized")) as server:
        sign_in = Signed(server.url)
        books = zoho(server.url, authorizer=sign_in)
        for _ in range(2):
            with pytest.raises(errors.AuthenticationError):
                books.read_payment("1")

    assert sign_in.renewals == 2


@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        (lambda url, sign_in: write_back(salesforce(url, authorizer=sign_in)), expired()),
        (lambda url, sign_in: zoho(url, authorizer=sign_in).read_invoice("46"), html("401 Unauthorized")),
    ],
)
def test_T10__no_vendor_is_asked_for_more_than_one_token_by_a_call(
    call: Callable[[str, Signed], object], refusal: bytes
) -> None:
    with RawServer(refusal) as server:
        sign_in = Signed(server.url)
        with pytest.raises(errors.CrmsyncError):
            call(server.url, sign_in)

    assert sign_in.renewals == 1


# -- T11: two data centres


@pytest.mark.parametrize("code", [14, 57])
def test_T11__doctor_names_the_two_variables_that_disagree(code: int) -> None:
    with RawServer(zoho_answer(code, "401 Unauthorized")) as server:
        [check] = zoho_check(server.url, "https://www.zohoapis.eu")

    assert not check.is_ok
    assert "ZOHO_ACCOUNTS_URL" in check.detail
    assert "ZOHO_API_URL=https://www.zohoapis.eu" in check.detail
    assert "scope" not in check.detail


ELSEWHERE = {
    "a page": html("404 Not Found"),
    "moved": redirect("https://www.zoho.com/"),
    "no such address": zoho_answer(5, "404 Not Found"),
    "no such organization": zoho_answer(9017),
    "malformed, 400": zoho_answer(14),
    "a refusal with a page": html("401 Unauthorized"),
}


@pytest.mark.parametrize("refusal", ELSEWHERE.values(), ids=ELSEWHERE)
def test_T11__they_are_named_whatever_answers_at_the_other_one(refusal: bytes) -> None:
    with RawServer(refusal) as server:
        [check] = zoho_check(server.url, "https://www.zohoapis.eu")

    assert not check.is_ok
    assert "ZOHO_ACCOUNTS_URL" in check.detail
    assert "ZOHO_API_URL=https://www.zohoapis.eu" in check.detail


@pytest.mark.parametrize("organizations", [7, "x", {}, None, True, [], [7], [{}]], ids=str)
def test_T11__the_doctor_reads_any_list_of_organizations(organizations: object) -> None:
    with RawServer(json_answer({"code": 0, "organizations": organizations})) as server:
        checks = zoho_check(server.url, "")

    assert not checks[0].is_ok
    assert checks[0].detail


def test_T11__a_token_that_is_of_nowhere_names_them_too() -> None:
    with RawServer(zoho_answer(14, "401 Unauthorized")) as server:
        [check] = zoho_check(server.url, "")

    assert "ZOHO_ACCOUNTS_URL" in check.detail
    assert "ZOHO_API_URL" in check.detail


def test_T11__a_missing_scope_of_the_same_data_centre_is_a_missing_scope() -> None:
    with RawServer(zoho_answer(57, "401 Unauthorized")) as server:
        checks = zoho_check(server.url, server.url)

    assert len(checks) == 6
    assert all("scope" in check.detail for check in checks)


def test_T11__the_answer_to_the_sign_in_tells_the_data_centre() -> None:
    token = access_token({"access_token": "t", "api_domain": "https://www.zohoapis.eu"}, 3600)

    assert token is not None
    assert token.instance_url == "https://www.zohoapis.eu"
