"""What the stand-ins refuse as the vendors do, and what they say of things that only they lack."""

from typing import Any

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient, item


def run_job(crm: CrmClient, operation: str, csv: str) -> tuple[str, dict[str, Any]]:
    """A bulk job on products, worked off: its path, and how it ended."""
    job = crm.call("POST", "/jobs/ingest", json={"object": "Product2", "operation": operation}).json()
    path = f"/jobs/ingest/{job['id']}"
    crm.call("PUT", f"{path}/batches", data=csv, headers={"Content-Type": "text/csv"})
    crm.call("PATCH", path, json={"state": "UploadComplete"})
    while (job := crm.call("GET", path).json())["state"] not in ("JobComplete", "Failed"):
        pass
    return path, job


@pytest.mark.parametrize("column", ["Nothing__c", "Names", "Account.Name", "Owner.Nothing", ""])
def test_an_unknown_column_fails_a_bulk_job_as_a_whole(crm: CrmClient, column: str) -> None:
    csv = f"Name,{column}\nA,1\nB,2\n"
    path, job = run_job(crm, "insert", csv)
    assert (job["state"], job["errorMessage"]) == ("Failed", f"InvalidBatch : Field name not found : {column}")
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (0, 0)
    assert crm.call("GET", f"{path}/unprocessedrecords").text == csv
    assert crm.call("GET", f"{path}/successfulResults").text.count("\n") == 1
    assert not [one for one in crm.records("SELECT Name FROM Product2") if one["Name"] in "AB"]


def test_a_bulk_job_whose_columns_are_known_in_another_case_is_done(crm: CrmClient) -> None:
    _, job = run_job(crm, "insert", "name,PRODUCTCODE\nA,A-1\n")
    assert (job["state"], job["numberRecordsProcessed"]) == ("JobComplete", 1)
    assert "errorMessage" not in job


def said(answer: requests.Response) -> tuple[int, str]:
    """The status, and what the sandbox says of itself."""
    return answer.status_code, answer.json().get("sandbox") if isinstance(answer.json(), dict) else ""


NOT_OFFERED = (501, "the sandbox does not offer this")


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT StageName, COUNT(Id) FROM Opportunity GROUP BY StageName",
        "SELECT COUNT(Id) FROM Opportunity",
        "SELECT SUM(Amount) FROM Opportunity",
        "SELECT FIELDS(ALL) FROM Account LIMIT 200",
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Opportunity)",
        "SELECT TYPEOF What WHEN Account THEN Name END FROM Event",
        "SELECT Id FROM Account WITH SECURITY_ENFORCED",
        "SELECT Id FROM Account FOR UPDATE",
        "SELECT Id FROM Account ALL ROWS",
        "SELECT toLabel(StageName) FROM Opportunity",
        "SELECT Id FROM Opportunity WHERE CloseDate = LAST_MONTH",
        "SELECT Id FROM Opportunity WHERE CloseDate > LAST_N_MONTHS:3",
        "SELECT Id FROM Opportunity WHERE StageName INCLUDES ('a')",
        "SELECT Id FROM Account USING SCOPE mine",
        "SELECT Id FROM Account a WHERE a.Name = 'x'",
        "SELECT a.Id FROM Account a",
    ],
)
def test_soql_that_only_the_stand_in_does_not_know_is_not_refused_as_wrong(crm: CrmClient, soql: str) -> None:
    assert said(crm.query(soql)) == NOT_OFFERED


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/search/?q=FIND+{x}"),
        ("GET", "/sobjects"),
        ("GET", "/sobjects/Account"),
        ("GET", "/sobjects/Account/updated/?start=x&end=y"),
        ("POST", "/composite/batch"),
        ("POST", "/composite/tree/Account"),
        ("POST", "/jobs/query"),
        ("GET", "/tooling/query/?q=x"),
        ("GET", "/ui-api/object-info"),
        ("GET", "/query?explain=x"),
        ("POST", "/sobjects/Account/001?_HttpMethod=PATCH"),
        ("GET", "/sobjects/Product2/ProductCode/SENSOR-100"),
        ("GET", "/sobjects/Account/001/Contacts"),
        ("GET", "/composite/sobjects/Account?ids=001"),
        ("GET", "/composite"),
    ],
)
def test_resources_of_salesforce_that_are_not_served_say_so(crm: CrmClient, method: str, path: str) -> None:
    assert said(crm.call(method, path)) == NOT_OFFERED


@pytest.mark.parametrize(
    "path",
    [
        "API_BILLING_DOCUMENT_SRV/A_BillingDocument",
        "API_BUSINESS_PARTNER/A_Supplier",
        "API_SALES_ORDER_SRV/A_SalesOrder?$expand=to_PaymentPlanItemDetails",
        "API_SALES_ORDER_SRV/A_SalesOrder?$filter=year(SalesOrderDate) eq 2026",
        "API_SALES_ORDER_SRV/A_SalesOrder?$filter=tolower(SoldToParty) eq 'a'",
        "API_PRODUCT_SRV/A_Product('SENSOR-100')/to_Plant",
        "API_SALES_ORDER_SRV/A_SalesOrder('1')/TotalNetAmount",
        "API_SALES_ORDER_SRV/A_SalesOrder('1')/TotalNetAmount/$value",
        "API_SALES_ORDER_SRV/A_SalesOrder('1')/$links/to_Item",
        "API_SALES_ORDER_SRV/A_SalesOrder('1')/to_Item(SalesOrder='1',SalesOrderItem='10')",
        "API_SALES_ORDER_SRV/A_SalesOrder('1')/to_Item/to_PricingElement",
        "../../odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001/SalesOrder",
    ],
)
def test_what_sap_has_and_the_stand_in_has_not_says_so(erp: ErpClient, path: str) -> None:
    assert said(erp.call("GET", path)) == NOT_OFFERED


def test_a_batch_of_sap_is_not_offered(erp: ErpClient) -> None:
    assert said(erp.call("POST", "API_SALES_ORDER_SRV/$batch")) == NOT_OFFERED
    body = {"SalesOrderType": "OR", "to_PaymentPlanItemDetails": []}
    assert said(erp.call("POST", "API_SALES_ORDER_SRV/A_SalesOrder", json=body)) == NOT_OFFERED


@pytest.mark.parametrize(
    "path", ["/salesorders", "/estimates/1", "/bills", "/invoices/1/attachment", "/settings/templates"]
)
def test_what_books_has_and_the_stand_in_has_not_says_so(books: BooksClient, path: str) -> None:
    assert said(books.call("GET", path)) == NOT_OFFERED


def test_what_no_vendor_knows_is_refused_as_the_vendor_does(crm: CrmClient, erp: ErpClient, books: BooksClient) -> None:
    assert crm.call("GET", "/nothing").json()[0]["errorCode"] == "NOT_FOUND"
    assert crm.query("SELECT Id FORM Account").json()[0]["errorCode"] == "MALFORMED_QUERY"
    assert erp.call("GET", "API_SALES_ORDER_SRV/A_Nothing").status_code == 404
    assert erp.call("GET", "API_SALES_ORDER_SRV/A_SalesOrder?$filter=x(Y) eq 1").status_code == 400
    assert erp.call("GET", "ZMY_SERVICE/A_Nothing").json()["error"]["code"] == "/IWFND/MED/170"
    assert books.call("GET", "/nothing").json()["code"] == 5


def order_with(erp: ErpClient, options: str) -> dict[str, Any]:
    number = erp.order()["SalesOrder"]
    answer = erp.call("GET", f"API_SALES_ORDER_SRV/A_SalesOrder('{number}')?{options}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["d"]
    return found


def test_a_selection_may_have_stars_and_paths(erp: ErpClient) -> None:
    shown = order_with(erp, "$select=*,to_Item/*&$expand=to_Item")
    assert shown["PurchaseOrderByCustomer"] == "CRM-D-88123"
    assert shown["to_Item"]["results"][0]["Material"] == "SENSOR-100"
    assert "to_Partner" not in shown
    assert "to_PricingElement" not in shown["to_Item"]["results"][0]


def test_a_selection_reaches_behind_links(erp: ErpClient) -> None:
    paths = "to_Item/Material,to_Item/to_PricingElement/ConditionType"
    shown = order_with(erp, f"$select=SalesOrder,{paths}&$expand=to_Item/to_PricingElement")
    assert set(shown) == {"__metadata", "SalesOrder", "to_Item"}
    (row,) = shown["to_Item"]["results"]
    assert set(row) == {"__metadata", "Material", "to_PricingElement"}
    assert [set(one) for one in row["to_PricingElement"]["results"]] == [{"__metadata", "ConditionType"}]


def test_a_link_that_is_not_selected_is_not_shown(erp: ErpClient) -> None:
    assert "to_Item" not in order_with(erp, "$select=SalesOrder&$expand=to_Item")
    assert "to_Item" not in order_with(erp, "$select=*&$expand=to_Item")


@pytest.mark.parametrize(
    "options", ["$select=to_Item/Nothing&$expand=to_Item", "$select=to_Item/Material", "$select=x/*"]
)
def test_a_selection_of_what_is_not_there_is_refused(sandbox: Sandbox, erp: ErpClient, options: str) -> None:
    number = erp.order()["SalesOrder"]
    assert erp.call("GET", f"API_SALES_ORDER_SRV/A_SalesOrder('{number}')?{options}").status_code in (400, 404)


@pytest.mark.parametrize("option", ["$inlinecount=all", "$format=csv", "$top=²", "$orderby=SalesOrder up"])
def test_an_option_that_means_nothing_is_refused(erp: ErpClient, option: str) -> None:
    assert erp.call("GET", f"API_SALES_ORDER_SRV/A_SalesOrder?{option}").status_code == 400


def test_a_method_in_a_header_is_not_taken_for_a_create(erp: ErpClient) -> None:
    before = erp.order()
    headers = {"X-HTTP-Method": "MERGE", "If-Match": "*"}
    address = f"API_SALES_ORDER_SRV/A_SalesOrder('{before['SalesOrder']}')"
    assert said(erp.call("POST", address, json={"DeliveryBlockReason": "01"}, headers=headers)) == NOT_OFFERED


def test_what_replaces_all_of_an_order_is_not_taken_for_a_change_of_some(erp: ErpClient) -> None:
    address = f"API_SALES_ORDER_SRV/A_SalesOrder('{erp.order()['SalesOrder']}')"
    answer = erp.call("PUT", address, json={"DeliveryBlockReason": "01"}, headers={"If-Match": "*"})
    assert said(answer) == NOT_OFFERED


def test_an_order_is_given_only_to_a_customer_of_its_sales_area(erp: ErpClient) -> None:
    address, headers = f"API_SALES_ORDER_SRV/A_SalesOrder('{erp.order()['SalesOrder']}')", {"If-Match": "*"}
    assert erp.call("PATCH", address, json={"SoldToParty": "999"}, headers=headers).status_code == 400
    assert erp.call("PATCH", address, json={"SoldToParty": erp.customer()}, headers=headers).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/sobjects/Account/001"), ("POST", "/query?q=x"), ("DELETE", "/limits")]
)
def test_a_method_that_salesforce_does_not_know_there_is_named(crm: CrmClient, method: str, path: str) -> None:
    answer = crm.call(method, path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")


def test_parts_of_a_composite_have_names_of_their_own(crm: CrmClient) -> None:
    def asked(*names: str) -> int:
        parts = [{"method": "GET", "url": "/services/data/v68.0/limits", "referenceId": name} for name in names]
        return crm.call("POST", "/composite", json={"compositeRequest": parts}).status_code

    assert [asked("a", "b"), asked("a", "a"), asked("a b"), asked("")] == [200, 400, 400, 400]


@pytest.mark.parametrize("path", ["/composite", "/composite/sobjects", "/jobs/ingest"])
def test_json_that_is_not_called_so_is_not_taken(crm: CrmClient, path: str) -> None:
    assert crm.call("POST", path, data="{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_an_order_without_first_or_last_is_malformed(crm: CrmClient) -> None:
    assert crm.query("SELECT Id FROM Account ORDER BY Name NULLS").json()[0]["errorCode"] == "MALFORMED_QUERY"
    assert crm.query("SELECT Id FROM Account ORDER BY Name NULLS LAST").status_code == 200


# -- accounts, documents and numbers as they may be


def test_a_token_without_a_scope_is_refused_as_a_dead_one_is(sandbox: Sandbox, books: BooksClient) -> None:
    sandbox.profile.zoho.scopes = ("ZohoBooks.contacts.ALL", "ZohoBooks.invoices.READ", "zohobooks.settings.read")
    books.sign_in()
    assert books.call("GET", "/customerpayments").json()["code"] == 57
    assert books.call("POST", "/invoices", json={}).status_code == 401
    for path in ("/contacts", "/invoices", "/items", "/organizations", "/settings/currencies"):
        assert books.call("GET", path).status_code == 200
    assert books.call("POST", "/contacts", json={"contact_name": "Elm"}).status_code == 201
    assert "invoices.READ" in books.token().json()["scope"]


def test_an_account_of_another_data_centre_is_named_and_its_tokens_are_unknown(
    sandbox: Sandbox, books: BooksClient
) -> None:
    sandbox.profile.zoho.api_domain = "https://www.zohoapis.eu"
    assert books.token().json()["api_domain"] == "https://www.zohoapis.eu"
    answer = books.call("GET", "/contacts")
    assert (answer.status_code, answer.json()["code"]) == (401, 14)


def test_an_assertion_may_have_to_be_meant_for_the_login_host(sandbox: Sandbox, crm: CrmClient) -> None:
    assert crm.token(aud=crm.env["SF_LOGIN_URL"]).status_code == 200
    sandbox.profile.salesforce.audiences = ("https://test.salesforce.com",)
    answer = crm.token(aud=crm.env["SF_LOGIN_URL"])
    assert (answer.status_code, answer.json()["error_description"]) == (400, "audience is invalid")
    assert crm.token(aud="https://test.salesforce.com").status_code == 200


def test_all_products_may_be_refused_with_a_text_each(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.products.refuse("*", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message="x" * 700)
    rows = crm.records("SELECT Id FROM Product2")
    path, job = run_job(crm, "update", "Id,Available_Stock__c\n" + "".join(f"{row['Id']},1\n" for row in rows))
    assert (job["state"], job["numberRecordsFailed"]) == ("JobComplete", len(rows))
    assert len(crm.call("GET", f"{path}/failedResults").content) > 700 * len(rows)
    sandbox.products.accept("*")
    _, job = run_job(crm, "update", f"Id,Available_Stock__c\n{rows[0]['Id']},1\n")
    assert job["numberRecordsFailed"] == 0


def test_customers_are_shown_with_their_zeros_and_found_with_and_without(sandbox: Sandbox, erp: ErpClient) -> None:
    number = erp.order()["SoldToParty"]
    sandbox.profile.sap.padded_customers = True
    shown = erp.call("GET", f"API_BUSINESS_PARTNER/A_BusinessPartner('{number}')").json()["d"]
    assert shown["BusinessPartner"] == shown["Customer"] == number.zfill(10)
    assert number.zfill(10) in shown["__metadata"]["uri"]
    address = f"API_SALES_ORDER_SRV/A_SalesOrder?$filter=SoldToParty eq '{number.zfill(10)}'"
    assert [one["SoldToParty"] for one in erp.call("GET", address).json()["d"]["results"]] == [number.zfill(10)]


def test_an_expanded_link_goes_on_elsewhere(sandbox: Sandbox, erp: ErpClient) -> None:
    sandbox.profile.sap.expanded_page_size = 2
    made = erp.order(to_Item=[item(), item(), item()])
    options = "$expand=to_Item&$select=SalesOrder,to_Item/Material"
    address = f"API_SALES_ORDER_SRV/A_SalesOrder('{made['SalesOrder']}')?{options}"
    items = erp.call("GET", address).json()["d"]["to_Item"]
    assert len(items["results"]) == 2
    more = erp.session.get(items["__next"], timeout=10).json()["d"]["results"]
    assert [set(one) for one in more] == [{"__metadata", "Material"}]


def test_an_invoice_is_covered_by_a_credit_note_or_written_off(sandbox: Sandbox, books: BooksClient) -> None:
    contact = books.contact()["contact_id"]
    whole, part, cents = (books.invoice(contact) for _ in range(3))
    sandbox.invoices.credit(whole["invoice_id"])
    shown = books.read(whole)
    assert (shown["status"], shown["balance"], shown["credits_applied"]) == ("paid", 0, 100)
    sandbox.invoices.credit(part["invoice_number"], 40)
    assert books.read(part)["balance"] == 60
    assert books.call("POST", f"/invoices/{cents['invoice_id']}/writeoff").status_code == 400
    books.call("POST", f"/invoices/{cents['invoice_id']}/status/sent")
    sandbox.invoices.write_off(cents["invoice_id"])
    shown = books.read(cents)
    assert (shown["status"], shown["balance"], shown["write_off_amount"]) == ("paid", 0, 100)
    assert books.call("POST", f"/invoices/{cents['invoice_id']}/writeoff/cancel").status_code == 200
    assert books.read(cents)["balance"] == 100


def test_what_a_customer_withholds_as_tax_settles_an_invoice(sandbox: Sandbox, books: BooksClient) -> None:
    made = books.invoice()
    part = {"invoice_id": made["invoice_id"], "amount_applied": 90, "tax_amount_withheld": 10}
    body = {"customer_id": made["customer_id"], "payment_mode": "banktransfer", "amount": 90, "date": "2026-11-20"}
    too_much = {**body, "invoices": [{**part, "tax_amount_withheld": 11}]}
    assert books.call("POST", "/customerpayments", json=too_much).json()["code"] == 24017
    payment = books.call("POST", "/customerpayments", json={**body, "invoices": [part]}).json()["payment"]
    assert payment["invoices"][0]["tax_amount_withheld"] == 10
    shown = books.read(made)
    told = (shown["status"], shown["balance"], shown["payment_made"], shown["tax_amount_withheld"])
    assert told == ("paid", 0, 90, 10)
    assert books.call("DELETE", f"/customerpayments/{payment['payment_id']}").status_code == 200
    assert (books.read(made)["balance"], books.read(made)["tax_amount_withheld"]) == (100, 0)


def test_documents_are_credited_through_the_control_api(sandbox: Sandbox, books: BooksClient) -> None:
    made = books.invoice()
    url = f"{sandbox.control_url}/control/invoices/{made['invoice_number']}"
    assert requests.post(f"{url}/credit", json={"amount": "99.99"}, timeout=5).json()["creditnote_id"]
    assert requests.post(f"{url}/write-off", timeout=5).status_code == 200
    assert books.read(made)["balance"] == 0
