"""The first page: what every flow is doing, and what has gone wrong lately."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crmsync.alerts.content import refusal_name
from crmsync.store import UnitOfWork
from crmsync.store.refusals import Refused
from crmsync.web.pages.flows import CatchUpRow, FlowTally, background, catch_up_rows, flow_tally, in_order
from crmsync.web.pages.runs import RunRow, run_rows
from crmsync.web.pages.stock import StockLine, stock_line
from crmsync.web.pages.troubles import AlertRow, open_alerts
from crmsync.worker.flow import Flow

HOUR_SECONDS = 3600.0


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
    catch_up: Sequence[CatchUpRow]
    refused: Sequence[tuple[str, Refused]]
    outages: Sequence[str]  # systems that do not answer, or refuse us


def overview_page(uow: UnitOfWork, flows: Iterable[Flow]) -> Overview:
    tally = uow.runs.tally()
    return Overview(
        flows=[flow_tally(flow, tally) for flow in in_order(flows)],
        due_since=uow.due.oldest(),
        deliveries_last_hour=uow.deliveries.count_since(HOUR_SECONDS),
        alerts_pending=uow.alerts.pending_count(),
        alerts=open_alerts(uow, limit=5),
        alerts_open=uow.alerts.open_count(),
        runs=run_rows(uow, limit=8, without=background()),
        stock=stock_line(uow),
        catch_up=catch_up_rows(uow),
        refused=[(refusal_name(each.door, each.reason), each) for each in uow.refusals.totals()],
        outages=[each.system or each.connection for each in uow.breakers.all() if each.is_open],
    )
