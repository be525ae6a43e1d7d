"""/webhooks: addresses of their own, and what is let in there."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from crmsync.services import Services
from tests.unit.web.api.conftest import Admit, Caller
from tests.unit.web.api.test_connections import pointers

Send = Callable[..., int]
DEAL = "006xx0000012abdAAA"


@pytest.fixture
def made(admin: Caller, of_acme: dict[str, str]) -> dict[str, Any]:
    answer = admin("POST", "/webhooks", json={"connection": of_acme["crm"], "reason": "their org sends"})
    assert answer.status_code == 201, answer.text
    return dict(answer.get_json())


@pytest.fixture
def send(app: Flask) -> Send:
    """What the sender of a signed webhook is answered."""

    def send(to: dict[str, Any], secret: str, body: Any = None, **headers: str) -> int:
        text = json.dumps({"opportunityId": DEAL} if body is None else body).encode()
        signature = "sha256=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        client: FlaskClient = app.test_client()
        answer = client.post(
            f"/api/erp/webhooks/{to['id']}/receive",
            data=text,
            content_type="application/json",
            headers={"X-Crmsync-Signature": signature, **headers},
        )
        return answer.status_code

    return send


def test_a_webhook_has_an_address_and_a_token_that_is_shown_once(
    admin: Caller, services: Services, made: dict[str, Any], of_acme: dict[str, str]
) -> None:
    token = made["verification_token"]

    assert made["receive_url"] == f"https://doors.example/api/erp/webhooks/{made['id']}/receive"
    assert (made["tenant_id"], made["door"], made["status"]) == ("acme", "deal-closed", "active")
    assert (made["events"], made["entity_types"]) == (["deal.closed"], ["deal"])
    for path in (f"/webhooks/{made['id']}", "/webhooks", "/audit"):
        assert token not in admin("GET", path).text
    with services.store.read() as uow:
        kept, entry = uow.subscriptions.get(None, made["id"]), uow.audit.newest(None, limit=1)[0]
    assert kept is not None
    assert token not in kept.sealed
    assert (entry.verb, entry.object_type, entry.reason) == ("create", "webhook", "their org sends")


def test_what_is_sent_there_starts_its_run_as_at_a_fixed_door(
    admin: Caller, services: Services, made: dict[str, Any], of_acme: dict[str, str], send: Send
) -> None:
    roles = {"deals": of_acme["crm"], "orders": of_acme["erp"], "invoices": of_acme["books"]}
    body = {"tenant_id": "acme", "flow": "order_to_invoice", "roles": roles}
    assert admin("POST", "/sync-configs", json=body).status_code == 201

    assert send(made, made["verification_token"]) == 200
    assert send(made, made["verification_token"]) == 200, "also if seen before"

    with services.store.read() as uow:
        run = uow.runs.of_subject("order_to_invoice", of_acme["crm"], DEAL)
    assert run is not None
    assert run.tenant == "acme"


def test_only_its_own_secret_opens_it(app: Flask, made: dict[str, Any], send: Send) -> None:
    for bearer, status in (("planted-webhook-bearer", 401), (made["verification_token"], 200)):
        headers = {"Authorization": f"Bearer {bearer}"}
        path = f"/api/erp/webhooks/{made['id']}/receive"
        assert app.test_client().post(path, json={"opportunityId": DEAL}, headers=headers).status_code == status
    assert send(made, "planted-webhook-secret") == 401, "the connection's own"
    assert send(made, "another-secret-1234") == 401
    assert send(made, made["verification_token"], {"opportunityId": "x"}) == 400
    assert send(made, made["verification_token"], {"a": "b" * 2_000_000}) == 413
    assert send({"id": "whk_0000000000000000"}, made["verification_token"]) == 404


def test_after_a_rotation_both_secrets_open_it_for_a_while(
    admin: Caller, made: dict[str, Any], send: Send, clock: Any
) -> None:
    answer = admin("POST", f"/webhooks/{made['id']}/rotate", json={"overlapSeconds": 600})

    first, second = made["verification_token"], answer.get_json()["verification_token"]
    assert first != second
    assert (send(made, first), send(made, second)) == (200, 200)
    clock.advance(600)
    assert (send(made, first), send(made, second)) == (401, 200)


def test_a_webhook_that_is_disabled_or_gone_lets_nothing_in(admin: Caller, made: dict[str, Any], send: Send) -> None:
    place = f"/webhooks/{made['id']}"

    assert admin("POST", f"{place}/disable", json={}).get_json()["status"] == "disabled"
    assert send(made, made["verification_token"]) == 404
    version = admin("GET", place).headers["ETag"]
    assert admin("PATCH", place, json={"status": "active"}).status_code == 428
    assert admin("PATCH", place, json={"status": "active"}, headers={"If-Match": version}).status_code == 200
    assert admin("PATCH", place, json={"status": "active"}, headers={"If-Match": version}).status_code == 412
    assert send(made, made["verification_token"]) == 200
    assert admin("DELETE", place, headers={"If-Match": "*"}).status_code == 200
    assert send(made, made["verification_token"]) == 404
    assert admin("GET", place).status_code == 404


def test_it_goes_with_its_connection(admin: Caller, made: dict[str, Any], send: Send) -> None:
    gone = admin("DELETE", f"/connections/{made['connection']}", headers={"If-Match": "*"})

    assert gone.get_json()["gone"] == {"webhooks": 1}
    assert send(made, made["verification_token"]) == 404


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"connection": "con_0000000000000000"}, "#/connection"),
        ({"connection": "erp"}, "#/door"),
        ({"door": "payment"}, "#/door"),
        ({"events": ["deal.lost"]}, "#/events"),
        ({"events": []}, "#/events"),
        ({"entityTypes": ["invoice"]}, "#/entityTypes"),
        ({"secret": "short"}, "#/secret"),
    ],
)
def test_what_is_wrong_is_told_by_field(
    admin: Caller, of_acme: dict[str, str], change: dict[str, Any], expected: str
) -> None:
    body = {"connection": "crm", **change}
    body["connection"] = of_acme.get(body["connection"], body["connection"])

    answer = admin("POST", "/webhooks", json=body)

    assert (answer.status_code, pointers(answer)) == (422, {expected})


def test_a_secret_that_is_given_is_that_of_the_sender(admin: Caller, of_acme: dict[str, str], send: Send) -> None:
    body = {"connection": of_acme["crm"], "secret": "their-own-secret-1"}
    made = admin("POST", "/webhooks", json=body).get_json()

    assert send(made, "their-own-secret-1") == 200


def test_another_tenants_webhook_does_not_exist(caller: Admit, made: dict[str, Any], of_acme: dict[str, str]) -> None:
    other = caller("admin", "other")

    assert other.get("/webhooks")["items"] == []
    assert caller("viewer", "acme").get("/webhooks")["items"][0]["id"] == made["id"]
    assert other("POST", "/webhooks", json={"connection": of_acme["crm"]}).status_code == 422
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/rotate", {}),
        ("POST", "/disable", {}),
    ):
        answer = other(method, f"/webhooks/{made['id']}{path}", json=body, headers={"If-Match": "*"})
        assert answer.status_code == 404, (method, path)


def test_its_address_is_on_the_public_port_alone(services: Services, made: dict[str, Any]) -> None:
    import os

    from crmsync.settings import Settings
    from crmsync.web.app import create_app

    env = {**os.environ, "CRMSYNC_ADMIN_PORT": "8001", "REDIS_URL": "redis://127.0.0.1:1/0"}
    client = create_app(Services(Settings.from_env(env), services.store)).test_client()
    path = f"/api/erp/webhooks/{made['id']}/receive"

    public, private = (client.post(path, base_url=f"http://localhost:{port}", json={}) for port in (8000, 8001))

    assert (public.status_code, private.status_code) == (401, 404)
