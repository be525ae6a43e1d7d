"""Two tenants in one store: each sees its own, and who operates the installation sees both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from crmsync.domain.access import Role
from crmsync.domain.bindings import Binding
from crmsync.domain.links import Link
from crmsync.errors import AmountMismatchError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web.app import create_app
from tests.unit.web.api.conftest import Admit, Caller, World, environment

CRM, ERP = "con_aaaaaaaaaaaaaaaa", "con_bbbbbbbbbbbbbbbb"
KEY, ACCOUNT = "006xx0000012zzzAAA", "001xx000003DZZZAA4"


@dataclass(frozen=True)
class Acme:
    """What there is of the tenant `acme`, at connections of its own."""

    run_id: str
    letter_id: int


@pytest.fixture
def acme(services: Services, world: World, a_letter: Any) -> Acme:
    letter = a_letter(AmountMismatchError(), key=KEY, company="Beta GmbH", done=3)
    with services.store.begin() as uow:
        for connection, system in ((CRM, "salesforce"), (ERP, "s4hana")):
            uow.connection.execute(
                text(
                    "INSERT INTO connections (id, tenant, system, name, auth_kind, settings, secrets, secret_names, "
                    "key_id, status, sync_enabled, direction, created_at, updated_at, version) VALUES (:id, 'acme', "
                    ":system, :id, 'basic', '{}', '', '[]', '', 'active', true, 'bidirectional', :now, :now, 1)"
                ),
                {"id": connection, "system": system, "now": uow.now.replace(tzinfo=None)},
            )
        moved = {"source": CRM, "key": KEY}
        uow.connection.execute(
            text("UPDATE runs SET tenant = 'acme', source = :source WHERE subject_key = :key"), moved
        )
        uow.connection.execute(text("UPDATE deliveries SET source = :source WHERE subject_key = :key"), moved)
        uow.links.put(Link(ERP, CRM, ACCOUNT, "2000777", "imported", name="Beta GmbH"))
        uow.connection.execute(
            text(
                "INSERT INTO ledger (connection, kind, reference, generation, run_id, state, created_at, sends) "
                "VALUES (:erp, 'order', 'SF-BETA', 1, :run, 'confirmed', :now, 1)"
            ),
            {"erp": ERP, "run": letter.run_id, "now": uow.now.replace(tzinfo=None)},
        )
    return Acme(letter.run_id, letter.id)


LISTS = ("/runs", "/dead-letters", "/sync-logs", "/sync-records", "/links", "/webhook-events", "/rate-limits")
OF_ACME = (KEY, ACCOUNT, "2000777", "SF-BETA", CRM, ERP, "Beta GmbH")
OF_DEFAULT = ("1000123", "Acme Ltd")


def tenants(by: Caller, path: str) -> set[str]:
    return {each["tenant_id"] for each in by.get(path)["items"]}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_what_is_the_tenants_own(caller: Admit, world: World, acme: Acme, path: str) -> None:
    assert tenants(caller("viewer", "acme"), path) == {"acme"}
    assert tenants(caller("viewer", "default"), path) <= {"default"}
    assert tenants(caller("viewer"), path) >= {"acme"}


@pytest.mark.parametrize("path", [*LISTS, "/dashboard", "/audit", "/tokens"])
def test_no_answer_holds_what_is_anothers(caller: Admit, world: World, acme: Acme, path: str) -> None:
    of_default, of_acme = (caller("admin", tenant)("GET", path).text for tenant in ("default", "acme"))

    assert not [word for word in (*OF_ACME, acme.run_id) if word in of_default]
    assert not [word for word in (*OF_DEFAULT, world.run_id, world.account) if word in of_acme]


def test_the_dashboard_counts_what_is_the_tenants_own(caller: Admit, world: World, acme: Acme) -> None:
    def figures(tenant: str | None) -> tuple[int, int, int, int]:
        found = caller("viewer", tenant).get("/dashboard")
        told = found["statistics"]
        runs = sum(sum(counts.values()) for counts in told["runs"].values())
        documents = sum(sum(counts.values()) for counts in told["documents"].values())
        return runs, documents, told["dead_letters_waiting"], len(found["recent"])

    assert figures("acme") == (1, 1, 1, 1)
    assert figures("default") == (1, 0, 1, 1)
    assert figures(None) == (2, 1, 2, 2)


def test_the_dashboard_has_the_alerts_of_the_tenant(caller: Admit, services: Services, acme: Acme) -> None:
    with services.store.begin() as uow:
        uow.alerts.add("acme", "cause of acme", {"headline": "Theirs"})
        uow.alerts.add(None, "cause of all", {"headline": "Of all"})

    def told(tenant: str | None) -> set[str]:
        return {each["headline"] for each in caller("viewer", tenant).get("/dashboard")["alerts"]}

    assert "Theirs" in told("acme")
    assert told("default").isdisjoint({"Theirs", "Of all"})
    assert "Of all" not in told("acme")
    assert told(None) >= {"Theirs", "Of all"}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("tenant", "is_found"), [("acme", True), ("default", False), (None, True), ("other", False)])
def test_one_object_is_found_by_its_own_tenant_alone(
    caller: Admit, services: Services, acme: Acme, tenant: str | None, is_found: bool
) -> None:
    by = caller(Role.ADMIN.value, tenant)
    letter = f"/dead-letters/{acme.letter_id}"
    asked = [
        by("GET", f"/runs/{acme.run_id}"),
        by("GET", f"/sync-logs/{acme.run_id}"),
        by("GET", letter),
        by("POST", f"{letter}/replay", json={"dry_run": True}),
        by("POST", f"{letter}/discard", json={"reason": "x"}),
        by("DELETE", f"/links/{ERP}/{ACCOUNT}"),
    ]

    expected = [200, 200, 200, 202, 200, 200] if is_found else [404] * 6
    assert [answer.status_code for answer in asked] == expected
    with services.store.read() as uow:
        entries = uow.audit.newest(None, limit=2)
    assert all(entry.tenant == "acme" for entry in entries) == is_found


def test_a_flow_is_started_for_the_tenants_own_company(caller: Admit, acme: Acme, enqueued: list[str]) -> None:
    body = {"flow": "order_to_invoice", "subject_key": "006xx0000012yyyAAA"}

    assert caller("operator", "acme")("POST", "/runs", json=body).status_code == 404, "it has bound nothing to the flow"
    assert caller("operator")("POST", "/runs", json=body).get_json()["tenant_id"] == "default"
    assert caller("operator")("POST", "/runs", json={**body, "connection": CRM}).status_code == 404


def test_a_flow_is_started_for_the_tenant_that_is_named(
    caller: Admit, services: Services, acme: Acme, enqueued: list[str]
) -> None:
    roles = {"deals": CRM, "orders": ERP, "invoices": "con_books", "payments": "con_books"}
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "order_to_invoice", CRM, roles))
    services.companies.forget()
    body = {"flow": "order_to_invoice", "subject_key": "006xx0000012yyyAAA", "tenant_id": "acme"}

    started = caller("operator")("POST", "/runs", json=body).get_json()

    assert (started["tenant_id"], started["connection"]) == ("acme", CRM)
    assert caller("operator", "default")("POST", "/runs", json=body).status_code == 404, "it is another's"
    assert caller("operator")("POST", "/runs", json={**body, "tenant_id": "nobody"}).status_code == 404


def test_of_two_accounts_of_one_id_the_link_of_the_crm_that_is_named_is_taken_back(
    caller: Admit, services: Services, acme: Acme
) -> None:
    with services.store.begin() as uow:
        uow.links.put(Link(ERP, "salesforce", ACCOUNT, "1000999", "imported"))
    by, path = caller("operator"), f"/links/{ERP}/{ACCOUNT}"

    refused = by("DELETE", path)

    assert (refused.status_code, refused.get_json()["errors"][0]["parameter"]) == (422, "source")
    assert CRM in refused.text
    assert "salesforce" in refused.text
    assert by("DELETE", f"{path}?tenant_id=acme").get_json()["removed"][0]["key"] == "2000777"
    assert by("DELETE", f"{path}?source={CRM}").status_code == 404
    assert by("DELETE", path).get_json()["removed"][0]["key"] == "1000999"


@pytest.fixture
def bound(services: Services, acme: Acme) -> None:
    """acme has bound the flow of its deals."""
    roles = {"deals": CRM, "orders": ERP, "invoices": "con_books", "payments": "con_books"}
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "order_to_invoice", CRM, roles))
    services.companies.forget()


@pytest.mark.parametrize(
    "flow", [{"flow": "order_to_invoice", "subject_key": "006xx0000012yyyAAA"}, {"flow": "catch_up_deals"}]
)
def test_a_flow_of_several_companies_is_started_for_none_until_one_is_named(
    caller: Admit, services: Services, bound: None, enqueued: list[str], flow: dict[str, str]
) -> None:
    by, of_acme = caller("operator"), caller("operator", "acme")
    configured = Settings.from_env({**os.environ, **environment(), "REDIS_URL": "redis://127.0.0.1:1/0"})
    by.client = of_acme.client = create_app(Services(configured, services.store)).test_client()

    refused = by("POST", "/runs", json=flow)

    assert refused.status_code == 422
    assert refused.get_json()["errors"] == [{"pointer": "#/tenant_id", "detail": "expected one of acme, default"}]
    assert enqueued == [], "nothing was started"
    assert by("POST", "/runs", json={**flow, "tenant_id": "default"}).get_json()["tenant_id"] == "default"
    assert by("POST", "/runs", json={**flow, "connection": CRM}).get_json()["tenant_id"] == "acme"
    assert of_acme("POST", "/runs", json=flow).get_json()["tenant_id"] == "acme"


def test_a_company_of_the_environment_for_which_nothing_is_configured_is_not_meant(
    caller: Admit, bound: None, enqueued: list[str]
) -> None:
    started = caller("operator")("POST", "/runs", json={"flow": "catch_up_deals"})

    assert started.get_json()["tenant_id"] == "acme"
