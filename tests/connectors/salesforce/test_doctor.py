"""`crmsync doctor` names what is missing, and raises nothing."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from tests.fakes import Signed

from ..conftest import LoadFixture
from .conftest import DATA, QUERY, Build

DESCRIBE = f"{DATA}/sobjects/Opportunity/describe"
DESCRIBE_PRODUCT = f"{DATA}/sobjects/Product2/describe"
NAMES = ("sign-in", "deals", "currency", "write-back fields", "stock fields")


@pytest.fixture
def healthy(salesforce: responses.RequestsMock, fixture: LoadFixture) -> responses.RequestsMock:
    salesforce.get(QUERY, json=fixture("deal__won"))
    salesforce.get(QUERY, json=fixture("error__no_currency"), status=400)
    salesforce.get(DESCRIBE, json=fixture("describe__opportunity"))
    salesforce.get(DESCRIBE_PRODUCT, json=fixture("describe__product"))
    return salesforce


def _details(crm: Build, **changes: Any) -> dict[str, str]:
    return {check.name: "" if check.is_ok else check.detail for check in crm(**changes).check()}


def test_all_is_well(crm: Build, healthy: responses.RequestsMock) -> None:
    assert _details(crm) == dict.fromkeys(NAMES, "")
    assert len(healthy.calls) == 4


def test_an_organization_of_one_currency_needs_a_default(crm: Build, healthy: responses.RequestsMock) -> None:
    assert "set CRMSYNC_DEFAULT_CURRENCY" in _details(crm, default_currency="")["currency"]


def test_an_organization_of_many_currencies_must_not_have_one(
    crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
) -> None:
    salesforce.get(QUERY, json=fixture("query__none"))
    salesforce.get(DESCRIBE, json=fixture("describe__opportunity"))
    salesforce.get(DESCRIBE_PRODUCT, json=fixture("describe__product"))

    details = _details(crm, default_currency="USD")

    assert "remove CRMSYNC_DEFAULT_CURRENCY" in details["currency"]
    assert _details(crm, default_currency="")["currency"] == ""


def test_a_field_to_be_written_must_exist_and_be_editable(
    crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
) -> None:
    description = fixture("describe__opportunity")
    description["fields"][1]["updateable"] = False
    del description["fields"][5]
    del description["fields"][3]
    products = fixture("describe__product")
    products["fields"][3]["updateable"] = False
    del products["fields"][2]
    salesforce.get(QUERY, json=fixture("query__none"))
    salesforce.get(DESCRIBE, json=description)
    salesforce.get(DESCRIBE_PRODUCT, json=products)

    details = _details(crm)
    detail = details["write-back fields"]

    assert "may not edit Opportunity.SAP_Order_Number__c (SF_ORDER_NUMBER_FIELD)" in detail
    assert "no field Sync_Status__c (SF_STATUS_FIELD)" in detail
    assert "no field Payment_Amount__c (SF_PAYMENT_AMOUNT_FIELD)" in detail
    assert "Zoho" not in detail
    assert "Payment_Date__c" not in detail
    assert "Product2 has no field Available_Stock__c (SF_STOCK_FIELD)" in details["stock fields"]
    assert "may not edit Product2.Low_Stock_Alert__c (SF_LOW_STOCK_FIELD)" in details["stock fields"]


def test_a_field_to_be_read_is_named(crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture) -> None:
    salesforce.get(QUERY, json=fixture("error__no_custom_field"), status=400)
    salesforce.get(DESCRIBE, json=fixture("describe__opportunity"))
    salesforce.get(DESCRIBE_PRODUCT, json=fixture("describe__product"))

    detail = _details(crm)["deals"]

    assert "SAP_Order_Number__c" in detail
    assert "field-level security" in detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 401, "json": [{"errorCode": "INVALID_SESSION_ID"}]}, "INVALID_SESSION_ID"),
        ({"status": 403, "json": [{"errorCode": "API_DISABLED_FOR_ORG"}]}, "API Enabled"),
        ({"status": 400, "json": [{"errorCode": "INVALID_TYPE"}]}, "read access to Opportunity"),
        ({"status": 404, "json": [{"errorCode": "NOT_FOUND"}]}, "SF_API_VERSION"),
        ({"status": 410, "body": ""}, "SF_API_VERSION"),
        ({"status": 503, "body": "<html>"}, "503"),
        ({"status": 200, "body": "<html>"}, "Something before Salesforce"),
    ],
)
def test_every_failure_becomes_a_line(
    crm: Build, salesforce: responses.RequestsMock, answer: dict[str, Any], expected: str
) -> None:
    salesforce.get(QUERY, **answer)
    salesforce.get(DESCRIBE, **answer)
    salesforce.get(DESCRIBE_PRODUCT, **answer)

    details = _details(crm)

    assert expected in details["deals"]
    assert all(details[name] for name in NAMES[1:])


def test_where_the_sign_in_fails_there_is_one_line(
    crm: Build, salesforce: responses.RequestsMock, authorizer: Signed
) -> None:
    authorizer.instance_url = "http://acme.my.salesforce.com"

    assert list(_details(crm)) == ["sign-in"]
