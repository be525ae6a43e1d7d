"""Everything about one run: its steps, its documents, what it learned and which runs it has to do with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crmsync.domain.learned import InvoiceRead, InvoicesFound
from crmsync.domain.ledger import Entry, number_of
from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.flows import invoice_to_deal, order_to_invoice
from crmsync.settings import Settings
from crmsync.store import UnitOfWork
from crmsync.web.pages.history import Event, event_of, this_round
from crmsync.web.pages.learned import figures, outcome
from crmsync.web.pages.runs import RunRow, run_row
from crmsync.web.pages.troubles import LetterRow, letter_row
from crmsync.worker.flow import Flow, learned

LINES_SHOWN = 200  # of a history: a flow that looks again every ten minutes writes on for ever


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
class RunLink:
    """Another run that this one has to do with; *run_id* is "" where there is none yet."""

    name: str
    run_id: str


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


def run_page(uow: UnitOfWork, run_id: str, flows: Mapping[str, Flow], settings: Settings) -> RunPage | None:
    """Everything about one run; None if there is none of that id."""
    run = uow.runs.get(run_id)
    if run is None:
        return None
    row, history = run_row(run, uow.now), [event_of(line) for line in uow.history.of_run(run_id, last=LINES_SHOWN)]
    letter = uow.dead_letters.of_run(run_id)
    steps = flows[run.flow].steps if run.flow in flows else (run.step,)
    since_it_began = this_round(history, steps[-1], is_over=not run.status.is_active)
    documents = [_document_row(entry) for entry in uow.ledger.of_run(run_id)]
    return RunPage(
        run=row,
        correlation_id=run.correlation_id,
        due_at=run.due_at,
        lease_until=run.lease_until,
        attempts=run.attempts,
        steps=[_step_row(run, row.state, step, since_it_began) for step in steps],
        documents=documents,
        makes_documents=bool(documents) or run.flow == order_to_invoice.FLOW.name,
        figures=figures(run),
        invoices=_links(uow, run),
        history=history,
        is_history_cut=len(history) == LINES_SHOWN,
        letter=letter_row(letter, settings) if letter else None,
    )


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
        system=entry.key.connection,
        kind=entry.key.kind,
        number=number_of(document),
        reference=entry.key.reference,
        net=str(Money.from_json(net)) if net else "",
        state=entry.state.value,
        generation=entry.key.generation,
    )


def _links(uow: UnitOfWork, run: Run) -> list[RunLink]:
    """The runs of the invoices that a payment touches; the run of the deal that an invoice belongs to."""
    paid, read = learned(run, "find_invoices", InvoicesFound), learned(run, "read_invoice", InvoiceRead)
    links = [_link(uow, invoice_to_deal.FLOW, key) for key in paid.ours[:20]] if paid else []
    return [*links, _link(uow, order_to_invoice.FLOW, read.deal)] if read and read.deal else links


def _link(uow: UnitOfWork, flow: Flow, key: str) -> RunLink:
    run = uow.runs.of_subject(flow.name, key)
    name = f"{flow.subject.capitalize()} {key}"
    return RunLink(f"{name}, {run.title}" if run and run.title else name, run.id if run else "")
