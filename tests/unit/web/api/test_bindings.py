"""/bindings through HTTP: roles and options of a tenant's flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from crmsync.connectors.salesforce.client import Salesforce
from crmsync.domain.connections import Connection
from crmsync.services import Services
from tests.unit.web.api.conftest import Admit, Caller, shop
from tests.unit.web.api.test_connections import pointers

Make = Callable[..., Connection]


def put(by: Caller, flow: str, body: dict[str, Any], query: str = "", version: str = "*") -> Any:
    return by("PUT", f"/bindings/{flow}{query}", json=body, headers={"If-Match": version})


def test_a_flow_is_bound_and_bound_anew(admin: Caller, services: Services, of_acme: dict[str, str]) -> None:
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}
    assert admin("GET", "/bindings/inventory?tenant_id=acme").status_code == 404

    made = put(admin, "inventory", {"roles": roles, "reason": "they start"}, "?tenant_id=acme")
    assert made.status_code == 200, made.text
    assert made.get_json() == {
        "flow": "inventory",
        "tenant_id": "acme",
        "source": of_acme["crm"],
        "roles": roles,
        "options": {},
        "version": 1,
        "sources": [of_acme["crm"]],
    }
    changed = put(
        admin,
        "inventory",
        {"roles": roles, "options": {"inventory_seconds": 600}},
        "?tenant_id=acme",
        made.headers["ETag"],
    )

    assert changed.get_json()["options"] == {"inventory_seconds": 600}
    assert put(admin, "inventory", {"roles": roles}, "?tenant_id=acme", made.headers["ETag"]).status_code == 412
    (company,) = [each for each in services.companies.all("inventory") if each.tenant == "acme"]
    assert (company.stock.connection, company.options.inventory_seconds) == (of_acme["erp"], 600)
    with services.store.read() as uow:
        assert [entry.reason for entry in uow.audit.newest(None, limit=2)] == ["", "they start"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stock": "con_0000000000000000"}, "#/roles/stock"),
        ({"stock": "theirs"}, "#/roles/stock"),
        ({"stock": "crm"}, "#/roles/stock"),
        ({"deals": "crm"}, "#/roles/deals"),
        ({"stock": None}, "#/roles/stock"),
    ],
    ids=["is nobody's", "is another tenant's", "does not offer the role", "is no role of the flow", "is missing"],
)
def test_a_role_is_refused(
    admin: Caller, services: Services, of_acme: dict[str, str], change: dict[str, Any], expected: str
) -> None:
    theirs = shop(services, "other")
    named = {**of_acme, "theirs": theirs["erp"]}
    roles = {"catalogue": "crm", "stock": "erp", **change}
    roles = {role: named.get(name, name) for role, name in roles.items() if name}

    answer = put(admin, "inventory", {"roles": roles}, "?tenant_id=acme")

    assert (answer.status_code, pointers(answer)) == (422, {expected})
    assert admin("GET", "/bindings/inventory?tenant_id=acme").status_code == 404


@pytest.mark.parametrize(
    "options",
    [{"colour": "red"}, {"inventory_seconds": -1}, {"inventory_seconds": "often"}, {"default_currency": "Euro"}],
)
def test_an_option_is_typed(admin: Caller, of_acme: dict[str, str], options: dict[str, Any]) -> None:
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}

    answer = put(admin, "inventory", {"roles": roles, "options": options}, "?tenant_id=acme")

    assert (answer.status_code, pointers(answer)) == (422, {f"#/options/{next(iter(options))}"})


def test_the_currency_of_one_companys_crm_is_an_option_that_its_connector_obeys(
    admin: Caller, services: Services, of_acme: dict[str, str]
) -> None:
    theirs = shop(services, "other")
    real = Services(services.settings, services.store)
    crms = [cast(Salesforce, real.connector(each["crm"])) for each in (of_acme, theirs)]
    for tenant, own, currency in (("acme", of_acme, "JPY"), ("other", theirs, "KWD")):
        roles = {"deals": own["crm"], "orders": own["erp"], "invoices": own["books"]}
        body = {"roles": roles, "options": {"default_currency": currency}}
        assert put(admin, "order_to_invoice", body, f"?tenant_id={tenant}").status_code == 200
    real.companies.forget()

    assert [each._currency() for each in crms] == ["JPY", "KWD"]


def test_the_document_says_what_the_options_are(admin: Caller) -> None:
    told = admin.get("/openapi.json")["components"]["schemas"]["Bind"]["properties"]["options"]

    assert told["properties"]["inventory_seconds"]["type"] == "integer"
    assert told["additionalProperties"] is False


def test_what_the_environment_implies_is_told_and_stays(admin: Caller) -> None:
    found = admin("GET", "/bindings/payments")

    assert found.get_json()["version"] == 0
    removed = admin("DELETE", "/bindings/payments", headers={"If-Match": found.headers["ETag"]})
    assert removed.status_code == 409


def test_a_tenant_with_several_sources_says_which(admin: Caller, services: Services, of_acme: dict[str, str]) -> None:
    second = shop(services, "acme", name="second ")
    for each in (of_acme, second):
        put(admin, "inventory", {"roles": {"catalogue": each["crm"], "stock": of_acme["erp"]}}, "?tenant_id=acme")

    unclear = admin("GET", "/bindings/inventory?tenant_id=acme")
    assert unclear.status_code == 422
    assert second["crm"] in unclear.get_json()["errors"][0]["detail"]
    place = f"/bindings/inventory?tenant_id=acme&source={second['crm']}"
    assert admin.get(place)["sources"] == sorted((of_acme["crm"], second["crm"]))

    assert admin("DELETE", place).status_code == 428
    assert admin("DELETE", place, headers={"If-Match": "*"}).status_code == 200
    assert admin.get("/bindings/inventory?tenant_id=acme")["source"] == of_acme["crm"]


def test_a_connection_that_is_bound_is_deleted_only_by_force(
    admin: Caller, services: Services, of_acme: dict[str, str]
) -> None:
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}
    put(admin, "inventory", {"roles": roles}, "?tenant_id=acme")

    refused = admin("DELETE", f"/connections/{of_acme['erp']}", headers={"If-Match": "*"})
    assert refused.status_code == 409
    assert "inventory" in refused.get_json()["detail"]

    forced = admin("DELETE", f"/connections/{of_acme['erp']}?force=true", headers={"If-Match": "*"})
    assert forced.status_code == 200
    assert admin("GET", "/bindings/inventory?tenant_id=acme").status_code == 404
    assert [each for each in services.companies.all("inventory") if each.tenant == "acme"] == []


def test_another_tenants_binding_does_not_exist(caller: Admit, admin: Caller, of_acme: dict[str, str]) -> None:
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}
    put(admin, "inventory", {"roles": roles}, "?tenant_id=acme")
    other = caller("admin", "other")

    assert other("GET", "/bindings/inventory?tenant_id=acme").status_code == 404
    assert put(other, "inventory", {"roles": roles}, "?tenant_id=acme").status_code == 404
    assert put(other, "inventory", {"roles": roles}).status_code == 422
