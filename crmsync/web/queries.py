"""What the control tower's pages show: plain rows, without a person's name, address or e-mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, or_, select

from crmsync.alerts.content import refusal_name
from crmsync.domain.dead_letters import DeadLetter
from crmsync.domain.ledger import Entry
from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.flows import catch_up, inventory, invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.settings import Settings
from crmsync.store import UnitOfWork
from crmsync.store import tables as t
from crmsync.store.refusals import Refused
from crmsync.worker.flow import FLOWS, Flow

RUNS_SHOWN = 100
LINES_SHOWN = 200  # of a history: a flow that looks again every ten minutes writes on for ever
PRODUCTS_SHOWN = 200
LETTERS_SHOWN = 100
ALERTS_SHOWN = 50
HOUR_SECONDS = 3600.0
REPLAY = "celery -A crmsync dead-letters replay"

STATES = ("running", "waiting", "stopped", "done", "discarded")

# All that a screen may show of what a deal's step learned: the rest holds persons.
_OUTCOMES = ("number", "customer_key", "status")

# Which flow looks for what another flow should have started.
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
    due_since: datetime | None


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


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's history."""

    step: str
    event: str
    at: datetime
    started_at: datetime | None
    detail: str

    @property
    def took_seconds(self) -> float | None:
        return (self.at - self.started_at).total_seconds() if self.started_at else None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of one run. *state* is done, running, waiting, stopped, discarded or to come."""

    name: str
    state: str
    outcome: str = ""
    ended: Event | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What the ledger holds of one document in another system."""

    system: str
    kind: str
    number: str
    reference: str
    net: str
    state: str
    generation: int


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter that waits."""

    letter: DeadLetter
    command: str


@dataclass(frozen=True, slots=True)
class LettersPage:
    """*count* letters wait; *waiting* are those that the page has room for."""

    waiting: Sequence[LetterRow]
    count: int
    command_for_all: str


@dataclass(frozen=True, slots=True)
class RunPage:
    run: RunRow
    correlation_id: str
    due_at: datetime
    lease_until: datetime | None
    attempts: int
    steps: Sequence[StepRow]
    documents: Sequence[DocumentRow]
    makes_documents: bool
    figures: Sequence[tuple[str, str]]
    invoices: Sequence[RunLink]
    history: Sequence[Event]
    is_history_cut: bool
    letter: LetterRow | None


@dataclass(frozen=True, slots=True)
class RunLink:
    """Another run that this one has to do with; *run_id* is "" where there is none yet."""

    name: str
    run_id: str


@dataclass(frozen=True, slots=True)
class ProductRow:
    code: str
    available: Decimal | None
    is_low: bool
    is_known: bool | None
    is_active: bool
    problem: str


@dataclass(frozen=True, slots=True)
class StockLine:
    """The stock in one line: how many products stand how, when the last inventory ended, how one stands now."""

    counts: Mapping[str, int]
    last_done: Event | None
    run: RunRow | None


@dataclass(frozen=True, slots=True)
class StockPage:
    """*lists* hold the products that are low, refused or not in the ERP, as many as one page shows."""

    stock: StockLine
    lists: Mapping[str, Sequence[ProductRow]]
    found: Sequence[ProductRow]


@dataclass(frozen=True, slots=True)
class CatchUpRow:
    """What catch-up saw at one source: how many changes, and how many of them no webhook had told."""

    flow: str
    expected: int
    healed: int
    looked_at: datetime | None

    @property
    def received(self) -> int:
        return self.expected - self.healed


@dataclass(frozen=True, slots=True)
class AlertRow:
    id: int
    headline: str
    facts: Sequence[tuple[str, str]]
    cause: str
    advice: str
    command: str
    occurrences: int
    told: int
    opened_at: datetime
    updated_at: datetime
    is_open: bool


@dataclass(frozen=True, slots=True)
class Overview:
    flows: Sequence[FlowTally]
    due_since: datetime | None
    deliveries_last_hour: int
    alerts_pending: int
    alerts: Sequence[AlertRow]
    runs: Sequence[RunRow]
    stock: StockLine
    catch_up: Sequence[CatchUpRow]
    refused: Sequence[tuple[str, Refused]]


def overview(uow: UnitOfWork, flows: Iterable[Flow]) -> Overview:
    due_since = uow.runs.due_since()
    tally = uow.runs.tally()
    return Overview(
        flows=[_flow_tally(flow, tally, due_since.get(flow.name)) for flow in _in_order(flows)],
        due_since=min(due_since.values(), default=None),
        deliveries_last_hour=uow.deliveries.count_since(HOUR_SECONDS),
        alerts_pending=uow.alerts.pending_count(),
        alerts=alerts(uow, limit=5),
        runs=runs(uow, limit=8, without=background()),
        stock=stock_line(uow),
        catch_up=catch_up_rows(uow),
        refused=[(refusal_name(each.door, each.reason), each) for each in uow.refusals.totals()],
    )


def _in_order(flows: Iterable[Flow]) -> list[Flow]:
    """As things happen: a deal, its payment, what the payment means for the invoice; then others."""
    order = list(_LOOKS)
    shown = [flow for flow in flows if not flow.is_background]
    return sorted(shown, key=lambda flow: order.index(flow) if flow in order else len(order))


def flow_names() -> list[str]:
    return [*(flow.name for flow in _in_order(FLOWS.values())), *background()]


def background() -> list[str]:
    """Flows that look at everything, again and again, in one run each."""
    return [flow.name for flow in FLOWS.values() if flow.is_background]


def _flow_tally(flow: Flow, tally: Sequence[Row[Any]], due_since: datetime | None) -> FlowTally:
    steps: dict[str, Counter[str]] = {step: Counter() for step in flow.steps}
    for row in tally:
        if row.flow == flow.name:
            steps.setdefault(row.step, Counter()).update(_states(row))
    total = sum(steps.values(), Counter[str]())
    return FlowTally(
        flow.name,
        {state: total[state] for state in STATES},
        [StepTally(name, {state: count[state] for state in STATES}) for name, count in steps.items()],
        due_since,
    )


def _states(row: Row[Any]) -> dict[str, int]:
    """An active run is running while a worker holds it, else it waits for its turn or its time."""
    if row.status != RunStatus.ACTIVE:
        return {row.status: row.standing}
    return {"running": row.leased, "waiting": row.standing - row.leased}


def runs(
    uow: UnitOfWork,
    *,
    limit: int = RUNS_SHOWN,
    status: str = "",
    text: str = "",
    flow: str = "",
    without: Collection[str] = (),
) -> list[RunRow]:
    """The newest runs, of *flow* only or of all but those *without*; *text* is part of a key or a title."""
    shown = [column for column in t.runs.c if column.name not in ("results", "answers")]  # those hold persons
    query = select(*shown).order_by(t.runs.c.created_at.desc(), t.runs.c.id).limit(limit)
    query = query.where(t.runs.c.flow.not_in(without))
    if flow:
        query = query.where(t.runs.c.flow == flow)
    if status:
        query = query.where(t.runs.c.status == status)
    if text:
        contains = [column.icontains(text, autoescape=True) for column in (t.runs.c.subject_key, t.runs.c.title)]
        query = query.where(or_(*contains))
    return [_run_row(row, uow.now) for row in uow.connection.execute(query)]


def _run_row(run: Run | Row[Any], now: datetime) -> RunRow:
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


def subject_of(flow: str) -> str:
    """What the flow's runs are for: "deal"; its own name, where this release does not have it any more."""
    return FLOWS[flow].subject if flow in FLOWS else flow


def _state(run: Run | Row[Any], now: datetime) -> str:
    if run.status != RunStatus.ACTIVE:
        return str(run.status)
    return "running" if run.lease_until is not None and run.lease_until > now else "waiting"


def _money(amount: Decimal | None, currency: str) -> str:
    return str(Money(amount, currency)).strip() if amount is not None else ""


def run_page(uow: UnitOfWork, run_id: str, flows: Mapping[str, Flow], settings: Settings) -> RunPage | None:
    """Everything about one run; None if there is none of that id."""
    run = uow.runs.get(run_id)
    if run is None:
        return None
    row, history = _run_row(run, uow.now), _history(uow, run_id)
    letter = uow.dead_letters.of_run(run_id)
    steps = flows[run.flow].steps if run.flow in flows else (run.step,)
    this_round = _this_round(history, steps[-1], is_over=not run.status.is_active)
    documents = [_document_row(entry) for entry in uow.ledger.of_run(run_id)]
    return RunPage(
        run=row,
        correlation_id=run.correlation_id,
        due_at=run.due_at,
        lease_until=run.lease_until,
        attempts=run.attempts,
        steps=[_step_row(run, row.state, step, this_round) for step in steps],
        documents=documents,
        makes_documents=bool(documents) or run.flow == order_to_invoice.FLOW.name,
        figures=_figures(run),
        invoices=_links(uow, run),
        history=history,
        is_history_cut=len(history) == LINES_SHOWN,
        letter=_letter_row(letter, settings) if letter else None,
    )


def _history(uow: UnitOfWork, run_id: str) -> list[Event]:
    """The last lines, oldest first."""
    query = select(t.history).where(t.history.c.run_id == run_id).order_by(t.history.c.id.desc()).limit(LINES_SHOWN)
    return [_event(line) for line in reversed(uow.connection.execute(query).all())]


def _event(line: Row[Any]) -> Event:
    return Event(line.step, line.event, line.at, line.started_at, line.detail)


def _this_round(history: Sequence[Event], last_step: str, *, is_over: bool) -> Sequence[Event]:
    """The lines since the run last began: one that repeats has many rounds behind it."""
    ends = [number for number, event in enumerate(history, 1) if (event.step, event.event) == (last_step, "done")]
    if is_over and ends and ends[-1] == len(history):
        ends.pop()
    return history[ends[-1] :] if ends else history


def _step_row(run: Run, run_state: str, step: str, history: Sequence[Event]) -> StepRow:
    tries = [event for event in history if event.step == step and event.started_at is not None]
    if run.status is RunStatus.DONE or (step in run.results and step != run.step):
        state = "done"
    else:
        state = run_state if step == run.step else "to come"
    ended = tries[-1] if tries else None
    learned = run.results.get(step) or (run.progress if step == run.step else {})
    return StepRow(step, state, _outcome(step, learned), ended, len(tries))


# What a screen may tell of each step of the other flows, in a few words; with `read_` steps also while they are at it.
_TOLD: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "find_invoices": lambda it: f"{len(it['ours'])} of ours, {it['foreign']} of others",
    "read_invoice": lambda it: str(it["number"]),
    "read_catalogue": lambda it: f"{it['products']:,} products",
    "read_stock": lambda it: f"{it['materials']:,} materials",
    "write_levels": lambda it: f"{it['written']:,} written" if "written" in it else f"{it['changed']:,} to write",
    "look_for_deals": lambda it: f"{it['seen']:,} seen, {it['healed']:,} started",
    "look_for_payments": lambda it: f"{it['seen']:,} seen, {it['healed']:,} started",
    "look_at_orders": lambda it: f"{it['seen']:,} seen, {it['changed']:,} not as they were made",
}


def _outcome(step: str, learned: Mapping[str, Any]) -> str:
    if step not in _TOLD:
        return next((str(learned[name]) for name in _OUTCOMES if learned.get(name)), "")
    try:
        return _TOLD[step](learned)
    except KeyError:  # nothing yet, or what an earlier release learned
        return ""


def _figures(run: Run) -> list[tuple[str, str]]:
    """What a payment's, an invoice's or an inventory's run has learned; nothing of a deal's, which holds persons."""
    found: list[tuple[str, str]] = []
    for step, tell in _FIGURES.items():
        if step in run.results:
            found += tell(run.results[step])
    return [(name, value) for name, value in found if value]


def _of_invoice(read: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = read["figures"]
    currency = figures["amount"]["currency"]
    return [
        ("Invoice number", str(read["number"])),
        ("Paid", str(Money.from_json(figures["amount"]))),
        ("Balance", str(Money(Decimal(read["balance"]), currency)) if read["balance"] else ""),
        ("Payment received", "yes" if figures["is_received"] else "no"),
        ("Last payment", str(figures["paid_on"] or "")),
        ("Void", "yes" if read["is_void"] else ""),
        ("The deal says", str(figures.get("status", ""))),
    ]


def _of_payment(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Invoices of ours", str(len(found["ours"]))),
        ("Invoices of others", str(found["foreign"])),
        ("Deleted in the books", "yes" if found["is_gone"] else ""),
    ]


def _of_writing(wrote: Mapping[str, Any]) -> list[tuple[str, str]]:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in wrote["reasons"].items())
    return [
        ("Written", f"{wrote['written']:,}"),
        ("Refused", f"{wrote['refused']:,}" + (f" ({reasons})" if reasons else "")),
        ("Newly low", f"{wrote['newly_low']:,}"),
        ("Lowest", ", ".join(f"{code}: {left}" for code, left in wrote["lowest"])),
    ]


_FIGURES: Mapping[str, Callable[[Mapping[str, Any]], list[tuple[str, str]]]] = {
    "find_invoices": _of_payment,
    "read_invoice": _of_invoice,
    "read_catalogue": lambda it: [
        ("Products read", f"{it['products']:,}, " + ("all of them" if it["is_whole"] else "those that changed"))
    ],
    "read_stock": lambda it: [("Materials", f"{it['materials']:,}"), ("Newly not in the ERP", f"{it['unknown']:,}")],
    "write_levels": _of_writing,
    "look_for_deals": lambda it: [("Looked up to", it["until"][:19].replace("T", " ") + " UTC")],
    "look_for_payments": lambda it: [("Looked up to", it["until"][:19].replace("T", " ") + " UTC")],
    "look_at_orders": lambda it: [("Looked up to", it["until"][:19].replace("T", " ") + " UTC")],
}


def _links(uow: UnitOfWork, run: Run) -> list[RunLink]:
    """The runs of the invoices that a payment touches; the run of the deal that an invoice belongs to."""
    links = [_link(uow, invoice_to_deal.FLOW, key) for key in run.results.get("find_invoices", {}).get("ours", ())[:20]]
    deal = run.results.get("read_invoice", {}).get("deal")
    return [*links, _link(uow, order_to_invoice.FLOW, deal)] if deal else links


def _link(uow: UnitOfWork, flow: Flow, key: str) -> RunLink:
    run = uow.runs.of_subject(flow.name, key)
    name = f"{flow.subject.capitalize()} {key}"
    return RunLink(f"{name}, {run.title}" if run and run.title else name, run.id if run else "")


def _document_row(entry: Entry) -> DocumentRow:
    document = entry.document or {}
    net = document.get("net")
    return DocumentRow(
        system=entry.key.connection,
        kind=entry.key.kind,
        number=str(document.get("number") or document.get("invoice") or document.get("key") or ""),
        reference=entry.key.reference,
        net=str(Money.from_json(net)) if net else "",
        state=entry.state.value,
        generation=entry.key.generation,
    )


def stock_page(uow: UnitOfWork, *, text: str = "") -> StockPage:
    """*text* is part of a product's code."""
    names = ("low", "refused", "unknown")
    return StockPage(
        stock=stock_line(uow),
        lists={name: [_product(row) for row in uow.products.listed(name, limit=PRODUCTS_SHOWN)] for name in names},
        found=_products_like(uow, text) if text else [],
    )


def stock_line(uow: UnitOfWork) -> StockLine:
    run = uow.runs.of_subject(inventory.FLOW.name, inventory.FLOW.name)
    done, counts = last_done(uow, inventory.FLOW), dict(uow.products.counts()._mapping)
    return StockLine(counts, done, _run_row(run, uow.now) if run else None)


def last_done(uow: UnitOfWork, flow: Flow) -> Event | None:
    """When the only run of *flow* last came to its end, and what it said then."""
    query = (
        select(t.history)
        .join(t.runs, t.runs.c.id == t.history.c.run_id)
        .where(t.runs.c.flow == flow.name, t.runs.c.subject_key == flow.name)
        .where(t.history.c.step == flow.steps[-1], t.history.c.event == "done")
        .order_by(t.history.c.id.desc())
        .limit(1)
    )
    line = uow.connection.execute(query).first()
    return _event(line) if line is not None else None


def _products_like(uow: UnitOfWork, text: str) -> list[ProductRow]:
    contains = t.products.c.code.icontains(text, autoescape=True)
    query = select(t.products).where(contains).order_by(t.products.c.code).limit(PRODUCTS_SHOWN)
    return [_product(row) for row in uow.connection.execute(query)]


def _product(row: Row[Any]) -> ProductRow:
    return ProductRow(row.code, row.held_available, bool(row.held_low), row.is_known, row.is_active, row.problem)


def catch_up_rows(uow: UnitOfWork) -> list[CatchUpRow]:
    """One for each flow that catch-up may start, from its beginning on."""
    counts = uow.deliveries.healed_counts()
    looked_at = {look: done.at for look in set(_LOOKS.values()) if (done := last_done(uow, look))}
    return [
        CatchUpRow(flow.name, *counts.get(flow.name, (0, 0)), looked_at.get(look))
        for flow, look in _LOOKS.items()
        if flow.name in counts or look in looked_at
    ]


def alerts(uow: UnitOfWork, *, limit: int = ALERTS_SHOWN) -> list[AlertRow]:
    return [_alert_row(row) for row in uow.alerts.newest(limit=limit)]


def _alert_row(row: Row[Any]) -> AlertRow:
    content: Mapping[str, Any] = row.content
    return AlertRow(
        id=row.id,
        headline=content.get("headline", ""),
        facts=[(name, value) for name, value in content.get("facts", ())],
        cause=content.get("cause", ""),
        advice=content.get("advice", ""),
        command=content.get("command", ""),
        occurrences=row.occurrences,
        told=row.told,
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        is_open=row.closed_at is None,
    )


def letters_page(uow: UnitOfWork, settings: Settings) -> LettersPage:
    """The letters that have waited longest, each with the command that replays it."""
    oldest = uow.dead_letters.oldest_waiting(limit=LETTERS_SHOWN)
    return LettersPage(
        waiting=[_letter_row(letter, settings) for letter in oldest],
        count=uow.dead_letters.waiting_count(),
        command_for_all=settings.pasteable(f"{REPLAY} --all --yes"),
    )


def _letter_row(letter: DeadLetter, settings: Settings) -> LetterRow:
    return LetterRow(letter, settings.pasteable(f"{REPLAY} {letter.id}"))
