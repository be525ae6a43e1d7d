"""Catch-up, with a CRM and books that are told what changed: what was missed starts, once, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, select

from crmsync.domain.bindings import Binding
from crmsync.domain.catch_up import Verdict, WonDeal, verdict
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange, PaymentChange
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import InvalidDealError, VendorUnavailableError
from crmsync.flows import catch_up, invoice_to_deal, order_to_invoice, payment_to_invoices, sightings
from crmsync.services import Services
from crmsync.store.tables import alerts
from crmsync.worker import dead_letters, shares, starting
from crmsync.worker.flow import FLOWS, SEEN
from tests.builders import NOW, invoice_read
from tests.fakes import DEFAULT, FakeClock, connection_of, fill, run_of_subject

LONG_AGO = NOW - timedelta(days=400)


class Crm:
    system = "Salesforce"

    def __init__(self) -> None:
        self.won: list[WonDeal] = []
        self.windows: list[tuple[datetime, datetime]] = []
        self.error: Exception | None = None
        self.breaks_after = 0  # deals

    def won_deals(self, since: datetime, until: datetime) -> Iterator[Sequence[WonDeal]]:
        self.windows.append((since, until))
        if self.error and not self.breaks_after:
            raise self.error
        found = [deal for deal in self.won if since <= deal.changed_at < until]
        yield found[: self.breaks_after or None]
        if self.error:
            raise self.error


class Books:
    system = "Zoho Books"

    def __init__(self) -> None:
        self.payments: list[PaymentChange] = []
        self.invoices: list[InvoiceChange] = []

    def changed_payments(self, since: datetime) -> Iterator[PaymentChange]:
        return iter([change for change in self.payments if change.changed_at >= since])

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        return iter([change for change in self.invoices if change.changed_at >= since])


@pytest.fixture
def crm() -> Crm:
    return Crm()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture(autouse=True)
def enqueued(services: Services, crm: Crm, books: Books, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The flows and subjects that were enqueued."""
    bells: list[str] = []
    fill(services, deals=crm, payments=books)
    for flow in (order_to_invoice.FLOW, payment_to_invoices.FLOW, invoice_to_deal.FLOW):

        def enqueue(run_id: str, results: Any, name: str = flow.name) -> None:
            with services.store.read() as uow:
                run = uow.runs.get(run_id)
            assert run is not None
            bells.append(f"{name} {run.subject_key}")

        monkeypatch.setattr(FLOWS[flow.name], "enqueue", enqueue)
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    return bells


@pytest.fixture(autouse=True)
def went_live(services: Services, clock: FakeClock) -> None:
    services.go_live()
    clock.advance(3600)


def won(key: str, clock: FakeClock, *, ago: float = 600, **options: Any) -> WonDeal:
    at = clock.now - timedelta(seconds=ago)
    values = {"changed_at": at, "won_at": at, "created_at": LONG_AGO, "amount": Money.of(100, "USD"), **options}
    return WonDeal(key=key, company="Acme", name="A deal", **values)


def look(services: Services, flow: Any = catch_up.DEALS) -> Run:
    with services.store.begin() as uow:
        starting.start(uow, flow, DEFAULT, flow.name, correlation_id="c")
        run = run_of_subject(uow, flow.name, flow.name)
    assert run is not None
    getattr(catch_up, flow.steps[0]).execute(run.id)
    with services.store.read() as uow:
        run = run_of_subject(uow, flow.name, flow.name)
    assert run is not None
    assert run.status is RunStatus.DONE
    return run


def counted(services: Services) -> dict[str, tuple[int, int]]:
    with services.store.read() as uow:
        return uow.deliveries.healed_counts(None)


def live_at(services: Services, monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    monkeypatch.setattr(services, "settings", replace(services.settings, go_live=at))


@pytest.mark.parametrize("flow", [catch_up.DEALS, catch_up.PAYMENTS], ids=lambda flow: flow.name)
def test_what_changed_while_going_live_was_to_come_is_seen_when_that_is_moved_to_an_earlier_day(
    services: Services,
    crm: Crm,
    books: Books,
    clock: FakeClock,
    enqueued: list[str],
    monkeypatch: pytest.MonkeyPatch,
    flow: Any,
) -> None:
    look(services, flow)
    crm.windows.clear()
    live_at(services, monkeypatch, clock.now + timedelta(days=30))
    clock.advance(86_400)
    crm.won.append(won("006A", clock))
    books.payments.append(PaymentChange("p1", clock.now - timedelta(seconds=600)))
    for _ in range(2):
        clock.advance(86_400)
        look(services, flow)
    assert (enqueued, crm.windows) == ([], [])

    live_at(services, monkeypatch, NOW)
    clock.advance(600)
    look(services, flow)

    expected = {catch_up.DEALS: "order_to_invoice 006A", catch_up.PAYMENTS: "payment_to_invoices p1"}
    assert enqueued == [expected[flow]]


def has_webhook(services: Services, key: str) -> None:
    with services.store.begin() as uow:
        uow.deliveries.add("salesforce", key)
        starting.start(uow, order_to_invoice.FLOW, DEFAULT, key, correlation_id="c")


def alerts_of(services: Services) -> list[str]:
    with services.store.read() as uow:
        return [row.content["headline"] for row in uow.connection.execute(select(alerts).order_by(alerts.c.id))]


# Deals


def test_a_deal_whose_webhook_never_came_starts_once(
    services: Services, crm: Crm, clock: FakeClock, enqueued: list[str]
) -> None:
    has_webhook(services, "006A")
    crm.won = [won("006A", clock), won("006B", clock)]

    look(services)
    look(services)

    assert enqueued == ["order_to_invoice 006B"]
    assert counted(services) == {"order_to_invoice": (2, 1)}, "two expected, one healed"


def test_a_deal_of_another_amount_is_looked_at_when_its_run_comes_to_its_end(
    services: Services, crm: Crm, clock: FakeClock, enqueued: list[str]
) -> None:
    """It was changed, and nobody announced it, while its run was under way: no later look would see that change."""
    has_webhook(services, "006A")
    with services.store.begin() as uow:
        run = run_of_subject(uow, order_to_invoice.FLOW.name, "006A")
        assert run is not None
        run = uow.runs.claim(run.id, "fetch_deal", first_step="fetch_deal", lease_seconds=60)
        assert run is not None
        money = {"amount": Decimal(90), "currency": "USD"}
        uow.runs.finish_step(run, {}, next_step="create_order", queued_until=uow.now, **money)
    crm.won = [won("006A", clock)]

    look(services)

    with services.store.read() as uow:
        run = uow.runs.get(run.id)
    assert run is not None
    assert (run.again, enqueued) == (True, [])


def test_the_last_moments_are_left_to_their_webhooks(
    services: Services, crm: Crm, clock: FakeClock, enqueued: list[str]
) -> None:
    crm.won = [won("006A", clock, ago=10)]

    look(services)
    assert enqueued == []
    clock.advance(600)
    look(services)

    assert enqueued == ["order_to_invoice 006A"]


def test_each_look_goes_back_further_than_the_last_one_went(services: Services, crm: Crm, clock: FakeClock) -> None:
    look(services)
    clock.advance(3600)
    look(services)

    behaviour = services.settings.behaviour
    assert crm.windows[0] == (NOW, NOW + timedelta(seconds=3600 - behaviour.catch_up_grace_seconds))
    assert crm.windows[1][0] == crm.windows[0][1] - timedelta(seconds=behaviour.catch_up_overlap_seconds)


def test_a_look_that_failed_is_not_believed_to_have_been_made(
    services: Services, crm: Crm, clock: FakeClock, enqueued: list[str]
) -> None:
    crm.won = [won("006A", clock)]
    crm.error = VendorUnavailableError(system="Salesforce")
    with pytest.raises(VendorUnavailableError):
        look(services)
    crm.error = None
    clock.advance(7200)

    look(services)

    assert enqueued == ["order_to_invoice 006A"]


def test_a_look_that_was_interrupted_goes_on_from_where_it_was(
    services: Services, crm: Crm, clock: FakeClock, enqueued: list[str]
) -> None:
    clock.advance(7200)
    crm.won = [won(f"006{number:03}", clock, ago=7000 - number) for number in range(120)]
    crm.error, crm.breaks_after = VendorUnavailableError(system="Salesforce"), 80
    with pytest.raises(VendorUnavailableError):
        look(services)
    crm.error, crm.breaks_after = None, 0
    clock.advance(60)

    look(services)

    overlap = timedelta(seconds=services.settings.behaviour.catch_up_overlap_seconds)
    assert crm.windows[1][0] == max(crm.windows[0][0], crm.won[sightings.PAGE - 1].changed_at - overlap)
    with services.store.read() as uow:
        started = uow.runs.newest(None, limit=200, flow=order_to_invoice.FLOW.name)
    assert sorted(run.subject_key for run in started) == [f"006{number:03}" for number in range(120)]
    assert 0 < len(enqueued) <= shares.share_of(services.settings), (
        "the others get their message when some of these end"
    )


def test_known_deals_cost_a_few_queries_a_page(services: Services, crm: Crm, clock: FakeClock) -> None:
    crm.won = [won(f"006{number:03}", clock) for number in range(4 * sightings.PAGE)]
    for deal in crm.won:
        has_webhook(services, deal.key)
    look(services)  # counts them
    queries = []
    engines = (services.store.engine,)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", lambda *args: queries.append(args[2]))

    look(services)

    assert len(queries) < len(crm.won) / 2, "a database may be 10 ms away, and a look must not outlast its lease"


def test_a_corrected_deal_goes_on_although_its_second_webhook_never_came(
    services: Services, crm: Crm, clock: FakeClock, enqueued: list[str]
) -> None:
    has_webhook(services, "006A")
    with services.store.begin() as uow:
        run = run_of_subject(uow, "order_to_invoice", "006A")
        assert run is not None
        held = uow.runs.claim(run.id, "fetch_deal", lease_seconds=60)
        assert held is not None
        read = {"changed_at": (clock.now - timedelta(seconds=1200)).isoformat()}
        uow.runs.record_progress(held, {SEEN: {"reading": read}}, lease_seconds=60)
        uow.runs.stop(held, title=None, amount=None, currency=None)
        uow.history.note(held, "stopped", started_at=uow.now)
        uow.dead_letters.add(held, InvalidDealError(field_errors={"Amount": "?"}))
    crm.won = [won("006A", clock, ago=1200)]
    look(services)
    assert enqueued == [], "it is as it was read"

    clock.advance(1200)
    crm.won = [won("006A", clock)]
    look(services)
    look(services)

    assert enqueued == ["order_to_invoice 006A"]


LIVE = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE, AFTER = LIVE - timedelta(days=2), LIVE + timedelta(days=2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"won_at": AFTER}, Verdict.START, id="won after going live"),
        pytest.param({"won_at": BEFORE}, Verdict.BEFORE_GO_LIVE, id="an old one that was edited"),
        pytest.param({"won_at": AFTER, "order_number": "4711"}, Verdict.HAS_ORDER, id="ordered by hand"),
        pytest.param({"created_at": AFTER}, Verdict.START, id="made after going live, no stage change told"),
        pytest.param({"created_at": BEFORE}, Verdict.BEFORE_GO_LIVE, id="old, nothing told"),
        pytest.param({"created_at": BEFORE, "closed_on": AFTER.date()}, Verdict.START, id="old, closed after"),
        pytest.param({"created_at": BEFORE, "closed_on": BEFORE.date()}, Verdict.BEFORE_GO_LIVE, id="closed before"),
        pytest.param({"changed_at": BEFORE, "won_at": AFTER}, Verdict.BEFORE_GO_LIVE, id="unchanged since"),
    ],
)
def test_nothing_from_before_going_live_is_started(options: dict[str, Any], expected: Verdict) -> None:
    deal = WonDeal(**{"key": "006", "company": "A", "name": "B", "amount": None, "changed_at": AFTER, **options})

    assert verdict(deal, has_run=False, go_live=LIVE) is expected
    assert verdict(deal, has_run=True, go_live=LIVE) is Verdict.HAS_RUN


def test_no_look_goes_back_before_going_live(
    services: Services, crm: Crm, books: Books, clock: FakeClock, enqueued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company says so of what its books held before: those payments were told to its deals by hand."""
    live_at(services, monkeypatch, clock.now)
    for key in ("11", "12"):
        our_invoice(services, key)
    books.payments = [PaymentChange(key, clock.now + timedelta(seconds=age)) for key, age in (("1", -1), ("2", 1))]
    books.invoices = [invoice(key, clock, balance=40, ago=age) for key, age in (("11", 1), ("12", -1))]
    for _ in range(2):  # the second begins where the first ended, and an overlap before that
        clock.advance(300)
        look(services)
        look(services, catch_up.PAYMENTS)

    assert [since for since, _ in crm.windows] == [services.go_live()] * 2
    assert enqueued == ["payment_to_invoices 2", "invoice_to_deal 12"]


# Payments and invoices


def our_invoice(services: Services, key: str) -> None:
    """An invoice that a deal's run has made."""
    with services.store.begin() as uow:
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, f"006{key}", correlation_id="c")
        entry = EntryKey(connection_of("invoices"), "invoice", f"SF-006{key}")
        uow.ledger.reserve(entry, run_id, certain_at=uow.now)
        uow.ledger.confirmed(entry, {"key": key, "number": f"INV-{key}"})


def invoice(key: str, clock: FakeClock, *, balance: int = 0, ago: float = 600, **options: Any) -> InvoiceChange:
    return InvoiceChange(key, "", clock.now - timedelta(seconds=ago), Decimal(balance), Decimal(100), **options)


def test_a_payment_that_nobody_announced_is_looked_at_once(
    services: Services, books: Books, clock: FakeClock, enqueued: list[str]
) -> None:
    announced_at = clock.now - timedelta(seconds=600)
    with services.store.begin() as uow:
        uow.deliveries.add(connection_of("payments"), "1")
    books.payments = [PaymentChange("1", announced_at), PaymentChange("2", announced_at)]

    look(services, catch_up.PAYMENTS)
    look(services, catch_up.PAYMENTS)

    assert enqueued == ["payment_to_invoices 2"]
    assert counted(services) == {"payment_to_invoices": (2, 1)}


def test_a_payment_that_changed_after_its_webhook_is_looked_at_again(
    services: Services, books: Books, clock: FakeClock, enqueued: list[str]
) -> None:
    with services.store.begin() as uow:
        uow.deliveries.add(connection_of("payments"), "1")
    clock.advance(1800)
    books.payments = [PaymentChange("1", clock.now - timedelta(seconds=600))]

    look(services, catch_up.PAYMENTS)

    assert enqueued == ["payment_to_invoices 1"]


def test_an_invoice_of_ours_whose_figures_moved_is_looked_at(
    services: Services, books: Books, clock: FakeClock, enqueued: list[str]
) -> None:
    for key in ("11", "12", "13"):
        our_invoice(services, key)
    books.invoices = [
        invoice("11", clock, balance=40),
        invoice("12", clock, balance=100),
        invoice("13", clock, balance=100, is_void=True),
        invoice("99", clock, balance=0),
    ]

    look(services, catch_up.PAYMENTS)

    assert enqueued == ["invoice_to_deal 11", "invoice_to_deal 13"], "12 is as it was made, 99 is not ours"


def test_an_invoice_whose_deal_says_what_it_says_is_left_alone(
    services: Services, books: Books, clock: FakeClock, enqueued: list[str]
) -> None:
    our_invoice(services, "11")
    with services.store.begin() as uow:
        run_id, _ = invoice_to_deal.FLOW.open_run(uow, DEFAULT, "11", correlation_id="c")
        run = uow.runs.claim(run_id, "read_invoice", lease_seconds=60)
        assert run is not None
        read = invoice_read(balance="40", read_at=clock.now).to_json()
        uow.runs.finish_step(run, read, next_step="write_payment", queued_until=uow.now)
    books.invoices = [invoice("11", clock, balance=40)]

    look(services, catch_up.PAYMENTS)
    assert enqueued == []

    # The balance alone would not tell: of an equal one another part may be paid.
    clock.advance(3600)
    books.invoices = [invoice("11", clock, balance=40, ago=500)]
    look(services, catch_up.PAYMENTS)
    assert enqueued == [], "its run is under way: it goes round once more"
    with services.store.read() as uow:
        again = uow.runs.get(run_id)
    assert again is not None
    assert again.again


# Silence


def test_a_source_that_changes_and_sends_nothing_is_told_of_once(
    services: Services, crm: Crm, clock: FakeClock
) -> None:
    crm.won = [won("006A", clock)]
    look(services)
    clock.advance(600)
    crm.won = [won("006B", clock)]
    look(services)

    assert alerts_of(services) == ["Salesforce sends no webhooks"]


def test_one_missed_webhook_among_others_is_no_silence(services: Services, crm: Crm, clock: FakeClock) -> None:
    has_webhook(services, "006A")
    crm.won = [won("006A", clock), won("006B", clock)]

    look(services)

    assert alerts_of(services) == []


def test_a_company_says_how_long_a_silence_is(services: Services, crm: Crm, clock: FakeClock) -> None:
    roles = {"deals": "salesforce", "orders": "s4hana", "invoices": "zoho_books"}
    with services.store.begin() as uow:
        uow.bindings.add(Binding("default", "order_to_invoice", "salesforce", roles, {"silence_seconds": 60}))
    services.companies.forget()
    has_webhook(services, "006C")
    clock.advance(1800)
    crm.won = [won("006B", clock)]

    look(services)

    assert alerts_of(services) == ["Salesforce sends no webhooks"]


def test_a_source_that_speaks_again_may_fall_silent_again(services: Services, crm: Crm, clock: FakeClock) -> None:
    crm.won = [won("006A", clock)]
    look(services)
    has_webhook(services, "006C")
    look(services)
    clock.advance(7200)
    crm.won = [won("006D", clock)]
    look(services)

    assert alerts_of(services) == ["Salesforce sends no webhooks"] * 2
