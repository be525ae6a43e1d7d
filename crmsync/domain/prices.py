"""The price of a line, in a form that makes exactly the line's total in systems that round every number they keep.

A line's total is rounded to its currency, half up, and that is what the customer pays. The rate that goes to another
system has no more decimals than the currency, for neither an ERP nor the books keep more: a finer price is stated as a
rate for several units (12.50 for every 1,000), or, where a system knows no such thing, it has no price at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from crmsync.domain.deals import DealLine
from crmsync.domain.money import decimals_of

PER_MAX = 99_999
_HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Price:
    """*rate* for every *per* units; *rate* has the currency's decimals, *per* is a whole number."""

    rate: Decimal
    per: Decimal


def price_of(line: DealLine, currency: str, *, digits: int | None = None, per_max: int = PER_MAX) -> Price | None:
    """The net price of which rate ÷ per × quantity, rounded, is exactly the line's total; None if there is none.

    What would be rounded up or down by half a cent is no such price: systems differ in how they round it. *digits* are
    the decimals of the rate, and of what the system rounds to, where these are not the currency's.

    >>> from dataclasses import replace
    >>> line = DealLine("1", "A", "", Decimal(1000), Decimal("0.0125"), Decimal("12.50"))
    >>> price_of(line, "USD")
    Price(rate=Decimal('12.50'), per=Decimal('1000'))
    >>> price_of(replace(line, unit_price=Decimal("0.01"), total=Decimal(10)), "USD")
    Price(rate=Decimal('0.01'), per=Decimal('1'))
    >>> price_of(replace(line, quantity=Decimal("2.5"), unit_price=Decimal("3.333"), total=Decimal("8.3325")), "EUR")
    Price(rate=Decimal('16.66'), per=Decimal('5'))
    >>> price_of(line, "USD", per_max=1) is None
    True
    >>> price_of(replace(line, quantity=Decimal(2), unit_price=Decimal("33.5"), total=Decimal(67)), "HUF", digits=0)
    Price(rate=Decimal('67'), per=Decimal('2'))
    """
    digits = decimals_of(currency) if digits is None else digits
    total = Fraction(line.total_in(currency).amount.scaleb(digits))
    if total.denominator != 1:
        return None
    quantity = Fraction(line.quantity)
    for rate, per in _candidates(Fraction(line.unit_price.scaleb(digits)), total, quantity, per_max):
        if per <= per_max and abs(rate * quantity / per - total) < _HALF:
            return Price(Decimal(rate).scaleb(-digits), Decimal(per))
    return None


def _candidates(unit: Fraction, total: Fraction, quantity: Fraction, per_max: int) -> Iterator[tuple[int, int]]:
    """Rates in the currency's smallest unit, and for how many units, the ones that people know best first."""
    if unit.denominator == 1:
        yield unit.numerator, 1
    exact = total / quantity
    yield round(exact), 1
    if quantity.denominator == 1:
        yield total.numerator, quantity.numerator
    yield exact.numerator, exact.denominator
    closest = exact.limit_denominator(per_max)
    yield closest.numerator, closest.denominator
