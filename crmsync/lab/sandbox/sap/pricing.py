"""Prices of order items: a unit price from PPR0, and two kinds of discount."""

from decimal import ROUND_HALF_UP, Decimal

from crmsync.lab.sandbox import numbers
from crmsync.lab.sandbox.sap.metadata import Row

CONDITIONS = {"PPR0": "price", "DPR1": "percent", "DRV1": "value"}
WITHOUT_CENTS = frozenset(("COP", "HUF", "IDR", "LAK", "TWD"))  # in TCURX as SAP delivers it, unlike in ISO 4217


def places(currency: str) -> int:
    """How many digits SAP has for a currency.

    >>> [places(currency) for currency in ("EUR", "HUF", "KWD")]
    [2, 0, 3]
    """
    return 0 if currency in WITHOUT_CENTS else numbers.places(currency)


def amount(value: Decimal, currency: str) -> Decimal:
    """Round to the currency's digits.

    >>> amount(Decimal("2.345"), "EUR")
    Decimal('2.35')
    """
    return value.quantize(Decimal(1).scaleb(-places(currency)), ROUND_HALF_UP)


def net_amount(item: Row, elements: list[Row]) -> Decimal:
    """Quantity times PPR0's rate per its quantity, then discounts; sets each element's own amount.

    A percentage counts on the price, a value as it stands; discounts carry their own (negative) sign.
    """
    net = price = Decimal(0)
    for element in sorted(elements, key=lambda one: CONDITIONS[one["ConditionType"]] != "price"):
        element["ConditionAmount"] = part = _part(element, item, price)
        price = part if CONDITIONS[element["ConditionType"]] == "price" else price
        net += part
    return net


def _part(element: Row, item: Row, price: Decimal) -> Decimal:
    rate, kind = element["ConditionRateValue"], CONDITIONS[element["ConditionType"]]
    if kind == "price":
        raw = item["RequestedQuantity"] * rate / element["ConditionQuantity"]
    else:
        raw = price * rate / 100 if kind == "percent" else rate
    return amount(raw, item["TransactionCurrency"])
