"""Runs in a list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.store import UnitOfWork
from crmsync.store.run_lists import Place
from crmsync.web.pages.flows import subject_of
from crmsync.worker.finding import find

RUNS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list."""

    id: str
    flow: str
    subject: str
    key: str
    title: str
    money: str
    state: str
    step: str
    created_at: datetime
    updated_at: datetime

    @property
    def subject_name(self) -> str:
        """'Payment 46000000012345'; a flow's only run needs no key."""
        name = self.subject[:1].upper() + self.subject[1:]
        return name if self.key == self.flow else f"{name} {self.key}"

    @property
    def name(self) -> str:
        return self.title or self.subject_name


def run_rows(
    uow: UnitOfWork,
    *,
    limit: int = RUNS_SHOWN,
    status: str = "",
    flow: str = "",
    without: Collection[str] = (),
    after: Place | None = None,
) -> list[RunRow]:
    """The newest runs that come *after* a place in the list, of *flow* only or of all but those *without*."""
    found = uow.runs.listed(limit=limit, status=status, flow=flow, without=without, after=after)
    return [run_row(row, uow.now) for row in found]


def place_after(rows: Sequence[RunRow]) -> str:
    """Where the next page of a list begins, as its address has it; "" where this one is the last."""
    return f"{rows[-1].created_at.isoformat()},{rows[-1].id}" if len(rows) == RUNS_SHOWN else ""


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
    """*what* of a run bears the number that was looked for; not *is_direct*: it has to do with that."""

    run: RunRow
    what: str
    is_direct: bool


def found_runs(
    uow: UnitOfWork, text: str, *, status: str = "", flow: str = "", everything: bool = False
) -> list[Found]:
    """Runs by whatever number people have, or by part of a name: of the newest only, unless *everything* is wanted."""
    hits = [hit for hit in find(uow, text, everything=everything) if hit.run.flow == (flow or hit.run.flow)]
    wanted = [hit for hit in hits if hit.run.status == (status or hit.run.status)]
    return [Found(run_row(hit.run, uow.now), hit.what, hit.is_direct) for hit in wanted]


def run_row(run: Run | Row[Any], now: datetime) -> RunRow:
    return RunRow(
        id=run.id,
        flow=run.flow,
        subject=subject_of(run.flow),
        key=run.subject_key,
        title=run.title,
        money=_money(run.amount, run.currency),
        state=_state(run, now),
        step=run.step,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )


def _state(run: Run | Row[Any], now: datetime) -> str:
    if run.status != RunStatus.ACTIVE:
        return str(run.status)
    return "running" if run.lease_until is not None and run.lease_until > now else "waiting"


def _money(amount: Decimal | None, currency: str) -> str:
    return str(Money(amount, currency)).strip() if amount is not None else ""
