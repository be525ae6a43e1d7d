"""The business processes, in the order they happen. Importing this package registers their tasks."""

from crmsync.flows import (
    catch_up,
    compare_invoices,
    compare_orders,
    deal_status,
    inventory,
    invoice_to_deal,
    order_to_invoice,
    payment_to_invoices,
)

__all__ = [
    "catch_up",
    "compare_invoices",
    "compare_orders",
    "deal_status",
    "inventory",
    "invoice_to_deal",
    "order_to_invoice",
    "payment_to_invoices",
]
