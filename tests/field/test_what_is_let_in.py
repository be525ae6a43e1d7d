"""Cases from the field: not all that is announced is to be ordered; what may not be is said before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from celery.exceptions import Ignore, Retry
from sqlalchemy import select

from crmsync.cli import dead_letters as commands
from crmsync.connectors.base import KeepAlive
from crmsync.connectors.salesforce.schemas import Contact, with_contact
from crmsync.domain.admission import Dates, learned, most_usual, why_old
from crmsync.domain.bindings import Binding
from crmsync.domain.catch_up import Verdict, WonDeal, verdict
from crmsync.domain.customers import Candidate, is_address
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterKind, LetterStatus
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import CrmsyncError, RecordNotFoundError, RejectedError
from crmsync.flows import catch_up, order_to_invoice, sightings
from crmsync.services import Services
from crmsync.store.tables import alerts, runs
from crmsync.worker import dead_letters, starting
from crmsync.worker.flow import FLOWS
from tests.builders import NOW, customer, deal
from tests.fakes import DEFAULT, FakeClock, add_link, connection_of, fill

LIVE = NOW - timedelta(days=60)


class Crm:
    """A CRM that shows each deal as it is told, and counts the questions."""

    system = "Salesforce"

    def __init__(self) -> None:
        self.shown: Callable[[str], Deal] = lambda key: fresh(key=key)
        self.asked = 0

    def fetch_deal(self, key: str) -> Deal:
        self.asked += 1
        return self.shown(key)


class Books:
    system = "Zoho Books"
    time_zone = "UTC"

    def __init__(self) -> None:
        self.addresses: set[str] = set()
        self.asked = 0

    def read_customers(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        self.asked += 1
        return {key: Candidate(key, "Acme Ltd", emails=("ap@acme.test",)) for key in keys if key in self.addresses}


def fresh(**changes: Any) -> Deal:
    return deal(**{"created_at": NOW, "won_at": NOW, **changes})


@pytest.fixture
def crm() -> Crm:
    return Crm()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture(autouse=True)
def world(services: Services, crm: Crm, books: Books, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live for sixty days, with these systems and no broker."""
    fill(services, deals=crm, invoices=books)
    services.settings = replace(services.settings, go_live=LIVE)
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    monkeypatch.setattr(FLOWS[order_to_invoice.FLOW.name], "enqueue", lambda run_id, results: None)


def announce(services: Services, key: str = "006A") -> str:
    """A webhook for the deal; returns its run."""
    with services.store.begin() as uow:
        uow.deliveries.add(connection_of("deals"), key)
        return order_to_invoice.FLOW.open_run(uow, DEFAULT, key, correlation_id="c")[0]


def fetch(services: Services, run_id: str) -> Run:
    """One message for the deal's first step; the run as that leaves it."""
    with suppress(Retry, Ignore, CrmsyncError):  # as the worker takes them
        order_to_invoice.fetch_deal.execute(run_id)
    with services.store.read() as uow:
        run = uow.runs.get(run_id)
    assert run is not None
    return run


def letter_of(services: Services, run_id: str) -> DeadLetter:
    with services.store.read() as uow:
        letter = uow.dead_letters.of_run(run_id)
    assert letter is not None
    return letter


def accept(services: Services, run_id: str) -> Run:
    dead_letters.replay(services, letter_of(services, run_id).id, Answers(accept=True), by="the test")
    return fetch(services, run_id)


def told(services: Services) -> list[tuple[str, int]]:
    with services.store.read() as uow:
        rows = uow.connection.execute(select(alerts.c.cause, alerts.c.occurrences)).all()
    return [(row.cause, row.occurrences) for row in rows]


def gone(key: str) -> Deal:
    raise RecordNotFoundError(system="Salesforce")


# -- L4: a webhook overtakes the change that it tells of


@pytest.mark.parametrize(
    "early",
    [
        pytest.param(lambda key: fresh(key=key, is_won=False), id="not won"),
        pytest.param(gone, id="not found"),
        pytest.param(lambda key: fresh(key=key, lines=()), id="without its products"),
    ],
)
def test_L4__a_deal_that_is_not_there_yet_is_looked_at_again_for_a_while(
    services: Services, crm: Crm, clock: FakeClock, early: Callable[[str], Deal]
) -> None:
    crm.shown = early
    run = fetch(services, announce(services))
    waits = []
    while run.status is RunStatus.ACTIVE and run.step == "fetch_deal" and len(waits) < 4:
        waits.append((run.due_at - clock.now).total_seconds())
        clock.now = run.due_at
        run = fetch(services, run.id)

    assert waits == [2.0, 4.0, 8.0, 16.0]
    assert (run.attempts, told(services)) == (0, [])
    crm.shown = lambda key: fresh(key=key)
    clock.now = run.due_at
    assert fetch(services, run.id).step == "match_erp_customer"


def test_L4__a_company_says_how_long_the_grace_is(services: Services, crm: Crm) -> None:
    roles = {"deals": "salesforce", "orders": "s4hana", "invoices": "zoho_books"}
    with services.store.begin() as uow:
        uow.bindings.add(Binding("default", "order_to_invoice", "salesforce", roles, {"announced_grace_seconds": "0"}))
    services.companies.forget()
    crm.shown = gone

    run = fetch(services, announce(services))

    assert run.status is RunStatus.STOPPED
    assert crm.asked == 1


@pytest.mark.parametrize("early", [lambda key: fresh(key=key, is_won=False), gone], ids=["not won", "not found"])
def test_L4__after_the_grace_a_person_hears_and_a_new_webhook_begins_another(
    services: Services, crm: Crm, clock: FakeClock, early: Callable[[str], Deal]
) -> None:
    crm.shown = early
    run = fetch(services, announce(services))
    while run.status is RunStatus.ACTIVE:
        clock.now = run.due_at
        run = fetch(services, run.id)

    assert (clock.now - NOW).total_seconds() == 60
    assert crm.asked == 6
    assert letter_of(services, run.id).kind is LetterKind.DATA

    clock.advance(3600)
    announce(services)
    dead_letters.replay(services, letter_of(services, run.id).id, by="the test")
    assert fetch(services, run.id).status is RunStatus.ACTIVE


def test_L4__a_deal_that_nobody_announced_lately_is_not_waited_for(
    services: Services, crm: Crm, clock: FakeClock
) -> None:
    run_id = announce(services)
    clock.advance(600)
    crm.shown = lambda key: fresh(key=key, is_won=False)

    assert fetch(services, run_id).status is RunStatus.STOPPED


def test_L4__an_announcement_of_a_clock_that_was_ahead_holds_nothing_up(
    services: Services, crm: Crm, clock: FakeClock
) -> None:
    clock.advance(86_400)
    run_id = announce(services)
    clock.now = NOW
    with services.store.begin() as uow:
        uow.runs.queued(run_id, None)
        uow.connection.execute(order_to_invoice_due(run_id, NOW))
    crm.shown = lambda key: fresh(key=key, is_won=False)

    assert fetch(services, run_id).status is RunStatus.STOPPED


def order_to_invoice_due(run_id: str, at: datetime) -> Any:
    return runs.update().where(runs.c.id == run_id).values(due_at=at)


def test_L4__a_deal_that_is_won_again_is_waited_for_as_well(services: Services, crm: Crm, clock: FakeClock) -> None:
    run_id = announce(services)
    made = {"fetch_deal": fresh(key="006A").to_json()} | {step: {} for step in order_to_invoice.FLOW.steps[1:]}
    with services.store.begin() as uow:
        done = runs.update().where(runs.c.id == run_id)
        uow.connection.execute(done.values(status=RunStatus.DONE.value, step="write_back", results=made))
    clock.advance(86_400)
    crm.shown = lambda key: fresh(key=key, is_won=False)  # reopened, and about to be won again
    with services.store.begin() as uow:
        uow.deliveries.add(connection_of("deals"), "006A")
        starting.start(uow, order_to_invoice.FLOW, DEFAULT, "006A", correlation_id="c")

    run = fetch(services, run_id)
    assert (run.status, run.step, (run.due_at - clock.now).total_seconds()) == (RunStatus.ACTIVE, "fetch_deal", 2.0)

    crm.shown = lambda key: fresh(key=key)
    clock.now = run.due_at
    assert fetch(services, run_id).status is RunStatus.DONE
    assert told(services) == []


READ_STAMP = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("died_of", "stamped_later_by", "is_revived"),
    [
        pytest.param(lambda key: fresh(key=key, is_won=False), 0, True, id="not won, the same stamp"),
        pytest.param(gone, 0, True, id="not found"),
        pytest.param(lambda key: fresh(key=key, amount=Money.of(1, "USD")), 1, True, id="bad data, changed since"),
        pytest.param(lambda key: fresh(key=key, amount=Money.of(1, "USD")), 0, False, id="bad data, unchanged since"),
    ],
)
def test_L4__catch_up_revives_what_is_won_now(
    services: Services,
    crm: Crm,
    clock: FakeClock,
    died_of: Callable[[str], Deal],
    stamped_later_by: int,
    is_revived: bool,
) -> None:
    run_id = announce(services)
    clock.advance(7200)
    crm.shown = lambda key: replace(died_of(key), changed_at=READ_STAMP)
    assert fetch(services, run_id).status is RunStatus.STOPPED
    seen = WonDeal("006A", "Acme", "A", None, changed_at=READ_STAMP + timedelta(seconds=stamped_later_by))

    clock.advance(600)
    crm.won_deals = lambda since, until: iter([[seen]])  # type: ignore[attr-defined]
    pages = list(catch_up.deals_seen(services, services.company(), LIVE, clock.now))

    assert [each.verdict for page in pages for each in page] == [Verdict.START if is_revived else Verdict.HAS_RUN]
    started = [sightings.start(services, services.company(), pages[0], correlation_id="c").all for _ in range(2)]
    assert started == [is_revived, 0], "it is revived once for one change"


# -- L5: nobody to mail the invoice to


@pytest.mark.parametrize(
    "email", ["", "ap", "ap@acme", "a p@acme.test", "äp@acme.test", "ap@acme.test;cfo@acme.test", "@acme.test"]
)
def test_L5__a_deal_without_an_address_is_said_before_anything_is_made(
    services: Services, crm: Crm, books: Books, email: str
) -> None:
    crm.shown = lambda key: fresh(key=key, customer=customer(email=email))
    run = fetch(services, announce(services))

    letter = letter_of(services, run.id)
    assert (letter.step, letter.error, letter.kind) == ("fetch_deal", "NoAddressError", LetterKind.DATA)
    assert "Contact.Email" in letter.cause
    assert "contact role" in letter.advice
    assert "--accept" in letter.advice
    assert not email or email not in letter.cause + letter.advice
    assert books.asked == 0


def test_L5__a_customer_whom_the_books_know_with_an_address_is_billed_there(
    services: Services, crm: Crm, books: Books
) -> None:
    crm.shown = lambda key: fresh(key=key, customer=customer(email=""))
    with services.store.begin() as uow:
        add_link(uow, connection_of("invoices"), "customer", customer().key, "46", origin="imported")
    assert fetch(services, announce(services)).status is RunStatus.STOPPED

    books.addresses.add("46")
    assert fetch(services, announce(services, "006B")).step == "match_erp_customer"
    assert books.asked == 2


@pytest.mark.parametrize("email", ["", "ap@acme"])
def test_L5__a_person_may_let_it_go_on_and_mail_the_invoice(services: Services, crm: Crm, email: str) -> None:
    crm.shown = lambda key: fresh(key=key, customer=customer(email=email))
    run = fetch(services, announce(services))
    run = accept(services, run.id)

    read = Deal.from_json(run.results["fetch_deal"])
    assert (run.step, read.is_mailed_by_hand, read.customer.email) == ("match_erp_customer", True, "")


def test_L5__an_address_is_a_primary_contacts_else_anybodys_else_the_accounts() -> None:
    def chosen(*contacts: tuple[bool, str]) -> str:
        made = [Contact(is_primary, email, "A", "B") for is_primary, email in contacts]
        return with_contact(customer(email="person@acme.test"), made).email

    assert chosen((False, "a@acme.test"), (True, "b@acme.test")) == "b@acme.test"
    assert chosen((False, "a@acme.test"), (False, "b@acme.test")) == "a@acme.test"
    assert chosen((True, ""), (False, "b@acme.test")) == "b@acme.test"
    assert chosen((True, "no address"), (False, "b@acme.test")) == "b@acme.test"
    assert chosen((True, "")) == chosen() == "person@acme.test"
    assert chosen((True, "no address")) == "no address", "it is said, and not passed over"


def test_L5__an_address_of_254_characters_is_one_and_a_longer_is_none() -> None:
    host = "@" + "a" * 60 + ".test"

    assert is_address("a" * (254 - len(host)) + host)
    assert not is_address("a" * (255 - len(host)) + host)


# -- L6: authentic is not legitimate

ANNOUNCED = NOW
WON_LATELY = datetime(2026, 11, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        pytest.param(Dates(WON_LATELY, WON_LATELY, date(2026, 11, 18)), "", id="of today"),
        pytest.param(Dates(), "", id="nothing is told"),
        pytest.param(
            Dates(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 3, 1, tzinfo=UTC), date(2020, 3, 1)),
            "was won on 2020-03-01, before crmsync went live on 2026-09-21",
            id="won six years ago, edited today",
        ),
        pytest.param(
            Dates(datetime(2020, 1, 1, tzinfo=UTC), None, date(2020, 3, 1)),
            "was won on 2020-03-01, before crmsync went live on 2026-09-21",
            id="the same where no change of stage is told",
        ),
        pytest.param(
            Dates(WON_LATELY, WON_LATELY, date(2020, 3, 1)),
            "was won on 2020-03-01, before crmsync went live on 2026-09-21",
            id="an old one that was imported today",
        ),
        pytest.param(
            Dates(datetime(2020, 1, 1, tzinfo=UTC), WON_LATELY, date(2020, 3, 1)),
            "was won on 2020-03-01, before crmsync went live on 2026-09-21",
            id="an old one that moved on to another won stage",
        ),
        pytest.param(
            Dates(WON_LATELY, WON_LATELY, date(2026, 10, 25)), "", id="the date once planned, which nobody looked at"
        ),
    ],
)
def test_L6__a_deal_of_before_going_live_is_told_from_one_of_today(dates: Dates, reason: str) -> None:
    assert why_old(dates, ANNOUNCED, go_live=LIVE, max_days=90) == reason


def test_L6__a_deal_is_too_old_by_a_day_and_may_be_a_minute_early_by_two_clocks() -> None:
    long_live = datetime(2020, 1, 1, tzinfo=UTC)

    def old(won_at: datetime, go_live: datetime = long_live, **options: Any) -> str:
        return why_old(Dates(won_at, won_at, won_at.date()), ANNOUNCED, go_live=go_live, **{"max_days": 90, **options})

    assert old(ANNOUNCED - timedelta(days=90)) == ""
    assert old(ANNOUNCED - timedelta(days=91)).endswith("more than 90 days before it was announced")
    assert old(ANNOUNCED - timedelta(days=2000), max_days=0) == ""
    assert old(ANNOUNCED - timedelta(seconds=30), go_live=ANNOUNCED) == ""
    assert old(ANNOUNCED - timedelta(seconds=90), go_live=ANNOUNCED) != ""


def test_L6__catch_up_goes_by_the_same_rule() -> None:
    won_at = NOW - timedelta(days=100)
    seen = WonDeal("006A", "Acme", "A", None, changed_at=NOW, created_at=won_at, won_at=won_at)
    judged = {days: verdict(seen, has_run=False, go_live=won_at, now=NOW, max_days=days) for days in (0, 99, 100)}

    assert judged == {0: Verdict.START, 99: Verdict.TOO_OLD, 100: Verdict.START}


def old_deal(key: str) -> Deal:
    long_ago = datetime(2020, 3, 1, tzinfo=UTC)
    return fresh(key=key, created_at=long_ago, won_at=long_ago, closed_on="2020-03-01")


def test_L6__old_deals_are_held_and_told_of_as_one(services: Services, crm: Crm) -> None:
    crm.shown = old_deal
    runs = [fetch(services, announce(services, f"006{number}")) for number in range(3)]

    assert {run.status for run in runs} == {RunStatus.STOPPED}
    letter = letter_of(services, runs[0].id)
    assert (letter.kind, letter.cause) == (
        LetterKind.REVIEW,
        "The deal was won on 2020-03-01, before crmsync went live on 2026-09-21.",
    )
    assert told(services) == [("letters:fetch_deal:OldDealError:Salesforce", 3)]
    assert accept(services, runs[0].id).step == "match_erp_customer"
    with services.store.read() as uow:
        assert uow.dead_letters.waiting_count(None) == 2


def test_L6__a_deal_that_waited_for_its_correction_does_not_grow_old(
    services: Services, crm: Crm, clock: FakeClock
) -> None:
    crm.shown = lambda key: fresh(key=key, customer=customer(email=""))
    run_id = announce(services)
    fetch(services, run_id)
    clock.advance(200 * 86_400)
    crm.shown = lambda key: fresh(key=key)
    dead_letters.replay(services, letter_of(services, run_id).id, by="the test")

    assert fetch(services, run_id).step == "match_erp_customer"


class EmptyErp:
    system = "SAP S/4HANA"

    def read_order(self, key: str) -> Document:
        raise RecordNotFoundError(system=self.system)

    def find_orders(self, reference: str) -> list[Document]:
        return []


@pytest.mark.parametrize("was_made", [True, False], ids=["made and taken back", "refused"])
def test_L6__a_deal_that_was_ordered_is_not_asked_about_as_an_old_one_when_going_live_is_moved(
    services: Services, crm: Crm, books: Books, clock: FakeClock, was_made: bool
) -> None:
    """Its order was deleted, and a person has it made anew: the first try failed."""
    fill(services, deals=crm, invoices=books, orders=EmptyErp())
    run = fetch(services, announce(services))
    order = EntryKey("s4hana", "order", "SF-006A")
    with services.store.begin() as uow:
        uow.ledger.reserve(order, run.id, certain_at=uow.now)
        if was_made:
            uow.ledger.confirmed(order, {"key": "4711", "number": "4711"})
            uow.ledger.gone(order)
        else:
            uow.ledger.refused(order, 1)
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, RejectedError(system="SAP S/4HANA"))
    services.settings = replace(services.settings, go_live=clock.now + timedelta(days=10))
    clock.advance(86_400)

    dead_letters.replay(services, letter_of(services, run.id).id, by="the test")

    run = fetch(services, run.id)
    assert run.step == ("match_erp_customer" if was_made else "fetch_deal")
    assert run.status is (RunStatus.ACTIVE if was_made else RunStatus.STOPPED)


def flood_of(services: Services, count: int, first: int = 0) -> list[str]:
    return [announce(services, f"006{number:06d}") for number in range(first, first + count)]


@pytest.fixture
def low_floor(services: Services) -> None:
    """Twenty new deals an hour are usual."""
    services.settings = replace(services.settings, behaviour=replace(services.settings.behaviour, burst_deals=20))


@pytest.mark.usefixtures("low_floor")
def test_L6__a_flood_is_held_without_a_call_and_told_of_once(services: Services, crm: Crm) -> None:
    runs = [fetch(services, run_id) for run_id in flood_of(services, 60)]

    assert {run.status for run in runs} == {RunStatus.STOPPED}
    assert crm.asked == 0
    assert told(services) == [("letters:fetch_deal:UnusualBurstError", 60)]
    letter = letter_of(services, runs[0].id)
    assert letter.cause == "60 new deals were announced within an hour; up to 20 are usual here."


@pytest.mark.usefixtures("low_floor")
def test_L6__as_many_as_usual_are_none(services: Services, crm: Crm, clock: FakeClock) -> None:
    assert {fetch(services, run_id).step for run_id in flood_of(services, 20)} == {"match_erp_customer"}
    for _ in range(30):  # announced again and again, they are no new ones
        announce(services, "006000001")
    clock.advance(10)
    crm.asked = 0

    clock.advance(3600)
    assert fetch(services, announce(services, "006B")).step == "match_erp_customer"


@pytest.mark.usefixtures("low_floor")
def test_L6__what_catch_up_starts_after_an_outage_of_ours_is_no_flood(services: Services) -> None:
    with services.store.begin() as uow:
        ids = [order_to_invoice.FLOW.open_run(uow, DEFAULT, f"006{n}", correlation_id="c")[0] for n in range(60)]
        for number in range(60):
            uow.deliveries.add(
                sightings.source_of(order_to_invoice.FLOW, "salesforce"), f"006{number}", event_key=f"006{number}"
            )
    flood_of(services, 30, first=100)

    assert {fetch(services, run_id).step for run_id in ids[:5]} == {"match_erp_customer"}


@pytest.mark.usefixtures("low_floor")
def test_L6__a_flood_that_a_person_let_pass_goes_on_for_some_hours(
    services: Services, crm: Crm, clock: FakeClock
) -> None:
    first, *others = flood_of(services, 60)
    held = [fetch(services, run_id) for run_id in (first, *others[:4])]
    assert {run.status for run in held} == {RunStatus.STOPPED}
    assert accept(services, first).step == "match_erp_customer", "one that is accepted goes on"
    assert fetch(services, others[10]).status is RunStatus.STOPPED, "and it alone"

    commands._let_flood_pass(services, [letter_of(services, others[0])])
    clock.advance(60)
    assert fetch(services, others[11]).step == "match_erp_customer"

    clock.advance(6 * 3600)
    later = flood_of(services, 60, first=1000)
    assert fetch(services, later[0]).status is RunStatus.STOPPED


@pytest.mark.usefixtures("low_floor")
def test_L6__who_lets_a_flood_pass_is_asked_about_its_old_deals_all_the_same(services: Services, crm: Crm) -> None:
    crm.shown = old_deal
    run_id = flood_of(services, 60)[0]
    fetch(services, run_id)

    assert accept(services, run_id).status is RunStatus.STOPPED
    assert letter_of(services, run_id).error == "OldDealError"
    crm.shown = lambda key: replace(old_deal(key), order_number="4711")
    assert accept(services, run_id).status is RunStatus.STOPPED
    assert letter_of(services, run_id).error == "AlreadyOrderedError"


@pytest.mark.usefixtures("low_floor")
def test_L6__a_flood_that_is_given_up_stays_so(services: Services) -> None:
    run_id = flood_of(services, 60)[0]
    fetch(services, run_id)
    letter = letter_of(services, run_id)
    dead_letters.discard(services, letter.id, by="the test")

    assert letter_of(services, run_id).status is LetterStatus.DISCARDED


@pytest.mark.usefixtures("low_floor")
def test_L6__deals_of_a_flood_that_was_given_up_are_asked_about_once_when_announced_again(
    services: Services, crm: Crm, clock: FakeClock
) -> None:
    """Nothing is known of them, so a person is asked whether they are meant now; then they are known."""
    run_id = flood_of(services, 60)[0]
    fetch(services, run_id)
    dead_letters.discard(services, letter_of(services, run_id).id, by="the test")
    clock.advance(2 * 3600)

    assert announced_again(services, run_id).status is RunStatus.STOPPED
    letter = letter_of(services, run_id)
    assert letter.cause == "The deal was given up with a flood of new ones, and is announced again."
    dead_letters.discard(services, letter.id, by="the test")
    assert announced_again(services, run_id).status is RunStatus.DISCARDED
    crm.shown = lambda key: fresh(key=key, closed_on="2026-11-19")
    assert announced_again(services, run_id).step == "match_erp_customer", "it was changed"


def announced_again(services: Services, run_id: str) -> Run:
    with services.store.begin() as uow:
        run = uow.runs.get(run_id)
        assert run is not None
        starting.start(uow, order_to_invoice.FLOW, DEFAULT, run.subject_key, correlation_id="c")
    return fetch(services, run_id)


@pytest.mark.usefixtures("low_floor")
def test_L6__who_replays_all_that_waits_lets_no_flood_pass(services: Services, clock: FakeClock) -> None:
    """As a worker on the queue `dead_letter` does, or `replay --all` after an outage, when the hour is over."""
    run_id = flood_of(services, 60)[0]
    fetch(services, run_id)
    clock.advance(2 * 3600)

    dead_letters.replay(services, letter_of(services, run_id).id, by="the test")
    assert fetch(services, run_id).status is RunStatus.STOPPED
    assert accept(services, run_id).step == "match_erp_customer"


def test_L6__what_is_usual_is_learned_from_busy_hours_but_not_from_floods(services: Services, clock: FakeClock) -> None:
    hours = {NOW - timedelta(hours=ago): count for ago, count in ((100, 900), (80, 4000), (60, 30_000), (5, 12))}
    busiest = learned({}, hours, now=NOW, floor=1000)

    assert max(busiest.values()) == 4000
    assert most_usual(1000, busiest) == 20_000
    assert learned(busiest, {}, now=NOW + timedelta(days=40), floor=1000) == {}


@pytest.mark.usefixtures("low_floor")
def test_L6__a_company_whose_hours_are_busy_is_not_asked(services: Services, clock: FakeClock) -> None:
    for day in range(3):
        for run_id in flood_of(services, 18, first=day * 100):
            fetch(services, run_id)
        clock.advance(86_400)

    runs = [fetch(services, run_id) for run_id in flood_of(services, 60, first=5000)]

    assert {run.step for run in runs} == {"match_erp_customer"}, "five times eighteen are ninety"
