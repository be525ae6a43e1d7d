"""What a finished deal says, and how a deal that was stuck says so in the same call as its numbers."""

from __future__ import annotations

from crmsync.company import Company
from crmsync.domain.learned import InvoiceMade, InvoiceRead
from crmsync.domain.runs import Run
from crmsync.domain.seller import Status
from crmsync.flows import unmailed
from crmsync.store import UnitOfWork
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import learned

_READS_INVOICE = ("invoice_to_deal", "read_invoice")


def settled(uow: UnitOfWork, company: Company, run: Run) -> str:
    """The status of a deal that is done: that it is in sync, or what became of its invoice besides payments."""
    flow, step = _READS_INVOICE
    invoice = learned(run, "create_invoice", InvoiceMade)
    paid = uow.runs.of_subject(flow, company.invoices.connection, invoice.key) if invoice else None
    read = learned(paid, step, InvoiceRead) if paid else None
    return (read.figures.status if read else "") or unmailed.status_of(run) or Status.SYNCED.value


def note_told(attempt: Attempt, status: str) -> None:
    """With the end of the step: of an ordinary deal there is no row, and nothing is written."""
    crm, key, since = attempt.company.deals.connection, attempt.run.subject_key, attempt.started_at
    attempt.with_end.append(lambda uow: uow.tellings.settled(crm, key, status, since=since))
