"""How much there is of everything, for one tenant or for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from crmsync.reading.tenants import Owners
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import connection_of, is_of_catch_up
from crmsync.store.tables import alerts, deliveries, ledger

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Summary:
    """*runs* by (flow, status), *documents* by (kind, state)."""

    runs: Mapping[tuple[str, str], int]
    documents: Mapping[tuple[str, str], int]
    letters_waiting: int
    alerts_open: int
    deliveries_last_hour: int


def summary(uow: UnitOfWork, tenant: str | None) -> Summary:
    """None: of all tenants."""
    owners = Owners(uow)
    return Summary(
        runs=uow.runs.counts(tenant),
        documents=uow.ledger.counts() if tenant is None else _documents(uow, owners, tenant),
        letters_waiting=uow.dead_letters.waiting_count(tenant),
        alerts_open=_alerts(uow, tenant),
        deliveries_last_hour=_deliveries(uow, owners, tenant),
    )


def _documents(uow: UnitOfWork, owners: Owners, tenant: str) -> dict[tuple[str, str], int]:
    query = select(ledger.c.kind, ledger.c.state, func.count()).where(owners.owns(tenant, ledger.c.connection))
    rows = uow.connection.execute(query.group_by(ledger.c.kind, ledger.c.state))
    return {(kind, state): count for kind, state, count in rows}


def _alerts(uow: UnitOfWork, tenant: str | None) -> int:
    if tenant is None:
        return uow.alerts.open_count()
    query = select(func.count()).select_from(alerts).where(alerts.c.closed_at.is_(None), alerts.c.tenant == tenant)
    return uow.connection.execute(query).scalar_one()


def _deliveries(uow: UnitOfWork, owners: Owners, tenant: str | None) -> int:
    """Of webhooks only."""
    sources = [
        each
        for each in uow.deliveries.sources()
        if not is_of_catch_up(each) and owners.is_of(tenant, connection_of(each))
    ]
    is_recent = (deliveries.c.source.in_(sources), deliveries.c.received_at >= uow.now - HOUR)
    return uow.connection.execute(select(func.count()).select_from(deliveries).where(*is_recent)).scalar_one()
