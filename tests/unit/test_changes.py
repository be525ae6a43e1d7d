"""What changed at a deal, and what that concerns: the difference of two readings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from crmsync.domain.changes import Change, are_grave, changes, changes_since
from crmsync.domain.customers import Address, Customer
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.meanings import Concern, Meaning, meanings
from crmsync.domain.money import Money
from tests.builders import customer, deal, line

MONEY, ACCOUNT, CUSTOMER, OTHER = Concern.MONEY, Concern.ACCOUNT, Concern.CUSTOMER, Concern.OTHER
SECOND = line(key="00kxx0000000002AAA", product_code="CABLE-1", quantity=Decimal(5), unit_price=Decimal("2"),
              total=Decimal("10.00"))  # fmt: skip


@pytest.mark.parametrize(
    ("now", "field", "before", "after", "concern"),
    [
        (deal(amount=Money.of("47100", "USD")), "amount", "47,000.00 USD", "47,100.00 USD", MONEY),
        (deal(amount=Money.of("47000", "EUR")), "amount", "47,000.00 USD", "47,000.00 EUR", MONEY),
        (deal(name="201 sensors"), "name", "200 sensors", "201 sensors", OTHER),
        (deal(is_won=False), "won", "yes", "no", OTHER),
        (deal(closed_on="2026-11-21"), "closed on", "2026-11-20", "2026-11-21", OTHER),
        (deal(purchase_order_number="PO-1"), "purchase order number", "", "PO-1", OTHER),
        (deal(order_number="4711"), "order number", "", "4711", OTHER),
        (deal(customer=customer(key="001B")), "account", "001xx000003dgb2AAA", "001B", ACCOUNT),
        (deal(customer=customer(name="Acme Inc")), "company", "Acme Ltd", "Acme Inc", CUSTOMER),
        (deal(customer=customer(email="x@acme.test")), "e-mail", "ap@acme.test", "x@acme.test", CUSTOMER),
        (deal(customer=customer(tax_number="DE1")), "tax number", "", "DE1", CUSTOMER),
        (deal(lines=(line(quantity=Decimal(210)),)), "line SENSOR-100: quantity", "200", "210", MONEY),
        (deal(lines=(line(unit_price=Decimal("230.00")),)), "line SENSOR-100: unit price", "235", "230", MONEY),
        (deal(lines=(line(description="S"),)), "line SENSOR-100: description", "Sensor", "S", OTHER),
        (deal(lines=(line(product_code="S-2"),)), "line SENSOR-100: product", "SENSOR-100", "S-2", MONEY),
        (deal(lines=(line(), SECOND)), "line CABLE-1", "", "5 × 2 = 10.00 USD", MONEY),
        (deal(lines=()), "line SENSOR-100", "200 × 235 = 47,000.00 USD", "", MONEY),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_change_is_told_with_what_it_concerns(now, field, before, after, concern):
    found = changes(deal(), now)

    assert [(each.field, each.before, each.after, each.concern) for each in found] == [(field, before, after, concern)]
    assert are_grave(found) is (concern in (MONEY, ACCOUNT))


@pytest.mark.parametrize(
    "now",
    [
        deal(),
        deal(amount=Money.of("47000.000", "USD")),
        deal(lines=(line(quantity=Decimal("200.00"), total=Decimal(47000)),)),
        deal(lines=(line(key="00kxx0000000009AAA"),)),
    ],
    ids=["the same", "amount in more digits", "numbers in other digits", "a line made anew"],
)
def test_what_is_no_change(now):
    assert changes(deal(), now) == []


def test_the_order_of_lines_is_no_change():
    assert changes(deal(lines=(line(), SECOND)), deal(lines=(SECOND, line()))) == []


def test_of_two_lines_alike_one_may_go():
    twin = line(key="00kxx0000000003AAA")

    assert [each.field for each in changes(deal(lines=(line(), twin)), deal(lines=(twin,)))] == ["line SENSOR-100"]


def test_persons_are_marked():
    now = deal(customer=customer(email="", first_name="Ida", last_name="Berg", address=Address(city="Springfield")))

    found = {each.field: each.is_personal for each in changes(deal(), now)}

    assert {field for field, is_personal in found.items() if is_personal} == {
        "e-mail", "first name", "last name", "street",
    }  # fmt: skip
    assert {"postal code", "region", "country"} <= set(found)


@pytest.mark.parametrize(
    ("net", "account", "expected"),
    [
        ("47000.00", customer().key, []),
        ("47000.00", "", []),
        ("46000.00", customer().key,
         [Change("amount of order 4711", "46,000.00 USD", "47,000.00 USD", MONEY)]),
        ("47000.00", "001B", [Change("account", "001B", customer().key, ACCOUNT)]),
    ],
    ids=["the same", "account unknown", "amount", "account"],
)  # fmt: skip
def test_where_no_reading_is_kept_the_documents_tell(net, account, expected):
    order = Document("4711", "4711", net=Money.of(net, "USD"))

    assert changes_since({"order": order}, account, deal()) == expected


def test_a_document_of_unknown_amount_tells_nothing():
    assert changes_since({"order": Document("4711", "4711")}, "", replace(deal())) == []


def test_a_field_that_says_nothing_of_itself_is_compared_and_one_of_a_customer_is_a_persons():
    @dataclass(frozen=True, slots=True)
    class NewerDeal(Deal):
        requested_on: str = ""

    @dataclass(frozen=True, slots=True)
    class NewerCustomer(Customer):
        phone: str = ""

    assert meanings(NewerDeal)["requested_on"] == Meaning(OTHER, "requested on")
    assert meanings(NewerCustomer)["phone"] == Meaning(CUSTOMER, "phone", is_personal=True)
