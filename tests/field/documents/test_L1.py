"""Cases from the field: what crmsync made is believed only while its system still shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from crmsync.domain.dead_letters import Answers, LetterStatus
from crmsync.domain.runs import RunStatus
from crmsync.lab.sandbox.deals import Deal
from tests.fakes import DEFAULT, run_of_subject
from tests.field.life import (
    asked,
    carries_what_stands,
    company,
    leave,
    made,
    mailed,
    replay,
    standing,
    won_again,
)
from tests.system import NO_PERIODS, System, running, until

ACCEPT = Answers(accept=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    periods = dict.fromkeys(("CRMSYNC_COMPARE_SECONDS", "CRMSYNC_COMPARE_INVOICES_SECONDS"), "1")
    settings = NO_PERIODS | periods | {"CRMSYNC_CATCH_UP_GRACE_SECONDS": "0"}
    with running(tmp_path_factory.mktemp("life"), "web", "worker", "beat", **settings) as made:
        yield made


TakeBack = Callable[[System, str], object]
INVOICES: dict[str, TakeBack] = {
    "deleted": lambda system, key: system.sandbox.invoices.delete(key),
    "voided": lambda system, key: system.sandbox.invoices.void(key),
}
ORDERS: dict[str, TakeBack] = {
    "deleted": lambda system, key: system.sandbox.orders.delete(key),
    "rejected": lambda system, key: system.sandbox.orders.reject(key),
}


@pytest.mark.parametrize("answers", [Answers(), ACCEPT], ids=["plain", "accepted"])
@pytest.mark.parametrize("take_back", INVOICES.values(), ids=INVOICES)
def test_L1__an_invoice_that_was_taken_back_is_made_anew_and_mailed(
    system: System, deal: Deal, wrong: Callable[[], None], take_back: TakeBack, answers: Answers
) -> None:
    assert system.close(deal.id) == 200
    asked(system, deal, error="AmountMismatchError")
    take_back(system, made(system, deal, "invoice")["key"])
    wrong()

    replay(system, deal, answers)
    system.wait_for("done", deal)

    assert standing(system, deal) == (["1"], ["2"])
    assert mailed(system, deal) == ["2"]
    carries_what_stands(system, deal)
    assert system.letter_of(deal).status is LetterStatus.REPLAYED


def test_L1__a_document_may_be_made_anew_twice_and_its_lost_answer_is_looked_for_among_its_own(
    system: System, deal: Deal, wrong: Callable[[], None]
) -> None:
    assert system.close(deal.id) == 200
    asked(system, deal, error="AmountMismatchError")
    system.sandbox.invoices.void(made(system, deal, "invoice")["key"])
    replay(system, deal)
    until(lambda: standing(system, deal)[1] == ["2"], what="the second invoice")
    asked(system, deal, error="AmountMismatchError")
    system.sandbox.invoices.delete(made(system, deal, "invoice")["key"])
    wrong()
    lost = system.sandbox.faults.add("zoho", "lost", "create_invoice", times=1)

    replay(system, deal)
    system.wait_for("done", deal)

    assert lost.hits == 1
    assert standing(system, deal) == (["1"], ["3"])
    assert mailed(system, deal) == ["3"]
    carries_what_stands(system, deal)


def test_L1__a_wrong_one_that_is_out_and_wholly_credited_is_made_anew(
    system: System, deal: Deal, wrong: Callable[[], None]
) -> None:
    """A person has sent it, or CRMSYNC_SEND_ON_CREATE: it can't be a draft any more, and its step has not ended."""
    assert system.close(deal.id) == 200
    asked(system, deal, error="AmountMismatchError")
    key, books = made(system, deal, "invoice")["key"], system.sandbox.zoho
    with books.lock:
        books.organization.invoices.mark(books.organization.invoices.docs[key], "sent")
    system.sandbox.invoices.credit(key)
    wrong()

    replay(system, deal)
    system.wait_for("done", deal)

    assert standing(system, deal) == (["1"], ["1", "2"])
    assert mailed(system, deal) == ["2"]
    carries_what_stands(system, deal)


def test_L1__one_that_stands_and_is_wrong_is_not_made_anew(
    system: System, deal: Deal, wrong: Callable[[], None]
) -> None:
    assert system.close(deal.id) == 200
    before = asked(system, deal, error="AmountMismatchError")
    wrong()

    replay(system, deal)
    until(lambda: system.letter_of(deal).failures > before.failures, what="the run stops again")

    assert standing(system, deal) == (["1"], ["1"])
    assert mailed(system, deal) == []


@pytest.mark.parametrize("take_back", ORDERS.values(), ids=ORDERS)
def test_L1__an_order_that_is_gone_is_found_and_made_anew_beside_the_invoice_that_stands(
    system: System, billed: Deal, take_back: TakeBack
) -> None:
    number = made(system, billed, "order")["number"]
    take_back(system, number)

    letter = asked(system, billed, error="DocumentGoneError")
    assert f"order {number}" in letter.cause
    assert "47,000.00 USD and was mailed" in letter.cause
    assert standing(system, billed) == ([], ["1"]), "nothing is made before a person has said so"
    assert system.run_of(billed).results["write_back"]["order_number"] == number, "what was done is still shown"

    replay(system, billed)
    system.wait_for("done", billed)

    assert standing(system, billed) == (["2"], ["1"])
    assert mailed(system, billed) == ["1"]
    carries_what_stands(system, billed)


def test_L1__what_is_left_is_not_asked_about_again(system: System, billed: Deal) -> None:
    order = made(system, billed, "order")["number"]
    system.sandbox.orders.reject(order)
    asked(system, billed, error="DocumentGoneError")

    leave(system, billed)

    assert system.run_of(billed).status is RunStatus.DONE
    with system.store.read() as uow:
        entry = uow.ledger.of_document("s4hana", "order", order)
        seen = len(uow.history.of_run(run_of_subject(uow, "compare_orders", "compare_orders").id))  # type: ignore[union-attr]
    assert entry is not None
    assert entry.state == "gone"

    def compared_again() -> bool:
        with system.store.read() as uow:
            run = run_of_subject(uow, "compare_orders", "compare_orders")
            return run is not None and len(uow.history.of_run(run.id)) > seen + 1

    until(compared_again, what="two comparisons")
    assert system.run_of(billed).status is RunStatus.DONE
    assert standing(system, billed) == ([], ["1"])


@pytest.mark.parametrize("take_back", INVOICES.values(), ids=INVOICES)
def test_L1__an_invoice_that_is_taken_back_after_all_is_done_is_asked_about(
    system: System, billed: Deal, take_back: TakeBack
) -> None:
    invoice = made(system, billed, "invoice")
    system.sandbox.invoices.pay(invoice["key"], Decimal(1000), webhook=True)
    until(lambda: paid(system, billed) == Decimal(1000), what="the payment is told")
    system.sandbox.payments.delete(system.sandbox.zoho.organization.payments.ids_of(invoice["key"])[0], webhook=True)
    until(lambda: paid(system, billed) == 0, what="its deletion is told")
    take_back(system, invoice["key"])
    wake_invoice(system, invoice["key"])

    letter = asked(system, billed, error="DocumentGoneError")
    assert f"invoice {invoice['number']} is" in letter.cause
    replay(system, billed)
    system.wait_for("done", billed)

    assert standing(system, billed) == (["1"], ["2"])
    assert mailed(system, billed) == ["1", "2"], "the customer must get the right bill"
    carries_what_stands(system, billed)

    now = made(system, billed, "invoice")
    system.sandbox.invoices.pay(now["key"], Decimal(2000), webhook=True)
    until(lambda: paid(system, billed) == Decimal(2000), what="a payment of the new one is told")
    rounds = wake_invoice(system, invoice["key"])
    until(lambda: ended(system, invoice["key"]) > rounds, what="the old one is looked at again")
    assert paid(system, billed) == Decimal(2000), "an old invoice must not overwrite what the new one says"
    assert system.run_of(billed).status is RunStatus.DONE


def test_L1__what_was_paid_on_an_invoice_that_was_replaced_unseen_does_not_stay_at_the_deal(
    system: System, billed: Deal
) -> None:
    """It was paid in part and voided, and replaced before anybody had read that it is void."""
    invoice = made(system, billed, "invoice")["key"]
    system.sandbox.invoices.pay(invoice, Decimal(1000), webhook=True)
    until(lambda: paid(system, billed) == Decimal(1000), what="the payment is told")
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")
    system.sandbox.orders.reject(made(system, billed, "order")["number"])
    system.sandbox.invoices.void(invoice)
    replay(system, billed)
    system.wait_for("done", billed)

    wake_invoice(system, invoice)

    until(lambda: paid(system, billed) == 0, what="the deal says what was paid on the new one")
    assert says(system, billed) == "Synced"


def says(system: System, deal: Deal) -> str:
    (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal.id]
    return str(row["Sync_Status__c"])


@pytest.mark.parametrize("answer", [replay, leave], ids=["made anew", "left"])
@pytest.mark.parametrize("take_back", INVOICES, ids=INVOICES)
def test_L1__an_invoice_alone_that_nobody_announces_is_missed_and_the_deal_says_so(
    system: System, billed: Deal, take_back: str, answer: Callable[[System, Deal], None]
) -> None:
    INVOICES[take_back](system, made(system, billed, "invoice")["key"])

    asked(system, billed, error="DocumentGoneError")
    until(lambda: says(system, billed) == "Needs attention", what="the seller reads that somebody must decide")
    answer(system, billed)
    system.wait_for("done", billed)

    is_new = answer is replay
    assert standing(system, billed) == (["1"], ["2"] if is_new else [])
    settled = "Synced" if is_new else {"deleted": "Invoice deleted", "voided": "Invoice void"}[take_back]
    until(lambda: says(system, billed) == settled, what=f"the deal says {settled}")


# -- what was taken back is put back

PUT_BACK: dict[str, tuple[TakeBack, TakeBack]] = {
    "order": (
        lambda system, key: system.sandbox.orders.reject(key),
        lambda system, key: system.sandbox.orders.reopen(key),
    ),
    "invoice": (
        lambda system, key: system.sandbox.invoices.void(key),
        lambda system, key: system.sandbox.invoices.unvoid(key),
    ),
}


@pytest.mark.parametrize("kind", PUT_BACK)
def test_L1__one_that_is_put_back_beside_its_successor_is_told_until_one_of_them_is_taken_back(
    system: System, billed: Deal, kind: str
) -> None:
    take_back, put_back = PUT_BACK[kind]
    old = made(system, billed, kind)
    take_back(system, old["key"])
    asked(system, billed, error="DocumentGoneError")
    replay(system, billed)
    system.wait_for("done", billed)
    assert old["number"] not in twice(system, billed), "it does not stand"

    put_back(system, old["key"])

    until(lambda: old["number"] in twice(system, billed), what="people are told of both")
    assert made(system, billed, kind)["number"] in twice(system, billed)
    assert standing(system, billed) == ((["1", "2"], ["1"]) if kind == "order" else (["1"], ["1", "2"]))
    assert system.run_of(billed).status is RunStatus.DONE
    take_back(system, old["key"])
    until(lambda: not twice(system, billed), what="the alert ends")


def twice(system: System, deal: Deal) -> str:
    """The cause of the open alert that two documents of the deal stand, "" where none is open."""
    with system.store.read() as uow:
        contents = [row.content for row in uow.alerts.open(None) if row.cause.startswith("twice:")]
    return "".join(content["cause"] for content in contents if ["Deal", deal.id] in content["facts"])


# -- the customer


def inactive(system: System, name: str, *, is_so: bool = True) -> None:
    books = system.sandbox.zoho
    with books.lock:
        contacts = books.organization.contacts
        contacts.mark(_contact(system, name), "inactive" if is_so else "active")


def merged(system: System, name: str) -> None:
    """Into another that has its name and address: its own number is no more."""
    books = system.sandbox.zoho
    with books.lock:
        contacts = books.organization.contacts
        lost = contacts.docs.pop(_contact(system, name)["contact_id"])
        key = books.organization.books.new_id()
        contacts.docs[key] = lost | {"contact_id": key}


def _contact(system: System, name: str) -> dict[str, Any]:
    docs = system.sandbox.zoho.organization.contacts.docs.values()
    return next(doc for doc in docs if doc["contact_name"] == name)


def blocked(system: System, name: str, *, is_so: bool = True) -> None:
    sap = system.sandbox.sap
    with sap.lock:
        row = next(row for row in sap.tables["A_BusinessPartner"] if row.get("BusinessPartnerFullName") == name)
        row["BusinessPartnerIsBlocked"] = is_so
        sap.tables.changed()


@pytest.mark.parametrize("stop", [inactive, blocked], ids=["inactive in the books", "blocked in the ERP"])
def test_L1__a_customer_that_was_stopped_is_named_and_its_deal_goes_on_when_it_is_free(
    system: System, stop: Callable[..., None]
) -> None:
    name = company("Stopped")
    first, second = (system.sandbox.deals.create(name) for _ in range(2))
    assert system.close(first.id) == 200
    system.wait_for("done", first)
    stop(system, name)

    assert system.close(second.id) == 200
    letter = asked(system, second, error="AmbiguousMatchError")
    assert "is blocked or inactive" in letter.cause
    replay(system, second)
    until(lambda: system.letter_of(second).failures > letter.failures, what="it is asked about once more")
    stop(system, name, is_so=False)
    replay(system, second)
    system.wait_for("done", second)

    assert standing(system, second) == (["1"], ["1"])


def test_L1__a_customer_that_was_merged_is_found_anew_at_a_replay(system: System) -> None:
    name = company("Merged")
    first, second, third = (system.sandbox.deals.create(name) for _ in range(3))
    assert system.close(first.id) == 200
    system.wait_for("done", first)
    merged(system, name)

    assert system.close(second.id) == 200
    letter = asked(system, second, error="AmbiguousMatchError")
    assert "any more, to which the account is linked" in letter.cause
    replay(system, second)
    system.wait_for("done", second)
    assert system.close(third.id) == 200
    system.wait_for("done", third)

    assert standing(system, second) == standing(system, third) == (["1"], ["1"])
    invoices = {each["reference"]: each for each in system.sandbox.ledger()["invoices"]}
    assert f"SF-{third.id}" in invoices
    contacts = [row for row in system.sandbox.ledger()["contacts"] if row["name"] == name]
    assert len(contacts) == 1, "no second customer was made"


def test_L1__a_read_that_fails_makes_nothing_gone(system: System, billed: Deal) -> None:
    """The books fail between the rejected order and the replay: nothing is concluded of it."""
    system.sandbox.orders.reject(made(system, billed, "order")["number"])
    asked(system, billed, error="DocumentGoneError")
    fault = system.sandbox.faults.add("zoho", "error", "get_invoice", times=2)

    replay(system, billed)
    system.wait_for("done", billed)

    assert fault.hits == 2
    assert standing(system, billed) == (["2"], ["1"])


def test_L1__both_gone_are_both_made_anew(system: System, billed: Deal) -> None:
    system.sandbox.invoices.void(made(system, billed, "invoice")["key"])
    system.sandbox.orders.delete(made(system, billed, "order")["number"])
    asked(system, billed, error="DocumentGoneError")

    replay(system, billed)
    system.wait_for("done", billed)

    assert standing(system, billed) == (["2"], ["2"])
    assert mailed(system, billed) == ["1", "2"]
    carries_what_stands(system, billed)


def paid(system: System, deal: Deal) -> Decimal:
    (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal.id]
    return Decimal(str(row["Payment_Amount__c"] or 0))


def wake_invoice(system: System, key: str) -> int:
    """As catch-up does when it sees that the invoice has changed. Returns how often its run had ended before."""
    from crmsync.flows import invoice_to_deal
    from crmsync.worker import starting

    rounds = ended(system, key)
    with system.store.begin() as uow:
        starting.start(uow, invoice_to_deal.FLOW, DEFAULT, key, correlation_id="c")
    return rounds


def ended(system: System, key: str) -> int:
    with system.store.read() as uow:
        run = run_of_subject(uow, "invoice_to_deal", key)
        lines = uow.history.of_run(run.id) if run else ()
    return sum((line.step, line.event) == ("write_payment", "done") for line in lines)
