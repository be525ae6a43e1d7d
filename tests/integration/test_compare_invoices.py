"""Invoices that people take back are found in the books' list, at a cost that does not grow with how many stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from crmsync.domain.documents import Document
from crmsync.domain.ledger import EntryKey
from crmsync.domain.payments import InvoiceChange
from crmsync.domain.runs import RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.flows import compare_invoices, invoice_to_deal, order_to_invoice
from crmsync.services import Services
from crmsync.store.tables import runs
from crmsync.worker import dead_letters
from crmsync.worker.attempt import Attempt
from tests.fakes import DEFAULT, FakeClock, fill_everywhere, run_of_subject

DAY = 86_400
TOTAL = Decimal(100)


class Books:
    """*stands* are the ids that exist; the list shows those of *listed*, void where they are in *void*."""

    system = "Zoho Books"

    def __init__(self) -> None:
        self.stands: set[str] = set()
        self.listed: list[str] = []
        self.void: set[str] = set()
        self.rows_read = 0
        self.read: list[str] = []
        self.since: datetime | None = None

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        self.since = since
        for key in self.listed:
            self.rows_read += 1
            yield InvoiceChange(key, "", since, TOTAL, TOTAL, is_void=key in self.void)

    def read_invoice(self, key: str) -> Document:
        self.read.append(key)
        if key not in self.stands:
            raise RecordNotFoundError(system=self.system)
        return Document(key, key, is_void=key in self.void)


@pytest.fixture
def books(services: Services, monkeypatch: pytest.MonkeyPatch) -> Books:
    made = Books()
    fill_everywhere(monkeypatch, invoices=made)
    return made


def billed(services: Services, books: Books, *keys: str, status: RunStatus = RunStatus.DONE) -> None:
    """Deals whose invoices were made now, and stand and are listed, newest first."""
    for key in keys:
        with services.store.begin() as uow:
            run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, f"deal-{key}", correlation_id="c")
            made = EntryKey("zoho_books", "invoice", f"SF-{key}")
            uow.ledger.reserve(made, run_id, certain_at=uow.now)
            uow.ledger.confirmed(made, {"key": key, "number": key})
            uow.connection.execute(update(runs).where(runs.c.id == run_id).values(status=status.value))
        books.stands.add(key)
        books.listed.insert(0, key)


def look(services: Services, clock: FakeClock) -> Sequence[str]:
    """One look. Returns the invoices whose runs it has started."""
    clock.advance(60)
    with services.store.begin() as uow:
        run_id, _ = compare_invoices.FLOW.open_run(uow, DEFAULT, "compare_invoices", correlation_id="c")
        uow.runs.restart(run_id, first_step="look_at_invoices", queued_until=uow.now, due_at=uow.now)
        run = uow.runs.claim(run_id, "look_at_invoices", first_step="look_at_invoices", lease_seconds=90)
    assert run is not None
    attempt = Attempt(run, services, clock.now)
    learned = compare_invoices.look_at_invoices.body(attempt)
    with services.store.begin() as uow:
        uow.runs.finish_step(run, learned.to_json(), next_step=None, queued_until=uow.now)
        started_runs = [run.subject_key for run in uow.runs.newest(None, limit=1000, flow=invoice_to_deal.FLOW.name)]
    return sorted(started_runs)


def test_what_the_list_shows_costs_no_call_more(services: Services, clock: FakeClock, books: Books) -> None:
    billed(services, books, "1", "2", "3")
    books.listed += [f"older-{number}" for number in range(1000)]

    assert look(services, clock) == []
    assert books.read == []
    assert books.rows_read == compare_invoices.paged.__globals__["PAGE"], "what is older than ours is not read"


def test_one_that_is_deleted_or_void_is_brought_to_its_deal(services: Services, clock: FakeClock, books: Books) -> None:
    billed(services, books, "1", "2", "3")
    books.listed.remove("2")
    books.stands.remove("2")
    books.void.add("3")

    assert look(services, clock) == ["2", "3"]
    assert books.since is not None
    assert books.since < clock.now - timedelta(minutes=5), "the books' clock may be behind ours"


def test_a_list_that_lacks_one_proves_nothing(services: Services, clock: FakeClock, books: Books) -> None:
    billed(services, books, "1", "2")
    books.listed.clear()

    assert look(services, clock) == []
    assert sorted(books.read) == ["1", "2"]


def test_a_list_that_shows_nothing_costs_a_few_calls_and_others_the_next_time(
    services: Services, clock: FakeClock, books: Books
) -> None:
    keys = [str(number) for number in range(compare_invoices.READS_MAX + 10)]
    billed(services, books, *keys)
    books.listed.clear()

    look(services, clock)
    assert len(books.read) == compare_invoices.READS_MAX
    for _ in range(30):
        look(services, clock)
    assert set(books.read) == set(keys)


@pytest.mark.parametrize("status", [RunStatus.STOPPED, RunStatus.DISCARDED])
def test_of_a_deal_that_is_not_done_nobody_is_asked(
    services: Services, clock: FakeClock, books: Books, status: RunStatus
) -> None:
    billed(services, books, "1", status=status)
    books.listed.clear()
    books.stands.clear()

    assert look(services, clock) == []
    assert books.read == []


def test_it_looks_back_for_a_week(services: Services, clock: FakeClock, books: Books) -> None:
    billed(services, books, "old")
    clock.advance(7 * DAY)
    assert look(services, clock) == []
    assert books.since is None, "nothing was made: no call"

    billed(services, books, "new")
    clock.advance(6 * DAY)
    books.listed.clear()
    books.stands.clear()
    assert look(services, clock) == ["new"]


def test_of_a_deal_that_is_deleted_nobody_is_asked_again_who_has_left_it_so(
    services: Services, clock: FakeClock, books: Books
) -> None:
    billed(services, books, "1")
    books.stands.clear()
    books.listed.clear()
    assert look(services, clock) == ["1"]
    with services.store.begin() as uow:
        run = run_of_subject(uow, invoice_to_deal.FLOW.name, "1")
        assert run is not None
        uow.runs.stop(run, title=None, amount=None, currency=None)
        letter, _ = uow.dead_letters.add(run, RecordNotFoundError(system="Salesforce"))
    dead_letters.discard(services, letter.id, by="a test")

    look(services, clock)

    with services.store.read() as uow:
        run = run_of_subject(uow, invoice_to_deal.FLOW.name, "1")
    assert run is not None
    assert run.status is RunStatus.DISCARDED
