"""The flows as people see them: their order, how many runs are in each state, and which flows check others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crmsync.domain import steps
from crmsync.domain.runs import RunStatus
from crmsync.flows import catch_up, invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.flows.sightings import last_scan_by_hand
from crmsync.reading.history import last_done
from crmsync.store import UnitOfWork
from crmsync.store.run_lists import Standing
from crmsync.worker.flow import FLOWS, Flow

STATES = ("running", "waiting", "stopped", "done", "discarded")

# Which flow scans for what another flow should have started.
_LOOKS = {
    order_to_invoice.FLOW: catch_up.DEALS,
    payment_to_invoices.FLOW: catch_up.PAYMENTS,
    invoice_to_deal.FLOW: catch_up.PAYMENTS,
}


@dataclass(frozen=True, slots=True)
class StepTally:
    """How many runs stand at one step of a flow."""

    name: str
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FlowTally:
    name: str
    states: Mapping[str, int]
    steps: Sequence[StepTally]


@dataclass(frozen=True, slots=True)
class CatchUpRow:
    """What catch-up saw at one source: how many changes there were (*expected* = received + healed).

    *healed* counts changes that nobody had announced; one that may have been announced counts as received. Without a
    *connection* it is of all of them.
    """

    flow: str
    expected: int
    healed: int
    looked_at: datetime | None
    connection: str = ""

    @property
    def received(self) -> int:
        return self.expected - self.healed


def in_order(flows: Iterable[Flow]) -> list[Flow]:
    """As things happen: a deal, its payment, what the payment means for the invoice; then others."""
    order = list(_LOOKS)
    shown = [flow for flow in flows if not flow.is_background]
    return sorted(shown, key=lambda flow: order.index(flow) if flow in order else len(order))


def flow_names() -> list[str]:
    return [*(flow.name for flow in in_order(FLOWS.values())), *background()]


def background() -> list[str]:
    """Flows that scan everything, again and again, in one run each; and those that only report what others do."""
    return [flow.name for flow in FLOWS.values() if flow.is_background]


def subject_of(flow: str) -> str:
    """What the flow's runs are for: "deal"; its own name, where this release does not have it any more."""
    return FLOWS[flow].subject if flow in FLOWS else flow


def title_of(name: str) -> str:
    """What people call a flow or a step of this name; one that is not known is called as in the code."""
    if name in FLOWS:
        return FLOWS[name].title
    return next((flow.about_of(name).title for flow in FLOWS.values() if name in flow.steps), steps.title_of(name))


def flow_tally(flow: Flow, tally: Sequence[Standing]) -> FlowTally:
    at: dict[str, Counter[str]] = {step: Counter() for step in flow.steps}
    for row in tally:
        if row.flow == flow.name:
            at.setdefault(row.step, Counter()).update(_states(row))
    total = sum(at.values(), Counter[str]())
    return FlowTally(
        flow.name,
        {state: total[state] for state in STATES},
        [StepTally(name, {state: count[state] for state in STATES}) for name, count in at.items() if name],
    )


def _states(row: Standing) -> dict[str, int]:
    """An active run is running while a worker holds it, else it waits for its turn or its time."""
    if row.status != RunStatus.ACTIVE:
        return {row.status: row.standing}
    return {"running": row.leased, "waiting": row.standing - row.leased}


def catch_up_rows(uow: UnitOfWork, tenant: str | None) -> list[CatchUpRow]:
    """One for each flow that catch-up may start for a tenant, None: for any; from its beginning on."""
    counts = uow.deliveries.healed_counts(tenant)
    looked_at = {look: at for look in set(_LOOKS.values()) if (at := _last_look(uow, tenant, look))}
    return [
        CatchUpRow(flow.name, *counts.get(flow.name, (0, 0)), looked_at.get(look))
        for flow, look in _LOOKS.items()
        if flow.name in counts or look in looked_at
    ]


def catch_up_by_connection(uow: UnitOfWork, tenant: str | None, *, limit: int) -> list[CatchUpRow]:
    """A row for each flow and connection of a tenant, None: of all, where catch-up saw anything, by tenant."""
    counts = uow.deliveries.healed_by_source(tenant)
    looks = {flow.name: look for flow, look in _LOOKS.items()}
    keys = sorted(
        (key for key in counts if key[0] in looks), key=lambda key: (uow.owners.tenant_of(key[1]), key[1], key[0])
    )
    return [
        CatchUpRow(flow, *counts[flow, connection], _last_look(uow, tenant, looks[flow], connection), connection)
        for flow, connection in keys[:limit]
    ]


def _last_look(uow: UnitOfWork, tenant: str | None, look: Flow, connection: str = "") -> datetime | None:
    """The last scan, by catch-up itself or by a person with `crmsync catch-up`."""
    done = last_done(uow, tenant, look, source=connection)
    by_hand = last_scan_by_hand(uow, tenant, look, connection=connection)
    return max((at for at in (done.at if done else None, by_hand) if at), default=None)
