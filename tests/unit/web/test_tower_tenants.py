"""The control tower of people who are restricted to one company: every page and every button is kept to it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from crmsync import people
from crmsync.domain.access import Role
from crmsync.domain.approvals import Approval, ApprovalStatus, Decision
from crmsync.domain.audit import Act, Origin
from crmsync.domain.dead_letters import DeadLetter, LetterStatus
from crmsync.errors import AmountMismatchError
from crmsync.services import Services
from tests.unit.web.test_sign_in import BROWSER, SECRET, form_token, sign_in

KEY = "006xx0000012zzzAAA"


@pytest.fixture
def letter(services: Services, a_letter: Any) -> DeadLetter:
    """A dead letter of the tenant `acme`, whose company is Beta GmbH."""
    made: DeadLetter = a_letter(AmountMismatchError(), key=KEY, company="Beta GmbH", done=3)
    with services.store.begin() as uow:
        uow.connection.execute(text("UPDATE runs SET tenant = 'acme', source = 'con_acme'"))
        uow.connection.execute(text("UPDATE deliveries SET source = 'con_acme'"))
        uow.connection.execute(text("UPDATE alerts SET tenant = 'acme'"))
        for name, tenant in (("ann", "acme"), ("otto", "other"), ("ada", None)):
            people.add_user(uow, Act("root", Origin.CLI), name, SECRET, role=Role.ADMIN, tenant=tenant)
    return made


@pytest.fixture
def approval(services: Services, letter: DeadLetter) -> Approval:
    """What one person of `acme` has proposed about it, for another to confirm."""
    with services.store.begin() as uow:
        own = uow.dead_letters.get(letter.id)
        assert own is not None
        made = uow.approvals.add(own, Decision.DISCARD, {}, by="cleo", reason="")
    assert made is not None
    assert (made.id, made.tenant) == (1, "acme")
    return made


def routes(app: Flask) -> list[tuple[str, str, bool]]:
    """Every method and address of the tower, and whether it is about one object."""
    found = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("tower.")]
    return [
        (method, rule.rule, bool(rule.arguments))
        for rule in found
        for method in {"GET", "POST"} & (rule.methods or set())
    ]


def ask(client: FlaskClient, method: str, rule: str, letter: DeadLetter, query: str = "") -> Any:
    path = rule.replace("<run_id>", letter.run_id).replace("<int(max=2147483647):letter_id>", str(letter.id))
    path = path.replace("<int(max=2147483647):approval_id>", "1")
    with client.session_transaction() as session:
        token = session.get("token", "")
    form = {"token": token, "confirm": "yes", "reason": "so", "accept": "yes"} if method == "POST" else None
    return client.open(f"{path}{query}", method=method, data=form, headers=BROWSER)


def test_every_page_and_button_is_kept_to_the_company(
    app: Flask, services: Services, letter: DeadLetter, approval: Approval
) -> None:
    otto = app.test_client()
    sign_in(otto, "otto")
    form_token(otto)
    words = ("Beta GmbH", KEY, letter.run_id, "con_acme", "A deal is stuck")
    queries = ("", f"?text={KEY}", "?text=Beta&everything=1", f"?text={letter.run_id}", f"?text={letter.id}")

    known = routes(app)
    answers = {
        (method, rule, query): ask(otto, method, rule, letter, query)
        for method, rule, is_one in known
        for query in (queries if not is_one else ("",))
    }

    assert len(known) >= 9
    for (method, rule, query), answer in answers.items():
        echoed = [word for word in words if word in query]
        shown = [word for word in words if word not in echoed and word in answer.text]
        assert shown == [], f"{method} {rule}{query}"
        assert answer.status_code == (404 if "<" in rule else 200), f"{method} {rule}"
    with services.store.read() as uow:
        assert [each.status for each in uow.dead_letters.list("acme")] == [LetterStatus.WAITING]
        kept = uow.approvals.get(approval.id)
    assert kept is not None
    assert kept.status is ApprovalStatus.WAITING


def test_its_own_people_see_and_decide(app: Flask, services: Services, letter: DeadLetter) -> None:
    ann = app.test_client()
    sign_in(ann, "ann")
    form_token(ann)

    for method, rule, _ in routes(app):
        if method == "GET" and "/stock" not in rule and "find" not in rule:
            assert "Beta GmbH" in ask(ann, method, rule, letter).text or "/alerts" in rule, rule
    assert "A deal is stuck" in ann.get("/alerts", headers=BROWSER).text
    assert ask(ann, "POST", f"/dead-letters/{letter.id}/discard", letter).status_code == 303
    with services.store.read() as uow:
        assert uow.dead_letters.list("acme") == []


def test_nobody_asks_for_another_company(app: Flask, letter: DeadLetter) -> None:
    otto = app.test_client()
    sign_in(otto, "otto")

    assert otto.get("/runs?tenant=acme", headers=BROWSER).status_code == 404
    assert otto.get("/metrics").status_code == 401, "they count all companies together"


def test_who_sees_all_companies_can_look_at_one(app: Flask, letter: DeadLetter, a_run: Any) -> None:
    a_run("Acme Ltd")
    ada = app.test_client()
    sign_in(ada, "ada")
    all_of_them, one = ada.get("/runs", headers=BROWSER).text, ada.get("/runs?tenant=acme", headers=BROWSER).text

    assert "Beta GmbH" in all_of_them
    assert "Acme Ltd" in all_of_them
    assert '<td role="cell" data-label="Company">acme</td>' in all_of_them
    assert "Beta GmbH" in one
    assert "Acme Ltd" not in one
    assert f'href="/runs/{letter.run_id}?tenant=acme"' in one, "and goes on with the links"
    assert ada.get(f"/runs/{letter.run_id}?tenant=default", headers=BROWSER).status_code == 404
