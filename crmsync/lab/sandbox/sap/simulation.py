"""API_SALES_ORDER_SIMULATION_SRV: an order that is checked and priced like any other, and kept nowhere.

Source: the vendor's OpenAPI file, and recorded answers that are public.
"""

import json
from functools import cache
from typing import Any
from urllib.parse import quote

from crmsync.lab.sandbox.http import NotOffered, Request, Response
from crmsync.lab.sandbox.sap.errors import ODataError, not_found
from crmsync.lab.sandbox.sap.fields_simulation import FIELDS
from crmsync.lab.sandbox.sap.formats import formatted, needs_json
from crmsync.lab.sandbox.sap.metadata import Entity, Nav, Row, parse_field
from crmsync.lab.sandbox.sap.orders import Orders
from crmsync.lab.sandbox.sap.values import show
from crmsync.lab.sandbox.sap.writing import Draft, body_of, read_row

SERVICE = "API_SALES_ORDER_SIMULATION_SRV"
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
    fields = {name: {one.name: one for one in map(parse_field, words.split())} for name, words in FIELDS.items()}
    return {name: Entity(name, SERVICE, known, (), _links(name)) for name, known in fields.items()}


def _links(name: str) -> dict[str, Nav]:
    shared = ("SalesOrder", "SalesOrderItem") if name == ITEM else ("SalesOrder",)
    return {link: Nav(target, shared, many=is_many) for link, (target, is_many) in LINKS.get(name, {}).items()}


def simulate(request: Request, rest: str, orders: Orders) -> Response:
    """Raises ODataError for what an order would be refused for, and for a body that is none."""
    if rest.partition("(")[0] in UNOFFERED:
        raise NotOffered(f"{rest} of {SERVICE}")
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
    return {"__metadata": {"type": f"{SERVICE}.{draft.entity.name}Type"}, **shown}
