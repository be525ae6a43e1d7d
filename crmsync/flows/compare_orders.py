"""A number is believed only while the ERP still shows its order: those made lately are read again, many in one query.

An ERP may confirm an order and lose it a moment later, when it writes it. The deal's own run does not ask
again: that would cost each deal a call. This flow finds it within a minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from crmsync.alerts.content import changed_order_alert
from crmsync.connectors.base import Orders
from crmsync.domain.documents import Document, drift
from crmsync.domain.ledger import Entry
from crmsync.domain.runs import Run
from crmsync.errors import RecordNotFoundError
from crmsync.services import ROLES
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step

FLOW = Flow(
    "compare_orders",
    subject="comparison of orders",
    steps=("look_at_orders",),
    repeats=True,
    every=lambda behaviour: behaviour.compare_seconds,
    roles=("orders",),
)
AT_ONCE = 40  # order numbers in one query: its address stays well under 2,000 characters
OVERLAP = timedelta(minutes=5)  # each order is looked at several times: one may be lost some seconds after its answer
FIRST_LOOK = timedelta(days=1)  # how far back it reaches; and the one after a clock that was ahead
CHECKPOINT = "compare_orders.until"


@step(FLOW, queue="background")
def look_at_orders(attempt: Attempt) -> Mapping[str, Any]:
    """Read the orders made since the last look, and tell people of those that are gone, rejected or changed."""
    made, changed = _made(attempt), 0
    for start in range(0, len(made), AT_ONCE):
        attempt.keep_alive()
        changed += _compare(attempt, made[start : start + AT_ONCE])
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        uow.facts.set(CHECKPOINT, attempt.started_at.isoformat())
    attempt.describe(title=f"Looked at {len(made):,} orders, {changed:,} are not as they were made")
    return {"seen": len(made), "changed": changed, "until": attempt.started_at.isoformat()}


def _made(attempt: Attempt) -> Sequence[Entry]:
    """Orders that the ERP confirmed since the last look; what its lists may not show yet is left to the next."""
    using = attempt.services
    until = attempt.started_at - timedelta(seconds=using.settings.behaviour.settle_seconds)
    with using.store.read() as uow:
        since = uow.facts.instant(CHECKPOINT) or attempt.started_at - FIRST_LOOK
        return uow.ledger.orders_between(ROLES["orders"], since - OVERLAP, until)


def _compare(attempt: Attempt, entries: Sequence[Entry]) -> int:
    erp = attempt.services.orders
    keys = [str(entry.document["key"]) for entry in entries if entry.document]
    found = {order.key: order for order in erp.read_orders(keys)}
    with attempt.services.store.read() as uow:
        runs = {entry.run_id: uow.runs.get(entry.run_id) for entry in entries}
    told = [_look(attempt, erp, runs[entry.run_id], entry, found) for entry in entries if entry.document]
    return sum(told)


def _look(attempt: Attempt, erp: Orders, run: Run | None, entry: Entry, found: Mapping[str, Document]) -> bool:
    """Whether people were told that the order is not as it was made."""
    known = _known(run, entry)
    problem = drift(known, found.get(known.key) or _read(erp, known.key))
    if problem:
        _tell(attempt, erp.system, run, known, problem)
    return bool(problem)


def _known(run: Run | None, entry: Entry) -> Document:
    """The order as the deal's run accepted it; as it was made where the run has not come so far."""
    accepted = run.results.get("create_order") if run else None
    made = entry.document or {}
    return Document.from_json(accepted if accepted and accepted["key"] == made["key"] else made)


def _read(erp: Orders, key: str) -> Document | None:
    """A list that lacks it is no proof: it is asked for by its number. None: it does not exist."""
    try:
        return erp.read_order(key)
    except RecordNotFoundError:
        return None


def _tell(attempt: Attempt, system: str, run: Run | None, order: Document, problem: str) -> None:
    using = attempt.services
    deal = run.subject_key if run else ""
    command = using.settings.pasteable(f"crmsync runs show {deal}".strip())
    content = changed_order_alert(
        system, deal=deal, title=run.title if run else "", order=order.number, problem=problem, command=command
    )
    with using.store.begin() as uow:
        is_news = uow.alerts.add_once(f"order:{ROLES['orders']}:{order.key}", content)
        if is_news and run is not None:
            uow.history.note(run, "changed", detail=f"The order {order.number} {problem}.")
