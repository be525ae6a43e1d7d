"""Every endpoint against nobody, every role and a foreign tenant; made from the table, which has all of them."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from crmsync import people
from crmsync.domain.access import Role
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.web.api.app import create_api
from crmsync.web.api.callers import rule_of
from crmsync.web.api.endpoints import ENDPOINTS, Tenancy
from crmsync.web.app import create_app
from tests.unit.web.api.conftest import ADA, BOOKS, Admit, Caller, World

pytestmark = pytest.mark.usefixtures("at_once")

ALL = sorted(ENDPOINTS)
GUARDED = [each for each in ALL if ENDPOINTS[each].role is not None]
VERBS = {"GET", "POST", "PUT", "PATCH", "DELETE"}

# What is sent where an endpoint takes a body.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/runs"): {"flow": "inventory"},
    ("POST", "/dead-letters/{letter_id}/replay"): {},
    ("POST", "/dead-letters/{letter_id}/discard"): {"reason": "a test"},
    ("POST", "/approvals/{approval_id}/approve"): {},
    ("POST", "/approvals/{approval_id}/reject"): {},
    ("POST", "/tokens"): {"name": "made by a test", "role": "viewer"},
    ("POST", "/connections"): {**BOOKS, "name": "made by a test"},
    ("PUT", "/connections/{connection_id}"): {"name": "changed by a test"},
    ("PUT", "/bindings/{flow}"): {"roles": {"catalogue": "{crm}", "stock": "{erp}"}},
    ("POST", "/sync-configs"): {"flow": "payments", "roles": {"payments": "{books}", "deals": "{crm}"}},
    ("PUT", "/sync-configs/{config_id}"): {"interval_seconds": 900},
    ("PUT", "/links/{connection}/{account}"): {"key": "1000777", "reason": "a test"},
    ("PUT", "/rate-limits/{connection_id}"): {"concurrent": 4},
    ("POST", "/webhooks"): {"connection": "{crm}"},
    ("PATCH", "/webhooks/{webhook_id}"): {"events": ["deal.closed"]},
    ("POST", "/webhooks/{webhook_id}/rotate"): {},
    ("POST", "/webhooks/{webhook_id}/disable"): {},
    ("POST", "/sync"): {"sync_config_id": "{config}"},
    ("POST", "/connections/{connection_id}/pause"): {},
    ("POST", "/connections/{connection_id}/resume"): {},
    ("POST", "/connections/{connection_id}/rotate"): {"make": ["webhook_secret"]},
}
# What another tenant names in a body is no connection of its own.
NAMES_CONNECTIONS = {("PUT", "/bindings/{flow}"), ("POST", "/sync-configs"), ("POST", "/webhooks")}
# Where a browser comes that has no token: without a state that was given out it is refused.
CALLBACK = ("GET", "/oauth/callback")
# What is made is the caller's own tenant's.
MAKES = {("POST", "/tokens"), ("POST", "/connections")}
ADDRESSES_OF_LISTS = [path for method, path in ALL if method == "GET" and "{" not in path]


def ask(by: Caller, endpoint: tuple[str, str], world: World) -> TestResponse:
    method, path = endpoint
    values = {
        "run_id": world.run_id,
        "letter_id": world.letter_id,
        "account": world.account,
        "token_id": world.token_id,
        "connection_id": world.connection_id,
        "flow": "inventory",
        "config_id": world.names["config"],
        "webhook_id": world.names["webhook"],
        "approval_id": world.approval_id,
        "connection": "s4hana",
        "name": "s4hana",
    }
    headers = {"If-Match": "*"} if method in ("DELETE", "PUT", "PATCH") else {}
    body = _filled(BODIES.get(endpoint), world)
    return by(method, path.format(**values), headers=headers, **({"json": body} if body is not None else {}))


def _filled(body: Any, world: World) -> Any:
    """*body* with the ids of the default tenant's connections."""
    if isinstance(body, dict):
        return {name: _filled(value, world) for name, value in body.items()}
    return world.names.get(body.strip("{}"), body) if isinstance(body, str) else body


def state_of(store: Store) -> list[Any]:
    """Everything that a write of somebody who may not would change."""
    from crmsync.store.tables import metadata

    with store.read() as uow:
        return [
            [tuple(row) for row in uow.connection.execute(table.select())]
            for table in metadata.sorted_tables
            if table.name not in ("api_tokens", "tokens")
        ]


def test_the_table_has_every_route_and_no_other(services: Services) -> None:
    app = create_api(services)
    routes = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        for method in rule.methods & VERBS:  # type: ignore[operator]
            rule_of(rule.rule, method)
            routes.add((method, _place(rule.rule)))

    assert routes == set(ENDPOINTS)


def _place(rule: str) -> str:
    import re

    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule).removeprefix("/api/erp")


def test_every_endpoint_that_changes_something_needs_more_than_a_look() -> None:
    for (method, path), rule in ENDPOINTS.items():
        if method != "GET" and not rule.is_public:
            assert rule.role in (Role.OPERATOR, Role.ADMIN), path


@pytest.mark.parametrize("endpoint", ALL, ids=" ".join)
def test_without_a_valid_token_there_is_nothing(
    app: Flask, services: Services, world: World, endpoint: tuple[str, str]
) -> None:
    before = state_of(services.store)
    by = Caller(app.test_client(), "")
    wrong_secret = f"Bearer crm_{world.token_id}_{'x' * 40}"
    for given in ("", "Bearer", "Bearer crm_x_y", "Basic Y3Jtc3luYzp4", wrong_secret):
        by.headers["Authorization"] = given

        answer = ask(by, endpoint, world)

        expected = 401 if endpoint in GUARDED else 400 if endpoint == CALLBACK else 200
        assert answer.status_code == expected, given
        if expected == 401:
            assert answer.content_type == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert state_of(services.store) == before


@pytest.mark.parametrize("endpoint", GUARDED, ids=" ".join)
@pytest.mark.parametrize("tenant", [None, "default"])
def test_each_role_may_do_what_the_table_says(
    caller: Admit, services: Services, world: World, endpoint: tuple[str, str], tenant: str | None
) -> None:
    rule, is_first = ENDPOINTS[endpoint], True
    for role in Role:
        by, before = caller(role, tenant), state_of(services.store)

        answer = ask(by, endpoint, world)

        is_allowed = role.covers(rule.role or Role.VIEWER) and not (tenant and rule.tenancy is Tenancy.ALL)
        if not is_allowed:
            assert answer.status_code == 403, answer.text
            assert state_of(services.store) == before
        elif is_first:
            assert answer.status_code in (200, 201, 202), answer.text
            is_first = False
        else:  # it may be done already
            assert answer.status_code in (200, 201, 202, 404, 409), answer.text


@pytest.mark.parametrize("endpoint", GUARDED, ids=" ".join)
def test_what_is_another_tenants_does_not_exist(
    caller: Admit, services: Services, world: World, endpoint: tuple[str, str]
) -> None:
    for role in Role:
        by, before = caller(role, "acme"), state_of(services.store)

        answer = ask(by, endpoint, world)

        if _is_anothers(endpoint, role, world, answer):
            assert state_of(services.store) == before


def _is_anothers(endpoint: tuple[str, str], role: Role, world: World, answer: TestResponse) -> bool:
    """Whether nothing may have been done; False for what is made for the caller's own tenant."""
    rule = ENDPOINTS[endpoint]
    if not role.covers(rule.role or Role.VIEWER) or rule.tenancy is Tenancy.ALL:
        assert answer.status_code == 403
    elif rule.tenancy is Tenancy.NONE:
        assert answer.status_code == 200
    elif endpoint in NAMES_CONNECTIONS:
        assert answer.status_code == 422
    elif "{" in endpoint[1] or endpoint in (("POST", "/runs"), ("POST", "/sync")):
        assert answer.status_code == 404
    elif endpoint in MAKES:
        assert answer.get_json()["tenant_id"] == "acme", "nobody gives more than they have"
        return False
    else:
        assert answer.status_code == 200
        text = answer.text
        for secret in (world.run_id, world.account, world.token_id, world.connection_id, "Acme Ltd"):
            assert secret not in text
    return True


@pytest.mark.parametrize("endpoint", [each for each in GUARDED if each[0] == "POST"], ids=" ".join)
def test_every_post_that_is_sent_again_with_its_key_does_nothing(
    admin: Caller, services: Services, world: World, endpoint: tuple[str, str]
) -> None:
    admin.headers["Idempotency-Key"] = "a-test"
    first, state = ask(admin, endpoint, world), state_of(services.store)

    again = ask(admin, endpoint, world)

    assert first.status_code in (200, 201, 202), first.text
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert state_of(services.store) == state


def test_nobody_gives_more_than_they_have(caller: Admit) -> None:
    by = caller("admin", "acme")

    answer = by("POST", "/tokens", json={"name": "x", "role": "viewer", "tenant_id": "default"})

    assert answer.status_code == 403


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_token_that_is_over_opens_nothing(app: Flask, services: Services, clock: Any, how: str) -> None:
    from datetime import timedelta

    with services.store.begin() as uow:
        until = uow.now + timedelta(hours=1)
        made = people.create_token(uow, ADA, name="x", role=Role.VIEWER, expires_at=until)
    by = Caller(app.test_client(), made.text)
    assert by("GET", "/me").status_code == 200
    if how == "revoked":
        with services.store.begin() as uow:
            people.revoke_token(uow, ADA, made.token.id)
    else:
        clock.advance(3600)

    assert by("GET", "/me").status_code == 401


def test_a_token_is_written_to_once_a_minute(app: Flask, services: Services, clock: Any, admin: Caller) -> None:
    def used() -> Any:
        with services.store.read() as uow:
            return uow.api_tokens.newest(None)[0].last_used_at

    admin.get("/me")
    first = used()
    clock.advance(59)
    admin.get("/me")
    assert used() == first == clock.now.replace() - (clock.now - first)
    clock.advance(1)
    admin.get("/me")
    assert used() > first


def test_who_asks_too_often_waits(services: Services, caller: Admit) -> None:
    import os

    settings = Settings.from_env({**os.environ, "CRMSYNC_API_PER_MINUTE": "3", "REDIS_URL": "redis://127.0.0.1:1/0"})
    by, other = caller(), caller()
    client = create_app(Services(settings, services.store)).test_client()
    by.client = other.client = client

    statuses = [by("GET", "/me").status_code for _ in range(4)]

    assert statuses[-1] == 429
    assert int(by("GET", "/me").headers["Retry-After"]) > 0
    assert other("GET", "/me").status_code == 200


def test_the_api_is_on_the_private_port_only(services: Services, caller: Admit) -> None:
    import os

    settings = Settings.from_env({**os.environ, "CRMSYNC_ADMIN_PORT": "8001", "REDIS_URL": "redis://127.0.0.1:1/0"})
    by = caller()
    by.client = create_app(Services(settings, services.store)).test_client()

    for path in ("/me", "/openapi.json", "/nothing"):
        public, private = (by("GET", path, base_url=f"http://localhost:{port}") for port in (8000, 8001))
        assert public.status_code == 404
        assert private.status_code == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "POST", "DELETE"])
def test_a_stranger_does_not_learn_which_urls_there_are(services: Services, method: str) -> None:
    import os

    settings = Settings.from_env({**os.environ, "CRMSYNC_ADMIN_PORT": "8001", "REDIS_URL": "redis://127.0.0.1:1/0"})
    client = create_app(Services(settings, services.store)).test_client()

    answers = [
        client.open(f"/api/erp{path}", method=method, base_url="http://localhost:8000")
        for path in ("/me", "/nothing", "/runs", "/oauth/callback")
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert not any("Allow" in answer.headers for answer in answers)


def test_a_browser_that_is_signed_in_is_no_token(operator: FlaskClient) -> None:
    """Else another site could use it."""
    assert operator.get("/api/erp/me").status_code == 401
