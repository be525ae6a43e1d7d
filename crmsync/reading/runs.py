"""Runs in a list: the newest, or those that a number or a name finds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.flows import invoice_to_deal
from crmsync.reading.flows import subject_of
from crmsync.store import UnitOfWork
from crmsync.store.run_lists import Place
from crmsync.worker.finding import find

RUNS_SHOWN = 100
DEAL = "deal"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list.

    *money* is None until its source was read; *deal* is the key of the deal that it is for, or that its invoice belongs
    to; *state* is its status, or of an active one whether it is running or waiting.
    """

    id: str
    tenant: str
    source: str
    flow: str
    subject: str
    key: str
    deal: str
    title: str
    money: Money | None
    status: RunStatus
    state: str
    step: str
    attempts: int
    correlation_id: str
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    leased_until: datetime | None

    @property
    def is_only_one(self) -> bool:
        """Whether it is the only run of its flow, which comes back each period."""
        return self.key == self.flow


@dataclass(frozen=True, slots=True)
class RunList:
    """*next_place* is where the next page begins; None where this one is the last."""

    rows: Sequence[RunRow]
    next_place: Place | None = None


def newest_runs(
    uow: UnitOfWork,
    tenant: str | None,
    *,
    limit: int | None = None,
    status: str = "",
    flow: str = "",
    source: str = "",
    without: Collection[str] = (),
    after: Place | None = None,
) -> RunList:
    """The newest runs of a tenant, None: of all, that come *after* a place in the list.

    Of *flow* only, or of all flows but those *without*.
    """
    most = RUNS_SHOWN if limit is None else limit
    found = uow.runs.listed(
        tenant, limit=most + 1, status=status, flow=flow, source=source, without=without, after=after
    )
    rows = run_rows(uow, found[:most])
    return RunList(rows, Place(rows[-1].created_at, rows[-1].id) if len(found) > most else None)


def run_called(uow: UnitOfWork, tenant: str | None, flow: str, key: str) -> Run | None:
    """The newest run of *flow* for what has this key at any connection of *tenant*, None: of anybody."""
    return next(iter(uow.runs.called(tenant, flow, key)), None)


def text_of(place: Place | None) -> str:
    """A place as an address has it; "" for none."""
    return f"{place.created_at.isoformat()},{place.run_id}" if place else ""


def place_of(text: str) -> Place | None:
    """None for the beginning of the list, and for what is no place."""
    created_at, _, run_id = text.partition(",")
    try:
        instant = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return Place(instant, run_id) if instant.tzinfo else None


@dataclass(frozen=True, slots=True)
class Found:
    """A run, and *what* of it has the number that was searched; not *is_direct*: it is only related to it."""

    run: RunRow
    what: str
    is_direct: bool


def found_runs(
    uow: UnitOfWork, tenant: str | None, text: str, *, status: str = "", flow: str = "", everything: bool = True
) -> list[Found]:
    """Runs by whatever number people have, or by part of a name; without *everything* among the newest only."""
    hits = [hit for hit in find(uow, tenant, text, everything=everything) if hit.run.flow == (flow or hit.run.flow)]
    wanted = [hit for hit in hits if hit.run.status == (status or hit.run.status)]
    rows = run_rows(uow, [hit.run for hit in wanted])
    return [Found(row, hit.what, hit.is_direct) for row, hit in zip(rows, wanted, strict=True)]


def run_rows(uow: UnitOfWork, runs: Sequence[Run | Row[Any]]) -> list[RunRow]:
    deals = _deals_of_invoices(uow, [run.id for run in runs if run.flow == invoice_to_deal.FLOW.name])
    return [_row(run, deals.get(run.id, ""), uow.now) for run in runs]


def run_row(uow: UnitOfWork, run: Run | Row[Any]) -> RunRow:
    return run_rows(uow, [run])[0]


def _deals_of_invoices(uow: UnitOfWork, run_ids: Sequence[str]) -> dict[str, str]:
    """The deals that invoices belong to, by their runs, as far as those have read them."""
    step = invoice_to_deal.read_invoice
    learned = uow.runs.learned_by(run_ids, step.step) if run_ids else {}
    read = {run_id: step.learns.peek(result) for run_id, result in learned.items()}
    return {run_id: found.deal for run_id, found in read.items() if found}


def _row(run: Run | Row[Any], deal: str, now: datetime) -> RunRow:
    subject = subject_of(run.flow)
    return RunRow(
        id=run.id,
        tenant=run.tenant,
        source=run.source,
        flow=run.flow,
        subject=subject,
        key=run.subject_key,
        deal=run.subject_key if subject == DEAL else deal,
        title=run.title,
        money=Money(run.amount, run.currency) if run.amount is not None else None,
        status=RunStatus(run.status),
        state=_state(run, now),
        step=run.step,
        attempts=run.attempts,
        correlation_id=run.correlation_id,
        created_at=run.created_at,
        updated_at=run.updated_at,
        due_at=run.due_at,
        leased_until=run.leased_until,
    )


def _state(run: Run | Row[Any], now: datetime) -> str:
    if run.status != RunStatus.ACTIVE:
        return str(run.status)
    return "running" if run.leased_until is not None and run.leased_until > now else "waiting"
