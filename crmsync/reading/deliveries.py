"""What was announced, newest first, each with the run that it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import CATCH_UP
from crmsync.store.tables import deliveries, runs

WEBHOOK, SEEN_BY_CATCH_UP = "webhook", "catch_up"
_FLOWS = (order_to_invoice.FLOW.name, payment_to_invoices.FLOW.name)  # what doors announce


@dataclass(frozen=True, slots=True)
class EventRow:
    """*source* is who announced it, or of catch-up the flow; *status* is that of the run, "" where there is none."""

    id: int
    via: str
    source: str
    event_key: str
    subject_key: str
    received_at: datetime
    is_healed: bool
    run_id: str | None
    status: str


def newest_deliveries(
    uow: UnitOfWork, *, source: str = "", subject_key: str = "", before: int = 0, limit: int
) -> list[EventRow]:
    """Webhooks, and changes that catch-up saw; older than the event *before*."""
    query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    for column, value in ((deliveries.c.source, source), (deliveries.c.subject_key, subject_key)):
        if value:
            query = query.where(column == value)
    if before:
        query = query.where(deliveries.c.id < before)
    rows = uow.connection.execute(query).all()
    known = _runs(uow, [row.subject_key for row in rows])
    return [
        EventRow(
            id=row.id,
            via=SEEN_BY_CATCH_UP if row.source.startswith(CATCH_UP) else WEBHOOK,
            source=row.source.removeprefix(CATCH_UP),
            event_key=row.event_key or "",
            subject_key=row.subject_key,
            received_at=row.received_at,
            is_healed=row.is_healed,
            run_id=known.get(row.subject_key, (None, ""))[0],
            status=known.get(row.subject_key, (None, ""))[1],
        )
        for row in rows
    ]


def _runs(uow: UnitOfWork, subjects: list[str]) -> dict[str, tuple[str, str]]:
    if not subjects:
        return {}
    query = select(runs.c.subject_key, runs.c.id, runs.c.status).where(
        runs.c.flow.in_(_FLOWS), runs.c.subject_key.in_(subjects)
    )
    return {row.subject_key: (row.id, row.status) for row in uow.connection.execute(query)}
