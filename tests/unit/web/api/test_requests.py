"""What every request and answer has in common: spelling, problems, cursors, keys, versions."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from crmsync.services import Services
from crmsync.store.keys import renew_kept_key
from crmsync.web.app import create_app
from tests.unit.web.api.conftest import Admit, Caller, World

TOKEN = {"name": "ci", "role": "viewer"}


def keyed(by: Caller, key: str, body: Any, path: str = "/tokens") -> Any:
    return by("POST", path, json=body, headers={"Idempotency-Key": key})


# -- names


def test_names_are_taken_in_both_spellings_and_answered_as_asked(admin: Caller) -> None:
    camel = admin("POST", "/tokens?case=camel", json={**TOKEN, "tenantId": "acme"}).get_json() or {}
    snake = admin("POST", "/tokens", json={**TOKEN, "tenant_id": "acme"}).get_json()

    assert snake["tenant_id"] == "acme"
    assert camel["tenantId"] == "acme"
    assert "tenant_id" not in camel


def test_a_name_in_both_spellings_is_refused(admin: Caller) -> None:
    answer = admin("POST", "/tokens", json={**TOKEN, "tenant_id": "acme", "tenantId": "other"})

    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"pointer": "#/tenant_id", "detail": "is given twice, in both spellings"}]


def test_the_keys_of_free_maps_stay_as_they_are(admin: Caller, world: World) -> None:
    found = admin.get("/dashboard?case=camel")

    assert "deadLettersWaiting" in found["statistics"]
    assert "order_to_invoice" in found["statistics"]["runs"]


# -- problems


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"#/name", "#/role"}),
        ({**TOKEN, "role": "king"}, {"#/role"}),
        ({**TOKEN, "tenantId": "No!"}, {"#/tenantId"}),
        ({**TOKEN, "x/y": 1}, {"#/x~1y"}),
        ({**TOKEN, "name": "a\0b"}, {"#/name"}),
        ({**TOKEN, "name": "\ud800"}, {"#/name"}),
        ({**TOKEN, "expires_at": "2027-01-01T00:00:00"}, {"#/expires_at"}),
        ({**TOKEN, "expires_at": "2020-01-01T00:00:00Z"}, {"#/expires_at"}),
        ([], {"#"}),
    ],
)
def test_what_is_not_valid_is_pointed_at(admin: Caller, body: Any, errors: set[str]) -> None:
    answer = admin("POST", "/tokens", json=body)

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    problem = answer.get_json()
    assert problem["status"] == 422
    assert problem["type"].startswith("urn:crmsync:problem:")
    assert {error["pointer"] for error in problem["errors"]} == errors


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": "{", "content_type": "application/json"}, 400),
        ({"data": "{}", "content_type": "text/plain"}, 415),
        ({"data": b"\xff", "content_type": "application/json"}, 400),
        ({"data": "{" + " " * 1_100_000 + "}", "content_type": "application/json"}, 413),
    ],
)
def test_a_body_that_can_not_be_read_is_a_problem(admin: Caller, options: dict[str, Any], status: int) -> None:
    answer = admin("POST", "/tokens", **options)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "status", "parameter"),
    [
        ("/runs?limit=0", 422, "limit"),
        ("/runs?limit=x", 422, "limit"),
        ("/runs?limit=1.0", 422, "limit"),
        ("/runs?limit=5&limit=6", 400, "limit"),
        ("/runs?nothing=1", 422, "nothing"),
        ("/runs?case=CAMEL", 422, "case"),
        ("/runs?cursor=abc", 400, "cursor"),
        ("/runs?cursor=%FF", 400, "cursor"),
        ("/me?x=1", 422, "x"),
    ],
)
def test_an_address_is_checked_as_a_body_is(admin: Caller, path: str, status: int, parameter: str) -> None:
    answer = admin("GET", path)

    assert answer.status_code == status
    assert [error["parameter"] for error in answer.get_json()["errors"]] == [parameter]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/runs", 405)])
def test_flasks_own_refusals_are_problems_too(admin: Caller, method: str, path: str, status: int) -> None:
    answer = admin(method, path)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert (status == 405) == ("Allow" in answer.headers)


def test_a_fault_of_ours_tells_nothing_of_its_data(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret of a customer")

    monkeypatch.setattr("crmsync.web.api.resources.runs.newest_runs", fail)

    answer = admin("GET", "/runs")

    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text + caplog.text


def test_no_answer_is_kept(admin: Caller) -> None:
    headers = admin("GET", "/me").headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


# -- keys


def test_a_request_that_is_sent_again_does_nothing(admin: Caller, services: Services) -> None:
    first, second = keyed(admin, "k1", TOKEN), keyed(admin, "k1", TOKEN)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.get_json() == first.get_json()
    assert second.get_json()["token"].startswith("crm_")
    assert second.headers["Idempotency-Replayed"] == "true"
    with services.store.read() as uow:
        assert sum(each.name == "ci" for each in uow.api_tokens.newest(None)) == 1


def test_a_key_is_for_one_request(admin: Caller) -> None:
    keyed(admin, "k1", TOKEN)

    assert keyed(admin, "k1", {**TOKEN, "name": "other"}).status_code == 422
    assert keyed(admin, "k1", {"flow": "inventory"}, "/runs").status_code == 422


def test_a_key_is_its_callers_own(admin: Caller, caller: Admit) -> None:
    keyed(admin, "k1", TOKEN)

    assert keyed(caller(), "k1", {**TOKEN, "name": "other"}).status_code == 201


def test_a_request_that_was_refused_may_be_sent_again(admin: Caller, world: World, services: Services) -> None:
    path = f"/dead-letters/{world.letter_id}/replay"
    assert keyed(admin, "k1", {"links": {"nothing": "1"}, "reason": "x"}, path).status_code == 422

    assert keyed(admin, "k1", {}, path).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 201, "a b", "ä"])
def test_a_key_that_is_none_is_refused(admin: Caller, key: str) -> None:
    assert keyed(admin, key, TOKEN).status_code == 400


def test_what_is_shown_once_is_not_kept_readable(admin: Caller, services: Services) -> None:
    from sqlalchemy import text

    secret = keyed(admin, "k1", TOKEN).get_json()["token"].rpartition("_")[2]

    with services.store.read() as uow:
        rows = [str(row) for row in uow.connection.execute(text("SELECT * FROM api_requests"))]
    assert rows
    assert secret not in " ".join(rows)


def test_a_key_is_forgotten_after_a_day(admin: Caller, clock: Any) -> None:
    keyed(admin, "k1", TOKEN)
    clock.advance(86_401)

    assert keyed(admin, "k1", {**TOKEN, "name": "other"}).status_code == 201


# -- cursors


def test_a_list_goes_on_where_it_ended(admin: Caller, a_run: Any) -> None:
    keys = [f"006xx00000{number:02}abcAAA" for number in range(5)]
    for key in keys:
        a_run(key=key)
    seen, cursor = [], ""
    while cursor is not None:
        page = admin.get(f"/runs?limit=2&cursor={cursor}")
        seen += [each["subject_key"] for each in page["items"]]
        cursor = page["next_cursor"]

    assert seen == keys[::-1]


@pytest.mark.parametrize("path", ["/tokens", "/audit", "/webhook-events", "/sync-records", "/links", "/sync-logs"])
def test_every_list_has_all_of_it_in_pages(admin: Caller, world: World, a_run: Any, path: str) -> None:
    a_run(key="006xx0000012abdAAA")
    whole = admin.get(f"{path}?limit=200")["items"]
    seen, cursor = [], ""
    while cursor is not None:
        page = admin.get(f"{path}?limit=1&cursor={cursor}")
        assert len(page["items"]) <= 1
        seen += page["items"]
        cursor = page["next_cursor"]

    assert seen == whole
    assert whole


def test_a_cursor_is_good_for_its_list_alone(admin: Caller, a_run: Any, caller: Admit) -> None:
    for number in range(2):
        a_run(key=f"006xx00000{number:02}abcAAA")
    cursor = admin.get("/runs?limit=1")["next_cursor"]

    for path in (f"/runs?flow=inventory&cursor={cursor}", f"/sync-logs?cursor={cursor}", f"/runs?cursor={cursor}x"):
        assert admin("GET", path).status_code == 400
    assert caller("admin", "default")("GET", f"/runs?cursor={cursor}").status_code == 400
    assert admin("GET", f"/runs?cursor={cursor}&limit=5").status_code == 200


# -- versions


def test_what_is_known_is_not_sent_again(admin: Caller, world: World) -> None:
    tag = admin("GET", f"/tokens/{world.token_id}").headers["ETag"]

    again = admin("GET", f"/tokens/{world.token_id}", headers={"If-None-Match": tag})

    assert (again.status_code, again.data) == (304, b"")


def test_an_update_of_what_was_changed_meanwhile_is_refused(admin: Caller, world: World) -> None:
    path = f"/tokens/{world.token_id}"
    tag = admin("GET", path).headers["ETag"]

    assert admin("DELETE", path).status_code == 428
    assert admin("DELETE", path, headers={"If-Match": '"other"'}).status_code == 412
    assert admin("DELETE", path, headers={"If-Match": tag}).status_code == 200
    assert admin("DELETE", path, headers={"If-Match": tag}).status_code == 412


# -- the document


def test_the_document_is_openapi_and_has_every_endpoint(app: Flask) -> None:
    from openapi_core import OpenAPI

    from crmsync.web.api.endpoints import ENDPOINTS

    document = app.test_client().get("/api/erp/openapi.json").get_json()

    OpenAPI.from_dict(document)
    assert document["openapi"] == "3.1.0"
    verbs = ("get", "post", "put", "patch", "delete")
    found = {
        (verb.upper(), path.removeprefix("/api/erp"))
        for path, operations in document["paths"].items()
        for verb in verbs
        if verb in operations
    }
    pages = {"/docs", "/openapi.json", "/oauth/callback"}
    assert found == {each for each in ENDPOINTS if each[1] not in pages}


def test_the_docs_load_nothing_from_elsewhere(app: Flask) -> None:
    import re

    page = app.test_client().get("/api/erp/docs")

    assert page.status_code == 200
    assert all(target.startswith(("/", "#")) for target in re.findall(r'(?:href|src)="([^"]+)"', page.text))
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")


def test_the_api_is_imported_with_the_first_request_to_it() -> None:
    import subprocess
    import sys

    code = "import sys, crmsync.web.serving; print([n for n in sys.modules if 'smorest' in n or n == 'argon2'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"


# -- another key of crmsync's own


def after_rotation(admin: Caller, services: Services) -> Caller:
    """The same caller, asking a receiver that has started again with a newer key."""
    renew_kept_key(services.settings.home)
    services.vault.reread()
    return Caller(create_app(services).test_client(), admin.token)


def test_a_request_of_before_another_key_is_still_known(admin: Caller, services: Services) -> None:
    first = keyed(admin, "k1", TOKEN)
    after = after_rotation(admin, services)

    again = keyed(after, "k1", TOKEN)

    assert (again.status_code, again.get_json()) == (201, first.get_json())
    assert keyed(after, "k1", {**TOKEN, "name": "other"}).status_code == 422


def test_a_cursor_of_before_another_key_goes_on(admin: Caller, services: Services) -> None:
    keyed(admin, "k1", TOKEN)
    cursor = admin.get("/tokens?limit=1")["next_cursor"]

    assert len(after_rotation(admin, services).get(f"/tokens?limit=1&cursor={cursor}")["items"]) == 1
