"""Records of the stand-in org: what may be written, upserts, many at once, and the token."""

import time
from typing import Any

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.salesforce.values import checksum, full_id
from tests.sandbox.clients import CrmClient

ACCOUNT = {"attributes": {"type": "Account"}}


def test_the_token_answer_has_five_keys(crm: CrmClient, sandbox: Sandbox) -> None:
    answer = crm.token().json()
    assert set(answer) == {"access_token", "scope", "instance_url", "id", "token_type"}
    assert answer["instance_url"] == sandbox.salesforce.url


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"aud": "https://elsewhere.example.com"}, "invalid_grant", "audience"),
        ({"exp": int(time.time()) - 10}, "invalid_grant", "expired"),
        ({"exp": int(time.time()) + 3600}, "invalid_grant", "invalid"),
        ({"sub": "nobody@example.com"}, "invalid_grant", "approved"),
        ({"iss": "unknown"}, "invalid_client_id", "client"),
        ({"exp": None}, "invalid_grant", "invalid"),
    ],
)
def test_a_wrong_assertion_is_refused(crm: CrmClient, changes: dict[str, Any], error: str, word: str) -> None:
    answer = crm.token(**changes)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert word in answer.json()["error_description"]


def test_another_key_does_not_open_the_org(crm: CrmClient) -> None:
    from crmsync.lab.sandbox.salesforce.oauth import make_key

    crm.env["SF_PRIVATE_KEY"] = make_key().private_pem
    assert crm.token().json() == {"error": "invalid_grant", "error_description": "invalid assertion"}


def test_an_expired_session_is_refused_with_an_array(crm: CrmClient, sandbox: Sandbox) -> None:
    sandbox.expire_tokens("salesforce")
    answer = crm.query("SELECT Id FROM Account")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_the_budget_shrinks_and_ends(crm: CrmClient, sandbox: Sandbox) -> None:
    sandbox.profile.salesforce.daily_calls = 2
    answers = [crm.query("SELECT Id FROM Account") for _ in range(3)]
    assert [answer.headers["Sforce-Limit-Info"] for answer in answers[:2]] == ["api-usage=1/2", "api-usage=2/2"]
    assert answers[2].status_code == 403
    assert answers[2].json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"

    sandbox.clock.advance(24 * 3600 + 1)
    crm.sign_in()
    crm.query("SELECT Id FROM Account")
    assert crm.query("SELECT Id FROM Account").status_code == 200


@pytest.mark.parametrize(
    ("version", "status"), [("v30.0", 410), ("v31.0", 200), ("v68.0", 200), ("v69.0", 404), ("68.0", 404)]
)
def test_versions(crm: CrmClient, version: str, status: int) -> None:
    address = f"{crm.env['SF_LOGIN_URL']}/services/data/{version}/limits"
    assert crm.session.get(address, timeout=10).status_code == status


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        ({"Foo__c": 1}, "INVALID_FIELD", None),
        ({"IsWon": True}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["IsWon"]),
        ({"Id": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Id"]),
        ({"SystemModstamp": None}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["SystemModstamp"]),
        ({"Name": ""}, "REQUIRED_FIELD_MISSING", ["Name"]),
        ({"SAP_Order_Number__c": "9" * 21}, "STRING_TOO_LONG", ["SAP_Order_Number__c"]),
        ({"SAP_Order_Number__c": 4711}, "JSON_PARSER_ERROR", None),
        ({"Payment_Date__c": "20.11.2026"}, "JSON_PARSER_ERROR", None),
        ({"Payment_Received__c": "yes"}, "JSON_PARSER_ERROR", None),
        ({"AccountId": "001"}, "MALFORMED_ID", ["AccountId"]),
        ({"AccountId": "001Sb00000000zzAAA"}, "MALFORMED_ID", ["AccountId"]),
        ({"AccountId": "001Sb00000000zz"}, "INVALID_CROSS_REFERENCE_KEY", ["AccountId"]),
    ],
)
def test_a_wrong_update_is_refused(
    crm: CrmClient, sandbox: Sandbox, body: dict[str, Any], code: str, fields: list[str] | None
) -> None:
    deal = sandbox.deals.create()
    answer = crm.call("PATCH", f"/sobjects/Opportunity/{deal.id}", json=body)
    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == code
    assert answer.json()[0].get("fields") == fields


def test_an_update_answers_204_and_moves_the_stamp(crm: CrmClient, sandbox: Sandbox) -> None:
    deal = sandbox.deals.create()
    before = crm.call("GET", f"/sobjects/Opportunity/{deal.id[:15]}").json()
    sandbox.clock.advance(60)

    body = {"SAP_Order_Number__c": "4711", "Payment_Received__c": True, "Payment_Amount__c": 12.5}
    answer = crm.call("PATCH", f"/sobjects/Opportunity/{deal.id[:15]}", json=body)

    assert (answer.status_code, answer.content) == (204, b"")
    after = crm.call("GET", f"/sobjects/Opportunity/{deal.id}?fields=SystemModstamp,Payment_Amount__c").json()
    assert after["SystemModstamp"] > before["SystemModstamp"]
    assert after["SystemModstamp"].endswith(".000+0000")
    assert after["Payment_Amount__c"] == 12.5


def test_the_amount_of_a_deal_with_lines_is_theirs(crm: CrmClient, sandbox: Sandbox) -> None:
    deal = sandbox.deals.create(lines=[{"product": "SENSOR-100", "quantity": 3, "unit_price": "10.00"}])
    assert crm.call("PATCH", f"/sobjects/Opportunity/{deal.id}", json={"Amount": 1, "NextStep": "x"}).status_code == 204

    line = {"Quantity": 4}
    crm.call("PATCH", f"/sobjects/OpportunityLineItem/{deal.line_ids[0]}", json=line)

    [row] = crm.records("SELECT Amount, NextStep FROM Opportunity")
    assert (row["Amount"], row["NextStep"]) == (40.0, "x")


def test_a_missing_record_is_404_and_a_text_body_415(crm: CrmClient, sandbox: Sandbox) -> None:
    deal = sandbox.deals.create()
    assert crm.call("GET", "/sobjects/Opportunity/006Sb00000000zz").status_code == 404
    assert crm.call("PATCH", f"/sobjects/Opportunity/{deal.id}", data="{}").status_code == 415
    answer = crm.call(
        "PATCH", f"/sobjects/Opportunity/{deal.id}", data="{", headers={"Content-Type": "application/json"}
    )
    assert answer.json()[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_upsert_creates_then_finds(crm: CrmClient) -> None:
    path = "/sobjects/Account/External_Id__c/C-77"
    first, second = (crm.call("PATCH", path, json={"Name": name}) for name in ("Elm Works", "Elm Works Ltd"))
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()["created"]) == (200, False)
    assert first.json()["id"] == second.json()["id"]

    assert crm.call("PATCH", path, json={"External_Id__c": "C-77"}).status_code == 400
    assert crm.call("PATCH", "/sobjects/Account/Name/x", json={}).status_code == 404
    assert crm.call("PATCH", "/sobjects/Account/External_Id__c/C-78?updateOnly=true", json={}).status_code == 404


def test_a_second_record_of_one_external_id_names_the_first(crm: CrmClient) -> None:
    made = crm.call("POST", "/sobjects/Account", json={"Name": "Elm", "External_Id__c": "C-1"}).json()
    answer = crm.call("POST", "/sobjects/Account", json={"Name": "Elm 2", "External_Id__c": "C-1"})
    assert answer.json()[0]["errorCode"] == "DUPLICATE_VALUE"
    assert made["id"][:15] in answer.json()[0]["message"]


def test_describe_tells_what_may_be_written(crm: CrmClient) -> None:
    fields = {one["name"]: one for one in crm.call("GET", "/sobjects/Opportunity/describe").json()["fields"]}
    assert fields["SAP_Order_Number__c"]["updateable"]
    assert not fields["IsWon"]["updateable"]
    assert "CurrencyIsoCode" not in fields


def collection(crm: CrmClient, method: str, records: list[Any], **flags: Any) -> requests.Response:
    return crm.call(method, "/composite/sobjects", json={"records": records, **flags})


def test_a_collection_answers_row_by_row(crm: CrmClient) -> None:
    rows = collection(crm, "POST", [{**ACCOUNT, "Name": "Oak"}, ACCOUNT]).json()
    assert [row["success"] for row in rows] == [True, False]
    assert rows[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert "id" not in rows[1]

    rows = collection(crm, "PATCH", [{**ACCOUNT, "id": rows[0]["id"], "Phone": "1"}, {**ACCOUNT, "Phone": "1"}]).json()
    assert [row["success"] for row in rows] == [True, False]


def test_all_or_none_undoes_the_rows_that_worked(crm: CrmClient) -> None:
    rows = collection(crm, "POST", [{**ACCOUNT, "Name": "Oak"}, ACCOUNT], allOrNone=True).json()
    assert [row["errors"][0]["statusCode"] for row in rows] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert crm.records("SELECT Id FROM Account") == []


def test_a_collection_holds_200_records_and_ten_runs_of_types(crm: CrmClient) -> None:
    assert collection(crm, "POST", [{**ACCOUNT, "Name": "x"}] * 201).status_code == 400
    mixed = [{**ACCOUNT, "Name": "x"}, {"attributes": {"type": "Contact"}, "LastName": "x"}] * 6
    assert collection(crm, "POST", mixed).status_code == 400


def test_a_collection_upserts_and_deletes(crm: CrmClient) -> None:
    body = {"records": [{**ACCOUNT, "External_Id__c": "C-1", "Name": "Oak"}]}
    rows = [crm.call("PATCH", "/composite/sobjects/Account/External_Id__c", json=body).json()[0] for _ in range(2)]
    assert [row["created"] for row in rows] == [True, False]
    answer = crm.call("DELETE", f"/composite/sobjects?ids={rows[0]['id']}&allOrNone=true").json()
    assert answer[0]["success"]


def sub(method: str, path: str, name: str, body: Any = None) -> dict[str, Any]:
    call = {"method": method, "url": f"/services/data/v68.0{path}", "referenceId": name}
    return {**call, "body": body} if body else call


def test_composite_fills_in_references(crm: CrmClient) -> None:
    calls = [
        sub("POST", "/sobjects/Account", "acc", {"Name": "Pine"}),
        sub("POST", "/sobjects/Contact", "con", {"LastName": "Lee", "AccountId": "@{acc.id}"}),
        sub("GET", "/query?q=SELECT+Account.Name+FROM+Contact+WHERE+Id='@{con.id}'", "all"),
    ]
    answer = crm.call("POST", "/composite", json={"allOrNone": True, "compositeRequest": calls}).json()
    parts = answer["compositeResponse"]
    assert [part["httpStatusCode"] for part in parts] == [201, 201, 200]
    assert parts[2]["body"]["records"][0]["Account"]["Name"] == "Pine"


def test_composite_all_or_none_undoes(crm: CrmClient) -> None:
    calls = [sub("POST", "/sobjects/Account", "a", {"Name": "Pine"}), sub("POST", "/sobjects/Account", "b", {"Foo": 1})]
    answer = crm.call("POST", "/composite", json={"allOrNone": True, "compositeRequest": calls}).json()
    codes = [part["body"][0]["errorCode"] for part in answer["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "INVALID_FIELD"]
    assert crm.records("SELECT Id FROM Account") == []
    many = {"compositeRequest": [sub("GET", "/limits", f"r{number}") for number in range(26)]}
    assert crm.call("POST", "/composite", json=many).status_code == 400


def test_bulk_job_from_open_to_results(crm: CrmClient) -> None:
    job = crm.call(
        "POST", "/jobs/ingest", json={"object": "Product2", "operation": "insert", "lineEnding": "LF"}
    ).json()
    assert (job["state"], job["id"][:3]) == ("Open", "750")
    path, csv = f"/jobs/ingest/{job['id']}", "Name,Available_Stock__c,IsActive\nValve,5,true\n,6,true\n"
    upload = {"data": csv.encode(), "headers": {"Content-Type": "text/csv; charset=UTF-8"}}
    assert crm.call("PUT", f"{path}/batches", **upload).status_code == 201
    assert crm.call("PUT", f"{path}/batches", **upload).status_code == 400
    assert crm.call("PATCH", path, json={"state": "UploadComplete"}).json()["state"] == "UploadComplete"

    states = [crm.call("GET", path).json() for _ in range(2)]

    assert [state["state"] for state in states] == ["InProgress", "JobComplete"]
    assert (states[1]["numberRecordsProcessed"], states[1]["numberRecordsFailed"]) == (2, 1)
    good = crm.call("GET", f"{path}/successfulResults").text.splitlines()
    assert good[0] == "sf__Id,sf__Created,Name,Available_Stock__c,IsActive"
    assert good[1].split(",")[1:3] == ["true", "Valve"]
    assert "REQUIRED_FIELD_MISSING" in crm.call("GET", f"{path}/failedResults").text
    assert crm.call("GET", f"{path}/unprocessedrecords").text == "Name,Available_Stock__c,IsActive\n"


def test_ids_have_the_checksum_of_their_case() -> None:
    assert checksum("00Dxx0000001gER") == "EAY"
    assert full_id("00Dxx0000001gER") == "00Dxx0000001gEREAY"
    assert full_id("00Dxx0000001gEREAA") is None
    assert full_id("00Dxx") is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ({"quantity": 3, "unit_price": "33.3333333333"}, (33.3333333333, 99.9999999999)),
        (
            {"quantity": "0.72222222222222", "total_price": "1300.5617283950617"},
            (1800.7777777777833, 1300.5617283950617),
        ),
        ({"quantity": 3, "total_price": "0.30000000000000004"}, (0.10000000000000002, 0.30000000000000004)),
        ({"quantity": 7, "total_price": "100"}, (14.285714285714286, 100)),
        ({"quantity": 2, "unit_price": "235.00", "Discount": "33.333"}, (235, 313.3349)),
        ({"quantity": "1.5", "unit_price": "33.35"}, (33.35, 50.025)),
    ],
)
def test_prices_keep_all_their_decimals(
    crm: CrmClient, sandbox: Sandbox, line: dict[str, Any], shown: tuple[float, float]
) -> None:
    deal = sandbox.deals.create(lines=[{"product": "CABLE-05", **line}])

    (row,) = crm.records("SELECT UnitPrice, TotalPrice FROM OpportunityLineItem")

    assert (row["UnitPrice"], row["TotalPrice"]) == shown
    assert crm.records(f"SELECT Amount FROM Opportunity WHERE Id = '{deal.id}'")[0]["Amount"] == shown[1]


def test_the_amount_is_the_sum_of_what_is_not_rounded(crm: CrmClient, sandbox: Sandbox) -> None:
    line = {"product": "CABLE-05", "quantity": 1, "unit_price": "50.005"}

    deal = sandbox.deals.create(lines=[line, line])

    assert crm.records(f"SELECT Amount FROM Opportunity WHERE Id = '{deal.id}'")[0]["Amount"] == 100.01
