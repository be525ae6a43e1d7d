"""What is kept of a count is what counting all would say, whatever happens to the rows; on both databases."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select

from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import RunStatus
from crmsync.errors import PermanentError
from crmsync.services import Services
from crmsync.store import Store, UnitOfWork, schema
from crmsync.store.deliveries import CATCH_UP
from crmsync.store.tables import ledger, runs
from crmsync.store.tallies import BOOKS, LAG, RUNS
from crmsync.worker import housekeeping
from tests.earlier_releases import insert, insert_run, instant, migrate_to
from tests.fakes import FakeClock, start_run
from tests.integration.test_store import in_parallel

FLOWS = ("order_to_invoice", "payment_to_invoices")
HOUR = timedelta(hours=1)


class Life:
    """Does to a store, one after the other, what work, people and time do to it."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.opened: list[str] = []
        self.entries: list[EntryKey] = []
        self.came = 0

    def run_is_opened(self, number: int) -> None:
        with self.store.begin() as uow:
            flow, subject = FLOWS[number % 2], f"s{len(self.opened)}"
            self.opened.append(start_run(uow, flow, subject, step="first", correlation_id="c", queued_until=uow.now)[0])

    def step_is_done(self, number: int) -> None:
        self._work(number, next_step="second")

    def run_is_done(self, number: int) -> None:
        self._work(number, next_step=None)

    def run_is_given_up(self, number: int) -> None:
        self._work(number, next_step=None, ends_as=RunStatus.DISCARDED)

    def run_is_stopped(self, number: int) -> None:
        with self.store.begin() as uow:
            run = self._claimed(uow, number)
            if run is not None:
                uow.runs.stop(run, title=None, amount=None, currency=None)
                uow.dead_letters.add(run, PermanentError("It can't be done."))

    def run_is_woken(self, number: int) -> None:
        with self.store.begin() as uow:
            if self.opened:
                uow.runs.restart(self._some(number), first_step="first", queued_until=uow.now)

    def document_is_asked_for(self, number: int) -> None:
        with self.store.begin() as uow:
            self.entries.append(EntryKey("erp", ("order", "invoice")[number % 2], f"r{len(self.entries)}"))
            uow.ledger.reserve(self.entries[-1], "run", certain_at=uow.now)

    def document_is_confirmed(self, number: int) -> None:
        self._of_entry(number, lambda uow, key: uow.ledger.confirmed(key, {"key": "1"}))

    def document_is_gone(self, number: int) -> None:
        self._of_entry(number, lambda uow, key: uow.ledger.gone(key))

    def document_is_back(self, number: int) -> None:
        self._of_entry(number, lambda uow, key: uow.ledger.stands_again(key))

    def webhook_comes(self, number: int) -> None:
        self.came += 1
        with self.store.begin() as uow:
            uow.deliveries.add(("crm", "books")[number % 2], f"s{number}", event_key=str(self.came))

    def change_is_healed(self, number: int) -> None:
        self.came += 1
        with self.store.begin() as uow:
            uow.deliveries.add(f"{CATCH_UP}deals.crm", "s", event_key=str(self.came), is_healed=number % 2 == 0)

    def time_passes(self, number: int) -> None:
        self.clock.advance(60.0 * (number % 40))

    def sweep_counts(self, _: int) -> None:
        for book in BOOKS:
            with self.store.begin() as uow:
                if uow.tallies.is_due(book):
                    uow.tallies.fold(book)

    def old_rows_are_dropped(self, number: int) -> None:
        with self.store.begin() as uow:
            before = uow.now - HOUR * (number % 3)
            uow.retention.reduce_runs(before, limit=number)
            uow.retention.drop_runs(before, flows=FLOWS, limit=number)
            uow.retention.drop_deliveries(before, limit=number)

    def customer_is_forgotten(self, _: int) -> None:
        with self.store.begin() as uow:
            uow.retention.forget("salesforce", "account")

    def clock_is_ahead(self, number: int) -> None:
        """A sweep by a host whose clock goes wrong by days."""
        self.clock.advance(86_400.0 * 3)
        self.sweep_counts(number)
        self.clock.advance(-86_400.0 * 3)

    def _some(self, number: int) -> str:
        return self.opened[number % len(self.opened)]

    def _claimed(self, uow: UnitOfWork, number: int) -> Any:
        run = uow.runs.get(self._some(number)) if self.opened else None
        return run and uow.runs.claim(run.id, run.step, lease_seconds=60)

    def _work(self, number: int, **how: Any) -> None:
        with self.store.begin() as uow:
            run = self._claimed(uow, number)
            if run is not None:
                learned = {"customer": {"key": "account"}}
                uow.runs.finish_step(run, learned, queued_until=uow.now, **how)

    def _of_entry(self, number: int, what: Callable[[UnitOfWork, EntryKey], Any]) -> None:
        with self.store.begin() as uow:
            if self.entries:
                what(uow, self.entries[number % len(self.entries)])


EVENTS = sorted(name for name in vars(Life) if not name.startswith("_"))


def counted(uow: UnitOfWork, *columns: Any) -> dict[Any, int]:
    rows = uow.connection.execute(select(*columns, func.count()).group_by(*columns))
    return {tuple(key): count for *key, count in rows}


def check(uow: UnitOfWork, came: int) -> None:
    assert uow.runs.counts(None) == counted(uow, runs.c.flow, runs.c.status)
    not_done = {
        place: n for place, n in counted(uow, runs.c.flow, runs.c.status, runs.c.step).items() if place[1] != "done"
    }
    assert {(row.flow, row.status, row.step): row.standing for row in uow.runs.tally(None) if row.step} == not_done
    assert uow.ledger.counts(None) == counted(uow, ledger.c.kind, ledger.c.state)
    healed = uow.deliveries.healed_counts(None)
    assert sum(uow.deliveries.counts(None).values()) + sum(seen for seen, _ in healed.values()) == came


@pytest.fixture
def life(services: Services, clock: FakeClock) -> Life:
    return Life(services.store, clock)


@pytest.mark.parametrize("seed", range(6))
def test_the_tallies_are_those_of_a_look_at_every_row(life: Life, seed: int) -> None:
    chance = random.Random(seed)
    for place in range(120):
        getattr(life, chance.choice(EVENTS))(chance.randrange(50))
        if place % 20 == 19:
            with life.store.read() as uow:
                check(uow, life.came)


def test_what_was_counted_is_not_counted_again(life: Life) -> None:
    for number in range(4):
        life.run_is_opened(number)
        life.run_is_done(number)
    life.clock.advance(2 * LAG.total_seconds())
    life.sweep_counts(0)
    life.run_is_opened(0)
    life.run_is_done(4)

    with life.store.read() as uow:
        kept = uow.tallies.kept(RUNS)
        newer = list(uow.connection.execute(uow.tallies.newer(kept)))
    assert sum(kept.counts.values()) == 4
    assert [tuple(row) for row in newer] == [("default", "order_to_invoice", 1)]


def test_what_is_dropped_is_counted_no_more(life: Life) -> None:
    """Of what was counted, and of what is newer; that so many webhooks came stays known."""
    for number in range(8):
        if number == 4:
            life.clock.advance(2 * LAG.total_seconds())
            life.sweep_counts(0)
        life.run_is_opened(number)
        life.run_is_done(number)
        life.webhook_comes(number)
    life.clock.advance(1)

    for _ in range(3):
        life.old_rows_are_dropped(3)
        with life.store.read() as uow:
            check(uow, life.came)
    with life.store.read() as uow:
        assert uow.runs.counts(None) == {}


def test_a_sweep_counts_what_is_over(services: Services, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.run_is_opened(0)
    life.webhook_comes(0)
    life.document_is_asked_for(0)
    life.clock.advance(2 * LAG.total_seconds())

    housekeeping.sweep_now(services)

    with life.store.read() as uow:
        assert [sum(uow.tallies.kept(book).counts.values()) for book in BOOKS] == [1, 1, 1]


def test_who_ends_a_run_writes_no_tally(life: Life) -> None:
    """A row that all workers write would let one of them write at a time."""
    life.run_is_opened(0)
    life.clock.advance(2 * LAG.total_seconds())
    life.sweep_counts(0)
    written: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        written.append(statement)

    event.listen(life.store.engine, "before_cursor_execute", note)
    life.run_is_done(0)
    event.remove(life.store.engine, "before_cursor_execute", note)

    assert [each for each in written if "UPDATE runs" in each]
    assert not [each for each in written if "facts" in each]


def test_two_sweeps_at_once_count_each_row_once(life: Life) -> None:
    for number in range(3):
        life.run_is_opened(number)
    life.clock.advance(2 * LAG.total_seconds())

    def fold() -> None:
        with life.store.begin() as uow:
            uow.tallies.fold(RUNS)

    in_parallel(3, fold)

    with life.store.read() as uow:
        assert sum(uow.tallies.kept(RUNS).counts.values()) == 3


def test_a_store_of_an_earlier_release_is_counted_when_it_is_migrated(database_url: str) -> None:
    store, long_ago = Store(database_url), datetime(2026, 1, 1, tzinfo=UTC)
    migrate_to(store, "0017")
    insert_run(store, "order_to_invoice", "006A", step="write_back", at=long_ago, status="done")
    entry = {"connection": "s4hana", "kind": "order", "reference": "r", "generation": 1, "run_id": "run", "sends": 1}
    insert(store, "ledger", **entry, state="confirmed", created_at=instant(store, long_ago))
    seen = {"source": f"{CATCH_UP}order_to_invoice", "subject_key": "s", "is_healed": True}
    insert(store, "deliveries", **seen, received_at=instant(store, long_ago))

    schema.migrate(store)

    with store.read() as uow:
        check(uow, came=1)
        kept = [uow.tallies.kept(book).counts for book in BOOKS]
    store.close()
    of_deals = f"{CATCH_UP}order_to_invoice.salesforce"
    assert kept == [{("default", "order_to_invoice"): 1}, {("s4hana", "order"): 1}, {(of_deals, True): 1}]
