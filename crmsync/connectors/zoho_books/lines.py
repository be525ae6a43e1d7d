"""The lines of an invoice: free text, net, each with exactly the deal's total."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from crmsync.connectors.zoho_books.schemas import Line
from crmsync.domain.deals import DealLine
from crmsync.domain.documents import price_of
from crmsync.domain.money import Money

_HUNDRED = Decimal(100)
_PERCENT_UNIT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class LinePolicy:
    """How this organization wants its lines. Discounts per line work only where its preferences allow them."""

    tax_id: str = ""
    has_discounts: bool = False


def invoice_line(line: DealLine, currency: str, policy: LinePolicy, item_id: str = "") -> Line:
    """The line at its rate; with a discount; or, where no rate is exact, as one piece that names the quantity."""
    price = price_of(line, currency)
    build = partial(Line, name=line.product_code, item_id=item_id, tax_id=policy.tax_id)
    if price.per == 1:
        return build(description=line.description, rate=price.rate, quantity=line.quantity)
    percent = discount_percent(line, currency) if policy.has_discounts else None
    if percent is not None:
        return build(
            description=line.description, rate=line.unit_price, quantity=line.quantity, discount=f"{_plain(percent)}%"
        )
    description = f"{_plain(line.quantity)} × {line.description or line.product_code}"
    return build(description=description, rate=line.total, quantity=Decimal(1))


def discount_percent(line: DealLine, currency: str) -> Decimal | None:
    """The discount, of two decimals at most, that makes the line's total to the cent however Zoho rounds; or None.

    >>> discount_percent(DealLine("1", "A", "", Decimal(200), Decimal("235.10"), Decimal("41142.50")), "USD")
    Decimal('12.50')
    >>> discount_percent(DealLine("1", "A", "", Decimal(3), Decimal("1000000"), Decimal("1000000")), "USD") is None
    True
    """
    full = line.unit_price * line.quantity
    if not 0 < line.total < full:
        return None
    percent = ((1 - line.total / full) * _HUNDRED).quantize(_PERCENT_UNIT)
    off = full * percent / _HUNDRED
    is_exact = _rounded(full - off, currency) == line.total and _rounded(off, currency) == full - line.total
    return percent if is_exact else None


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return Money(amount, currency).rounded().amount


def _plain(number: Decimal) -> str:
    """'200', not '2E+2'."""
    return f"{number.normalize():f}"
