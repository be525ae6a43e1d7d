"""What the read model says of a store: which runs in which order, everything about one, who waits for a person."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from crmsync.domain.choices import choices, next_command
from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.domain.runs import RunStatus
from crmsync.errors import AmountMismatchError, InvalidDealError, VendorUnavailableError
from crmsync.reading import run as run_module
from crmsync.reading.flows import background
from crmsync.reading.letters import waiting_by_cause, waiting_letters
from crmsync.reading.links import customer_links
from crmsync.reading.overview import figures
from crmsync.reading.run import WholeRun, whole_run
from crmsync.reading.runs import found_runs, newest_runs, place_of, text_of
from crmsync.services import Services
from crmsync.store.tables import dead_letters
from tests.builders import DEAL_KEY
from tests.fakes import FakeClock, add_link, start_run
from tests.unit.web.test_stock import INVOICE, PAYMENT, carry_out, take_stock
from tests.unit.web.test_tower import PERSONAL

KEY = "006xx0000012{}AAA"


def whole(services: Services, run_id: str) -> WholeRun:
    with services.store.read() as uow:
        found = whole_run(uow, None, run_id)
    assert found is not None
    return found


# -- lists


def test_a_list_is_read_page_by_page_and_leaves_nothing_out(services: Services, a_run: Any) -> None:
    made = [a_run(key=KEY.format(f"ab{number}")).id for number in range(5)]

    pages, place = [], None
    with services.store.read() as uow:
        while not pages or place:
            page = newest_runs(uow, None, limit=2, after=place)
            pages.append([row.id for row in page.rows])
            place = place_of(text_of(page.next_place))

    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]


def test_a_page_that_is_just_full_is_the_last_one(services: Services, a_run: Any) -> None:
    for number in range(2):
        a_run(key=KEY.format(f"ab{number}"))

    with services.store.read() as uow:
        assert newest_runs(uow, None, limit=2).next_place is None


@pytest.mark.parametrize("text", ["", "x", "2026-11-20T09:15:00,abc", ",", "2026-11-20"])
def test_what_is_no_place_is_the_beginning(text: str) -> None:
    assert place_of(text) is None


def test_a_row_says_what_people_ask_for(services: Services, a_run: Any) -> None:
    run = a_run(done=1, leased=True)

    with services.store.read() as uow:
        (row,) = newest_runs(uow, None).rows

    assert (row.id, row.subject, row.deal, row.money) == (run.id, "deal", DEAL_KEY, Money(Decimal(47000), "USD"))
    assert (row.status, row.state, row.step) == (RunStatus.ACTIVE, "running", "match_erp_customer")


def test_an_invoices_run_names_its_deal_in_lists_and_searches(services: Services, clock: FakeClock) -> None:
    run = carry_out(services, clock, "invoice_to_deal", "98200001", INVOICE)
    carry_out(services, clock, "payment_to_invoices", "46000001", PAYMENT)

    with services.store.read() as uow:
        deals = {row.id: row.deal for row in newest_runs(uow, None).rows}
        (found,) = found_runs(uow, None, "98200001")

    assert deals.pop(run.id) == found.run.deal == INVOICE["read_invoice"]["deal"]
    assert set(deals.values()) == {""}


def test_runs_of_the_background_are_left_out_where_that_is_asked(services: Services, clock: FakeClock) -> None:
    run = take_stock(services, clock)

    with services.store.read() as uow:
        assert [row.id for row in newest_runs(uow, None).rows] == [run.id]
        assert newest_runs(uow, None, without=background()).rows == []


# -- one run


def test_a_run_has_its_documents_customers_and_letter(services: Services, a_letter: Any) -> None:
    letter = a_letter(AmountMismatchError("The order is 1.00 USD net."), done=3)
    key = EntryKey("erp", "order", "SF-1", 2)
    document = {"key": "4500001", "number": "4500001", "net": {"amount": "47000.00", "currency": "USD"}}
    with services.store.begin() as uow:
        run = uow.runs.get(letter.run_id)
        assert run is not None
        uow.ledger.reserve(key, run.id, certain_at=uow.now)
        uow.ledger.confirmed(key, document)

    found = whole(services, letter.run_id)

    (made,) = found.documents
    assert (made.connection, made.kind, made.number, made.generation) == ("erp", "order", "4500001", 2)
    assert made.net == Money(Decimal("47000.00"), "USD")
    assert [(customer.step, customer.number) for customer in found.customers] == [("match_erp_customer", "1000123")]
    assert found.letter is not None
    assert found.letter.letter.id == letter.id


def test_a_run_has_the_webhooks_of_its_subject_and_what_catch_up_saw_for_its_flow(
    services: Services, a_run: Any
) -> None:
    run = a_run()
    with services.store.begin() as uow:
        uow.deliveries.add("catch_up.order_to_invoice.salesforce", DEAL_KEY, event_key="1", is_healed=True)
        uow.deliveries.add("catch_up.invoice_to_deal.salesforce", DEAL_KEY, event_key="2")
        uow.deliveries.add("salesforce", KEY.format("zzz"), event_key="3")

    deliveries = whole(services, run.id).deliveries

    assert [(each.is_webhook, each.is_healed) for each in deliveries] == [(True, False), (False, True)]


def test_no_page_of_a_run_holds_a_person(services: Services, a_run: Any) -> None:
    found = repr(whole(services, a_run(done=7).id))

    assert [name for name in PERSONAL if name in found] == []


def test_a_run_of_another_release_is_shown_as_far_as_it_is_known(
    services: Services, a_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(done=2)

    with services.store.read() as uow:
        found = whole_run(uow, None, run.id, {})

    assert found is not None
    assert [step.name for step in found.steps] == [run.step]


def test_a_payment_of_many_invoices_links_some_of_them(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "INVOICES_SHOWN", 1)

    found = whole(services, carry_out(services, clock, "payment_to_invoices", "46000001", PAYMENT).id)

    assert [(link.subject, link.key, link.run_id) for link in found.links] == [("invoice", "98200001", "")]


# -- dead letters


def test_letters_of_one_cause_stand_together_and_others_alone(services: Services, a_letter: Any) -> None:
    down = [a_letter(VendorUnavailableError(system="ERP"), key=KEY.format(f"ab{number}")) for number in range(2)]
    wrong = [a_letter(InvalidDealError("No lines."), key=KEY.format(f"cd{number}")) for number in range(2)]

    with services.store.read() as uow:
        groups = waiting_by_cause(uow, None)

    assert [(group.first.id, group.count) for group in groups] == [(down[0].id, 2), (wrong[0].id, 1), (wrong[1].id, 1)]


def test_letters_without_a_cause_stand_alone(services: Services, a_letter: Any) -> None:
    """As an older release wrote them."""
    for number in range(2):
        a_letter(VendorUnavailableError(system="ERP"), key=KEY.format(f"ab{number}"))
    with services.store.begin() as uow:
        uow.connection.execute(update(dead_letters).values(alert_cause=""))

    with services.store.read() as uow:
        assert [group.count for group in waiting_by_cause(uow, None)] == [1, 1]


def test_the_letters_that_waited_longest_come_first_and_all_are_counted(services: Services, a_letter: Any) -> None:
    first, _ = (a_letter(VendorUnavailableError(), key=KEY.format(f"ab{number}")) for number in range(2))

    with services.store.read() as uow:
        waiting = waiting_letters(uow, None, limit=1)

    assert ([row.letter.id for row in waiting.rows], waiting.count) == ([first.id], 2)


def test_a_letter_that_is_settled_offers_nothing(services: Services, a_letter: Any) -> None:
    letter = a_letter(AmountMismatchError("The order is 1.00 USD net."))
    assert [choice.answer for choice in choices(letter)] == ["go on", "make anew", "leave"]
    with services.store.begin() as uow:
        uow.dead_letters.move(letter, to=LetterStatus.DISCARDED)

    with services.store.read() as uow:
        settled = uow.dead_letters.get(letter.id)

    assert settled is not None
    assert choices(settled) == ()
    assert next_command(settled, "ERP") == ""


# -- links and figures


def test_an_account_and_a_customer_count_once_whatever_the_currencies(services: Services) -> None:
    with services.store.begin() as uow:
        for account, currency in (("001A", "USD"), ("001A", "EUR"), ("001B", "USD")):
            add_link(uow, "erp", "customer", account, "1000123", origin="reference", currency=currency)
        add_link(uow, "erp", "customer", "001C", "1000124", origin="reference")

    with services.store.read() as uow:
        found = customer_links(uow, None)

    assert [(row.link.crm_key, row.accounts, row.is_shared) for row in found] == [
        ("001A", 2, True),
        ("001A", 2, True),
        ("001B", 2, True),
        ("001C", 1, False),
    ]


def test_figures_count_what_waits_and_since_when(services: Services, clock: FakeClock, a_letter: Any) -> None:
    a_letter(VendorUnavailableError(), key=KEY.format("ab1"))
    a_run_that_is_due = KEY.format("ab2")
    with services.store.begin() as uow:
        start_run(
            uow, "order_to_invoice", a_run_that_is_due, step="fetch_deal", correlation_id="c", queued_until=uow.now
        )
    clock.advance(90)

    with services.store.read() as uow:
        found = figures(uow)

    assert found.letters == {"failure": 1, "data": 0, "review": 0}
    assert found.runs == {("order_to_invoice", "stopped"): 1, ("order_to_invoice", "active"): 1}
    assert found.oldest_due_seconds == 90
