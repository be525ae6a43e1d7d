"""The first page of the control tower and its figures: the state of every flow, and what has gone wrong lately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crmsync.domain.breaker import Breaker
from crmsync.domain.dead_letters import LetterKind
from crmsync.flows import payment_to_invoices
from crmsync.reading.alerts import AlertRow, open_alerts
from crmsync.reading.flows import (
    CatchUpRow,
    FlowTally,
    background,
    catch_up_by_connection,
    catch_up_rows,
    flow_tally,
    in_order,
)
from crmsync.reading.runs import RunRow, newest_runs
from crmsync.reading.stock import StockLine, stock_line, stock_lines
from crmsync.store import UnitOfWork
from crmsync.store.refusals import Refused
from crmsync.worker.flow import FLOWS, Flow

HOUR_SECONDS = 3600.0
RUNS_SHOWN = 8
ALERTS_SHOWN = 5
SOURCES_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Overview:
    flows: Sequence[FlowTally]
    due_since: datetime | None
    deliveries_last_hour: int
    alerts_pending: int
    alerts: Sequence[AlertRow]
    alerts_open: int
    runs: Sequence[RunRow]
    stock: StockLine
    stocks: Sequence[StockLine]  # of each catalogue, where there are several tenants
    catch_up: Sequence[CatchUpRow]
    refused: Sequence[Refused]
    outages: Sequence[str]  # systems that do not answer, or refuse us


def overview(uow: UnitOfWork, tenant: str | None, flows: Iterable[Flow] = FLOWS.values()) -> Overview:
    """The overview of a tenant; None: of all, and of what is nobody's."""
    tally = uow.runs.tally(tenant)
    is_of_several = has_several(uow, tenant)
    return Overview(
        flows=[flow_tally(flow, tally) for flow in in_order(flows)],
        due_since=uow.due.oldest(tenant),
        deliveries_last_hour=uow.deliveries.count_since(tenant, HOUR_SECONDS),
        alerts_pending=uow.alerts.pending_count(tenant),
        alerts=open_alerts(uow, tenant, limit=ALERTS_SHOWN),
        alerts_open=uow.alerts.open_count(tenant),
        runs=newest_runs(uow, tenant, limit=RUNS_SHOWN, without=background()).rows,
        stock=stock_line(uow, tenant),
        stocks=stock_lines(uow, tenant, limit=SOURCES_SHOWN) if is_of_several else [],
        catch_up=catch_up_by_connection(uow, tenant, limit=SOURCES_SHOWN)
        if is_of_several
        else catch_up_rows(uow, tenant),
        refused=uow.refusals.totals() if tenant is None else [],
        outages=[_outage(uow, each, is_of_several=is_of_several) for each in uow.breakers.all(tenant) if each.is_open],
    )


def has_several(uow: UnitOfWork, tenant: str | None) -> bool:
    """Whether what *tenant* sees, None: who sees everything, may be of several tenants."""
    return tenant is None and len(uow.owners.tenants()) > 1


def _outage(uow: UnitOfWork, breaker: Breaker, *, is_of_several: bool) -> str:
    system, tenant = breaker.system or breaker.connection, uow.owners.tenant_of(breaker.connection)
    return f"{system} ({tenant})" if is_of_several and tenant else system


@dataclass(frozen=True, slots=True)
class Figures:
    """How much there is of everything: *runs* by (flow, status), *documents* by (kind, state), *deliveries* by source.

    *letters* are those that wait, by kind; *foreign_invoices* are those that payments touched and crmsync did not make.
    """

    runs: Mapping[tuple[str, str], int]
    oldest_due_seconds: float
    letters: Mapping[str, int]
    alerts_pending: int
    deliveries: Mapping[str, int]
    documents: Mapping[tuple[str, str], int]
    catch_up: Sequence[CatchUpRow]
    foreign_invoices: int
    stock: StockLine


def figures(uow: UnitOfWork) -> Figures:
    return Figures(
        runs=uow.runs.counts(None),
        oldest_due_seconds=(uow.now - (uow.due.oldest(None) or uow.now)).total_seconds(),
        letters={kind.value: 0 for kind in LetterKind} | uow.dead_letters.waiting_by_kind(None),
        alerts_pending=uow.alerts.pending_count(None),
        deliveries=uow.deliveries.counts(None),
        documents=uow.ledger.counts(None),
        catch_up=catch_up_rows(uow, None),
        foreign_invoices=sum(map(int, uow.facts.under(payment_to_invoices.FOREIGN_INVOICES).values())),
        stock=stock_line(uow, None),
    )
