"""A step that nobody but its flow knows: whoever reads, lists or estimates has to do with what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import pytest

from crmsync.cli import inventory_run
from crmsync.domain.dead_letters import DeadLetter, LetterKind, LetterStatus
from crmsync.domain.kept import Learned
from crmsync.domain.steps import About
from crmsync.errors import AmbiguousMatchError
from crmsync.flows import inventory, invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.reading.costs import calls_of, most_calls_of, written_by
from crmsync.reading.flows import title_of
from crmsync.reading.letters import letter_row, takes_link
from crmsync.reading.run import whole_run
from crmsync.reading.stock import inventory_done
from crmsync.services import Services
from crmsync.web.tower.words import label
from crmsync.worker.flow import FLOWS, Flow
from tests.fakes import FakeClock
from tests.unit.web.test_stock import INVENTORY, carry_out


@dataclass(frozen=True, slots=True)
class Counted(Learned):
    """What a step of a later release learned."""

    boxes: int

    def in_short(self) -> str:
        return f"{self.boxes} boxes"

    def in_detail(self) -> list[tuple[str, str]]:
        return [("Boxes", str(self.boxes)), ("Broken", "")]


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The inventory with a fourth step, which says little of itself."""
    monkeypatch.setattr(inventory.FLOW, "steps", (*inventory.FLOW.steps, "count_boxes"))
    monkeypatch.setitem(inventory.FLOW.learns, "count_boxes", Counted)
    return inventory.FLOW


@pytest.fixture
def a_flow() -> Iterator[Flow]:
    yield Flow("boxes", subject="box", steps=("find_customer", "count_boxes"))
    del FLOWS["boxes"]


def test_a_new_step_is_shown_as_it_says(longer: Flow, services: Services, clock: FakeClock) -> None:
    run = carry_out(services, clock, "inventory", "inventory", {**INVENTORY, "count_boxes": {"boxes": 7}})

    with services.store.read() as uow:
        found = whole_run(uow, None, run.id)

    assert found is not None
    assert (found.steps[-1].name, found.steps[-1].outcome) == ("count_boxes", "7 boxes")
    assert found.figures[-1] == ("Boxes", "7")


def test_the_command_shows_a_new_step_of_the_inventory(longer: Flow, services: Services, clock: FakeClock) -> None:
    run = carry_out(services, clock, "inventory", "inventory", {**INVENTORY, "count_boxes": {"boxes": 7}})

    assert [phase.text for phase in inventory_run.phases(run)][-2:] == [
        "writing what changed: 11 written",
        "Count boxes: 7 boxes",
    ]
    assert inventory_done(run).wrote.written == 11


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("match_erp_customer", "Match ERP customer"),
        ("count_boxes", "Count boxes"),
        ("compare_orders", "Comparison of orders"),
        ("order_to_invoice", "Order to invoice"),
        ("of_another_release", "Of another release"),
    ],
)
def test_what_has_no_title_is_called_as_in_the_code(name: str, title: str) -> None:
    assert title_of(name) == label(name) == title


@pytest.mark.parametrize(
    ("flow", "least", "most", "written"),
    [
        (order_to_invoice.FLOW, {"deals": 2, "orders": 1, "invoices": 2}, 12, ["orders", "invoices", "deals"]),
        (payment_to_invoices.FLOW, {"payments": 3, "deals": 1}, 4, ["deals"]),
        (invoice_to_deal.FLOW, {"payments": 2, "deals": 1}, 3, ["deals"]),
    ],
    ids=lambda value: value.name if isinstance(value, Flow) else "",
)
def test_a_flow_costs_and_writes_what_its_steps_do(
    flow: Flow, least: dict[str, int], most: int, written: list[str]
) -> None:
    assert calls_of(flow) == least
    assert sum(most_calls_of(flow).values()) == most
    assert written_by(flow) == written


def test_a_step_that_says_nothing_costs_nothing(a_flow: Flow) -> None:
    assert (calls_of(a_flow), written_by(a_flow)) == ({}, [])


def test_a_step_that_looks_for_a_customer_may_be_told_its_number(a_flow: Flow) -> None:
    a_flow.about["find_customer"] = About(customer_of="invoices")

    looks, counts = letter_row(_letter("find_customer")), letter_row(_letter("count_boxes"))

    assert looks.command.endswith("dead-letters replay 7 --link BOOKS=NUMBER")
    assert counts.command.endswith("dead-letters replay 7 --accept")
    assert takes_link(looks.letter)


def test_a_letter_of_a_flow_that_is_gone_is_shown(services: Services) -> None:
    letter = _letter("find_customer")

    assert letter_row(letter).command.endswith("dead-letters replay 7 --accept")
    assert not takes_link(letter)


def _letter(step: str) -> DeadLetter:
    """An ambiguous customer's."""
    now = FakeClock().now
    known = {"id": 7, "flow": "boxes", "step": step, "kind": LetterKind.REVIEW, "status": LetterStatus.WAITING}
    known |= {"error": AmbiguousMatchError.__name__, "failures": 1, "created_at": now, "updated_at": now}
    others = {each.name: "" for each in fields(DeadLetter) if each.name not in known}
    return DeadLetter(**others | known)  # type: ignore[arg-type]
