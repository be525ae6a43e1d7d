"""Cases from the field: what a vendor refuses, and whether that is the deal's fault, somebody's, or the account's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from crmsync import errors
from crmsync.domain.customers import CustomerMatch
from crmsync.domain.documents import OrderRequest
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings
from tests.builders import customer, deal
from tests.field.raw_server import RawServer
from tests.field.vendors import (
    ORDER_SERVICE,
    ORDERS,
    PARTNER_SERVICE,
    PARTNERS,
    csrf_token,
    json_answer,
    sap,
    sap_refusal,
)

REQUEST = OrderRequest("SF-006xx0000012abcAAA", "17100001", deal())

# -- V2: SAP's locks

GENERIC = "/IWBEP/CX_MGW_BUSI_EXCEPTION"
LOCKS = {
    "MC/601": sap_refusal("MC/601", "Object requested is currently locked by user ALEE"),
    "V2/468": sap_refusal("V2/468", "…"),
    "VL/045": sap_refusal("VL/045", "…"),
    "inside a generic code": sap_refusal(GENERIC, "…", ("MC/601", "…")),
    "behind another fault": sap_refusal("V1/320", "…", ("V1/320", "…"), ("V2/468", "…")),
    "an unknown code, in English": sap_refusal(
        "ZZ/001", "Sales document 4711 is currently being processed by user ALEE"
    ),
    "an unknown code, in German": sap_refusal("ZZ/001", "Der Kunde 17100001 wird gerade von Benutzer ALEE bearbeitet"),
    "by another user": sap_refusal("R11/123", "Business partner 4711 is locked by another user"),
    "a code of the tenant": sap_refusal("Z1/001", "…"),
    "another code of the tenant": sap_refusal("Z1/002", "…"),
}
NO_LOCKS = {
    "blocked": sap_refusal("V1/382", "Sold-to party 17100001 is blocked for sales area 1010 10 00"),
    "unknown": sap_refusal("ZZ/001", "Enter a plant"),
}


def order_refused_with(refusal: bytes, **env: str) -> errors.CrmsyncError:
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, refusal)
        with pytest.raises(errors.CrmsyncError) as caught:
            sap(server.url, **env).create_order(REQUEST)
    return caught.value


@pytest.mark.parametrize("refusal", LOCKS.values(), ids=LOCKS)
def test_V2__a_lock_of_sap_is_tried_again(refusal: bytes) -> None:
    error = order_refused_with(refusal, SAP_LOCK_CODES="Z1/001,Z1/002")

    assert type(error) is errors.ConcurrentUpdateError
    assert error.is_definite
    assert "ALEE" not in f"{error}{error.__dict__ | {'words': ''}}"


@pytest.mark.parametrize("refusal", NO_LOCKS.values(), ids=NO_LOCKS)
def test_V2__what_no_colleague_holds_is_the_deals(refusal: bytes) -> None:
    assert type(order_refused_with(refusal)) is errors.RejectedError


ENV: Mapping[str, str] = {
    "HOME": "/nowhere",
    "SAP_BASE_URL": "https://sap.example.com",
    "SAP_CLIENT_ID": "c",
    "SAP_CLIENT_SECRET": "s",
    "SAP_SALES_ORGANIZATION": "1010",
}


@pytest.mark.parametrize("text", ["A/1,B/2", "A/1, B/2", "A/1 B/2", "A/1;B/2", " ,A/1 ,\n B/2, "])
def test_V2__a_list_in_the_environment_takes_commas_and_blanks(text: str) -> None:
    found = Settings.from_env({**ENV, "SAP_LOCK_CODES": text}).sap

    assert found is not None
    assert found.lock_codes == ("A/1", "B/2")


@pytest.mark.parametrize("name", ["SAP_STOCK_TYPES", "SAP_STOCK_PLANTS"])
@pytest.mark.parametrize("text", ["1010,1020", "1010 1020", "1010, 1020"])
def test_V2__so_do_the_other_lists(name: str, text: str) -> None:
    found = Settings.from_env({**ENV, name: text}).sap

    assert found is not None
    assert getattr(found, name.lower().removeprefix("sap_")) == ("1010", "1020")


def test_V2__what_is_no_code_is_named_with_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="SAP_LOCK_CODES"):
        Settings.from_env({**ENV, "SAP_LOCK_CODES": "MC/601 (locked)"})


# -- V7: zeros before a number, pages inside an answer

PADDED = "0000004711"


def partner(number: str, roles: Any, areas: Any) -> dict[str, Any]:
    return {
        "BusinessPartner": number,
        "Customer": number,
        "BusinessPartnerFullName": "Acme Ltd",
        "to_BusinessPartnerRole": roles,
        "to_Customer": {"to_CustomerSalesArea": areas},
    }


AREA = {"SalesOrganization": "1010", "DistributionChannel": "10", "Division": "00"}
ROLE = {"BusinessPartnerRole": "FLCU01"}


def is_exact(peer: Any) -> None:
    """A system that keeps zeros and compares literally."""
    found = [partner(PADDED, {"results": [ROLE]}, {"results": [AREA]})] if PADDED in peer.request.path else []
    peer.send(json_answer({"d": {"results": found}}))


def test_V7__a_customer_whose_number_has_leading_zeros_is_found() -> None:
    with RawServer() as server:
        server.at(PARTNERS, is_exact)
        match = sap(server.url).adopt_customer(CustomerMatch("4711", "Acme", "e-mail"), customer(), currency="EUR")

    assert (match.key, match.name) == ("4711", "Acme Ltd")


def test_V7__an_address_whose_number_has_leading_zeros_leads_to_its_partner() -> None:
    mail = {"AddressID": "0000026921", "EmailAddress": customer().email}
    with RawServer() as server:
        server.at(f"{PARTNER_SERVICE}A_AddressEmailAddress", json_answer({"d": {"results": [mail]}}))
        place = {"AddressID": "0000026921", "BusinessPartner": PADDED}
        server.at(f"{PARTNERS}Address", json_answer({"d": {"results": [place]}}))
        server.at(f"{PARTNERS}?", is_exact)

        found = sap(server.url).find_customers_by_keys(customer())

    assert [each.key for each in found] == ["4711"]


def test_V7__an_order_whose_number_has_leading_zeros_is_read() -> None:
    with RawServer() as server:
        server.at(ORDERS, json_answer({}, "404 Not Found"))
        server.at(f"{ORDERS}('{PADDED}')", json_answer({"d": {"SalesOrder": PADDED}}))

        assert sap(server.url).read_order("4711").key == "4711"


@pytest.mark.parametrize("base", ["http://internal:8000/sap/opu/odata/sap/API_BUSINESS_PARTNER/", ""])
def test_V7__pages_inside_an_answer_are_read_to_the_last(base: str) -> None:
    other = {"results": [{"BusinessPartnerRole": "BUP003"}]}
    roles = {**other, "__next": f"{base}A_BusinessPartner('4711')/to_BusinessPartnerRole?$skiptoken=1"}
    areas = {"results": [], "__next": f"{base}A_Customer('4711')/to_CustomerSalesArea?$skiptoken=1"}
    with RawServer() as server:
        server.at(PARTNERS, json_answer({"d": {"results": [partner("4711", roles, areas)]}}))
        last = {"results": [ROLE]}
        second = {**other, "__next": f"{base}A_BusinessPartner('4711')/to_BusinessPartnerRole?$skiptoken=2"}
        server.at(f"{PARTNERS}('4711')/to_", json_answer({"d": second}), json_answer({"d": last}))
        server.at(f"{PARTNER_SERVICE}A_Customer('4711')", json_answer({"d": {"results": [AREA]}}))

        match = sap(server.url).adopt_customer(CustomerMatch("4711", "Acme", "e-mail"), customer(), currency="EUR")

    assert match.key == "4711"
    assert {request.line.partition(" ")[0] for request in server.requests} == {"GET"}, "nothing is made"
