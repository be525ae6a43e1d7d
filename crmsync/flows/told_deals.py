"""What a deal says that is done, and that one that was stuck says so by the same call as its numbers."""

from __future__ import annotations

from crmsync.domain.runs import Run
from crmsync.domain.seller import Status
from crmsync.flows import unmailed
from crmsync.store import UnitOfWork
from crmsync.worker.attempt import Attempt

_READS_INVOICE = ("invoice_to_deal", "read_invoice")


def settled(uow: UnitOfWork, run: Run) -> str:
    """That it is in sync, or what became of its invoice besides payments."""
    flow, step = _READS_INVOICE
    invoice = run.results.get("create_invoice", {}).get("key")
    paid = uow.runs.of_subject(flow, invoice) if invoice else None
    read = paid.results.get(step, {}) if paid else {}
    return str(read.get("figures", {}).get("status") or unmailed.status_of(run) or Status.SYNCED.value)


def note_told(attempt: Attempt, status: str) -> None:
    """With the end of the step: of an ordinary deal there is no row, and nothing is written."""
    key, since = attempt.run.subject_key, attempt.started_at
    attempt.with_end.append(lambda uow: uow.tellings.settled(key, status, since=since))
