"""What was announced, newest first, each with the run that it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.reading.tenants import Owners
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import connection_of, is_of_catch_up
from crmsync.store.tables import deliveries, runs

WEBHOOK, SEEN_BY_CATCH_UP = "webhook", "catch_up"
_FLOWS = (order_to_invoice.FLOW.name, payment_to_invoices.FLOW.name)  # what doors announce


@dataclass(frozen=True, slots=True)
class EventRow:
    """*connection* is where it was announced, or seen by catch-up; *status* is that of the run, "" without one."""

    id: int
    tenant: str
    via: str
    connection: str
    event_key: str
    subject_key: str
    received_at: datetime
    is_healed: bool
    run_id: str | None
    status: str


def newest_deliveries(
    uow: UnitOfWork, tenant: str | None, *, connection: str = "", subject_key: str = "", before: int = 0, limit: int
) -> list[EventRow]:
    """Webhooks, and changes that catch-up saw, of a tenant (None: of all); older than the event *before*."""
    owners = Owners(uow)
    known = [source for source in uow.deliveries.sources() if owners.is_of(tenant, connection_of(source))]
    wanted = [source for source in known if connection in ("", connection_of(source))]
    query = select(deliveries).where(deliveries.c.source.in_(wanted)).order_by(deliveries.c.id.desc()).limit(limit)
    if subject_key:
        query = query.where(deliveries.c.subject_key == subject_key)
    if before:
        query = query.where(deliveries.c.id < before)
    rows = uow.connection.execute(query).all()
    of = _runs(uow, [row.subject_key for row in rows])
    found = []
    for row in rows:
        source = connection_of(row.source)
        run_id, status = of.get((source, row.subject_key), (None, ""))
        found.append(
            EventRow(
                id=row.id,
                tenant=owners.tenant_of(source),
                via=SEEN_BY_CATCH_UP if is_of_catch_up(row.source) else WEBHOOK,
                connection=source,
                event_key=row.event_key or "",
                subject_key=row.subject_key,
                received_at=row.received_at,
                is_healed=row.is_healed,
                run_id=run_id,
                status=status,
            )
        )
    return found


def _runs(uow: UnitOfWork, subjects: list[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """The run of each subject of each connection, and its status."""
    if not subjects:
        return {}
    query = select(runs.c.source, runs.c.subject_key, runs.c.id, runs.c.status).where(
        runs.c.flow.in_(_FLOWS), runs.c.subject_key.in_(subjects)
    )
    return {(row.source, row.subject_key): (row.id, row.status) for row in uow.connection.execute(query)}
