"""Nothing that is asked again and again costs more when more is over: not in SQLite's own steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from benchmarks.filled import fill
from crmsync.domain.finding import wanted
from crmsync.flows import deal_status
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, UnitOfWork, finding, schema
from crmsync.store.run_lists import Place
from crmsync.store.tables import history
from crmsync.store.tallies import BOOKS
from crmsync.worker.flow import FLOWS
from tests.fakes import FakeMessenger

FEW, MANY = 800, 8_000
AT_ONCE = 20  # SQLite's steps between two calls of its progress handler
SLACK = 150  # of these: ten times as much makes a tree of an index one level higher

Question = Callable[[Services, UnitOfWork], Any]
HOUR, DAYS = timedelta(hours=1), timedelta(days=7)
QUESTIONS: dict[str, Question] = {
    "the due runs": lambda _, uow: uow.due.claim(limit=500, queued_until=uow.now, beside=["inventory"]),
    "how many have a message": lambda _, uow: uow.due.sent(),
    "how many are due": lambda _, uow: uow.due.count(None),
    "since when": lambda _, uow: uow.due.oldest(None),
    "whether anybody takes them": lambda _, uow: uow.due.taken_at(),
    "clocks": lambda _, uow: uow.due.set_right(lease_seconds=60, queued_for=timedelta(seconds=15)),
    "runs that wait for a system": lambda _, uow: uow.breakers.release_waiting(),
    "the newest runs": lambda _, uow: uow.runs.listed(None, limit=20, without=["inventory"]),
    "older ones": lambda _, uow: uow.runs.listed(None, limit=20, after=Place(uow.now - 20 * DAYS / 7, "8")),
    "the newest of a flow": lambda _, uow: uow.runs.newest(None, limit=20, flow="invoice_to_deal"),
    "the newest of a status": lambda _, uow: uow.runs.newest(None, limit=5, status="stopped"),
    "the newest of both": lambda _, uow: uow.runs.newest(None, limit=1, status="discarded", flow="payment_to_invoices"),
    "how many stand where": lambda _, uow: uow.runs.tally(None),
    "how many documents there are": lambda _, uow: uow.ledger.counts(None),
    "how many webhooks came": lambda _, uow: uow.deliveries.counts(None),
    "part of a name": lambda _, uow: uow.finding.find(None, wanted("zz zz"), [*FLOWS], ["s4hana"], everything=False),
    "part of a number": lambda _, uow: uow.finding.find(None, wanted("zz-000"), [*FLOWS], ["s4hana"], everything=False),
    "the beginning of an id": lambda _, uow: uow.finding.find(
        None, wanted("aaaaaaaaaaab"), [*FLOWS], [], everything=False
    ),
    "a number, of a tenant": lambda _, uow: uow.finding.find("acme", wanted("zz-000"), [*FLOWS], [], everything=False),
    "part of a name, of a tenant": lambda _, uow: uow.finding.find(
        "default", wanted("zz zz"), [*FLOWS], ["s4hana"], everything=False
    ),
    "part of a number, of a tenant": lambda _, uow: uow.finding.find(
        "acme", wanted("zz-000"), [*FLOWS], ["s4hana"], everything=False
    ),
    "an account, of a tenant": lambda _, uow: uow.finding.find(
        "default", wanted("001zz"), [*FLOWS], [], everything=False
    ),
    "how many documents a tenant has": lambda _, uow: uow.ledger.counts("default"),
    "how many webhooks a tenant had": lambda _, uow: uow.deliveries.counts("default"),
    "since when a tenant waits": lambda _, uow: uow.due.oldest("default"),
    "deals with news": lambda using, uow: deal_status.deals_with_news(using, using.company(), uow),
    "orders made lately": lambda _, uow: uow.ledger.made_between("s4hana", "order", uow.now - DAYS, uow.now),
    "invoices made again": lambda _, uow: uow.ledger.replaced_since("zoho_books", "invoice", uow.now - DAYS),
    "what may exist": lambda _, uow: uow.ledger.is_any_open("zoho_books", "invoice"),
    "dead letters": lambda _, uow: uow.dead_letters.list(None),
    "dead letters of a cause": lambda _, uow: uow.dead_letters.some_behind("none", 3),
    "webhooks of a source": lambda _, uow: uow.deliveries.last_received_at("salesforce"),
    "webhooks of a subject": lambda _, uow: uow.deliveries.last_received_at("salesforce", "006"),
    "webhooks of the last hour": lambda _, uow: uow.deliveries.count_since(None, 3600),
    "new deals": lambda _, uow: uow.deliveries.new_subjects("salesforce", "order_to_invoice", uow.now - HOUR, uow.now),
    "the first webhook": lambda _, uow: uow.deliveries.first_received_at("salesforce", uow.now - DAYS),
    "which changes are known": lambda _, uow: uow.deliveries.known(
        "catch_up.order_to_invoice.salesforce", ["006", "007"]
    ),
    "runs to reduce": lambda _, uow: uow.retention.reduce_runs(uow.now - 100 * DAYS, limit=100),
    "runs to drop": lambda _, uow: uow.retention.drop_runs(uow.now - 100 * DAYS, flows=[*FLOWS], limit=100),
    "webhooks to drop": lambda _, uow: uow.retention.drop_deliveries(uow.now - 100 * DAYS, limit=100),
}


@pytest.fixture(autouse=True)
def _narrow_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller than the smaller store."""
    for name in ("WINDOW", "DOCUMENTS", "CUSTOMERS"):
        monkeypatch.setattr(finding, name, 20)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """Two stores of one year, one with ten times as much as the other."""
    folder = tmp_path_factory.mktemp("stores")
    made = [_filled(folder / f"{runs}.db", runs) for runs in (FEW, MANY)]
    yield made[0], made[1]
    for store in made:
        store.close()


def _filled(path: Path, runs: int) -> Store:
    store = Store(f"sqlite:///{path}")
    schema.migrate(store)
    fill(store, store.clock(), runs)
    for book in BOOKS:
        with store.begin() as uow:
            uow.tallies.fold(book)
    return store


@contextmanager
def steps_of(store: Store) -> Iterator[list[None]]:
    """One for each AT_ONCE steps that SQLite makes meanwhile."""
    steps: list[None] = []

    def watch(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(lambda: steps.append(None), AT_ONCE)

    event.listen(store.engine, "checkout", watch)
    try:
        yield steps
    finally:
        event.remove(store.engine, "checkout", watch)


def _steps(store: Store, ask: Question) -> int:
    using = Services(Settings.from_env(os.environ), store, messenger=FakeMessenger())
    with steps_of(store) as steps, store.begin() as uow:
        ask(using, uow)
    return len(steps)


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_costs_no_more_when_ten_times_as_much_is_over(stores: tuple[Store, Store], ask: Question) -> None:
    few, many = (_steps(store, ask) for store in stores)

    assert many <= few + SLACK


def test_a_look_at_everything_is_seen(stores: tuple[Store, Store]) -> None:
    """The test above would be blind else."""

    def look(_: Services, uow: UnitOfWork) -> Any:
        return uow.connection.execute(select(func.max(history.c.detail))).scalar()

    few, many = (_steps(store, look) for store in stores)

    assert many > 5 * few > 5 * SLACK
