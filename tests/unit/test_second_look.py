"""What a person is asked of a deal and its documents, and what need not be asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.ledger import Entry, EntryKey, EntryState
from crmsync.domain.money import Money
from crmsync.domain.second_look import Agreed, Comparison, Seen, foreign_numbers
from crmsync.errors import AmountMismatchError, CrmsyncError, DealChangedError, DocumentGoneError
from tests.builders import deal, line

WAS = deal()
WRONG = Document("9", "INV-7", net=Money.of("47001.00", "USD"))
VOID = replace(WRONG, is_void=True)


def changed() -> Deal:
    return deal(amount=Money.of("58750.00", "USD"), lines=(line(quantity=Decimal(250), total=Decimal(58750)),))


def seen(found: Document | None, *, state: EntryState = EntryState.CONFIRMED) -> Seen:
    entry = Entry(EntryKey("zoho_books", "invoice", "SF-1"), "r", state, document={"key": "9", "number": "INV-7"})
    return Seen(entry, "Zoho Books", found)


def review(now: Deal, *of: Seen, agreed: Deal = WAS, **options: object) -> CrmsyncError | None:
    compared = Comparison(now, Agreed(agreed.amount, agreed.customer.key, agreed, agreed.is_won), of)
    return replace(compared, **options).review("Salesforce", may_make=False)  # type: ignore[arg-type]


def test_what_was_accepted_of_an_invoice_was_accepted_of_the_deal_as_it_was() -> None:
    accepted = frozenset({"create_invoice"})
    assert review(WAS, seen(WRONG), accepted=accepted) is None
    assert isinstance(review(changed(), seen(WRONG), accepted=accepted), DealChangedError)
    assert review(changed(), seen(WRONG), goes_on=True) is None


def test_what_is_gone_and_was_left_so_is_asked_about_when_the_deal_is_wanted_anew() -> None:
    left = seen(VOID, state=EntryState.GONE)
    assert review(WAS, left) is None
    assert isinstance(review(changed(), left), DocumentGoneError)
    assert isinstance(review(WAS, left, agreed=replace(WAS, is_won=False)), DocumentGoneError)


def test_what_was_left_as_gone_and_was_put_back_is_compared_like_any_other() -> None:
    again = seen(Document("9", "INV-7", net=WAS.amount), state=EntryState.GONE)
    assert review(WAS, again) is None
    assert isinstance(review(changed(), again), DealChangedError)
    assert review(changed(), again, goes_on=True) is None


def test_an_invoice_that_is_wholly_credited_is_made_anew_only_where_it_is_wrong_and_a_person_says_so() -> None:
    credited = seen(Document("9", "INV-7", net=WAS.amount, is_mailed=True, is_credited=True))
    then = Comparison(changed(), Agreed(WAS.amount, WAS.customer.key, WAS), [credited])
    error = then.review("Salesforce", may_make=False)
    assert isinstance(error, DealChangedError)
    assert "and was mailed and is fully credited" in str(error)
    assert "Make it again: replay." in (error.advice or "")
    assert then.review("Salesforce", may_make=True) is None
    assert then.taken_back == [credited]
    assert Comparison(WAS, then.agreed, [credited]).taken_back == []


def test_an_invoice_that_was_mailed_when_it_was_made_and_is_wrong_is_taken_back_by_a_credit_note() -> None:
    """Its step has compared it, and has not ended: nothing of it was agreed."""
    credited = seen(replace(WRONG, is_mailed=True, is_credited=True))
    then = Comparison(WAS, Agreed(WAS.amount, WAS.customer.key, WAS), [credited])
    assert then.taken_back == [credited]
    assert then.review("Salesforce", may_make=True) is None
    assert isinstance(then.review("Salesforce", may_make=False), AmountMismatchError)
    assert replace(then, accepted=frozenset({"create_invoice"})).taken_back == []
    assert Comparison(WAS, then.agreed, [seen(WRONG)]).wrong == []


@pytest.mark.parametrize("is_mailed", [True, False], ids=["mailed", "draft"])
def test_an_invoice_that_was_mailed_is_said_to_be_taken_back_by_a_credit_note_as_well(is_mailed: bool) -> None:
    order = Seen(
        Entry(EntryKey("s4hana", "order", "SF-1"), "r", EntryState.CONFIRMED, document={"number": "4711"}),
        "SAP S/4HANA",
        Document("1", "4711", net=WAS.amount),
    )
    error = review(changed(), order, seen(Document("9", "INV-7", net=WAS.amount, is_mailed=is_mailed)))
    assert error is not None
    credit = " (an invoice that was mailed may be fully credited instead)" if is_mailed else ""
    wanted = f"void, reject or delete order 4711 in SAP S/4HANA and invoice INV-7 in Zoho Books{credit}, then replay."
    assert wanted in (error.advice or "")
    assert "credited" not in (error.advice if (error := review(changed(), order)) and error.advice else "")


@pytest.mark.parametrize("is_known", [True, False], ids=["whole", "reduced"])
def test_a_reading_still_says_whether_the_deal_was_won(is_known: bool) -> None:
    lost = replace(WAS, is_won=False).to_json()
    reading = lost if is_known else {name: lost[name] for name in ("key", "amount", "is_won")}
    agreed = Agreed.of(reading)
    assert agreed is not None
    assert not agreed.is_won
    assert [change.field for change in agreed.differences(WAS)] == ["won"], "one that was given up goes on"
    assert agreed.differences(replace(WAS, is_won=False)) == []


def test_a_deal_that_is_lost_is_not_advised_to_be_made_anew_as_it_is() -> None:
    error = review(replace(WAS, is_won=False), seen(VOID), problem="The deal is not won any more.")
    assert isinstance(error, DealChangedError)
    assert error.advice == (
        "Make it again: correct the deal in the CRM, then replay. Give it up: discard; a deal that was done stays done."
    )


def test_a_number_that_was_typed_by_hand_is_ours_in_whatever_form() -> None:
    (entry,) = [seen(WRONG).entry]
    assert foreign_numbers(deal(invoice_number=" inv-7"), [entry]) == {}
    assert foreign_numbers(deal(invoice_number="INV-8", order_number=""), [entry]) == {"invoice": "INV-8"}
