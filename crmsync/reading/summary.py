"""How much there is of everything, for one tenant or for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crmsync.store import UnitOfWork

HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Summary:
    """*runs* by (flow, status), *documents* by (kind, state)."""

    runs: Mapping[tuple[str, str], int]
    documents: Mapping[tuple[str, str], int]
    letters_waiting: int
    alerts_open: int
    deliveries_last_hour: int


def summary(uow: UnitOfWork, tenant: str | None) -> Summary:
    """The summary of a tenant; None: of all tenants."""
    return Summary(
        runs=uow.runs.counts(tenant),
        documents=uow.ledger.counts(tenant),
        letters_waiting=uow.dead_letters.waiting_count(tenant),
        alerts_open=uow.alerts.open_count(tenant),
        deliveries_last_hour=uow.deliveries.count_since(tenant, HOUR_SECONDS),
    )
