"""A dry run by the API: a worker finds out what a replay would do, and nothing is done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crmsync.domain.dead_letters import Answers, LetterStatus
from crmsync.errors import AmbiguousMatchError, VendorUnavailableError
from crmsync.reading import foresight
from crmsync.services import Services
from crmsync.web.api import waiting
from tests.unit.web.api.conftest import Caller, World
from tests.unit.web.api.test_who_may_ask import state_of
from tests.unit.web.conftest import AtOnce

DRY = {"dry_run": True}


@pytest.fixture(autouse=True)
def _worker(at_once: AtOnce) -> None:
    """Each of these tests has one."""


@pytest.fixture
def path(world: World) -> str:
    return f"/dead-letters/{world.letter_id}/replay"


def test_a_dry_run_does_nothing(
    admin: Caller, services: Services, world: World, enqueued: list[str], path: str
) -> None:
    before = state_of(services.store)

    answer = admin("POST", path, json={"dry_run": True, "accept": True}).get_json()

    assert (answer["is_dry_run"], answer["status"], answer["approval"]) == (True, "waiting", None)
    assert (answer["goes_on_at"], answer["done_steps"]) == ("fetch_deal", ["create_order"])
    assert enqueued == []
    assert state_of(services.store) == before
    with services.store.read() as uow:
        assert uow.dead_letters.get(world.letter_id).status is LetterStatus.WAITING  # type: ignore[union-attr]


def test_it_shows_what_the_command_shows(admin: Caller, services: Services, world: World, path: str) -> None:
    found = admin("POST", path, json=DRY).get_json()["foreseen"]

    with services.store.read() as uow:
        letter = uow.dead_letters.get(world.letter_id)
    assert letter is not None
    shown = foresight.foresee(services, letter, Answers(), accept_changes=False)
    assert found == json.loads(json.dumps(shown, default=str)) | {
        "created_at": shown["created_at"].isoformat(),
        "updated_at": shown["updated_at"].isoformat(),
    }
    assert found["source"]["is_read"] is True
    assert "300 sensors" in [change["after"] for change in found["source"]["changes"]]
    assert "Petra" not in json.dumps(found)
    assert found["steps"][0]["step"] == "fetch_deal"


def test_its_names_are_spelt_as_asked(admin: Caller, path: str) -> None:
    found = admin("POST", f"{path}?case=camel", json={"dryRun": True}).get_json()["foreseen"]

    assert found["source"]["isRead"] is True
    assert found["dryRun"] is True


def test_sent_again_with_its_key_nobody_is_asked(admin: Caller, at_once: AtOnce, path: str) -> None:
    first, again = (admin("POST", path, json=DRY, headers={"Idempotency-Key": "dry"}) for _ in range(2))

    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert len(at_once.questions) == 1


def test_a_customer_that_the_run_would_not_take_is_named(
    admin: Caller, at_once: AtOnce, a_letter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = a_letter(AmbiguousMatchError(), done=3)
    path, body = f"/dead-letters/{letter.id}/replay", {**DRY, "links": {"s4hana": "1000777"}}
    at_once.there.missing = {"1000777"}
    missing = admin("POST", path, json=body)
    at_once.there.missing, at_once.there.name = set(), "Beta GmbH"
    other = admin("POST", path, json=body)
    seen = admin("POST", path, json={**body, "is_seen": True})

    assert (missing.status_code, other.status_code, seen.status_code) == (422, 422, 202)
    assert missing.get_json()["errors"][0] == {
        "pointer": "#/links",
        "detail": "the ERP has no customer 1000777. Nothing was stored.",
    }
    assert "has another name than the account" in other.get_json()["errors"][0]["detail"]
    assert ("s4hana", "1000777") in [(each["system"], each["number"]) for each in seen.get_json()["foreseen"]["done"]]


def test_a_system_that_can_not_be_asked_for_a_customer_says_so(admin: Caller, at_once: AtOnce, path: str) -> None:
    at_once.there.error = VendorUnavailableError("It is down.")

    answer = admin("POST", path, json={**DRY, "links": {"s4hana": "1000777"}})

    assert answer.status_code == 503
    assert "It is down." in answer.get_json()["detail"]


@pytest.mark.parametrize(("is_broker_there", "detail"), [(True, "No worker has finished the dry run"), (False, "The ")])
def test_without_a_worker_it_says_so(
    admin: Caller, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch, path: str, is_broker_there: bool, detail: str
) -> None:
    monkeypatch.setattr(waiting, "SECONDS", 0.0)
    at_once.is_there, at_once.is_broker_there = False, is_broker_there

    answer = admin("POST", path, json=DRY)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.get_json()["detail"].startswith(detail)


def test_of_one_that_does_not_wait_nobody_is_asked(admin: Caller, at_once: AtOnce, path: str) -> None:
    assert admin("POST", path, json={}).status_code == 202

    assert admin("POST", path, json=DRY).status_code == 409
    assert at_once.questions == []


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", None])
@pytest.mark.parametrize("name", ["accept", "is_seen", "dry_run"])
def test_a_number_is_neither_yes_nor_no(admin: Caller, enqueued: list[str], path: str, name: str, value: Any) -> None:
    answer = admin("POST", path, json={name: value, "reason": "x"})

    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (422, f"#/{name}")
    assert enqueued == []
