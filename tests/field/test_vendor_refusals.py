"""Cases from the field: what a vendor refuses, and whether that is the deal's fault, somebody's, or the account's."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from crmsync import errors
from crmsync.connectors.salesforce.errors import bulk_refusal
from crmsync.domain.customers import CustomerMatch
from crmsync.domain.documents import OrderRequest
from crmsync.domain.stock import StockLevel
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
    salesforce,
    salesforce_refusal,
    sap,
    sap_refusal,
    write_back,
)

REQUEST = OrderRequest("SF-006xx0000012abcAAA", "17100001", deal())

# -- V1: a cause inside another's text

LOCKED = "unable to obtain exclusive access to this record or 1 records: 001xx000003DGb2AAG"
ROW = f"System.DmlException: Update failed. First exception on row 0 with id 001xx; first error: {{}}, {LOCKED}: []"
FIRST = f"OppTrigger: execution of AfterUpdate caused by: {ROW.format('UNABLE_TO_LOCK_ROW')}"
DEEP = f"OppTrigger: execution of AfterUpdate caused by: first error: CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY, {FIRST}: []"
FLOW = "We can't save this record because the “Won” process failed. This error occurred: UNABLE_TO_LOCK_ROW: try again."
NESTED_LOCKS = {
    "a trigger": ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", FIRST),
    "a trigger of a trigger": ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", DEEP),
    "a flow": ("CANNOT_EXECUTE_FLOW_TRIGGER", FLOW),
    "a lookup": ("FIELD_INTEGRITY_EXCEPTION", FIRST),
    "an access rule": ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", f"first error: UNABLE_TO_LOCK_ROW, {LOCKED}"),
    "the sentence without the code": ("FIELD_CUSTOM_VALIDATION_EXCEPTION", LOCKED),
    "the sentence of the pages": ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Record Currently Unavailable: The record …"),
    "a sentence in German": ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Kein exklusiver Zugriff auf diesen Datensatz"),
    "a sentence in French": (
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "impossible d'obtenir un accès exclusif à cet enregistrement",
    ),
    "German around the code": (
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "Erster Fehler: UNABLE_TO_LOCK_ROW, gesperrt: []",
    ),
    "a code that is unknown": ("ENTITY_SAVE_ERROR", "first error: UNABLE_TO_LOCK_ROW, …"),
}


def write_back_refused_with(refusal: bytes) -> errors.CrmsyncError:
    with RawServer(refusal) as server, pytest.raises(errors.CrmsyncError) as caught:
        write_back(salesforce(server.url))
    return caught.value


@pytest.mark.parametrize(("code", "text"), NESTED_LOCKS.values(), ids=NESTED_LOCKS)
def test_V1__a_lock_inside_an_automation_is_a_lock(code: str, text: str) -> None:
    error = write_back_refused_with(salesforce_refusal(code, text))

    assert type(error) is errors.ConcurrentUpdateError
    assert error.is_definite
    assert (error.code, "001xx" in str(error)) == ("UNABLE_TO_LOCK_ROW", False)


def item(code: str, text: str = "…", **more: Any) -> dict[str, Any]:
    return {"message": text, "errorCode": code, **more}


WRAPPED = item("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "OppTrigger: data changed")
RULE = item("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Discount")
MISSING = item("REQUIRED_FIELD_MISSING", fields=["Region__c"])
# several errors in one answer → the class and the code of the one that decides
SEVERAL: dict[str, tuple[list[dict[str, Any]], type[errors.CrmsyncError], str]] = {
    "a rule and a lock": ([RULE, item("UNABLE_TO_LOCK_ROW")], errors.ConcurrentUpdateError, "UNABLE_TO_LOCK_ROW"),
    "an automation and a lock": (
        [WRAPPED, item("UNABLE_TO_LOCK_ROW")],
        errors.ConcurrentUpdateError,
        "UNABLE_TO_LOCK_ROW",
    ),
    "an automation and its cause": ([WRAPPED, RULE], errors.RejectedError, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    "rolled back and why": (
        [item("ALL_OR_NONE_OPERATION_ROLLED_BACK"), MISSING],
        errors.RejectedError,
        "REQUIRED_FIELD_MISSING",
    ),
    "a rule and the organization": ([RULE, item("TRIAL_EXPIRED")], errors.AccountRefusedError, "TRIAL_EXPIRED"),
    "two rules": ([RULE, item("STRING_TOO_LONG")], errors.RejectedError, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
}


@pytest.mark.parametrize(("items", "error", "code"), SEVERAL.values(), ids=SEVERAL)
def test_V1__of_several_errors_the_one_that_tells_most_decides(
    items: list[dict[str, Any]], error: type[errors.CrmsyncError], code: str
) -> None:
    found = write_back_refused_with(json_answer(items, "400 Bad Request"))

    assert (type(found), found.code) == (error, code)
    assert ("Region__c" in found.field_errors) == (MISSING in items)


def test_V1__storage_that_is_full_is_the_organizations_wherever_it_is_met() -> None:
    text = f"T: execution of AfterUpdate caused by: {ROW.format('STORAGE_LIMIT_EXCEEDED')}".replace(LOCKED, "full")
    found = write_back_refused_with(salesforce_refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text))

    assert (type(found), found.code) == (errors.AccountRefusedError, "STORAGE_LIMIT_EXCEEDED")


def test_V1__a_quota_that_an_automation_met_is_waited_for() -> None:
    text = "T: caused by: first error: REQUEST_LIMIT_EXCEEDED, TotalRequests Limit exceeded.: []"
    found = write_back_refused_with(salesforce_refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text))

    assert type(found) is errors.RateLimitedError
    assert found.retry_after_seconds == 900


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"])
def test_V1__so_is_whatever_else_passes(code: str) -> None:
    text = f"T: execution of AfterUpdate caused by: System.DmlException: first error: {code}, later: []"

    assert type(write_back_refused_with(salesforce_refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text))) is (
        errors.VendorUnavailableError
    )


# the code and the text of the answer → the code that counts
INNER = {
    "a rule": ("first error: FIELD_CUSTOM_VALIDATION_EXCEPTION, Discount", "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    "an access": ("INSUFFICIENT_ACCESS_OR_READONLY: []", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"),
    "a field": ("first error: REQUIRED_FIELD_MISSING, Required fields are missing: [A__c]", "REQUIRED_FIELD_MISSING"),
    "another org's session": ('{"errorCode":"INVALID_SESSION_ID"}', "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"),
    "a record of the trigger's": ("first error: ENTITY_IS_DELETED", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"),
    "nothing": ("Script-thrown exception", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"),
}


@pytest.mark.parametrize(("text", "code"), INNER.values(), ids=INNER)
def test_V1__what_does_not_pass_is_refused_for_its_inner_cause(text: str, code: str) -> None:
    error = write_back_refused_with(salesforce_refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text))

    assert (type(error), error.code) == (errors.RejectedError, code)


def test_V1__a_rule_that_only_mentions_a_field_code_is_the_rule() -> None:
    error = write_back_refused_with(salesforce_refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", "REQUIRED_FIELD_MISSING"))

    assert error.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"


LEVEL = StockLevel("01txx0000001001AAA", "A", Decimal(5), is_low=False)


def test_V1__a_row_that_is_locked_says_so_whatever_wraps_it() -> None:
    held = {"success": False, "errors": [{"statusCode": "CANNOT_EXECUTE_FLOW_TRIGGER", "message": FLOW}]}
    with RawServer(json_answer([held])) as server:
        (refused,) = salesforce(server.url).write_levels([LEVEL], lambda: None)

    assert refused.reason == "UNABLE_TO_LOCK_ROW: Another change has locked the record in Salesforce."
    assert bulk_refusal(f"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:{FIRST}:--", ()) == refused.reason


# -- V3: a cause that is known is said, with its cure

CURES = {
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": ("validation rule", "exempt the integration user from the rule"),
    "FIELD_FILTER_VALIDATION_EXCEPTION": ("lookup filter", "integration user"),
    "FIELD_INTEGRITY_EXCEPTION": ("refers to", "save it"),
    "DUPLICATES_DETECTED": ("duplicate rule", "Exempt the integration user from the rule"),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": ("related record", "Give the integration user access"),
    "CANNOT_EXECUTE_FLOW_TRIGGER": ("automation", "exempt the integration user from the automation"),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": ("automation", "exempt the integration user from the automation"),
    "INVALID_CROSS_REFERENCE_KEY": ("refers to a record", "lookup fields"),
    "INACTIVE_OWNER_OR_USER": ("inactive", "active user"),
    "TRANSFER_REQUIRES_READ": ("related record", "access"),
    "LIMIT_EXCEEDED": ("limit", "administrator"),
    "TXN_SECURITY_NO_ACCESS": ("policy", "exempt the integration user from the policy"),
    "ENTITY_IS_LOCKED": ("approval process", ""),
    "REQUIRED_FIELD_MISSING": ("A field of the record is required", "it then shows the field"),
    "STRING_TOO_LONG": ("too long", "it then shows the field"),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": ("picklist", "it then shows the field"),
    "INVALID_EMAIL_ADDRESS": ("not an e-mail address", "it then shows the field"),
    "NUMBER_OUTSIDE_VALID_RANGE": ("valid range", "it then shows the field"),
    "DUPLICATE_VALUE": ("must be unique", "it then shows the field"),
    "INVALID_FIELD_FOR_INSERT_UPDATE": ("can't be written", "edit access"),
}


@pytest.mark.parametrize("fields", [{"fields": []}, {}, {"fields": None}], ids=["no fields", "no key", "null"])
@pytest.mark.parametrize(("code", "said"), CURES.items(), ids=CURES)
def test_V3__each_refusal_says_its_cause_and_its_cure(code: str, said: tuple[str, str], fields: Any) -> None:
    error = write_back_refused_with(salesforce_refusal(code, "Words of Ann Lee", **fields))

    assert said[0] in str(error)
    assert said[1] in (error.advice or "")
    assert error.code == code
    assert "Ann Lee" not in f"{error}{error.advice}{error!r}"


# -- V2: SAP's locks

GENERIC = "/IWBEP/CX_MGW_BUSI_EXCEPTION"
INNER_LOCK = {"code": "MC/601", "message": "…"}
LOCK_SENTENCES = [
    "Sales document 4711 is currently being processed by ALEE",
    "Object is already being edited by you",
    "Der Auftrag 4711 wird gerade von ALEE bearbeitet",
    "Das Objekt ist durch den Benutzer ALEE gesperrt",
    "Le client 4711 est en cours de traitement par l'utilisateur ALEE",
    "L'objet est verrouillé par l'utilisateur ALEE",
    "El cliente 4711 está siendo tratado por el usuario ALEE",
    "Objeto bloqueado por otro usuario",
    "Il cliente 4711 è bloccato dall'utente ALEE",
    "O cliente 4711 está sendo processado pelo usuário ALEE",
    "Klant 4711 is geblokkeerd door gebruiker ALEE",
]
NO_LOCK_SENTENCES = [
    "Customer 4711 is blocked by credit management",
    "User ALEE has no authorization to process order type OR",
    "Kunde 4711 ist gesperrt",
    "Order type OR is locked for order entry",
    "Enter the date by which the order is processed",
]


def sap_error(inner: Any, **more: Any) -> bytes:
    error = {"code": GENERIC, "message": {"lang": "en", "value": "…"}, "innererror": inner, **more}
    return json_answer({"error": error}, "400 Bad Request")


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
    "a code of the tenant that was written shortly": sap_refusal("Z1/003", "…"),
    "a code without its slash": sap_refusal("MC601", "…"),
    "a code as people write it": sap_refusal("MC 601", "…"),
    **{
        f"inside, of severity {severity!r}": sap_error({"errordetails": [{**INNER_LOCK, "severity": severity}]})
        for severity in ("Error", "E", "abort", "warning", "info", "")
    },
    "inside, of no severity": sap_error({"errordetails": [INNER_LOCK]}),
    "inside details that were XML": sap_error({"errordetails": {"errordetail": [INNER_LOCK]}}),
    "the only detail": sap_error({"errordetails": INNER_LOCK}),
    "inside details of another version": sap_error({}, details=[INNER_LOCK]),
    **{f"an unknown code: {text}": sap_refusal("ZZ/001", text) for text in LOCK_SENTENCES},
}
NO_LOCKS = {
    "blocked": sap_refusal("V1/382", "Sold-to party 17100001 is blocked for sales area 1010 10 00"),
    "unknown": sap_refusal("ZZ/001", "Enter a plant"),
    **{text: sap_refusal("ZZ/001", text) for text in NO_LOCK_SENTENCES},
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
    error = order_refused_with(refusal, SAP_LOCK_CODES="Z1/001,Z1/002,Z1003")

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
    found = Settings.from_env({**ENV, "SAP_LOCK_CODES": text}).systems.get("s4hana")

    assert found is not None
    assert found.lock_codes == ("A/1", "B/2")


@pytest.mark.parametrize("name", ["SAP_STOCK_TYPES", "SAP_STOCK_PLANTS"])
@pytest.mark.parametrize("text", ["1010,1020", "1010 1020", "1010, 1020"])
def test_V2__so_do_the_other_lists(name: str, text: str) -> None:
    found = Settings.from_env({**ENV, name: text}).systems.get("s4hana")

    assert found is not None
    assert getattr(found, name.lower().removeprefix("sap_")) == ("1010", "1020")


def test_V2__what_is_no_code_is_named_with_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="SAP_LOCK_CODES"):
        Settings.from_env({**ENV, "SAP_LOCK_CODES": "MC/601 (locked)"})


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found"])
def test_V4__a_service_that_sap_does_not_offer_is_no_fault_of_a_deal(status: str) -> None:
    error = order_refused_with(sap_refusal("/IWFND/MED/170", "No service found", status=status))

    assert type(error) is errors.AccountRefusedError
    assert "communication scenario" in (error.advice or "")


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


def test_V7__what_such_a_customer_lacks_is_given_to_the_number_that_sap_shows() -> None:
    bare = json_answer({"d": {"results": [partner(PADDED, {"results": []}, {"results": []})]}})
    made = json_answer({"d": {"Customer": PADDED}}, "201 Created")
    with RawServer(csrf_token()) as server:
        server.at(PARTNERS, bare)
        server.at(f"{PARTNERS}('{PADDED}')/to_BusinessPartnerRole", made)
        server.at(f"{PARTNER_SERVICE}A_CustomerSalesArea", made)
        match = sap(server.url).adopt_customer(CustomerMatch("4711", "Acme", "e-mail"), customer(), currency="EUR")

    assert match.key == "4711"
    posts = [request for request in server.requests if request.line.startswith("POST")]
    assert [PADDED in request.path + request.body.decode() for request in posts] == [True, True]


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
        server.at(ORDERS, sap_refusal("/IWBEP/CM_MGW_RT/020", "…", status="404 Not Found"))
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
