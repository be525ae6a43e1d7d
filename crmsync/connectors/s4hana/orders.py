"""A deal as a sales order: header, items, and the price of each as a pricing element. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crmsync.connectors.s4hana.schemas import ItemSchema, Order, OrderSchema, PriceSchema, misfit, written
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.documents import Document, OrderRequest
from crmsync.domain.money import Money
from crmsync.domain.prices import Price, price_of
from crmsync.domain.references import fitted, forms_of

PURCHASE_ORDER = "PurchaseOrderByCustomer"
ASSIGNMENT = "AssignmentReference"
REJECTED = "C"  # every item of the order is rejected: SAP's way to void it
# "The document is not yet complete", from the two applications that make orders: a warning that comes with a success.
# No field of the order says it later; but while it is so, nothing follows upon the order.
INCOMPLETE = frozenset({"SLS_LORD/009", "V1/555"})
IN_HAND = ("B", "C")  # processed in part, or completely; A: nothing has followed yet
NOT_AWAITED = ("", "B")  # an approval: none is needed, or it was given; A: awaited, C: refused
CREDIT_REFUSED = ("B", "C")  # not passed, not passed in part; A: passed, D: released by a person

_LENGTHS = {PURCHASE_ORDER: 35, ASSIGNMENT: 18}
_PER_MAX = 99_999  # ConditionQuantity is a Decimal(5,0)
# They have cents by ISO 4217, and none in SAP's own table of decimals (TCURX) as it is delivered. [Note 137626]
_WITHOUT_CENTS = frozenset("COP HUF IDR LAK TWD".split())

_ORDER = OrderSchema()
_ITEM = ItemSchema()
_PRICE = PriceSchema()


def order_body(request: OrderRequest, settings: SapSettings) -> dict[str, Any]:
    """The one deep insert of an order.

    Raises: MappingError naming the deal's field that SAP can't hold.
    """
    deal = request.deal
    purchase_order = written(_ORDER, {"purchase_order": deal.purchase_order_number}, "")
    is_taken = settings.reference_field == PURCHASE_ORDER
    return {
        "SalesOrderType": settings.order_type,
        "SalesOrganization": settings.sales_organization,
        "DistributionChannel": settings.distribution_channel,
        "OrganizationDivision": settings.division,
        "SoldToParty": request.customer_key,
        "TransactionCurrency": deal.amount.currency,
        **({} if is_taken else purchase_order),
        settings.reference_field: stored_reference(request.reference, settings.reference_field),
        "to_Item": _items(deal, settings, purchase_order if is_taken else {}),
    }


def stored_reference(reference: str, field: str) -> str:
    """*reference* as it fits into *field*.

    AssignmentReference has 18 characters, and PurchaseOrderByCustomer 35.

    >>> stored_reference("SF-006xx0000012abcAAA", "PurchaseOrderByCustomer")
    'SF-006xx0000012abcAAA'
    >>> stored_reference("SF-006xx0000012abcAAA", "AssignmentReference")
    '006xx0000012abcAAA'
    >>> stored_reference("SF-006xx0000012abcAAA-2", "AssignmentReference")
    '006xx0000012abc-2'
    """
    limit = _LENGTHS[field]
    stored = fitted(reference, limit)
    if not stored:
        shortest = len(forms_of(reference)[-1])
        raise misfit("key", f"as reference has {shortest} characters, {field} holds {limit}")
    return stored


def carries(order: Order, reference: str, field: str) -> bool:
    """Whether *order* has exactly *reference*: neither field is upper-cased by SAP."""
    return reference == (order.purchase_order if field == PURCHASE_ORDER else order.assignment)


def document(order: Order) -> Document:
    net = Money(order.net, order.currency) if order.net is not None and order.currency else None
    return Document(
        key=order.number,
        number=order.number,
        net=net,
        is_void=order.rejection == REJECTED,
        holds=holds(order),
        is_in_hand=order.progress in IN_HAND,
    )


def created_document(order: Order, remarks: Sequence[str]) -> Document:
    """A deal is never worth nothing, so a zero right after the create means: not computed yet."""
    made = document(order if order.net else replace(order, net=None))
    return replace(made, remarks=tuple(remarks), is_incomplete=not INCOMPLETE.isdisjoint(remarks))


def holds(order: Order) -> tuple[str, ...]:
    """What keeps *order* from being delivered or billed, in words.

    >>> holds(Order("1", "1", None, "EUR", "", "", "", billing_block="01", credit="B"))
    ('billing block 01', 'the credit check was not passed')
    """
    found = {
        f"billing block {order.billing_block}": order.billing_block,
        f"delivery block {order.delivery_block}": order.delivery_block,
        "the credit check was not passed": order.credit in CREDIT_REFUSED,
        f"approval status {order.approval}": order.approval not in NOT_AWAITED,
    }
    return tuple(words for words, is_so in found.items() if is_so)


def _items(deal: Deal, settings: SapSettings, header: dict[str, Any]) -> list[dict[str, Any]]:
    unit = settings.quantity_unit
    return [
        {
            **written(_ITEM, line, f"lines[{position}]"),
            **({"RequestedQuantityUnit": unit} if unit else {}),
            **header,
            "to_PricingElement": [_price(line, position, deal.amount.currency, settings)],
        }
        for position, line in enumerate(deal.lines, start=1)
    ]


def _price(line: DealLine, position: int, currency: str, settings: SapSettings) -> dict[str, Any]:
    price = _price_of(line, currency)
    if price is None:
        raise misfit(f"lines[{position}].quantity", _no_price(line, currency))
    unit = settings.quantity_unit
    return {
        "ConditionType": settings.price_condition_type,
        **written(_PRICE, price, f"lines[{position}]"),
        "ConditionCurrency": currency,
        **({"ConditionQuantityUnit": unit} if unit else {}),
    }


def _price_of(line: DealLine, currency: str) -> Price | None:
    """Without cents where SAP keeps none; with them if the line has some all the same: SAP decides."""
    whole = price_of(line, currency, digits=0, per_max=_PER_MAX) if currency in _WITHOUT_CENTS else None
    return whole or price_of(line, currency, per_max=_PER_MAX)


def _no_price(line: DealLine, currency: str) -> str:
    return (
        f"is {line.quantity:f}, and no price for up to {_PER_MAX:,} units makes exactly {line.total_in(currency)}: "
        "divide the line into several"
    )
