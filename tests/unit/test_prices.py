"""A price makes exactly its line's total, in systems that keep no more decimals than the currency has."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync.domain.money import decimals_of
from crmsync.domain.prices import PER_MAX, price_of
from tests.builders import line

HALVES = (ROUND_HALF_UP, ROUND_HALF_EVEN)


@given(
    quantity=st.decimals("0.001", "99999", places=3),
    total=st.decimals("0", "99999999", places=3),
    unit_price=st.decimals("0", "99999", places=5),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_a_price_makes_the_total_however_halves_are_rounded(
    quantity: Decimal, total: Decimal, unit_price: Decimal, currency: str
) -> None:
    made = line(quantity=quantity, total=total, unit_price=unit_price)
    price = price_of(made, currency)

    assert price is not None
    assert -int(price.rate.as_tuple().exponent) == decimals_of(currency)
    assert price.per == price.per.to_integral_value()
    assert 1 <= price.per <= PER_MAX
    unit = Decimal(1).scaleb(-decimals_of(currency))
    wanted = made.total_in(currency).amount
    assert {(price.rate * quantity / price.per).quantize(unit, rounding) for rounding in HALVES} == {wanted}


# quantity, unit price, total, currency → rate, per
PRICES = {
    "the unit price": ("200", "235.00", "47000.00", "USD", "235.00", "1"),
    "finer than the cent": ("1000", "0.0125", "12.50", "USD", "12.50", "1000"),
    "finer than the cent, few": ("200", "17.555", "3511.00", "EUR", "3511.00", "200"),
    "a third": ("3", "33.3333333333", "99.9999999999", "EUR", "100.00", "3"),
    "a seventh": ("7", "14.285714285714286", "100", "EUR", "100.00", "7"),
    "as many decimals as an API has": ("0.5", "1800.7777777777778", "900.3888888888889", "EUR", "1800.78", "1"),
    "more than the wire can price": ("1000000", "0.001", "1000", "EUR", "0.01", "10"),
    "a prime of pieces": ("1299709", "0.0125", "16246.3625", "USD", "0.05", "4"),
    "kilograms": ("2.5", "3.333", "8.3325", "EUR", "16.66", "5"),
    "kilograms whose unit price is near enough": ("2.7", "3.33", "8.991", "EUR", "3.33", "1"),
    "kilograms whose unit price ends in half a cent": ("2.5", "3.33", "8.325", "EUR", "16.66", "5"),
    "less than one": ("0.1", "3.37", "0.337", "EUR", "3.37", "1"),
    "no decimals": ("3", "33.33", "99.99", "JPY", "100", "3"),
    "three decimals": ("1000", "0.0125", "12.500", "KWD", "12.500", "1000"),
    "three decimals are enough": ("4", "1.125", "4.500", "KWD", "1.125", "1"),
    "a discount that divides evenly": ("10", "10.00", "95.00", "EUR", "9.50", "1"),
    "free": ("4", "5.00", "0", "EUR", "0.00", "1"),
    "less than half a cent": ("10", "0.0001", "0.001", "EUR", "0.00", "1"),
    "nothing below zero": ("4", "5.00", "-0.0", "EUR", "0.00", "1"),
    "an exponent": ("2E+2", "2.35E+2", "4.7E+4", "EUR", "235.00", "1"),
}


@pytest.mark.parametrize(("quantity", "unit_price", "total", "currency", "rate", "per"), PRICES.values(), ids=PRICES)
def test_the_price_is_the_one_that_people_know_best(
    quantity: str, unit_price: str, total: str, currency: str, rate: str, per: str
) -> None:
    made = line(quantity=Decimal(quantity), unit_price=Decimal(unit_price), total=Decimal(total))

    price = price_of(made, currency)

    assert price is not None
    assert (str(price.rate), str(price.per)) == (rate, per)


def test_there_is_none_where_no_whole_number_of_units_comes_near_enough() -> None:
    made = line(quantity=Decimal("99999999999.999"), unit_price=Decimal("0.01"), total=Decimal("618033988.75"))

    assert price_of(made, "EUR") is None


@given(quantity=st.integers(1, PER_MAX), total=st.decimals("0", "99999999", places=2))
def test_whole_pieces_have_a_price_that_needs_no_rounding_at_all(quantity: int, total: Decimal) -> None:
    price = price_of(line(quantity=Decimal(quantity), total=total), "EUR")

    assert price is not None
    assert Fraction(price.rate) * quantity / Fraction(price.per) == Fraction(total)
    assert {price.rate.quantize(Decimal("0.01"), rounding) for rounding in (ROUND_UP, ROUND_DOWN)} == {price.rate}
