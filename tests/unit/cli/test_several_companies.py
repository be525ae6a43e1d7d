"""What a command does where there are two companies: for the one that is named, and for none that is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from crmsync import bindings, connections
from crmsync.cli import inventory_run
from crmsync.connectors import registry
from crmsync.connectors.base import Check
from crmsync.connectors.limits.shared_budget import SharedBudget
from crmsync.domain.audit import Act, Origin
from crmsync.domain.catch_up import WonDeal
from crmsync.domain.connections import Wanted
from crmsync.domain.links import Link
from crmsync.domain.money import Money
from crmsync.domain.runs import RunStatus
from crmsync.domain.stock import Product, StockRow
from crmsync.errors import AmbiguousMatchError
from crmsync.flows import order_to_invoice
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.worker import dead_letters
from crmsync.worker.flow import Flow
from tests.fakes import FakeCustomers
from tests.unit.cli.test_up import CONFIGURED

ADA = Act("ada", Origin.CLI, "two companies")
SYSTEMS = ("salesforce", "s4hana", "zoho_books")
ACCOUNT, DEAL = "001xx000003DGb2AAG", "006xx0000012abcAAA"
NUMBERS = "crm_id,erp_customer,books_customer"


class House(FakeCustomers):
    """A CRM, an ERP and books in one, which knows every account and number, and whose catalogue has one product."""

    bulk_above = 100

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.deals: list[WonDeal] = []
        self.written: list[str] = []

    def won_deals(self, since: Any, until: Any) -> Iterator[list[WonDeal]]:
        yield self.deals

    def changed_payments(self, since: Any) -> Iterator[list[Any]]:
        return iter(())

    changed_invoices = changed_payments

    def products(self, since: Any) -> Iterator[list[Product]]:
        yield [Product("01tCABLE", "CABLE", True, None, None)]

    def stock(self) -> Iterator[list[StockRow]]:
        yield [StockRow("CABLE", Decimal(3))]

    def known_materials(self, codes: Any, keep_alive: Any) -> set[str]:
        return set(codes)

    def write_levels(self, levels: Any, keep_alive: Any) -> list[Any]:
        self.written += [level.code for level in levels]
        return []


@pytest.fixture
def houses(monkeypatch: pytest.MonkeyPatch) -> dict[str, House]:
    """By the tenant whose connections lead there."""
    return {"default": House("Ours"), "acme": House("Theirs")}


@pytest.fixture
def acme(store: Store, houses: dict[str, House], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The connections of a second company, by system; the environment has one as well."""
    for name, value in {**CONFIGURED, "REDIS_URL": "redis://127.0.0.1:1/0"}.items():
        monkeypatch.setenv(name, value)
    using = Services(Settings.from_env(), store)
    made = {}
    for system in SYSTEMS:
        known = {each.name: CONFIGURED.get(each.variable) for each in registry.system(system).declared}
        wanted = Wanted(name=system, settings={name: value for name, value in known.items() if value})
        with store.begin() as uow:
            made[system] = connections.create(using, uow, ADA, "acme", system, wanted).id
    crm, erp, books = made.values()
    for flow, roles in (
        ("order_to_invoice", {"deals": crm, "orders": erp, "invoices": books}),
        ("payments", {"payments": books, "deals": crm}),
        ("inventory", {"catalogue": crm, "stock": erp}),
    ):
        with store.begin() as uow:
            bindings.put(using, uow, ADA, "acme", flow, roles, options={"go_live": "2026-01-01"})
    theirs = set(made.values())
    monkeypatch.setattr(
        Services, "connector", lambda _, connection, role="": houses["acme" if connection in theirs else "default"]
    )
    monkeypatch.setattr(Flow, "enqueue", lambda *_: None)
    monkeypatch.setattr(dead_letters, "best_effort", lambda send: True)
    return made


Run = Callable[..., Result]


def refused(result: Result, acme: dict[str, str]) -> bool:
    """Whether it says which companies there are, and that one is to be named."""
    return result.exit_code == 2 and all(word in result.stderr for word in ("acme", "default", "--tenant"))


def links_of(store: Store, source: str) -> set[tuple[str, str]]:
    with store.read() as uow:
        return {(link.connection, link.key) for link in uow.links.of_account(source, ACCOUNT)}


def audited(store: Store) -> tuple[str, str]:
    with store.read() as uow:
        (last,) = uow.audit.newest(None, limit=1)
    return last.verb, last.tenant


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "customers.csv"
    path.write_text(f"{NUMBERS}\n{ACCOUNT},1000123,46000000001\n")
    return str(path)


def test_links_are_imported_for_the_company_that_is_named(
    run_cli: Run, store: Store, acme: dict[str, str], file: str
) -> None:
    assert refused(run_cli("links", "import", file), acme)

    assert run_cli("links", "import", file, "--tenant", "acme").exit_code == 0

    assert links_of(store, acme["salesforce"]) == {(acme["s4hana"], "1000123"), (acme["zoho_books"], "46000000001")}
    assert links_of(store, "salesforce") == set()
    assert audited(store) == ("link.set", "acme")


def test_a_link_of_one_company_is_taken_back_and_that_of_another_stays(
    run_cli: Run, store: Store, acme: dict[str, str]
) -> None:
    with store.begin() as uow:
        uow.links.put(Link("s4hana", "salesforce", ACCOUNT, "1", "imported"))
        uow.links.put(Link(acme["s4hana"], acme["salesforce"], ACCOUNT, "2", "imported"))

    assert refused(run_cli("links", "remove", ACCOUNT, "--yes"), acme)
    assert run_cli("links", "remove", ACCOUNT, "--yes", "--connection", acme["salesforce"]).exit_code == 0

    assert (links_of(store, acme["salesforce"]), links_of(store, "salesforce")) == (set(), {("s4hana", "1")})
    assert audited(store) == ("link.remove", "acme")
    listed = json.loads(run_cli("links", "list", "--tenant", "acme", "--json").stdout)
    assert listed == []


def test_a_customer_is_forgotten_by_the_company_that_is_named(run_cli: Run, store: Store, acme: dict[str, str]) -> None:
    with store.begin() as uow:
        uow.links.put(Link("s4hana", "salesforce", ACCOUNT, "1", "imported", name="Beta Ltd"))
        uow.links.put(Link(acme["s4hana"], acme["salesforce"], ACCOUNT, "2", "imported", name="Beta Ltd"))

    assert refused(run_cli("forget", ACCOUNT, "--yes"), acme)
    assert run_cli("forget", "ERP=2", "--yes", "--tenant", "acme").exit_code == 0

    with store.read() as uow:
        names = {link.source: link.name for link in uow.links.customers(None)}
    assert names == {"salesforce": "Beta Ltd", acme["salesforce"]: ""}
    assert audited(store) == ("customer.forget", "acme")


def runs_of(store: Store, flow: str) -> set[tuple[str, str]]:
    with store.read() as uow:
        return {(run.tenant, run.source) for run in uow.runs.newest(None, limit=100) if run.flow == flow}


def test_catch_up_starts_what_the_company_that_is_named_has_missed(
    run_cli: Run, store: Store, acme: dict[str, str], houses: dict[str, House]
) -> None:
    changed_at = store.clock() - timedelta(hours=1)
    for house in houses.values():
        house.deals = [WonDeal(DEAL, "Acme Ltd", "sensors", Money.of("100.00", "USD"), changed_at, won_at=changed_at)]

    assert refused(run_cli("catch-up", "--yes"), acme)
    found = json.loads(run_cli("catch-up", "--yes", "--tenant", "acme", "--json").stdout)

    assert (found["started"], found["not_looked_at"]) == (1, [])
    assert found["calls"]["at_least"].keys() == {"SAP S/4HANA", "Salesforce", "Zoho Books"}
    assert runs_of(store, "order_to_invoice") == {("acme", acme["salesforce"])}
    assert audited(store) == ("catch-up.start", "acme")


def test_catch_up_of_a_connection_looks_there_alone(
    run_cli: Run, store: Store, acme: dict[str, str], houses: dict[str, House]
) -> None:
    found = json.loads(run_cli("catch-up", "--dry-run", "--connection", acme["zoho_books"], "--json").stdout)

    assert found["not_looked_at"] == ["order_to_invoice"]
    assert run_cli("catch-up", "--dry-run", "--connection", "con_nobody").exit_code == 2


def test_an_inventory_is_that_of_the_company_that_is_named(
    run_cli: Run, store: Store, acme: dict[str, str], houses: dict[str, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_run, "LOOK_SECONDS", 0.01)

    assert refused(run_cli("inventory", "run"), acme)
    found = json.loads(run_cli("inventory", "run", "--tenant", "acme", "--json").stdout)

    assert (found["products"], found["written"]) == (1, 1)
    assert (houses["acme"].written, houses["default"].written) == (["CABLE"], [])
    assert runs_of(store, "inventory") == {("acme", acme["salesforce"])}

    def shown(*words: str) -> int:
        return json.loads(run_cli("inventory", "show", "--json", *words).stdout)["counts"]["active"]

    assert (shown(), shown("--tenant", "acme"), shown("--tenant", "default")) == (1, 1, 0)
    assert (shown("--connection", acme["salesforce"]), shown("--connection", "salesforce")) == (1, 0)


def test_limits_are_those_of_stored_connections_too(
    run_cli: Run, acme: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedBudget, "states", lambda _: [])
    monkeypatch.setattr(SharedBudget, "pause_left_seconds", lambda _: 0.0)

    def shown(*words: str) -> set[tuple[str, str]]:
        found = json.loads(run_cli("limits", "--json", *words).stdout)
        return {(each["tenant"], each["connection"]) for each in found}

    theirs = {("acme", each) for each in acme.values()}
    assert shown() == theirs | {("default", each) for each in SYSTEMS}
    assert shown("--tenant", "acme") == theirs


def test_the_doctor_examines_the_stored_connections_that_are_named(
    run_cli: Run, acme: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Services, "examine", lambda *_: iter([Check("sign-in", True)]))

    def areas(*words: str) -> list[str]:
        checks = json.loads(run_cli("doctor", "--json", *words).stdout)["checks"]
        return list(dict.fromkeys(each["area"] for each in checks))

    assert areas("--connection", acme["s4hana"]) == [f"acme: s4hana ({acme['s4hana']})"]
    assert areas("--tenant", "acme") == [f"acme: {each} ({acme[each]})" for each in sorted(SYSTEMS)]
    assert run_cli("doctor", "--connection", "con_nobody").exit_code == 2


def start(store: Store, tenant: str, key: str = DEAL) -> str:
    using = Services(Settings.from_env(), store)
    company = using.companies.one("order_to_invoice", "deals", tenant=tenant)
    with store.begin() as uow:
        return order_to_invoice.FLOW.open_run(uow, company, key, correlation_id="c")[0]


def test_of_two_runs_for_the_same_id_that_of_the_company_is_shown(
    run_cli: Run, store: Store, acme: dict[str, str]
) -> None:
    ours, theirs = start(store, "default"), start(store, "acme")

    both = json.loads(run_cli("runs", "show", DEAL, "--json").stdout)
    assert {(each["id"], each["tenant"]) for each in both} == {(ours, "default"), (theirs, "acme")}
    assert "acme" in run_cli("runs", "show", DEAL).stdout
    assert json.loads(run_cli("runs", "show", DEAL, "--tenant", "acme", "--json").stdout)["id"] == theirs
    listed = json.loads(run_cli("runs", "list", "--tenant", "acme", "--json").stdout)
    assert [each["id"] for each in listed] == [theirs]


def test_a_customer_that_is_named_for_a_dead_letter_is_one_of_its_own_companys_systems(
    run_letters: Run, store: Store, acme: dict[str, str]
) -> None:
    run_id = start(store, "acme")
    with store.begin() as uow:
        first = uow.runs.claim(run_id, "fetch_deal", lease_seconds=60)
        assert first is not None
        uow.runs.finish_step(
            first, {"customer": {"key": ACCOUNT}}, next_step="match_erp_customer", queued_until=uow.now,
            title="Acme Ltd", amount=Decimal(100), currency="USD",
        )  # fmt: skip
        run = uow.runs.claim(run_id, "match_erp_customer", lease_seconds=60)
        assert run is not None
        uow.runs.stop(run, title=None, amount=None, currency=None)
        letter = uow.dead_letters.add(run, AmbiguousMatchError("Two may be meant."))[0].id

    result = run_letters("replay", str(letter), "--yes", "--link", "ERP=1000123", "--reason", "asked")

    assert result.exit_code == 0, result.output
    assert links_of(store, acme["salesforce"]) == {(acme["s4hana"], "1000123")}
    with store.read() as uow:
        again = uow.runs.get(run_id)
    assert again is not None
    assert again.status is RunStatus.ACTIVE
