"""Detects deleted invoices, which no list of changes shows: recent ones are searched for in the books' own list.

Every hour the list of invoices that are new or were changed in the last seven days is read, two hundred in a call.
One of ours that it lacks, or shows as void, is read by its id: then its deal's run is started, and a person is asked.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from functools import partial

from crmsync.domain.documents import Document
from crmsync.domain.learned import DocumentsCompared
from crmsync.domain.ledger import Entry
from crmsync.domain.payments import InvoiceChange
from crmsync.domain.runs import RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.flows import invoice_to_deal, put_back
from crmsync.flows.put_back import Replaced
from crmsync.flows.sightings import paged
from crmsync.store import UnitOfWork
from crmsync.worker import starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step

FLOW = Flow(
    "compare_invoices",
    subject="comparison of invoices",
    steps=("look_at_invoices",),
    repeats=True,
    every=lambda options: options.compare_invoices_seconds,
    roles=("payments",),
    title="Comparison of invoices",
    subject_role="invoices",
)
WINDOW = timedelta(days=7)  # who takes an invoice back mostly does so within days; each day more costs pages
CLOCKS = timedelta(minutes=5)  # the books stamp an invoice by their own clock
READS_MAX = 40  # a list that shows nothing at all must not cost a call for each invoice


@step(FLOW, queue="background", learns=DocumentsCompared)
def look_at_invoices(attempt: Attempt) -> DocumentsCompared:
    """Find the invoices of the last days that no longer exist or are void, and have their deals checked."""
    made, replaced = _made(attempt), put_back.replaced(attempt, "invoices", "invoice")
    not_standing, back = _read_list(attempt, made, replaced) if made else ([], [])
    suspects = _done(attempt, not_standing)
    # Others the next time: where the list lacks many for another reason, all of them have their turn.
    read = random.sample(suspects, min(READS_MAX, len(suspects)))
    taken_back = [entry for entry in read if _is_taken_back(attempt, entry)]
    _start_runs(attempt, taken_back)
    told = [pair for pair in replaced if pair.is_told]
    look_at = [*told, *random.sample(back, min(READS_MAX, len(back)))]
    twice = put_back.check(attempt, attempt.company.invoices.system, look_at, partial(_present, attempt))
    attempt.describe(title=f"Checked {len(made):,} invoices, {len(taken_back):,} were taken back")
    return DocumentsCompared(len(made), len(taken_back) + twice)


def _made(attempt: Attempt) -> Sequence[Entry]:
    """What was made in the last days; what the list may not show yet is left to the next run."""
    until = attempt.started_at - timedelta(seconds=attempt.services.settings.behaviour.settle_seconds)
    with attempt.services.store.read() as uow:
        return uow.ledger.made_between(
            attempt.company.invoices.connection, "invoice", attempt.started_at - WINDOW, until
        )


def _read_list(
    attempt: Attempt, made: Sequence[Entry], replaced: Sequence[Replaced]
) -> tuple[list[Entry], list[Replaced]]:
    """Those of *made* that the list lacks or shows as void, and those of *replaced* that it shows and are news.

    It is read until all are found: ours are mostly among the newest.
    """
    oldest = min(entry.sent_at for entry in made if entry.sent_at)
    missing = {entry.document_key: entry for entry in made}
    gone = {pair.keys[0]: pair for pair in replaced if not pair.is_told}
    void: list[Entry] = []
    back: list[Replaced] = []
    changed = attempt.company.payments.api.changed_invoices(oldest - CLOCKS)
    for page in paged(changed):
        attempt.keep_alive()
        void += _found(missing, page)
        back += [pair for row in page if (pair := gone.pop(row.key, None)) and not row.is_void]
        if not (missing or gone):
            break
    return [*void, *missing.values()], back


def _found(missing: dict[str, Entry], page: Iterable[InvoiceChange]) -> list[Entry]:
    """Take from *missing* what is on the page. Returns those that are void."""
    found = [(row, entry) for row in page if (entry := missing.pop(row.key, None))]
    return [entry for row, entry in found if row.is_void]


def _done(attempt: Attempt, entries: Collection[Entry]) -> list[Entry]:
    """Those of deals that are done: every other run checks its documents by itself when it goes on."""
    with attempt.services.store.read() as uow:
        runs = {entry.run_id: uow.runs.get(entry.run_id) for entry in entries}
        is_done = {run_id: run is not None and run.status is RunStatus.DONE for run_id, run in runs.items()}
        return [entry for entry in entries if is_done[entry.run_id] and not _is_of_lost_deal(uow, entry)]


def _is_of_lost_deal(uow: UnitOfWork, entry: Entry) -> bool:
    """Whether the CRM does not show the deal any more, and a person has said that it be left so."""
    run = uow.runs.of_subject(invoice_to_deal.FLOW.name, entry.key.connection, entry.document_key)
    letter = uow.dead_letters.of_run(run.id) if run is not None and run.status is RunStatus.DISCARDED else None
    return letter is not None and letter.error == RecordNotFoundError.__name__


def _is_taken_back(attempt: Attempt, entry: Entry) -> bool:
    """A list proves nothing: the invoice is asked for by its id."""
    attempt.keep_alive()
    found = _present(attempt, entry.document_key)
    return found is None or found.is_void


def _present(attempt: Attempt, key: str) -> Document | None:
    """None: it does not exist."""
    try:
        return attempt.company.invoices.api.read_invoice(key)
    except RecordNotFoundError:
        return None


def _start_runs(attempt: Attempt, entries: Sequence[Entry]) -> None:
    """The run that brings an invoice to its deal says what became of it, and asks."""
    correlation_id, queued_for = attempt.run.correlation_id, attempt.services.settings.behaviour.queued_for
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        started = [
            starting.start(
                uow, invoice_to_deal.FLOW, attempt.company, key, correlation_id=correlation_id, queued_for=queued_for
            )
            for key in sorted(entry.document_key for entry in entries)
        ]
    for each in started:
        starting.enqueue(invoice_to_deal.FLOW, each)
