"""Reads a run's documents as their systems show them now: each by its id, because a list proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial

from crmsync.company import Company
from crmsync.domain.documents import Document
from crmsync.domain.learned import InvoiceMade, OrderMade
from crmsync.domain.ledger import Entry, EntryState
from crmsync.domain.runs import Run
from crmsync.domain.second_look import DOCUMENT_STEPS, Seen
from crmsync.errors import OutcomeSettlingError, RecordNotFoundError
from crmsync.services import Services
from crmsync.worker import absence
from crmsync.worker.flow import learned


def newest(entries: Iterable[Entry]) -> list[Entry]:
    """The entry of the latest generation of a run's order and of its invoice; what was refused was never one."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.key.kind not in DOCUMENT_STEPS or entry.state is EntryState.INTENT:
            continue
        known = found.get(entry.key.kind)
        if known is None or entry.key.generation > known.key.generation:
            found[entry.key.kind] = entry
    return [found[kind] for kind in DOCUMENT_STEPS if kind in found]


def seen(using: Services, company: Company, run: Run, entries: Sequence[Entry]) -> list[Seen]:
    """The documents of *entries* that exist or existed, as they stand now; a call for each.

    Raises: OutcomeSettlingError where a system may not show yet what it has just made; a vendor's errors.
    """
    known = [entry for entry in entries if entry.state in (EntryState.CONFIRMED, EntryState.GONE)]
    return [_seen(using, company, run, entry) for entry in known]


def pending(using: Services, company: Company, entries: Sequence[Entry]) -> list[Entry]:
    """The ones of *entries* whose answer was lost, and under whose reference something stands; a call for each.

    Raises: OutcomeSettlingError while it is not certain that there is nothing; a vendor's errors.
    """
    lost = [entry for entry in entries if entry.state in (EntryState.SENT, EntryState.UNKNOWN)]
    return [entry for entry in lost if absence.search(using, entry, partial(_under_reference, company, entry))]


def beside(company: Company, entry: Entry) -> list[Document]:
    """What others have made under the reference of *entry*, and what of it stands; a call."""
    made = (entry.document or {}).get("key")
    return [found for found in _under_reference(company, entry) if found.key != made]


def _under_reference(company: Company, entry: Entry) -> list[Document]:
    find = company.orders.api.find_orders if entry.key.kind == "order" else company.invoices.api.find_invoices
    return [found for found in find(entry.key.reference) if not found.is_void]


def read_made(using: Services, run: Run, kind: str, key: str, read: Callable[[str], Document]) -> Document | None:
    """The run's document *key*; None if it does not exist: believed only when its system had time to show it."""
    try:
        return read(key)
    except RecordNotFoundError:
        wait = _settles_in(using, run, kind)
        if wait > 0:
            raise OutcomeSettlingError(wait_seconds=wait) from None
        return None


def _seen(using: Services, company: Company, run: Run, entry: Entry) -> Seen:
    system, read = _reader(company, entry.key.kind)
    found = read_made(using, run, entry.key.kind, entry.document_key, read)
    return Seen(entry, system, found, agreed(run, entry))


def agreed(run: Run, entry: Entry) -> Document | None:
    """The document of *entry* as the run went on with it; None where it has not come so far."""
    made = accepted(run, entry.key.kind)
    return made if made and made.key == entry.document_key else None


def accepted(run: Run, kind: str) -> Document | None:
    """The order or invoice that the run has made, if this release can read what it has learned."""
    if kind == "order":
        return learned(run, DOCUMENT_STEPS[kind], OrderMade)
    return learned(run, DOCUMENT_STEPS[kind], InvoiceMade)


def _reader(company: Company, kind: str) -> tuple[str, Callable[[str], Document]]:
    if kind == "order":
        return company.orders.system, company.orders.api.read_order
    return company.invoices.system, company.invoices.api.read_invoice


def _settles_in(using: Services, run: Run, kind: str) -> float:
    """In how many seconds a system that makes a document after its answer must show it."""
    with using.store.read() as uow:
        sent_at = [entry.sent_at for entry in newest(uow.ledger.of_run(run.id)) if entry.key.kind == kind]
    settle, now = timedelta(seconds=using.settings.behaviour.settle_seconds), using.store.clock()
    return max((min(settle, at + settle - now).total_seconds() for at in sent_at if at), default=0.0)
