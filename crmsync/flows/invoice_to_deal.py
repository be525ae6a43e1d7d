"""Writes what was paid on an invoice to its deal: always the books' current state, whichever event came first."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from crmsync.domain.learned import InvoiceRead
from crmsync.domain.ledger import Entry, EntryState
from crmsync.domain.money import Money
from crmsync.domain.payments import PaymentFigures, Settlement, extraordinary, figures
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.seller import Status
from crmsync.domain.steps import About
from crmsync.errors import PermanentError, RecordNotFoundError, WaitsForOtherRunError
from crmsync.flows import order_to_invoice, other_currency, unmailed
from crmsync.worker import documents, starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow, company_of
from crmsync.worker.task import step

FLOW = Flow(
    "invoice_to_deal",
    subject="invoice",
    steps=("read_invoice", "write_payment"),
    repeats=True,
    is_rehearsed=True,
    subject_role="invoices",
    bound_as="payments",
)

DEAL_WAIT_SECONDS = 5.0  # the deal's own run is at work
PERSON_WAIT_SECONDS = 120.0  # it waits for a person


@step(FLOW, queue="books", learns=InvoiceRead, about=About(calls={"payments": 2}))
def read_invoice(attempt: Attempt) -> InvoiceRead:
    """Read how far the invoice is settled, once its deal carries its number."""
    entry, deal_run = _made_by(attempt)
    _wait_for(deal_run)
    settlement = _read(attempt)
    unmailed.settle(attempt, attempt.run.subject_key, settlement)
    found = _figures(settlement, deal_run, _last_seen(attempt))
    attempt.describe(title=deal_run.title, amount=found.amount.amount, currency=found.amount.currency)
    return InvoiceRead(
        read_at=attempt.started_at,
        deal=deal_run.subject_key,
        number=settlement.number if settlement else "",
        balance=str(settlement.balance.amount) if settlement else "",
        is_void=settlement is None or settlement.is_void,
        is_replaced=_is_replaced(attempt, entry),
        figures=found,
    )


@step(FLOW, queue="crm", about=About(calls={"deals": 1}, writes="deals"))
def write_payment(attempt: Attempt) -> None:
    """Write it to the deal; one that was taken back is for a person, who may want another."""
    read = attempt.result(read_invoice)
    if read.is_replaced:
        _look_at_newest(attempt)
        other_currency.close(attempt)
        attempt.remark = "another invoice has taken its place: the deal says what was paid on that"
        return
    found = read.figures
    written = found if _may_say_status(attempt, is_void=read.is_void) else replace(found, status="")
    _, deal_run = _made_by(attempt)
    crm = company_of(attempt.services, deal_run).deals
    crm.api.write_payment(read.deal, written, currency=deal_run.currency)
    other_currency.check(attempt, deal_run, found, invoice=read.number)
    attempt.remark = f"{found.amount} paid" + (", all of it" if found.is_received else "")
    if found.status not in ("", Status.SYNCED):
        attempt.remark = found.status
    if read.is_void:
        _ask_about(attempt)


def _made_by(attempt: Attempt) -> tuple[Entry, Run]:
    """The invoice's row in the ledger, and the run that made it."""
    with attempt.services.store.read() as uow:
        entry = uow.ledger.of_document(attempt.company.invoices.connection, "invoice", attempt.run.subject_key)
        run = uow.runs.get(entry.run_id) if entry else None
    if entry is None or run is None:
        raise PermanentError("No deal of crmsync made this invoice.", system=attempt.company.invoices.connection)
    return entry, run


def _is_replaced(attempt: Attempt, entry: Entry) -> bool:
    newest = _newest(attempt, entry)
    return newest is not None and newest.key.generation > entry.key.generation


def _newest(attempt: Attempt, entry: Entry) -> Entry | None:
    """The invoice of the same deal that was asked for last."""
    with attempt.services.store.read() as uow:
        newest = documents.newest(uow.ledger.of_run(entry.run_id))
    return next((each for each in newest if each.key.kind == "invoice"), None)


def _look_at_newest(attempt: Attempt) -> None:
    """The deal may still say what was paid on the one that was replaced: nothing else tells it otherwise."""
    using, newest = attempt.services, _newest(attempt, _made_by(attempt)[0])
    if newest is None or newest.document is None:
        return
    key, correlation_id = str(newest.document["key"]), attempt.run.correlation_id
    with using.store.begin() as uow:
        attempt.hold(uow)
        queued_for = using.settings.behaviour.queued_for
        to_enqueue = starting.start(
            uow, FLOW, attempt.company, key, correlation_id=correlation_id, queued_for=queued_for
        )
    starting.enqueue(FLOW, to_enqueue)


def _may_say_status(attempt: Attempt, *, is_void: bool) -> bool:
    """Of a deal that is not done, or is asked about, `deal_status` says how it stands; and what became of its invoice
    when it is done again. So only one of the two writes at any time."""
    if attempt.company.options.tell_sellers == "no":
        return True
    entry, deal_run = _made_by(attempt)
    return deal_run.status is RunStatus.DONE and not (is_void and entry.state is EntryState.CONFIRMED)


def _ask_about(attempt: Attempt) -> None:
    """A void invoice of a deal that is done: shall it be made anew? A person is asked once."""
    queued_for = attempt.services.settings.behaviour.queued_for
    entry, _ = _made_by(attempt)
    if entry.state is EntryState.GONE:
        return
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        to_enqueue = starting.check_documents(uow, order_to_invoice.FLOW, entry.run_id, queued_for=queued_for)
    starting.enqueue(order_to_invoice.FLOW, to_enqueue)


def _wait_for(deal_run: Run) -> None:
    """Raises: WaitsForOtherRunError until the deal's numbers are written, or somebody has given its run up."""
    if deal_run.status is RunStatus.ACTIVE:
        raise WaitsForOtherRunError(wait_seconds=DEAL_WAIT_SECONDS)
    if deal_run.status is RunStatus.STOPPED and not order_to_invoice.FLOW.is_complete(deal_run):
        raise WaitsForOtherRunError(wait_seconds=PERSON_WAIT_SECONDS)


def _read(attempt: Attempt) -> Settlement | None:
    """None: the invoice was deleted."""
    try:
        return attempt.company.payments.api.read_settlement(attempt.run.subject_key)
    except RecordNotFoundError:
        return None


def _last_seen(attempt: Attempt) -> date | None:
    with attempt.services.store.read() as uow:
        return uow.applications.last_paid_on(attempt.run.source, attempt.run.subject_key)


def _figures(settlement: Settlement | None, deal_run: Run, last_seen: date | None) -> PaymentFigures:
    if settlement is None:
        nothing = Money(Decimal(0), deal_run.currency)
        return PaymentFigures(is_received=False, amount=nothing, paid_on=None, status=extraordinary(None))
    found = figures(settlement, last_seen=last_seen)
    said = found.status or other_currency.status_of(found, deal_run)
    return replace(found, status=said or _ordinary(settlement, deal_run))


def _ordinary(settlement: Settlement, deal_run: Run) -> str:
    """What was credited and is no more must not go on being called so; a deal that was given up was never in sync."""
    if deal_run.status is not RunStatus.DONE:
        return ""
    return (not unmailed.is_over(settlement) and unmailed.status_of(deal_run)) or Status.SYNCED.value
