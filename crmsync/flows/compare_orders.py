"""Checks that recent orders still exist unchanged in the ERP, many in one query.

An ERP may confirm an order and lose it a moment later, when it writes it. The deal's own run does not ask
again: that would cost each deal a call. This flow finds it within a minute, and has the deal's documents checked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial

from crmsync.alerts.content import changed_order_alert
from crmsync.company import Bound
from crmsync.connectors.base import Orders
from crmsync.domain.documents import Document, drift
from crmsync.domain.learned import DocumentsCompared
from crmsync.domain.ledger import Entry, EntryKey, EntryState
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.flows import order_to_invoice, put_back
from crmsync.worker import documents, starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step

FLOW = Flow(
    "compare_orders",
    subject="comparison of orders",
    steps=("look_at_orders",),
    repeats=True,
    every=lambda options: options.compare_seconds,
    roles=("orders",),
    title="Comparison of orders",
    subject_role="orders",
)
AT_ONCE = 40  # order numbers in one query: its address stays well under 2,000 characters
OVERLAP = timedelta(minutes=5)  # each order is compared several times: one may be lost some seconds after its answer
FIRST_LOOK = timedelta(days=1)  # how far back it reaches; and the one after a clock that was ahead
FAMILIES = ("order", "held")  # of alerts: an order that is not as it was made, and one that is held back


def checkpoint(connection: str) -> str:
    """The name under which is stored up to when the orders were compared."""
    return f"compare_orders.{connection}.until"


@step(FLOW, queue="background", learns=DocumentsCompared)
def look_at_orders(attempt: Attempt) -> DocumentsCompared:
    """Read the orders made since the last run, and alert people to those that are gone, rejected or changed."""
    made, changed = _made(attempt), 0
    wanted = [*made, *_alerted(attempt, {entry.key for entry in made})]
    for start in range(0, len(wanted), AT_ONCE):
        attempt.keep_alive()
        changed += _compare(attempt, wanted[start : start + AT_ONCE])
    changed += _look_at_replaced(attempt)
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        uow.facts.set(checkpoint(attempt.company.orders.connection), attempt.started_at.isoformat())
    attempt.describe(title=f"Checked {len(made):,} orders, {changed:,} are not as they were made")
    return DocumentsCompared(len(made), changed, attempt.started_at)


def _made(attempt: Attempt) -> Sequence[Entry]:
    """Orders that the ERP confirmed since the last run; what its lists may not show yet is left to the next."""
    using = attempt.services
    until = attempt.started_at - timedelta(seconds=using.settings.behaviour.settle_seconds)
    with using.store.read() as uow:
        since = uow.facts.instant(checkpoint(attempt.company.orders.connection)) or attempt.started_at - FIRST_LOOK
        return uow.ledger.made_between(attempt.company.orders.connection, "order", since - OVERLAP, until)


def _alerted(attempt: Attempt, known: Collection[EntryKey]) -> Sequence[Entry]:
    """Older orders of which an open alert tells: somebody may have put them right."""
    connection = attempt.company.orders.connection
    with attempt.services.store.read() as uow:
        begins = [f"{family}:{connection}:" for family in FAMILIES]
        causes = [cause for begin in begins for cause in uow.alerts.open_causes(attempt.run.tenant, begin)]
        keys = dict.fromkeys(cause.rpartition(":")[2] for cause in causes)
        entries = [uow.ledger.of_document(connection, "order", key) for key in keys]
    return [entry for entry in entries if entry is not None and entry.key not in known]


def _compare(attempt: Attempt, entries: Sequence[Entry]) -> int:
    erp = attempt.company.orders
    keys = [str(entry.document["key"]) for entry in entries if entry.document]
    found = {order.key: order for order in erp.api.read_orders(keys)}
    with attempt.services.store.read() as uow:
        runs = {entry.run_id: uow.runs.get(entry.run_id) for entry in entries}
    told = [_differs(attempt, erp, runs[entry.run_id], entry, found) for entry in entries if entry.document]
    return sum(told)


def _look_at_replaced(attempt: Attempt) -> int:
    """Orders that were taken back, and of which another was made lately: people may have put them back."""
    erp, pairs, told = attempt.company.orders, put_back.replaced(attempt, "orders", "order"), 0
    for start in range(0, len(pairs), AT_ONCE // 2):
        attempt.keep_alive()
        some = pairs[start : start + AT_ONCE // 2]
        found = {order.key: order for order in erp.api.read_orders([key for pair in some for key in pair.keys])}
        stand = {key for key, order in found.items() if not order.is_void}
        told += put_back.check(
            attempt,
            erp.system,
            [pair for pair in some if pair.is_told or pair.keys[0] in stand],
            partial(_shown, erp, found),
        )
    return told


def _shown(erp: Bound[Orders], found: Mapping[str, Document], key: str) -> Document | None:
    return found.get(key) or _read(erp, key)


def _differs(
    attempt: Attempt, erp: Bound[Orders], run: Run | None, entry: Entry, found: Mapping[str, Document]
) -> bool:
    """Whether the order is not as it was made: then a person is asked what shall become of the deal."""
    known = _known(run, entry)
    present = found.get(known.key) or _read(erp, known.key)
    problem = drift(known, present) if not _is_known(run, entry, present) else ""
    if problem and run is not None and run.status is RunStatus.DONE:
        _ask(attempt, run)
    elif problem and not _is_looked_at(run):
        _tell(attempt, erp.system, run, known, problem)
    _close_solved(attempt, known, present, problem)
    return bool(problem)


def _is_known(run: Run | None, entry: Entry, present: Document | None) -> bool:
    """Whether people know of it: one that is gone, or that was rejected when its deal had been given up."""
    is_given_up = run is not None and run.status is RunStatus.DISCARDED
    return entry.state is not EntryState.CONFIRMED or (is_given_up and present is not None and present.is_void)


def _close_solved(attempt: Attempt, known: Document, present: Document | None, problem: str) -> None:
    """That an order is incomplete only the answer to its making tells: that alert stays until something follows it."""
    is_held = present is not None and not present.is_void and bool(known.as_read(present).all_holds)
    is_so = {"order": bool(problem), "held": is_held and not problem}
    over = [f"{family}:{attempt.company.orders.connection}:{known.key}" for family in FAMILIES if not is_so[family]]
    with attempt.services.store.read() as uow:
        still_open = [cause for cause in over if uow.alerts.is_open(cause)]
    if still_open:
        with attempt.services.store.begin() as uow:
            for cause in still_open:
                uow.alerts.close(cause)


def _is_looked_at(run: Run | None) -> bool:
    """A run that waits for a person checks its documents itself when it goes on."""
    return run is not None and run.status is RunStatus.STOPPED


def _ask(attempt: Attempt, run: Run) -> None:
    queued_for = attempt.services.settings.behaviour.queued_for
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        to_enqueue = starting.check_documents(uow, order_to_invoice.FLOW, run.id, queued_for=queued_for)
    starting.enqueue(order_to_invoice.FLOW, to_enqueue)


def _known(run: Run | None, entry: Entry) -> Document:
    """The order as the deal's run accepted it; as it was made where the run has not come so far."""
    agreed = documents.agreed(run, entry) if run else None
    return agreed or Document.from_json(entry.document or {})


def _read(erp: Bound[Orders], key: str) -> Document | None:
    """A list that lacks it is no proof: it is asked for by its number. None: it does not exist."""
    try:
        return erp.api.read_order(key)
    except RecordNotFoundError:
        return None


def _tell(attempt: Attempt, system: str, run: Run | None, order: Document, problem: str) -> None:
    using = attempt.services
    deal = run.subject_key if run else ""
    command = using.settings.pasteable(f"crmsync runs show {deal}".strip())
    content = changed_order_alert(run, system, order=order.number, problem=problem, command=command)
    with using.store.begin() as uow:
        connection = attempt.company.orders.connection
        cause = f"order:{connection}:{order.key}"
        is_news = uow.alerts.add_once(attempt.run.tenant, cause, content, connection=connection)
        if is_news and run is not None:
            uow.history.note(run, "changed", detail=f"The order {order.number} {problem}.")
