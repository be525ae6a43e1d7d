"""Stock: what the ERP has of a material, and which products of the catalogue must be updated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class StockRow:
    """What lies at one place; *code* as the ERP writes it, *quantity* in *unit*, the material's base unit."""

    code: str
    quantity: Decimal
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the catalogue, and what it says of its stock now (None: nothing)."""

    key: str
    code: str
    is_active: bool
    available: Decimal | None
    is_low: bool | None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StockLevel:
    """What a product shall say."""

    product_key: str
    code: str
    available: Decimal
    is_low: bool


@dataclass(frozen=True, slots=True)
class ProductState:
    """A product as people see it, in the catalogue of its *connection*.

    *available* and *is_low* are what was read in the ERP; before the first reading, what the catalogue says. *shown* is
    what the catalogue says now. *available* is None where nothing could be read: the ERP does not know the code, or its
    stock can't be added up.
    """

    connection: str
    key: str
    code: str
    available: Decimal | None
    is_low: bool
    shown: Decimal | None
    is_written: bool
    is_known: bool | None
    is_active: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A product that the catalogue refused; *reason* is its code and our words for it."""

    product_key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Total:
    """All that counts of one material; *has_mixed_units* where its rows can't be added."""

    quantity: Decimal
    unit: str
    has_mixed_units: bool = False


_EMPTY = Total(NOTHING, "")


def matching(code: str) -> str:
    """The form in which codes of both systems are compared: no case, no zeros in front of a number.

    >>> matching("  tg11 "), matching("000000000000004711"), matching("4711"), matching("00A1"), matching("000")
    ('TG11', '4711', '4711', '00A1', '0')
    """
    code = code.strip().upper()
    return (code.lstrip("0") or "0") if code.isascii() and code.isdigit() else code


def add_up(totals: dict[str, Total], rows: Iterable[StockRow]) -> None:
    """Add *rows* to *totals*, by matching code. Of nothing the unit does not matter."""
    for row in rows:
        code = matching(row.code)
        before = totals.get(code, _EMPTY)
        if not row.quantity:
            totals.setdefault(code, _EMPTY)
            continue
        mixed = before.has_mixed_units or bool(before.quantity and before.unit != row.unit)
        totals[code] = Total(before.quantity + row.quantity, row.unit, mixed)


@dataclass(frozen=True, slots=True)
class Known:
    """A product of the catalogue; *is_known*: whether the ERP has its material (None: not asked yet)."""

    key: str
    code: str
    matching: str
    is_known: bool | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the stock means for the products.

    *absent* have no stock listed and may be unknown to the ERP; *mixed* can't be added up.
    """

    levels: list[StockLevel]
    absent: list[Known]
    mixed: list[Rejection]


MIXED_UNITS = "its stock is counted in several units"


def plan(products: Iterable[Known], totals: Mapping[str, Total], threshold: Decimal) -> Plan:
    """A material that once had stock and has none listed now has nothing left."""
    made = Plan([], [], [])
    for product in products:
        total = totals.get(product.matching)
        if total is None and product.is_known is not True:
            made.absent.append(product)
        elif total is not None and total.has_mixed_units:
            made.mixed.append(Rejection(product.key, MIXED_UNITS))
        else:
            made.levels.append(level(product, total.quantity if total else NOTHING, threshold))
    return made


def level(product: Known, quantity: Decimal, threshold: Decimal) -> StockLevel:
    available = plain(quantity)
    return StockLevel(product.key, product.code, available, is_low(available, threshold))


def plain(number: Decimal) -> Decimal:
    """One form for each quantity, so that two can be compared: at most three digits after the point, no zeros there.

    >>> plain(Decimal("12.50000")), plain(Decimal("1E+2")), plain(Decimal("0.00049"))
    (Decimal('12.5'), Decimal('100'), Decimal('0'))
    """
    number = number.quantize(Decimal("0.001")).normalize()
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def is_low(available: Decimal, threshold: Decimal) -> bool:
    """
    >>> is_low(Decimal(9), Decimal(10)), is_low(Decimal(10), Decimal(10))
    (True, False)
    """
    return available < threshold


def by_reason(rejections: Iterable[Rejection]) -> Mapping[str, int]:
    """How many were refused for each reason, most first."""
    counts = Counter(rejection.reason for rejection in rejections)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
