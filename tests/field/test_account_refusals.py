"""Cases from the field: V4, a vendor that refuses the account and not the record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from celery.exceptions import Ignore
from sqlalchemy import select

from crmsync.connectors.limits import breaker as breaker_module
from crmsync.connectors.limits.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.connectors.s4hana.client import S4Hana
from crmsync.connectors.signing_in import renewals
from crmsync.connectors.signing_in.auth import FreshTokens
from crmsync.connectors.signing_in.grants import token_refused
from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.way_out.answers import Reply
from crmsync.connectors.zoho_books.errors import explain_sign_in
from crmsync.domain.breaker import FailedCall
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.tokens import AccessToken
from crmsync.errors import AccountRefusedError, AuthenticationError, CrmsyncError, RejectedError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store.tables import alerts
from crmsync.worker import dead_letters
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests.fakes import DEFAULT, FakeClock
from tests.field.raw_server import RawServer, Script, answer, html
from tests.field.vendors import (
    BOOKS,
    DEAL_PATH,
    ORDERS,
    json_answer,
    salesforce,
    salesforce_refusal,
    sap,
    write_back,
    zoho,
    zoho_answer,
)

HALF_AN_HOUR = 1800
SYSTEMS = {"zoho_books": "Zoho Books", "salesforce": "Salesforce", "s4hana": "SAP S/4HANA"}

_FLOW = Flow("refused", subject="deal", steps=("write",), rereads=())
_call: list[Callable[[], Any]] = []


@step(_FLOW, queue="books")
def write(attempt: Attempt) -> Mapping[str, Any]:
    _call[0]()
    return {}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing reaches a broker, and each process looks at the breaker each time."""
    monkeypatch.setattr(breaker_module, "BELIEVED_SECONDS", -1.0)
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(FLOWS["refused"], "enqueue", lambda run_id, results: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    yield
    _call.clear()


def guarded(services: Services, connection: str) -> GuardedBudget:
    return GuardedBudget(UNLIMITED, SharedBreaker(connection, SYSTEMS[connection], services._breakers()))


def runs_of(services: Services, count: int) -> list[str]:
    with services.store.begin() as uow:
        return [_FLOW.open_run(uow, DEFAULT, f"deal {number}", correlation_id="c")[0] for number in range(count)]


def runs(services: Services, run_ids: list[str]) -> list[Run]:
    with services.store.read() as uow:
        return [found for run_id in run_ids if (found := uow.runs.get(run_id))]


@pytest.fixture(autouse=True)
def second_tries_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewals, "AGAIN_SECONDS", 0.0)


def work(services: Services, clock: FakeClock, run_ids: list[str], seconds: int) -> None:
    """Messages for what is due, as the sweeper and Celery's retries send them."""
    for _ in range(0, seconds, 20):
        for run in runs(services, run_ids):
            if run.status is RunStatus.ACTIVE and run.due_at <= clock.now:
                with contextlib.suppress(Ignore, CrmsyncError):
                    write.execute(run.id)
        clock.advance(20)


def told(services: Services) -> list[tuple[str, str]]:
    with services.store.read() as uow:
        rows = uow.connection.execute(select(alerts).order_by(alerts.c.id))
        return [(row.content["headline"], row.content["cause"]) for row in rows]


def ends(services: Services) -> list[str]:
    """What people are told at the end of each alert; "open" for one that has none."""
    with services.store.read() as uow:
        rows = uow.connection.execute(select(alerts).order_by(alerts.c.id)).all()
    return [row.content["end"]["headline"] if row.closed_at else "open" for row in rows]


class Refused:
    """A sign-in that the vendor refuses."""

    def __init__(self) -> None:
        self.is_refused = True
        self.asked = 0

    def headers(self) -> Mapping[str, str]:
        if self.is_refused:
            self.asked += 1
            raise AuthenticationError("Zoho Books refused to sign in.", system="Zoho Books", operation="token")
        return {}

    def renew(self, stale: Any) -> Renewal:
        return Renewal.NOTHING


OK_INVOICE = json_answer(
    {"code": 0, "invoice": {"invoice_id": "46", "invoice_number": "INV-1", "total": 1, "currency_code": "USD"}}
)
OK_ORDER = json_answer({"d": {"SalesOrder": "4711"}})
OK_WRITE = answer(b"", "204 No Content")
UNAUTHORIZED = "401 Unauthorized"

# the connection, what refuses, what is answered when it is put right, a word of the alert
ACCOUNTS: dict[str, tuple[str, bytes, bytes, str]] = {
    "the plan is over": ("zoho_books", zoho_answer(103001), OK_INVOICE, "subscription"),
    "the plan is over, under 200": ("zoho_books", zoho_answer(103001, "200 OK"), OK_INVOICE, "subscription"),
    "the plan is over, under 403": ("zoho_books", zoho_answer(103001, "403 Forbidden"), OK_INVOICE, "subscription"),
    "no such organization": ("zoho_books", zoho_answer(9017), OK_INVOICE, "ZOHO_ORGANIZATION_ID"),
    "no such organization, under 200": ("zoho_books", zoho_answer(9017, "200 OK"), OK_INVOICE, "ZOHO_ORGANIZATION_ID"),
    "not in it": ("zoho_books", zoho_answer(6041), OK_INVOICE, "ZOHO_ORGANIZATION_ID"),
    **{
        f"a code that every call meets, under {status}": (
            "zoho_books",
            zoho_answer(110042, status),
            OK_INVOICE,
            "as a whole",
        )
        for status in ("200 OK", "400 Bad Request", UNAUTHORIZED, "403 Forbidden", "422 Unprocessable")
    },
    "a token of elsewhere, under 400": ("zoho_books", zoho_answer(14), OK_INVOICE, "data centre"),
    "a token of elsewhere": ("zoho_books", zoho_answer(14, UNAUTHORIZED), OK_INVOICE, "data centre"),
    "no API": ("salesforce", salesforce_refusal("API_DISABLED_FOR_ORG", "…", status="403 No"), OK_WRITE, "API Enabled"),
    "no session": ("salesforce", salesforce_refusal("INVALID_SESSION_ID", "…", status=UNAUTHORIZED), OK_WRITE, "user"),
    "storage": ("salesforce", salesforce_refusal("STORAGE_LIMIT_EXCEEDED", "…"), OK_WRITE, "storage"),
    "trial": ("salesforce", salesforce_refusal("TRIAL_EXPIRED", "…", status="403 No"), OK_WRITE, "subscription"),
    "password": ("s4hana", html(UNAUTHORIZED), OK_ORDER, "password"),
}


def caller(connection: str, url: str, budget: GuardedBudget) -> Callable[[], Any]:
    if connection == "zoho_books":
        books = zoho(url, budget)
        return lambda: books.read_invoice("46")
    if connection == "s4hana":
        erp = sap(url, budget)
        return lambda: erp.read_order("4711")
    crm = salesforce(url, budget)
    return lambda: write_back(crm)


@pytest.mark.parametrize(("connection", "refusal", "success", "word"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_V4__an_account_that_is_refused_costs_one_alert_and_its_runs_wait(
    services: Services, clock: FakeClock, connection: str, refusal: Script, success: bytes, word: str
) -> None:
    run_ids = runs_of(services, 6)
    with RawServer(refusal) as server:
        _call[:] = [caller(connection, server.url, guarded(services, connection))]
        work(services, clock, run_ids, HALF_AN_HOUR)

        assert {(run.status, run.attempts) for run in runs(services, run_ids)} == {(RunStatus.ACTIVE, 0)}
        # Somebody looks, and nobody hammers; SAP would lock the user.
        assert len(server.requests) < (3 if word == "password" else 40)
        assert len(server.requests) > (0 if word == "password" else 3)
        [(headline, cause)] = told(services)
        assert headline == f"{SYSTEMS[connection]} can't be used"
        assert word in cause

        server.at("/", success)
        work(services, clock, run_ids, HALF_AN_HOUR if word == "password" else 400)

    assert {run.status for run in runs(services, run_ids)} == {RunStatus.DONE}
    assert ends(services) == [f"{SYSTEMS[connection]} answers again"]


def test_V4__a_new_token_that_ends_on_its_way_is_tried_once_more(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs in with the same user may end the tokens of others: that is no refusal of the account."""
    run_ids = runs_of(services, 6)
    monkeypatch.setattr(renewals, "AGAIN_SECONDS", 600.0)
    with RawServer(salesforce_refusal("INVALID_SESSION_ID", "…", status=UNAUTHORIZED)) as server:
        _call[:] = [caller("salesforce", server.url, guarded(services, "salesforce"))]
        work(services, clock, run_ids, HALF_AN_HOUR)
        assert len(server.requests) <= 2
        assert told(services) == []

        monkeypatch.setattr(renewals, "AGAIN_SECONDS", 0.0)
        server.at("/", OK_WRITE)
        work(services, clock, run_ids, HALF_AN_HOUR)

    assert {run.status for run in runs(services, run_ids)} == {RunStatus.DONE}
    assert told(services) == []


def test_V4__a_sign_in_that_is_refused_is_looked_at_by_one(services: Services, clock: FakeClock) -> None:
    run_ids, sign_in = runs_of(services, 6), Refused()
    with RawServer(OK_INVOICE) as server:
        books = zoho(server.url, guarded(services, "zoho_books"), sign_in)
        _call[:] = [lambda: books.read_invoice("46")]
        work(services, clock, run_ids, HALF_AN_HOUR)

        assert {(run.status, run.attempts) for run in runs(services, run_ids)} == {(RunStatus.ACTIVE, 0)}
        assert 3 < sign_in.asked < 15
        assert [cause.partition(".")[0] for _, cause in told(services)] == ["Zoho Books refused to sign in"]

        sign_in.is_refused = False
        work(services, clock, run_ids, 400)

    assert {run.status for run in runs(services, run_ids)} == {RunStatus.DONE}


def test_V4__what_is_not_refused_goes_on(services: Services, clock: FakeClock) -> None:
    """A plan that only lacks the writes: no alert comes and goes with each read."""
    run_ids = runs_of(services, 3)
    with RawServer(zoho_answer(103001)) as server:
        server.at(f"{BOOKS}/invoices/46?", OK_INVOICE)
        books = zoho(server.url, guarded(services, "zoho_books"))

        def both() -> None:
            books.read_invoice("46")
            books.send_invoice("46", ())

        _call[:] = [both]
        work(services, clock, run_ids, HALF_AN_HOUR)

        assert {(run.status, run.attempts) for run in runs(services, run_ids)} == {(RunStatus.ACTIVE, 0)}
        assert len(told(services)) == 1
        assert sum("/email" in request.path for request in server.requests) < 25

        server.at(f"{BOOKS}/invoices/46/email", json_answer({"code": 0}))
        work(services, clock, run_ids, 400)

    assert {run.status for run in runs(services, run_ids)} == {RunStatus.DONE}
    assert ends(services) == ["Zoho Books answers again"]


def test_V4__each_operation_that_is_refused_is_looked_at(services: Services) -> None:
    with services.store.begin() as uow:
        for operation in ("mail", "make"):
            call = FailedCall(is_probe=False, reason="Over.", operation=operation)
            uow.breakers.failed("b", call, system="B", threshold=9)
        breaker = uow.breakers.get("b")
        assert [breaker.holds(name) for name in ("mail", "make", "read", "")] == [True, True, False, False]

        assert uow.breakers.succeeded("b", "read") is None
        assert uow.breakers.succeeded("b", "make") is None
        assert [uow.breakers.get("b").holds(name) for name in ("mail", "make")] == [True, False]
        assert uow.breakers.get("b").wait_seconds(uow.now) == 0, "the next may look at once"
        assert uow.breakers.succeeded("b", "mail") is not None


def test_V4__a_record_that_is_refused_is_no_account(services: Services, clock: FakeClock) -> None:
    run_ids = runs_of(services, 2)
    with RawServer(salesforce_refusal("STRING_TOO_LONG", "…", fields=["Name"])) as server:
        _call[:] = [caller("salesforce", server.url, guarded(services, "salesforce"))]
        work(services, clock, run_ids, 60)

        assert {run.status for run in runs(services, run_ids)} == {RunStatus.STOPPED}
        assert {request.path for request in server.requests} == {DEAL_PATH}


def test_V4__a_dead_session_that_is_renewed_does_not_open_anything(services: Services) -> None:
    with RawServer(salesforce_refusal("INVALID_SESSION_ID", "…", status=UNAUTHORIZED), OK_WRITE) as server:
        caller("salesforce", server.url, guarded(services, "salesforce"))()
    with RawServer(OK_ORDER) as server:
        server.at(ORDERS, OK_ORDER)
        caller("s4hana", server.url, guarded(services, "s4hana"))()

    assert told(services) == []


def books_refused_with(refusal: bytes, organizations: bytes) -> tuple[list[CrmsyncError], int]:
    """What two calls were refused with, and how often the list of organizations was read for it."""
    caught = []
    with RawServer(refusal) as server:
        server.at(f"{BOOKS}/organizations", organizations)
        books = zoho(server.url)
        for _ in range(2):
            with pytest.raises(CrmsyncError) as found:
                books.read_invoice("46")
            caught.append(found.value)
        looks = sum("/organizations" in request.path for request in server.requests)
    return caught, looks


OURS = {"organization_id": "10", "is_org_active": True, "user_status": "active"}


def listed(*rows: dict[str, Any]) -> bytes:
    return json_answer({"code": 0, "organizations": list(rows)})


ORGANIZATIONS = {
    "ours is not among them": (listed({**OURS, "organization_id": "11"}), "ZOHO_ORGANIZATION_ID"),
    "there is none": (listed(), "ZOHO_ORGANIZATION_ID"),
    "ours is not active": (listed({**OURS, "is_org_active": False}), "Activate"),
    "our user is not active": (listed({**OURS, "user_status": "inactive"}), "Activate"),
    "its plan is over": (zoho_answer(103001), "subscription"),
}


@pytest.mark.parametrize(("organizations", "word"), ORGANIZATIONS.values(), ids=ORGANIZATIONS)
def test_V4__an_unknown_code_is_the_accounts_where_the_organization_is_not_well(
    organizations: bytes, word: str
) -> None:
    caught, _ = books_refused_with(zoho_answer(110042, text="Words"), organizations)

    assert [type(error) for error in caught] == [AccountRefusedError] * 2
    assert word in (caught[0].advice or "")


WELL = {
    "it is well": (listed(OURS), 1),
    "it tells little": (listed({"organization_id": 10}), 1),
    "we may not ask": (zoho_answer(57, UNAUTHORIZED), 1),
    "nobody answers": (html("502 Bad Gateway"), 2),
    "somebody else answers": (html("200 OK"), 2),
}


@pytest.mark.parametrize(("organizations", "looks"), WELL.values(), ids=WELL)
def test_V4__an_unknown_code_is_the_records_where_the_organization_is_well(organizations: bytes, looks: int) -> None:
    caught, asked = books_refused_with(zoho_answer(110042, text="Words"), organizations)

    assert [(type(error), error.code, error.words) for error in caught] == [(RejectedError, "110042", "Words")] * 2
    assert asked == looks, "it is believed for a while"


@pytest.mark.parametrize("code", [4, 15, 1002, 3062])
def test_V4__a_known_code_needs_no_second_look(code: int) -> None:
    assert books_refused_with(zoho_answer(code), listed())[1] == 0


@pytest.mark.parametrize("code", [103001, 9017, 6041])
def test_V4__a_sign_in_that_tells_of_the_account_in_the_codes_of_the_api_is_read(code: int) -> None:
    answered = Reply(400, {}, {"code": code, "message": "…"})

    error = token_refused("Zoho Books", answered, explain_sign_in)
    assert type(error) is AccountRefusedError
    assert token_refused("Zoho Books", Reply(400, {}, {"code": 15}), explain_sign_in).is_outage


def refused_with_a_password(services: Services) -> None:
    call = FailedCall(is_probe=False, reason="Wrong password.", least_hold_seconds=HALF_AN_HOUR)
    services._breakers().failed("s4hana", "SAP S/4HANA", call)


def waits(services: Services) -> float:
    with services.store.read() as uow:
        breaker = uow.breakers.get("s4hana")
        return breaker.wait_seconds(uow.now) if breaker.is_open else -1


def test_V4__after_a_refused_password_nobody_looks_for_half_an_hour(services: Services, clock: FakeClock) -> None:
    with RawServer(html(UNAUTHORIZED)) as server, pytest.raises(AccountRefusedError):
        caller("s4hana", server.url, guarded(services, "s4hana"))()
    assert waits(services) == HALF_AN_HOUR
    assert "once every 30 minutes" in told(services)[0][1]

    clock.advance(HALF_AN_HOUR - 1)
    assert not services._breakers().take_probe("s4hana", seconds=45)
    clock.advance(1)
    assert services._breakers().take_probe("s4hana", seconds=45)


def test_V4__what_doctor_finds_well_goes_on_at_once(services: Services, clock: FakeClock) -> None:
    run_ids = runs_of(services, 3)
    refused_with_a_password(services)
    with RawServer(OK_ORDER) as server:
        _call[:] = [caller("s4hana", server.url, guarded(services, "s4hana"))]
        work(services, clock, run_ids, 60)
        assert server.requests == []

        services._breakers().found_well("s4hana", "SAP S/4HANA")
        work(services, clock, run_ids, 20)

    assert {run.status for run in runs(services, run_ids)} == {RunStatus.DONE}
    assert ends(services) == ["SAP S/4HANA answers again"]


def with_sap(services: Services, url: str) -> Services:
    """A process of that store, whose environment has SAP."""
    env = {"HOME": "/nowhere", "SAP_BASE_URL": url, "SAP_AUTH": "basic", "SAP_USER": "CRMSYNC", "SAP_PASSWORD": "wrong"}
    settings = Settings.from_env({**env, "SAP_SALES_ORGANIZATION": "1010", "CRMSYNC_SECRET_KEY": "k" * 44})
    return Services(settings, services.store)


def test_V4__a_start_with_new_credentials_looks_at_once(services: Services) -> None:
    refused_with_a_password(services)
    with RawServer() as server:
        connected = with_sap(services, server.url)
        assert waits(services) > 0
        connected.connector("s4hana")
    assert waits(services) == 0


def test_V4__doctor_looks_past_the_breaker_and_closes_it_where_all_is_well(services: Services) -> None:
    with RawServer(html(UNAUTHORIZED)) as server:
        started = with_sap(services, server.url)
        erp = started.connector("s4hana")
        with pytest.raises(AccountRefusedError):
            cast(S4Hana, erp).read_order("4711")
        for _ in range(2):
            assert [check.is_ok for check in with_sap(services, server.url).examine("s4hana")] == [False]
        assert len(server.requests) == 3, "it is not held, and tries a password once"
        assert len(told(services)) == 1

        server.at("/", json_answer({"d": {"results": []}}, "200 OK", "x-csrf-token: t"))
        assert all(check.is_ok for check in with_sap(services, server.url).examine("s4hana"))

    assert waits(services) == -1
    assert ends(services) == ["SAP S/4HANA answers again"]


def test_V4__a_fresh_sign_in_replaces_the_kept_token_once() -> None:
    asked: list[str | None] = []

    class Kept:
        def read(self, connection: str) -> Any:
            return AccessToken("kept", datetime.now(UTC), "")

        def renew(self, connection: str, *, stale: str | None, fetch: Any, limit: Any) -> Any:
            asked.append(stale)
            return fetch()

    store: Any = Kept()
    fresh = FreshTokens(store)
    assert fresh.read("b") is None
    fresh.renew("b", stale=None, fetch=lambda: AccessToken("new", datetime.now(UTC), ""), limit=None)
    assert asked == ["kept"]
    assert fresh.read("b") is not None
