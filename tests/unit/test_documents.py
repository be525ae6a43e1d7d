"""A document that differs from its deal is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crmsync.domain.documents import Document, compare_net, standing
from crmsync.domain.money import Money
from crmsync.errors import AmountMismatchError
from tests.builders import deal


@pytest.mark.parametrize(
    ("document_net", "is_same"),
    [
        (Money.of("47000.00", "USD"), True),
        (Money.of("47000.004", "USD"), True),
        (Money.of("47000.01", "USD"), False),
        (Money.of("47000.00", "EUR"), False),
        (None, False),
    ],
    ids=["equal", "equal to the cent", "a cent more", "another currency", "not said yet"],
)
def test_net_is_compared_with_net(document_net: Money | None, is_same: bool) -> None:
    document = Document("1", "INV-1", net=document_net)

    if is_same:
        compare_net(deal(), document, system="the books", kind="invoice")
        return
    with pytest.raises(AmountMismatchError, match="INV-1"):
        compare_net(deal(), document, system="the books", kind="invoice")


def test_a_wrong_bill_that_is_out_is_advised_to_be_taken_back_and_not_to_be_corrected() -> None:
    wrong = Document("1", "INV-1", net=Money.of(1, "USD"))
    with pytest.raises(AmountMismatchError) as draft:
        compare_net(deal(), wrong, system="the books", kind="invoice")
    with pytest.raises(AmountMismatchError) as out:
        compare_net(deal(), replace(wrong, is_mailed=True), system="the books", kind="invoice")

    assert draft.value.advice == "Correct the document in that system, or replay with --accept to go on as it is."
    assert out.value.advice is not None
    assert out.value.advice.startswith(
        "Void it, or credit it in full because it was mailed, and replay: another is made, or"
    )


def test_a_document_survives_its_way_through_json() -> None:
    original = Document("1", "INV-1", net=Money.of("1.10", "EUR"), total=Money.of("1.31", "EUR"))

    assert Document.from_json(original.to_json()) == original


def test_of_documents_that_are_all_void_one_is_enough_to_say_that_there_was_one() -> None:
    """Two that were made of one, and both taken back: nobody is asked for ever to void all but one of them."""
    void, other, good = Document("1", "1", is_void=True), Document("2", "2", is_void=True), Document("3", "3")
    assert standing([void, other]) == [void]
    assert standing([void, good, other]) == [good]
    assert standing([]) == []
