"""What was announced, newest first, each with the run that it concerns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from crmsync.domain.runs import RunStatus
from crmsync.domain.webhooks import Action, action_taken, lines_after
from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import connection_of, is_of_catch_up
from crmsync.store.owners import Owners
from crmsync.store.tables import deliveries, runs
from crmsync.worker.flow import FLOWS

WEBHOOK, SEEN_BY_CATCH_UP = "webhook", "catch_up"
_FLOWS = (order_to_invoice.FLOW.name, payment_to_invoices.FLOW.name)  # what doors announce


@dataclass(frozen=True, slots=True)
class EventRow:
    """*connection* is where it was announced, or seen by catch-up; *status* is that of the run, "" without one.

    *payload* is what is kept of a webhook's body, None where it was no JSON.
    """

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
    action: Action
    payload: dict[str, Any] | None


def newest_deliveries(
    uow: UnitOfWork, tenant: str | None, *, connection: str = "", subject_key: str = "", before: int = 0, limit: int
) -> list[EventRow]:
    """Webhooks, and changes that catch-up saw, of a tenant (None: of all); older than the event *before*."""
    wanted = [each for each in uow.deliveries.sources(tenant) if connection in ("", connection_of(each))]
    query = select(deliveries).where(deliveries.c.source.in_(wanted)).order_by(deliveries.c.id.desc()).limit(limit)
    if subject_key:
        query = query.where(deliveries.c.subject_key == subject_key)
    if before:
        query = query.where(deliveries.c.id < before)
    rows = uow.connection.execute(query).all()
    concerned = _Concerned(uow, rows)
    return [_told(uow.owners, row, concerned) for row in rows]


def _told(owners: Owners, row: Row[Any], concerned: _Concerned) -> EventRow:
    source = connection_of(row.source)
    run = concerned.run_of(row)
    return EventRow(
        id=row.id,
        tenant=owners.tenant_of(source),
        via=SEEN_BY_CATCH_UP if is_of_catch_up(row.source) else WEBHOOK,
        connection=source,
        event_key=row.event_key or "",
        subject_key=row.subject_key,
        received_at=row.received_at,
        is_healed=row.is_healed,
        run_id=run.id if run else None,
        status=run.status if run else "",
        action=concerned.action_of(row),
        payload=json.loads(row.payload) if row.payload else None,
    )


class _Concerned:
    """The runs that some events concern, and what those have done."""

    def __init__(self, uow: UnitOfWork, rows: Sequence[Row[Any]]) -> None:
        columns = (runs.c.source, runs.c.subject_key, runs.c.id, runs.c.flow, runs.c.status, runs.c.created_at)
        is_it = (runs.c.flow.in_(_FLOWS), runs.c.subject_key.in_({row.subject_key for row in rows}))
        found = uow.connection.execute(select(*columns).where(*is_it)).all() if rows else []
        self._runs: dict[tuple[str, str], Any] = {(each.source, each.subject_key): each for each in found}
        ids = [each.id for each in self._runs.values()]
        self._lines = uow.history.of_runs(ids)
        payments = payment_to_invoices.find_invoices
        learned = uow.runs.learned_by(ids, payments.step) if ids else {}
        self._payments = {run_id: payments.learns.peek(result) for run_id, result in learned.items()}

    def run_of(self, event: Row[Any]) -> Row[Any] | None:
        return self._runs.get((connection_of(event.source), event.subject_key))

    def action_of(self, event: Row[Any]) -> Action:
        run = self.run_of(event)
        if run is None:
            return Action.PENDING
        steps = FLOWS[run.flow].steps
        payment = self._payments.get(run.id)
        return action_taken(
            lines_after(self._lines.get(run.id, ()), event.received_at, steps[0]),
            steps=steps,
            is_over=run.status in (RunStatus.DONE, RunStatus.DISCARDED),
            is_first=run.created_at >= event.received_at,
            is_gone=payment is not None and payment.is_gone,
            is_ours=payment is None or bool(payment.ours),
        )
