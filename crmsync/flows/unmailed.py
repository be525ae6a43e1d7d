"""Invoices that a person mails, because the deal has no e-mail address: created, written back, and one alert."""

from __future__ import annotations

from crmsync.alerts.content import unmailed_alert
from crmsync.domain.documents import Document
from crmsync.domain.learned import InvoiceMailed
from crmsync.domain.payments import Settlement
from crmsync.domain.runs import Run
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import learned

STATUS = "Synced, invoice not mailed: no e-mail address"


def leave_to_person(attempt: Attempt, invoice: Document, *, system: str) -> InvoiceMailed:
    """What the step learns instead of a mail."""
    attempt.remark = "not mailed: the deal has no e-mail address; a person mails it"
    run = attempt.run
    content = unmailed_alert(
        run,
        system,
        invoice=invoice.number,
        command=attempt.services.settings.pasteable(f"crmsync runs show {run.subject_key}"),
    )
    with attempt.services.store.begin() as uow:
        connection = attempt.company.invoices.connection
        uow.alerts.add_once(run.tenant, _cause(attempt, invoice.key), content, connection=connection)
    return InvoiceMailed(invoice.number, is_mailed_by_hand=True)


def status_of(run: Run) -> str:
    """What the deal says while a person has to mail its invoice; "" for every other."""
    mailed = learned(run, "send_invoice", InvoiceMailed)
    return STATUS if mailed and mailed.is_mailed_by_hand else ""


def is_over(settlement: Settlement | None) -> bool:
    """Whether nobody needs to mail it any more: the customer has it or has paid it, or it is void or gone (None)."""
    return settlement is None or settlement.is_mailed or settlement.is_void or settlement.is_paid


def settle(attempt: Attempt, invoice_key: str, settlement: Settlement | None) -> None:
    """Close the alert of an invoice that nobody needs to mail any more."""
    if not is_over(settlement):
        return
    with attempt.services.store.read() as uow:
        is_told = uow.alerts.is_open(_cause(attempt, invoice_key))
    if is_told:
        with attempt.services.store.begin() as uow:
            uow.alerts.close(_cause(attempt, invoice_key))


def _cause(attempt: Attempt, invoice_key: str) -> str:
    return f"unmailed:{attempt.company.invoices.connection}:{invoice_key}"
