"""The entity types of the services: fields, keys, and how they hang together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.sax.saxutils import quoteattr

from crmsync.lab.sandbox.sap.access import not_found
from crmsync.lab.sandbox.sap.fields import (
    ORDER_FIELDS,
    ORDER_KEYS,
    PARTNER_FIELDS,
    PARTNER_KEYS,
    PRODUCT_FIELDS,
    PRODUCT_KEYS,
)

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
    tables: list[tuple[dict[str, str], dict[str, str], Callable[[str], str]]] = [
        (PARTNER_FIELDS, PARTNER_KEYS, lambda name: "API_BUSINESS_PARTNER"),
        (ORDER_FIELDS, ORDER_KEYS, lambda name: "API_SALES_ORDER_SRV"),
        (
            PRODUCT_FIELDS,
            PRODUCT_KEYS,
            lambda name: "API_MATERIAL_STOCK_SRV" if name in STOCK_SETS else "API_PRODUCT_SRV",
        ),
    ]
    return {
        name: _entity(name, service(name), fields[name], keys[name])
        for fields, keys, service in tables
        for name in fields
    }


@cache
def services() -> dict[str, dict[str, Entity]]:
    """Service name → its entity sets."""
    found: dict[str, dict[str, Entity]] = {}
    for entity in entities().values():
        found.setdefault(entity.service, {})[entity.name] = entity
    return found


def _entity(name: str, service: str, words: str, keys: str) -> Entity:
    fields = {one.name: one for one in map(parse_field, words.split())}
    return Entity(name, service, fields, tuple(keys.split()), NAVS.get(name, {}))


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


# `$metadata`: the services' types as EDMX, written from the field lists.


_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" '
    'xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" '
    'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" '
    'xmlns:sap="http://www.sap.com/Protocols/SAPData"><edmx:DataServices m:DataServiceVersion="2.0">'
)


def metadata(service: str) -> bytes:
    """The EDMX document of one service: exactly what is served."""
    found = services()[service].values()
    links = [(one, name, nav) for one in found for name, nav in one.navs.items()]
    sets = "".join(f'<EntitySet Name="{one.name}" EntityType="{service}.{one.name}Type"/>' for one in found)
    sets += "".join(_association_set(service, *link) for link in links)
    schema = (
        f'<Schema Namespace="{service}" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">'
        f"{''.join(map(_type, found))}{''.join(_association(service, *link) for link in links)}"
        f'<EntityContainer Name="{service}_Entities" m:IsDefaultEntityContainer="true">{sets}</EntityContainer>'
        "</Schema>"
    )
    return f"{_HEAD}{schema}</edmx:DataServices></edmx:Edmx>".encode()


def _type(entity: Entity) -> str:
    keys = "".join(f'<PropertyRef Name="{name}"/>' for name in entity.keys)
    fields = "".join(map(_property, entity.fields.values()))
    navs = "".join(_navigation(entity, name) for name in entity.navs)
    return f'<EntityType Name="{entity.name}Type"><Key>{keys}</Key>{fields}{navs}</EntityType>'


def _name(entity: Entity, nav: str) -> str:
    return f"assoc_{entity.name}_{nav}"


def _navigation(entity: Entity, nav: str) -> str:
    name = _name(entity, nav)
    relation = f'Relationship="{entity.service}.{name}" FromRole="FromRole_{name}" ToRole="ToRole_{name}"'
    return f'<NavigationProperty Name="{nav}" {relation}/>'


def _association(service: str, entity: Entity, nav: str, link: Nav) -> str:
    name, many = _name(entity, nav), "*" if link.many else "0..1"
    ends = (("From", entity.name, "1"), ("To", link.target, many))
    shown = "".join(
        f'<End Type="{service}.{target}Type" Multiplicity="{number}" Role="{side}Role_{name}"/>'
        for side, target, number in ends
    )
    return f'<Association Name="{name}">{shown}</Association>'


def _association_set(service: str, entity: Entity, nav: str, link: Nav) -> str:
    name = _name(entity, nav)
    ends = (("From", entity.name), ("To", link.target))
    shown = "".join(f'<End EntitySet="{target}" Role="{side}Role_{name}"/>' for side, target in ends)
    return f'<AssociationSet Name="{name}_Set" Association="{service}.{name}">{shown}</AssociationSet>'


def _property(field: Field) -> str:
    sizes = {"MaxLength": field.length, "Precision": field.precision, "Scale": field.scale}
    shown = "".join(f" {name}={quoteattr(str(size))}" for name, size in sizes.items() if size is not None)
    locked = "" if field.writable else ' sap:creatable="false" sap:updatable="false"'
    return f'<Property Name="{field.name}" Type="Edm.{field.kind}"{shown}{locked}/>'


# Rows in memory, by key and by the fields that other entities point with.


Key = tuple[Any, ...]


class Table:
    """The rows of one entity set, in the order they came."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self._rows: dict[Key, Row] = {}
        self._groups: dict[tuple[str, ...], dict[Key, dict[Key, Row]]] = {}
        self.version = 0

    def key(self, row: Row) -> Key:
        return tuple(row.get(name, "") for name in self.entity.keys)

    def get(self, key: Key) -> Row | None:
        return self._rows.get(key)

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def insert(self, row: Row) -> None:
        key = self.key(row)
        self.version += 1
        self._rows[key] = row
        for names, groups in self._groups.items():
            groups.setdefault(_values(row, names), {})[key] = row

    def delete(self, row: Row) -> None:
        key = self.key(row)
        self.version += 1
        del self._rows[key]
        for names, groups in self._groups.items():
            groups[_values(row, names)].pop(key)

    def where(self, names: tuple[str, ...], values: Key) -> list[Row]:
        """Rows with these values in these fields; indexed, so long tables cost nothing."""
        if names not in self._groups:
            self._groups[names] = {}
            for key, row in self._rows.items():
                self._groups[names].setdefault(_values(row, names), {})[key] = row
        return list(self._groups[names].get(values, {}).values())


def _values(row: Row, names: tuple[str, ...]) -> Key:
    return tuple(row.get(name, "") for name in names)


class Tables:
    """Every table of the system."""

    def __init__(self) -> None:
        self._tables = {name: Table(entity) for name, entity in entities().items()}

    def changed(self) -> None:
        """Say that rows may hold other values than before, so that no answer is taken from memory."""
        for table in self._tables.values():
            table.version += 1

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def found(self, name: str, key: Key | None) -> Row:
        """The row of a key. Raises ODataError (404)."""
        row = self[name].get(key or ())
        if row is None:
            raise not_found("Requested entity could not be found")
        return row

    def related(self, row: Row, nav: Nav) -> list[Row]:
        """The rows that a navigation property leads to."""
        values = _values(row, nav.on)
        if not all(values):
            return []
        found = self[nav.target].where(nav.on, values)
        return [one for one in found if all(one.get(name) == value for name, value in nav.fixed)]
