"""Two orders or two invoices of one deal, because people put back what they had taken back, are told and not missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import update

from crmsync.domain.documents import Document
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange
from crmsync.domain.runs import RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.flows import compare_invoices, compare_orders, order_to_invoice, put_back
from crmsync.services import Services
from crmsync.store import Store
from crmsync.store.tables import runs
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from tests.fakes import DEFAULT, FakeClock, fill_everywhere, run_of_subject
from tests.field.test_alerts_end import open_alerts

DAY = 86_400
TOTAL = Decimal("47000.00")
CONNECTIONS = {"order": "s4hana", "invoice": "zoho_books"}


class Systems:
    """An ERP and books that show the documents of *shown*, and count what they are asked."""

    system = "Elsewhere"

    def __init__(self) -> None:
        self.shown: dict[str, Document] = {}
        self.calls: list[str] = []

    def read_orders(self, keys: Sequence[str]) -> list[Document]:
        self.calls.append("list")
        return [self.shown[key] for key in keys if key in self.shown]

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        self.calls.append("list")
        for key, document in self.shown.items():
            yield InvoiceChange(key, "", since, TOTAL, TOTAL, is_void=document.is_void)

    def read_order(self, key: str) -> Document:
        self.calls.append(key)
        if key not in self.shown:
            raise RecordNotFoundError(system=self.system)
        return self.shown[key]

    read_invoice = read_order

    def change(self, key: str, **values: bool) -> None:
        self.shown[key] = replace(self.shown[key], **values)


@pytest.fixture
def systems(services: Services, monkeypatch: pytest.MonkeyPatch) -> Systems:
    made = Systems()
    fill_everywhere(monkeypatch, orders=made, invoices=made)
    return made


@pytest.fixture(params=["order", "invoice"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(store: Store, systems: Systems, kind: str, deal: str, *, generation: int = 1, is_gone: bool = False) -> str:
    """A document of the deal, which is done. Returns its id."""
    number = f"{deal}-{generation}"
    document = Document(number, number, net=Money(TOTAL, "USD"), is_void=is_gone)
    with store.begin() as uow:
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, deal, correlation_id="c")
        key = EntryKey(CONNECTIONS[kind], kind, f"SF-{number}", generation)
        uow.ledger.reserve(key, run_id, certain_at=uow.now)
        uow.ledger.confirmed(key, document.to_json())
        if is_gone:
            uow.ledger.gone(key)
        done = {"status": RunStatus.DONE.value, "title": "Acme Ltd", "amount": TOTAL, "currency": "USD"}
        uow.connection.execute(update(runs).where(runs.c.id == run_id).values(**done))
    systems.shown[number] = document
    return number


def replaced(store: Store, systems: Systems, kind: str, deal: str) -> tuple[str, str]:
    old = make(store, systems, kind, deal, is_gone=True)
    return old, make(store, systems, kind, deal, generation=2)


def look(services: Services, clock: FakeClock, kind: str, *, after_seconds: float = 3600) -> list[str]:
    """The next look of the flow. Returns the causes of what is open then."""
    clock.advance(after_seconds)
    flow: Flow = {"order": compare_orders.FLOW, "invoice": compare_invoices.FLOW}[kind]
    with services.store.begin() as uow:
        run_id, _ = flow.open_run(uow, DEFAULT, f"look at {clock()}", correlation_id="c")
        run = uow.runs.claim(run_id, flow.steps[0], first_step=flow.steps[0], lease_seconds=90)
    assert run is not None
    step = {"order": compare_orders.look_at_orders, "invoice": compare_invoices.look_at_invoices}[kind]
    step.body(Attempt(run, services, clock.now))
    with services.store.read() as uow:
        return sorted(uow.alerts.open_causes(None, "twice:"))


def test_one_that_was_put_back_beside_its_successor_is_told_with_both(
    services: Services, clock: FakeClock, systems: Systems, kind: str
) -> None:
    old, new = replaced(services.store, systems, kind, "deal-a")
    replaced(services.store, systems, kind, "deal-b")
    assert look(services, clock, kind) == []
    systems.change(old, is_void=False, is_mailed=True)

    assert look(services, clock, kind) == [f"twice:{CONNECTIONS[kind]}:{old}"]

    (alert,) = open_alerts(services)
    assert alert["headline"] == f"Two {kind}s stand for one deal"
    assert dict(alert["facts"]) == {
        "Deal": "deal-a",
        "Company": "Acme Ltd",
        "Amount": "47,000.00 USD",
        f"{kind.capitalize()}s": f"{old} and {new}",
        "System": "Elsewhere",
    }
    assert f"{kind} {old} is 47,000.00 USD and was mailed" in alert["cause"]
    assert f"{kind} {new} is 47,000.00 USD" in alert["cause"]
    assert f"{kind} {old}" in alert["advice"]


ENDS = {
    "the older is taken back": ("deal-a-1", {"is_void": True}),
    "the newer is taken back": ("deal-a-2", {"is_void": True}),
    "the older is credited": ("deal-a-1", {"is_credited": True}),
    "the older is deleted": ("deal-a-1", None),
    "the newer is deleted": ("deal-a-2", None),
}


@pytest.mark.parametrize(("key", "change"), ENDS.values(), ids=ENDS)
def test_it_ends_when_one_of_the_two_does_not_stand_any_more_however_late(
    services: Services, clock: FakeClock, systems: Systems, kind: str, key: str, change: dict[str, bool] | None
) -> None:
    old, _ = replaced(services.store, systems, kind, "deal-a")
    systems.change(old, is_void=False)
    for _ in range(2):
        assert len(look(services, clock, kind)) == 1
    clock.advance(30 * DAY)
    assert len(look(services, clock, kind)) == 1, "it is looked at for as long as it is so"
    (alert,) = open_alerts(services)

    if change is None:
        del systems.shown[key]
    else:
        systems.change(key, **change)

    assert look(services, clock, kind) == []
    assert alert not in open_alerts(services)


def test_where_nothing_was_replaced_lately_nothing_is_asked(
    services: Services, clock: FakeClock, systems: Systems, kind: str
) -> None:
    old, _ = replaced(services.store, systems, kind, "deal-a")
    make(services.store, systems, kind, "deal-b", is_gone=True)
    look(services, clock, kind)
    clock.advance(8 * DAY)
    systems.change(old, is_void=False)
    systems.calls.clear()

    assert look(services, clock, kind) == []
    assert systems.calls == []


def test_one_that_stays_as_it_is_costs_no_call_of_its_own(
    services: Services, clock: FakeClock, systems: Systems, kind: str
) -> None:
    for number in range(5):
        replaced(services.store, systems, kind, f"deal-{number}")
    look(services, clock, kind)
    systems.calls.clear()

    assert look(services, clock, kind) == []
    assert systems.calls == ["list"]


def test_the_query_finds_what_another_has_replaced_since_then_and_nothing_else(
    services: Services, clock: FakeClock, systems: Systems, kind: str
) -> None:
    store, other = services.store, {"order": "invoice", "invoice": "order"}[kind]
    replaced(store, systems, kind, "long-ago")
    make(store, systems, kind, "taken-up", is_gone=True)
    clock.advance(DAY)
    since = clock()
    replaced(store, systems, other, "of-the-other-kind")
    make(store, systems, kind, "of-the-other-kind")
    make(store, systems, kind, "not-replaced", is_gone=True)
    make(store, systems, kind, "stands")
    make(store, systems, kind, "stands", generation=2)
    make(store, systems, kind, "taken-up", generation=2, is_gone=True)
    make(store, systems, kind, "taken-up", generation=3)
    with store.begin() as uow:
        under_way = EntryKey(CONNECTIONS[kind], kind, "SF-not-replaced-2", 2)
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, "not-replaced", correlation_id="c")
        uow.ledger.reserve(under_way, run_id, certain_at=uow.now)

    with store.read() as uow:
        found = uow.ledger.replaced_since(CONNECTIONS[kind], kind, since)
        assert uow.ledger.replaced_since("elsewhere", kind, since) == []

    assert [entry.key.reference for entry in found] == ["SF-taken-up-1", "SF-taken-up-2"]


def test_one_that_is_only_just_asked_for_is_not_read(
    services: Services, clock: FakeClock, systems: Systems, kind: str
) -> None:
    old, new = replaced(services.store, systems, kind, "deal-a")
    with services.store.begin() as uow:
        run = run_of_subject(uow, order_to_invoice.FLOW.name, "deal-a")
        assert run is not None
        uow.ledger.gone(EntryKey(CONNECTIONS[kind], kind, f"SF-{new}", 2))
        uow.ledger.reserve(EntryKey(CONNECTIONS[kind], kind, "SF-deal-a-3", 3), run.id, certain_at=uow.now)
    make(services.store, systems, kind, "deal-b")
    systems.change(old, is_void=False)

    assert look(services, clock, kind) == [f"twice:{CONNECTIONS[kind]}:{old}"], "both that were made stand"
    assert "" not in systems.calls


def test_more_than_one_query_holds_are_all_read(services: Services, clock: FakeClock, systems: Systems) -> None:
    deals = [f"deal-{number:03d}" for number in range(compare_orders.AT_ONCE)]
    for deal in deals:
        replaced(services.store, systems, "order", deal)
        systems.change(f"{deal}-1", is_void=False)

    found = look(services, clock, "order", after_seconds=3600)

    assert found == [f"{put_back.FAMILY}:s4hana:{deal}-1" for deal in deals]
