"""How the pages write names, instants and durations."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from crmsync.domain.stock import plain

_NAMES = {
    "s4hana": "SAP S/4HANA",
    "salesforce": "Salesforce",
    "zoho_books": "Zoho Books",
    "match_erp_customer": "Match ERP customer",
    "write_back": "Write back",
    "catch_up_deals": "Catch-up of deals",
    "catch_up_payments": "Catch-up of payments",
    "compare_orders": "Comparison of orders",
    "compare_invoices": "Comparison of invoices",
    "deal_status": "Status of deals",
    "retry": "failed, tried again",
    "discarded": "given up",
}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def label(name: str) -> str:
    """A name of the code as people read it.

    >>> label("order_to_invoice"), label("s4hana")
    ('Order to invoice', 'SAP S/4HANA')
    """
    return _NAMES.get(name, name.replace("_", " ").capitalize())


def span(seconds: float) -> str:
    """A duration, in its largest unit.

    >>> span(0.42), span(59.9), span(61), span(7300), span(200_000)
    ('0.4 s', '59 s', '1 min', '2 h', '2 d')
    """
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    return next((f"{int(seconds // size)} {unit}" for size, unit in _UNITS if seconds >= size), f"{int(seconds)} s")


def age(instant: datetime, now: datetime) -> str:
    """How long ago, or in how long.

    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> age(noon - timedelta(minutes=3), noon), age(noon + timedelta(seconds=30), noon), age(noon, noon)
    ('3 min ago', 'in 30 s', 'just now')
    """
    seconds = (now - instant).total_seconds()
    if abs(seconds) < 2:
        return "just now"
    whole = span(float(int(abs(seconds)))).replace(".0 s", " s")
    return f"{whole} ago" if seconds > 0 else f"in {whole}"


def utc(instant: datetime) -> str:
    """2026-11-20 09:15:03 UTC"""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def plural(count: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "run"), plural(1200, "run"), plural(0, "delivery", "deliveries")
    ('1 run', '1,200 runs', '0 deliveries')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def quantity(number: Decimal | None) -> str:
    """
    >>> quantity(Decimal("12500")), quantity(Decimal("0.500000")), quantity(None)
    ('12,500', '0.5', '–')
    """
    return "–" if number is None else f"{plain(number):,f}"


FILTERS = (label, span, age, utc, plural, quantity)
