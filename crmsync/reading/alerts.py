"""The alerts: those that are open, and the latest that are solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from crmsync.alerts.whose import CONNECTION, TENANT, with_owner
from crmsync.store import UnitOfWork

ALERTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert, in the words that were sent. *tenant* is "" for what concerns the whole installation."""

    id: int
    tenant: str
    connection: str
    headline: str
    facts: Sequence[tuple[str, str]]
    cause: str
    advice: str
    command: str
    occurrences: int
    told: int
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    end: str
    counts: bool  # its facts say how often it happened

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def about(self) -> str:
        """The company and the amount of its deal, and whose it is where that is not plain; "" for neither."""
        known = dict(self.facts)
        return ", ".join(known[name] for name in ("Company", "Amount", CONNECTION, TENANT) if name in known)


@dataclass(frozen=True, slots=True)
class Alerts:
    """*open_count* alerts are open; *open* and *solved* are the latest."""

    open: Sequence[AlertRow]
    open_count: int
    solved: Sequence[AlertRow]


def all_alerts(uow: UnitOfWork, tenant: str | None) -> Alerts:
    return Alerts(
        open=open_alerts(uow, tenant, limit=ALERTS_SHOWN),
        open_count=uow.alerts.open_count(tenant),
        solved=[_row(uow, row) for row in uow.alerts.newest(tenant, limit=ALERTS_SHOWN, is_open=False)],
    )


def open_alerts(uow: UnitOfWork, tenant: str | None, *, limit: int) -> list[AlertRow]:
    return [_row(uow, row) for row in uow.alerts.newest(tenant, limit=limit, is_open=True)]


def _row(uow: UnitOfWork, row: Row[Any]) -> AlertRow:
    content = with_owner(uow, row)
    return AlertRow(
        id=row.id,
        tenant=row.tenant,
        connection=row.connection,
        headline=content.get("headline", ""),
        facts=[(name, value) for name, value in content.get("facts", ())],
        cause=content.get("cause", ""),
        advice=content.get("advice", ""),
        command=content.get("command", ""),
        occurrences=row.occurrences,
        told=row.told,
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        closed_at=row.closed_at,
        end=content.get("end", {}).get("headline", ""),
        counts=bool(content.get("counts")),
    )
