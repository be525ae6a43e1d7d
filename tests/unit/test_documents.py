"""Prices stay exact to the cent, and a document that differs from its deal is caught."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync.domain.documents import Document, compare_net, price_of
from crmsync.domain.money import Money
from crmsync.errors import AmountMismatchError
from tests.builders import deal, line


@given(
    quantity=st.decimals("0.001", "99999", places=3),
    total=st.decimals("0", "99999999", places=2),
    unit_price=st.decimals("0", "99999", places=4),
)
def test_rate_times_quantity_is_the_total_of_the_line(quantity: Decimal, total: Decimal, unit_price: Decimal) -> None:
    price = price_of(line(quantity=quantity, total=total, unit_price=unit_price), "USD")

    assert price.rate * quantity / price.per == total


@pytest.mark.parametrize(
    ("document_net", "is_same"),
    [
        (Money.of("47000.00", "USD"), True),
        (Money.of("47000.004", "USD"), True),
        (Money.of("47000.01", "USD"), False),
        (Money.of("47000.00", "EUR"), False),
        (None, False),
    ],
    ids=["equal", "equal to the cent", "a cent more", "another currency", "not said yet"],
)
def test_net_is_compared_with_net(document_net: Money | None, is_same: bool) -> None:
    document = Document("1", "INV-1", net=document_net)

    if is_same:
        compare_net(deal(), document, system="the books", kind="invoice")
        return
    with pytest.raises(AmountMismatchError, match="INV-1"):
        compare_net(deal(), document, system="the books", kind="invoice")


def test_a_document_survives_its_way_through_json() -> None:
    original = Document("1", "INV-1", net=Money.of("1.10", "EUR"), total=Money.of("1.31", "EUR"))

    assert Document.from_json(original.to_json()) == original
