"""Several companies in one sandbox: what one account knows, takes or suffers, no other does."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from crmsync.declared import read_mapping
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.http import Request, Response, Server
from crmsync.lab.sandbox.world import Company
from crmsync.systems import installed
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient, partner

NUMBER = 3


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox(companies=NUMBER) as made:
        yield made


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    shared.reset()
    yield shared
    shared.faults.clear()


@pytest.fixture
def second(sandbox: Sandbox) -> Company:
    return sandbox.companies[1]


def control(sandbox: Sandbox, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
    return requests.request(method, f"{sandbox.control_url}/control{path}", json=body, timeout=10)


# Accounts


def test_an_account_is_named_as_its_vendor_and_from_the_second_on_with_a_number(sandbox: Sandbox) -> None:
    assert list(sandbox.accounts)[:4] == ["salesforce", "sap", "zoho", "salesforce-2"]
    assert len(sandbox.accounts) == 3 * NUMBER


def test_the_environment_is_the_first_companys(sandbox: Sandbox) -> None:
    assert sandbox.environment() == sandbox.companies[0].environment()
    assert sandbox.environment()["SF_LOGIN_URL"] == sandbox.accounts["salesforce"].url


# What says which account it is, and what opens it
OF_ACCOUNTS = {
    "salesforce": ("login_url", "client_id", "username", "organization_id", "private_key", "webhook_secret"),
    "s4hana": ("base_url", "token_url", "client_id", "client_secret"),
    "zoho_books": (
        *("accounts_url", "api_url", "client_id", "organization_id"),
        *("client_secret", "refresh_token", "webhook_secret"),
    ),
}


@pytest.mark.parametrize("system", OF_ACCOUNTS)
def test_no_two_accounts_have_an_address_an_id_or_a_secret_in_common(sandbox: Sandbox, system: str) -> None:
    rows = [{**row["settings"], **row["secrets"]} for row in sandbox.connections() if row["system"] == system]

    assert len(rows) == NUMBER
    for field in OF_ACCOUNTS[system]:
        assert len({row[field] for row in rows}) == NUMBER, field


def test_a_row_has_what_crmsync_takes_and_nothing_else(sandbox: Sandbox) -> None:
    for row in sandbox.connections():
        declared = installed()[row["system"]].settings

        _, problems = read_mapping(declared, {**row["settings"], **row["secrets"]}, allow_http=True)

        assert problems == {}, row["name"]


def test_only_what_is_no_secret_stands_among_the_settings(sandbox: Sandbox) -> None:
    from crmsync.declared import declared_of

    for row in sandbox.connections():
        secret = {each.name for each in declared_of(installed()[row["system"]].settings) if each.is_secret}

        assert row["settings"].keys() & secret == set()
        assert row["secrets"].keys() <= secret


# Who comes in


def test_salesforce_signs_in_the_clients_of_its_own_org_only(sandbox: Sandbox, second: Company) -> None:
    with CrmClient(sandbox) as first, CrmClient(second) as other:
        other.env = {**other.env, "SF_LOGIN_URL": first.env["SF_LOGIN_URL"]}

        assert other.token().json()["error"] == "invalid_grant"
        assert other.call("GET", "/limits").status_code == 401  # with the session of its own org


@pytest.mark.parametrize("client", ["100", "300"])
def test_sap_signs_in_the_users_of_its_own_client_only(second: Company, client: str) -> None:
    url = f"{second.sap.url}/sap/opu/odata/sap/API_SALES_ORDER_SRV/"
    own, strange = second.sap.profile, second.sap.profile.of_another(9)

    assert requests.get(url, auth=(own.user, own.password), timeout=10).status_code == 200
    assert requests.get(url, auth=(strange.user, own.password), timeout=10).status_code == 401
    named = requests.get(url, auth=(own.user, own.password), params={"sap-client": client}, timeout=10)
    assert named.status_code == 401
    named = requests.get(url, auth=(own.user, own.password), params={"sap-client": own.client}, timeout=10)
    assert named.status_code == 200


def test_zoho_knows_the_tokens_and_the_organisation_of_its_own_account_only(sandbox: Sandbox, second: Company) -> None:
    with BooksClient(sandbox) as first, BooksClient(second) as other:
        first_id = first.env["ZOHO_ORGANIZATION_ID"]
        assert other.call("GET", "/invoices", params={"organization_id": first_id}).json()["code"] == 6041

        other.env = {**other.env, "ZOHO_API_URL": first.env["ZOHO_API_URL"]}
        assert other.call("GET", "/invoices").status_code == 401
        assert "error" in other.token(refresh_token=first.env["ZOHO_REFRESH_TOKEN"]).json()


# What is in them


def test_what_is_made_in_one_account_is_in_no_other(sandbox: Sandbox, second: Company) -> None:
    second.deals.create("Fjord Foods")
    with ErpClient(second) as erp, BooksClient(second) as books:
        erp.order()
        invoice = books.invoice()
        second.invoices.pay(invoice["invoice_id"])
        books.call("POST", f"/invoices/{invoice['invoice_id']}/status/sent")

    found = second.ledger()
    for kind in ("deals", "orders", "customers", "invoices", "payments", "contacts"):
        assert len(found[kind]) == 1, kind
        assert [company.ledger()[kind] for company in (sandbox.companies[0], sandbox.companies[2])] == [[], []]
    assert found["events"]
    assert sandbox.ledger()["events"] == []


def test_records_of_two_orgs_and_two_organisations_have_other_ids(sandbox: Sandbox, second: Company) -> None:
    deals = [company.deals.create("Fjord Foods").id for company in (sandbox.companies[0], second)]
    with BooksClient(sandbox) as first, BooksClient(second) as other:
        contacts = [client.contact()["contact_id"] for client in (first, other)]

    assert deals[0] != deals[1]
    assert contacts[0] != contacts[1]
    with CrmClient(sandbox) as crm:
        assert crm.call("GET", f"/sobjects/Opportunity/{deals[1]}").status_code == 404


def test_two_sap_systems_give_the_same_numbers_as_number_ranges_do(sandbox: Sandbox, second: Company) -> None:
    with ErpClient(sandbox) as first, ErpClient(second) as other:
        assert first.order()["SalesOrder"] == other.order()["SalesOrder"]


def test_every_account_has_the_standard_products_and_a_stock_of_its_own(sandbox: Sandbox, second: Company) -> None:
    second.products.set_stock("SENSOR-100", Decimal(1))

    assert second.products.stock()["SENSOR-100"] == 1
    assert sandbox.products.stock()["SENSOR-100"] == 500


def test_a_reset_empties_all_of_them(sandbox: Sandbox, second: Company) -> None:
    second.deals.create()

    sandbox.reset()

    assert second.ledger()["deals"] == []


# What they suffer


def test_a_fault_strikes_the_account_that_it_names_and_no_other(sandbox: Sandbox, second: Company) -> None:
    with BooksClient(sandbox) as first, BooksClient(second) as other:
        sandbox.faults.add("zoho-2", "error")

        assert other.call("GET", "/invoices").status_code == 500
        assert first.call("GET", "/invoices").status_code == 200


def test_what_only_one_vendor_does_is_a_fault_of_each_of_its_accounts(sandbox: Sandbox, second: Company) -> None:
    sandbox.faults.add("sap-2", "vanish", "create_order")

    with ErpClient(second) as erp:
        assert erp.create_order({**_order(erp.customer())}).status_code == 201
    assert second.ledger()["orders"] == []


def _order(customer: str) -> dict[str, Any]:
    from tests.sandbox.clients import order

    return order(customer)


def test_a_limit_counts_the_calls_of_its_own_account(sandbox: Sandbox, second: Company) -> None:
    second.profile.apply({"zoho_per_minute": 1})
    try:
        with BooksClient(sandbox) as first, BooksClient(second) as other:
            assert [other.call("GET", "/invoices").status_code for _ in range(2)] == [200, 429]
            assert first.call("GET", "/invoices").status_code == 200
    finally:
        second.profile.apply({"zoho_per_minute": 100})


def test_calls_are_counted_and_tokens_end_by_account(sandbox: Sandbox, second: Company) -> None:
    with BooksClient(sandbox) as first, BooksClient(second) as other:
        other.call("GET", "/invoices")
        assert sandbox.calls()["zoho-2"]["business"] == 1
        assert sandbox.calls()["zoho"]["business"] == 0

        sandbox.expire_tokens("zoho-2")

        assert other.call("GET", "/invoices").status_code == 401
        assert first.call("GET", "/invoices").status_code == 200


def test_settings_of_the_start_hold_for_all_accounts_and_later_ones_for_one() -> None:
    sandbox = Sandbox(companies=2, zoho_per_minute=7)

    sandbox.profile.apply({"zoho_per_day": 9})

    limits = [(company.profile.zoho.per_minute, company.profile.zoho.per_day) for company in sandbox.companies]
    assert limits == [(7, 9), (7, 10_000)]


# What they send


def test_webhooks_go_to_the_companys_own_doors_with_its_own_secrets(sandbox: Sandbox, second: Company) -> None:
    seen: list[Request] = []
    server = Server(lambda request: seen.append(request) or Response(200))
    server.start()
    try:
        sandbox.receiver.base_url = server.url
        control(sandbox, "POST", "/companies/2/doors", {"deal": "/hooks/con_x/deal", "payment": "/hooks/con_y/payment"})
        for company in (sandbox.companies[0], second):
            company.deals.announce(company.deals.create().id)
        with BooksClient(second) as books:
            second.invoices.pay(books.invoice()["invoice_id"], webhook=True)
    finally:
        server.stop()
        second.doors.deal, second.doors.payment = "/webhook/salesforce/deal-closed", "/webhook/zoho/payment"

    assert [one.path for one in seen] == [
        "/webhook/salesforce/deal-closed",
        "/hooks/con_x/deal",
        "/hooks/con_y/payment",
    ]
    signatures = [one.headers["x-crmsync-signature"] for one in seen[:2]]
    from crmsync.lab.sandbox.salesforce.webhooks import sign

    secrets = [company.profile.salesforce.webhook_secret for company in (sandbox.companies[0], second)]
    assert signatures == [sign(secret, one.body) for secret, one in zip(secrets, seen[:2], strict=True)]


# By the control API


def test_the_control_api_lists_companies_and_connections(sandbox: Sandbox) -> None:
    companies = control(sandbox, "GET", "/companies").json()["companies"]

    assert [company["accounts"][0] for company in companies] == ["salesforce", "salesforce-2", "salesforce-3"]
    assert control(sandbox, "GET", "/connections").json()["connections"] == sandbox.connections()


def test_what_is_of_a_company_is_asked_under_its_number(sandbox: Sandbox, second: Company) -> None:
    made = control(sandbox, "POST", "/companies/2/deals", {"account": "Fjord Foods"}).json()

    assert [row["id"] for row in control(sandbox, "GET", "/companies/2/ledger").json()["deals"]] == [made["id"]]
    assert control(sandbox, "GET", "/ledger").json()["deals"] == []
    assert control(sandbox, "GET", "/companies/2/environment").json() == second.environment()


@pytest.mark.parametrize("number", ["0", "4", "-1", "x"])
def test_a_company_that_does_not_exist_is_not_found(sandbox: Sandbox, number: str) -> None:
    assert control(sandbox, "GET", f"/companies/{number}/ledger").status_code == 404


def test_partners_of_one_reference_are_no_duplicates_of_two_companies(sandbox: Sandbox, second: Company) -> None:
    for company in (sandbox.companies[0], second):
        with ErpClient(company) as erp:
            erp.create_partner(partner())

    assert second.ledger()["duplicates"]["customers"] == {}


def test_the_command_says_how_many_there_are_and_where_their_connections_are_told() -> None:
    from click.testing import CliRunner

    from crmsync.lab.sandbox.command import sandbox as command

    refused = CliRunner().invoke(command, ["--companies", "0"])
    assert refused.exit_code == 2

    words = [sys.executable, "-m", "crmsync.lab.sandbox", "--port-base", "0", "--companies", "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = next(line for line in process.stdout if "companies" in line)
        rows = requests.get(told.rpartition(" ")[2].strip(), timeout=10).json()["connections"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert [row["name"] for row in rows] == ["salesforce", "sap", "zoho", "salesforce-2", "sap-2", "zoho-2"]
