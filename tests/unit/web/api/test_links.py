"""PUT /links: a person says which customer an account is, a worker looks both up, and nothing else is stored."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from crmsync.domain.customers import Address, Candidate, Customer
from crmsync.domain.tax_numbers import TaxNumber
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services
from crmsync.store.tables import facts
from crmsync.web.api import waiting
from crmsync.worker import questions
from tests.fakes import FakeClock
from tests.unit.web.api.conftest import Admit, Caller, World
from tests.unit.web.conftest import AtOnce

ACCOUNT = "001xx000003DGb0AAG"
PATH = f"/links/s4hana/{ACCOUNT}"
SAID = {"key": "1000777", "reason": "asked by sales"}


@pytest.fixture(autouse=True)
def _worker(at_once: AtOnce) -> None:
    """Each of these tests has one."""


def questions_of(services: Services) -> list[str]:
    with services.store.read() as uow:
        return [row.value for row in uow.connection.execute(facts.select()) if row.name.startswith("question.")]


def test_a_link_is_set_and_shown_as_the_list_shows_it(admin: Caller, services: Services) -> None:
    answer = admin("PUT", PATH, json=SAID)

    assert answer.status_code == 200, answer.text
    [listed] = admin.get("/links")["items"]
    assert listed == {**answer.get_json(), "accounts": 1}
    assert {name: listed[name] for name in ("tenant_id", "source", "connection", "account", "key")} == {
        "tenant_id": "default",
        "source": "salesforce",
        "connection": "s4hana",
        "account": ACCOUNT,
        "key": "1000777",
    }
    assert (listed["name"], listed["city"], listed["origin"]) == ("Acme Ltd", "Springfield", "set")
    assert listed["linked_by"] == "admin of None, by the API"
    assert questions_of(services) == [], "what was read is gone"


def test_the_audit_has_who_why_and_what_was_before(admin: Caller, services: Services, world: World) -> None:
    assert admin("PUT", PATH, json=SAID).status_code == 200

    with services.store.read() as uow:
        entry = uow.audit.newest(None, limit=1)[0]
    assert (entry.verb, entry.object_key, entry.tenant) == ("link.set", f"s4hana/{ACCOUNT}", "default")
    assert (entry.name, entry.origin, entry.reason) == ("admin of None", "api", "asked by sales")
    assert (entry.before, entry.after) == ({"key": "1000123"}, {"key": "1000777", "currency": ""})
    assert [each["key"] for each in admin.get("/links")["items"]] == ["1000777"]


def test_a_link_that_is_so_already_stays_as_it_is(admin: Caller, services: Services, world: World) -> None:
    before = admin.get("/links")["items"][0]
    with services.store.read() as uow:
        entries = len(uow.audit.newest(None, limit=100))

    answer = admin("PUT", PATH, json={**SAID, "key": before["key"]})

    assert {**answer.get_json(), "accounts": 1} == before
    with services.store.read() as uow:
        assert len(uow.audit.newest(None, limit=100)) == entries


def test_the_link_of_another_currency_stays(admin: Caller, at_once: AtOnce) -> None:
    for number, currency in (("1", "EUR"), ("2", "USD"), ("3", "USD")):
        at_once.there.currency = currency
        assert admin("PUT", PATH, json={**SAID, "key": number}).status_code == 200

    found = {each["currency"]: each["key"] for each in admin.get("/links")["items"]}
    assert found == {"EUR": "1", "USD": "3"}


def test_an_account_may_be_named_by_its_short_id(admin: Caller) -> None:
    assert admin("PUT", PATH[:-3], json=SAID).get_json()["account"] == ACCOUNT


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"key": "1000777"}, "#/reason"),
        ({"key": "1000777", "reason": "  "}, "#/reason"),
        ({"reason": "x"}, "#/key"),
        ({"key": "1' or '1", "reason": "x"}, "#/key"),
        ({"key": "1", "reason": "x", "isSeen": "yes"}, "#/isSeen"),
        ({"key": "1", "reason": "x", "is_seen": 1}, "#/is_seen"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anybody_is_asked(
    admin: Caller, at_once: AtOnce, body: dict[str, Any], pointer: str
) -> None:
    answer = admin("PUT", PATH, json=body)

    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (422, pointer)
    assert at_once.questions == []


@pytest.mark.parametrize(
    ("missing", "blocked", "place", "detail"),
    [
        ("1000777", "", {"pointer": "#/key"}, "the ERP has no customer 1000777."),
        ("", "1000777", {"pointer": "#/key"}, "is blocked or inactive in the ERP."),
        (ACCOUNT, "", {"parameter": "account"}, f"The CRM has no account {ACCOUNT}."),
    ],
)
def test_what_is_not_there_or_blocked_is_refused_by_field(
    admin: Caller, at_once: AtOnce, missing: str, blocked: str, place: dict[str, str], detail: str
) -> None:
    at_once.crm.missing = at_once.there.missing = {missing}
    at_once.there.blocked = {blocked}

    answer = admin("PUT", PATH, json={**SAID, "is_seen": True})

    [error] = answer.get_json()["errors"]
    assert answer.status_code == 422
    assert detail in error["detail"]
    assert place.items() <= error.items()
    assert admin.get("/links")["items"] == []


def test_an_id_that_no_account_has_is_refused(admin: Caller, at_once: AtOnce) -> None:
    answer = admin("PUT", "/links/s4hana/nothing", json=SAID)

    assert (answer.status_code, answer.get_json()["errors"][0]["parameter"]) == (422, "account")
    assert at_once.questions == []


def test_a_customer_of_another_name_is_linked_by_who_has_seen_it(admin: Caller, at_once: AtOnce) -> None:
    at_once.there.name = "Beta GmbH"

    refused = admin("PUT", PATH, json=SAID)
    [error] = refused.get_json()["errors"]
    assert (refused.status_code, error["pointer"]) == (422, "#/key")
    assert error["detail"].startswith("1000777 Beta GmbH, Springfield in the ERP has another name than the account")
    assert admin.get("/links")["items"] == []

    assert admin("PUT", PATH, json={**SAID, "isSeen": True}).get_json()["name"] == "Beta GmbH"


def test_a_customer_with_another_tax_number_is_linked_by_who_has_seen_it(
    admin: Caller, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    germany = Address(city="Ulm", country="DE")
    account = Customer(ACCOUNT, "Acme Ltd", tax_number="DE123456789", address=germany)
    found = Candidate("1000777", "Acme Ltd", tax_numbers=(TaxNumber("DE987654321", "DE"),))
    monkeypatch.setattr(at_once.crm, "read_accounts", lambda *_: {ACCOUNT: account})
    monkeypatch.setattr(at_once.there, "read_customers", lambda *_: {"1000777": found})

    refused = admin("PUT", PATH, json=SAID)

    assert refused.status_code == 422
    assert "another tax number than the account" in refused.get_json()["errors"][0]["detail"]
    assert "987654321" not in refused.text
    assert admin("PUT", PATH, json={**SAID, "is_seen": True}).status_code == 200


def test_the_name_of_a_person_is_neither_shown_nor_kept(
    admin: Caller, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    ida = Customer(ACCOUNT, "Ida Lee", first_name="Ida", last_name="Lee", address=Address(city="Ulm"))
    monkeypatch.setattr(at_once.crm, "read_accounts", lambda *_: {ACCOUNT: ida})
    at_once.there.name = "Ida Lee"

    answer = admin("PUT", PATH, json=SAID)

    assert (answer.status_code, answer.get_json()["name"], answer.get_json()["city"]) == (200, "", "")


@pytest.mark.parametrize("side", ["crm", "there"])
def test_a_system_that_does_not_answer_says_so_and_nothing_is_stored(
    admin: Caller, at_once: AtOnce, services: Services, side: str
) -> None:
    getattr(at_once, side).error = VendorUnavailableError("It is down.", system="the system")

    answer = admin("PUT", PATH, json=SAID)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert "It is down. Nothing was stored." in answer.get_json()["detail"]
    assert admin.get("/links")["items"] == []
    assert questions_of(services) == []


@pytest.mark.parametrize(("is_broker_there", "detail"), [(True, "No worker has finished"), (False, "The broker does")])
def test_without_a_worker_the_answer_says_so_and_nothing_is_done(
    admin: Caller,
    at_once: AtOnce,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    is_broker_there: bool,
    detail: str,
) -> None:
    monkeypatch.setattr(waiting, "SECONDS", 0.0)
    at_once.is_there, at_once.is_broker_there = False, is_broker_there

    for _ in range(waiting.AT_ONCE + 1):  # none of them keeps its place
        answer = admin("PUT", PATH, json=SAID)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.get_json()["detail"].startswith(detail)
    assert admin.get("/links")["items"] == []
    assert questions_of(services) == []  # a worker that comes back spends no calls on what nobody waits for


def test_one_tenant_leaves_a_place_to_the_others(
    caller: Admit, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy, other = caller("operator", "default"), caller("operator", None)
    sent: list[str] = []
    found: list[tuple[str, int]] = []

    def send(task: str, question_id: str) -> bool:
        """While this one waits, the next comes."""
        sent.append(question_id)
        if len(sent) <= waiting.OF_ONE_TENANT:
            found.append(("greedy", greedy("PUT", PATH, json=SAID).status_code))
        if len(sent) == waiting.OF_ONE_TENANT:
            found.append(("other", other("PUT", PATH, json=SAID).status_code))
        return at_once.send(task, question_id)

    monkeypatch.setattr(questions, "send", send)
    found.append(("greedy", greedy("PUT", PATH, json=SAID).status_code))

    assert found == [("greedy", 503), ("other", 200), ("greedy", 200), ("greedy", 200)]


@pytest.mark.parametrize(
    ("tenant", "path", "status"),
    [
        ("acme", PATH, 404),
        (None, f"/links/con_nobodys/{ACCOUNT}", 404),
        (None, f"/links/salesforce/{ACCOUNT}", 404),
        (None, f"{PATH}?tenant_id=acme", 404),
        (None, f"{PATH}?source=con_nobodys", 404),
        (None, f"{PATH}?source=salesforce&tenant_id=default", 200),
    ],
)
def test_only_where_the_callers_own_accounts_have_customers(
    caller: Admit, tenant: str | None, path: str, status: int
) -> None:
    assert caller("operator", tenant)("PUT", path, json=SAID).status_code == status


# -- the questions


def test_a_question_lies_sealed_and_is_answered_once(services: Services) -> None:
    with services.store.begin() as uow:
        question_id = questions.ask(services, uow, {"key": "1000777", "account": ACCOUNT})
    [kept] = questions_of(services)
    assert "1000777" not in kept
    assert ACCOUNT not in kept

    found = []
    for value in ("first", "again"):  # the message comes again
        questions.answer(services, question_id, lambda asked, value=value: found.append(asked) or value)  # type: ignore[misc]
    questions.answer(services, "nobodys", lambda asked: found.append(asked))

    assert [asked["key"] for asked in found] == ["1000777"]
    with services.store.read() as uow:
        assert questions.answered(services, uow, question_id) == questions.Answer("first")
    assert "first" not in questions_of(services)[0]
    assert json.loads(questions_of(services)[0])["asked_at"]


def test_what_nobody_came_back_for_is_forgotten(services: Services, clock: FakeClock) -> None:
    with services.store.begin() as uow:
        questions.ask(services, uow, {"x": 1})
    clock.advance(questions.KEPT.total_seconds())
    questions.forget(services)
    assert len(questions_of(services)) == 1

    clock.now += timedelta(seconds=1)
    questions.forget(services)

    assert questions_of(services) == []


def test_a_bug_is_named_and_its_text_is_not(services: Services) -> None:
    def fails(asked: Any) -> Any:
        raise KeyError("Petra Private")

    with services.store.begin() as uow:
        question_id = questions.ask(services, uow, {})
    questions.answer(services, question_id, fails)

    with services.store.read() as uow:
        found = questions.answered(services, uow, question_id)
    assert found == questions.Answer(problem="Unexpected KeyError in crmsync.")
