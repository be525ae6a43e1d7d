"""`crmsync doctor` names what is missing, and raises nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import responses

from tests.fakes import Signed

from ..conftest import LoadFixture
from .conftest import DATA, INSTANCE, QUERY, Build

DESCRIBE = f"{DATA}/sobjects/Opportunity/describe"
DESCRIBE_PRODUCT = f"{DATA}/sobjects/Product2/describe"
NAMES = (
    "sign-in",
    "version of the API",
    "deals",
    "currency",
    "missed deals",
    "products",
    "write-back fields",
    "stock fields",
)
VERSIONS = f"{INSTANCE}/services/data"

Answers = Mapping[str, tuple[int, Any]]
"""Status and JSON of a query that holds these words; the first that fits."""


@pytest.fixture
def organization(salesforce: responses.RequestsMock, fixture: LoadFixture) -> Callable[..., responses.RequestsMock]:
    """An organization of one currency, in which all is well but what is told otherwise."""

    def build(queries: Answers | None = None, **changes: Any) -> responses.RequestsMock:
        salesforce.assert_all_requests_are_fired = False
        usual = {"CurrencyIsoCode": (400, fixture("error__no_currency")), "": (200, fixture("query__none"))}
        _queries(salesforce, {**(queries or {}), **usual})
        offered = changes.get("versions", [{"version": f"{number}.0"} for number in range(31, 69)])
        salesforce.get(VERSIONS, json=offered)
        salesforce.get(DESCRIBE, json=changes.get("deals") or fixture("describe__opportunity"))
        salesforce.get(DESCRIBE_PRODUCT, json=changes.get("products") or fixture("describe__product"))
        return salesforce

    return build


def _queries(salesforce: responses.RequestsMock, answers: Answers) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        status, content = next(found for words, found in answers.items() if words in request.params["q"])
        return status, {}, json.dumps(content)

    salesforce.add_callback("GET", QUERY, callback=answer)


def _details(crm: Build, **changes: Any) -> dict[str, str]:
    return {check.name: "" if check.is_ok else check.detail for check in crm(**changes).check()}


def test_all_is_well(crm: Build, organization: Callable[..., responses.RequestsMock]) -> None:
    healthy = organization()

    assert _details(crm) == dict.fromkeys(NAMES, "")
    assert len(healthy.calls) == 7
    assert {call.request.method for call in healthy.calls} == {"GET"}


def test_an_organization_of_one_currency_needs_a_default(crm: Build, organization: Callable[..., Any]) -> None:
    organization()

    assert "set CRMSYNC_DEFAULT_CURRENCY" in _details(crm, default_currency="")["currency"]


def test_an_organization_of_many_currencies_must_not_have_one(
    crm: Build, organization: Callable[..., Any], fixture: LoadFixture
) -> None:
    organization({"": (200, fixture("query__none"))})

    assert "remove CRMSYNC_DEFAULT_CURRENCY" in _details(crm, default_currency="USD")["currency"]
    assert _details(crm, default_currency="")["currency"] == ""


def test_a_field_to_be_written_must_exist_and_be_editable(
    crm: Build, organization: Callable[..., Any], fixture: LoadFixture
) -> None:
    deals, products = fixture("describe__opportunity"), fixture("describe__product")
    deals["fields"][1]["updateable"] = False
    del deals["fields"][5]
    del deals["fields"][3]
    products["fields"][3]["updateable"] = False
    del products["fields"][2]
    organization(deals=deals, products=products)

    details = _details(crm)
    detail = details["write-back fields"]

    assert "may not edit Opportunity.SAP_Order_Number__c (SF_ORDER_NUMBER_FIELD)" in detail
    assert "no field Sync_Status__c (SF_STATUS_FIELD)" in detail
    assert "no field Payment_Amount__c (SF_PAYMENT_AMOUNT_FIELD)" in detail
    assert "Zoho" not in detail
    assert "Payment_Date__c" not in detail
    assert "Product2 has no field Available_Stock__c (SF_STOCK_FIELD)" in details["stock fields"]
    assert "may not edit Product2.Low_Stock_Alert__c (SF_LOW_STOCK_FIELD)" in details["stock fields"]


@pytest.mark.parametrize(
    ("position", "change", "words"),
    [
        (
            1,
            {"type": "double"},
            "SAP_Order_Number__c (SF_ORDER_NUMBER_FIELD) is of type double: make it one of type Text",
        ),
        (2, {"length": 8}, "Zoho_Invoice_Number__c (SF_INVOICE_NUMBER_FIELD) holds 8 characters"),
        (3, {"type": "picklist", "restrictedPicklist": True}, "Sync_Status__c (SF_STATUS_FIELD) is of type picklist"),
        (4, {"type": "string"}, "Payment_Received__c (SF_PAYMENT_RECEIVED_FIELD) is of type string"),
        (6, {"type": "datetime"}, "Payment_Date__c (SF_PAYMENT_DATE_FIELD) is of type datetime"),
    ],
)
def test_a_field_must_hold_what_is_written(
    crm: Build,
    organization: Callable[..., Any],
    fixture: LoadFixture,
    position: int,
    change: Mapping[str, Any],
    words: str,
) -> None:
    deals = fixture("describe__opportunity")
    deals["fields"][position] |= change
    organization(deals=deals)

    assert words in _details(crm)["write-back fields"]


def test_a_picklist_that_takes_any_value_will_do(
    crm: Build, organization: Callable[..., Any], fixture: LoadFixture
) -> None:
    deals = fixture("describe__opportunity")
    deals["fields"][3] |= {"type": "picklist", "length": 255, "restrictedPicklist": False}
    organization(deals=deals)

    assert _details(crm)["write-back fields"] == ""


@pytest.mark.parametrize(
    ("field", "entity", "changes", "words"),
    [
        (
            "SAP_Order_Number__c",
            "Opportunity",
            {},
            "Opportunity has no field SAP_Order_Number__c (SF_ORDER_NUMBER_FIELD)",
        ),
        ("VAT__c", "Account", {"tax_number_field": "VAT__c"}, "Account has no field VAT__c (SF_TAX_NUMBER_FIELD)"),
        ("BillingState", "Account", {}, "It hides BillingState from the integration user"),
        ("ProductCode", "Product2", {}, "It hides ProductCode from the integration user"),
    ],
)
def test_a_field_that_can_not_be_read_is_named_with_its_variable(
    crm: Build, organization: Callable[..., Any], field: str, entity: str, changes: dict[str, str], words: str
) -> None:
    error = {"errorCode": "INVALID_FIELD", "message": f"{field}\n^\nNo such column '{field}' on entity '{entity}'."}
    organization({"OpportunityLineItems": (400, [error])})

    assert words in _details(crm, **changes)["deals"]


@pytest.mark.parametrize("code", ["MALFORMED_QUERY", "INVALID_FIELD"])
def test_a_filter_of_catch_up_that_is_refused_is_told(crm: Build, organization: Callable[..., Any], code: str) -> None:
    organization({"Kind": (400, [{"errorCode": code, "message": "unexpected token"}])})

    details = _details(crm, catch_up_filter="Kind = = 'x'")

    assert details["missed deals"].startswith("Salesforce refuses the condition SF_CATCH_UP_FILTER")
    assert details["deals"] == ""


def test_the_filter_is_not_blamed_for_what_is_refused_without_it(crm: Build, organization: Callable[..., Any]) -> None:
    organization({"Account.Name, Amount": (400, [{"errorCode": "INVALID_TYPE", "message": "…"}])})

    assert "read access" in _details(crm, catch_up_filter="Kind = 'x'")["missed deals"]


@pytest.mark.parametrize(
    ("versions", "is_ok", "is_note", "words"),
    [
        (range(31, 69), True, False, "68.0, of 31.0 to 68.0"),
        (range(66, 75), True, True, "retires first"),
        (range(69, 75), False, False, "69.0 to 74.0, and not 68.0"),
    ],
)
def test_a_version_is_judged_by_those_that_are_offered(
    crm: Build, organization: Callable[..., Any], versions: range, is_ok: bool, is_note: bool, words: str
) -> None:
    organization(versions=[{"version": f"{number}.0"} for number in versions])

    (check,) = [check for check in crm().check() if check.name == "version of the API"]

    assert (check.is_ok, check.is_note) == (is_ok, is_note)
    assert words in check.detail


def test_a_version_that_is_not_offered_is_one_line(crm: Build, organization: Callable[..., Any]) -> None:
    organization(versions=[{"version": "69.0"}])

    assert list(_details(crm)) == ["sign-in", "version of the API"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 401, "json": [{"errorCode": "INVALID_SESSION_ID"}]}, "INVALID_SESSION_ID"),
        ({"status": 403, "json": [{"errorCode": "API_DISABLED_FOR_ORG"}]}, "API Enabled"),
        ({"status": 400, "json": [{"errorCode": "INVALID_TYPE"}]}, "read access to Opportunity"),
        ({"status": 404, "json": [{"errorCode": "NOT_FOUND"}]}, "SF_API_VERSION"),
        ({"status": 410, "body": ""}, "SF_API_VERSION"),
        ({"status": 503, "body": "<html>"}, "503"),
        ({"status": 200, "body": "<html>"}, "Something in front of Salesforce"),
    ],
)
def test_every_failure_becomes_a_line(
    crm: Build, salesforce: responses.RequestsMock, answer: dict[str, Any], expected: str
) -> None:
    salesforce.get(QUERY, **answer)
    salesforce.get(VERSIONS, **answer)
    salesforce.get(DESCRIBE, **answer)
    salesforce.get(DESCRIBE_PRODUCT, **answer)

    details = _details(crm)

    assert expected in details["deals"]
    assert all(details[name] for name in NAMES[2:])


def test_where_the_sign_in_fails_there_is_one_line(
    crm: Build, salesforce: responses.RequestsMock, authorizer: Signed
) -> None:
    authorizer.instance_url = "http://acme.my.salesforce.com"

    assert list(_details(crm)) == ["sign-in"]
