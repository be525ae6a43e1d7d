"""Cases from the field, T3, T4, T5, T8, T12: token endpoints that hang, lead astray, or refuse only for now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from sqlalchemy import select

from crmsync import errors
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.connectors.s4hana import csrf
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.salesforce.sign_in import signer_in
from crmsync.connectors.signing_in import auth, grants
from crmsync.connectors.signing_in.auth import SharedToken
from crmsync.connectors.signing_in.grants import TokenEndpoint, client_credentials, jwt_bearer, refresh_token
from crmsync.connectors.way_out.lease import deadline, seconds_of_sign_in
from crmsync.connectors.way_out.transport import new_session
from crmsync.domain.documents import Document, OrderRequest
from crmsync.domain.tokens import AccessToken
from crmsync.services import Services
from crmsync.settings import Secret, Settings
from crmsync.store.tables import alerts
from crmsync.store.vault import SharedTokens, Vault
from tests.builders import deal, private_pem
from tests.fakes import AnyAccount
from tests.field.certificates import Authority
from tests.field.raw_server import (
    CLOSE,
    RESET,
    RawServer,
    Script,
    answer,
    html,
    redirect,
    stalled,
    trickled,
    unpacks_to,
)
from tests.field.vendors import ORDER_SERVICE, ORDERS, csrf_token, json_answer, sap

KEY = private_pem()
GRANTED = b'{"access_token": "good", "instance_url": "https://acme.my.salesforce.com", "expires_in": 3600}'
SECONDS = 0.5


def by_jwt(server: RawServer) -> AccessToken:
    return jwt_bearer(
        "Salesforce",
        token_url=f"{server.url}/token",
        client_id="3MVG9",
        username="robot@acme.test",
        audience="https://login.salesforce.com",
        private_key=Secret(KEY),
        seconds=3600,
    )


def by_client(server: RawServer) -> AccessToken:
    url = f"{server.url}/token"
    return client_credentials("SAP", token_url=url, client_id="me", client_secret=Secret("s3cret-word"), seconds=3600)


def by_refresh(server: RawServer) -> AccessToken:
    endpoint = TokenEndpoint("Zoho Books", f"{server.url}/token", "1000.ME", Secret("s3cret-word"), 3600)
    return refresh_token(endpoint, Secret("1000.refresh"))


GRANTS = {"Salesforce": by_jwt, "SAP": by_client, "Zoho Books": by_refresh}
Grant = Callable[[RawServer], AccessToken]


@pytest.fixture(params=GRANTS.values(), ids=GRANTS)
def grant(request: pytest.FixtureRequest) -> Grant:
    return request.param


@pytest.fixture(autouse=True)
def machine_without_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def refusal(grant: Grant, script: Script) -> errors.CrmsyncError:
    with RawServer(script) as server, pytest.raises(errors.CrmsyncError) as caught:
        grant(server)
    assert caught.value.is_definite, "the call that needed the token was not sent"
    assert "s3cret" not in f"{caught.value} {caught.value.advice}"
    return caught.value


# T4: the guarded way, for sign-ins as well


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_T4__a_sign_in_follows_no_redirect(grant: Grant, status: str) -> None:
    with RawServer(answer(GRANTED)) as thief:
        error = refusal(grant, redirect(f"{thief.url}/token", status))

    assert thief.requests == []
    assert isinstance(error, errors.VendorUnavailableError)


def test_T4__a_token_that_unpacks_to_gigabytes_needs_little_memory(
    grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crmsync.connectors.way_out.transport.BODY_BYTES_MAX", 4 * 1024 * 1024)

    assert isinstance(refusal(grant, unpacks_to(megabytes=100)), errors.VendorUnavailableError)


@pytest.mark.parametrize(
    "script", [trickled(GRANTED), stalled(answer(GRANTED[:9], length=99))], ids=["trickles", "stalls"]
)
def test_T4__a_sign_in_keeps_its_deadline(grant: Grant, monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    monkeypatch.setattr(grants, "TOKEN_CALL_SECONDS", SECONDS)
    started_at = time.monotonic()

    assert isinstance(refusal(grant, script), errors.VendorUnavailableError)

    assert time.monotonic() - started_at < SECONDS + 3


def test_T8__a_sign_in_trusts_what_the_machine_trusts(
    grant: Grant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with RawServer(answer(GRANTED), tls=authority.server()) as server:
        with pytest.raises(errors.CertificateError, match="REQUESTS_CA_BUNDLE"):
            grant(server)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))

        assert grant(server).value == "good"


def test_T8__a_sign_in_goes_through_the_proxy_of_the_machine(grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer(GRANTED)) as proxy, RawServer() as vendor:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)

        assert grant(vendor).value == "good"

    assert vendor.requests == []
    assert proxy.requests[0].line.startswith(f"POST {vendor.url}/token")


# T5: a passing fault in permanent dress


def told(word: str, description: str = "", status: str = "400 Bad Request", *headers: str) -> bytes:
    body = f'{{"error": "{word}", "error_description": "{description}"}}'
    return answer(body.encode(), status, headers)


PASSING: dict[str, tuple[Script, float | None]] = {
    "unknown_error": (told("unknown_error", "retry your request"), None),
    "login rate exceeded": (told("invalid_grant", "login rate exceeded"), 60),
    "too many, with a wait": (told("invalid_grant", "Too many requests", "400 Bad Request", "Retry-After: 7"), 7),
    "server_error": (told("server_error"), None),
    "temporarily_unavailable": (told("temporarily_unavailable", "", "400 Bad Request", "Retry-After: 9"), 9),
    "Zoho's general_error": (told("general_error", "", "200 OK"), None),
    "Zoho's Access Denied": (told("Access Denied", "", "200 OK"), 600),
    "a page under 200": (html(), None),
    "nothing under 200": (answer(b""), None),
    "nothing under 204": (answer(b"", "204 No Content"), None),
    "a page under 400": (html("400 Bad Request"), None),
    "a page under 403": (html("403 Forbidden"), None),
    "a page under 404": (html("404 Not Found", ["Retry-After: 30"]), 30),
    "429": (html("429 Too Many Requests", ["Retry-After: 11"]), 11),
    "503": (html("503 Service Unavailable", ["Retry-After: 120"]), 120),
    "500 that blames the client": (told("invalid_client", "", "500 Internal Server Error"), None),
    "401 that does not blame them": (told("server_error", "", "401 Unauthorized"), None),
    "slow_down": (told("slow_down"), None),
    "a refusal that asks for another try": (told("invalid_grant", "Please try again later"), None),
    "the same in Salesforce's words": (told("invalid_grant", "retry your request"), None),
    "a limit": (told("invalid_grant", "Request limit exceeded"), 60),
    "a quota": (told("invalid_request", "Token quota has been exceeded"), 60),
    "throttled": (told("invalid_client", "The app is throttled"), 60),
    "an error that is an object": (answer(b'{"error": {"code": 9}}', "400 Bad Request"), None),
    "a list": (answer(b"[]"), None),
    "a token that is none": (answer(b'{"access_token": {"value": 1}}'), None),
    "a token of two lines": (answer(b'{"access_token": "one\\r\\nX-Two: three"}'), None),
    "cut": (answer(GRANTED[:20], length=90), None),
    "said to be packed": (answer(GRANTED, headers=["Content-Encoding: gzip"]), None),
    "reset": (RESET, None),
    "closed": (CLOSE, None),
}


@pytest.mark.parametrize(("script", "wait"), PASSING.values(), ids=PASSING)
def test_T5__a_passing_fault_of_a_sign_in_is_tried_again(grant: Grant, script: Script, wait: float | None) -> None:
    error = refusal(grant, script)

    assert isinstance(error, errors.RetryableError)
    assert error.retry_after_seconds == wait


@pytest.mark.parametrize(
    "script",
    [
        told("invalid_client"),
        told("invalid_client", status="401 Unauthorized"),
        told("invalid_grant", "authentication failure"),
        told("invalid_code", status="200 OK"),
        told("unauthorized_client"),
        told("invalid_client_secret", status="200 OK"),
        told("inactive_org"),
        told("unauthorized", "Bad credentials", "401 Unauthorized"),
        told("unauthorized", "Name or password mismatch"),
        told("Unauthorized", "Bad credentials", "401 Unauthorized"),
        told("NotAuthenticated", "", "401 Unauthorized"),
        answer(b'{"error": {"code": 401, "message": "no"}}', "401 Unauthorized"),
        answer(b'{"fault": {"faultstring": "Invalid ApiKey"}}', "401 Unauthorized"),
        told("app_not_found"),
        told("OAUTH_EC_APP_NOT_FOUND"),
        told("user_not_admin_approved"),
        told("consent_required"),
        html("401 Unauthorized"),
    ],
    ids=lambda script: script[:20].decode() + script[-60:].decode(),
)
def test_T5__wrong_credentials_are_called_so(grant: Grant, script: Script) -> None:
    assert isinstance(refusal(grant, script), errors.AuthenticationError)


BESIDE_A_TOKEN = [
    *(f'"expires_in": {told}' for told in ("-5", "null", "1e400", "NaN", '"3600"', '"3600.5"', '"soon"', "[]", "true")),
    *(f'"scope": {told}' for told in ("null", '"api web"', '["api"]', "7", '{"api": true}')),
    *('"error": null', '"error": ""', '"error": {}', '"expires_at": {}', '"token_type": 7', '"refresh_token": 7'),
]


@pytest.mark.parametrize("told", BESIDE_A_TOKEN)
def test_T5__nothing_that_is_told_beside_a_token_spoils_it(grant: Grant, told: str) -> None:
    with RawServer(answer(f'{{"access_token": "good", {told}}}'.encode())) as server:
        assert grant(server).value == "good"


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"", b"\n "])
def test_T5__a_token_is_read_whatever_stands_before_its_answer(grant: Grant, mark: bytes) -> None:
    with RawServer(answer(mark + GRANTED, content_type="text/html")) as server:
        assert grant(server).value == "good"


def test_T5__what_is_no_json_has_no_token(grant: Grant) -> None:
    assert isinstance(
        refusal(grant, answer(b'{"access_token": "good", "expires_in": soon}')), errors.VendorUnavailableError
    )


# T3, and the second try: the token that all share


@pytest.fixture
def vault(services: Services, tmp_path: Path) -> SharedTokens:
    return SharedTokens(services.store, Vault(None, tmp_path), AnyAccount())


@contextmanager
def in_a_step(seconds: float = 60) -> Iterator[None]:
    with deadline(time.monotonic() + seconds):
        yield


def shared(vault: SharedTokens, server: RawServer, connection: str = "zoho_books") -> SharedToken:
    return SharedToken(connection, store=vault, fetch=lambda: by_refresh(server))


def outcomes(count: int, work: Callable[[], object]) -> list[tuple[type, float]]:
    """What *count* threads of a worker come to, each at a step, and after how many seconds."""
    found: list[tuple[type, float]] = []

    def run() -> None:
        started_at = time.monotonic()
        try:
            with in_a_step():
                result: object = work()
        except errors.CrmsyncError as error:
            result = error
        found.append((type(result), time.monotonic() - started_at))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_T3__a_trickling_sign_in_holds_up_only_itself(vault: SharedTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "TOKEN_CALL_SECONDS", 2.0)
    with RawServer(trickled(GRANTED, every_seconds=0.2)) as server:
        token = shared(vault, server)
        found = outcomes(12, token.token)

    held = [seconds for kind, seconds in found if kind is errors.VendorUnavailableError]
    others = [seconds for kind, seconds in found if kind is errors.NotNowError]
    assert (len(held), len(others)) == (1, 11)
    assert max(others) < min(held)
    assert max(others) < 1
    assert len(server.requests) == 1


def test_T3__a_token_that_was_refused_is_renewed_by_one_thread_while_the_others_come_back(
    vault: SharedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "TOKEN_CALL_SECONDS", 2.0)
    with RawServer(html("401 Unauthorized")) as server:
        server.at("/token", answer(GRANTED), trickled(GRANTED, every_seconds=0.2))
        client = VendorClient(
            system="Zoho Books",
            session=new_session(),
            authorizer=shared(vault, server),
            explain=lambda reply: None,
            call_seconds=5,
        )
        with pytest.raises(errors.VendorUnavailableError):
            client.call("look", "GET", server.url)
        found = outcomes(12, lambda: client.call("look", "GET", server.url))
        client.session.close()

    kinds = [kind for kind, _ in found]
    assert kinds.count(errors.NotNowError) == 11
    assert max(seconds for kind, seconds in found if kind is errors.NotNowError) < 1.5


def test_T3__a_csrf_token_that_trickles_holds_up_only_whoever_fetches_it() -> None:
    """Otherwise each thread that has an order to make would wait for its turn to wait for SAP."""
    with RawServer(trickled(csrf_token(), every_seconds=0.2)) as server:
        erp = sap(server.url, CRMSYNC_CALL_SECONDS="4")
        found = outcomes(12, lambda: erp.create_order(OrderRequest("SF-1", "17100001", deal())))

    held = [seconds for kind, seconds in found if kind is errors.VendorUnavailableError]
    others = [seconds for kind, seconds in found if kind is errors.NotNowError]
    assert (len(held), len(others)) == (1, 11)
    assert max(others) < min(held)
    assert len(server.requests) == 1


def test_T3__a_csrf_token_that_comes_in_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csrf, "PATIENCE_SECONDS", 30.0)
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, json_answer({"d": {"SalesOrder": "4711"}}, "201 Created"))
        erp = sap(server.url)
        found = outcomes(4, lambda: erp.create_order(OrderRequest("SF-1", "17100001", deal())))

    assert {kind for kind, _ in found} == {Document}


def test_T3__a_sign_in_ends_with_the_lease_and_needs_no_longer_one(vault: SharedTokens) -> None:
    with RawServer(answer(GRANTED), trickled(GRANTED)) as server:
        with in_a_step(seconds=5):
            assert shared(vault, server).token().value == "good"
        started_at = time.monotonic()
        with in_a_step(seconds=2), pytest.raises(errors.VendorUnavailableError):
            shared(vault, server, "s4hana").token()

    assert time.monotonic() - started_at < 4


def test_T3__another_process_comes_back_instead_of_waiting(
    vault: SharedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crmsync.store.vault.WAIT_SECONDS", 0.05)
    has_begun, may_end = threading.Event(), threading.Event()

    def fetch() -> AccessToken:
        has_begun.set()
        may_end.wait(10)
        raise errors.VendorUnavailableError

    first, second = (SharedToken("zoho_books", store=vault, fetch=fetch) for _ in range(2))
    thread = threading.Thread(target=lambda: outcomes(1, first.token))
    thread.start()
    assert has_begun.wait(10)
    (found,) = outcomes(1, second.token)
    may_end.set()
    thread.join()

    assert found[0] is errors.NotNowError
    assert found[1] < 2


def test_T3__a_token_that_is_good_is_used_while_another_is_fetched(vault: SharedTokens) -> None:
    with RawServer(answer(GRANTED)) as server:
        shared(vault, server).token()
        late = shared(vault, server)
        with late._signing_in:
            assert late.token().value == "good"


def test_T3__a_command_waits_for_the_sign_in_of_another(vault: SharedTokens) -> None:
    with RawServer(answer(GRANTED)) as server:
        token = shared(vault, server)
        token._signing_in.acquire()
        timer = threading.Timer(0.2, token._signing_in.release)
        timer.start()
        assert token.token().value == "good"
        timer.join()


def test_T3__sign_ins_that_are_lost_open_the_breaker_and_tell_people(
    services: Services, vault: SharedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = SharedBreaker("zoho_books", "Zoho Books", services._breakers())
    with RawServer(CLOSE) as server:
        client = VendorClient(
            system="Zoho Books",
            session=new_session(),
            authorizer=shared(vault, server),
            explain=lambda reply: None,
            call_seconds=5,
            budget=GuardedBudget(UNLIMITED, breaker),
        )
        for _ in range(3):
            with in_a_step(), pytest.raises(errors.VendorUnavailableError):
                client.call("look", "GET", server.url)
        with in_a_step(), pytest.raises(errors.NotNowError, match="Signing in fails"):
            client.call("look", "GET", server.url)
        client.session.close()

    assert len(server.requests) == 3
    with services.store.read() as uow:
        (content,) = uow.connection.execute(select(alerts.c.content)).scalars()
    assert "Signing in fails: Zoho Books did not answer." in content["cause"]


def test_T5__credentials_that_worked_before_get_one_more_try(
    vault: SharedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answer(GRANTED), told("invalid_code", status="200 OK")) as server:
        token = shared(vault, server)
        stale = token.headers()

        with in_a_step(), pytest.raises(errors.RetryableError, match="worked before") as caught:
            token.renew(stale)
        assert caught.value.retry_after_seconds == auth.SECOND_TRY_SECONDS
        with in_a_step(), pytest.raises(errors.NotNowError, match="once more"):
            token.renew(stale)
        monkeypatch.setattr(auth, "SECOND_TRY_SECONDS", 0.0)
        with in_a_step(), pytest.raises(errors.AuthenticationError):
            token.renew(stale)

    assert len(server.requests) == 3


def test_T5__a_token_that_its_system_has_ended_and_that_still_looks_good_brings_no_third_try(
    vault: SharedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the integration user was deactivated: the account is refused, and no run dies of it."""
    monkeypatch.setattr(auth, "_COPY_SECONDS", -1.0)
    monkeypatch.setattr(auth, "SECOND_TRY_SECONDS", 0.0)
    refused = told("invalid_code", status="200 OK")
    with RawServer(answer(GRANTED), refused, refused, refused, answer(GRANTED.replace(b"good", b"new"))) as server:
        token = shared(vault, server)
        ended = token.headers()

        with in_a_step(), pytest.raises(errors.RetryableError, match="worked before"):
            token.renew(ended)
        for _ in range(2):
            assert token.headers() == ended, "the store still has it"
            with in_a_step(), pytest.raises(errors.AuthenticationError):
                token.renew(ended)

        token.renew(ended)
        assert token.headers() == {"Authorization": "Bearer new"}
        assert token._refused_at is None, "what is refused later is the first time again"


def test_T5__credentials_that_never_worked_are_wrong_at_once(vault: SharedTokens) -> None:
    with (
        RawServer(told("invalid_code", status="200 OK")) as server,
        in_a_step(),
        pytest.raises(errors.AuthenticationError),
    ):
        shared(vault, server).token()


def test_T5__a_command_hears_the_truth_at_once(vault: SharedTokens) -> None:
    with RawServer(answer(GRANTED), told("invalid_code", status="200 OK")) as server:
        token = shared(vault, server)
        stale = token.headers()

        with pytest.raises(errors.AuthenticationError):
            token.renew(stale)


# T12: a cause known is a cause said


def salesforce(login_url: str, **more: str) -> SalesforceSettings:
    env = {
        "HOME": "/nowhere",
        "SF_LOGIN_URL": login_url,
        "SF_CLIENT_ID": "3MVG9",
        "SF_USERNAME": "robot@acme.test",
        "SF_PRIVATE_KEY": KEY,
        **more,
    }
    found = Settings.from_env(env).systems.get("salesforce")
    assert found is not None
    return found


CAUSES = {
    "user hasn't approved this consumer": ("not been approved", "pre-authorized"),
    "audience is invalid": ("audience", "SF_AUDIENCE"),
    "assertion expired": ("not valid at this time", "clock"),
    "invalid assertion": ("signature or user", "SF_PRIVATE_KEY"),
    "user is inactive": ("not active", "SF_USERNAME"),
    "inactive user": ("not active", "SF_USERNAME"),
    "user is locked out": ("not active", "SF_USERNAME"),
    "User hasn&#39;t approved this consumer": ("not been approved", "pre-authorized"),
    "Invalid aud claim": ("audience", "SF_AUDIENCE"),
    "exp claim is invalid": ("not valid at this time", "clock"),
    "password expired": ("not active", "SF_USERNAME"),
    "Trial expired": ("organization is not active", "Salesforce"),
    "org is locked": ("organization is not active", "Salesforce"),
    "authentication failure": ("signature or user", "SF_USERNAME"),
    "invalid user": ("signature or user", "SF_USERNAME"),
    "ip restricted": ("this address", "IP ranges"),
    "client identifier invalid": ("does not know the app", "SF_CLIENT_ID"),
    "user is not admin approved to access this app": ("not been approved", "pre-authorized"),
    "External client app is not installed in this org": ("not installed", "SF_LOGIN_URL"),
    "app must be installed into org": ("not installed", "SF_LOGIN_URL"),
    "Cross-org OAuth flows are not supported for this external client app": ("not installed", "SF_LOGIN_URL"),
    "the requested scope is not allowed": ("lacks a scope", "refresh_token"),
    "grant type not supported": ("by a JWT", "JWT Bearer Flow"),
    "JWT bearer flow is not enabled": ("by a JWT", "JWT Bearer Flow"),
}


@pytest.mark.parametrize(("description", "words"), CAUSES.items(), ids=CAUSES)
def test_T12__each_cause_of_a_refused_sign_in_has_its_sentence_and_its_cure(
    description: str, words: tuple[str, str]
) -> None:
    with RawServer(told("invalid_grant", description)) as server, pytest.raises(errors.AuthenticationError) as caught:
        signer_in(salesforce(server.url))()

    sentence, cure = words
    assert sentence in str(caught.value)
    assert cure in (caught.value.advice or "")
    assert description not in str(caught.value)


def audience_of(server: RawServer, number: int) -> str:
    (assertion,) = parse_qs(server.requests[number].body.decode())["assertion"]
    claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    return str(claims["aud"])


def test_T12__with_a_domain_of_ones_own_the_usual_audiences_are_tried_and_the_right_one_is_kept() -> None:
    wrong = told("invalid_grant", "audience is invalid")
    with RawServer(wrong, wrong, answer(GRANTED)) as server:
        sign_in = signer_in(salesforce(server.url))
        assert [sign_in().value, sign_in().value] == ["good", "good"]

    assert [audience_of(server, number) for number in range(4)] == [
        server.url,
        "https://login.salesforce.com",
        "https://test.salesforce.com",
        "https://test.salesforce.com",
    ]


def test_T12__an_audience_that_was_set_is_the_only_one() -> None:
    with RawServer(told("invalid_grant", "audience is invalid")) as server:
        sign_in = signer_in(salesforce(server.url, SF_AUDIENCE="https://test.salesforce.com"))
        with pytest.raises(errors.AuthenticationError):
            sign_in()

    assert len(server.requests) == 1


def test_T3__a_sign_in_leaves_half_of_a_short_lease_to_the_call() -> None:
    with deadline(time.monotonic() + 3):
        assert 1.3 < seconds_of_sign_in("Vendor", 15.0) <= 1.5
    with deadline(time.monotonic() + 60):
        assert seconds_of_sign_in("Vendor", 15.0) == 15.0
    with deadline(time.monotonic() - 1), pytest.raises(errors.NotNowError):
        seconds_of_sign_in("Vendor", 15.0)
