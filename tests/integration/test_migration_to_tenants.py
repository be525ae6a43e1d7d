"""An installation from before tenants is carried over with its runs under way: nothing twice, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from crmsync.domain.ledger import EntryKey, EntryState
from crmsync.domain.runs import RunStatus
from crmsync.domain.stock import Product
from crmsync.errors import StoreUnavailableError
from crmsync.flows import catch_up, compare_orders, flood, invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.reading.overview import figures
from crmsync.store import Store, UnitOfWork, schema
from crmsync.worker import starting
from tests.earlier_releases import insert, insert_run, instant, migrate_to
from tests.fakes import DEFAULT, FakeClock, run_of_subject
from tests.system import until

DEAL, WAITING, PAID, INVOICE, PAYMENT = "006A", "006W", "006P", "4601", "4700"
CRM, ERP, BOOKS = "salesforce", "s4hana", "zoho_books"
LOOKED = "2026-11-20T08:00:00+00:00"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def before(database_url: str, clock: FakeClock) -> Iterator[Store]:
    """A store of the last release without tenants, in the middle of its work."""
    store = Store(database_url, clock=clock)
    migrate_to(store, "0018")
    fill(store, clock.now)
    yield store
    store.close()


@pytest.fixture
def after(before: Store) -> Store:
    schema.migrate(before)
    return before


def fill(store: Store, now: datetime) -> None:
    read = {"fetch_deal": {"key": DEAL, "customer": {"key": "001"}}, "match_erp_customer": {"customer_key": "100"}}
    deal = insert_run(store, "order_to_invoice", DEAL, step="create_order", at=now, results=read, customer_key="001")
    waiting = insert_run(store, "order_to_invoice", WAITING, step="fetch_deal", at=now, status="stopped")
    paid = insert_run(store, "order_to_invoice", PAID, step="write_back", at=now, status="done")
    insert_run(store, "payment_to_invoices", PAYMENT, step="find_invoices", at=now)
    insert_run(store, "invoice_to_deal", INVOICE, step="read_invoice", at=now)
    insert_run(store, "compare_orders", "compare_orders", step="look_at_orders", at=now, status="done")
    insert_run(store, "inventory", "inventory", step="read_stock", at=now, progress={"materials": 5})
    _ledger(store, now, deal, ERP, "order", f"SF-{DEAL}", "sent", None)
    _ledger(store, now, paid, BOOKS, "invoice", f"SF-{PAID}", "confirmed", INVOICE)
    _letter(store, now, waiting)
    for connection, key in ((ERP, "100"), (BOOKS, "46")):
        linked = {"connection": connection, "record_type": "customer", "crm_key": "001", "key": key}
        insert(store, "links", **linked, origin="created", created_at=instant(store, now))
    insert(store, "applications", payment_key=PAYMENT, invoice_key=INVOICE, paid_on="2026-11-19")
    product = {"key": "01t1", "code": "A", "matching": "A", "is_active": True, "seen_at": instant(store, now)}
    insert(store, "products", **product, held_available="5", held_low=False, problem="")
    said = {"status": "Needs attention", "reason": "x", "is_refused": False, "looked_at": instant(store, now)}
    insert(store, "tellings", deal=WAITING, **said)
    for source, key in ((CRM, DEAL), (BOOKS, PAYMENT), ("catch_up.order_to_invoice", PAID)):
        received = {"event_key": f"{key}:1", "received_at": instant(store, now), "is_healed": "catch_up" in source}
        insert(store, "deliveries", source=source, subject_key=key, **received)
    _facts(store, now)


def _ledger(store: Store, now: datetime, run: str, connection: str, kind: str, reference: str, state: str,
            key: str | None) -> None:  # fmt: skip
    stamps = dict.fromkeys(("created_at", "sent_at", "certain_at"), instant(store, now))
    document = json.dumps({"key": key, "number": key}) if key else None
    names = {"connection": connection, "kind": kind, "reference": reference, "generation": 1, "run_id": run}
    insert(store, "ledger", **names, state=state, sends=1, **stamps, document=document, document_key=key)


def _letter(store: Store, now: datetime, run: str) -> None:
    stamps = dict.fromkeys(("created_at", "updated_at"), instant(store, now))
    what = {"kind": "data", "status": "waiting", "error": "InvalidDealError", "system": "Salesforce"}
    texts = {"cause": "no line", "advice": "", "failures": 1, "field_errors": "{}"}
    insert(store, "dead_letters", run_id=run, step="fetch_deal", **what, **texts, **stamps)


def _facts(store: Store, now: datetime) -> None:
    until = (now - timedelta(hours=1)).isoformat()
    tally = {"until": until, "at": until, "counts": [["order_to_invoice", 7]]}
    seen = {"until": until, "at": until, "counts": [["catch_up.order_to_invoice", True, 3], ["salesforce", False, 9]]}
    for name, value in {
        "go_live": "2026-01-01T00:00:00+00:00",
        "catalogue.whole_at": LOOKED,
        "catalogue.read_at": LOOKED,
        "catch_up.catch_up_deals.until": LOOKED,
        "catch_up.catch_up_payments.by_hand": LOOKED,
        "period.inventory.3600": str(starting.period_of(now, 3600)),
        "compare_orders.until": LOOKED,
        "payments.foreign_invoices": "12",
        "burst.accepted_until": (now + timedelta(minutes=5)).isoformat(),
        "gone.catch_up.order_to_invoice": "2",
        "time_zone.zoho_books": "{}",
        "tally.runs": json.dumps(tally),
        "tally.deliveries": json.dumps(seen),
    }.items():
        insert(store, "facts", name=name, value=value)


def test_every_run_has_its_tenant_and_its_source(after: Store) -> None:
    with after.read() as uow:
        sources = {run.flow: (run.tenant, run.source) for run in uow.runs.newest(None, limit=20)}

    assert sources == {
        "order_to_invoice": ("default", CRM),
        "payment_to_invoices": ("default", BOOKS),
        "invoice_to_deal": ("default", BOOKS),
        "compare_orders": ("default", ERP),
        "inventory": ("default", CRM),
    }


def test_a_deal_that_is_announced_again_has_no_second_run(after: Store) -> None:
    with after.begin() as uow:
        known = run_of_subject(uow, "order_to_invoice", DEAL)
        opened = order_to_invoice.FLOW.open_run(uow, DEFAULT, DEAL, correlation_id="c")
        paid = payment_to_invoices.FLOW.open_run(uow, DEFAULT, PAYMENT, correlation_id="c")
        assert not uow.deliveries.add(CRM, DEAL, event_key=f"{DEAL}:1"), "a webhook that is repeated is known"

    assert known is not None
    assert opened == (known.id, False)
    assert not paid[1]


def test_a_run_goes_on_where_it_was(after: Store) -> None:
    with after.begin() as uow:
        known = run_of_subject(uow, "order_to_invoice", DEAL)
        assert known is not None
        run = uow.runs.claim(known.id, "create_order", lease_seconds=60)
        assert run is not None
        entry = uow.ledger.reserve(EntryKey(ERP, "order", f"SF-{DEAL}"), run.id, certain_at=uow.now)
        assert entry is not None, "an order that was asked for is looked for, and not asked for again"
        assert entry.state is EntryState.SENT
        assert uow.runs.finish_step(run, {"key": "1"}, next_step="match_books_customer", queued_until=uow.now)
        assert uow.due.count(None) == 4, "and the others are due as before"


def test_what_a_person_has_to_do_waits_as_before(after: Store) -> None:
    with after.read() as uow:
        (letter,) = uow.dead_letters.list(None)
        run = uow.runs.get(letter.run_id)
        told = uow.tellings.of(CRM, WAITING)

    assert run is not None
    assert run.status is RunStatus.STOPPED
    assert (letter.tenant, letter.source, letter.connection) == ("default", CRM, "")
    assert told is not None
    assert told.status == "Needs attention"


def test_customers_payments_and_products_are_known(after: Store) -> None:
    with after.begin() as uow:
        assert [link.key for link in uow.links.of_account(CRM, "001")] == ["100", "46"]
        assert uow.links.get(ERP, CRM, "001") is not None
        assert uow.applications.of_invoice(BOOKS, INVOICE) == [PAYMENT]
        uow.applications.hint(BOOKS, PAYMENT, [INVOICE])
        assert uow.applications.of_payment(BOOKS, PAYMENT) == [INVOICE], "known, and not twice"
        uow.products.saw(
            CRM,
            [Product("01t1", "A", is_active=True, available=Decimal(4), is_low=False)],
            seen_at=uow.now,
            trust=False,
        )
        assert uow.products.counts(None).active == 1
        assert [known.key for known in uow.products.active(CRM)] == ["01t1"]


def test_looks_go_on_from_where_they_were(after: Store) -> None:
    looked = datetime.fromisoformat(LOOKED)
    with after.begin() as uow:
        assert uow.facts.instant(f"catalogue.whole_at.{CRM}") == looked
        assert uow.facts.instant(catch_up._checkpoint(catch_up.DEALS, CRM)) == looked
        assert uow.facts.instant(compare_orders.checkpoint(ERP)) == looked
        assert flood._is_let_pass(uow, CRM)
        assert uow.facts.get("go_live") == "2026-01-01T00:00:00+00:00"
        assert _starts_inventory(uow) is None, "its period has its run"


def _starts_inventory(uow: UnitOfWork) -> object:
    from crmsync.flows import inventory

    return starting.start_period(
        uow, inventory.FLOW, DEFAULT, 3600, correlation_id="c", queued_for=timedelta(seconds=15)
    )


def test_what_was_counted_stays_counted(after: Store) -> None:
    with after.read() as uow:
        found = figures(uow)

    assert found.runs["order_to_invoice", "done"] == 8, "seven of the tally, and one that is newer"
    assert found.deliveries == {CRM: 10, BOOKS: 1}
    assert found.foreign_invoices == 12
    (deals,) = [row for row in found.catch_up if row.flow == "order_to_invoice"]
    assert (deals.expected, deals.healed) == (6, 4)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET lease_until = NULL WHERE id = 'x'",
        "INSERT INTO runs (id, flow, subject_key, lease_until) VALUES ('x', 'order_to_invoice', '006A', NULL)",
    ],
)
def test_a_process_of_the_release_before_waits_as_without_a_database(after: Store, statement: str) -> None:
    """It neither finishes a run nor opens a second one, and buries none: what it lacks is no run's fault."""
    with pytest.raises(StoreUnavailableError, match="not those of this release"), after.begin() as uow:
        uow.connection.execute(text(statement))


def test_those_who_are_at_work_keep_no_migration_from_its_end(before: Store) -> None:
    """Two transactions are inside what it has to change, and one of them waits for what it has already locked."""
    if before.is_sqlite:
        pytest.skip("SQLite has one writer, so nobody waits for two")
    engine = before.engine
    with engine.connect() as at_alerts, engine.connect() as at_ledger, ThreadPoolExecutor(2) as pool:
        at_alerts.execute(text("LOCK TABLE alerts IN ROW EXCLUSIVE MODE"))
        at_ledger.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # so that it is not the one that has to give way
        at_ledger.execute(text("LOCK TABLE ledger IN ROW EXCLUSIVE MODE"))
        migration = pool.submit(schema.migrate, before)
        until(lambda: _waiting(engine) == 1, what="the migration waits for alerts, and holds accounts")
        other = pool.submit(at_ledger.execute, text("LOCK TABLE accounts IN ROW EXCLUSIVE MODE"))
        until(lambda: _waiting(engine) == 2, what="another waits for accounts")
        at_alerts.rollback()  # the migration goes on to the ledger, whose holder waits for it
        other.result()
        at_ledger.rollback()
        migration.result()

    assert schema.current(before) == schema.HEAD


def _waiting(engine: Engine) -> int:
    with engine.connect() as connection:
        ours = text(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
            "WHERE NOT granted AND locktype = 'relation' AND datname = current_database()"
        )
        return int(connection.execute(ours).scalar() or 0)


def test_an_invoice_brings_home_what_is_paid_by_the_run_that_it_had(after: Store) -> None:
    with after.begin() as uow:
        to_enqueue = starting.start(uow, invoice_to_deal.FLOW, DEFAULT, INVOICE, correlation_id="c")
        known = run_of_subject(uow, "invoice_to_deal", INVOICE)

    assert to_enqueue is None, "it is under way, and looks once more at its end"
    assert known is not None
    assert known.again
