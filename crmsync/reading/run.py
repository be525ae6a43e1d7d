"""Everything about one run: its steps, its documents, its results and its related runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crmsync.domain.learned import CustomerMatched
from crmsync.domain.ledger import Entry, number_of
from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.flows import invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.reading.history import Event, is_cut, last_lines, this_round
from crmsync.reading.letters import LetterRow, letter_row
from crmsync.reading.runs import RunRow, run_row
from crmsync.reading.telling import figures, outcome
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import CATCH_UP, seen_by_catch_up
from crmsync.worker.flow import FLOWS, Flow, learned

INVOICES_SHOWN = 20
DELIVERIES_SHOWN = 50


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
    """What the ledger holds of one document in another system, also of one that was never confirmed."""

    connection: str
    kind: str
    number: str
    key: str
    reference: str
    generation: int
    net: Money | None
    state: str
    sends: int
    sent_at: datetime | None
    is_known: bool  # its system has shown it


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer that the run's documents are for, and how it was found; *name* and *city* are "" for a person."""

    step: str
    number: str
    name: str
    city: str
    matched_by: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A webhook that announced the run's subject, or a change of it that catch-up saw."""

    source: str
    received_at: datetime
    is_healed: bool

    @property
    def is_webhook(self) -> bool:
        return not self.source.startswith(CATCH_UP)


@dataclass(frozen=True, slots=True)
class RunLink:
    """Another run that this one has to do with; *run_id* and *title* are "" where there is none yet."""

    flow: str
    subject: str
    key: str
    title: str
    run_id: str

    @property
    def is_only_one(self) -> bool:
        return self.key == self.flow


@dataclass(frozen=True, slots=True)
class WholeRun:
    """*figures* are what it learned, by name; *links* are the runs of what it pays, or of the deal that it is of."""

    run: RunRow
    steps: Sequence[StepRow]
    documents: Sequence[DocumentRow]
    makes_documents: bool
    customers: Sequence[CustomerRow]
    figures: Sequence[tuple[str, str]]
    links: Sequence[RunLink]
    deliveries: Sequence[DeliveryRow]
    history: Sequence[Event]
    is_history_cut: bool
    letter: LetterRow | None


def whole_run(uow: UnitOfWork, tenant: str | None, run_id: str, flows: Mapping[str, Flow] = FLOWS) -> WholeRun | None:
    """Everything about one run; None if *tenant* has none of that id, where that is None: if nobody has."""
    run = uow.runs.get(run_id)
    if run is None or tenant not in (None, run.tenant):
        return None
    row, history, letter = run_row(uow, run), last_lines(uow, run_id), uow.dead_letters.of_run(run_id)
    steps = flows[run.flow].steps if run.flow in flows else (run.step,)
    since_it_began = this_round(history, steps[-1], is_over=not run.status.is_active)
    documents = documents_of(uow, run_id)
    return WholeRun(
        run=row,
        steps=[_step_row(run, row.state, step, since_it_began) for step in steps],
        documents=documents,
        makes_documents=bool(documents) or run.flow == order_to_invoice.FLOW.name,
        customers=_customers(run),
        figures=figures(run),
        links=_links(uow, run),
        deliveries=_deliveries(uow, run),
        history=history,
        is_history_cut=is_cut(history),
        letter=letter_row(letter) if letter else None,
    )


def documents_of(uow: UnitOfWork, run_id: str) -> list[DocumentRow]:
    return [_document_row(entry) for entry in uow.ledger.of_run(run_id)]


def documents_json(documents: Iterable[DocumentRow]) -> list[dict[str, Any]]:
    return [
        {
            "system": each.connection,
            "kind": each.kind,
            "number": each.number,
            "reference": each.reference,
            "generation": each.generation,
            "state": each.state,
        }
        for each in documents
    ]


def _step_row(run: Run, run_state: str, step: str, history: Sequence[Event]) -> StepRow:
    tries = [event for event in history if event.step == step and event.started_at is not None]
    if run.status is RunStatus.DONE or (step in run.results and step != run.step):
        state = "done"
    else:
        state = run_state if step == run.step else "to come"
    ended = tries[-1] if tries else None
    return StepRow(step, state, outcome(run, step), ended, len(tries))


def _document_row(entry: Entry) -> DocumentRow:
    document = entry.document or {}
    net = document.get("net")
    return DocumentRow(
        connection=entry.key.connection,
        kind=entry.key.kind,
        number=number_of(document),
        key=entry.document_key,
        reference=entry.key.reference,
        generation=entry.key.generation,
        net=Money.from_json(net) if net else None,
        state=entry.state.value,
        sends=entry.sends,
        sent_at=entry.sent_at,
        is_known=bool(entry.document),
    )


def _customers(run: Run) -> list[CustomerRow]:
    flow = FLOWS.get(run.flow)
    matching = [step for step, about in flow.about.items() if about.customer_of] if flow else []
    matches = ((step, learned(run, step, CustomerMatched)) for step in matching)
    return [
        CustomerRow(step, found.customer_key, found.name, found.city, found.matched_by)
        for step, found in matches
        if found and found.customer_key
    ]


def _links(uow: UnitOfWork, run: Run) -> list[RunLink]:
    """The runs of the invoices that a payment touches; the run of the deal that an invoice belongs to."""
    paid, read = learned(run, payment_to_invoices.find_invoices), learned(run, invoice_to_deal.read_invoice)
    links = [_link(uow, run, invoice_to_deal.FLOW, key) for key in paid.ours[:INVOICES_SHOWN]] if paid else []
    return [*links, _link(uow, run, order_to_invoice.FLOW, read.deal)] if read and read.deal else links


def _link(uow: UnitOfWork, of: Run, flow: Flow, key: str) -> RunLink:
    called = sorted(uow.runs.called(of.tenant, flow.name, key), key=lambda each: each.source != of.source)
    run = called[0] if called else None
    return RunLink(flow.name, flow.subject, key, run.title if run else "", run.id if run else "")


def _deliveries(uow: UnitOfWork, run: Run) -> list[DeliveryRow]:
    """What catch-up saw for another flow, of a subject with the same key, is not of this run."""
    rows = uow.deliveries.of_subject(run.source, run.subject_key, last=DELIVERIES_SHOWN)
    found = [DeliveryRow(row.source, row.received_at, row.is_healed) for row in rows]
    return [each for each in found if each.is_webhook or each.source == seen_by_catch_up(run.flow, run.source)]
