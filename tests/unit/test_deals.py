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
        (deal(is_won=False), "is_won"),
        (deal(lines=()), "lines"),
        (deal(lines=(line(product_code=""),)), "lines[1].product_code"),
        (deal(lines=(line(), line(quantity=Decimal(0), total=Decimal(0)))), "lines[2].quantity"),
        (
            deal(lines=(line(total=Decimal("48000")), line(total=Decimal("-1000")))),
            "lines[2].total",
        ),
        (deal(amount=Money.of("0", "USD")), "amount"),
        (deal(amount=Money.of("47000.01", "USD")), "amount"),
        (deal(amount=Money.of("47000", "")), "amount.currency"),
        (deal(customer=customer(key="")), "customer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_deal_is_refused_by_the_field_at_fault(broken: Deal, field: str) -> None:
    with pytest.raises(InvalidDealError) as refused:
        check(broken)

    assert field in refused.value.field_errors
    assert field in str(refused.value)


def of_totals(amount: str, *totals: str, currency: str = "USD") -> Deal:
    lines = tuple(line(quantity=Decimal(1), unit_price=Decimal(total), total=Decimal(total)) for total in totals)
    return deal(lines=lines, amount=Money.of(amount, currency))


@pytest.mark.parametrize(
    "fine",
    [
        of_totals("1300.5617283950617", "1300.5617283950617"),
        of_totals("0.30000000000000004", "0.1", "0.20000000000000004"),
        of_totals("99.9999999999", "99.9999999999"),
        of_totals("100.02", "50.005", "50.005"),
        of_totals("100.00", "33.3333333333", "66.6666666667"),
        of_totals("150", "99.5", "50.4", currency="JPY"),
        of_totals("1.002", "0.5005", "0.5005", currency="KWD"),
        of_totals("10", "10", "-0.0"),
        of_totals("10", "10", "0.004"),
    ],
    ids=["a quotient", "binary", "thirds", "rounded up twice", "up and down", "no decimals", "three", "-0", "a trifle"],
)
def test_the_amount_is_compared_with_what_documents_will_bill(fine: Deal) -> None:
    check(fine)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (of_totals("100.01", "50.005", "50.005"), "is 100.01 USD, but the products add up to 100.02 USD as each"),
        (of_totals("0.01", "0.004", "0.004"), "is 0.01 USD, but the products add up to 0.00 USD as each"),
        (of_totals("300", "99.5", "99.5", "99.5", currency="JPY"), None),
        (
            of_totals("299", "99.5", "99.5", "99.5", currency="JPY"),
            "is 299 JPY, but the products add up to 300 JPY as each",
        ),
        (of_totals("90", "50", "50"), "is 90.00 USD, but the products add up to 100.00 USD"),
        (of_totals("0.004", "0.004"), "must be more than zero, is 0.00 USD"),
    ],
)
def test_a_cent_of_difference_stops_the_deal_with_both_figures(broken: Deal, problem: str | None) -> None:
    if problem is None:
        check(broken)
        return
    with pytest.raises(InvalidDealError) as refused:
        check(broken)

    assert refused.value.field_errors["amount"].startswith(problem)
    assert ("need no rounding" in str(refused.value)) == ("as each" in problem)


@pytest.mark.parametrize(
    ("changes", "field", "cure"),
    [
        ({"total": Decimal("-1000")}, "total", "lower the price of the products that it is off"),
        ({"unit_price": Decimal("-5"), "total": Decimal("-1000")}, "total", "credit it in the books"),
        ({"quantity": Decimal("-2"), "total": Decimal("-470")}, "quantity", "take a return out of the deal"),
        ({"quantity": Decimal("-2"), "unit_price": Decimal("-5"), "total": Decimal(10)}, "quantity", "credit it"),
    ],
    ids=["a discount", "a negative price", "a return", "a return of a discount"],
)
def test_a_discount_or_a_return_as_a_line_is_refused_with_what_to_do(
    changes: dict[str, Decimal], field: str, cure: str
) -> None:
    lines = (line(), line(**changes))
    total = sum((each.total for each in lines), Decimal(0))

    with pytest.raises(InvalidDealError) as refused:
        check(deal(lines=lines, amount=Money(total, "USD")))

    assert cure in refused.value.field_errors[f"lines[2].{field}"]


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InvalidDealError) as refused:
        check(deal(is_won=False, lines=()))

    assert set(refused.value.field_errors) == {"is_won", "lines"}


def test_a_deal_survives_its_way_through_json() -> None:
    original = deal(lines=(line(unit_price=Decimal("0.0001")), line()))

    assert Deal.from_json(json.loads(json.dumps(original.to_json()))) == original
