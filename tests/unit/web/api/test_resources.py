"""What each resource tells and does."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from crmsync.domain.payloads import kept_of
from crmsync.domain.runs import RunStatus
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import AmbiguousMatchError
from crmsync.services import Services
from crmsync.web.api.endpoints import ENDPOINTS
from crmsync.web.inbox import Arrived
from tests.builders import DEAL_KEY
from tests.unit.web.api.conftest import Admit, Caller, World

ROOT = Path(__file__).parents[4]


def test_the_documentation_has_every_endpoint_with_its_role() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| (`(?:GET|POST|PUT|PATCH|DELETE) [^|]+) \| (\w+) \|", page, re.MULTILINE)
    told = {(method, path): role for cell, role in rows for method, path in re.findall(r"`([A-Z]+) ([^`]+)`", cell)}

    roles = {each: str(rule.role) for each, rule in ENDPOINTS.items() if rule.role is not None}
    strangers = {each: "anybody" for each, rule in ENDPOINTS.items() if rule.is_public}
    assert told == roles | strangers


def test_a_run_is_told_with_its_steps_documents_and_history(admin: Caller, world: World) -> None:
    run = admin.get(f"/runs/{world.run_id}")

    assert (run["flow"], run["subject_key"], run["status"]) == ("order_to_invoice", DEAL_KEY, "stopped")
    assert run["money"] == {"amount": "47000.00", "currency": "USD"}
    assert [step["state"] for step in run["steps"]][:4] == ["done", "done", "done", "stopped"]
    assert run["dead_letter"] == world.letter_id
    assert run["history"][-1]["event"] == "stopped"


def test_no_answer_names_a_person(admin: Caller, world: World) -> None:
    paths = [path for method, path in ENDPOINTS if method == "GET" and "{" not in path and path != "/docs"]
    for path in [*paths, f"/runs/{world.run_id}", f"/sync-logs/{world.run_id}", f"/dead-letters/{world.letter_id}"]:
        text = admin("GET", path).text
        assert "Petra" not in text, path
        assert "petra@" not in text, path


def test_runs_are_filtered(admin: Caller, world: World, a_run: Any) -> None:
    a_run(key="006xx0000012abdAAA")

    assert [each["id"] for each in admin.get("/runs?status=stopped")["items"]] == [world.run_id]
    assert admin.get("/runs?flow=inventory")["items"] == []
    assert len(admin.get("/runs?flow=order_to_invoice&status=")["items"]) == 2


@pytest.mark.parametrize(
    ("flow", "given", "subject"),
    [("inventory", {}, "inventory"), ("order_to_invoice", {"subjectKey": "006xx0000012abd"}, "006xx0000012abdAAA")],
)
def test_a_run_is_started_as_its_webhook_would(
    admin: Caller, services: Services, enqueued: list[str], flow: str, given: dict[str, str], subject: str
) -> None:
    started = admin("POST", "/runs", json={"flow": flow, **given, "reason": "asked by sales"})

    assert started.status_code == 202
    run_id = started.get_json()["id"]
    assert enqueued == [run_id]
    with services.store.read() as uow:
        run, entry = uow.runs.get(run_id), uow.audit.newest(None, limit=1)[0]
    assert run is not None
    assert (run.flow, run.subject_key, run.status) == (flow, subject, RunStatus.ACTIVE)
    assert (entry.verb, entry.origin, entry.object_key, entry.reason) == ("run.start", "api", run_id, "asked by sales")


@pytest.mark.parametrize("body", [{"flow": "order_to_invoice"}, {"flow": "inventory", "subject_key": "x"}])
def test_a_flow_is_started_for_what_it_is_for(admin: Caller, enqueued: list[str], body: dict[str, str]) -> None:
    answer = admin("POST", "/runs", json=body)

    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"] == "#/subject_key"
    assert enqueued == []


def test_a_letter_is_replayed(admin: Caller, services: Services, world: World, enqueued: list[str]) -> None:
    answer = admin("POST", f"/dead-letters/{world.letter_id}/replay", json={})

    assert answer.status_code == 202
    assert answer.get_json() | {"done_steps": []} == {
        "dead_letter": world.letter_id,
        "run_id": world.run_id,
        "status": "replaying",
        "is_dry_run": False,
        "goes_on_at": "fetch_deal",
        "done_steps": [],
        "approval": None,
        "foreseen": None,
    }
    assert enqueued == [world.run_id]
    with services.store.read() as uow:
        history, entry = uow.history.of_run(world.run_id), uow.audit.newest(None, limit=1)[0]
    assert history[-1].detail == "by admin of None, by the API"
    assert (entry.verb, entry.origin, entry.object_key) == ("dead_letter.replay", "api", str(world.letter_id))


def test_an_answer_needs_a_reason_and_is_kept_with_it(admin: Caller, services: Services, a_letter: Any) -> None:
    letter = a_letter(AmbiguousMatchError(), done=3)
    path, answer = f"/dead-letters/{letter.id}/replay", {"links": {"zoho_books": "46000000001"}, "accept": True}

    refused = admin("POST", path, json=answer)
    assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "#/reason")
    assert admin("POST", path, json={**answer, "reason": "agreed"}).status_code == 202

    with services.store.read() as uow:
        run, entry = uow.runs.get(letter.run_id), uow.audit.newest(None, limit=1)[0]
    assert run is not None
    assert run.answers["links"]["zoho_books"]["number"] == "46000000001"
    assert (entry.after["accept"], entry.after["links"], entry.reason) == (
        True,
        {"zoho_books": "46000000001"},
        "agreed",
    )


@pytest.mark.parametrize("links", [{"salesforce": "1"}, {"s4hana": "1' or '1"}, {"s4hana": ""}])
def test_a_link_that_can_not_be_meant_is_refused(admin: Caller, world: World, links: dict[str, str]) -> None:
    body = {"links": links, "reason": "x"}

    assert admin("POST", f"/dead-letters/{world.letter_id}/replay", json=body).status_code == 422


def test_a_letter_is_discarded_once_and_with_a_reason(admin: Caller, services: Services, world: World) -> None:
    path = f"/dead-letters/{world.letter_id}/discard"

    assert admin("POST", path, json={"reason": " "}).status_code == 422
    assert admin("POST", path, json={"reason": "billed by hand"}).get_json()["status"] == "discarded"
    again = admin("POST", path, json={"reason": "billed by hand"})

    assert (again.status_code, "does not wait" in again.get_json()["detail"]) == (409, True)
    with services.store.read() as uow:
        assert uow.runs.get(world.run_id).status is RunStatus.DISCARDED  # type: ignore[union-attr]
        assert uow.audit.newest(None, limit=1)[0].reason == "billed by hand"


def test_what_a_vendor_said_is_for_operators(caller: Admit, services: Services, world: World) -> None:
    from sqlalchemy import text

    with services.store.begin() as uow:
        uow.connection.execute(text("UPDATE dead_letters SET words = :words"), {"words": services.sealed("they said")})
    path = f"/dead-letters/{world.letter_id}"

    assert caller("operator").get(path)["vendor_words"] == "they said"
    assert caller("viewer").get(path)["vendor_words"] == ""


def test_a_sync_log_says_what_triggered_it_and_why_it_failed(admin: Caller, world: World) -> None:
    [line] = admin.get("/sync-logs?status=failed")["items"]
    log = admin.get(f"/sync-logs/{world.run_id}")

    assert (line["id"], line["status"], line["completed_at"]) == (world.run_id, "failed", None)
    assert (log["triggered_by"], log["counts"]["steps_done"], log["counts"]["failures"]) == ("webhook", 3, 1)
    assert log["error"]
    assert admin.get("/sync-logs?status=success")["items"] == []


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("connection=salesforce", True),
        ("connection=zoho_books", False),
        ("config_id=order_to_invoice:salesforce", True),
        ("config_id=order_to_invoice:salesforce&connection=zoho_books", False),
        ("config_id=order_to_invoice:salesforce&flow=inventory", False),
        ("connection=salesforce&status=success", False),
    ],
)
def test_sync_logs_are_filtered_by_connection_and_sync_config(
    admin: Caller, world: World, query: str, is_found: bool
) -> None:
    found = admin.get(f"/sync-logs?limit=5&{query}")["items"]

    assert [each["id"] for each in found] == ([world.run_id] if is_found else [])


def test_runs_of_a_sync_config_that_there_is_not_are_not_there(admin: Caller, world: World) -> None:
    assert admin("GET", "/sync-logs?config_id=nothing:salesforce").status_code == 404


def test_a_run_that_a_person_has_started_says_so(admin: Caller, world: World) -> None:
    run = admin("POST", "/runs", json={"flow": "inventory"}).get_json()

    log = admin.get(f"/sync-logs/{run['id']}")

    assert (log["triggered_by"], log["triggered_by_name"]) == ("person", "admin of None")


def test_a_link_is_listed_and_taken_back(admin: Caller, services: Services, world: World) -> None:
    [link] = admin.get(f"/links?account={world.account[:15]}")["items"]
    assert (link["key"], link["name"], link["accounts"]) == ("1000123", "Acme Ltd", 1)
    [record] = admin.get("/sync-records?type=customer&id=1000123")["items"]
    assert (record["source_key"], record["target_key"], record["status"]) == (world.account, "1000123", "linked")

    removed = admin("DELETE", f"/links/s4hana/{world.account}?reason=wrong%20one").get_json()["removed"]

    assert [each["key"] for each in removed] == ["1000123"]
    assert admin.get("/links")["items"] == []
    assert admin("DELETE", f"/links/s4hana/{world.account}").status_code == 404
    with services.store.read() as uow:
        entry = uow.audit.newest(None, limit=1)[0]
    assert (entry.verb, entry.reason, entry.before) == ("link.remove", "wrong one", {"key": "1000123", "currency": ""})


def test_an_event_names_its_run(admin: Caller, world: World) -> None:
    [event] = admin.get("/webhook-events?connection=salesforce")["items"]

    assert (event["subject_key"], event["run_id"], event["status"]) == (DEAL_KEY, world.run_id, "stopped")
    assert (event["via"], event["connection"], event["tenant_id"]) == ("webhook", "salesforce", "default")


def test_only_admins_see_what_a_webhook_said_and_no_person_in_it(
    caller: Admit, world: World, app: Flask, services: Services
) -> None:
    inbox = app.extensions["crmsync_inbox"]
    payload = kept_of(b'{"opportunityId": "006xx0000012abe", "owner": "Petra Klein"}', "application/json")
    inbox.put(Arrived("deals", "salesforce", [WebhookEvent("006xx0000012abeAAE")], "c" * 32, payload=payload))

    seen = {role: caller(role).get("/webhook-events?limit=1")["items"][0] for role in ("viewer", "operator", "admin")}

    assert {role: event["payload"] for role, event in seen.items()} == {
        "viewer": None, "operator": None, "admin": {"opportunityId": "006xx0000012abe", "owner": "<text, 11>"},
    }  # fmt: skip
    assert {event["action"] for event in seen.values()} == {"pending"}


def test_systems_say_what_they_need_and_no_secret(admin: Caller) -> None:
    names = [each["name"] for each in admin.get("/systems")["items"]]
    system = admin.get(f"/systems/{names[0]}")

    assert {"salesforce", "s4hana", "zoho_books"} <= set(names)
    assert system["settings"]["type"] == "object"
    assert admin("GET", "/systems/nothing").status_code == 404


def test_the_dashboard_counts(admin: Caller, world: World) -> None:
    found = admin.get("/dashboard")

    assert found["statistics"]["runs"]["order_to_invoice"] == {"stopped": 1}
    assert found["statistics"]["dead_letters_waiting"] == 1
    assert found["statistics"]["webhooks_active"] == 1
    assert [each["id"] for each in found["recent"]] == [world.run_id]


def test_the_dashboard_has_the_newest_open_alerts_and_no_person(admin: Caller, services: Services) -> None:
    facts = [["Company", "Petra Private"], ["Amount", "47.00 EUR"]]
    with services.store.begin() as uow:
        for number in range(7):
            content = {"headline": f"Deal {number} is stuck", "cause": "No mail to petra@acme.test.", "facts": facts}
            uow.alerts.add("default", f"cause {number}", content | {"advice": "Correct it."}, connection="salesforce")
        uow.alerts.close("cause 6")

    answer = admin("GET", "/dashboard")

    found = answer.get_json()
    assert found["statistics"]["alerts_open"] == 6
    assert [each["headline"] for each in found["alerts"]] == [f"Deal {number} is stuck" for number in (5, 4, 3, 2, 1)]
    newest = found["alerts"][0]
    assert (newest["cause"], newest["advice"], newest["occurrences"]) == ("No mail to ***.", "Correct it.", 1)
    assert (newest["tenant_id"], newest["connection"]) == ("default", "salesforce")
    assert not any(word in answer.text.lower() for word in ("petra", "47.00"))


def test_the_audit_is_filtered_by_object(admin: Caller, world: World) -> None:
    admin("POST", f"/dead-letters/{world.letter_id}/discard", json={"reason": "x"})

    found = admin.get(f"/audit?object_type=dead_letter&object_key={world.letter_id}")["items"]

    assert [each["verb"] for each in found] == ["dead_letter.discard"]


def test_an_admin_of_one_tenant_sees_its_own_tokens_and_audit(caller: Admit, world: World) -> None:
    by = caller("admin", "default")

    assert {each["tenant_id"] for each in by.get("/tokens")["items"]} == {"default"}
    assert {each["tenant_id"] for each in by.get("/audit")["items"]} == {"default"}


def test_what_a_token_has_made_does_not_outlive_it(app: Flask, services: Services, admin: Caller) -> None:
    ends = services.store.clock().replace(microsecond=0) + timedelta(hours=1)
    asked = {"name": "for an hour", "role": "admin", "expires_at": ends.isoformat()}
    short = Caller(app.test_client(), admin("POST", "/tokens", json=asked).get_json()["token"])

    def made(**options: str) -> TestResponse:
        return short("POST", "/tokens", json={"name": "its own", "role": "viewer", **options})

    assert datetime.fromisoformat(made().get_json()["expires_at"]) == ends
    assert made(expires_at=(ends - timedelta(minutes=1)).isoformat()).status_code == 201
    assert made(expires_at=(ends + timedelta(minutes=1)).isoformat()).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b', "role": "viewer"}',
        b'{"name": "x", "role": "viewer", "role": "admin"}',
        b'{"name": "x", "role": "viewer", "reason": NaN}',
        b'{"name": "x", "role": "viewer", "reason": ' + b"7" * 6_000 + b"}",
        b'{"name": "\xff", "role": "viewer"}',
    ],
    ids=["deep", "twice", "no number", "too long a number", "no text"],
)
def test_a_body_that_readers_may_read_differently_is_malformed(admin: Caller, body: bytes) -> None:
    answer = admin("POST", "/tokens", data=body, content_type="application/json")

    assert (answer.status_code, answer.get_json()["type"]) == (400, "urn:crmsync:problem:malformed")
