"""The entity types of the services: fields, keys, and how they hang together."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from crmsync.lab.sandbox.sap import fields_order, fields_partner, fields_product

Row = dict[str, Any]
ALPHA = {"BusinessPartner", "Customer", "SoldToParty", "SalesOrder", "Supplier", "AddressID", "ContactPerson"}
MATERIALS = {"Product", "Material"}
ALPHA |= MATERIALS
KINDS = {"s": "String", "S": "String", "n": "String", "d": "Decimal", "D": "DateTime", "O": "DateTimeOffset"}
KINDS |= {"T": "Time", "b": "Boolean", "g": "Guid", "f": "Double"}


@dataclass(frozen=True)
class Field:
    """One property: its Edm type, size, and what the server does to it."""

    name: str
    kind: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    writable: bool = True
    upper: bool = False
    digits: bool = False

    @property
    def default(self) -> Any:
        return {"String": "", "Boolean": False}.get(self.kind)


@dataclass(frozen=True)
class Nav:
    """A navigation property: target set, whether many, the fields that both sides share, and fixed values."""

    target: str
    on: tuple[str, ...]
    many: bool = True
    fixed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Entity:
    """One entity set with its type."""

    name: str
    service: str
    fields: dict[str, Field]
    keys: tuple[str, ...]
    navs: dict[str, Nav] = field(default_factory=dict)


_PARTNER, _ADDRESS, _CUSTOMER = ("BusinessPartner",), ("AddressID",), ("Customer",)
_ORDER, _ITEM = ("SalesOrder",), ("SalesOrder", "SalesOrderItem")
_AREA = ("Customer", "SalesOrganization", "DistributionChannel", "Division")
NAVS: dict[str, dict[str, Nav]] = {
    "A_BusinessPartner": {
        "to_BuPaIdentification": Nav("A_BuPaIdentification", _PARTNER),
        "to_BusinessPartnerAddress": Nav("A_BusinessPartnerAddress", _PARTNER),
        "to_BusinessPartnerRole": Nav("A_BusinessPartnerRole", _PARTNER),
        "to_BusinessPartnerTax": Nav("A_BusinessPartnerTaxNumber", _PARTNER),
        "to_Customer": Nav("A_Customer", _CUSTOMER, many=False),
    },
    "A_BusinessPartnerAddress": {
        "to_AddressUsage": Nav("A_BuPaAddressUsage", ("BusinessPartner", "AddressID")),
        "to_EmailAddress": Nav("A_AddressEmailAddress", _ADDRESS),
        "to_PhoneNumber": Nav("A_AddressPhoneNumber", _ADDRESS, fixed=(("PhoneNumberType", "1"),)),
        "to_MobilePhoneNumber": Nav("A_AddressPhoneNumber", _ADDRESS, fixed=(("PhoneNumberType", "3"),)),
    },
    "A_Customer": {
        "to_CustomerCompany": Nav("A_CustomerCompany", _CUSTOMER),
        "to_CustomerSalesArea": Nav("A_CustomerSalesArea", _CUSTOMER),
    },
    "A_CustomerSalesArea": {
        "to_PartnerFunction": Nav("A_CustSalesPartnerFunc", _AREA),
        "to_SalesAreaTax": Nav("A_CustomerSalesAreaTax", _AREA),
    },
    "A_SalesOrder": {
        "to_Item": Nav("A_SalesOrderItem", _ORDER),
        "to_Partner": Nav("A_SalesOrderHeaderPartner", _ORDER),
        "to_PricingElement": Nav("A_SalesOrderHeaderPrElement", _ORDER),
        "to_Text": Nav("A_SalesOrderText", _ORDER),
    },
    "A_SalesOrderItem": {
        "to_PricingElement": Nav("A_SalesOrderItemPrElement", _ITEM),
        "to_ScheduleLine": Nav("A_SalesOrderScheduleLine", _ITEM),
        "to_Text": Nav("A_SalesOrderItemText", _ITEM),
        "to_SalesOrder": Nav("A_SalesOrder", _ORDER, many=False),
    },
    "A_SalesOrderItemPrElement": {
        "to_SalesOrder": Nav("A_SalesOrder", _ORDER, many=False),
        "to_SalesOrderItem": Nav("A_SalesOrderItem", _ITEM, many=False),
    },
    "A_Product": {"to_Description": Nav("A_ProductDescription", ("Product",))},
    "A_MaterialStock": {"to_MatlStkInAcctMod": Nav("A_MatlStkInAcctMod", ("Material",))},
    "A_MatlStkInAcctMod": {"to_MaterialStock": Nav("A_MaterialStock", ("Material",), many=False)},
}
STOCK_SETS = ("A_MaterialStock", "A_MatlStkInAcctMod")
NOT_CREATABLE = {"A_Customer", *STOCK_SETS, "A_SalesOrderScheduleLine", "A_SalesOrderHeaderPartner"}
NOT_CREATABLE |= {
    "A_SalesOrderItemPrElement",
    "A_SalesOrderHeaderPrElement",
    "A_SalesOrderText",
    "A_SalesOrderItemText",
}
NOT_DELETABLE = {"A_BusinessPartner", "A_BusinessPartnerRole", "A_Customer", "A_CustomerCompany", "A_CustomerSalesArea"}
NOT_DELETABLE |= {"A_CustomerSalesAreaTax", "A_Product", "A_SalesOrderScheduleLine", *STOCK_SETS}


@cache
def entities() -> dict[str, Entity]:
    """Every entity set by name."""
    modules = [
        (fields_partner, lambda name: "API_BUSINESS_PARTNER"),
        (fields_order, lambda name: "API_SALES_ORDER_SRV"),
        (fields_product, lambda name: "API_MATERIAL_STOCK_SRV" if name in STOCK_SETS else "API_PRODUCT_SRV"),
    ]
    return {name: _entity(name, service(name), module) for module, service in modules for name in module.FIELDS}


@cache
def services() -> dict[str, dict[str, Entity]]:
    """Service name → its entity sets."""
    found: dict[str, dict[str, Entity]] = {}
    for entity in entities().values():
        found.setdefault(entity.service, {})[entity.name] = entity
    return found


def _entity(name: str, service: str, module: Any) -> Entity:
    fields = {one.name: one for one in map(parse_field, module.FIELDS[name].split())}
    return Entity(name, service, fields, tuple(module.KEYS[name].split()), NAVS.get(name, {}))


def parse_field(word: str) -> Field:
    """Read one word of the field lists.

    >>> parse_field("-TotalNetAmount:d16.3").scale
    3
    """
    writable = not word.startswith("-")
    name, _, code = word.lstrip("-").partition(":")
    kind, size = KINDS[code[0]], code[1:]
    if kind == "Decimal":
        precision, scale = map(int, size.split("."))
        return Field(name, kind, precision=precision, scale=scale, writable=writable)
    digits = code[0] == "n" or name in ALPHA
    return Field(name, kind, int(size) if size else None, writable=writable, upper=code[0] == "S", digits=digits)
