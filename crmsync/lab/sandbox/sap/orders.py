"""Sales orders: who may order what, numbering, and prices that come from conditions alone.

Source: shared fact sheet, section 4. There is no duplicate check on the customer's reference: two equal posts make two
orders. Codes that start with SANDBOX/ stand for message numbers nobody has published.
"""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import quote

from crmsync.lab.sandbox.kernel.http import NotOffered, Request, Response, decimals
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.sap.access import ODataError, not_found
from crmsync.lab.sandbox.sap.fields import SIMULATION_FIELDS
from crmsync.lab.sandbox.sap.metadata import Entity, Nav, Row, Tables, entities, parse_field
from crmsync.lab.sandbox.sap.products import CONDITIONS, amount, net_amount, places
from crmsync.lab.sandbox.sap.reading import formatted, needs_json
from crmsync.lab.sandbox.sap.values import Draft, body_of, inherit, read_row, show

ORDER_TYPES = ("OR", "TA", "RE", "CR", "DR")
REJECTION_REASONS = ("00", "01", "02", "03", "10", "50")


def refused(message: str, target: str = "", code: str = "SANDBOX/100") -> ODataError:
    return ODataError(message, code, target=target)


class Orders:
    """Creates, changes and prices sales orders in the tables of one system."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._numbers = count(4711)

    def create(self, draft: Draft) -> Row:
        """Post an order with its items. Raises ODataError before anything is kept."""
        self._check_header(draft.row)
        for item in draft.under("to_Item"):
            self._check_item(item, draft.row)
        draft.row["SalesOrder"] = str(next(self._numbers))
        self._complete(draft)
        for one in draft.walk():
            self._tables[one.entity.name].insert(one.row)
        self.refresh(draft.row)
        return draft.row

    def simulate(self, draft: Draft) -> Decimal:
        """Check and price an order with its items as create() does, and keep nothing; returns its net amount.

        Raises ODataError.
        """
        self._check_header(draft.row)
        for item in draft.under("to_Item"):
            self._check_item(item, draft.row)
        for position, item in enumerate(draft.under("to_Item"), 1):
            self._complete_item(item, position * 10, {**draft.row, "SalesOrder": ""})
            item.row["NetAmount"] = net_amount(item.row, [one.row for one in item.under("to_PricingElement")])
        total = sum((item.row["NetAmount"] for item in draft.under("to_Item")), Decimal(0))
        return amount(total, draft.row["TransactionCurrency"])

    def _check_header(self, row: Row) -> None:
        for name in (
            "SalesOrderType",
            "SalesOrganization",
            "DistributionChannel",
            "OrganizationDivision",
            "SoldToParty",
        ):
            if not row.get(name):
                raise refused(f"Fill in required field {name}", name)
        if row["SalesOrderType"] not in ORDER_TYPES:
            raise refused(f"Sales document type {row['SalesOrderType']} is not defined", "SalesOrderType", "V1/321")
        area = self.sales_area(row)
        row["TransactionCurrency"] = row.get("TransactionCurrency") or area["Currency"]

    def sales_area(self, row: Row) -> Row:
        """The customer's sales area for exactly the order's; it must have one, and the sales role."""
        customer = row["SoldToParty"]
        partner = next(iter(self._tables["A_BusinessPartner"].where(("Customer",), (customer,))), None)
        if partner is None:
            raise refused(f"Sold-to party {customer} not found", "SoldToParty", "V1/042")
        if not self._tables["A_BusinessPartnerRole"].get((partner["BusinessPartner"], "FLCU01")):
            raise refused(f"Customer {customer} is no sales customer (role FLCU01)", "SoldToParty")
        if partner.get("BusinessPartnerIsBlocked"):
            raise refused(f"Customer {customer} is blocked", "SoldToParty")
        names = (row["SalesOrganization"], row["DistributionChannel"], row["OrganizationDivision"])
        area = self._tables["A_CustomerSalesArea"].get((customer, *names))
        if area is None:
            raise refused(f"Customer {customer} is not defined in sales area {' '.join(names)}", "SoldToParty")
        return area

    def _check_item(self, item: Draft, header: Row) -> None:
        material = item.row.get("Material", "")
        product = self._tables["A_Product"].get((material,))
        if product is None or product.get("IsMarkedForDeletion"):
            raise refused(
                f"Material {material} is not defined for sales org. {header['SalesOrganization']}", "Material"
            )
        if (item.row.get("RequestedQuantity") or 0) <= 0:
            raise refused("Enter an order quantity", "RequestedQuantity")
        unit = item.row.get("RequestedQuantityUnit") or product["BaseUnit"]
        if unit != product["BaseUnit"]:
            raise refused(f"Unit {unit} is not defined for material {material}", "RequestedQuantityUnit")
        for element in item.under("to_PricingElement"):
            check_element(element.row, header)

    def _complete(self, draft: Draft) -> None:
        now = self._clock.now()
        draft.row.setdefault("SalesOrderDate", _day(now))
        draft.row |= {"CreationDate": _day(now), "CreatedByUser": "CRMSYNC", "LastChangeDateTime": now}
        inherit(draft)
        for position, item in enumerate(draft.under("to_Item"), 1):
            self._complete_item(item, position * 10, draft.row)
        self._partners(draft)

    def _partners(self, draft: Draft) -> None:
        given = {one.row.get("PartnerFunction") for one in draft.under("to_Partner")}
        entity = entities()["A_SalesOrderHeaderPartner"]
        for name in {"SP", "SH", "BP", "PY"} - given:
            row = {"SalesOrder": draft.row["SalesOrder"], "PartnerFunction": name, "Customer": draft.row["SoldToParty"]}
            draft.children.setdefault("to_Partner", []).append(Draft(entity, row))

    def _complete_item(self, item: Draft, number: int, header: Row) -> None:
        """Items are renumbered 10, 20 …, whatever number was sent."""
        row, product = item.row, self._tables["A_Product"].get((item.row["Material"],)) or {}
        row |= {"SalesOrder": header["SalesOrder"], "SalesOrderItem": str(number)}
        row.setdefault("SalesOrderItemText", f"{product.get('ProductOldID') or row['Material']}"[:40])
        row["RequestedQuantityUnit"] = row.get("RequestedQuantityUnit") or product["BaseUnit"]
        row |= {"TransactionCurrency": header["TransactionCurrency"], "SDProcessStatus": "A", "DeliveryStatus": "A"}
        row |= {"SalesOrderItemCategory": row.get("SalesOrderItemCategory") or "TAN"}
        self._automatic_price(item, product)
        inherit(item)
        for step, element in enumerate(item.under("to_PricingElement"), 1):
            complete_element(element.row, row, step)

    def _automatic_price(self, item: Draft, product: Row) -> None:
        """Where no price element was sent, the price list answers; a sent PPR0 replaces it."""
        types = {element.row.get("ConditionType") for element in item.under("to_PricingElement")}
        if "PPR0" in types or product.get("_price") is None:
            return
        row = {"ConditionType": "PPR0", "ConditionRateValue": product["_price"], "ConditionQuantity": Decimal(1)}
        item.children.setdefault("to_PricingElement", []).append(Draft(entities()["A_SalesOrderItemPrElement"], row))

    def add_item(self, order: Row, item: Draft) -> Row:
        """Add an item to an order that exists."""
        self._check_item(item, order)
        numbers = [int(row["SalesOrderItem"]) for row in self.items(order)]
        self._complete_item(item, max(numbers, default=0) + 10, order)
        for one in item.walk():
            self._tables[one.entity.name].insert(one.row)
        self.refresh(order)
        return item.row

    def add_element(self, order: Row, item: Row, element: Draft) -> Row:
        """Add a pricing element to an item; a second element of one type is refused."""
        check_element(element.row, order)
        present = self._elements(item)
        if any(one["ConditionType"] == element.row["ConditionType"] for one in present):
            raise refused(f"Condition {element.row['ConditionType']} already exists", "ConditionType")
        complete_element(element.row, item, len(present) + 1)
        self._tables[element.entity.name].insert(element.row)
        self.refresh(order)
        return element.row

    def items(self, order: Row) -> list[Row]:
        return self._tables["A_SalesOrderItem"].where(("SalesOrder",), (order["SalesOrder"],))

    def _elements(self, item: Row) -> list[Row]:
        key = (item["SalesOrder"], item["SalesOrderItem"])
        return self._tables["A_SalesOrderItemPrElement"].where(("SalesOrder", "SalesOrderItem"), key)

    def refresh(self, order: Row) -> None:
        """Price the items again and move the header's totals, statuses and change stamp."""
        items = self.items(order)
        for item in items:
            item["NetAmount"] = net_amount(item, self._elements(item))
        rejected = [bool(item.get("SalesDocumentRjcnReason")) for item in items]
        total = sum((item["NetAmount"] for item, out in zip(items, rejected, strict=True) if not out), Decimal(0))
        order["TotalNetAmount"] = amount(total, order["TransactionCurrency"])
        order["OverallSDProcessStatus"] = "C" if rejected and all(rejected) else "A"
        order["OverallSDDocumentRejectionSts"] = rejection_status(rejected)
        self._stamp(order)

    def _stamp(self, order: Row) -> None:
        now = max(self._clock.now(), order["LastChangeDateTime"] + timedelta(microseconds=1))
        order |= {"LastChangeDateTime": now, "LastChangeDate": _day(now)}

    def delete(self, order: Row) -> None:
        for name in ("A_SalesOrderItemPrElement", "A_SalesOrderItem", "A_SalesOrderHeaderPartner", "A_SalesOrderText"):
            for row in self._tables[name].where(("SalesOrder",), (order["SalesOrder"],)):
                self._tables[name].delete(row)
        self._tables["A_SalesOrder"].delete(order)


def _day(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def check_element(row: Row, header: Row) -> None:
    """A condition must be of a known type, have a rate, and be in the order's currency."""
    kind, currency = row.get("ConditionType", ""), header["TransactionCurrency"]
    if kind not in CONDITIONS:
        raise refused(f"Condition type {kind!r} is not in the pricing procedure", "ConditionType")
    if row.get("ConditionRateValue") is None:
        raise refused("Enter a condition rate", "ConditionRateValue")
    if CONDITIONS[kind] != "percent" and (row.get("ConditionCurrency") or currency) != currency:
        raise refused(f"Enter rate {row['ConditionCurrency']}/{currency} for rate type M", "ConditionCurrency")
    if "ConditionQuantity" in row and row["ConditionQuantity"] <= 0:
        raise refused("Enter a pricing quantity", "ConditionQuantity")
    check_rate(kind, row["ConditionRateValue"], currency)


def check_rate(kind: str, rate: Decimal, currency: str) -> None:
    """An amount may have no more decimals than its currency (KBA 3450476), though the field holds nine."""
    if CONDITIONS[kind] != "percent" and decimals(rate) > places(currency):
        digits = "," + "_" * places(currency) if places(currency) else ""
        raise refused(f"Input must be in the format ___.___.__~{digits}V", "ConditionRateValue", "00/088")


def complete_element(row: Row, item: Row, step: int) -> None:
    currency = "" if CONDITIONS[row["ConditionType"]] == "percent" else item["TransactionCurrency"]
    row |= {"SalesOrder": item["SalesOrder"], "SalesOrderItem": item["SalesOrderItem"]}
    row |= {"PricingProcedureStep": str(step * 10), "PricingProcedureCounter": "1", "ConditionCurrency": currency}
    row |= {"TransactionCurrency": item["TransactionCurrency"], "ConditionIsManuallyChanged": True}
    if CONDITIONS[row["ConditionType"]] == "price":
        row.setdefault("ConditionQuantity", Decimal(1))
        row["ConditionQuantityUnit"] = row.get("ConditionQuantityUnit") or item["RequestedQuantityUnit"]


def rejection_status(rejected: list[bool]) -> str:
    """A nothing rejected, B some items, C all.

    >>> rejection_status([True, False])
    'B'
    """
    if not any(rejected):
        return "A"
    return "C" if all(rejected) else "B"


# API_SALES_ORDER_SIMULATION_SRV: an order that is checked and priced like any other, and kept nowhere.
#
# Source: the vendor's OpenAPI file, and recorded answers that are public.


SIMULATION = "API_SALES_ORDER_SIMULATION_SRV"
HEADER, ITEM = "A_SalesOrderSimulation", "A_SalesOrderItemSimulation"
UNOFFERED = ("A_SlsOrdSimlnValAddedSrvc", "$batch")
# Target, and whether there are many.
LINKS: dict[str, dict[str, tuple[str, bool]]] = {
    HEADER: {
        "to_Credit": ("A_SalesOrderCreditSimulation", False),
        "to_Item": (ITEM, True),
        "to_Partner": ("A_SalesOrderPartnerSimulation", True),
        "to_Pricing": ("A_SalesOrderPricingSimulation", False),
        "to_PricingElement": ("A_SalesOrderPrcgElmntSimln", True),
    },
    ITEM: {
        "to_Partner": ("A_SalesOrderItemPartnerSimln", True),
        "to_PricingElement": ("A_SalesOrderItmPrcgElmntSimln", True),
        "to_ScheduleLine": ("A_SalesOrderScheduleLineSimln", True),
    },
}
ALWAYS = {
    "code": "SLS_LORD/098",
    "message": "In simulation mode, the document must not be saved.",
    "target": "",
    "severity": "warning",
    "details": [],
}


@cache
def _entities() -> dict[str, Entity]:
    fields = {
        name: {one.name: one for one in map(parse_field, words.split())} for name, words in SIMULATION_FIELDS.items()
    }
    return {name: Entity(name, SIMULATION, known, (), _links(name)) for name, known in fields.items()}


def _links(name: str) -> dict[str, Nav]:
    shared = ("SalesOrder", "SalesOrderItem") if name == ITEM else ("SalesOrder",)
    return {link: Nav(target, shared, many=is_many) for link, (target, is_many) in LINKS.get(name, {}).items()}


def simulate(request: Request, rest: str, orders: Orders) -> Response:
    """Raises ODataError for what an order would be refused for, and for a body that is none."""
    if rest.partition("(")[0] in UNOFFERED:
        raise NotOffered(f"{rest} of {SIMULATION}")
    if rest != HEADER:
        raise not_found(f"Resource not found for segment '{rest}'")
    if request.method != "POST":
        raise ODataError(f"Method '{HEADER.upper()}_GET_ENTITYSET' not implemented", "/IWBEP/CM_MGW_RT/021", 501)
    needs_json(request)
    draft = _draft(HEADER, request.json())
    net = orders.simulate(draft)
    response = formatted(request, {"d": _shown(draft, net)}, 201)
    response.headers["sap-message"] = quote(json.dumps(ALWAYS), safe=' {}":,[]/')
    return response


def _draft(name: str, body: Any) -> Draft:
    inner, entity, links = body_of(body), _entities()[name], LINKS.get(name, {})
    draft = Draft(entity, read_row(entity, {field: value for field, value in inner.items() if field not in links}))
    for link, (target, is_many) in links.items():
        if link in inner:
            draft.children[link] = [_draft(target, one) for one in _rows(inner[link], is_many=is_many)]
    return draft


def _rows(value: Any, *, is_many: bool) -> list[Any]:
    rows = value.get("results") if isinstance(value, dict) and is_many else value
    if is_many != isinstance(rows, list):
        raise ODataError("Error while parsing the request: wrong multiplicity", "/IWBEP/CM_MGW_RT/021")
    return rows if isinstance(rows, list) else [rows]


def _shown(draft: Draft, net: Any) -> dict[str, Any]:
    """What was asked for by sending its link, even an empty one; all other links stay closed."""
    totals = {"TotalNetAmount": net, "TransactionCurrency": draft.row.get("TransactionCurrency", "")}
    given: dict[str, Row] = {"to_Pricing": totals, "to_Credit": {"TotalCreditCheckStatus": ""}}
    shown = _plain(draft)
    for link, (target, is_many) in LINKS.get(draft.entity.name, {}).items():
        if link not in draft.children:
            shown[link] = {"__deferred": {"uri": f"{HEADER}('')/{link}"}}
        elif is_many:
            rows = [Draft(_entities()[target], one.row, one.children) for one in draft.under(link)]
            shown[link] = {"results": [_shown(one, net) for one in rows]}
        else:
            shown[link] = _plain(Draft(_entities()[target], given[link]))
    return shown


def _plain(draft: Draft) -> dict[str, Any]:
    fields = draft.entity.fields.values()
    shown = {field.name: show(field, draft.row.get(field.name, field.default)) for field in fields}
    return {"__metadata": {"type": f"{SIMULATION}.{draft.entity.name}Type"}, **shown}
