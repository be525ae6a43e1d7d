"""What every failure of Salesforce becomes: its class, whether nothing was done for sure, and how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import responses

from crmsync import errors
from tests.fakes import Signed

from ..conftest import LoadFixture
from .conftest import DEAL, DEAL_URL, QUERY, Build

SECRET_WORDS = "Ann Payer ap@obrien.test 001xx000003DGb2"


def body(code: str, *fields: str, message: str = SECRET_WORDS) -> str:
    return json.dumps([{"message": message, "errorCode": code, **({"fields": list(fields)} if fields else {})}])


ROWS = [
    (401, body("INVALID_SESSION_ID"), errors.AccountRefusedError, True, None),
    (403, body("API_DISABLED_FOR_ORG"), errors.AccountRefusedError, True, None),
    (403, body("API_CURRENTLY_DISABLED"), errors.AccountRefusedError, True, None),
    (403, body("INSUFFICIENT_ACCESS_OR_READONLY"), errors.AuthenticationError, True, None),
    (403, body("SOMETHING_NEW"), errors.AuthenticationError, True, None),
    (403, "", errors.VendorUnavailableError, False, None),
    (403, "<html>", errors.VendorUnavailableError, False, None),
    (403, body("REQUEST_LIMIT_EXCEEDED"), errors.RateLimitedError, True, 900),
    (400, body("UNABLE_TO_LOCK_ROW"), errors.ConcurrentUpdateError, True, None),
    (400, body("ENTITY_IS_LOCKED"), errors.ConcurrentUpdateError, True, 3600),
    (400, body("QUERY_TIMEOUT"), errors.VendorUnavailableError, False, None),
    (400, body("INVALID_QUERY_LOCATOR"), errors.VendorUnavailableError, False, None),
    (400, body("DUPLICATE_VALUE", "Ext__c"), errors.RejectedError, True, None),
    (400, body("DUPLICATES_DETECTED"), errors.RejectedError, True, None),
    (400, body("SOMETHING_NEW"), errors.RejectedError, True, None),
    (400, body("MALFORMED_QUERY"), errors.PermanentError, True, None),
    (400, body("MALFORMED_ID"), errors.PermanentError, True, None),
    (400, body("JSON_PARSER_ERROR"), errors.PermanentError, True, None),
    (400, body("STORAGE_LIMIT_EXCEEDED"), errors.AccountRefusedError, True, None),
    (400, body("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"), errors.RejectedError, True, None),
    (400, body("INVALID_TYPE"), errors.AuthenticationError, True, None),
    (400, "<html>bad</html>", errors.VendorUnavailableError, False, None),
    (400, "[]", errors.VendorUnavailableError, False, None),
    (400, '{"error": "invalid_grant"}', errors.VendorUnavailableError, False, None),
    (400, '[7, {"errorCode": 7}, {"errorCode": "no code"}]', errors.VendorUnavailableError, False, None),
    (406, "", errors.VendorUnavailableError, False, None),
    (420, "<html>", errors.VendorUnavailableError, False, None),
    (404, body("NOT_FOUND"), errors.RecordNotFoundError, True, None),
    (404, body("ENTITY_IS_DELETED"), errors.RecordNotFoundError, True, None),
    (404, "<html>", errors.VendorUnavailableError, False, None),
    (410, body("UNSUPPORTED_API_VERSION"), errors.AccountRefusedError, True, None),
    (410, "", errors.AccountRefusedError, True, None),
    (414, "", errors.RejectedError, True, None),
    (431, "<html>too large</html>", errors.RejectedError, True, None),
    (500, body("UNKNOWN_EXCEPTION"), errors.VendorUnavailableError, False, None),
    (500, body("UNABLE_TO_LOCK_ROW"), errors.VendorUnavailableError, False, None),
    (502, "", errors.VendorUnavailableError, False, None),
    (503, body("SERVER_UNAVAILABLE"), errors.VendorUnavailableError, False, None),
    (503, "<html><body>down for maintenance</body></html>", errors.VendorUnavailableError, False, None),
    (300, '["/services/data/v68.0/sobjects/Opportunity/006"]', errors.VendorUnavailableError, False, None),
    (302, "", errors.VendorUnavailableError, False, None),
    (200, "<html>", errors.VendorUnavailableError, False, None),
]


@pytest.mark.parametrize(
    ("status", "text", "error_type", "is_definite", "wait"), ROWS, ids=lambda value: str(value)[:60]
)
def test_a_failure_is_told_by_its_code_and_status(
    crm: Build,
    salesforce: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    text: str,
    error_type: type[errors.CrmsyncError],
    is_definite: bool,
    wait: float | None,
) -> None:
    for _ in range(2 if status == 401 else 1):
        salesforce.patch(DEAL_URL, status=status, body=text)

    with pytest.raises(errors.CrmsyncError) as caught:
        crm().write_back(DEAL, order_number="1", invoice_number="2", status="Synced")

    error = caught.value
    assert type(error) is error_type
    assert (error.is_definite, getattr(error, "retry_after_seconds", None)) == (is_definite, wait)
    assert (error.system, error.operation) == ("Salesforce", "write back")
    shown = f"{error} {error.advice} {error.field_errors} {caplog.text}"
    assert not [word for word in SECRET_WORDS.split() if word in shown]


@pytest.mark.parametrize(
    ("usage", "wait"),
    [
        ("api-usage=15000/15000", 900),
        ("api-usage=15003/15000", 900),
        ("api-usage=18/15000", 30),
        ("api-usage=18/15000; per-app-api-usage=250/250(appName=x)", 900),
        ("api-usage=18/15000; per-app-api-usage=17/250(appName=x)", 30),
        ("", 900),
        ("api-usage=?", 900),
    ],
)
def test_the_wait_for_a_limit_depends_on_the_quota_and_never_on_a_text(
    crm: Build, salesforce: responses.RequestsMock, usage: str, wait: float
) -> None:
    text = body("REQUEST_LIMIT_EXCEEDED", message="ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
    salesforce.get(QUERY, status=403, body=text, headers={"Sforce-Limit-Info": usage})

    with pytest.raises(errors.RateLimitedError) as caught:
        crm().fetch_deal(DEAL)

    assert (caught.value.retry_after_seconds, caught.value.code) == (wait, "REQUEST_LIMIT_EXCEEDED")


def test_an_ended_session_is_renewed_once_and_the_call_repeated(
    crm: Build, salesforce: responses.RequestsMock, authorizer: Signed
) -> None:
    salesforce.patch(DEAL_URL, status=401, body=body("INVALID_SESSION_ID"))
    salesforce.patch(DEAL_URL, status=204)

    crm().write_back(DEAL, order_number="1", invoice_number="2", status="Synced")

    sent = [call.request.headers["Authorization"] for call in salesforce.calls]
    assert sent == ["Bearer token-0", "Bearer token-1"]
    assert authorizer.renewals == 1


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([("REQUIRED_FIELD_MISSING", ["Name"])], {"Name": "is required"}),
        (
            [("STRING_TOO_LONG", ["A__c"]), ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ["B__c", "C__c"])],
            {
                "A__c": "is too long",
                "B__c": "is refused by a validation rule of the organization",
                "C__c": "is refused by a validation rule of the organization",
            },
        ),
        ([("NEVER_HEARD_OF", ["Account.Name"])], {"Account.Name": "is refused"}),
        ([("STRING_TOO_LONG", ["Ann Payer", "x" * 81, "", "a\nb", 7, None, "<b>"])], {}),
        ([("STRING_TOO_LONG", "Name")], {}),
    ],
)
def test_refused_data_names_the_fields_at_fault(
    crm: Build,
    salesforce: responses.RequestsMock,
    items: list[tuple[str, Any]],
    expected: dict[str, str],
) -> None:
    answer = [{"message": SECRET_WORDS, "errorCode": code, "fields": fields} for code, fields in items]
    salesforce.patch(DEAL_URL, status=400, json=answer)

    with pytest.raises(errors.RejectedError) as caught:
        crm().write_back(DEAL, order_number="1", invoice_number="2", status="Synced")

    assert caught.value.field_errors == expected
    assert caught.value.code == items[0][0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("No such column 'SAP_Order_Number__c' on sobject of type Opportunity", ["SAP_Order_Number__c"]),
        ("No such column 'sap_order_number__c' on entity 'Opportunity'", ["SAP_Order_Number__c"]),
        ("No such column 'VAT__c' on entity 'Account'", ["VAT__c"]),
        (
            "\nSync_Status__c, Zoho_Invoice_Number__c\n^\nNo such column 'Zoho_Invoice_Number__c'",
            ["Zoho_Invoice_Number__c"],
        ),
        ("Keine Spalte 'Sync_Status__c' in 'Opportunity'", ["Sync_Status__c"]),
        ("No such column 'Secret__c' on entity 'Opportunity'", []),
        ("Ann Payer", []),
    ],
)
def test_a_missing_field_is_named_if_it_is_one_of_ours(
    crm: Build, salesforce: responses.RequestsMock, text: str, named: list[str]
) -> None:
    salesforce.get(QUERY, status=400, body=body("INVALID_FIELD", message=text))

    with pytest.raises(errors.PermanentError) as caught:
        crm(tax_number_field="VAT__c").fetch_deal(DEAL)

    error = caught.value
    assert list(error.field_errors) == named
    assert "field-level security" in (error.advice or "")
    assert "Secret__c" not in f"{error}{error.advice}"
    assert "Ann" not in f"{error}{error.advice}"


def test_a_missing_field_is_named_when_it_is_written_too(
    crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
) -> None:
    salesforce.patch(DEAL_URL, status=400, json=fixture("error__no_custom_field"))

    with pytest.raises(errors.PermanentError) as caught:
        crm().write_back(DEAL, order_number="1", invoice_number="2", status="Synced")

    assert list(caught.value.field_errors) == ["SAP_Order_Number__c"]


@pytest.mark.parametrize(
    ("broken", "is_definite"),
    [
        (requests.exceptions.ReadTimeout(), False),
        (requests.exceptions.ConnectionError("Connection aborted."), False),
        (requests.exceptions.ConnectTimeout(), True),
    ],
)
def test_no_answer(
    crm: Build, salesforce: responses.RequestsMock, broken: requests.RequestException, is_definite: bool
) -> None:
    salesforce.patch(DEAL_URL, body=broken)

    with pytest.raises(errors.VendorUnavailableError) as caught:
        crm().write_back(DEAL, order_number="1", invoice_number="2", status="Synced")

    assert caught.value.is_definite is is_definite


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_what_is_no_answer_to_a_query(crm: Build, salesforce: responses.RequestsMock, text: str) -> None:
    salesforce.get(QUERY, body=text)

    with pytest.raises(errors.VendorUnavailableError):
        crm().fetch_deal(DEAL)


@pytest.mark.parametrize("text", ['{"records": 7, "done": true}', '{"records": null}'])
def test_a_query_that_answers_no_records(crm: Build, salesforce: responses.RequestsMock, text: str) -> None:
    salesforce.get(QUERY, body=text)

    with pytest.raises(errors.CrmsyncError) as caught:
        crm().fetch_deal(DEAL)

    assert isinstance(caught.value, errors.UnexpectedAnswerError)
