"""Four eyes: what one person can't decide alone, by any door, and what a second one may do about it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from crmsync import people
from crmsync.domain.access import Role
from crmsync.domain.approvals import ApprovalError, ApprovalStatus, TwoPeopleError
from crmsync.domain.audit import Act, Origin, verify
from crmsync.domain.bindings import Binding
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterStatus
from crmsync.errors import AmountMismatchError, CrmsyncError, DocumentGoneError, VendorUnavailableError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store.tables import runs
from crmsync.web.app import create_app
from crmsync.worker import approvals, dead_letters
from crmsync.worker.flow import MAY_MAKE
from tests.fakes import FakeClock
from tests.unit.web.api.conftest import Caller
from tests.unit.web.conftest import NO_REDIS, PASSWORD, basic

ADA, BOB = Act("ada", Origin.CLI, "agreed"), Act("bob", Origin.CLI)
ACCEPT = Answers(accept=True)
SECRET = "correct horse battery staple"
BROWSER = {"Accept": "text/html"}


@pytest.fixture
def settings() -> Settings:
    """The deals of the tests are of 47,000.00 USD."""
    own = {"CRMSYNC_TOWER_PASSWORD": PASSWORD, "REDIS_URL": NO_REDIS, "CRMSYNC_FOUR_EYES_ABOVE": "10000 USD"}
    return Settings.from_env({**os.environ, **own})


@pytest.fixture
def letter(a_letter: Any) -> DeadLetter:
    found: DeadLetter = a_letter(AmountMismatchError("The order is 1.00 USD net."), done=3)
    return found


def status_of(services: Services, letter: DeadLetter) -> LetterStatus:
    with services.store.read() as uow:
        found = uow.dead_letters.get(letter.id)
    assert found is not None
    return found.status


def proposed(services: Services, letter: DeadLetter, by: Act = ADA, answers: Answers = ACCEPT) -> int:
    made = dead_letters.replay(services, letter.id, answers, by=by)
    assert not isinstance(made, DeadLetter), "it was done"
    return made.id


def verbs(services: Services, letter: DeadLetter) -> list[tuple[str, str]]:
    with services.store.read() as uow:
        entries = uow.audit.newest(None, object_type="dead_letter", object_key=str(letter.id), limit=10)
        assert verify(uow.audit.in_order()).is_whole
    return [(entry.verb, entry.name) for entry in entries[::-1]]


def bind(services: Services, letter: DeadLetter, limit: str) -> None:
    with services.store.begin() as uow:
        options = {"four_eyes_above": limit}
        uow.bindings.add(Binding(letter.tenant, letter.flow, letter.source, {"deals": letter.source}, options))


# -- the amount


@pytest.mark.parametrize("act", ["accept", "link", "discard", "replay of a review"])
def test_a_decision_above_the_amount_is_proposed_and_nothing_happens(
    services: Services, letter: DeadLetter, enqueued: list[str], act: str
) -> None:
    acts: dict[str, Callable[[], object]] = {
        "accept": lambda: dead_letters.replay(services, letter.id, ACCEPT, by=ADA),
        "link": lambda: dead_letters.replay(services, letter.id, Answers(links={"s4hana": "17100001"}), by=ADA),
        "discard": lambda: dead_letters.discard(services, letter.id, by=ADA),
        "replay of a review": lambda: dead_letters.replay(services, letter.id, by=ADA),
    }

    made = acts[act]()

    assert not isinstance(made, DeadLetter)
    assert (status_of(services, letter), enqueued) == (LetterStatus.WAITING, [])
    assert verbs(services, letter) == [("dead_letter.propose", "ada")]


@pytest.mark.parametrize(
    ("limit", "needs_two"),
    [("47000 USD", False), ("46999.99 USD", True), ("99999999 EUR", True), ("", False)],
)
def test_the_tenants_own_amount_counts(
    services: Services, letter: DeadLetter, enqueued: list[str], limit: str, needs_two: bool
) -> None:
    bind(services, letter, limit)

    made = dead_letters.replay(services, letter.id, ACCEPT, by=ADA)

    assert isinstance(made, DeadLetter) is not needs_two


def test_a_deal_that_nobody_has_read_needs_two(services: Services, letter: DeadLetter) -> None:
    with services.store.begin() as uow:
        uow.connection.execute(update(runs).values(amount=None, currency=""))

    assert not isinstance(dead_letters.discard(services, letter.id, by=ADA), DeadLetter)


def test_a_source_that_is_bound_no_more_is_under_the_limits_of_its_tenant(
    services: Services, letter: DeadLetter
) -> None:
    with services.store.begin() as uow:
        options = {"four_eyes_above": "5 USD"}
        uow.bindings.add(Binding(letter.tenant, letter.flow, "another", {"deals": "another"}, options))

    assert not isinstance(dead_letters.discard(services, letter.id, by=ADA), DeadLetter)


def test_one_person_lets_a_failure_go_on_but_has_nothing_made_again(
    services: Services, a_letter: Any, enqueued: list[str]
) -> None:
    failed = a_letter(VendorUnavailableError(), done=3)

    assert isinstance(dead_letters.replay(services, failed.id, by=ADA), DeadLetter)

    with services.store.read() as uow:
        run = uow.runs.get(failed.run_id)
    assert run is not None
    assert MAY_MAKE not in run.progress


# -- two people


def test_a_second_person_confirms_and_both_are_in_the_audit(
    services: Services, letter: DeadLetter, enqueued: list[str]
) -> None:
    done = approvals.approve(services, proposed(services, letter), by=BOB)

    assert (done.status, done.proposed_by, done.decided_by) == (ApprovalStatus.APPROVED, "ada", "bob")
    assert (status_of(services, letter), enqueued) == (LetterStatus.REPLAYING, [letter.run_id])
    assert verbs(services, letter) == [("dead_letter.propose", "ada"), ("dead_letter.replay", "bob")]
    with services.store.read() as uow:
        run, entry = uow.runs.get(letter.run_id), uow.audit.newest(None, limit=1)[0]
    assert run is not None
    assert run.answers["accepted"], "it is what was proposed that is done"
    assert entry.after["proposed_by"] == "ada"


def test_a_discard_is_confirmed_alike(services: Services, letter: DeadLetter) -> None:
    made = dead_letters.discard(services, letter.id, by=ADA)
    assert not isinstance(made, DeadLetter)

    approvals.approve(services, made.id, by=BOB)

    assert status_of(services, letter) is LetterStatus.DISCARDED


@pytest.mark.parametrize("again", [ADA, Act(" Ada", Origin.TOWER), Act("ci", Origin.API, behind="ada")])
def test_nobody_confirms_what_they_have_proposed(services: Services, letter: DeadLetter, again: Act) -> None:
    approval = proposed(services, letter)

    with pytest.raises(ApprovalError, match="another person"):
        approvals.approve(services, approval, by=again)

    assert status_of(services, letter) is LetterStatus.WAITING


@pytest.mark.parametrize("nobody", [Act("crmsync", Origin.TOWER), Act("old", Origin.API, behind="")])
def test_who_is_nobody_in_particular_neither_proposes_nor_confirms(
    services: Services, letter: DeadLetter, nobody: Act
) -> None:
    with pytest.raises(ApprovalError):
        dead_letters.replay(services, letter.id, ACCEPT, by=nobody)
    approval = proposed(services, letter)
    with pytest.raises(ApprovalError):
        approvals.approve(services, approval, by=nobody)

    assert status_of(services, letter) is LetterStatus.WAITING


def test_a_proposal_ends_after_seven_days(services: Services, letter: DeadLetter, clock: FakeClock) -> None:
    approval = proposed(services, letter)
    clock.advance(timedelta(days=7).total_seconds())

    with pytest.raises(ApprovalError, match="expired"):
        approvals.approve(services, approval, by=BOB)

    assert proposed(services, letter, by=BOB), "and somebody else may propose it then"


def test_who_rejects_leaves_the_letter_waiting(services: Services, letter: DeadLetter) -> None:
    approval = proposed(services, letter)
    with services.store.begin() as uow:
        approvals.reject(uow, approval, by=BOB)

    with pytest.raises(ApprovalError, match="rejected"):
        approvals.approve(services, approval, by=BOB)
    assert status_of(services, letter) is LetterStatus.WAITING
    assert verbs(services, letter)[-1] == ("dead_letter.reject", "bob")


# -- ways round it


@pytest.mark.parametrize("change", ["amount", "currency", "another death"])
def test_what_has_changed_since_has_to_be_proposed_again(
    services: Services, letter: DeadLetter, change: str, clock: FakeClock
) -> None:
    approval = proposed(services, letter)
    with services.store.begin() as uow:
        if change == "another death":
            clock.advance(1)
            run = uow.runs.get(letter.run_id)
            assert run is not None
            uow.dead_letters.add(run, AmountMismatchError("The order is 2.00 USD net."))
        else:
            values = {"amount": Decimal("470000")} if change == "amount" else {"currency": "EUR"}
            uow.connection.execute(update(runs).values(**values))

    with pytest.raises(ApprovalError, match="has changed"):
        approvals.approve(services, approval, by=BOB)

    assert status_of(services, letter) is LetterStatus.WAITING
    assert proposed(services, letter, by=BOB) != approval


def test_a_letter_that_died_again_between_reading_and_deciding_is_not_decided(
    services: Services, letter: DeadLetter, clock: FakeClock
) -> None:
    """What is decided is what was read: of that amount."""
    clock.advance(1)
    with services.store.begin() as uow:
        run = uow.runs.get(letter.run_id)
        assert run is not None
        uow.dead_letters.add(run, AmountMismatchError("The order is 2.00 USD net."))

    with services.store.begin() as uow:
        assert not uow.dead_letters.move(letter, to=LetterStatus.REPLAYING)


def test_the_queue_decides_nothing(services: Services, letter: DeadLetter, enqueued: list[str]) -> None:
    with pytest.raises(TwoPeopleError):
        dead_letters.reopen(services, letter.id, ACCEPT, by="the dead_letter queue")

    dead_letters.replay_message(services, letter.run_id)

    assert (status_of(services, letter), enqueued) == (LetterStatus.WAITING, [])


def test_a_change_at_the_source_accepts_nothing(services: Services, a_letter: Any) -> None:
    gone = a_letter(DocumentGoneError("The order is gone."), done=3)
    with services.store.begin() as uow:
        dead_letters.revive(uow, gone.run_id, kinds=tuple(type(gone.kind)))

    with services.store.read() as uow:
        run = uow.runs.get(gone.run_id)
    assert run is not None
    assert (run.answers.get("accepted"), run.progress.get(MAY_MAKE)) == (None, None)


def test_of_two_who_confirm_at_once_one_does(services: Services, letter: DeadLetter, enqueued: list[str]) -> None:
    approval = proposed(services, letter)
    barrier, refused = threading.Barrier(2), list[str]()

    def confirm(by: Act) -> None:
        barrier.wait()
        try:
            approvals.approve(services, approval, by=by)
        except CrmsyncError as error:
            refused.append(type(error).__name__)

    threads = [threading.Thread(target=confirm, args=(by,)) for by in (BOB, Act("cleo", Origin.CLI))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(refused), enqueued) == (1, [letter.run_id])
    assert [verb for verb, _ in verbs(services, letter)].count("dead_letter.replay") == 1


def test_a_second_proposal_of_another_person_is_not_a_confirmation(services: Services, letter: DeadLetter) -> None:
    proposed(services, letter)

    with pytest.raises(ApprovalError, match="ada has proposed"):
        dead_letters.discard(services, letter.id, by=BOB)

    assert status_of(services, letter) is LetterStatus.WAITING


def test_ones_own_proposal_is_replaced(services: Services, letter: DeadLetter) -> None:
    first = proposed(services, letter)
    second = dead_letters.discard(services, letter.id, by=ADA)

    assert not isinstance(second, DeadLetter)
    with pytest.raises(ApprovalError, match="replaced"):
        approvals.approve(services, first, by=BOB)


# -- the API


@pytest.fixture
def token_of(app: Flask, services: Services) -> Callable[..., Caller]:
    def make(act: Act, role: str = "operator", tenant: str | None = None) -> Caller:
        with services.store.begin() as uow:
            made = people.create_token(uow, act, name=f"of {act.name}", role=Role(role), tenant=tenant)
        return Caller(app.test_client(), made.text)

    return make


def propose_by(by: Caller, letter: DeadLetter) -> Any:
    return by("POST", f"/dead-letters/{letter.id}/replay", json={"accept": True, "reason": "agreed"})


def test_a_token_and_who_made_it_are_one_person(services: Services, letter: DeadLetter, token_of: Any) -> None:
    answer = propose_by(token_of(ADA), letter)
    assert answer.status_code == 202
    told = answer.get_json()
    assert (told["status"], told["approval"]["proposed_by"]) == ("waiting", "ada")
    path = f"/approvals/{told['approval']['id']}/approve"

    own = token_of(ADA)("POST", path, json={})
    assert (own.status_code, own.get_json()["type"]) == (409, "urn:crmsync:problem:not-approved")
    with pytest.raises(ApprovalError):
        approvals.approve(services, told["approval"]["id"], by=ADA)
    assert token_of(BOB)("POST", path, json={}).get_json()["status"] == "approved"


def test_a_token_that_a_token_made_is_the_same_person_still(
    app: Flask, services: Services, letter: DeadLetter, token_of: Any
) -> None:
    approval = propose_by(token_of(ADA), letter).get_json()["approval"]["id"]
    made = token_of(ADA, "admin")("POST", "/tokens", json={"name": "innocent", "role": "operator"}).get_json()

    answer = Caller(app.test_client(), made["token"])("POST", f"/approvals/{approval}/approve", json={})

    assert answer.status_code == 409
    assert status_of(services, letter) is LetterStatus.WAITING


def test_a_discard_by_the_api_is_proposed(services: Services, letter: DeadLetter, token_of: Any) -> None:
    answer = token_of(ADA)("POST", f"/dead-letters/{letter.id}/discard", json={"reason": "lost"})

    assert (answer.status_code, answer.get_json()["decision"]) == (202, "discard")
    assert token_of(BOB).get("/approvals")["items"][0]["dead_letter"] == letter.id
    assert token_of(BOB).get(f"/dead-letters/{letter.id}")["approval"]["reason"] == "lost"


def test_the_proposals_of_a_tenant_are_not_another_ones(letter: DeadLetter, token_of: Any) -> None:
    approval = propose_by(token_of(ADA), letter).get_json()["approval"]["id"]
    stranger = token_of(BOB, "admin", "acme")

    assert stranger.get("/approvals?status=all")["items"] == []
    for verb in ("approve", "reject"):
        assert stranger("POST", f"/approvals/{approval}/{verb}", json={}).status_code == 404
    assert token_of(BOB, "viewer")("POST", f"/approvals/{approval}/approve", json={}).status_code == 403


def test_a_request_that_is_sent_again_proposes_once(services: Services, letter: DeadLetter, token_of: Any) -> None:
    by = token_of(ADA)
    body = {"json": {"reason": "lost"}, "headers": {"Idempotency-Key": "k1"}}
    first, again = (by("POST", f"/dead-letters/{letter.id}/discard", **body) for _ in range(2))

    assert (again.status_code, again.get_json()) == (202, first.get_json())


# -- the control tower


@pytest.fixture
def signed_in(services: Services) -> Callable[[str], FlaskClient]:
    """A browser in which that person, an operator, is signed in."""
    app = create_app(services)

    def sign_in(name: str) -> FlaskClient:
        with services.store.begin() as uow:
            people.add_user(uow, ADA, name, SECRET, role=Role.OPERATOR)
        client = app.test_client()
        form = {"token": token_in(client.get("/sign-in").text), "name": name, "password": SECRET}
        client.post("/sign-in", data=form, headers=BROWSER)
        return client

    return sign_in


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def press(client: FlaskClient, path: str, **fields: str) -> str:
    """Follows to the page that says what came of it."""
    page = client.get("/dead-letters", headers=BROWSER).text
    client.post(path, data={"token": token_in(page), **fields}, headers=BROWSER)
    return client.get("/dead-letters", headers=BROWSER).text


def test_the_control_tower_shows_a_proposal_with_two_buttons(
    services: Services, letter: DeadLetter, signed_in: Callable[[str], FlaskClient]
) -> None:
    ada, bob = signed_in("ada"), signed_in("bob")
    page = press(ada, f"/dead-letters/{letter.id}/replay", accept="yes", reason="agreed by phone")
    path = re.search(r'formaction="(/approvals/\d+/approve)"', page)

    assert path
    assert "needs two people" in page
    assert "agreed by phone" in bob.get("/dead-letters", headers=BROWSER).text
    assert path[1].replace("approve", "reject") in page
    assert "another person has to confirm it" in press(ada, path[1])
    assert status_of(services, letter) is LetterStatus.WAITING
    assert "is confirmed" in press(bob, path[1])
    assert status_of(services, letter) is LetterStatus.REPLAYING


def test_the_shared_password_does_not_decide(services: Services, letter: DeadLetter, operator: FlaskClient) -> None:
    operator.environ_base["HTTP_AUTHORIZATION"] = basic("crmsync", PASSWORD)

    page = press(operator, f"/dead-letters/{letter.id}/discard", confirm="yes", reason="x")

    assert "nobody in particular" in page
    assert status_of(services, letter) is LetterStatus.WAITING
