"""Reading what changed since: won deals page by page, invoices by the time they were modified, and the budgets."""

from datetime import UTC, datetime, timedelta

import pytest

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import BooksClient, CrmClient

KEYSET = (
    "SELECT Id, SystemModstamp, StageName, CloseDate, CreatedDate, LastModifiedDate, LastStageChangeDate, IsWon, "
    "IsClosed, Payment_Received__c, Payment_Amount__c, Payment_Date__c FROM Opportunity WHERE IsWon = true AND "
    "(SystemModstamp > {0} OR (SystemModstamp = {0} AND Id > '{1}')) ORDER BY SystemModstamp, Id LIMIT 4"
)


def test_won_deals_are_read_by_pairs_of_stamp_and_id(sandbox: Sandbox, crm: CrmClient) -> None:
    deals = [deal.id for deal in sandbox.deals.bulk(15, 3)]
    sandbox.deals.close_all(deals[:9])
    sandbox.clock.advance(5)
    sandbox.deals.close_all(deals[9:13])
    sandbox.deals.close(deals[13], stage="Closed Lost")
    stamp, last, found = "2020-01-01T00:00:00Z", "000000000000000", []
    while True:
        rows = crm.records(KEYSET.format(stamp, last))
        if not rows:
            break
        found += rows
        last, stamp = rows[-1]["Id"], rows[-1]["SystemModstamp"].replace(".000+0000", "Z")
    assert [row["Id"] for row in found] == deals[:13]
    assert len({row["SystemModstamp"] for row in found}) == 2
    assert all(row["IsClosed"] and row["LastStageChangeDate"] == row["SystemModstamp"] for row in found)


def test_the_last_stage_change_is_empty_until_there_is_one(sandbox: Sandbox, crm: CrmClient) -> None:
    deal = sandbox.deals.create(stage="Closed Won")
    path, query = f"/sobjects/Opportunity/{deal.id}", "SELECT LastStageChangeDate, IsWon FROM Opportunity"
    crm.call("PATCH", path, json={"StageName": "Closed Won", "NextStep": "x"})
    assert crm.records(query)[0]["LastStageChangeDate"] is None
    assert crm.records(query)[0]["IsWon"] is True
    crm.call("PATCH", path, json={"StageName": "Prospecting"})
    changed = crm.records(query)[0]["LastStageChangeDate"]
    sandbox.clock.advance(60)
    crm.call(
        "PATCH", path, json={"Payment_Received__c": True, "Payment_Amount__c": 12.5, "Payment_Date__c": "2026-11-20"}
    )
    assert crm.records(query)[0]["LastStageChangeDate"] == changed
    refused = crm.call("PATCH", path, json={"LastStageChangeDate": "2026-11-20T00:00:00Z"})
    assert refused.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    [shown] = sandbox.ledger()["deals"]
    assert (shown["Payment_Received__c"], shown["Payment_Date__c"]) == (True, "2026-11-20")
    assert shown["Payment_Amount__c"] == 12.5


def test_a_late_commit_appears_behind_the_cursor(sandbox: Sandbox, crm: CrmClient) -> None:
    early, late = (deal.id for deal in sandbox.deals.bulk(2, 1))
    sandbox.deals.close(early)
    seen = crm.records(f"SELECT SystemModstamp FROM Opportunity WHERE Id = '{early}'")[0]["SystemModstamp"]
    sandbox.deals.close(late)
    sandbox.deals.backdate([late], 120)
    since = seen.replace(".000+0000", "Z")
    assert crm.records(f"SELECT Id FROM Opportunity WHERE IsWon = true AND SystemModstamp > {since}") == []
    overlap = (datetime.fromisoformat(seen) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(crm.records(f"SELECT Id FROM Opportunity WHERE IsWon = true AND SystemModstamp > {overlap}")) == 2


def test_a_deal_may_refuse_to_be_changed(sandbox: Sandbox, crm: CrmClient) -> None:
    deal = sandbox.deals.create()
    sandbox.deals.refuse(deal.id, "ENTITY_IS_LOCKED")
    path, body = f"/sobjects/Opportunity/{deal.id}", {"Payment_Received__c": True}
    assert crm.call("PATCH", path, json=body).json()[0]["errorCode"] == "ENTITY_IS_LOCKED"
    sandbox.deals.accept(deal.id)
    assert crm.call("PATCH", path, json=body).status_code == 204
    sandbox.deals.delete(deal.id)
    assert crm.call("PATCH", path, json=body).json()[0]["errorCode"] == "ENTITY_IS_DELETED"
    assert crm.records("SELECT Id FROM Opportunity") == []


def test_every_answer_tells_the_budget(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.profile.salesforce.daily_calls = 3
    sandbox.faults.add("salesforce", "error", "limits", times=1)
    calls = [("GET", "/limits"), ("GET", "/query?q=SELECT"), ("GET", "/sobjects/Nothing/x"), ("GET", "/nowhere"),
             ("POST", "/composite/sobjects"), ("GET", "/limits")]  # fmt: skip
    answers = [crm.call(method, path) for method, path in calls]
    assert [answer.headers["Sforce-Limit-Info"] for answer in answers] == [
        f"api-usage={n}/3" for n in (0, 1, 2, 2, 3, 3)
    ]
    assert [answer.status_code for answer in answers] == [503, 400, 404, 404, 415, 403]
    sandbox.clock.advance(24 * 3600 + 1)
    crm.sign_in()
    assert crm.call("GET", "/limits").headers["Sforce-Limit-Info"] == "api-usage=1/3"


@pytest.mark.parametrize(("setting", "found"), [("after", 1), ("from", 2)])
def test_invoices_are_found_by_when_they_were_modified(
    books: BooksClient, sandbox: Sandbox, setting: str, found: int
) -> None:
    sandbox.profile.zoho.modified_filter = setting
    contact = books.contact()["contact_id"]
    made = []
    for _ in range(3):
        made.append(books.invoice(contact))
        sandbox.clock.advance(10)
    since = made[1]["last_modified_time"]
    rows = books.call("GET", "/invoices", params={"last_modified_time": since}).json()["invoices"]
    assert len(rows) == found
    sandbox.invoices.pay(made[0]["invoice_id"], reference="P")
    rows = books.call("GET", "/invoices", params={"last_modified_time": since}).json()["invoices"]
    assert len(rows) == found + 1
    elsewhere = datetime.strptime(since, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S%z")
    rows = books.call("GET", "/invoices", params={"last_modified_time": elsewhere}).json()["invoices"]
    assert len(rows) == found + 1


@pytest.mark.parametrize(
    "text", ["2026-11-18", "2026-11-18T02:02:51Z", "2026-11-18T02:02:51-08:00", "2026-19-18T02:02:51-0800"]
)
def test_another_format_of_an_instant_is_refused(books: BooksClient, text: str) -> None:
    assert books.call("GET", "/invoices", params={"last_modified_time": text}).json()["code"] == 2
    encoded = books.call("GET", "/invoices?last_modified_time=2026-11-18T02:02:51%2B0100")
    assert encoded.json()["code"] == 0
    assert books.call("GET", "/invoices?last_modified_time=2026-11-18T02:02:51+0100").json()["code"] == 2


def test_payments_know_no_such_filter_but_an_order(books: BooksClient, sandbox: Sandbox) -> None:
    contact = books.contact()["contact_id"]
    paid = []
    for _ in range(3):
        paid.append(sandbox.invoices.pay(books.invoice(contact)["invoice_id"]).payment_id)
        sandbox.clock.advance(10)
    query = {"last_modified_time": "2099-01-01T00:00:00-0800", "per_page": 2}
    page = books.call("GET", "/customerpayments", params=query).json()
    assert (len(page["customerpayments"]), page["page_context"]["has_more_page"]) == (2, True)
    sandbox.payments.update(paid[0], description="changed")
    query = {"sort_column": "last_modified_time", "sort_order": "D"}
    rows = books.call("GET", "/customerpayments", params=query).json()["customerpayments"]
    assert [row["payment_id"] for row in rows] == [paid[0], paid[2], paid[1]]
    assert books.call("GET", "/invoices", params=query).json()["code"] == 2


def test_the_environment_tells_the_plan(sandbox: Sandbox) -> None:
    env = sandbox.environment()
    assert (env["ZOHO_CALLS_PER_MINUTE"], env["ZOHO_CALLS_PER_DAY"]) == ("100", "10000")
    sandbox.profile.zoho.per_minute = 5
    assert sandbox.environment()["ZOHO_CALLS_PER_MINUTE"] == "5"
