"""SOQL as the stand-in answers it."""

import pytest

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import CrmClient

ACCOUNTS = ["Alder Foods", "Birch Energy", "O'Brien Marine", "Fir 100% Works"]


@pytest.fixture
def accounts(sandbox: Sandbox) -> None:
    for name in ACCOUNTS:
        sandbox.salesforce.org.create("Account", {"Name": name, "BillingCity": None if "Fir" in name else name[:5]})


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'alder foods'", ["Alder Foods"]),
        ("Name != 'Alder Foods'", ACCOUNTS[1:]),
        (r"Name = 'O\'Brien Marine'", ["O'Brien Marine"]),
        ("Name IN ('Alder Foods', 'Birch Energy')", ACCOUNTS[:2]),
        ("Name NOT IN ('Alder Foods', 'Birch Energy')", ACCOUNTS[2:]),
        ("Name LIKE '%ER%'", ["Alder Foods", "Birch Energy"]),
        ("Name LIKE 'F_r%'", ["Fir 100% Works"]),
        ("BillingCity = null", ["Fir 100% Works"]),
        ("BillingCity != null AND (Name = 'Alder Foods' OR Name = 'Birch Energy')", ACCOUNTS[:2]),
        ("NOT (Name LIKE 'A%')", ACCOUNTS[1:]),
        ("IsDeleted = true", []),
        ("SystemModstamp >= 2020-01-01T00:00:00Z", ACCOUNTS),
        ("SystemModstamp > 2020-01-01T00:00:00+02:00 AND CreatedDate = TODAY", ACCOUNTS),
        ("CreatedDate > TODAY", []),
        ("CreatedDate >= LAST_N_DAYS:1", ACCOUNTS),
    ],
)
def test_conditions_select(crm: CrmClient, where: str, found: list[str]) -> None:
    assert [row["Name"] for row in crm.records(f"SELECT Name FROM Account WHERE {where}")] == found


@pytest.mark.parametrize(
    ("soql", "code", "word"),
    [
        ("SELECT Id, Foo FROM Account", "INVALID_FIELD", "'Foo'"),
        ("SELECT Id FROM Account WHERE Foo = 1", "INVALID_FIELD", "'Foo'"),
        ("SELECT Id FROM Account ORDER BY Foo", "INVALID_FIELD", "'Foo'"),
        ("SELECT Owner.Foo FROM Account", "INVALID_FIELD", "'Foo'"),
        ("SELECT Boss.Name FROM Account", "INVALID_FIELD", "'Boss'"),
        ("SELECT Id, CurrencyIsoCode FROM Opportunity", "INVALID_FIELD", "'CurrencyIsoCode'"),
        ("SELECT Id FROM Accounts", "INVALID_TYPE", "'Accounts'"),
        ("SELECT Id, (SELECT Id FROM Invoices) FROM Account", "INVALID_TYPE", "'Invoices'"),
        ("SELECT Id FORM Account", "MALFORMED_QUERY", "FORM"),
        ("SELECT FROM Account", "MALFORMED_QUERY", "FROM"),
        ("SELECT Id FROM Account WHERE Name = Acme", "MALFORMED_QUERY", "Acme"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "OR"),
        ("SELECT Id FROM Account WHERE Name = 'open", "MALFORMED_QUERY", "'"),
        ("SELECT Id, Id FROM Account", "MALFORMED_QUERY", "duplicate"),
        ("SELECT Id FROM Account LIMIT many", "MALFORMED_QUERY", "many"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "type string"),
        ("SELECT Id FROM Opportunity WHERE CloseDate = '2026-11-20'", "INVALID_FIELD", "not be enclosed"),
        ("SELECT Id FROM Opportunity WHERE Amount > '5'", "INVALID_FIELD", "type currency"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Account WHERE Id = '12'", "INVALID_QUERY_FILTER_OPERATOR", "12"),
    ],
)
def test_a_wrong_query_is_refused(crm: CrmClient, soql: str, code: str, word: str) -> None:
    answer = crm.query(soql)

    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == code
    assert word in answer.json()[0]["message"]


def test_a_deal_comes_with_its_lines_and_contacts(sandbox: Sandbox, crm: CrmClient) -> None:
    deal = sandbox.deals.create(lines=[{"product": "SENSOR-100", "quantity": 2, "unit_price": "10.50"}])

    [row] = crm.records(
        "SELECT Amount, Account.Name, "
        "(SELECT Quantity, PricebookEntry.Product2.ProductCode FROM OpportunityLineItems), "
        f"(SELECT Contact.Email FROM OpportunityContactRoles) FROM Opportunity WHERE Id = '{deal.id[:15]}'"
    )

    assert row["Amount"] == 21.0
    assert row["Account"]["Name"] == "Northwind Sensors GmbH"
    assert row["Account"]["attributes"]["type"] == "Account"
    lines = row["OpportunityLineItems"]
    assert (lines["totalSize"], lines["done"]) == (1, True)
    assert lines["records"][0]["PricebookEntry"]["Product2"]["ProductCode"] == "SENSOR-100"
    assert row["OpportunityContactRoles"]["records"][0]["Contact"]["Email"] == "accounts@northwind.example.com"


def test_an_empty_relationship_is_null(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.deals.create(email=None, lines=[])

    [row] = crm.records("SELECT Contact.Name, (SELECT Id FROM OpportunityLineItems) FROM Opportunity")

    assert row["Contact"] is None
    assert row["OpportunityLineItems"] is None


@pytest.mark.usefixtures("accounts")
def test_rows_are_ordered_by_several_fields_with_nulls_first(crm: CrmClient) -> None:
    rows = crm.records("SELECT Name FROM Account ORDER BY BillingCity DESC NULLS LAST, Name LIMIT 4")
    assert [row["Name"] for row in rows] == ["O'Brien Marine", "Birch Energy", "Alder Foods", "Fir 100% Works"]

    rows = crm.records("SELECT Name FROM Account ORDER BY BillingCity LIMIT 1 OFFSET 0")
    assert rows[0]["Name"] == "Fir 100% Works"


def test_a_long_result_is_paged_until_its_locator_expires(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.profile.salesforce.page_size = 2
    sandbox.deals.create(lines=[{"product": "SENSOR-100"}] * 5)
    first = crm.query("SELECT Id FROM OpportunityLineItem").json()
    assert (first["totalSize"], first["done"], len(first["records"])) == (5, False, 2)

    path = first["nextRecordsUrl"].removeprefix("/services/data/v68.0")
    second = crm.call("GET", path).json()
    last = crm.call("GET", second["nextRecordsUrl"].removeprefix("/services/data/v68.0")).json()
    assert last["done"]
    assert "nextRecordsUrl" not in last
    assert len({row["Id"] for row in first["records"] + second["records"] + last["records"]}) == 5

    sandbox.clock.advance(2 * 24 * 3600 + 1)
    crm.sign_in()
    assert crm.call("GET", path).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_child_records_page_on_their_own(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.profile.salesforce.page_size = 2
    sandbox.deals.create(lines=[{"product": "SENSOR-100"}] * 3)

    [row] = crm.records("SELECT Id, (SELECT Id FROM OpportunityLineItems) FROM Opportunity")

    lines = row["OpportunityLineItems"]
    assert (lines["totalSize"], lines["done"], len(lines["records"])) == (3, False, 2)
    rest = crm.call("GET", lines["nextRecordsUrl"].removeprefix("/services/data/v68.0")).json()
    assert len(rest["records"]) == 1


def test_both_spellings_of_the_address_work(crm: CrmClient) -> None:
    soql = {"q": "SELECT COUNT() FROM Account"}
    answers = [crm.call("GET", path, params=soql).json() for path in ("/query", "/query/", "/queryAll")]
    assert answers == [{"totalSize": 0, "done": True, "records": []}] * 3


def test_query_all_shows_the_recycle_bin(sandbox: Sandbox, crm: CrmClient) -> None:
    deal = sandbox.deals.create()
    assert crm.call("DELETE", f"/sobjects/Opportunity/{deal.id}").status_code == 204

    assert crm.records("SELECT Id FROM Opportunity") == []
    answer = crm.call("GET", "/queryAll", params={"q": "SELECT IsDeleted FROM Opportunity"})
    assert [row["IsDeleted"] for row in answer.json()["records"]] == [True]


def test_currency_exists_in_a_multi_currency_org(crm: CrmClient, sandbox: Sandbox) -> None:
    sandbox.profile.salesforce.multi_currency = True
    sandbox.reset()
    crm.sign_in()
    sandbox.deals.create(currency="EUR")

    rows = crm.records("SELECT CurrencyIsoCode, (SELECT CurrencyIsoCode FROM OpportunityLineItems) FROM Opportunity")

    assert rows[0]["CurrencyIsoCode"] == "EUR"
    assert rows[0]["OpportunityLineItems"]["records"][0]["CurrencyIsoCode"] == "EUR"


def test_a_query_that_is_too_long_for_the_address_is_refused(crm: CrmClient) -> None:
    names = ", ".join(f"'{number:030d}'" for number in range(500))
    assert crm.query(f"SELECT Id FROM Account WHERE Name IN ({names})").status_code == 431
