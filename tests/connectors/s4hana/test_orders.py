"""Orders: the one deep insert, what its answer says, and how an order is found again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crmsync import errors
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document, OrderRequest
from crmsync.domain.money import Money
from tests.builders import deal, line

from ..conftest import LoadFixture
from .conftest import ORDERS, Build, Sap

REFERENCE = "SF-006xx0000012abcAAA"
ORDER_SET = f"{ORDERS}/A_SalesOrder"


def request_for(made: Deal) -> OrderRequest:
    return OrderRequest(REFERENCE, "17100001", made)


@pytest.fixture
def creates(sap: Sap, build: Build, fixture: LoadFixture) -> Any:
    """The body that is sent for a deal."""

    def body_for(made: Deal, **changes: Any) -> Any:
        sap.gives_token(ORDERS)
        sap.answers("POST", ORDER_SET, fixture("order__created"), status=201)
        build(**changes).create_order(request_for(made))
        return sap.bodies()[0]

    return body_for


def test_an_order_is_one_deep_insert_with_strings_for_numbers(creates: Any) -> None:
    assert creates(deal()) == {
        "SalesOrderType": "OR",
        "SalesOrganization": "1010",
        "DistributionChannel": "10",
        "OrganizationDivision": "00",
        "SoldToParty": "17100001",
        "TransactionCurrency": "USD",
        "PurchaseOrderByCustomer": REFERENCE,
        "to_Item": [
            {
                "Material": "SENSOR-100",
                "RequestedQuantity": "200",
                "to_PricingElement": [
                    {
                        "ConditionType": "PPR0",
                        "ConditionRateValue": "235.00",
                        "ConditionCurrency": "USD",
                        "ConditionQuantity": "1",
                    }
                ],
            }
        ],
    }


def test_a_unit_is_named_where_the_settings_know_it(creates: Any) -> None:
    item = creates(deal(), quantity_unit="PC")["to_Item"][0]

    assert item["RequestedQuantityUnit"] == "PC"
    assert item["to_PricingElement"][0]["ConditionQuantityUnit"] == "PC"


@pytest.mark.parametrize(
    ("quantity", "unit_price", "total", "price"),
    [
        ("2", "33.50", "67", ("67", "2")),
        ("200", "235.00", "47000.00", ("235", "1")),
        ("2.5", "3333.20", "8333.00", ("16666", "5")),
        ("1", "33.50", "33.50", ("33.50", "1")),  # no whole forints: SAP decides
    ],
)
def test_a_price_has_no_cents_where_sap_keeps_none_of_the_currency(
    creates: Any, quantity: str, unit_price: str, total: str, price: tuple[str, str]
) -> None:
    made = line(quantity=Decimal(quantity), unit_price=Decimal(unit_price), total=Decimal(total))
    sent = creates(deal(amount=Money.of(total, "HUF"), lines=(made,)))["to_Item"][0]["to_PricingElement"][0]

    assert (sent["ConditionRateValue"], sent["ConditionQuantity"]) == price


def test_the_customers_own_order_number_goes_to_the_items(creates: Any) -> None:
    body = creates(deal(purchase_order_number="PO 88/1"))

    assert body["PurchaseOrderByCustomer"] == REFERENCE
    assert body["to_Item"][0]["PurchaseOrderByCustomer"] == "PO 88/1"


def test_or_to_the_header_where_the_reference_has_another_field(creates: Any) -> None:
    body = creates(deal(purchase_order_number="PO 88/1"), reference_field="AssignmentReference")

    assert body["PurchaseOrderByCustomer"] == "PO 88/1"
    assert body["AssignmentReference"] == "006xx0000012abcAAA"
    assert "PurchaseOrderByCustomer" not in body["to_Item"][0]


# quantity, unit price, total → rate, per
PRICES = {
    "the unit price": ("200", "235.00", "47000.00", "235.00", "1"),
    "a discount that divides evenly": ("10", "10.00", "95.00", "9.50", "1"),
    "a discount that does not": ("3", "4.00", "10.00", "10.00", "3"),
    "an exponent": ("2E+2", "235", "47000", "235.00", "1"),
    "a price finer than the cent": ("1000", "0.0125", "12.50", "12.50", "1000"),
    "half hours": ("2.5", "4.00", "10.01", "20.02", "5"),
    "more units than SAP can price": ("300000", "0.34", "100000.00", "1.00", "3"),
    "nothing": ("1", "5.00", "0.00", "0.00", "1"),
}


@pytest.mark.parametrize(("quantity", "unit_price", "total", "rate", "per"), PRICES.values(), ids=PRICES)
def test_the_price_comes_to_exactly_the_total(
    creates: Any, quantity: str, unit_price: str, total: str, rate: str, per: str
) -> None:
    priced = line(quantity=Decimal(quantity), unit_price=Decimal(unit_price), total=Decimal(total))

    price = creates(deal(lines=(priced,), amount=Money.of(total, "USD")))["to_Item"][0]["to_PricingElement"][0]

    assert (price["ConditionRateValue"], price["ConditionQuantity"]) == (rate, per)
    assert Decimal(rate) / Decimal(per) * Decimal(quantity) == pytest.approx(Decimal(total), abs=Decimal("1e-20"))


# what is wrong with the second line, or with the deal → the field that is named
MISFITS = {
    "product code": ({"product_code": "X" * 41}, {}, "lines[2].product_code"),
    "quantity too fine": ({"quantity": Decimal("0.0001")}, {}, "lines[2].quantity"),
    "quantity too large": ({"quantity": Decimal("1E+13")}, {}, "lines[2].quantity"),
    "no price for a whole number of units": (
        {"quantity": Decimal("99999999999.999"), "total": Decimal("618033988.75")},
        {},
        "lines[2].quantity",
    ),
    "purchase order number": ({}, {"purchase_order_number": "P" * 36}, "purchase_order_number"),
}


@pytest.mark.parametrize(("of_line", "of_deal", "field"), MISFITS.values(), ids=MISFITS)
def test_what_sap_can_not_hold_is_never_sent(
    sap: Sap, build: Build, of_line: dict[str, Any], of_deal: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.MappingError) as caught:
        build().create_order(request_for(deal(lines=(line(), line(**of_line)), **of_deal)))

    assert list(caught.value.field_errors) == [field]
    assert caught.value.is_definite


def test_a_reference_too_long_for_its_field_is_never_sent(sap: Sap, build: Build) -> None:
    long = OrderRequest("SF-" + "x" * 40, "17100001", deal())

    with pytest.raises(errors.MappingError):
        build().create_order(long)


# fixture, or the total in its place → the net amount read
NET = {
    "null": (None, None),
    "empty": ("", None),
    "zero": ("0.000", None),
    "no number": ("n/a", None),
    "computed": ("47000.000", Money.of("47000.000", "USD")),
    "a number": (47000, Money.of("47000", "USD")),
}


@pytest.mark.parametrize(("total", "net"), NET.values(), ids=NET)
def test_a_total_that_is_not_computed_yet_is_none(
    sap: Sap, build: Build, fixture: LoadFixture, total: Any, net: Money | None
) -> None:
    answer = fixture("order__created")
    answer["d"]["TotalNetAmount"] = total
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, answer, status=201)

    assert build().create_order(request_for(deal())) == Document("4711", "4711", net=net)


def test_zeros_before_the_number_are_dropped(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, fixture("order__created_with_total"), status=201)

    made = build().create_order(request_for(deal()))

    assert (made.key, made.net) == ("4711", Money.of("47000.00", "USD"))


def test_a_remark_on_a_success_is_logged_by_its_code_alone(
    sap: Sap, build: Build, fixture: LoadFixture, caplog: pytest.LogCaptureFixture
) -> None:
    header = "%7B%22code%22%3A%22V1%2F555%22%2C%22message%22%3A%22Ann%20Lee%22%2C%22severity%22%3A%22warning%22%7D"
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, fixture("order__created"), status=201, headers={"sap-message": header})

    build().create_order(request_for(deal()))

    (record,) = (each for each in caplog.records if each.name.startswith("crmsync"))
    assert (record.action, record.code) == ("vendor_remark", "V1/555")  # type: ignore[attr-defined]
    assert "Ann" not in caplog.text


def test_an_order_is_read_by_its_key(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", f"{ORDER_SET}('4711')", fixture("order__read"))

    assert build().read_order("4711") == Document("4711", "4711", net=Money.of("47000.00", "USD"))


def test_a_rejected_order_is_void(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", f"{ORDER_SET}('4711')", fixture("order__rejected"))

    assert build().read_order("4711") == Document("4711", "4711", net=Money.of("0.00", "USD"), is_void=True)


def test_orders_are_found_by_exactly_their_reference(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", ORDER_SET, fixture("orders__by_reference"))

    found = build().find_orders(REFERENCE)

    assert [(each.number, each.is_void) for each in found] == [("4710", True), ("4711", False)]
    assert sap.queries()[0]["$filter"] == f"PurchaseOrderByCustomer eq '{REFERENCE}'"


def test_or_by_the_assignment(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", ORDER_SET, fixture("orders__by_assignment"))

    found = build(reference_field="AssignmentReference").find_orders(REFERENCE)

    assert [each.number for each in found] == ["4711"]
    assert sap.queries()[0]["$filter"] == "AssignmentReference eq '006xx0000012abcAAA'"


def test_a_missing_service_is_not_a_missing_order(sap: Sap, build: Build) -> None:
    sap.answers("GET", ORDER_SET, {"error": {"code": "/IWFND/MED/170"}}, status=404)

    with pytest.raises(errors.AccountRefusedError):
        build().find_orders(REFERENCE)
