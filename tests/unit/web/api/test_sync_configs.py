"""/sync-configs and POST /sync: how often a tenant's flows run, their pause, and a run of them now."""

from __future__ import annotations

import os
from typing import Any

import pytest

from crmsync.domain.runs import RunStatus
from crmsync.domain.webhooks import WebhookEvent
from crmsync.flows import catch_up, inventory, order_to_invoice
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web.app import create_app
from crmsync.web.inbox import Arrived, Inbox
from crmsync.worker import housekeeping
from tests.unit.web.api.conftest import Admit, Caller, environment
from tests.unit.web.api.test_connections import pointers


@pytest.fixture
def of_inventory(admin: Caller, of_acme: dict[str, str]) -> str:
    """The id of a tenant's sync config."""
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}
    made = admin("POST", "/sync-configs", json={"tenantId": "acme", "flow": "inventory", "roles": roles})
    assert made.status_code == 201, made.text
    return str(made.get_json()["id"])


@pytest.fixture
def of_deals(admin: Caller, of_acme: dict[str, str]) -> str:
    roles = {"deals": of_acme["crm"], "orders": of_acme["erp"], "invoices": of_acme["books"]}
    made = admin("POST", "/sync-configs", json={"tenant_id": "acme", "flow": "order_to_invoice", "roles": roles})
    assert made.status_code == 201, made.text
    return str(made.get_json()["id"])


def put(by: Caller, config: str, version: str = "*", **body: Any) -> Any:
    return by("PUT", f"/sync-configs/{config}", json=body, headers={"If-Match": version})


def started(services: Services, flow: Any) -> list[str]:
    """Of which tenants beat starts the flow."""
    return [company.tenant for company in housekeeping._companies(services, flow)]


def test_a_flow_that_is_bound_has_its_configs(admin: Caller, of_acme: dict[str, str], of_deals: str) -> None:
    found = admin.get("/sync-configs?tenant_id=acme")["items"]

    assert [each["id"] for each in found] == [f"catch_up_deals:{of_acme['crm']}", of_deals]
    assert [each["kind"] for each in found] == ["incremental", "webhook"]
    assert [each["interval_seconds"] for each in found] == [600, None]
    for each in found:
        assert each["status"] == "active"
        assert [each[name] for name in ("entity", "filter", "conflict_resolution", "field_mappings")] == [None] * 4
    assert admin.get(f"/sync-configs?connection={of_acme['books']}&flow=order_to_invoice")["items"] == found[1:]
    first = admin.get("/sync-configs?tenant_id=acme&limit=1")
    rest = admin.get(f"/sync-configs?tenant_id=acme&limit=1&cursor={first['next_cursor']}")
    assert [first["items"], rest["items"], rest["next_cursor"]] == [found[:1], found[1:], None]


def test_what_is_bound_already_is_not_bound_again(admin: Caller, of_acme: dict[str, str], of_inventory: str) -> None:
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}

    again = admin("POST", "/sync-configs", json={"tenant_id": "acme", "flow": "inventory", "roles": roles})

    assert again.status_code == 409
    comes_with = admin("POST", "/sync-configs", json={"flow": "catch_up_deals", "roles": roles})
    assert (comes_with.status_code, pointers(comes_with)) == (422, {"#/flow"})
    roles["stock"] = of_acme["books"]
    no_stock = admin("POST", "/sync-configs", json={"tenant_id": "acme", "flow": "inventory", "roles": roles})
    assert (no_stock.status_code, pointers(no_stock)) == (422, {"#/roles/stock"})


def test_the_interval_is_that_of_which_beat_starts_it(admin: Caller, services: Services, of_inventory: str) -> None:
    read = admin("GET", f"/sync-configs/{of_inventory}")

    changed = put(admin, of_inventory, read.headers["ETag"], interval_seconds=900)

    assert changed.get_json()["interval_seconds"] == 900
    assert put(admin, of_inventory, read.headers["ETag"], interval_seconds=60).status_code == 412
    assert admin("PUT", f"/sync-configs/{of_inventory}", json={}).status_code == 428
    (company,) = [each for each in services.companies.all("inventory") if each.tenant == "acme"]
    assert inventory.FLOW.every is not None
    assert inventory.FLOW.every(company.options) == 900


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kind": "full"}, "#/kind"),
        ({"direction": "outbound"}, "#/direction"),
        ({"entity": "customer"}, "#/entity"),
        ({"fieldMappings": []}, "#/fieldMappings"),
        ({"interval_seconds": 5}, "#/interval_seconds"),
        ({"interval_seconds": -1}, "#/interval_seconds"),
        ({"status": "asleep"}, "#/status"),
    ],
)
def test_what_a_flow_leaves_no_choice_in_is_refused(
    admin: Caller, of_inventory: str, change: dict[str, Any], expected: str
) -> None:
    answer = put(admin, of_inventory, **change)

    assert (answer.status_code, pointers(answer)) == (422, {expected})
    assert put(admin, of_inventory, kind="incremental", direction="inbound", entity=None).status_code == 200


def test_what_webhooks_start_has_no_interval(admin: Caller, of_deals: str) -> None:
    assert pointers(put(admin, of_deals, interval_seconds=600)) == {"#/interval_seconds"}


def test_what_is_paused_starts_nothing_until_it_goes_on(
    admin: Caller, services: Services, of_acme: dict[str, str], of_deals: str
) -> None:
    """What looks after it is paused as well; webhooks are kept."""
    arrived = [Arrived("deals", of_acme["crm"], [WebhookEvent(f"006{n}")], "c" * 32) for n in range(2)]
    assert put(admin, of_deals, status="paused").get_json()["status"] == "paused"

    assert Inbox(services).store_all(arrived[:1]) == [[]]
    assert "acme" not in started(services, catch_up.DEALS)
    assert admin.get(f"/sync-configs/catch_up_deals:{of_acme['crm']}")["status"] == "paused"
    assert admin("POST", "/sync", json={"sync_config_id": of_deals, "subject_key": "0060"}).status_code == 409
    with services.store.read() as uow:
        assert order_to_invoice.FLOW.run_of(uow, _acme(services), "0060") is None
        assert len(uow.deliveries.of_subject(of_acme["crm"], "0060", last=5)) == 1

    assert put(admin, of_deals, status="active").get_json()["status"] == "active"
    assert len(Inbox(services).store_all(arrived[1:])[0]) == 1


def _acme(services: Services) -> Any:
    return next(each for each in services.companies.all("order_to_invoice") if each.tenant == "acme")


def test_catch_up_is_paused_alone(admin: Caller, of_acme: dict[str, str], of_deals: str) -> None:
    catching_up = f"catch_up_deals:{of_acme['crm']}"

    assert put(admin, catching_up, status="paused").get_json()["status"] == "paused"

    assert admin.get(f"/sync-configs/{of_deals}")["status"] == "active"


@pytest.fixture
def configured(admin: Caller, services: Services) -> Services:
    """Of an installation whose environment configures everything."""
    env = {**os.environ, **environment(), "REDIS_URL": "redis://127.0.0.1:1/0"}
    made = Services(Settings.from_env(env), services.store)
    admin.client = create_app(made).test_client()
    return made


def test_a_change_of_what_the_environment_implies_keeps_when_it_went_live(
    admin: Caller, configured: Services, clock: Any
) -> None:
    went_live = configured.go_live()
    assert admin.get("/sync-configs/inventory:salesforce")["version"] == 0
    clock.advance(86_400)

    changed = put(admin, "inventory:salesforce", interval_seconds=120)

    assert changed.get_json()["version"] == 1
    (company,) = configured.companies.all("inventory")
    assert (company.options.inventory_seconds, company.options.go_live) == (120, went_live)


@pytest.mark.parametrize("given", [{}, {"subject_key": "inventory"}])
def test_a_run_is_started_now(
    admin: Caller, services: Services, enqueued: list[str], of_inventory: str, given: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "now"}
    body = {"syncConfigId": of_inventory, "reason": "they asked", **given}

    answer = admin("POST", "/sync", json=body, headers=key)
    again = admin("POST", "/sync", json=body, headers=key)

    assert answer.status_code == 202
    run_id = answer.get_json()["run_id"]
    assert answer.get_json()["link"] == f"/api/erp/runs/{run_id}"
    assert (enqueued, again.get_json()) == ([run_id], answer.get_json())
    with services.store.read() as uow:
        run, entry = uow.runs.get(run_id), uow.audit.newest(None, limit=1)[0]
    assert run is not None
    assert (run.flow, run.tenant, run.status) == ("inventory", "acme", RunStatus.ACTIVE)
    assert (entry.verb, entry.tenant, entry.reason) == ("run.start", "acme", "they asked")
    assert admin.get(f"/sync-configs/{of_inventory}")["last_run"]["id"] == run_id


@pytest.mark.parametrize(("subject", "status"), [("", 422), ("006xx0000012abd", 202)])
def test_a_flow_of_subjects_needs_one(admin: Caller, of_deals: str, subject: str, status: int) -> None:
    answer = admin("POST", "/sync", json={"sync_config_id": of_deals, "subject_key": subject})

    assert answer.status_code == status
    if status == 202:
        assert answer.get_json()["subject_key"] == "006xx0000012abdAAA"


def test_another_tenants_config_does_not_exist(caller: Admit, of_inventory: str) -> None:
    other = caller("admin", "other")

    assert other.get("/sync-configs")["items"] == []
    assert other("GET", f"/sync-configs/{of_inventory}").status_code == 404
    assert put(other, of_inventory, status="paused").status_code == 404
    assert other("POST", "/sync", json={"sync_config_id": of_inventory}).status_code == 404
