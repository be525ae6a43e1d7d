"""Cases from the field: what people do to documents and deals between two looks of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from crmsync.domain.dead_letters import Answers, LetterKind
from crmsync.domain.runs import RunStatus
from crmsync.flows import order_to_invoice
from crmsync.lab.sandbox.deals import Deal
from crmsync.worker import starting
from tests.field.life import (
    announced,
    asked,
    carries_what_stands,
    change,
    company,
    give_up,
    leave,
    made,
    mailed,
    numbers,
    replay,
    standing,
    won_again,
)
from tests.system import NO_PERIODS, System, running, until

ACCEPT = Answers(accept=True)
NO_RECIPIENT = {"code": "1025", "message": "Please enter an email address for the customer."}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = NO_PERIODS | {"CRMSYNC_CATCH_UP_GRACE_SECONDS": "0"}
    with running(tmp_path_factory.mktemp("more"), "web", "worker", "beat", **settings) as made:
        yield made


def take_back(system: System, deal: Deal) -> None:
    system.sandbox.orders.reject(made(system, deal, "order")["number"])
    system.sandbox.invoices.void(made(system, deal, "invoice")["key"])


def put(system: System, deal: Deal, **fields: Any) -> None:
    with system.sandbox.salesforce.lock:
        system.sandbox.salesforce.org.update("Opportunity", deal.id, fields)


def test_L1__what_was_accepted_of_a_document_is_not_accepted_of_the_next(
    system: System, deal: Deal, wrong: Callable[[], None]
) -> None:
    """The wrong total was accepted, the mail was refused, the draft was voided: the next one is wrong again."""
    refused = system.sandbox.faults.add("zoho", "refuse", "send_invoice", times=1, **NO_RECIPIENT)
    assert system.close(deal.id) == 200
    asked(system, deal, error="AmountMismatchError")
    replay(system, deal, ACCEPT)
    until(lambda: refused.hits == 1 and system.letter_of(deal).step == "send_invoice", what="the mail is refused")
    system.wait_for("stopped", deal)
    system.sandbox.invoices.void(made(system, deal, "invoice")["key"])

    replay(system, deal)
    asked(system, deal, error="AmountMismatchError")

    assert standing(system, deal) == (["1"], ["2"])
    assert mailed(system, deal) == []


def test_L1__discarded_with_its_draft_deleted_and_closed_again(
    system: System, deal: Deal, wrong: Callable[[], None]
) -> None:
    assert system.close(deal.id) == 200
    asked(system, deal, error="AmountMismatchError")
    system.sandbox.invoices.delete(made(system, deal, "invoice")["key"])
    leave(system, deal)
    wrong()

    system.sandbox.deals.reopen(deal.id)
    assert system.close(deal.id) == 200
    letter = asked(system, deal, error="DocumentGoneError")
    assert "is gone" in letter.cause
    replay(system, deal)
    system.wait_for("done", deal)

    assert standing(system, deal) == (["1"], ["2"])
    assert mailed(system, deal) == ["2"]


@pytest.mark.parametrize("is_deleted", [True, False], ids=["deleted", "voided"])
def test_L1__a_draft_that_is_taken_back_while_its_mail_is_under_way_is_asked_about(
    system: System, deal: Deal, is_deleted: bool
) -> None:
    slow = system.sandbox.faults.add("zoho", "slow", "send_invoice", times=1, seconds=2)
    assert system.close(deal.id) == 200
    until(lambda: slow.hits == 1, what="the mail is under way")
    invoice = made(system, deal, "invoice")
    (system.sandbox.invoices.delete if is_deleted else system.sandbox.invoices.void)(invoice["key"])

    letter = asked(system, deal, error="DocumentGoneError")

    assert invoice["number"] in letter.cause
    assert mailed(system, deal) == []
    replay(system, deal)
    system.wait_for("done", deal)
    assert (standing(system, deal), mailed(system, deal)) == ((["1"], ["2"]), ["2"])


def test_L1__an_invoice_whose_answer_was_lost_and_that_was_voided_meanwhile_is_asked_about(
    system: System, deal: Deal
) -> None:
    """Who voids it before crmsync has found it does not want another, unasked."""
    system.sandbox.faults.add("zoho", "lost", "create_invoice", times=1)
    away = system.sandbox.faults.add("zoho", "error", "find_invoice")
    assert system.close(deal.id) == 200
    until(lambda: away.hits >= 1, what="it is looked for")
    (row,) = [row for row in system.sandbox.ledger()["invoices"] if deal.id in row["reference"]]
    system.sandbox.invoices.void(row["number"])
    system.sandbox.faults.clear()

    letter = asked(system, deal, error="DocumentGoneError")

    assert row["number"] in letter.cause
    assert (standing(system, deal), mailed(system, deal)) == ((["1"], []), [])
    replay(system, deal)
    system.wait_for("done", deal)
    assert (standing(system, deal), mailed(system, deal)) == ((["1"], ["2"]), ["2"])


def test_L2__lost_and_its_documents_voided_and_won_once_more(system: System, billed: Deal) -> None:
    """What was left when the deal was lost is not what is wanted when it is won again."""
    system.sandbox.deals.reopen(billed.id, stage="Closed Lost")
    assert system.sandbox.deals.announce(billed.id).status == 200
    asked(system, billed, error="DealChangedError")
    take_back(system, billed)
    leave(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE
    announced(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE, "it is lost, and nothing of it stands"

    assert system.close(billed.id) == 200
    asked(system, billed, error="DocumentGoneError")
    replay(system, billed)
    system.wait_for("done", billed)

    assert standing(system, billed) == (["2"], ["2"])
    assert mailed(system, billed) == ["1", "2"]
    carries_what_stands(system, billed)


def test_L2__its_documents_are_gone_and_that_was_left_and_then_it_is_changed(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")
    take_back(system, billed)
    leave(system, billed)
    won_again(system, billed, quantity="300")

    letter = asked(system, billed, error="DocumentGoneError")

    assert "The deal is 70,500.00 USD" in letter.cause
    replay(system, billed)
    system.wait_for("done", billed)
    assert standing(system, billed) == (["2"], ["2"])
    assert Decimal(made(system, billed, "invoice")["net"]["amount"]) == Decimal(70500)


def test_L2__accepted_and_changed_again_before_it_was_read(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")
    change(system, billed, quantity="300")
    system.sandbox.deals.close(billed.id)  # nobody tells

    replay(system, billed, ACCEPT)

    until(lambda: "70,500.00 USD" in system.letter_of(billed).cause, what="it is asked about the new figures")
    system.wait_for("stopped", billed)
    assert standing(system, billed) == (["1"], ["1"])
    replay(system, billed, ACCEPT)
    system.wait_for("done", billed)


def test_L2__accepted_and_changed_again_before_the_run_came_to_its_end(system: System, deal: Deal) -> None:
    """The answer was for the figures that were shown: its next round, which is about others, does not have it."""
    system.sandbox.faults.add("zoho", "refuse", "send_invoice", times=1, **NO_RECIPIENT)
    assert system.close(deal.id) == 200
    asked(system, deal, error="RejectedError")
    won_again(system, deal, quantity="250")
    asked(system, deal, error="DealChangedError")
    down = system.sandbox.faults.add("salesforce", "error", "update_deal")
    replay(system, deal, ACCEPT)
    until(lambda: down.hits, what="the numbers are to be written back")

    won_again(system, deal, quantity="300")
    system.sandbox.faults.clear()

    until(lambda: "70,500.00 USD" in system.letter_of(deal).cause, what="it is asked about the new figures")
    assert standing(system, deal) == (["1"], ["1"])


def test_L2__given_up_and_won_again_for_another_account(system: System, deal: Deal) -> None:
    give_up(system, deal)
    other = company("Other")
    put(system, deal, AccountId=system.sandbox.deals.create(other).account_id)

    assert system.sandbox.deals.announce(deal.id).status == 200
    asked(system, deal, error="AmbiguousMatchError")  # it has the first one's e-mail address
    replay(system, deal, ACCEPT)
    system.wait_for("done", deal)

    ledger = system.sandbox.ledger()
    (order,) = [each for each in ledger["orders"] if each["reference"] == f"SF-{deal.id}"]
    (invoice,) = [each for each in ledger["invoices"] if each["reference"] == f"SF-{deal.id}"]
    assert [each["name"] for each in ledger["customers"] if each["customer"] == order["customer"]] == [other]
    assert [each["name"] for each in ledger["contacts"] if each["id"] == invoice["customer_id"]] == [other]


def test_L2__who_mails_the_invoice_by_hand_is_not_asked_again_when_it_is_made_anew(system: System) -> None:
    deal = system.sandbox.deals.create(company("Buyer"), email=None)
    assert system.close(deal.id) == 200
    asked(system, deal, error="NoAddressError")
    replay(system, deal, ACCEPT)
    system.wait_for("done", deal)
    won_again(system, deal, quantity="250")
    asked(system, deal, error="DealChangedError")
    take_back(system, deal)

    replay(system, deal)
    system.wait_for("done", deal)

    assert (standing(system, deal), mailed(system, deal)) == ((["2"], ["2"]), [])
    carries_what_stands(system, deal)


def test_L1__a_void_invoice_that_people_put_back_is_taken_and_no_second_one_is_made(
    system: System, billed: Deal
) -> None:
    invoice = made(system, billed, "invoice")["number"]
    system.sandbox.invoices.void(invoice)
    with system.store.begin() as uow:
        starting.check_documents(uow, order_to_invoice.FLOW, system.run_of(billed).id, queued_for=timedelta(0))
    asked(system, billed, error="DocumentGoneError")
    system.sandbox.faults.add("zoho", "refuse", "create_invoice", times=1, code="1038", message="No")
    replay(system, billed)
    asked(system, billed, error="RejectedError")
    system.sandbox.invoices.unvoid(invoice)

    replay(system, billed)
    system.wait_for("done", billed)

    assert (standing(system, billed), mailed(system, billed)) == ((["1"], ["1"]), ["1"])
    assert numbers(system, billed)[1] == invoice


def test_L2__accepted_and_its_documents_were_taken_back_meanwhile(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")
    take_back(system, billed)

    replay(system, billed, ACCEPT)

    letter = asked(system, billed, error="DocumentGoneError")
    assert "was rejected" in letter.cause
    assert "is void" in letter.cause
    assert standing(system, billed) == ([], [])


def test_L2__made_anew_after_its_invoice_was_credited(system: System, billed: Deal) -> None:
    """A bill that was mailed must not be voided in many countries: a credit note takes it back."""
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")
    system.sandbox.orders.reject(made(system, billed, "order")["number"])
    invoice = made(system, billed, "invoice")["number"]
    system.sandbox.invoices.credit(invoice)

    replay(system, billed)
    system.wait_for("done", billed)

    assert (standing(system, billed), mailed(system, billed)) == ((["2"], ["1", "2"]), ["1", "2"])
    assert Decimal(made(system, billed, "invoice")["net"]["amount"]) == Decimal(58750)
    carries_what_stands(system, billed)
    announced(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE


def test_L2__put_back_when_people_had_begun_to_take_its_documents_back(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")
    system.sandbox.orders.reject(made(system, billed, "order")["number"])

    won_again(system, billed, quantity="200")

    letter = asked(system, billed, error="DocumentGoneError")
    assert "The deal is 47,000.00 USD; order" in letter.cause
    replay(system, billed)
    system.wait_for("done", billed)
    assert (standing(system, billed), mailed(system, billed)) == ((["2"], ["1"]), ["1"])


def test_L1__an_outage_is_replayed_and_nobody_was_asked(system: System, billed: Deal) -> None:
    """Who replays an outage has not seen that the order was rejected, and has not said that it be made anew."""
    system.sandbox.orders.reject(made(system, billed, "order")["number"])
    refusal = {"code": "INVALID_FIELD", "message": "No such column"}
    fault = system.sandbox.faults.add("salesforce", "refuse", "query", **refusal)
    with system.store.begin() as uow:
        starting.check_documents(uow, order_to_invoice.FLOW, system.run_of(billed).id, queued_for=timedelta(0))
    system.wait_for("stopped", billed)
    system.sandbox.faults.clear(fault_id=fault.id)
    assert system.letter_of(billed).kind is LetterKind.FAILURE

    replay(system, billed)

    asked(system, billed, error="DocumentGoneError")
    assert standing(system, billed) == ([], ["1"])


def test_L1__somebody_ordered_by_hand_what_is_to_be_made_anew(system: System, billed: Deal) -> None:
    system.sandbox.orders.reject(made(system, billed, "order")["number"])
    put(system, billed, SAP_Order_Number__c="4999")
    won_again(system, billed, quantity="250")
    system.sandbox.invoices.void(made(system, billed, "invoice")["key"])
    system.wait_for("stopped", billed)

    replay(system, billed)

    letter = asked(system, billed, error="AlreadyOrderedError")
    assert "4999" in letter.cause
    assert standing(system, billed) == ([], [])


def test_L1__somebody_billed_by_hand_under_the_same_reference(system: System, billed: Deal) -> None:
    invoices, ours = system.sandbox.zoho.organization.invoices, made(system, billed, "invoice")
    with system.sandbox.zoho.lock:
        kept = invoices.docs[ours["key"]]
        body = {"customer_id": kept["customer_id"], "reference_number": kept["reference_number"]}
        by_hand = invoices.create({**body, "line_items": [{"name": "Sensors", "rate": "47000"}]}, {})
    system.sandbox.invoices.delete(ours["key"])
    with system.store.begin() as uow:
        starting.check_documents(uow, order_to_invoice.FLOW, system.run_of(billed).id, queued_for=timedelta(0))
    asked(system, billed, error="DocumentGoneError")

    replay(system, billed)

    told = f"invoice {by_hand['invoice_number']}, which crmsync did not make, stands under its reference"
    until(lambda: told in system.letter_of(billed).cause, what="it is asked about")
    system.wait_for("stopped", billed)
    assert (standing(system, billed), mailed(system, billed)) == ((["1"], ["1"]), ["1"])
    leave(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE


def test_L1__a_foreign_number_that_was_accepted_stays_accepted(system: System, deal: Deal) -> None:
    put(system, deal, SAP_Order_Number__c="4998")
    refused = system.sandbox.faults.add("zoho", "refuse", "send_invoice", times=1, **NO_RECIPIENT)
    assert system.close(deal.id) == 200
    asked(system, deal, error="AlreadyOrderedError")
    replay(system, deal, ACCEPT)
    until(lambda: refused.hits == 1 and system.letter_of(deal).step == "send_invoice", what="the mail is refused")
    system.wait_for("stopped", deal)

    replay(system, deal)

    system.wait_for("done", deal)
    carries_what_stands(system, deal)


def test_L2__a_number_that_was_cleared_or_typed_with_zeros(system: System, billed: Deal) -> None:
    order, _ = numbers(system, billed)
    put(system, billed, SAP_Order_Number__c=f"00000{order}", Zoho_Invoice_Number__c=None)
    announced(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE


def test_L2__lost_and_all_taken_back_says_what_can_be_done(system: System, billed: Deal) -> None:
    system.sandbox.deals.reopen(billed.id, stage="Closed Lost")
    assert system.sandbox.deals.announce(billed.id).status == 200
    first = asked(system, billed, error="DealChangedError")
    take_back(system, billed)
    replay(system, billed)
    until(lambda: system.letter_of(billed).failures > first.failures, what="it is looked at")
    letter = asked(system, billed, error="DealChangedError")
    assert "discard" in letter.advice
    assert "correct the deal in the CRM, then replay" in letter.advice


def test_L2__nobody_is_asked_about_an_order_whose_answer_was_lost_and_that_was_never_made(
    system: System, deal: Deal
) -> None:
    """It is looked for under its reference: a person could not tell either, and a replay asked the same again."""
    system.sandbox.faults.add("sap", "drop", "create_order")
    assert system.close(deal.id) == 200
    system.wait_for("stopped", deal)
    leave(system, deal)
    system.sandbox.faults.clear()

    won_again(system, deal, quantity="250")
    system.wait_for("done", deal)

    assert standing(system, deal) == (["1"], ["1"])
    assert Decimal(made(system, deal, "order")["net"]["amount"]) == Decimal(58750)


def test_L2__an_order_whose_answer_was_lost_is_in_the_way_until_it_is_rejected(system: System, deal: Deal) -> None:
    system.sandbox.faults.add("sap", "lost", "create_order", times=1)
    system.sandbox.faults.add("sap", "refuse", "find_order", code="V1/555", message="Not now")
    assert system.close(deal.id) == 200
    system.wait_for("stopped", deal)
    leave(system, deal)
    system.sandbox.faults.clear()

    won_again(system, deal, quantity="250")
    assert "whose answer was lost" in asked(system, deal, error="DealChangedError").cause
    (order,) = [row for row in system.sandbox.ledger()["orders"] if deal.id in row["reference"]]
    system.sandbox.orders.reject(order["id"])
    replay(system, deal)
    asked(system, deal, error="DocumentGoneError")
    replay(system, deal)
    system.wait_for("done", deal)

    assert standing(system, deal) == (["2"], ["1"])
    assert Decimal(made(system, deal, "order")["net"]["amount"]) == Decimal(58750)
