"""Deals and lines for tests, by their numbers alone."""

from __future__ import annotations

from decimal import Decimal

from crmsync.domain.customers import Customer
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.documents import InvoiceRequest
from crmsync.domain.money import Money

REFERENCE = "SF-006xx0000012abcAAA"
CUSTOMER_KEY = "460000000026049"


def line(
    quantity: str, unit_price: str, total: str, *, code: str = "GC1060", description: str = "Generator"
) -> DealLine:
    return DealLine("00k", code, description, Decimal(quantity), Decimal(unit_price), Decimal(total))


def deal(*lines: DealLine, currency: str = "USD") -> Deal:
    """A won deal whose amount is the sum of its lines."""
    amount = Money(sum((each.total for each in lines), Decimal(0)), currency)
    return Deal("006xx0000012abcAAA", "Generators", True, amount, Customer("001", "Acme GmbH"), lines)


def invoice_request(*lines: DealLine, currency: str = "USD", send: bool = False) -> InvoiceRequest:
    return InvoiceRequest(REFERENCE, CUSTOMER_KEY, deal(*lines, currency=currency), payment_terms_days=30, send=send)
