"""A payment was recorded, changed or deleted in the books: each of our invoices that it touches is checked."""

from __future__ import annotations

from collections.abc import Collection

from crmsync.domain.learned import InvoicesFound
from crmsync.domain.payments import Payment
from crmsync.domain.runs import RunStatus
from crmsync.domain.steps import About
from crmsync.errors import RecordNotFoundError, WaitsForOtherRunError
from crmsync.flows import invoice_to_deal
from crmsync.worker import starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.starting import ToEnqueue
from crmsync.worker.task import step

FLOW = Flow(
    "payment_to_invoices",
    subject="payment",
    steps=("find_invoices",),
    repeats=True,
    subject_role="payments",
    bound_as="payments",
    leads_to=invoice_to_deal.FLOW,
)

FOREIGN_INVOICES = "payments.foreign_invoices."  # in front of a connection: a fact
SETTLE_WAIT_SECONDS = 30.0  # the run that makes the invoice is at work
PERSON_WAIT_SECONDS = 1800.0  # it waits for a person; each check costs a call


@step(FLOW, queue="books", learns=InvoicesFound, about=About(calls={"payments": 1}))
def find_invoices(attempt: Attempt) -> InvoicesFound:
    """Read the payment, and start the run of every invoice of ours that it is, or was, applied to."""
    payment = _read(attempt)
    touched = _touched(attempt, payment)
    ours = [key for key in touched if _is_ours(attempt, key)]
    for to_enqueue in _start_runs(attempt, payment, ours, foreign=len(touched) - len(ours)):
        starting.enqueue(invoice_to_deal.FLOW, to_enqueue)
    attempt.remark = _remark(payment, len(ours), len(touched) - len(ours))
    number = payment.number if payment else ""
    return InvoicesFound(tuple(ours), len(touched) - len(ours), payment is None, number)


def _read(attempt: Attempt) -> Payment | None:
    """None: it was deleted."""
    try:
        return attempt.company.payments.api.read_payment(attempt.run.subject_key)
    except RecordNotFoundError:
        return None


def _touched(attempt: Attempt, payment: Payment | None) -> list[str]:
    """What it is applied to now, and what it was applied to before: money may have been taken off again."""
    with attempt.services.store.read() as uow:
        before = uow.applications.of_payment(attempt.run.source, attempt.run.subject_key)
    return sorted({*before, *(payment.invoice_keys if payment else ())})


def _is_ours(attempt: Attempt, invoice_key: str) -> bool:
    """Raises: WaitsForOtherRunError while the run that makes the invoice does not know its id."""
    with attempt.services.store.read() as uow:
        if uow.ledger.of_document(attempt.company.invoices.connection, "invoice", invoice_key):
            return True
        if not uow.ledger.is_any_open(attempt.company.invoices.connection, "invoice"):
            return False
    return _is_being_made(attempt, invoice_key)


def _is_being_made(attempt: Attempt, invoice_key: str) -> bool:
    """The answer to a create may be lost: then only the reference on the invoice tells that it is ours."""
    try:
        reference = attempt.company.payments.api.read_settlement(invoice_key).reference
    except RecordNotFoundError:
        return False
    with attempt.services.store.read() as uow:
        entry = (
            uow.ledger.of_reference(attempt.company.invoices.connection, "invoice", reference) if reference else None
        )
        maker = uow.runs.get(entry.run_id) if entry is not None and entry.document is None else None
    if maker is not None and maker.status in (RunStatus.ACTIVE, RunStatus.STOPPED):
        is_at_work = maker.status is RunStatus.ACTIVE
        raise WaitsForOtherRunError(wait_seconds=SETTLE_WAIT_SECONDS if is_at_work else PERSON_WAIT_SECONDS)
    return False


def _start_runs(attempt: Attempt, payment: Payment | None, ours: Collection[str], *, foreign: int) -> list[ToEnqueue]:
    queued_for = attempt.services.settings.behaviour.queued_for
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        started = [
            starting.start(
                uow,
                invoice_to_deal.FLOW,
                attempt.company,
                key,
                correlation_id=attempt.run.correlation_id,
                queued_for=queued_for,
            )
            for key in ours
        ]
        uow.applications.replace(
            attempt.run.source,
            attempt.run.subject_key,
            payment.invoice_keys if payment else (),
            paid_on=payment.paid_on if payment else None,
        )
        uow.facts.count(f"{FOREIGN_INVOICES}{attempt.run.source}", foreign)
    return [each for each in started if each]


def _remark(payment: Payment | None, ours: int, foreign: int) -> str:
    touched = f"{ours} invoices of ours, {foreign} of others"
    return touched if payment else f"deleted; it was applied to {touched}"
