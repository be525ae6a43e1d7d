"""The stand-in's simulation of an order: as strict as the order itself, and nothing of it is kept."""

import json
from typing import Any

import pytest

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.sap.fields import SIMULATION_FIELDS
from crmsync.lab.sandbox.sap.metadata import parse_field
from tests import specs
from tests.sandbox.clients import ErpClient

SPEC = specs.FOLDER / "s4hana" / "API_SALES_ORDER_SIMULATION_SRV.openapi.json"
PATH = "API_SALES_ORDER_SIMULATION_SRV/A_SalesOrderSimulation"


def body(customer: str, **changes: Any) -> dict[str, Any]:
    price = {"ConditionType": "PPR0", "ConditionRateValue": "12.50", "ConditionCurrency": "USD"}
    item = {"Material": "SENSOR-100", "RequestedQuantity": "3", "to_PricingElement": [price]}
    header = {
        "SalesOrderType": "OR",
        "SalesOrganization": "1010",
        "DistributionChannel": "10",
        "OrganizationDivision": "00",
        "SoldToParty": customer,
        "TransactionCurrency": "USD",
    }
    return {**header, "to_Pricing": {}, "to_Item": {"results": [{**item, **changes.pop("item", {})}]}, **changes}


def simulated(erp: ErpClient, **changes: Any) -> Any:
    return erp.call("POST", PATH, json=body(erp.customer(), **changes))


def test_an_order_is_priced_and_not_kept(erp: ErpClient, sandbox: Sandbox) -> None:
    answer = simulated(erp)

    made = answer.json()["d"]
    assert answer.status_code == 201
    assert made["SalesOrder"] == ""
    assert made["to_Pricing"]["TotalNetAmount"] == "37.50"
    assert [item["SalesOrderItem"] for item in made["to_Item"]["results"]] == ["10"]
    assert "__deferred" in made["to_Credit"]
    assert '"code": "SLS_LORD/098"' in answer.headers["sap-message"]
    assert sandbox.ledger()["orders"] == []


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"SalesOrderType": "ZZ"}, "SalesOrderType"),
        ({"SalesOrganization": "9999"}, "SoldToParty"),
        ({"SalesOrganization": ""}, "SalesOrganization"),
        ({"item": {"Material": "NONE"}}, "Material"),
        ({"item": {"RequestedQuantityUnit": "KG"}}, "RequestedQuantityUnit"),
        ({"item": {"to_PricingElement": [{"ConditionType": "XXXX", "ConditionRateValue": "1"}]}}, "ConditionType"),
        ({"AssignmentReference": "x"}, "AssignmentReference"),
        ({"SoldToParty": "12345678901"}, "SoldToParty"),
    ],
)
def test_what_an_order_is_refused_for_it_is_refused_for(erp: ErpClient, changes: dict[str, Any], target: str) -> None:
    answer = simulated(erp, **changes)

    assert answer.status_code == 400
    assert answer.json()["error"]["innererror"]["errordetails"][0]["target"] == target


def test_it_needs_a_token_and_can_only_be_posted_to(erp: ErpClient, sandbox: Sandbox) -> None:
    assert erp.call("GET", PATH).status_code == 501
    sandbox.sap.access.expire_sessions()
    assert erp.call("POST", PATH, json={}).headers["x-csrf-token"] == "Required"


def test_a_service_that_is_not_arranged_is_not_there(erp: ErpClient, sandbox: Sandbox) -> None:
    sandbox.sap.profile.missing_services = ("API_SALES_ORDER_SIMULATION_SRV",)

    answer = simulated(erp)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "/IWFND/MED/170")


@specs.needs("s4hana")
@pytest.mark.parametrize("name", SIMULATION_FIELDS)
def test_its_fields_agree_with_the_openapi_file(name: str) -> None:
    schemas = json.loads(SPEC.read_text())["components"]["schemas"]
    stated = {field for field in schemas[name]["properties"] if not field.startswith("to_")}
    creatable = {field for field in schemas[f"Create{name}"]["properties"] if not field.startswith("to_")}
    fields = {field.name: field for field in map(parse_field, SIMULATION_FIELDS[name].split())}

    assert set(fields) == stated
    assert {field for field, each in fields.items() if each.writable} == creatable
    for field, each in fields.items():
        assert each.length == schemas[name]["properties"][field].get("maxLength", each.length)
