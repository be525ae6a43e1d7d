"""How the pages write names, instants and durations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from crmsync.alerts.content import refusal_name
from crmsync.connectors.registry import systems, title
from crmsync.domain.stock import plain
from crmsync.phrases import about, capital, plural, span, whole_span
from crmsync.reading.flows import title_of
from crmsync.reading.run import DeliveryRow, RunLink
from crmsync.reading.runs import Found, RunRow
from crmsync.store.owners import Owners
from crmsync.store.refusals import Refused

_STATES = {"retry": "failed, tried again", "discarded": "given up"}


def label(name: str) -> str:
    """A name of the code as people read it.

    >>> label("order_to_invoice"), label("match_erp_customer"), label("retry")
    ('Order to invoice', 'Match ERP customer', 'failed, tried again')
    """
    system = systems().get(name)
    return system.title if system else _STATES.get(name) or title_of(name)


def connection_name(owners: Owners, connection: str) -> str:
    """What people call a connection; its system's title where it is the environment's."""
    name = owners.name_of(connection)
    return title(name) if name == connection else name


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
    whole = whole_span(abs(seconds))
    return f"{whole} ago" if seconds > 0 else f"in {whole}"


def utc(instant: datetime) -> str:
    """2026-11-20 09:15:03 UTC"""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def subject_name(run: RunRow | RunLink) -> str:
    """'Payment 46000000012345'"""
    return capital(about(run.subject, run.key, is_only_one=run.is_only_one))


def run_name(run: RunRow) -> str:
    """'Acme Ltd – 200 sensors', or what it is for while its source was not read."""
    return run.title or subject_name(run)


def link_name(link: RunLink) -> str:
    """'Invoice 98200001, Acme Ltd – 200 sensors'"""
    return ", ".join(filter(None, (subject_name(link), link.title)))


def quantity(number: Decimal | None) -> str:
    """
    >>> quantity(Decimal("12500")), quantity(Decimal("0.500000")), quantity(None)
    ('12,500', '0.5', '–')
    """
    return "–" if number is None else f"{plain(number):,f}"


def refused(row: Refused) -> str:
    """'Deals: wrong signature'"""
    return refusal_name(row.door, row.reason)


def announced(deliveries: Sequence[DeliveryRow]) -> str:
    """How often a run's subject was announced, and how the last time; "" where it never was.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> announced([DeliveryRow("crm", noon, False)]), announced([])
    ('2026-11-20 12:00:00 UTC, by a webhook', '')
    """
    if not deliveries:
        return ""
    last, often = deliveries[-1], f"{plural(len(deliveries), 'time')}, last " if len(deliveries) > 1 else ""
    return f"{often}{utc(last.received_at)}, by {'a webhook' if last.is_webhook else 'catch-up'}"


def found_json(found: Found) -> dict[str, Any]:
    """A run that a search found, for programs."""
    run = found.run
    shown = {name: getattr(run, name) for name in _FOUND_FIELDS} | {"money": str(run.money or "")}
    return {"run": shown, "what": found.what, "is_direct": found.is_direct}


_FOUND_FIELDS = ("id", "flow", "subject", "key", "title", "state", "step", "created_at", "updated_at")

FILTERS = (label, span, age, utc, plural, quantity, refused, announced, subject_name, run_name, link_name)
