"""An order that SAP simulates without saving: it checks the settings that every order is made with.

Sources: API_SALES_ORDER_SIMULATION_SRV (communication scenario SAP_COM_0109); answers of it that are public. A success
always says in `sap-message` that the document must not be saved (SLS_LORD/098), and where it is so, that it is
incomplete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from crmsync import errors
from crmsync.connectors.base import Check
from crmsync.connectors.kit.doctor import not_checked, noted
from crmsync.connectors.s4hana.api import SapApi
from crmsync.connectors.s4hana.errors import NO_SERVICE
from crmsync.connectors.s4hana.odata import Row, equals, expanded
from crmsync.connectors.s4hana.orders import INCOMPLETE
from crmsync.connectors.s4hana.services import (
    ORDERS,
    PRODUCTS,
    SALES_AREAS,
    SCENARIOS,
    SIMULATED_ORDERS,
    SIMULATION_SERVICE,
)
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.domain.words import readable

TRIAL = "try an order"
_AREA = "sales area"
_AREAS_MAX = 5  # that are named as those that exist
_NET = Decimal(1)  # the price of the one piece that is ordered: every currency has it
# By SAP's name of the field that it refuses.
_VARIABLES = {
    "SalesOrderType": "SAP_ORDER_TYPE",
    "SalesOrganization": "SAP_SALES_ORGANIZATION",
    "DistributionChannel": "SAP_DISTRIBUTION_CHANNEL",
    "OrganizationDivision": "SAP_DIVISION",
    "ConditionType": "SAP_PRICE_CONDITION_TYPE",
    "RequestedQuantityUnit": "SAP_QUANTITY_UNIT",
    "ConditionQuantityUnit": "SAP_QUANTITY_UNIT",
}
_OF_SAMPLE = ("SoldToParty", "Material")


@dataclass(frozen=True, slots=True)
class Sample:
    """What an order can be tried with: a customer of our sales area, something to sell, and a currency."""

    customer: str
    material: str
    currency: str


def try_an_order(api: SapApi, settings: SapSettings) -> Iterator[Check]:
    customer, currency, material = _from_an_order(api, settings) or _from_a_customer(api, settings)
    if not customer:
        yield _no_customer(api, settings)
        return
    yield Check(_AREA, is_ok=True, detail=f"{_area(settings)} has customers")
    material = material or _any_material(api)
    if not material:
        yield not_checked(TRIAL, "SAP has no product that can be ordered, or this user may not see any")
        return
    yield _tried(api, settings, Sample(customer, material, currency))


def _area(settings: SapSettings) -> str:
    return f"{settings.sales_organization}/{settings.distribution_channel}/{settings.division}"


# -- what an order is tried with


def _from_an_order(api: SapApi, settings: SapSettings) -> tuple[str, str, str] | None:
    """Customer, currency and material of the newest order of our sales area: they have been good together."""
    options = {
        "$filter": _in_area(settings, division="OrganizationDivision"),
        "$orderby": "SalesOrder desc",
        "$expand": "to_Item",
    }
    row = api.first(TRIAL, ORDERS, options)
    if row is None:
        return None
    items = [
        item for item in expanded(row, "to_Item") if item.get("Material") and not item.get("SalesDocumentRjcnReason")
    ]
    material = str(items[0]["Material"]) if items else ""
    return str(row.get("SoldToParty") or ""), str(row.get("TransactionCurrency") or ""), material


def _from_a_customer(api: SapApi, settings: SapSettings) -> tuple[str, str, str]:
    options = {
        "$filter": _in_area(settings, division="Division"),
        "$select": "Customer,Currency",
        "$orderby": "Customer",
    }
    row = api.first(TRIAL, SALES_AREAS, options) or {}
    return str(row.get("Customer") or ""), str(row.get("Currency") or ""), ""


def _in_area(settings: SapSettings, *, division: str) -> str:
    wanted = {
        "SalesOrganization": settings.sales_organization,
        "DistributionChannel": settings.distribution_channel,
        division: settings.division,
    }
    return " and ".join(equals(field, value) for field, value in wanted.items())


def _any_material(api: SapApi) -> str:
    options = {"$filter": "IsMarkedForDeletion eq false", "$select": "Product", "$orderby": "Product"}
    try:
        row = api.first(TRIAL, PRODUCTS, options)
    except errors.PermanentError:  # the user may not read products: nobody needs to without the stock
        return ""
    return str(row.get("Product") or "") if row else ""


def _no_customer(api: SapApi, settings: SapSettings) -> Check:
    """The sales area is wrong, or new: others that exist tell which."""
    options = {"$select": "SalesOrganization,DistributionChannel,Division", "$orderby": "Customer"}
    rows = next(api.pages(TRIAL, SALES_AREAS, options), [])
    names = ("SalesOrganization", "DistributionChannel", "Division")
    areas = list(dict.fromkeys("/".join(str(row.get(name) or "") for name in names) for row in rows))
    if not areas:
        return not_checked(_AREA, "SAP has no customer with a sales area yet, so no order could be tried")
    return Check(
        _AREA,
        is_ok=False,
        detail=f"no customer of SAP has the sales area {_area(settings)}; customers have "
        f"{', '.join(areas[:_AREAS_MAX])}. Correct SAP_SALES_ORGANIZATION, SAP_DISTRIBUTION_CHANNEL or SAP_DIVISION; "
        "where the area is new, give it to one customer, so that an order can be tried.",
    )


# -- the trial


def _tried(api: SapApi, settings: SapSettings, sample: Sample) -> Check:
    try:
        row, remarks = api.posted(TRIAL, SIMULATED_ORDERS, trial_body(settings, sample))
    except errors.CrmsyncError as error:
        return _refused(settings, sample, error)
    net = net_of(row)
    if net is not None and net != _NET:
        return Check(
            TRIAL,
            is_ok=False,
            detail=f"SAP makes {net} {sample.currency} of a price of {_NET} {sample.currency}: its pricing adds to, or "
            f"ignores, the condition {settings.price_condition_type} (SAP_PRICE_CONDITION_TYPE), so every deal would "
            "wait for a person.",
        )
    if not INCOMPLETE.isdisjoint(remarks):
        return noted(TRIAL, f"SAP would make it, but incomplete: CRMSYNC_HELD_ORDERS decides. {_with(settings)}")
    return Check(TRIAL, is_ok=True, detail=f"SAP would make it. {_with(settings)}")


def _with(settings: SapSettings) -> str:
    unit = f", unit {settings.quantity_unit}" if settings.quantity_unit else ""
    return (
        f"Order type {settings.order_type}, sales area {_area(settings)}, price condition "
        f"{settings.price_condition_type}{unit}; nothing was written"
    )


def trial_body(settings: SapSettings, sample: Sample) -> dict[str, Any]:
    """An order as orders.py makes it, in the words of the simulation, which wants keys for what it does not keep."""
    return {
        "SalesOrder": "",
        "SalesOrderType": settings.order_type,
        "SalesOrganization": settings.sales_organization,
        "DistributionChannel": settings.distribution_channel,
        "OrganizationDivision": settings.division,
        "SoldToParty": sample.customer,
        "TransactionCurrency": sample.currency,
        "PurchaseOrderByCustomer": "crmsync doctor",
        "to_Pricing": {},
        "to_Item": {"results": [_trial_item(settings, sample)]},
    }


def _trial_item(settings: SapSettings, sample: Sample) -> dict[str, Any]:
    unit = settings.quantity_unit
    price = {
        "PricingProcedureStep": "",
        "PricingProcedureCounter": "",
        "ConditionType": settings.price_condition_type,
        "ConditionRateValue": str(_NET),
        "ConditionCurrency": sample.currency,
        "ConditionQuantity": "1",
        **({"ConditionQuantityUnit": unit} if unit else {}),
    }
    return {
        "SalesOrderItem": "10",
        "Material": sample.material,
        "RequestedQuantity": "1",
        **({"RequestedQuantityUnit": unit} if unit else {}),
        "to_PricingElement": {"results": [price]},
    }


def net_of(row: Row) -> Decimal | None:
    """What SAP has computed; None where it does not say.

    >>> net_of({"to_Pricing": {"TotalNetAmount": "1.00"}}), net_of({"to_Pricing": None})
    (Decimal('1.00'), None)
    """
    pricing = row.get("to_Pricing")
    told = pricing.get("TotalNetAmount") if isinstance(pricing, Mapping) else None
    try:
        return None if told is None else Decimal(str(told))
    except InvalidOperation:
        return None


def _refused(settings: SapSettings, sample: Sample, error: errors.CrmsyncError) -> Check:
    is_hidden = isinstance(error, errors.AuthenticationError | errors.RecordNotFoundError)
    if is_hidden or error.code in (NO_SERVICE, "HTTP 404"):
        return not_checked(
            TRIAL,
            f"SAP does not allow this user to call {SIMULATION_SERVICE}: add it to the communication arrangement of "
            f"{SCENARIOS[SIMULATION_SERVICE]}, or make a first order by hand",
        )
    if not isinstance(error, errors.RejectedError):
        return Check(TRIAL, is_ok=False, detail=error.with_advice)
    fields = set(error.field_errors)
    words = _words(error)
    if fields & set(_OF_SAMPLE):
        what = f"SAP refuses customer {sample.customer} or product {sample.material}, of which doctor knows no others"
        return not_checked(TRIAL, f"{what}: {words}")
    variables = " and ".join(sorted({_VARIABLES[field] for field in fields & set(_VARIABLES)}))
    cure = f"Correct {variables}." if variables else "Compare the settings with an order that SAP has."
    tried = f"{_with(settings).removesuffix('; nothing was written')}, customer {sample.customer}, {sample.material}"
    return Check(TRIAL, is_ok=False, detail=f"SAP would refuse every order: {words} {cure} Tried: {tried}.")


def _words(error: errors.CrmsyncError) -> str:
    """SAP's first sentence, without persons; it is said on the operator's screen only."""
    first = readable(error.words.partition("\n")[0])[:200].strip()
    code = f" [{error.code}]" if error.code else ""
    return f"“{first}”{code}." if first else f"{error.args[0]}{code}"
