"""/connections through HTTP: made, changed, rotated, tried and deleted, and no secret in any answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from crmsync.connection_trial import Trial
from crmsync.domain.connections import Connection
from crmsync.domain.runs import Origin
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web.api import waiting
from crmsync.web.app import create_app
from crmsync.worker import trials
from tests.unit.web.api.conftest import BOOKS, TRIED, Admit, Caller

Make = Callable[..., Connection]
PLANTED = ("planted-client-secret", "planted-refresh-token", "planted-webhook-secret")


def put(by: Caller, of: str, body: dict[str, Any], *, version: str = "*") -> Any:
    return by("PUT", f"/connections/{of}", json=body, headers={"If-Match": version})


def pointers(answer: Any) -> set[str]:
    return {each["pointer"] for each in answer.get_json()["errors"]}


def test_a_connection_is_made_and_its_secrets_are_never_told(admin: Caller, services: Services) -> None:
    made = admin("POST", "/connections", json={**BOOKS, "tenantId": "acme", "reason": "a new company"})

    assert made.status_code == 201, made.text
    found = made.get_json()
    assert (found["tenant_id"], found["erp_system"], found["status"]) == ("acme", "zoho_books", "active")
    assert found["secrets_set"] == ["client_secret", "refresh_token", "webhook_secret"]
    assert found["doors"] == [{"name": "payment", "path": f"/hooks/{found['id']}/payment"}]
    assert services.book.get(found["id"]).settings.client_secret.reveal() == "planted-client-secret"
    with services.store.read() as uow:
        entry = uow.audit.newest(None, limit=1)[0]
    assert (entry.verb, entry.object_key, entry.tenant, entry.reason) == (
        "create",
        found["id"],
        "acme",
        "a new company",
    )


def test_no_answer_log_line_or_audit_entry_holds_a_secret(
    admin: Caller, services: Services, caplog: pytest.LogCaptureFixture, tried: list[str]
) -> None:
    key = {"Idempotency-Key": "once"}
    first = admin("POST", "/connections", json=BOOKS, headers=key)
    of = first.get_json()["id"]
    answers = [
        first,
        admin("POST", "/connections", json=BOOKS, headers=key),
        admin("POST", "/connections", json=BOOKS),
        admin("POST", "/connections", json={**BOOKS, "settings": {"api_url": "ftp://x"}, "name": "y"}),
        admin("POST", "/connections", json={**BOOKS, "erp_system": "none", "name": "z"}),
        admin("POST", "/connections", json={**BOOKS, "secrets": [*BOOKS["secrets"].values()]}),
        put(admin, of, {"settings": {"client_id": "x", "secret": "y"}, "secrets": BOOKS["secrets"]}),
        put(admin, of, {"secrets": BOOKS["secrets"]}),
        admin("POST", f"/connections/{of}/rotate", json={"secrets": BOOKS["secrets"]}),
        admin("GET", f"/connections/{of}"),
        admin("GET", "/connections"),
        admin("GET", "/audit"),
        admin("POST", f"/connections/{of}/test"),
        admin("DELETE", f"/connections/{of}", headers={"If-Match": "*"}),
    ]

    assert [each.status_code for each in answers] == [
        *(201, 201, 422, 422, 422, 422, 422),
        *(200, 200, 200, 200, 200, 200, 200),
    ]
    told = caplog.text + "".join(each.text + str(each.headers) for each in answers)
    for secret in PLANTED:
        assert secret not in told
    with services.store.read() as uow:
        for table in ("requests", "audit", "facts", "connections"):
            assert not any(secret in str(_rows(uow, table)) for secret in PLANTED)


def _rows(uow: Any, name: str) -> list[Any]:
    from crmsync.store.tables import metadata

    found = [table for table in metadata.sorted_tables if table.name.endswith(name)]
    assert found, name
    return [tuple(row) for table in found for row in uow.connection.execute(table.select())]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"settings": {"colour": "red"}}, {"#/settings/colour"}),
        ({"settings": {"client_id": "a", "organization_id": "b", "calls_at_once": 0}}, {"#/settings/calls_at_once"}),
        ({"secrets": {"refresh_token": None}}, {"#/secrets/refresh_token"}),
        ({"intervalSeconds": 1}, {"#/intervalSeconds"}),
        ({"auth_kind": "magic"}, {"#/auth_kind"}),
        ({"direction": "up"}, {"#/direction"}),
        ({"colour": "red"}, {"#/colour"}),
        ({"name": "\u202e"}, {"#/name"}),
        ({"name": "Our\u200b books"}, {"#/name"}),
    ],
)
def test_what_is_wrong_is_told_by_field(
    admin: Caller, a_connection: Make, change: dict[str, Any], expected: set[str]
) -> None:
    answer = put(admin, a_connection().id, change)

    assert answer.status_code == 422
    assert expected <= pointers(answer)


def test_a_change_of_what_somebody_else_has_changed_is_refused(admin: Caller, a_connection: Make) -> None:
    of = a_connection().id
    read = admin("GET", f"/connections/{of}").headers["ETag"]

    assert admin("PUT", f"/connections/{of}", json={"name": "x"}).status_code == 428
    changed = put(admin, of, {"name": "first"}, version=read)
    assert changed.status_code == 200
    assert put(admin, of, {"name": "second"}, version=read).status_code == 412
    assert put(admin, of, {"name": "third"}, version=changed.headers["ETag"]).get_json()["name"] == "third"


def test_a_name_is_taken_once_in_a_tenant(admin: Caller, a_connection: Make) -> None:
    a_connection(name="Books")

    again = admin("POST", "/connections", json={**BOOKS, "name": "Books"})
    elsewhere = admin("POST", "/connections", json={**BOOKS, "name": "Books", "tenant_id": "acme"})

    assert (again.status_code, pointers(again)) == (422, {"#/name"})
    assert elsewhere.status_code == 201


def test_another_address_needs_the_secrets_again(admin: Caller, a_connection: Make) -> None:
    of = a_connection()
    settings = {**of.settings, "api_url": "https://mallory.example"}

    answer = put(admin, of.id, {"settings": settings})

    assert answer.status_code == 422
    assert pointers(answer) == {f"#/secrets/{name}" for name in BOOKS["secrets"]}


def test_a_connection_is_deleted_with_open_runs_only_by_force(
    admin: Caller, services: Services, a_connection: Make
) -> None:
    of = a_connection().id
    with services.store.begin() as uow:
        subjects = [("p1", "c" * 32)]
        uow.runs.start_all(
            "payment_to_invoices", Origin("default", of), subjects, step="find_invoices", queued_until=uow.now
        )

    def delete(query: str = "") -> Any:
        return admin("DELETE", f"/connections/{of}{query}", headers={"If-Match": "*"})

    refused = delete()
    assert refused.status_code == 409
    assert "1 run that is not over" in refused.get_json()["detail"]
    assert admin("GET", f"/connections/{of}").status_code == 200
    assert delete("?force=true&reason=closed").status_code == 200
    assert admin("GET", f"/connections/{of}").status_code == 404


def test_a_paused_connection_is_told_and_resumed(admin: Caller, a_connection: Make) -> None:
    of = a_connection().id

    assert admin("POST", f"/connections/{of}/pause", json={}).get_json()["status"] == "inactive"
    assert [each["id"] for each in admin.get("/connections?status=inactive")["items"]] == [of]
    assert admin("POST", f"/connections/{of}/resume", json={}).get_json()["status"] == "active"


def test_a_secret_that_is_made_is_shown_once_and_the_one_before_stays_good(
    admin: Caller, services: Services, a_connection: Make
) -> None:
    of = a_connection().id

    answer = admin("POST", f"/connections/{of}/rotate", json={"make": ["webhook_secret"]})

    made = answer.get_json()["made"]["webhook_secret"]
    kept = services.book.get(of).settings
    assert [each.reveal() for each in kept.webhook_secrets] == [made, "planted-webhook-secret"]
    assert made not in admin("GET", f"/connections/{of}").text
    not_ours = admin("POST", f"/connections/{of}/rotate", json={"make": ["client_secret"]})
    assert (not_ours.status_code, pointers(not_ours)) == (422, {"#/secrets/client_secret"})


def test_the_list_is_filtered_and_goes_on(admin: Caller, caller: Admit, a_connection: Make) -> None:
    ours = [a_connection(name=f"Books {number}").id for number in range(3)]
    theirs = a_connection("acme").id

    first = admin.get("/connections?erp_system=zoho_books&tenant_id=default&limit=2")
    rest = admin.get(f"/connections?erp_system=zoho_books&tenant_id=default&limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in first["items"] + rest["items"]] == ours
    assert rest["next_cursor"] is None
    assert [each["id"] for each in caller("viewer", "acme").get("/connections")["items"]] == [theirs]
    assert admin.get("/connections?erp_system=s4hana")["items"] == []


def test_nobody_makes_a_connection_for_another_tenant(caller: Admit) -> None:
    answer = caller("admin", "acme")("POST", "/connections", json={**BOOKS, "tenant_id": "default"})

    assert answer.status_code == 403


# -- of the environment


@pytest.fixture
def of_environment(services: Services, admin: Caller) -> Caller:
    """The admin of an installation whose environment configures the books."""
    env = {"ZOHO_CLIENT_ID": "1", "ZOHO_CLIENT_SECRET": "planted-client-secret", "ZOHO_REFRESH_TOKEN": "r"}
    settings = Settings.from_env(
        {**os.environ, **env, "ZOHO_ORGANIZATION_ID": "6", "REDIS_URL": "redis://127.0.0.1:1/0"}
    )
    admin.client = create_app(Services(settings, services.store)).test_client()
    return admin


def test_those_of_the_environment_are_shown_and_read_only(of_environment: Caller) -> None:
    found = of_environment.get("/connections/zoho_books")

    assert found["is_of_environment"] is True
    assert found["secrets_set"] == ["client_secret", "refresh_token"]
    for method, path, body in (
        ("PUT", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/pause", {}),
        ("POST", "/resume", {}),
        ("POST", "/rotate", {"make": ["webhook_secret"]}),
    ):
        answer = of_environment(method, f"/connections/zoho_books{path}", json=body, headers={"If-Match": "*"})
        assert answer.status_code == 409, (method, path)
        assert "configured by the environment" in answer.get_json()["detail"]
        assert "ZOHO_" in answer.get_json()["detail"]


# -- to try


def test_a_test_tells_what_a_worker_has_found(admin: Caller, a_connection: Make, tried: list[str]) -> None:
    of = a_connection().id

    answer = admin("POST", f"/connections/{of}/test")

    assert answer.get_json() == {"success": True, "message": TRIED.message, "latency": 0.25, "missing": []}
    assert tried == [of]


def test_a_test_names_the_permission_that_is_missing(
    admin: Caller, a_connection: Make, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ("invoices: the token lacks ZohoBooks.invoices.CREATE",)
    monkeypatch.setattr(trials, "try_out", lambda *_: Trial(False, missing[0], 0.5, missing))

    found = admin("POST", f"/connections/{a_connection().id}/test").get_json()

    assert (found["success"], found["message"], found["missing"]) == (False, missing[0], [*missing])


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_test_that_no_worker_ends_is_not_waited_for(
    admin: Caller, a_connection: Make, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    monkeypatch.setattr(trials, "send", lambda _: is_sent)
    monkeypatch.setattr(waiting, "SECONDS", 0.0)
    of = a_connection().id

    for _ in range(waiting.AT_ONCE + 1):  # none of them keeps its place
        answer = admin("POST", f"/connections/{of}/test")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert ("No worker has finished" if is_sent else "The broker does not answer") in answer.get_json()["detail"]


def test_no_more_wait_at_once_than_a_process_can_spare(
    admin: Caller, a_connection: Make, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = a_connection().id
    monkeypatch.setattr(waiting, "_waiting", ["acme", "globex", "initech"][: waiting.AT_ONCE])
    refused = admin("POST", f"/connections/{of}/test")
    assert (refused.status_code, tried) == (503, [])

    waiting._waiting.pop()

    assert (admin("POST", f"/connections/{of}/test").status_code, tried) == (200, [of])


def test_who_asks_while_a_test_is_under_way_joins_it(services: Services, a_connection: Make, clock: Any) -> None:
    of = a_connection().id

    with services.store.begin() as uow:
        first, second = trials.ask(uow, of), trials.ask(uow, of)
    clock.advance(trials.JOINED.total_seconds())
    with services.store.begin() as uow:
        later = trials.ask(uow, of)

    assert first == second != later


def test_a_message_that_nobody_asked_for_tries_nothing(
    services: Services, a_connection: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, done = a_connection().id, []
    monkeypatch.setattr(trials, "services", lambda: services)
    monkeypatch.setattr(trials, "try_out", lambda *_: done.append(of) or TRIED)

    trials.try_connection(of)
    assert done == []
    with services.store.begin() as uow:
        trial_id = trials.ask(uow, of)
    trials.try_connection(of)
    trials.try_connection(of)  # the message comes again

    assert done == [of]
    with services.store.read() as uow:
        assert trials.result(uow, of, trial_id) == TRIED
        assert trials.result(uow, of, "another") is None
        assert json.loads(uow.facts.get(f"trial.{of}") or "{}")["id"] == trial_id
