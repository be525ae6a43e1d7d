"""The check against SAP's metadata can fail: each of these requests holds one mistake that it must see."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.specs import needs

from . import specs
from .conftest import ORDERS, PARTNERS, STOCK

pytestmark = needs("s4hana")

PRICE = {"ConditionType": "PPR0", "ConditionRateValue": "12.50", "ConditionQuantity": "1"}

# path, body → what is said
BODIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown": (f"{ORDERS}/A_SalesOrder", {"NetPriceAmount": "1"}, "NetPriceAmount does not exist"),
    "read-only": (f"{ORDERS}/A_SalesOrder", {"ExternalDocumentID": "1"}, "is read-only"),
    "too long": (f"{ORDERS}/A_SalesOrder", {"PurchaseOrderByCustomer": "x" * 36}, "is too long"),
    "empty": (f"{ORDERS}/A_SalesOrder", {"PurchaseOrderByCustomer": ""}, "is empty"),
    "number": (f"{ORDERS}/A_SalesOrder", {"to_Item": [{"RequestedQuantity": 2}]}, "is no string"),
    "exponent": (f"{ORDERS}/A_SalesOrder", {"to_Item": [{"RequestedQuantity": "2E+2"}]}, "does not fit"),
    "per half a unit": (
        f"{ORDERS}/A_SalesOrder",
        {"to_Item": [{"to_PricingElement": [{**PRICE, "ConditionQuantity": "2.5"}]}]},
        "does not fit",
    ),
    "shape": (f"{ORDERS}/A_SalesOrder", {"to_Item": {"Material": "X"}}, "has the wrong shape"),
    "below a key": (f"{PARTNERS}/A_BusinessPartner('1')/to_BusinessPartnerRole", {"Role": "X"}, "does not exist"),
}

# options → what is said
QUERIES = {
    "select": ({"$select": "SalesOrder,Total"}, "$select: Total"),
    "orderby": ({"$orderby": "Number"}, "$orderby: Number"),
    "filter": ({"$filter": "PurchaseOrder eq 'x'"}, "$filter: PurchaseOrder"),
    "filter too long": ({"$filter": f"SoldToParty eq '{'1' * 11}'"}, "too long"),
    "quote": ({"$filter": "SoldToParty eq 'O'Brien'"}, "can't be read"),
    "expand": ({"$expand": "to_Item/to_Nothing"}, "$expand: to_Nothing"),
    "option": ({"$search": "x"}, "$search is no option"),
}


@pytest.mark.parametrize(("url", "body", "said"), BODIES.values(), ids=BODIES)
def test_a_wrong_body_is_seen(url: str, body: dict[str, Any], said: str) -> None:
    (problem,) = specs.problems(requests.Request("POST", url, json=body).prepare())

    assert said in problem


@pytest.mark.parametrize(("params", "said"), QUERIES.values(), ids=QUERIES)
def test_a_wrong_query_is_seen(params: dict[str, str], said: str) -> None:
    (problem,) = specs.problems(requests.Request("GET", f"{ORDERS}/A_SalesOrder", params=params).prepare())

    assert said in problem


# options of A_MatlStkInAcctMod, which is described in OpenAPI → what is said
STOCK_QUERIES = {
    "select": ({"$select": "Material,QuantityOnHand"}, "$select: QuantityOnHand"),
    "filter": ({"$filter": "StockType eq '01'"}, "$filter: StockType"),
    "group": ({"$filter": "Material eq 'X' and (Plant eq '1010' or Plant eq '10100')"}, "Plant is too long"),
    "open group": ({"$filter": "(Plant eq '1010' or Plant eq '1020'"}, "can't be read"),
}


@pytest.mark.parametrize(("params", "said"), STOCK_QUERIES.values(), ids=STOCK_QUERIES)
def test_a_wrong_query_of_stock_is_seen(params: dict[str, str], said: str) -> None:
    (problem,) = specs.problems(requests.Request("GET", f"{STOCK}/A_MatlStkInAcctMod", params=params).prepare())

    assert said in problem
