"""What a step learned, as another release reads and writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import crmsync.flows  # noqa: F401 - declares what each step learns
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.kept import Kept
from crmsync.domain.learned import CustomerMatched, DealInShort, DealRead, InvoiceRead, OrderMade
from crmsync.domain.money import Money
from crmsync.domain.second_look import Agreed
from crmsync.errors import NewerReleaseError
from crmsync.worker.flow import FLOWS
from tests.builders import deal, line

MONEY = {"amount": "47000.00", "currency": "USD"}
DOCUMENT = {"key": "4711", "number": "4711"}
# What the first release has written of each step. A field that is added has a default, and does not stand here.
FIRST: Mapping[str, Mapping[str, Any]] = {
    "fetch_deal": {
        "key": "006A",
        "name": "200 sensors",
        "is_won": True,
        "amount": MONEY,
        "customer": {"key": "001A", "name": "Acme Ltd"},
        "lines": [
            {
                "key": "00kA",
                "product_code": "SENSOR-100",
                "description": "Sensor",
                "quantity": "200",
                "unit_price": "235.00",
                "total": "47000.00",
            }
        ],
    },
    "match_erp_customer": {"customer_key": "1000001"},
    "create_order": DOCUMENT,
    "match_books_customer": {"customer_key": "46000001"},
    "create_invoice": DOCUMENT,
    "send_invoice": {"invoice": "INV-1"},
    "write_back": {"order_number": "4711", "invoice_number": "INV-1", "status": "Synced"},
    "find_invoices": {"ours": ["4600001"], "foreign": 0, "is_gone": False},
    "read_invoice": {
        "read_at": "2026-11-20T09:15:00+00:00",
        "deal": "006A",
        "number": "INV-1",
        "balance": "7.00",
        "is_void": False,
        "figures": {"is_received": False, "amount": MONEY, "paid_on": "2026-11-19"},
    },
    "read_catalogue": {"products": 7},
    "read_stock": {"materials": 7},
    "write_levels": {"changed": 3},
    "look_for_deals": {"seen": 3, "healed": 1},
    "look_for_payments": {"seen": 3, "healed": 1},
    "look_at_orders": {"seen": 3, "changed": 1},
    "look_at_invoices": {"seen": 3, "changed": 1},
    "tell_seller": {},
}
LEARNS = {
    step: kind for flow in FLOWS.values() if not flow.name.startswith("watched") for step, kind in flow.learns.items()
}


def with_more(value: Any) -> Any:
    """As a newer release may write it: with a key more at every level."""
    if isinstance(value, Mapping):
        return {name: with_more(each) for name, each in value.items()} | {"of_a_newer_release": {"deep": [1]}}
    return [with_more(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("step", FIRST)
def test_what_the_first_release_has_written_is_read(step: str) -> None:
    kind = LEARNS[step]

    read = kind.from_json(FIRST[step])

    assert FIRST[step].items() <= json.loads(json.dumps(_bare(read.to_json(), FIRST[step]))).items()


def _bare(value: Any, like: Any) -> Any:
    """*value* with the keys of *like* only, at every level."""
    if isinstance(like, Mapping):
        return {name: _bare(value[name], each) for name, each in like.items()}
    if isinstance(like, list):
        return [_bare(*pair) for pair in zip(value, like, strict=True)]
    return value


@pytest.mark.parametrize("step", FIRST)
def test_what_a_newer_release_has_added_is_dropped_at_every_level(step: str) -> None:
    kind = LEARNS[step]

    assert kind.from_json(with_more(FIRST[step])) == kind.from_json(FIRST[step])


def test_each_step_that_learns_something_is_looked_at_here() -> None:
    assert set(LEARNS) == set(FIRST)


def test_all_that_is_learned_comes_back_with_its_types() -> None:
    at = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
    read = DealRead.of(
        deal(lines=(line(), line(total=Decimal("1.005"))), created_at=at, is_mailed_by_hand=True),
        generations={"order": 2},
        foreign=("INV-77",),
        by_person=True,
    )

    kept = json.loads(json.dumps(read.to_json()))

    assert kept["v"] == 1
    assert DealRead.from_json(kept) == read
    assert Deal.from_json(kept) == replace(deal(), lines=read.lines, created_at=at, is_mailed_by_hand=True)


def test_what_belongs_to_the_moment_of_reading_is_not_kept() -> None:
    read = Document("4711", "4711", Money.of(1, "USD"), is_void=True, is_credited=True, is_in_hand=True, holds=("x",))

    made = OrderMade.of(read, customer="001A")

    assert OrderMade.from_json(made.to_json()) == replace(made, is_void=False, is_credited=False, is_in_hand=False)


def test_a_version_that_is_not_known_is_not_guessed_at() -> None:
    newer = CustomerMatched("1000001").to_json() | {"v": 2}

    with pytest.raises(NewerReleaseError):
        CustomerMatched.from_json(newer)
    with pytest.raises(NewerReleaseError):
        Agreed.of(DealRead.of(deal()).to_json() | {"v": 2})
    assert CustomerMatched.peek(newer) is None
    assert not CustomerMatched.can_read(newer | {"v": "2"})


@pytest.mark.parametrize("value", [None, [], {}, {"customer_key": "1"}, FIRST["read_invoice"] | {"read_at": "soon"}])
def test_who_only_looks_is_not_stopped_by_what_can_not_be_read(value: Any) -> None:
    assert InvoiceRead.peek(value) is None


def test_of_a_deal_that_was_reduced_what_stayed_is_read() -> None:
    kept = {"v": 1, "key": "006A", "amount": MONEY, "is_won": False, "customer": {"key": "001A"}}

    short = DealInShort.from_json(kept)

    assert (short.amount, short.customer.key, short.is_won) == (Money.of("47000.00", "USD"), "001A", False)
    assert Agreed.of(kept) == Agreed(Money.of("47000.00", "USD"), "001A", None, is_won=False)


def test_a_type_without_a_form_is_refused_when_it_is_declared_to_be_kept() -> None:
    @dataclass(frozen=True)
    class Odd(Kept):
        what: complex = 0j

    with pytest.raises(TypeError, match="has no form"):
        Odd().to_json()


@pytest.mark.parametrize("step", FIRST)
def test_what_the_first_release_wrote_can_be_told(step: str) -> None:
    found = LEARNS[step].peek(FIRST[step])

    assert found is not None
    assert isinstance(found.in_short(), str)
    assert all(isinstance(value, str) for _, value in found.in_detail())


def test_what_says_nothing_of_itself_is_not_shown() -> None:
    """It may hold persons."""
    read = DealRead.of(deal())

    assert (read.in_short(), list(read.in_detail())) == ("", [])
