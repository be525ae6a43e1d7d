"""Products and their stock in S/4HANA, and what an order item costs."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from crmsync.lab.sandbox.kernel.http import places as usual_places
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.sap.metadata import Row, Tables

# Prices of order items: a unit price from PPR0, and two kinds of discount.


CONDITIONS = {"PPR0": "price", "DPR1": "percent", "DRV1": "value"}
WITHOUT_CENTS = frozenset(("COP", "HUF", "IDR", "LAK", "TWD"))  # in TCURX as SAP delivers it, unlike in ISO 4217


def places(currency: str) -> int:
    """How many digits SAP has for a currency.

    >>> [places(currency) for currency in ("EUR", "HUF", "KWD")]
    [2, 0, 3]
    """
    return 0 if currency in WITHOUT_CENTS else usual_places(currency)


def amount(value: Decimal, currency: str) -> Decimal:
    """Round to the currency's digits.

    >>> amount(Decimal("2.345"), "EUR")
    Decimal('2.35')
    """
    return value.quantize(Decimal(1).scaleb(-places(currency)), ROUND_HALF_UP)


def net_amount(item: Row, elements: list[Row]) -> Decimal:
    """Quantity times PPR0's rate per its quantity, then discounts; sets each element's own amount.

    A percentage counts on the price, a value as it stands; discounts carry their own (negative) sign.
    """
    net = price = Decimal(0)
    for element in sorted(elements, key=lambda one: CONDITIONS[one["ConditionType"]] != "price"):
        element["ConditionAmount"] = part = _part(element, item, price)
        price = part if CONDITIONS[element["ConditionType"]] == "price" else price
        net += part
    return net


def _part(element: Row, item: Row, price: Decimal) -> Decimal:
    rate, kind = element["ConditionRateValue"], CONDITIONS[element["ConditionType"]]
    if kind == "price":
        raw = item["RequestedQuantity"] * rate / element["ConditionQuantity"]
    else:
        raw = price * rate / 100 if kind == "percent" else rate
    return amount(raw, item["TransactionCurrency"])


# Materials and their stock, by plant, storage location, type and special stock.
#
# Source: shared fact sheet, section 5. The codes of the stock types are from memory there.


UNRESTRICTED, QUALITY, BLOCKED = "01", "02", "07"
TYPES = (UNRESTRICTED, QUALITY, BLOCKED)
SPECIAL = ("", "E", "K", "Q")
LOCATION = "101A"
QUANTITY, UNIT = "MatlWrhsStkQtyInMatlBaseUnit", "MaterialBaseUnit"
ROW = {
    "plant": "Plant",
    "location": "StorageLocation",
    "type": "InventoryStockType",
    "special": "InventorySpecialStockType",
    "batch": "Batch",
    "order": "SDDocument",
    "item": "SDDocumentItem",
}


class Catalogue:
    """The materials of one system."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def add(self, code: str, name: str, price: Decimal | None, *, unit: str = "PC", plant: str = "1010") -> Row:
        """Add a material, or change name and price of one that exists. Without a price, an order needs its own."""
        code = stored(code)
        row = self._tables["A_Product"].get((code,)) or {"Product": code, "ProductType": "FERT", "BaseUnit": unit}
        row |= {"_price": price, "_plant": plant, "IsMarkedForDeletion": False}
        self.touch(row)
        self._tables["A_Product"].insert(row)
        text = {"Product": code, "Language": "EN", "ProductDescription": name[:40]}
        self._tables["A_ProductDescription"].insert(text)
        self._tables["A_MaterialStock"].insert({"Material": code, "MaterialBaseUnit": unit})
        return row

    def add_many(self, codes: list[str], price: Decimal, stock: list[Decimal], *, plant: str, unit: str = "PC") -> None:
        """Add many materials with one row of stock each; fields that are empty are left out, to save memory."""
        stamps: Row = {}
        self.touch(stamps)
        base = {"ProductType": "FERT", "BaseUnit": unit, "_price": price, "_plant": plant, **stamps}
        place = {"Plant": plant, "StorageLocation": LOCATION, "InventoryStockType": UNRESTRICTED, UNIT: unit}
        for code, quantity in zip(map(stored, codes), stock, strict=True):
            row = {"Product": code, "Material": code, UNIT: unit, **base}  # one row for two sets, each shows its own
            self._tables["A_Product"].insert(row)
            self._tables["A_MaterialStock"].insert(row)
            self._tables["A_MatlStkInAcctMod"].insert({"Material": code, **place, QUANTITY: quantity})

    def touch(self, row: Row) -> None:
        now = self._clock.now()
        row |= {"LastChangeDateTime": now, "LastChangeDate": now.replace(hour=0, minute=0, second=0, microsecond=0)}

    def product(self, code: str) -> Row:
        """The material. Raises KeyError for an unknown one."""
        product = self._tables["A_Product"].get((stored(code),))
        if product is None:
            raise KeyError(code)
        return product

    def set_stock(self, code: str, quantity: Decimal) -> None:
        """Make the unrestricted stock this much: what lies elsewhere than in the first storage location is gone."""
        product = self.product(code)
        table = self._tables["A_MatlStkInAcctMod"]
        held = {(one["Plant"], one["StorageLocation"]): one for one in self._free(product["Product"])}
        kept = held.pop((product["_plant"], LOCATION), None)
        for row in held.values():
            table.delete(row)
        if kept:
            table.insert({**kept, QUANTITY: quantity})
        else:
            self._put(product, {"quantity": quantity})

    def set_stock_rows(self, code: str, rows: Iterable[Row]) -> None:
        """Replace all stock of a material.

        A row is `{"quantity", "plant", "location", "type", "special", "batch", "order", "item"}`, all but the quantity
        optional. Special stock E (a customer's order stock) names its order and item. Raises KeyError, ValueError.
        """
        product = self.product(code)
        wanted = [self._row(product, row) for row in rows]
        table = self._tables["A_MatlStkInAcctMod"]
        for held in table.where(("Material",), (product["Product"],)):
            table.delete(held)
        for row in wanted:
            table.insert(row)

    def _put(self, product: Row, row: Row) -> None:
        self._tables["A_MatlStkInAcctMod"].insert(self._row(product, row))

    def _row(self, product: Row, given: Row) -> Row:
        """A stock row of this material. Raises ValueError for a name or type that does not exist."""
        row = {"plant": product["_plant"], "location": LOCATION, "type": UNRESTRICTED, "special": ""}
        row |= {"batch": "", "order": "", "item": "", **given}
        unknown = set(row) - {*ROW, "quantity"}
        if unknown or row["type"] not in TYPES or row["special"] not in SPECIAL:
            raise ValueError(f"no stock row: {given}")
        stored_row = {field: str(row[name]) for name, field in ROW.items() if row[name] != ""}
        quantity = {QUANTITY: Decimal(str(row["quantity"])), UNIT: product["BaseUnit"]}
        return {"Material": product["Product"], **stored_row, **quantity}

    def _free(self, code: str) -> list[Row]:
        return [row for row in self._tables["A_MatlStkInAcctMod"].where(("Material",), (code,)) if is_free(row)]

    def stock(self, code: str) -> Decimal:
        """Stock that can be sold: unrestricted and nobody's own, over all plants and locations."""
        return sum((row[QUANTITY] for row in self._free(stored(code))), Decimal(0))

    def stocks(self) -> dict[str, Decimal]:
        """Stock that can be sold, by material."""
        found = dict.fromkeys(self.codes(), Decimal(0))
        for row in self._tables["A_MatlStkInAcctMod"]:
            if is_free(row):
                found[row["Material"]] += row[QUANTITY]
        return found

    def codes(self) -> list[str]:
        return [row["Product"] for row in self._tables["A_Product"]]


def stored(code: str) -> str:
    """A material number in the form that keys have here: upper case, and without the zeros that pad a number.

    >>> stored("000000000000004711"), stored("tg-011")
    ('4711', 'TG-011')
    """
    return (code.lstrip("0") or "0") if code.isdigit() else code.upper()


def is_free(row: Row) -> bool:
    """Whether a stock row is unrestricted and no special stock."""
    return row["InventoryStockType"] == UNRESTRICTED and not row.get("InventorySpecialStockType")
