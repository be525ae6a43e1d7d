"""An org that moves, and vendors that list late."""

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.salesforce.oauth import OLD_ADDRESSES
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient

SOQL = "SELECT Id FROM Account"


@pytest.mark.parametrize(
    ("old", "status", "said"),
    [
        ("expired", 401, "INVALID_SESSION_ID"),
        ("moved", 301, ""),
        ("found", 302, ""),
        ("temporary", 307, ""),
        ("permanent", 308, ""),
        ("not-reset", 404, "URL_NOT_RESET"),
        ("not-reset-400", 400, "URL_NOT_RESET"),
        ("page", 404, "Page not found"),
    ],
)
def test_an_org_that_moved_answers_at_its_new_address(
    sandbox: Sandbox, crm: CrmClient, old: str, status: int, said: str
) -> None:
    new = sandbox.move_org(old)
    answer = crm.query(SOQL, allow_redirects=False)
    assert (answer.status_code, said in answer.text) == (status, True)
    if 300 < status < 400:
        assert answer.headers["Location"].startswith(f"{new}/services/data/v68.0/query")

    told = crm.token().json()
    assert told["instance_url"] == new != crm.env["SF_LOGIN_URL"]
    headers = {"Authorization": f"Bearer {told['access_token']}"}
    url = f"{new}/services/data/v68.0/query"
    assert requests.get(url, params={"q": SOQL}, headers=headers, timeout=5).json()["done"] is True


def test_an_address_that_is_gone_does_not_answer(sandbox: Sandbox, crm: CrmClient) -> None:
    first = sandbox.move_org("gone")
    with pytest.raises(requests.ConnectionError):
        crm.query(SOQL)
    sandbox.move_org("gone")
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(f"{first}/services/data", timeout=5)
    assert crm.token().json()["instance_url"] == sandbox.salesforce.url


def test_the_environment_keeps_the_address_of_the_sign_in(sandbox: Sandbox) -> None:
    before = sandbox.environment()
    sandbox.move_org()
    assert sandbox.environment() == before


def test_moving_is_part_of_the_control_api(sandbox: Sandbox) -> None:
    answer = requests.post(f"{sandbox.control_url}/control/org/move", json={"old": "moved"}, timeout=5)
    assert answer.json() == {"url": sandbox.salesforce.url}
    answer = requests.post(f"{sandbox.control_url}/control/org/move", json={"old": "nowhere"}, timeout=5)
    assert (answer.status_code, "gone" in OLD_ADDRESSES) == (400, True)


def test_an_order_comes_late_to_the_list_and_is_there_at_its_address(sandbox: Sandbox, erp: ErpClient) -> None:
    sandbox.profile.sap.lag_seconds = 60
    number = erp.order()["SalesOrder"]
    lists = "API_SALES_ORDER_SRV/A_SalesOrder?$filter=PurchaseOrderByCustomer eq 'CRM-D-88123'"
    assert erp.call("GET", lists).json()["d"]["results"] == []
    assert erp.call("GET", "API_BUSINESS_PARTNER/A_BusinessPartner").json()["d"]["results"] == []
    assert erp.call("GET", f"API_SALES_ORDER_SRV/A_SalesOrder('{number}')").status_code == 200
    sandbox.clock.advance(61)
    assert len(erp.call("GET", lists).json()["d"]["results"]) == 1


def test_an_invoice_comes_late_to_the_list(sandbox: Sandbox, books: BooksClient) -> None:
    sandbox.profile.zoho.lag_seconds = 60
    made = books.invoice()
    assert books.call("GET", "/invoices").json()["invoices"] == []
    assert books.read(made)["invoice_id"] == made["invoice_id"]


def test_a_change_comes_late_to_the_queries_that_look_for_changes(sandbox: Sandbox, crm: CrmClient) -> None:
    deal = sandbox.deals.create()
    sandbox.profile.salesforce.lag_seconds = 60
    changed = "SELECT Id FROM Opportunity WHERE IsDeleted = false AND SystemModstamp > 2020-01-01T00:00:00Z"
    assert crm.records(changed) == []
    assert len(crm.records(f"SELECT Id FROM Opportunity WHERE Id = '{deal.id}'")) == 1
    sandbox.clock.advance(61)
    assert len(crm.records(changed)) == 1


@pytest.mark.parametrize(("lifetime", "status"), [("180", 200), ("-1", 400), ("100000", 400)])
def test_an_assertion_may_state_its_end_as_text(crm: CrmClient, lifetime: str, status: int) -> None:
    import time

    assert crm.token(exp=str(int(time.time()) + int(lifetime))).status_code == status


@pytest.mark.parametrize("exp", ["soon", "", [1], {"a": 1}, True])
def test_an_assertion_whose_end_is_no_instant_is_refused(crm: CrmClient, exp: object) -> None:
    answer = crm.token(exp=exp)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
