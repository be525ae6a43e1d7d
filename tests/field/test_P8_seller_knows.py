"""Cases from the field: P8, a deal that is stuck says so in the CRM, in words a seller understands.

The store is real and its clock is told the time; the three systems are stand-ins that do as they are told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from celery.exceptions import Ignore
from sqlalchemy import select

from crmsync import errors
from crmsync import services as process
from crmsync.celery import app
from crmsync.connectors.base import Connector, StatusWritten
from crmsync.domain import deals, seller
from crmsync.domain.catch_up import WonDeal
from crmsync.domain.customers import Candidate
from crmsync.domain.dead_letters import Answers, DeadLetter
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.seller import Place, Stop
from crmsync.errors import (
    CrmsyncError,
    InvalidDealError,
    PermanentError,
    RecordNotFoundError,
    RejectedError,
    VendorUnavailableError,
)
from crmsync.flows import catch_up, deal_status, order_to_invoice, sightings
from crmsync.services import Services
from crmsync.store.tables import alerts
from crmsync.worker import dead_letters, housekeeping, starting
from crmsync.worker.flow import FLOWS
from tests.builders import DEAL_KEY, NOW, deal, invoice_read, line
from tests.fakes import DEFAULT, FakeClock, connection_of, replace_link, run_of_subject, start_run

SWEEP = 15
MINUTE = 60
CRM, ERP, BOOKS = "Salesforce", "SAP S/4HANA", "Zoho Books"
UNEQUAL = Money.of("10000.00", "USD")
SUMS = "The products add up to 47,000.00 USD, but the deal says 10,000.00 USD. Correct the deal and close it again."
CHANGED = (
    "The deal was changed after it had been ordered. Somebody in finance has to decide what happens to its order and "
    "invoice."
)
FIELD = "Sync_Status__c"


@dataclass
class Crm:
    """The deals of a CRM whose clock is *ahead* of ours; it stamps each change, and counts calls."""

    clock: FakeClock
    system: str = CRM
    ahead: timedelta = timedelta(0)
    deals: dict[str, Deal] = field(default_factory=dict)
    changed_at: dict[str, datetime] = field(default_factory=dict)
    says: dict[str, tuple[str, str]] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    calls: int = 0
    refusal: CrmsyncError | None = None  # of whatever is written
    left_out: CrmsyncError | None = None
    after_write: Callable[[], None] = lambda: None

    def put(self, **changes: Any) -> None:
        """What a person does at the deal."""
        made = deal(**changes)
        self.deals[made.key], self.changed_at[made.key] = made, self.now

    @property
    def now(self) -> datetime:
        return self.clock.now + self.ahead

    def fetch_deal(self, key: str) -> Deal:
        self.calls += 1
        if key not in self.deals:
            raise RecordNotFoundError(system=CRM)
        return replace(self.deals[key], changed_at=self.changed_at[key])

    def write_back(self, key: str, *, order_number: str, invoice_number: str, status: str) -> None:
        self._write(key, status, "")
        self.deals[key] = replace(self.deals[key], order_number=order_number, invoice_number=invoice_number)

    def write_status(self, key: str, status: str, reason: str) -> StatusWritten:
        before = self.changed_at.get(key)
        self._write(key, status, reason)
        self.told.append((key, status, reason))
        self.after_write()
        return StatusWritten(before, self.changed_at[key], self.left_out)

    def _write(self, key: str, status: str, reason: str) -> None:
        self.calls += 1
        if self.refusal is not None:
            raise self.refusal
        if key not in self.deals:
            raise RecordNotFoundError(system=CRM)
        self.says[key], self.changed_at[key] = (status, reason), self.now

    def won_deals(self, since: datetime, until: datetime) -> Iterator[list[WonDeal]]:
        yield [
            WonDeal(key, "Acme", "", None, at, created_at=at, won_at=at)
            for key, at in self.changed_at.items()
            if key in self.deals and since <= at - self.ahead < until
        ]


class Maker:
    """The ERP or the books: makes documents of the deal's amount, unless something is wrong with it."""

    customers_have_one_currency = False
    time_zone = "UTC"

    def __init__(self, system: str) -> None:
        self.system = system
        self.failure: CrmsyncError | None = None
        self.is_void = False

    def _make(self, request: Any) -> Document:
        if self.failure is not None:
            raise self.failure
        self.is_void = False
        return Document("1", "1", net=request.deal.amount, is_mailed=not request.deal.is_mailed_by_hand)

    create_order = create_invoice = _make

    def read_customers(self, keys: Sequence[str], keep_alive: Callable[[], None]) -> dict[str, Candidate]:
        return {key: Candidate(key, "Acme Ltd") for key in keys}

    def read_document(self, key: str) -> Document:
        return Document(key, key, net=deal().amount, is_mailed=True, is_void=self.is_void)

    read_order = read_invoice = read_document

    def find_orders(self, reference: str) -> list[Document]:
        return []

    find_invoices = find_orders


@dataclass
class Desk:
    """A worker, a sweeper and a catch-up, whose time passes as the test says."""

    services: Services
    clock: FakeClock
    crm: Crm
    erp: Maker
    books: Maker

    def announce(self, key: str = DEAL_KEY) -> None:
        """The CRM's webhook."""
        self.clock.advance(1)
        with self.services.store.begin() as uow:
            starting.start(uow, order_to_invoice.FLOW, DEFAULT, key, correlation_id="c")

    def win(self, **changes: Any) -> None:
        self.crm.put(**changes)
        self.announce(changes.get("key", DEAL_KEY))
        self.work()

    def work(self) -> None:
        """Do what is due, until nothing is."""
        while any([self._do(each) for each in self.runs() if self._is_due(each)]):
            pass

    def _is_due(self, each: Run) -> bool:
        is_free = each.status is RunStatus.ACTIVE and not each.is_leased(self.clock.now)
        return is_free and each.due_at <= self.clock.now and each.flow in ours()

    def _do(self, each: Run) -> bool:
        with contextlib.suppress(Ignore, CrmsyncError):
            app.tasks[f"{each.flow}.{each.step}"].execute(each.id)
        return True

    def runs(self) -> list[Run]:
        with self.services.store.read() as uow:
            return uow.runs.newest(None, limit=1000)

    def passes(self, seconds: int) -> None:
        """Time passes: a sweep each quarter of a minute, or each minute where it is long."""
        period = SWEEP if seconds < 2 * MINUTE else MINUTE
        for _ in range(0, seconds, period):
            self.clock.advance(period)
            housekeeping._start_found(self.services)
            dead_letters.return_passing(self.services)
            self.work()

    def catch_up(self) -> int:
        """How many runs it starts."""
        now = self.clock.now
        pages = catch_up.deals_seen(
            self.services, self.services.company(), now - timedelta(hours=1), now + timedelta(seconds=1)
        )
        started = sum(
            sightings.start(self.services, self.services.company(), list(page), correlation_id="c").all
            for page in pages
        )
        self.work()
        return started

    def letter(self, key: str = DEAL_KEY) -> DeadLetter:
        with self.services.store.read() as uow:
            found = run_of_subject(uow, order_to_invoice.FLOW.name, key)
            letter = uow.dead_letters.of_run(found.id) if found else None
        assert letter is not None
        return letter

    def run(self, key: str = DEAL_KEY, flow: str = "order_to_invoice") -> Run:
        with self.services.store.read() as uow:
            found = run_of_subject(uow, flow, key)
        assert found is not None
        return found

    def history(self) -> list[str]:
        with self.services.store.read() as uow:
            return [line.event for line in uow.history.of_run(self.run().id)]

    def replay(self, **answers: Any) -> None:
        self.clock.advance(1)
        letter = self.letter()
        dead_letters.replay(self.services, letter.id, Answers(**answers), by="ann")

    def discard(self, key: str = DEAL_KEY) -> None:
        self.clock.advance(1)
        dead_letters.discard(self.services, self.letter(key).id, by="ann")

    def alerts(self) -> list[tuple[str, bool]]:
        """Headline, and whether it is open."""
        with self.services.store.read() as uow:
            rows = uow.connection.execute(select(alerts).order_by(alerts.c.id)).all()
        return [(row.content["headline"], row.closed_at is None) for row in rows if row.cause.startswith("sellers")]

    def letters(self) -> list[str]:
        with self.services.store.read() as uow:
            return [letter.flow for letter in uow.dead_letters.list(None)]


def ours() -> tuple[str, ...]:
    return (order_to_invoice.FLOW.name, deal_status.FLOW.name)


@pytest.fixture
def environment() -> Mapping[str, Any]:
    return {}


@pytest.fixture
def desk(
    services: Services, clock: FakeClock, environment: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(app, "send_task", lambda *_, **__: None)
    for name in ours():
        monkeypatch.setattr(FLOWS[name], "enqueue", lambda run_id, results=None: None)
    crm, erp, books = Crm(clock), Maker(ERP), Maker(BOOKS)
    systems = {connection_of("deals"): crm, connection_of("orders"): erp, connection_of("invoices"): books}
    behaviour = replace(services.settings.behaviour, **{"announced_grace_seconds": 0, **environment})
    settings = replace(services.settings, behaviour=behaviour, go_live=NOW - timedelta(days=1))
    made = Services(settings, services.store, connectors=lambda name: cast(Connector, systems[name]))
    monkeypatch.setattr(made, "is_configured", lambda connection: True)
    with made.store.begin() as uow:
        for connection in (connection_of("orders"), connection_of("invoices")):
            replace_link(uow, connection, "customer", deal().customer.key, "C1", origin="imported")
    before = process.use(made)
    yield Desk(made, clock, crm, erp, books)
    process.use(before)


def unequal() -> dict[str, Any]:
    return {"amount": UNEQUAL}


def costing(amount: str) -> dict[str, Any]:
    return {"amount": Money.of(amount, "USD"), "lines": (line(total=Decimal(amount)),)}


# -- what it costs


def test_P8__an_ordinary_deal_costs_no_call_and_no_run(desk: Desk) -> None:
    desk.win()
    assert desk.crm.says == {DEAL_KEY: ("Synced", "")}

    desk.passes(10 * MINUTE)

    assert desk.crm.calls == 2
    assert [each.flow for each in desk.runs()] == [order_to_invoice.FLOW.name]


def test_P8__one_call_when_it_is_stuck_and_none_when_it_is_freed_at_once(desk: Desk) -> None:
    desk.win(**unequal())
    assert desk.crm.calls == 1
    desk.passes(SWEEP)
    assert desk.crm.says == {DEAL_KEY: ("Needs attention", SUMS)}
    desk.passes(20 * MINUTE)
    assert desk.crm.calls == 2

    desk.crm.put()
    desk.announce()
    desk.work()
    desk.passes(10 * MINUTE)

    assert desk.crm.says == {DEAL_KEY: ("Synced", "")}
    assert desk.crm.calls == 4  # and the two of an ordinary deal
    assert len(desk.crm.told) == 1


def test_P8__a_deal_that_fails_again_of_the_same_is_not_told_again(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(SWEEP)
    for _ in range(3):
        desk.replay()
        desk.work()
        desk.passes(MINUTE)

    assert len(desk.crm.told) == 1


def test_P8__what_is_wrong_now_is_told(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(SWEEP)
    desk.crm.put(lines=())
    desk.announce()
    desk.work()
    desk.passes(SWEEP)

    assert desk.crm.says[DEAL_KEY] == (
        "Needs attention",
        "The deal has no products. Correct the deal and close it again.",
    )


def test_P8__a_deal_that_is_stuck_again_after_it_was_freed_is_told_again(desk: Desk) -> None:
    """Also where nobody has looked between the two: what its own run wrote counts."""
    desk.win(**unequal())
    desk.passes(SWEEP)
    desk.clock.advance(1)
    desk.crm.put()
    desk.announce()
    desk.work()
    with desk.services.store.begin() as uow:
        ended = desk.run()
        uow.runs.restart(ended.id, first_step="fetch_deal", queued_until=uow.now)
        uow.runs.reopen(ended.id, step="fetch_deal", results={}, answers={}, progress={})
    desk.clock.advance(1)
    desk.crm.put(**unequal())
    desk.work()
    desk.passes(SWEEP)

    assert desk.crm.says == {DEAL_KEY: ("Needs attention", CHANGED)}


def test_P8__a_deal_that_begins_again_and_is_stuck_as_before_is_told_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is changed while its run writes that it is in sync: what it says counts, though the run is not over."""
    desk.books.failure = RejectedError(system=BOOKS)
    desk.win()
    desk.books.failure = None
    desk.win(**costing("48000.00"))
    desk.passes(SWEEP)
    assert desk.crm.says == {DEAL_KEY: ("Needs attention", CHANGED)}
    write_back = desk.crm.write_back

    def changed_meanwhile(key: str, **numbers: str) -> None:
        write_back(key, **numbers)
        desk.crm.put(**costing("49000.00"))
        desk.announce()

    monkeypatch.setattr(desk.crm, "write_back", changed_meanwhile)
    desk.replay(accept=True)
    desk.work()
    assert desk.crm.says == {DEAL_KEY: ("Synced", "")}

    desk.passes(5 * MINUTE)

    assert desk.crm.says == {DEAL_KEY: ("Needs attention", CHANGED)}


# -- by what it is stuck


def test_P8__a_review_names_who_decides(desk: Desk) -> None:
    desk.erp.failure = errors.AmbiguousMatchError("2 customers have the same tax number: 17, 18.", system=ERP)
    desk.win()
    desk.passes(SWEEP)

    assert desk.crm.says[DEAL_KEY] == (
        "Needs attention",
        "Somebody in finance has to decide: which customer in SAP S/4HANA is this account?",
    )


def test_P8__an_outage_is_told_only_if_it_lasts(desk: Desk) -> None:
    desk.erp.failure = VendorUnavailableError(system=ERP)
    desk.win()
    desk.passes(4 * MINUTE)
    assert desk.crm.told == []
    desk.passes(8 * MINUTE)
    assert desk.crm.says[DEAL_KEY] == ("Waiting", "Waiting for SAP S/4HANA, which does not answer. Nothing to do.")

    desk.passes(20 * MINUTE)
    assert len(desk.crm.told) == 1

    desk.erp.failure = None
    desk.passes(16 * MINUTE)
    assert desk.crm.says[DEAL_KEY] == ("Synced", "")
    assert len(desk.crm.told) == 1


def test_P8__a_run_that_an_open_breaker_holds_waits_as_well(desk: Desk) -> None:
    desk.erp.failure = VendorUnavailableError(system=ERP)
    with desk.services.store.begin() as uow:
        opened = errors.VendorUnavailableError(system=ERP)
        uow.breakers.failed(connection_of("orders"), breaker_call(), system=ERP, threshold=1)
        assert opened.is_outage
    hold(desk, 3600)
    desk.win()
    desk.passes(MINUTE)
    assert desk.crm.told == []
    desk.passes(10 * MINUTE)

    assert desk.run().status is RunStatus.ACTIVE
    assert desk.crm.says[DEAL_KEY] == ("Waiting", "Waiting for SAP S/4HANA, which does not answer. Nothing to do.")
    desk.passes(30 * MINUTE)
    assert len(desk.crm.told) == 1


def test_P8__a_deal_waits_however_much_other_runs_do_meanwhile(desk: Desk) -> None:
    desk.erp.failure = VendorUnavailableError(system=ERP)
    with desk.services.store.begin() as uow:
        uow.breakers.failed(connection_of("orders"), breaker_call(), system=ERP, threshold=1)
    hold(desk, 3600)
    desk.win()
    for number in range(10):
        desk.announce(f"006xx00000{number:05d}AAA")
        desk.work()
        desk.passes(MINUTE)

    assert desk.crm.told == [
        (DEAL_KEY, "Waiting", "Waiting for SAP S/4HANA, which does not answer. Nothing to do."),
    ]


def test_P8__so_does_one_that_waits_for_a_quota(desk: Desk) -> None:
    desk.books.failure = errors.RateLimitedError(system=BOOKS, retry_after_seconds=MINUTE)
    desk.win()
    desk.passes(10 * MINUTE)
    assert desk.crm.told == [(DEAL_KEY, "Waiting", "Waiting for Zoho Books. Nothing to do.")]

    desk.books.failure = None
    desk.passes(2 * MINUTE)
    assert desk.crm.says[DEAL_KEY] == ("Synced", "")
    assert len(desk.crm.told) == 1


@pytest.mark.parametrize("environment", [{"seller_wait_seconds": 0}])
def test_P8__a_wait_is_never_told_where_people_want_none(desk: Desk) -> None:
    desk.erp.failure = VendorUnavailableError(system=ERP)
    desk.win()
    desk.passes(20 * MINUTE)

    assert desk.crm.told == []


@pytest.mark.parametrize("environment", [{"tell_sellers": "no"}])
def test_P8__nothing_is_told_where_people_want_that(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(20 * MINUTE)

    assert desk.crm.told == []


def test_P8__a_backlog_is_no_stuck_deal(desk: Desk) -> None:
    """Three thousand deals that are closed at once wait for their turn, and must not cost a call more each."""
    desk.crm.put()
    desk.announce()
    desk.clock.advance(20 * MINUTE)
    housekeeping._start_found(desk.services)

    assert [each.flow for each in desk.runs()] == [order_to_invoice.FLOW.name]


def test_P8__a_deal_of_which_sellers_are_not_told_is_left_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seller, "SENTENCES", {**seller.SENTENCES, InvalidDealError: None})
    desk.win(**unequal())
    desk.passes(10 * MINUTE)

    assert [each.flow for each in desk.runs()] == [order_to_invoice.FLOW.name]


def test_P8__deals_of_before_going_live_that_a_mass_update_announces_are_not_written_to(desk: Desk) -> None:
    long_ago = NOW - timedelta(days=2000)
    keys = [f"006xx00000{number:05d}AAA" for number in range(30)]
    for key in keys:
        desk.win(key=key, created_at=long_ago, won_at=long_ago, closed_on="2021-03-01")
    calls = desk.crm.calls
    desk.passes(10 * MINUTE)
    assert desk.letter(keys[0]).error == "OldDealError"
    assert desk.crm.calls == calls

    for key in keys:
        desk.discard(key)
    desk.passes(10 * MINUTE)
    assert desk.crm.told == []


def test_P8__a_deal_that_nobody_can_be_mailed_for_says_what_to_do(desk: Desk) -> None:
    desk.win(customer=replace(deal().customer, email=""))
    desk.passes(SWEEP)

    assert desk.crm.says[DEAL_KEY] == (
        "Needs attention",
        "There is not an e-mail address to which the invoice can be mailed. Give the deal a contact role with one and "
        "close it again.",
    )


def test_P8__a_deal_that_is_gone_is_not_written_to(desk: Desk) -> None:
    desk.announce()
    desk.work()
    desk.passes(10 * MINUTE)

    assert desk.letter().error == "RecordNotFoundError"
    assert desk.crm.calls == 1
    assert desk.alerts() == []


# -- freed


def test_P8__a_replay_that_takes_its_time_says_so(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(SWEEP)
    desk.crm.put()
    desk.books.failure = errors.RateLimitedError(system=BOOKS, retry_after_seconds=50)
    desk.replay()
    desk.work()
    desk.passes(30)
    assert desk.crm.says[DEAL_KEY][0] == "Needs attention"
    desk.passes(MINUTE)
    assert desk.crm.says[DEAL_KEY] == ("Retrying", "It is being tried again. Nothing to do.")

    desk.books.failure = None
    desk.passes(2 * MINUTE)
    assert desk.crm.says[DEAL_KEY] == ("Synced", "")
    assert len(desk.crm.told) == 2


def test_P8__a_deal_that_is_given_up_says_so_and_nothing_else_any_more(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(SWEEP)
    desk.discard()
    desk.passes(10 * MINUTE)

    assert desk.crm.says[DEAL_KEY] == (
        "Not synced",
        "It was decided that no order and no invoice are made from this deal.",
    )
    assert len(desk.crm.told) == 2


def test_P8__one_that_was_given_up_before_anybody_was_told_stays_as_it_is(desk: Desk) -> None:
    desk.win(**unequal())
    desk.discard()
    desk.passes(10 * MINUTE)

    assert desk.crm.told == []


def test_P8__a_run_that_ends_without_writing_to_the_deal_frees_it_all_the_same(desk: Desk) -> None:
    """A deal that was done, was looked at again, stopped, and is left as it is."""
    desk.win()
    stop(desk, errors.DealChangedError(system=CRM))
    desk.passes(SWEEP)
    assert desk.crm.says[DEAL_KEY][0] == "Needs attention"
    set_status(desk, RunStatus.DONE)
    desk.passes(10 * MINUTE)

    assert desk.crm.says[DEAL_KEY] == ("Synced", "")
    assert len(desk.crm.told) == 2


def test_P8__what_became_of_the_invoice_stands_above_being_in_sync(desk: Desk) -> None:
    desk.win()
    credit(desk)
    stop(desk, errors.DealChangedError(system=CRM))
    desk.passes(SWEEP)
    set_status(desk, RunStatus.DONE)
    desk.passes(MINUTE)

    assert desk.crm.says[DEAL_KEY] == ("Credited", "")


def test_P8__an_order_that_is_made_anew_does_not_hide_what_became_of_the_invoice(desk: Desk) -> None:
    desk.win()
    credit(desk)
    stop(desk, errors.DocumentGoneError(system=ERP))
    desk.passes(SWEEP)
    assert desk.crm.says[DEAL_KEY][0] == "Needs attention"
    desk.erp.is_void = True
    desk.replay()
    desk.work()
    desk.passes(10 * MINUTE)

    assert desk.run().results["fetch_deal"]["generations"] == {"order": 2}
    assert desk.crm.says[DEAL_KEY] == ("Credited", "")
    assert len(desk.crm.told) == 1


def test_P8__a_deal_whose_invoice_a_person_mails_goes_on_saying_so(desk: Desk) -> None:
    desk.win(customer=replace(deal().customer, email=""))
    desk.passes(SWEEP)
    desk.replay(accept=True)
    desk.work()
    assert desk.crm.says[DEAL_KEY] == ("Synced, invoice not mailed: no e-mail address", "")
    stop(desk, errors.DealChangedError(system=CRM))
    desk.passes(SWEEP)
    set_status(desk, RunStatus.DONE)
    desk.passes(MINUTE)

    assert desk.crm.says[DEAL_KEY] == ("Synced, invoice not mailed: no e-mail address", "")


# -- the CRM does not take it


def test_P8__while_the_crm_is_down_it_waits_and_the_deals_own_run_settles_it(desk: Desk) -> None:
    desk.win(**unequal())
    desk.crm.refusal = VendorUnavailableError(system=CRM)
    desk.passes(30 * MINUTE)
    assert desk.letters() == ["order_to_invoice"]
    assert desk.alerts() == []

    desk.crm.refusal = None
    desk.crm.put()
    desk.announce()
    desk.work()
    desk.passes(5 * MINUTE)

    assert desk.crm.says[DEAL_KEY] == ("Synced", "")
    assert desk.run(flow="deal_status").status is RunStatus.DONE


def test_P8__an_answer_that_was_lost_does_not_leave_a_stuck_deal_behind(desk: Desk) -> None:
    """The write may come late, after the deal's own: it is written once more."""
    desk.win(**unequal())
    desk.crm.refusal = VendorUnavailableError(system=CRM)
    desk.passes(SWEEP)
    desk.crm.refusal = None
    desk.crm.put()
    desk.announce()
    desk.work()
    desk.crm.says[DEAL_KEY] = ("Needs attention", SUMS)  # now it has come
    desk.passes(5 * MINUTE)

    assert desk.crm.says[DEAL_KEY] == ("Synced", "")


REFUSALS = {
    "the field is missing": PermanentError(
        "Salesforce lacks a field that crmsync needs.", system=CRM, code="INVALID_FIELD", field_errors={FIELD: "?"}
    ),
    "a permission is missing": errors.AuthenticationError(system=CRM, code="INSUFFICIENT_ACCESS"),
    "a picklist lacks the value": RejectedError(
        system=CRM, code="INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", field_errors={FIELD: "is not among the values"}
    ),
    "a validation rule": RejectedError(system=CRM, code="FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    "an answer that nobody foresaw": errors.UnexpectedAnswerError(system=CRM),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_P8__a_status_that_the_crm_refuses_is_one_alert_and_no_dead_letter(desk: Desk, refusal: CrmsyncError) -> None:
    keys = [f"006xx00000{number:05d}AAA" for number in range(20)]
    for key in keys:
        desk.win(key=key, **unequal())
    calls, desk.crm.refusal = desk.crm.calls, refusal
    desk.passes(10 * MINUTE)

    assert desk.letters() == ["order_to_invoice"] * 20
    assert [is_open for _, is_open in desk.alerts()] == [True]
    assert desk.crm.calls - calls == 20, "each deal is tried once"


def test_P8__where_it_is_taken_again_the_alert_ends_and_the_others_are_told(desk: Desk) -> None:
    desk.win(**unequal())
    desk.crm.refusal = REFUSALS["the field is missing"]
    desk.passes(62 * MINUTE)
    assert [is_open for _, is_open in desk.alerts()] == [True]

    desk.crm.refusal = None
    other = "006xx0000000009AAA"
    desk.win(key=other, **unequal())
    desk.passes(62 * MINUTE)

    assert {key for key, *_ in desk.crm.told} == {DEAL_KEY, other}
    assert [is_open for _, is_open in desk.alerts()] == [False]


def test_P8__where_no_other_deal_is_stuck_one_is_tried_each_hour_until_the_crm_takes_it(desk: Desk) -> None:
    keys = [f"006xx00000{number:05d}AAA" for number in range(3)]
    for key in keys:
        desk.win(key=key, **unequal())
    desk.crm.refusal = REFUSALS["the field is missing"]
    desk.passes(2 * MINUTE)
    calls = desk.crm.calls
    desk.passes(61 * MINUTE)
    assert desk.crm.calls - calls == 1

    desk.crm.refusal = None
    desk.passes(61 * MINUTE)

    assert {key for key, *_ in desk.crm.told} == set(keys)
    assert [is_open for _, is_open in desk.alerts()] == [False]


def test_P8__a_deal_whose_own_run_was_refused_alike_makes_no_second_alert(desk: Desk) -> None:
    desk.crm.refusal = RejectedError(system=CRM, code="FIELD_CUSTOM_VALIDATION_EXCEPTION")
    desk.win()
    desk.passes(10 * MINUTE)

    assert desk.letter().step == "write_back"
    assert desk.alerts() == []


def test_P8__a_sentence_that_has_no_field_is_an_alert_and_the_status_is_told(desk: Desk) -> None:
    desk.crm.left_out = REFUSALS["the field is missing"]
    desk.win(**unequal())
    desk.passes(10 * MINUTE)
    assert desk.crm.says[DEAL_KEY][0] == "Needs attention"
    assert [is_open for _, is_open in desk.alerts()] == [True]


# -- our own write starts no work


def test_P8__our_own_write_is_no_correction(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(SWEEP)
    for _ in range(3):
        desk.passes(10 * MINUTE)
        assert desk.catch_up() == 0

    assert desk.crm.calls == 2


def test_P8__a_correction_ten_seconds_after_our_write_is_found_by_catch_up(desk: Desk) -> None:
    desk.win(**unequal())
    desk.passes(SWEEP)
    desk.clock.advance(10)
    desk.crm.put()  # and nobody announces it

    desk.clock.advance(10 * MINUTE)
    assert desk.catch_up() == 1
    assert desk.crm.says[DEAL_KEY] == ("Synced", "")


CLOCKS = [timedelta(0), timedelta(minutes=-5), timedelta(minutes=5)]


@pytest.mark.parametrize("ahead", CLOCKS, ids=str)
def test_P8__a_correction_before_our_write_is_not_hidden_by_it(desk: Desk, ahead: timedelta) -> None:
    """Whatever the clock of the CRM says: its stamps are compared with each other."""
    desk.crm.ahead = ahead
    desk.win(**unequal())
    desk.clock.advance(10)
    desk.crm.put()  # and nobody announces it
    desk.passes(SWEEP)
    assert desk.crm.says[DEAL_KEY] == ("Synced", "")
    assert desk.run().status is RunStatus.DONE


@pytest.mark.parametrize("ahead", CLOCKS, ids=str)
def test_P8__what_was_read_is_no_correction(desk: Desk, ahead: timedelta) -> None:
    """Neither before our write nor when catch-up sees the deal; and what we wrote before is none for the next write."""
    desk.crm.ahead = ahead
    desk.crm.put(**unequal())
    assert desk.catch_up() == 1
    assert desk.catch_up() == 0
    desk.passes(SWEEP)
    assert desk.crm.says[DEAL_KEY][0] == "Needs attention"
    desk.discard()
    desk.passes(10 * MINUTE)

    assert desk.crm.says[DEAL_KEY][0] == "Not synced"
    assert desk.history().count("replayed") == 0


def test_P8__a_deal_of_which_an_earlier_release_kept_no_stamp_is_read_once_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.crm, "fetch_deal", lambda key: desk.crm.deals[key])
    desk.win(**unequal())
    desk.crm.put()  # and nobody announces it
    desk.passes(SWEEP)

    assert desk.crm.says[DEAL_KEY] == ("Synced", "")


def test_P8__an_automation_that_announces_our_write_ends_after_one_look(desk: Desk) -> None:
    """A flow in the CRM that runs at any change of a won deal."""
    desk.crm.after_write = desk.announce
    desk.win(**unequal())
    desk.passes(20 * MINUTE)

    assert len(desk.crm.told) == 1
    assert desk.crm.calls == 3


# -- killed


def test_P8__a_worker_that_died_after_its_write_writes_the_same_once_more(desk: Desk) -> None:
    def dies() -> None:
        desk.crm.after_write = lambda: None
        raise SystemExit

    desk.win(**unequal())
    desk.crm.after_write = dies
    with pytest.raises(SystemExit):
        desk.passes(SWEEP)
    desk.passes(5 * MINUTE)

    assert desk.crm.told == [(DEAL_KEY, "Needs attention", SUMS)] * 2
    assert desk.catch_up() == 0


# -- the sentences


def stopping() -> list[type[CrmsyncError]]:
    """The classes of errors of which a run can die."""
    apart = (errors.NotNowError, errors.WebhookError, errors.LeaseLostError)
    found = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, CrmsyncError)}
    return sorted((each for each in found - {CrmsyncError} if not issubclass(each, apart)), key=lambda it: it.__name__)


def test_P8__every_error_that_can_stop_a_run_has_a_sentence() -> None:
    assert {each.__name__ for each in stopping()} == {each.__name__ for each in seller.SENTENCES}


@pytest.mark.parametrize("is_crm", [True, False], ids=["in the CRM", "elsewhere"])
@pytest.mark.parametrize("system", ["", "SAP S/4HANA", "Long " * 60])
@pytest.mark.parametrize("error", stopping(), ids=lambda it: it.__name__)
def test_P8__a_sentence_is_one_for_people(error: type[CrmsyncError], system: str, is_crm: bool) -> None:
    found = seller.sentence(error.__name__, Stop(Place(system, is_crm=is_crm), {"Name__c": "RAW_CODE ann@acme.test"}))

    if found is None:
        assert error.__name__ in seller.untold()
        return
    assert 20 < len(found) <= 255
    assert found[0].isupper()
    assert found[-1] in ".?…"
    for word in ("Error", "crmsync", "__c", "RAW", "@", "{", "replay", "None", "  "):
        assert word not in found


def test_P8__an_error_of_another_release_has_a_sentence_too() -> None:
    assert seller.sentence("NewestError", Stop(Place(ERP), {})) == seller.sentence("BugError", Stop(Place(ERP), {}))


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "sums": ({"amount": UNEQUAL}, SUMS),
    "not won": ({"is_won": False}, "The deal is not closed as won. Correct the deal and close it again."),
    "no products": ({"lines": ()}, "The deal has no products. Correct the deal and close it again."),
    "no account": (
        {"customer": replace(deal().customer, key="")},
        "The deal has no account. Correct the deal and close it again.",
    ),
    "nothing to pay": (
        {"amount": Money.of(0, "USD"), "lines": (line(total=Money.of(0, "USD").amount),)},
        "The amount of the deal must be more than zero. Correct the deal and close it again.",
    ),
    "no currency": (
        {"amount": Money.of("47000.00", "")},
        "The deal has no currency. Correct the deal and close it again.",
    ),
    "a product without code": (
        {"lines": (line(product_code=""),)},
        "Product 1 has no code. Correct the deal and close it again.",
    ),
    "nothing of a product": (
        {"lines": (line(quantity=Money.of(0, "USD").amount),)},
        "The quantity of product 1 must be more than zero. Correct the deal and close it again.",
    ),
}


@pytest.mark.parametrize(("changes", "expected"), INVALID.values(), ids=INVALID.keys())
def test_P8__what_is_wrong_with_a_deal_is_said_in_words(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidDealError) as caught:
        deals.check(deal(**changes))

    assert seller.sentence("InvalidDealError", Stop(Place(), caught.value.field_errors)) == expected


def test_P8__many_faults_are_cut_at_a_word_and_what_to_do_stays() -> None:
    with pytest.raises(InvalidDealError) as caught:
        deals.check(deal(lines=tuple(line(key=str(number), product_code="") for number in range(50))))
    found = seller.sentence("InvalidDealError", Stop(Place(), caught.value.field_errors))

    assert found is not None
    assert len(found) <= 255
    assert found.endswith("… Correct the deal and close it again.")


def test_P8__a_fault_without_a_sentence_says_that_something_is_wrong() -> None:
    assert seller.sentence("InvalidDealError", Stop(Place(), {"Owner.Name__c": "of Ann Lee is X-7"})) == (
        "Something in the deal is missing or wrong. Correct the deal and close it again."
    )


# -- tools


def breaker_call() -> Any:
    from crmsync.domain.breaker import FailedCall

    return FailedCall(is_probe=False)


def hold(desk: Desk, seconds: float) -> None:
    from sqlalchemy import update

    from crmsync.store.tables import breakers

    with desk.services.store.begin() as uow:
        uow.connection.execute(update(breakers).values(retry_at=uow.now + timedelta(seconds=seconds)))


def stop(desk: Desk, error: CrmsyncError) -> None:
    """A done deal was looked at again, and stopped."""
    desk.clock.advance(1)
    with desk.services.store.begin() as uow:
        ended = desk.run()
        uow.dead_letters.add(replace(ended, step="fetch_deal"), error)
        uow.history.note(ended, "stopped", started_at=uow.now)
    set_status(desk, RunStatus.STOPPED)


def credit(desk: Desk) -> None:
    """The books' credit of the deal's invoice came home."""
    with desk.services.store.begin() as uow:
        run_id, _ = start_run(uow, "invoice_to_deal", "1", step="read_invoice", correlation_id="c", queued_until=NOW)
        paid = uow.runs.claim(run_id, "read_invoice", lease_seconds=60)
        assert paid is not None
        uow.runs.finish_step(paid, invoice_read(status="Credited").to_json(), next_step=None, queued_until=NOW)


def set_status(desk: Desk, status: RunStatus) -> None:
    from sqlalchemy import update

    from crmsync.store.tables import runs

    desk.clock.advance(1)
    with desk.services.store.begin() as uow:
        same = runs.c.id == desk.run().id
        uow.connection.execute(update(runs).where(same).values(status=status.value, updated_at=uow.now))
        if status is RunStatus.DONE:
            uow.dead_letters.run_is_done(desk.run().id)
