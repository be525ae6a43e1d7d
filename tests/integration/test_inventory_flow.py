"""The hourly inventory, step by step, with an ERP and a catalogue that are told what they have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from celery.exceptions import Ignore
from sqlalchemy import select

from crmsync.connectors.base import JOB_LOST
from crmsync.domain.bindings import Binding
from crmsync.domain.dead_letters import DeadLetter
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.stock import Product, Rejection, StockLevel, StockRow
from crmsync.errors import NotNowError, RejectedError, VendorUnavailableError
from crmsync.flows import inventory
from crmsync.services import Services
from crmsync.store.tables import alerts, products
from crmsync.worker import dead_letters, starting
from tests.fakes import DEFAULT, FakeClock, FakeMessenger, connection_of, fill, run_of_subject
from tests.integration.test_tenants_apart import a_connection

HOUR = 3600


class Erp:
    system = "SAP S/4HANA"

    def __init__(self) -> None:
        self.rows: list[StockRow] = []
        self.materials: set[str] = set()
        self.asked: list[list[str]] = []

    def stock(self) -> Iterator[Sequence[StockRow]]:
        half = len(self.rows) // 2
        yield self.rows[:half]
        yield self.rows[half:]

    def known_materials(self, codes: Collection[str], keep_alive: Any) -> set[str]:
        self.asked.append(sorted(codes))
        return self.materials & set(codes)


class Catalogue:
    system = "Salesforce"
    bulk_above = 3

    def __init__(self) -> None:
        self.held: dict[str, Product] = {}
        self.refuses: dict[str, str] = {}
        self.written: list[list[str]] = []
        self.jobs: list[list[StockLevel]] = []
        self.looks_until_done = 1
        self.job_fails = 0
        self.reads: list[datetime | None] = []

    def has(self, *codes: str, active: bool = True) -> None:
        for code in codes:
            self.held[f"01t{code}"] = Product(f"01t{code}", code, active, None, None)

    def products(self, since: datetime | None) -> Iterator[Sequence[Product]]:
        self.reads.append(since)
        yield list(self.held.values())

    def write_levels(self, levels: Sequence[StockLevel], keep_alive: Any) -> list[Rejection]:
        keep_alive()
        self.written.append(sorted(level.code for level in levels))
        return self._apply(levels)

    def start_bulk(self, levels: Sequence[StockLevel], keep_alive: Any) -> str:
        keep_alive()
        self.jobs.append(list(levels))
        return f"750{len(self.jobs)}"

    def bulk_rejections(self, job_key: str, keep_alive: Any) -> list[Rejection] | None:
        if self.job_fails:
            self.job_fails -= 1
            raise VendorUnavailableError("The job failed.", system=self.system, code=JOB_LOST)
        if self.looks_until_done:
            self.looks_until_done -= 1
            return None
        return self._apply(self.jobs[int(job_key[3:]) - 1])

    def _apply(self, levels: Sequence[StockLevel]) -> list[Rejection]:
        for level in levels:
            if level.product_key not in self.refuses:
                held = self.held[level.product_key]
                self.held[level.product_key] = Product(
                    held.key, held.code, held.is_active, level.available, level.is_low
                )
        refused = [level.product_key for level in levels if level.product_key in self.refuses]
        return [Rejection(key, self.refuses[key]) for key in refused]

    def says(self) -> dict[str, tuple[Decimal | None, bool | None]]:
        return {product.code: (product.available, product.is_low) for product in self.held.values()}


@pytest.fixture
def erp() -> Erp:
    return Erp()


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)


@pytest.fixture(autouse=True)
def connected(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    fill(services, stock=erp, catalogue=catalogue)


def run_of(services: Services) -> Run:
    with services.store.read() as uow:
        run = run_of_subject(uow, "inventory", "inventory")
    assert run is not None
    return run


def step(services: Services, name: str) -> None:
    getattr(inventory, name).execute(run_of(services).id)


def start(services: Services) -> None:
    with services.store.begin() as uow:
        starting.start(uow, inventory.FLOW, DEFAULT, "inventory", correlation_id="c")


def take_stock(services: Services) -> dict[str, Any]:
    """One inventory; what its last step learned."""
    start(services)
    for name in inventory.FLOW.steps:
        step(services, name)
    run = run_of(services)
    assert run.status is RunStatus.DONE
    return dict(run.results["write_levels"])


def digests(services: Services) -> list[dict[str, Any]]:
    with services.store.read() as uow:
        return [dict(row.content) for row in uow.connection.execute(select(alerts).order_by(alerts.c.id))]


def stocked(erp: Erp, **quantities: int) -> None:
    erp.rows = [StockRow(code, Decimal(quantity), "PC") for code, quantity in quantities.items()]


def test_stock_is_summed_over_places_and_matched_whatever_zeros_and_case(
    services: Services, erp: Erp, catalogue: Catalogue
) -> None:
    catalogue.has("4711", "tg11", "TG12")
    erp.rows = [
        StockRow("000000000000004711", Decimal("7.50000000000000"), "PC"),
        StockRow("4711", Decimal(5), "PC"),
        StockRow("TG11", Decimal(9), "PC"),
        StockRow("TG12", Decimal(-2), "PC"),
        StockRow("ONLY-IN-SAP", Decimal(1), "PC"),
    ]

    take_stock(services)

    assert catalogue.says() == {"4711": (Decimal("12.5"), False), "tg11": (9, True), "TG12": (-2, True)}


def test_only_what_changed_is_written(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    catalogue.has("A", "B", "C")
    stocked(erp, A=10, B=20, C=30)
    take_stock(services)
    stocked(erp, A=10, B=21, C=30)

    outcome = take_stock(services)

    assert catalogue.written == [["A", "B", "C"], ["B"]]
    assert (outcome["changed"], outcome["written"]) == (1, 1)


def test_what_the_catalogue_holds_is_compared_once_a_day(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A")
    stocked(erp, A=10)
    take_stock(services)
    somebody = Product("01tA", "A", True, Decimal(999), False)
    catalogue.held["01tA"] = somebody

    clock.advance(HOUR)
    take_stock(services)
    assert catalogue.held["01tA"] == somebody, "hourly our own last write counts"
    clock.advance(24 * HOUR)
    take_stock(services)

    assert catalogue.held["01tA"].available == 10
    assert [since is None for since in catalogue.reads] == [True, False, True]


def test_a_row_that_is_refused_stops_no_other_and_is_tried_again(
    services: Services, erp: Erp, catalogue: Catalogue
) -> None:
    catalogue.has("A", "B")
    catalogue.refuses["01tA"] = "ENTITY_IS_LOCKED: is locked"
    stocked(erp, A=10, B=20)

    outcome = take_stock(services)
    assert (outcome["refused"], outcome["reasons"]) == (1, {"ENTITY_IS_LOCKED: is locked": 1})
    assert catalogue.says()["B"] == (20, False)

    again = take_stock(services)
    assert catalogue.written[-1] == ["A"]
    assert again["newly_refused"] == 0, "people know of it"
    catalogue.refuses.clear()
    take_stock(services)
    assert catalogue.says()["A"] == (10, False)
    with services.store.read() as uow:
        assert uow.products.known_problems("salesforce") == {}


def test_the_digest_of_one_company_closes_none_of_another(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    """Each has its own, also where both catalogues were read at the same moment."""
    theirs = _second_company(services, erp, catalogue)
    for each in (catalogue, theirs):
        each.has("A")
    stocked(erp, A=1)
    _take_stock_of_all(services)
    both = {("default", "salesforce"), ("acme", "con_crm")}
    assert _open_digests(services) == both

    catalogue.has("B")
    clock.advance(HOUR)
    _take_stock_of_all(services)
    assert _open_digests(services) == both, "a newer digest takes the place of its own company's only"


def _second_company(services: Services, erp: Erp, catalogue: Catalogue) -> Catalogue:
    """Another tenant, whose inventory reads the same quantities; its catalogue."""
    theirs = Catalogue()
    ours = {connection_of("stock"): erp, connection_of("catalogue"): catalogue}
    services._connect = {**ours, "con_erp": erp, "con_crm": theirs}.__getitem__
    with services.store.begin() as uow:
        uow.connections.add(a_connection("acme", "con_crm", uow), sealed="", key_id="")
        bound = Binding("acme", "inventory", "con_crm", {"catalogue": "con_crm", "stock": "con_erp"}, {})
        assert uow.bindings.add(bound)
    services.companies.forget()
    return theirs


def _take_stock_of_all(services: Services) -> None:
    for company in services.companies.all(inventory.FLOW.bound_as):
        with services.store.begin() as uow:
            to_enqueue = starting.start(uow, inventory.FLOW, company, "inventory", correlation_id="c")
        assert to_enqueue is not None
        for name in inventory.FLOW.steps:
            getattr(inventory, name).execute(to_enqueue[0])


def _open_digests(services: Services) -> set[tuple[str, str]]:
    """The tenant and the connection of each."""
    with services.store.read() as uow:
        return {(row.tenant, row.connection) for row in uow.alerts.open(None)}


def test_one_digest_tells_what_became_low_and_not_again_what_is_low(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    names = [f"P{number:02d}" for number in range(12)]
    catalogue.bulk_above = 100
    catalogue.has(*names, "FULL")
    stocked(erp, **{name: number % 9 for number, name in enumerate(names)}, FULL=10)

    outcome = take_stock(services)
    clock.advance(HOUR)
    take_stock(services)

    (digest,) = digests(services)
    assert outcome["newly_low"] == 12
    assert digest["headline"] == "12 products are low on stock"
    assert digest["cause"].startswith("Less than 10 left: P00: 0, P09: 0, P01: 1, P10: 1")
    assert "and 2 more" in digest["cause"]
    assert "/stock" in digest["advice"]
    stocked(erp, **dict.fromkeys(names, 50), FULL=9)
    clock.advance(HOUR)
    take_stock(services)
    assert [each["headline"] for each in digests(services)] == [digest["headline"], "1 product is low on stock"]


def test_an_unknown_code_is_told_once_and_a_known_one_without_stock_has_none(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A", "EMPTY", "TYPO")
    stocked(erp, A=10)
    erp.materials = {"EMPTY"}

    take_stock(services)
    clock.advance(HOUR)
    take_stock(services)

    assert erp.asked == [["EMPTY", "TYPO"]], "hourly nobody is asked again"
    assert catalogue.says()["EMPTY"] == (0, True)
    assert catalogue.says()["TYPO"] == (None, None)
    (digest,) = digests(services)
    assert "No such material: TYPO." in digest["cause"]
    clock.advance(24 * HOUR)
    take_stock(services)
    assert erp.asked[1] == ["TYPO"], "daily it is"
    assert len(digests(services)) == 1


def test_a_product_whose_stock_is_gone_has_none(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    catalogue.has("A", "B")
    stocked(erp, A=10, B=5)
    take_stock(services)
    stocked(erp, A=10)

    take_stock(services)

    assert catalogue.says()["B"] == (0, True)
    assert erp.asked == []


def test_no_stock_at_all_is_not_believed_until_a_person_accepts_it(
    services: Services, erp: Erp, catalogue: Catalogue
) -> None:
    catalogue.has("A")
    stocked(erp, A=10)
    take_stock(services)
    erp.rows = []
    start(services)
    step(services, "read_catalogue")

    with pytest.raises(Exception, match="lists no stock at all"):
        step(services, "read_stock")

    assert catalogue.says()["A"] == (10, False)
    assert letter_of(services).step == "read_stock"


def letter_of(services: Services) -> DeadLetter:
    with services.store.read() as uow:
        letter = uow.dead_letters.of_run(run_of(services).id)
    assert letter is not None
    return letter


def test_stock_in_several_units_is_not_added_up(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    catalogue.has("A", "B")
    erp.rows = [StockRow("A", Decimal(5), "PC"), StockRow("A", Decimal(2), "BOX"), StockRow("B", Decimal(50), "PC")]

    take_stock(services)

    assert catalogue.says() == {"A": (None, None), "B": (50, False)}
    with services.store.read() as uow:
        assert uow.products.known_problems("salesforce") == {"01tA": "its stock is counted in several units"}


def test_a_row_of_nothing_in_another_unit_does_not_matter(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    catalogue.has("A")
    erp.rows = [StockRow("A", Decimal(0), ""), StockRow("A", Decimal(15), "PC"), StockRow("A", Decimal(0), "BOX")]

    take_stock(services)

    assert catalogue.says() == {"A": (15, False)}


def test_products_whose_units_are_mixed_are_told_of_once(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A")
    erp.rows = [StockRow("A", Decimal(5), "PC"), StockRow("A", Decimal(2), "BOX")]

    take_stock(services)
    clock.advance(HOUR)
    take_stock(services)

    (digest,) = digests(services)
    assert "its stock is counted in several units: 1" in digest["cause"]


def test_a_look_at_a_job_that_failed_starts_no_second_job(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.has("A", "B", "C", "D")
    stocked(erp, A=1, B=2, C=3, D=4)
    start(services)
    step(services, "read_catalogue")
    step(services, "read_stock")
    with pytest.raises(NotNowError):
        step(services, "write_levels")
    clock.advance(10)
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "bulk_rejections", unavailable)
        with pytest.raises(VendorUnavailableError):
            step(services, "write_levels")
    clock.advance(60)
    catalogue.looks_until_done = 0

    step(services, "write_levels")

    assert len(catalogue.jobs) == 1


def unavailable(*_: Any) -> None:
    raise VendorUnavailableError("Salesforce answered 503.", system="Salesforce", code="HTTP 503")


def test_products_that_are_not_sold_any_more_are_left_alone(services: Services, erp: Erp, catalogue: Catalogue) -> None:
    catalogue.has("A")
    catalogue.has("OLD", active=False)
    stocked(erp, A=10, OLD=10)

    take_stock(services)

    assert catalogue.written == [["A"]]


def test_many_changes_go_into_a_job_for_which_nobody_waits(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A", "B", "C", "D")
    catalogue.refuses["01tD"] = "DUPLICATE_VALUE: must be unique"
    stocked(erp, A=1, B=2, C=3, D=4)
    start(services)
    step(services, "read_catalogue")
    step(services, "read_stock")

    for wait in (2, 4):
        with pytest.raises(NotNowError):
            step(services, "write_levels")
        with pytest.raises(Ignore):
            step(services, "write_levels")
        clock.advance(wait)
    step(services, "write_levels")

    assert len(catalogue.jobs) == 1
    outcome = run_of(services).results["write_levels"]
    assert (outcome["written"], outcome["refused"]) == (3, 1)
    assert take_stock_again(services, catalogue) == ["D"]


def take_stock_again(services: Services, catalogue: Catalogue) -> list[str]:
    take_stock(services)
    return catalogue.written[-1]


def test_a_job_that_failed_is_started_again(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock
) -> None:
    catalogue.has("A", "B", "C", "D")
    stocked(erp, A=1, B=2, C=3, D=4)
    catalogue.job_fails, catalogue.looks_until_done = 1, 0
    start(services)
    step(services, "read_catalogue")
    step(services, "read_stock")

    for error in (NotNowError, VendorUnavailableError, NotNowError):
        with pytest.raises(error):
            step(services, "write_levels")
        clock.advance(10)
    step(services, "write_levels")

    assert len(catalogue.jobs) == 2
    assert run_of(services).status is RunStatus.DONE


def test_a_killed_worker_costs_a_step_and_nothing_is_told_twice(
    services: Services, erp: Erp, catalogue: Catalogue, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.has("A", "B")
    stocked(erp, A=1, B=2)
    start(services)
    step(services, "read_catalogue")
    step(services, "read_stock")
    with services.store.begin() as uow:
        assert uow.runs.claim(run_of(services).id, "write_levels", lease_seconds=60)
    clock.advance(61)

    step(services, "write_levels")

    assert len(digests(services)) == 1
    assert catalogue.says() == {"A": (1, True), "B": (2, True)}


def test_what_a_catalogue_refuses_as_a_whole_reaches_a_person(
    services: Services, erp: Erp, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, messenger: FakeMessenger
) -> None:
    catalogue.has("A")
    stocked(erp, A=10)

    def refuse(*_: Any) -> list[Rejection]:
        raise RejectedError("Salesforce lacks a field.", system="Salesforce", field_errors={"Available_Stock__c": "?"})

    monkeypatch.setattr(catalogue, "write_levels", refuse)
    start(services)
    for name in ("read_catalogue", "read_stock"):
        step(services, name)
    with pytest.raises(RejectedError):
        step(services, "write_levels")

    assert digests(services)[0]["headline"] == "Inventory must be corrected"
    monkeypatch.undo()


def test_the_next_hour_starts_over_after_an_hour_that_failed(
    services: Services, erp: Erp, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.has("A")
    stocked(erp, A=10)
    start(services)
    step(services, "read_catalogue")
    with services.store.begin() as uow:
        run = uow.runs.claim(run_of(services).id, "read_stock", lease_seconds=60)
        assert run is not None
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, VendorUnavailableError(system="SAP S/4HANA"))

    take_stock(services)

    assert catalogue.says()["A"] == (10, False)
    with services.store.read() as uow:
        assert uow.dead_letters.waiting_count(None) == 0
        assert uow.connection.execute(select(products.c.is_known)).scalar()
