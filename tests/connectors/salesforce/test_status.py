"""How a deal stands is written in one call, and a field that the organization lacks holds nothing back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from crmsync import errors
from crmsync.connectors.base import StatusWritten
from crmsync.connectors.salesforce.doctor_fields import field_problems

from ..conftest import LoadFixture
from .conftest import DATA, DEAL, DEAL_URL, QUERY, Build

COMPOSITE = f"{DATA}/composite"
PATH = f"/services/data/v68.0/sobjects/Opportunity/{DEAL}"
REASON = "Why__c"
STAMPED = [{"Id": DEAL, "SystemModstamp": f"2026-11-20T09:15:{second}.000+0000"} for second in ("00", "30")]
BEFORE, AFTER = (datetime(2026, 11, 20, 9, 15, second, tzinfo=UTC) for second in (0, 30))


def answers(written: Any = None, status: int = 204, stamps: Any = STAMPED) -> dict[str, Any]:
    bodies = [(200, stamps[0]), (status, written), (200, stamps[1])]
    parts = [{"httpStatusCode": code, "body": body, "httpHeaders": {}, "referenceId": "x"} for code, body in bodies]
    return {"compositeResponse": parts}


def refusal(code: str, *fields: str, text: str = "Ann Lee") -> dict[str, Any]:
    return answers([{"errorCode": code, "message": text, "fields": list(fields)}], 400)


def body_of(values: dict[str, Any]) -> Any:
    stamp = {"method": "GET", "url": f"{PATH}?fields=SystemModstamp"}
    parts = [stamp, {"method": "PATCH", "url": PATH, "body": values}, stamp]
    numbered = [{**part, "referenceId": f"part{number}"} for number, part in enumerate(parts)]
    return responses.matchers.json_params_matcher({"allOrNone": False, "compositeRequest": numbered})


def test_one_call_writes_both_fields_and_tells_the_stamps(crm: Build, salesforce: responses.RequestsMock) -> None:
    salesforce.post(COMPOSITE, json=answers(), match=[body_of({"Sync_Status__c": "Waiting", REASON: "For SAP."})])

    written = crm(status_reason_field=REASON).write_status(DEAL, "Waiting", "For SAP.")

    assert written == StatusWritten(BEFORE, AFTER)


def test_without_a_field_for_it_the_sentence_is_not_written(crm: Build, salesforce: responses.RequestsMock) -> None:
    salesforce.post(COMPOSITE, json=answers(), match=[body_of({"Sync_Status__c": "Waiting"})])

    assert crm().write_status(DEAL, "Waiting", "For SAP.").left_out is None


def test_stamps_that_cant_be_read_are_no_failure(crm: Build, salesforce: responses.RequestsMock) -> None:
    salesforce.post(COMPOSITE, json=answers(stamps=[None, [{"errorCode": "INSUFFICIENT_ACCESS", "message": ""}]]))

    assert crm().write_status(DEAL, "Waiting", "") == StatusWritten(None, None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal("NOT_FOUND"), errors.RecordNotFoundError),
        (refusal("ENTITY_IS_DELETED"), errors.RecordNotFoundError),
        (refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION"), errors.RejectedError),
        (refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Sync_Status__c"), errors.RejectedError),
        (refusal("INSUFFICIENT_ACCESS"), errors.AuthenticationError),
        (refusal("UNABLE_TO_LOCK_ROW"), errors.ConcurrentUpdateError),
        (answers(None, 503), errors.VendorUnavailableError),
        ({"compositeResponse": []}, errors.UnexpectedAnswerError),
        ({"compositeResponse": [{"body": None}] * 3}, errors.UnexpectedAnswerError),
        ({}, errors.VendorUnavailableError),
    ],
)
def test_what_became_of_the_write_decides(
    crm: Build, salesforce: responses.RequestsMock, answer: Any, expected: type[errors.CrmsyncError]
) -> None:
    salesforce.post(COMPOSITE, json=answer)

    with pytest.raises(expected) as caught:
        crm().write_status(DEAL, "Waiting", "")

    assert "Ann" not in str(caught.value)


def test_a_deal_of_another_system_is_not_asked_for(crm: Build) -> None:
    with pytest.raises(errors.RecordNotFoundError):
        crm().write_status("4711", "Waiting", "")


LACKING = {
    "it is missing": refusal("INVALID_FIELD", text=f"No such column '{REASON}' on sobject of type Opportunity"),
    "it is read-only": refusal("INVALID_FIELD_FOR_INSERT_UPDATE", REASON),
    "it is too short": refusal("STRING_TOO_LONG", REASON),
}


@pytest.mark.parametrize("answer", LACKING.values(), ids=LACKING.keys())
def test_where_the_sentences_field_is_at_fault_the_status_is_written_alone(
    crm: Build, salesforce: responses.RequestsMock, answer: Any
) -> None:
    salesforce.post(COMPOSITE, json=answer, match=[body_of({"Sync_Status__c": "Waiting", REASON: "Why."})])
    salesforce.post(COMPOSITE, json=answers(), match=[body_of({"Sync_Status__c": "Waiting"})])
    salesforce.patch(DEAL_URL, status=204, match=[responses.matchers.json_params_matcher(_numbers())])
    connector = crm(status_reason_field=REASON)

    written = connector.write_status(DEAL, "Waiting", "Why.")

    assert written.left_out is not None
    assert list(written.left_out.field_errors) == [REASON]
    connector.write_back(DEAL, order_number="1", invoice_number="2", status="Synced")  # it is not tried each time
    assert len(salesforce.calls) == 3


def _numbers(**more: Any) -> dict[str, Any]:
    numbers = {"SAP_Order_Number__c": "1", "Zoho_Invoice_Number__c": "2", "Sync_Status__c": "Synced"}
    return numbers | more


def test_the_write_back_clears_the_sentence_in_the_same_call(crm: Build, salesforce: responses.RequestsMock) -> None:
    cleared = responses.matchers.json_params_matcher(_numbers(**{REASON: None}))
    salesforce.patch(DEAL_URL, status=204, match=[cleared])

    crm(status_reason_field=REASON).write_back(DEAL, order_number="1", invoice_number="2", status="Synced")


def test_a_write_back_outlives_a_missing_field_for_the_sentence(crm: Build, salesforce: responses.RequestsMock) -> None:
    text = f"No such column '{REASON}' on sobject of type Opportunity"
    salesforce.patch(DEAL_URL, status=400, json=[{"errorCode": "INVALID_FIELD", "message": text}])
    salesforce.patch(DEAL_URL, status=204, match=[responses.matchers.json_params_matcher(_numbers())])

    crm(status_reason_field=REASON).write_back(DEAL, order_number="1", invoice_number="2", status="Synced")


def test_a_deal_is_read_without_it(crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture) -> None:
    salesforce.get(QUERY, json=fixture("deal__won"))

    crm(status_reason_field=REASON).fetch_deal(DEAL)

    assert REASON not in str(salesforce.calls[0].request.url)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (
            {},
            f"Opportunity has no field {REASON} (SF_STATUS_REASON_FIELD), or hides it: "
            "create it or grant access to it.",
        ),
        (
            {"length": 80},
            f"Opportunity.{REASON} (SF_STATUS_REASON_FIELD) holds 80 characters: let it hold 255 or more.",
        ),
        ({"length": 255}, ""),
    ],
    ids=["it is missing", "it is too short", "it is well"],
)
def test_the_doctor_looks_at_its_field(described: dict[str, Any], expected: str) -> None:
    field = {"name": REASON, "type": "string", "is_updateable": True, "is_restricted": False, **described}
    found = field_problems("Opportunity", {"status_reason": REASON}, {REASON: field} if described else {})

    assert "".join(found) == expected
