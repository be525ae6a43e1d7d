"""Clients that others have written against the real vendors work with the stand-ins."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyodata
import pytest
import requests
from simple_salesforce import Salesforce, SalesforceMalformedRequest, SalesforceResourceNotFound

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import ErpClient, order

SERVICES = ("API_BUSINESS_PARTNER", "API_SALES_ORDER_SRV", "API_PRODUCT_SRV", "API_MATERIAL_STOCK_SRV")


# -- simple-salesforce


@pytest.fixture
def salesforce(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Salesforce]:
    """Signed in with a JWT, whose `exp` this client sends as text; it speaks nothing but https by itself."""
    env = sandbox.environment()
    key = tmp_path / "key.pem"
    key.write_text(env["SF_PRIVATE_KEY"])
    with requests.Session() as session:
        session.mount("https://", _Unencrypted(sandbox.salesforce.url))
        found = Salesforce(
            username=env["SF_USERNAME"],
            consumer_key=env["SF_CLIENT_ID"],
            privatekey_file=str(key),
            session=session,
            version="68.0",
        )
        yield found


class _Unencrypted(requests.adapters.HTTPAdapter):
    """Sends what is meant for the vendor's hosts to the stand-in."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        request.url = self._url + "/" + str(request.url).split("/", 3)[3]
        return super().send(request, **options)


def test_simple_salesforce_signs_in_and_queries(sandbox: Sandbox, salesforce: Salesforce) -> None:
    deals = [sandbox.deals.create(name=f"Deal {number}").id for number in range(3)]
    sandbox.profile.salesforce.page_size = 2
    found = salesforce.query_all("SELECT Id, Name, Account.Name FROM Opportunity ORDER BY Name")
    assert [row["Id"] for row in found["records"]] == deals
    assert found["done"]


def test_simple_salesforce_writes_rows(salesforce: Salesforce) -> None:
    made = salesforce.Account.create({"Name": "Fjord Foods"})
    assert salesforce.Account.get(made["id"])["Name"] == "Fjord Foods"
    assert salesforce.Account.update(made["id"], {"Name": "Fjord"}) == 204
    assert "Name" in {field["name"] for field in salesforce.Account.describe()["fields"]}
    assert salesforce.Account.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        salesforce.Account.get(made["id"])
    with pytest.raises(SalesforceMalformedRequest, match="No such column"):
        salesforce.Account.create({"Names": "x"})


def test_simple_salesforce_runs_a_bulk_job(salesforce: Salesforce) -> None:
    rows = [{"Name": f"Product {number}", "ProductCode": f"P-{number}"} for number in range(3)]
    (job,) = salesforce.bulk2.Product2.insert(records=rows, wait=0.01)
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (3, 0)
    assert salesforce.bulk2.Product2.get_successful_records(job["job_id"]).count("P-") == 3


def test_simple_salesforce_writes_collections(salesforce: Salesforce) -> None:
    body = {"allOrNone": False, "records": [{"attributes": {"type": "Account"}, "Name": name} for name in ("A", "B")]}
    made = salesforce.restful("composite/sobjects", method="POST", json=body)
    assert [one["success"] for one in made] == [True, True]


# -- pyodata


@pytest.fixture
def clients(erp: ErpClient) -> dict[str, Any]:
    return {name: pyodata.Client(erp.url(f"{name}/"), erp.session) for name in SERVICES}


def test_pyodata_reads_the_metadata_of_every_service(clients: dict[str, Any]) -> None:
    for client in clients.values():
        for entity_set in client.schema.entity_sets:
            for link in entity_set.entity_type.nav_proprties:
                assert client.schema.entity_set(link.to_role.entity_type_name.removesuffix("Type"))


def test_pyodata_makes_an_order_and_reads_it_with_its_items(erp: ErpClient, clients: dict[str, Any]) -> None:
    orders = clients["API_SALES_ORDER_SRV"].entity_sets.A_SalesOrder
    body = order(erp.customer())
    made = orders.create_entity().set(**body).execute()
    shown = orders.get_entity(SalesOrder=made.SalesOrder).expand("to_Item").execute()
    assert [one.Material for one in shown.to_Item] == ["SENSOR-100"]
    assert Decimal(shown.TotalNetAmount) == Decimal("47000.00")


def test_pyodata_finds_counts_and_pages(erp: ErpClient, clients: dict[str, Any]) -> None:
    number = erp.order()["SalesOrder"]
    orders = clients["API_SALES_ORDER_SRV"].entity_sets.A_SalesOrder
    request = orders.get_entities()
    found = request.filter(request.PurchaseOrderByCustomer == "CRM-D-88123").select("SalesOrder").execute()
    assert [one.SalesOrder for one in found] == [number]
    assert orders.get_entities().count().execute() == 1


def test_pyodata_selects_stars_and_paths(erp: ErpClient, clients: dict[str, Any]) -> None:
    erp.order()
    request = clients["API_SALES_ORDER_SRV"].entity_sets.A_SalesOrder.get_entities()
    (found,) = request.select("*,to_Item/*").expand("to_Item").execute()
    assert found.to_Item[0].RequestedQuantityUnit


def test_pyodata_changes_an_order_under_its_etag(erp: ErpClient, clients: dict[str, Any]) -> None:
    number = erp.order()["SalesOrder"]
    orders = clients["API_SALES_ORDER_SRV"].entity_sets.A_SalesOrder
    change = orders.update_entity(SalesOrder=number).set(DeliveryBlockReason="01")
    with pytest.raises(pyodata.exceptions.HttpError):
        change.execute()
    erp.session.headers["If-Match"] = "*"
    change.execute()
    assert orders.get_entity(SalesOrder=number).execute().DeliveryBlockReason == "01"
