"""The lines of an invoice, net; each comes to exactly the deal's total, however Zoho Books rounds.

Zoho Books rounds a rate to the decimals of its currency and a quantity to those of its preferences (two by default),
and then multiplies. A line whose numbers are finer becomes one piece that names its quantity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from crmsync.connectors.zoho_books.items import Items
from crmsync.connectors.zoho_books.schemas import Line
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.money import Money, decimals_of
from crmsync.domain.prices import price_of

QUANTITY_DECIMALS = 2
_TOLD_DECIMALS = 6  # a unit price that is longer is a quotient, and tells nobody anything
_HUNDRED = Decimal(100)
_PERCENT_UNIT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class LinePolicy:
    """How this organization wants its lines. Discounts per line work only where its preferences allow them.

    *needs_items*: each line must be of an item, or none may, or, where it is None, those are for which there is one.
    """

    tax_id: str = ""
    has_discounts: bool = False
    needs_items: bool | None = None


class InvoiceLines:
    """The lines of invoices, with the books' own items."""

    def __init__(self, items: Items, policy: LinePolicy) -> None:
        self._items = items
        self._policy = policy

    def of(self, deal: Deal, digits: int) -> list[Line]:
        """*digits* are what the organization keeps of a rate. Raises: MappingError for a code that lacks its item."""
        currency = deal.amount.currency
        return [
            invoice_line(line, currency, self._policy, self._item_id(line.product_code), digits=digits)
            for line in deal.lines
        ]

    def now(self, deal: Deal, lines: list[Line], digits: int) -> list[Line]:
        """*lines*, which were refused, by the items as they are now, if there are items on them."""
        if not any(line.item_id for line in lines):
            return lines
        self._items.refresh()
        return self.of(deal, digits)

    def _item_id(self, sku: str) -> str:
        if self._policy.needs_items is None:
            return self._items.found(sku)
        return self._items.required(sku) if self._policy.needs_items else ""


def invoice_line(line: DealLine, currency: str, policy: LinePolicy, item_id: str, *, digits: int) -> Line:
    """The line at its rate; with a discount; or, where no rate is exact, as one piece that names the quantity.

    It says what the deal says whatever the item's own name, text and rate are. One piece is of no item unless it must
    be: the books would take one of it from their stock. *digits* are what the organization keeps of a rate.
    """
    # Where a line of an item has no text, Zoho Books takes the item's.
    description = line.description or (line.product_code if item_id else "")
    build = partial(Line, name=line.product_code, description=description, item_id=item_id, tax_id=policy.tax_id)
    if _decimals(line.quantity) <= QUANTITY_DECIMALS:
        price = price_of(line, currency, digits=digits, per_max=1)
        if price is not None:
            return build(rate=price.rate, quantity=line.quantity)
        percent = discount_percent(line, currency) if policy.has_discounts and digits == decimals_of(currency) else None
        if percent is not None:
            return build(rate=line.unit_price, quantity=line.quantity, discount=f"{_plain(percent)}%")
    whole = build(description=as_one_piece(line, currency), rate=line.total_in(currency).amount, quantity=Decimal(1))
    return whole if policy.needs_items else replace(whole, item_id="")


def as_one_piece(line: DealLine, currency: str) -> str:
    """The quantity, the price of a unit where that says how the total came about, and what it is.

    >>> as_one_piece(DealLine("1", "A", "Label", Decimal(1000), Decimal("0.0125"), Decimal("12.50")), "USD")
    '1,000 × 0.0125 USD: Label'
    >>> as_one_piece(DealLine("1", "A", "", Decimal(3), Decimal(4), Decimal(10)), "USD")
    '3 × A'
    """
    unit, what = line.unit_price, line.description or line.product_code
    is_whole_story = Money(unit * line.quantity, currency).equals(line.total_in(currency))
    if is_whole_story and _decimals(unit) <= _TOLD_DECIMALS:
        return f"{_plain(line.quantity)} × {_plain(unit)} {currency}: {what}"
    return f"{_plain(line.quantity)} × {what}"


def discount_percent(line: DealLine, currency: str) -> Decimal | None:
    """The discount, of two decimals at most, that makes the line's total to the cent however Zoho rounds; or None.

    >>> discount_percent(DealLine("1", "A", "", Decimal(200), Decimal("235.10"), Decimal("41142.50")), "USD")
    Decimal('12.50')
    >>> discount_percent(DealLine("1", "A", "", Decimal(3), Decimal("1000000"), Decimal("1000000")), "USD") is None
    True
    """
    full, total = line.unit_price * line.quantity, line.total_in(currency).amount
    if not 0 < total < full or _decimals(line.unit_price) > decimals_of(currency):
        return None
    percent = ((1 - total / full) * _HUNDRED).quantize(_PERCENT_UNIT)
    off = full * percent / _HUNDRED
    is_exact = _rounded(full - off, currency) == total and _rounded(off, currency) == full - total
    return percent if is_exact else None


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return Money(amount, currency).rounded().amount


def _decimals(number: Decimal) -> int:
    return max(0, -int(number.normalize().as_tuple().exponent))


def _plain(number: Decimal) -> str:
    """'1,000', not '1E+3'."""
    return f"{number.normalize():,f}"
