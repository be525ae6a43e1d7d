"""Deals, runs and errors as tests want them: everything has a default, a test says only what matters to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from crmsync.domain.customers import Address, Customer
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.learned import InvoiceRead
from crmsync.domain.money import Money
from crmsync.domain.payments import PaymentFigures
from crmsync.domain.runs import Run, RunStatus
from crmsync.lab.sandbox.salesforce.oauth import make_key

NOW = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
DEAL_KEY = "006xx0000012abcAAA"


@cache
def private_pem() -> str:
    """A key with which nobody signs in anywhere."""
    return make_key().private_pem


def line(**changes: Any) -> DealLine:
    made = DealLine("00kxx0000000001AAA", "SENSOR-100", "Sensor", Decimal(200), Decimal("235.00"), Decimal("47000.00"))
    return replace(made, **changes)


def customer(**changes: Any) -> Customer:
    address = Address("Main Street 1", "Springfield", "12345", "IL", "United States")
    return replace(Customer("001xx000003dgb2AAA", "Acme Ltd", "ap@acme.test", address=address), **changes)


def deal(**changes: Any) -> Deal:
    made = Deal(DEAL_KEY, "200 sensors", True, Money.of("47000.00", "USD"), customer(), (line(),), "2026-11-20")
    return replace(made, **changes)


def invoice_read(**changes: Any) -> InvoiceRead:
    """As the run of an invoice has learned it; *status* is what its deal says of it."""
    nothing = PaymentFigures(
        is_received=False, amount=Money.of(0, "USD"), paid_on=None, status=changes.pop("status", "")
    )
    return replace(InvoiceRead(DEAL_KEY, "INV-1", "47000.00", False, nothing, NOW), **changes)


def run(**changes: Any) -> Run:
    made = Run("r" * 32, "order_to_invoice", DEAL_KEY, RunStatus.ACTIVE, "create_order", "c" * 32, NOW, NOW, NOW)
    return replace(made, **changes)
