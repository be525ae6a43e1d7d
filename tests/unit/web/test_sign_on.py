"""Signing in by an identity provider: who gets in, as whom and as what; and every way in which nobody does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from crmsync import identity_provider, people
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.errors import ConfigurationError
from crmsync.people import PeopleError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web.app import create_app
from tests.fakes import FakeClock
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, new_key, query_of, running
from tests.unit.web.conftest import NO_REDIS, PASSWORD, basic

ADA = Act("ada", Origin.CLI)
BROWSER = {"Accept": "text/html"}
ROLES = "groups: chiefs=admin, ops=operator, acme=viewer@acme"
TOWER = "http://tower.example"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running() as found:
        yield found


def environment(provider: Provider, **more: str) -> dict[str, str]:
    own = {
        "CRMSYNC_TOWER_PASSWORD": PASSWORD,
        "REDIS_URL": NO_REDIS,
        "CRMSYNC_PUBLIC_URL": TOWER,
        "CRMSYNC_OIDC_ISSUER": provider.issuer,
        "CRMSYNC_OIDC_CLIENT_ID": CLIENT_ID,
        "CRMSYNC_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "CRMSYNC_OIDC_ROLES": ROLES,
        "CRMSYNC_OIDC_NAME": "Example accounts",
        "CRMSYNC_ALLOW_HTTP": "true",
    }
    return {**os.environ, **own, **more}


def browser_of(services: Services, provider: Provider, **more: str) -> FlaskClient:
    settings = Settings.from_env(environment(provider, **more))
    return create_app(Services(settings, services.store)).test_client()


@pytest.fixture
def browser(services: Services, provider: Provider) -> FlaskClient:
    return browser_of(services, provider)


def away(browser: FlaskClient, **query: str) -> str:
    """Where the browser is sent to sign in."""
    answer = browser.get("/sign-in/oidc", query_string=query)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def back(browser: FlaskClient, url: str) -> TestResponse:
    parts = urlsplit(url)
    return browser.get(f"{parts.path}?{parts.query}", headers=BROWSER)


def sign_on(browser: FlaskClient, provider: Provider, **query: str) -> TestResponse:
    return back(browser, provider.authorized(away(browser, **query)))


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/", headers=BROWSER).status_code == 200


# -- who gets in


def test_who_signs_in_there_is_in_here_with_the_role_of_their_group(
    services: Services, browser: FlaskClient, provider: Provider
) -> None:
    assert "Sign in with Example accounts" in browser.get("/sign-in").text

    answer = sign_on(browser, provider, next="/alerts")

    assert (answer.status_code, 'content="0;url=/alerts"' in answer.text) == (200, True)
    assert "ada@example.com" in browser.get("/", headers=BROWSER).text
    with services.store.read() as uow:
        user, entry = uow.users.get("ada@example.com"), uow.audit.newest(None, limit=1)[0]
    assert user is not None
    assert (user.role, user.tenant, entry.verb, entry.name) == (Role.OPERATOR, None, "user.add", "ada@example.com")


def test_the_request_has_all_that_keeps_it_ours(browser: FlaskClient) -> None:
    asked = query_of(away(browser))

    assert asked["redirect_uri"] == f"{TOWER}/sign-in/oidc/callback", "and not the host that a request names"
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert min(len(asked["state"]), len(asked["nonce"])) >= 43
    assert "openid" in asked["scope"].split()


def test_a_person_stays_one_whatever_they_are_called_there(
    services: Services, browser: FlaskClient, provider: Provider
) -> None:
    sign_on(browser, provider)
    provider.person |= {"email": "ada.lovelace@example.com"}
    sign_on(browser, provider)

    with services.store.read() as uow:
        assert [user.name for user in uow.users.all(None)] == ["ada@example.com"]


def test_nobody_becomes_somebody_who_is_here_already(
    services: Services, browser: FlaskClient, provider: Provider
) -> None:
    with services.store.begin() as uow:
        people.add_user(uow, ADA, "ada@example.com", "correct horse battery staple", role=Role.ADMIN)

    sign_on(browser, provider)

    with services.store.read() as uow:
        found = {user.name: user.role for user in uow.users.all(None)}
    assert found.pop("ada@example.com") is Role.ADMIN
    [(name, role)] = found.items()
    assert (name.startswith("oidc-"), role) == (True, Role.OPERATOR)


def test_a_name_that_the_provider_has_not_verified_is_not_taken(
    services: Services, browser: FlaskClient, provider: Provider
) -> None:
    provider.person["email_verified"] = False
    sign_on(browser, provider)

    with services.store.read() as uow:
        [user] = uow.users.all(None)
    assert user.name.startswith("oidc-")


def test_the_role_is_read_anew_at_each_sign_in(services: Services, browser: FlaskClient, provider: Provider) -> None:
    sign_on(browser, provider)
    elsewhere = browser_of(services, provider)
    provider.person["groups"] = ["chiefs"]
    sign_on(elsewhere, provider)

    with services.store.read() as uow:
        user, entry = uow.users.get("ada@example.com"), uow.audit.newest(None, limit=1)[0]
    assert user is not None
    assert (user.role, entry.verb) == (Role.ADMIN, "user.set-role")
    assert not is_in(browser), "a session with the role of before is over"
    assert is_in(elsewhere)


@pytest.mark.parametrize("groups", [[], ["others"], None, "op", {"ops": True}])
def test_nobody_gets_in_without_a_role(
    services: Services, browser: FlaskClient, provider: Provider, groups: Any
) -> None:
    provider.person["groups"] = groups

    assert sign_on(browser, provider).status_code == 403
    assert not is_in(browser)
    with services.store.read() as uow:
        assert uow.users.all(None) == []


def test_who_is_disabled_here_stays_out(services: Services, browser: FlaskClient, provider: Provider) -> None:
    sign_on(browser, provider)
    with services.store.begin() as uow:
        people.set_disabled(uow, ADA, "ada@example.com", True)

    assert not is_in(browser)
    assert sign_on(browser, provider).status_code == 403
    assert not is_in(browser)


def test_their_password_and_role_are_not_changed_here(
    services: Services, browser: FlaskClient, provider: Provider
) -> None:
    sign_on(browser, provider)

    with services.store.begin() as uow, pytest.raises(PeopleError):
        people.set_password(uow, ADA, "ada@example.com", "correct horse battery staple")
    with services.store.begin() as uow, pytest.raises(PeopleError):
        people.set_role(uow, ADA, "ada@example.com", Role.ADMIN)


# -- what is refused


def refused(browser: FlaskClient, answer: TestResponse) -> bool:
    return answer.status_code == 401 and not is_in(browser)


@pytest.mark.parametrize(
    "told",
    [
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"},
        {"aud": None},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"iat": int(time.time()) + 9_999_999},
        {"iss": "https://accounts.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
    ],
    ids=str,
)
def test_an_identity_that_is_not_for_us_opens_nothing(
    browser: FlaskClient, provider: Provider, told: dict[str, Any]
) -> None:
    provider.told = told

    assert refused(browser, sign_on(browser, provider))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_an_identity_that_anybody_could_sign_opens_nothing(
    browser: FlaskClient, provider: Provider, algorithm: str
) -> None:
    provider.algorithm = algorithm

    assert refused(browser, sign_on(browser, provider))


def test_an_identity_of_another_key_under_a_known_name_opens_nothing(browser: FlaskClient, provider: Provider) -> None:
    sign_on(browser, provider)
    browser.delete_cookie("crmsync_session")
    provider.keys["k1"] = new_key()  # and the keys that were read before are still believed

    assert refused(browser, sign_on(browser, provider))


def test_an_unknown_key_is_asked_for_once_a_minute_and_opens_nothing(browser: FlaskClient, provider: Provider) -> None:
    provider.keys["k2"], provider.signs_with = new_key(), "k2"

    for _ in range(3):
        assert refused(browser, sign_on(browser, provider))
    assert provider.asked.count("keys") == 1


def test_a_new_key_is_found(browser: FlaskClient, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sign_on(browser, provider).status_code == 200
    provider.keys["k2"], provider.signs_with, provider.shown = new_key(), "k2", ["k2"]
    monkeypatch.setattr(identity_provider, "FETCH_SECONDS", 0.0)

    assert sign_on(browser, provider).status_code == 200
    assert provider.asked.count("keys") == 2


def test_a_token_that_is_none_opens_nothing(browser: FlaskClient, provider: Provider) -> None:
    for forged in ("", "x", "a.b.c", "ä.b.c", jwt.encode({}, "x" * 32, algorithm="HS256")):
        provider.forged = forged or "."
        assert refused(browser, sign_on(browser, provider))


def test_a_way_back_is_good_once(browser: FlaskClient, provider: Provider) -> None:
    url = provider.authorized(away(browser))
    cookie = browser.get_cookie("crmsync_sign_on", path="/sign-in")
    assert cookie is not None
    assert back(browser, url).status_code == 200
    browser.delete_cookie("crmsync_session")
    browser.set_cookie("crmsync_sign_on", cookie.value, path="/sign-in")

    asked = len(provider.asked)
    assert refused(browser, back(browser, url))
    assert len(provider.asked) == asked, "the provider is not even asked"


def test_a_way_back_is_of_one_browser(services: Services, browser: FlaskClient, provider: Provider) -> None:
    """Or somebody could sign another person's browser in as themselves."""
    url, victim = provider.authorized(away(browser)), browser_of(services, provider)

    assert refused(victim, back(victim, url))
    away(victim)
    assert refused(victim, back(victim, url))


def test_a_way_back_ends_after_ten_minutes(browser: FlaskClient, provider: Provider, clock: FakeClock) -> None:
    url = provider.authorized(away(browser))
    clock.advance(601)

    assert refused(browser, back(browser, url))


def test_another_provider_is_not_mixed_up_with_ours(browser: FlaskClient, provider: Provider) -> None:
    provider.sent_back = {"iss": "https://evil.example"}

    assert refused(browser, sign_on(browser, provider))


def test_a_provider_that_says_that_it_names_itself_has_to(browser: FlaskClient, provider: Provider) -> None:
    provider.described = {"authorization_response_iss_parameter_supported": True}
    assert refused(browser, sign_on(browser, provider))

    provider.sent_back = {"iss": provider.issuer}
    assert sign_on(browser, provider).status_code == 200


@pytest.mark.parametrize(
    "described", [{"issuer": "https://evil.example"}, {"token_endpoint": "ftp://x"}, {"jwks_uri": None}], ids=str
)
def test_the_description_of_another_issuer_is_not_believed(
    browser: FlaskClient, provider: Provider, described: dict[str, Any]
) -> None:
    provider.described = described

    assert browser.get("/sign-in/oidc").status_code == 503


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_nobody_is_sent_elsewhere(browser: FlaskClient, provider: Provider, target: str) -> None:
    answer = sign_on(browser, provider, next=target)

    assert answer.status_code == 200
    assert 'content="0;url=/"' in answer.text


def test_a_refusal_of_the_provider_is_one_here(browser: FlaskClient) -> None:
    state = query_of(away(browser))["state"]

    assert refused(browser, browser.get(f"/sign-in/oidc/callback?error=access_denied&state={state}", headers=BROWSER))


def test_a_provider_that_does_not_answer_is_told(services: Services, provider: Provider) -> None:
    browser = browser_of(services, provider, CRMSYNC_OIDC_ISSUER="http://127.0.0.1:1")

    assert browser.get("/sign-in/oidc").status_code == 503


def test_one_address_tries_ten_times(browser: FlaskClient) -> None:
    assert [browser.get("/sign-in/oidc").status_code for _ in range(11)][-1] == 429


# -- beside passwords


def test_signing_out_ends_our_session(browser: FlaskClient, provider: Provider) -> None:
    import re

    sign_on(browser, provider)
    found = re.search(r'name="token" value="([^"]+)"', browser.get("/", headers=BROWSER).text)
    assert found
    browser.post("/sign-out", data={"token": found[1]})

    assert not is_in(browser)


def test_passwords_open_the_tower_unless_they_are_switched_off(services: Services, provider: Provider) -> None:
    header = {"Authorization": basic("crmsync", PASSWORD)}
    both, only = (browser_of(services, provider, CRMSYNC_OIDC_ONLY=value) for value in ("false", "true"))

    assert both.get("/", headers=header).status_code == 200
    assert only.get("/", headers=header).status_code == 401
    assert 'name="password"' in both.get("/sign-in").text
    assert 'name="password"' not in only.get("/sign-in").text
    assert sign_on(only, provider).status_code == 200


def test_without_the_provider_nobody_is_in_by_it_any_more(
    services: Services, browser: FlaskClient, provider: Provider
) -> None:
    sign_on(browser, provider)
    cookie = browser.get_cookie("crmsync_session")
    assert cookie is not None
    after = create_app(services).test_client()
    after.set_cookie("crmsync_session", cookie.value)

    assert not is_in(after)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CRMSYNC_OIDC_ROLES", ""),
        ("CRMSYNC_OIDC_ROLES", "groups"),
        ("CRMSYNC_OIDC_ROLES", "groups: ops=king"),
        ("CRMSYNC_OIDC_ROLES", "groups: ops=admin@"),
        ("CRMSYNC_OIDC_CLIENT_ID", ""),
    ],
)
def test_a_provider_that_lets_nobody_in_is_a_problem_of_the_environment(
    provider: Provider, variable: str, value: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(environment(provider, **{variable: value}))

    assert set(raised.value.field_errors) == {variable}


def test_a_receiver_without_it_does_not_load_authlib() -> None:
    told = "import sys, crmsync.web.app; print('authlib' in sys.modules, 'joserfc' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout.split() == ["False", "False"]
