"""What must be true of a deal before anything is made from it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from crmsync.domain.deals import Deal, check
from crmsync.domain.money import Money
from crmsync.errors import InvalidDealError
from tests.builders import customer, deal, line


def test_a_sound_deal_passes() -> None:
    check(deal())


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (deal(is_won=False), "StageName"),
        (deal(lines=()), "OpportunityLineItems"),
        (deal(lines=(line(product_code=""),)), "OpportunityLineItems[1].ProductCode"),
        (deal(lines=(line(), line(quantity=Decimal(0), total=Decimal(0)))), "OpportunityLineItems[2].Quantity"),
        (
            deal(lines=(line(total=Decimal("48000")), line(total=Decimal("-1000")))),
            "OpportunityLineItems[2].TotalPrice",
        ),
        (deal(amount=Money.of("0", "USD")), "Amount"),
        (deal(amount=Money.of("47000.01", "USD")), "Amount"),
        (deal(amount=Money.of("47000", "")), "CurrencyIsoCode"),
        (deal(customer=customer(key="")), "AccountId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_deal_is_refused_by_the_field_at_fault(broken: Deal, field: str) -> None:
    with pytest.raises(InvalidDealError) as refused:
        check(broken)

    assert field in refused.value.field_errors
    assert field in str(refused.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InvalidDealError) as refused:
        check(deal(is_won=False, lines=()))

    assert set(refused.value.field_errors) == {"StageName", "OpportunityLineItems"}


def test_a_deal_survives_its_way_through_json() -> None:
    original = deal(lines=(line(unit_price=Decimal("0.0001")), line()))

    assert Deal.from_json(json.loads(json.dumps(original.to_json()))) == original
