"""Signing in to the control tower: by password, by link, through a proxy; what each role may do there."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from crmsync import people
from crmsync.domain import passwords
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.domain.dead_letters import LetterStatus
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store.keys import renew_kept_key
from crmsync.web.app import create_app
from tests.fakes import FakeClock
from tests.unit.web.conftest import PASSWORD, basic

ADA = Act("ada", Origin.CLI)
SECRET = "correct horse battery staple"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
HTTPS = "https://crmsync.example"


@pytest.fixture(autouse=True)
def somebody(services: Services) -> None:
    with services.store.begin() as uow:
        people.add_user(uow, ADA, "ada", SECRET, role=Role.ADMIN)
        people.add_user(uow, ADA, "vic", SECRET, role=Role.VIEWER)
        people.add_user(uow, ADA, "oli", SECRET, role=Role.OPERATOR)
        people.add_user(uow, ADA, "ann", SECRET, role=Role.ADMIN, tenant="acme")


def client_of(services: Services, **environment: str) -> FlaskClient:
    return create_app(Services(Settings.from_env({**os.environ, **environment}), services.store)).test_client()


def form_token(client: FlaskClient, **options: Any) -> str:
    found = re.search(r'name="token" value="([^"]+)"', client.get("/sign-in", **options).text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, name: str = "ada", password: str = SECRET, **fields: str) -> TestResponse:
    form = {"token": form_token(client), "name": name, "password": password, **fields}
    return client.post("/sign-in", data=form, headers=BROWSER)


def test_a_person_gets_a_form_and_a_program_a_challenge(visitor: FlaskClient) -> None:
    person, program = visitor.get("/runs?flow=x", headers=BROWSER), visitor.get("/runs")

    assert (person.status_code, program.status_code) == (401, 401)
    assert "WWW-Authenticate" not in person.headers
    assert 'value="/runs?flow=x"' in person.text
    assert program.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("name", "password"), [("ada", SECRET), (" Ada ", SECRET), ("vic", SECRET), ("crmsync", PASSWORD)]
)
def test_who_signs_in_sees_the_pages(visitor: FlaskClient, name: str, password: str) -> None:
    answer = sign_in(visitor, name, password, next="/alerts")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/alerts")
    assert visitor.get("/", headers=BROWSER).status_code == 200
    assert name.strip().lower() in visitor.get("/", headers=BROWSER).text


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("nobody", SECRET), ("", ""), ("crmsync", SECRET), ("ada", PASSWORD), ("vic\0", SECRET)],
)
def test_a_wrong_name_or_password_is_told_alike(visitor: FlaskClient, name: str, password: str) -> None:
    answer = sign_in(visitor, name, password)

    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert "session" not in answer.headers.get("Set-Cookie", "")
    assert f'value="{password}"' not in answer.text or not password


def test_the_form_needs_its_token(visitor: FlaskClient) -> None:
    form_token(visitor)

    answer = visitor.post("/sign-in", data={"name": "ada", "password": SECRET, "token": "x"}, headers=BROWSER)

    assert answer.status_code == 403
    assert visitor.get("/", headers=BROWSER).status_code == 401


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test/", "/\\evil.test", "evil", "/a\r\nX: y"])
def test_nobody_is_sent_elsewhere(visitor: FlaskClient, target: str) -> None:
    assert sign_in(visitor, next=target).headers["Location"] == "/"


def test_the_cookie_is_the_browsers_alone(visitor: FlaskClient) -> None:
    cookie = next(each for each in sign_in(visitor).headers.getlist("Set-Cookie") if "crmsync_session" in each)

    assert cookie.startswith("crmsync_session=")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))


@pytest.mark.parametrize(
    ("url", "name", "path"),
    [(HTTPS, "__Host-crmsync_session", "/"), (f"{HTTPS}/apps/crm", "__Secure-crmsync_session", "/apps/crm")],
)
def test_over_tls_the_cookie_has_a_prefix(services: Services, url: str, name: str, path: str) -> None:
    client = client_of(services, CRMSYNC_PUBLIC_URL=url)
    client.environ_base["wsgi.url_scheme"] = "https"
    base = {"base_url": HTTPS}
    page = client.get(f"{path.rstrip('/')}/sign-in", **base)
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token

    data = {"token": token[1], "name": "ada", "password": SECRET}
    answer = client.post(f"{path.rstrip('/')}/sign-in", data=data, headers=BROWSER, **base)

    cookie = next(each for each in answer.headers.getlist("Set-Cookie") if "crmsync_session" in each)
    assert cookie.startswith(f"{name}=")
    assert "Secure" in cookie
    assert f"Path={path};" in f"{cookie};"


def test_signing_out_ends_the_session_at_the_server(visitor: FlaskClient, app: Any) -> None:
    sign_in(visitor)
    cookie = visitor.get_cookie("crmsync_session")
    assert cookie is not None
    token = re.search(r'name="token" value="([^"]+)"', visitor.get("/", headers=BROWSER).text)
    assert token

    visitor.post("/sign-out", data={"token": token[1]}, headers=BROWSER)

    other = app.test_client()
    other.set_cookie("crmsync_session", cookie.value)
    assert other.get("/", headers=BROWSER).status_code == 401


def test_another_site_can_not_sign_anybody_out(visitor: FlaskClient) -> None:
    sign_in(visitor)

    visitor.post("/sign-out", data={"token": "x"})

    assert visitor.get("/", headers=BROWSER).status_code == 200


def test_an_idle_session_is_over(visitor: FlaskClient, clock: FakeClock) -> None:
    sign_in(visitor)
    clock.advance(2 * 3600)

    assert visitor.get("/", headers=BROWSER).status_code == 401


def test_a_session_in_use_goes_on(visitor: FlaskClient, clock: FakeClock) -> None:
    sign_in(visitor)
    for _ in range(5):
        clock.advance(3600)
        assert visitor.get("/", headers=BROWSER).status_code == 200


def test_who_is_disabled_is_out_at_once(visitor: FlaskClient, services: Services) -> None:
    sign_in(visitor, "vic")
    with services.store.begin() as uow:
        people.set_disabled(uow, ADA, "vic", True)

    assert visitor.get("/", headers=BROWSER).status_code == 401
    assert sign_in(visitor, "vic").status_code == 401


def test_a_name_is_guessed_ten_times_and_no_more(visitor: FlaskClient) -> None:
    statuses = [sign_in(visitor, "ada", "wrong").status_code for _ in range(11)]

    assert statuses == [401] * 10 + [429]
    limited = sign_in(visitor)
    assert limited.status_code == 429, "not even the right password is looked at"
    assert int(limited.headers["Retry-After"]) > 0
    assert sign_in(visitor, "vic").status_code == 303, "another one is not kept out"


def test_an_address_guesses_fifty_names_and_no_more(visitor: FlaskClient) -> None:
    statuses = [sign_in(visitor, f"name{number}", "wrong").status_code for number in range(51)]

    assert statuses == [401] * 50 + [429]


def test_who_signs_in_has_all_attempts_again(visitor: FlaskClient) -> None:
    for _ in range(2):
        for _ in range(9):
            sign_in(visitor, "ada", "wrong")
        assert sign_in(visitor).status_code == 303


def test_a_link_signs_in_once(visitor: FlaskClient, app: Any, services: Services) -> None:
    with services.store.begin() as uow:
        uow.sessions.open("k" * 40, "crmsync", is_link=True)

    assert visitor.get(f"/sign-in/{'k' * 40}").status_code == 303
    assert visitor.get("/", headers=BROWSER).status_code == 200
    assert app.test_client().get(f"/sign-in/{'k' * 40}").status_code == 401


# -- roles


def decide(client: FlaskClient, letter_id: int, button: str) -> TestResponse:
    token = re.search(r'name="token" value="([^"]+)"', client.get("/dead-letters", headers=BROWSER).text)
    assert token
    form = {"token": token[1], "confirm": "yes", "reason": "a test"}
    return client.post(f"/dead-letters/{letter_id}/{button}", data=form, headers=BROWSER)


@pytest.mark.parametrize("button", ["replay", "discard"])
@pytest.mark.parametrize("name", ["vic", "oli", "ada"])
def test_only_operators_decide(visitor: FlaskClient, services: Services, a_letter: Any, button: str, name: str) -> None:
    letter = a_letter(VendorUnavailableError(), done=2)
    sign_in(visitor, name)

    answer = decide(visitor, letter.id, button)

    with services.store.read() as uow:
        found = uow.dead_letters.get(letter.id)
        entries = uow.audit.newest(None, object_type="dead_letter", limit=5)
    assert found is not None
    if name == "vic":
        assert (answer.status_code, found.status, entries) == (403, LetterStatus.WAITING, [])
    else:
        assert answer.status_code == 303
        assert [(entry.name, entry.origin) for entry in entries] == [(name, "tower")]


def test_a_viewer_sees_no_buttons_and_not_what_a_vendor_said(
    visitor: FlaskClient, services: Services, a_letter: Any
) -> None:
    letter = a_letter(VendorUnavailableError(), done=2)
    with services.store.begin() as uow:
        from sqlalchemy import text

        uow.connection.execute(text("UPDATE dead_letters SET words = :words"), {"words": services.sealed("Petra said")})

    sign_in(visitor, "vic")
    assert "/replay" not in visitor.get("/dead-letters", headers=BROWSER).text
    assert "Petra said" not in visitor.get(f"/runs/{letter.run_id}", headers=BROWSER).text
    sign_in(visitor, "oli")
    assert "/replay" in visitor.get("/dead-letters", headers=BROWSER).text
    assert "Petra said" in visitor.get(f"/runs/{letter.run_id}", headers=BROWSER).text


def test_the_password_of_the_tower_goes_on_working(visitor: FlaskClient) -> None:
    headers = {**BROWSER, "Authorization": basic("crmsync", PASSWORD)}

    assert visitor.get("/", headers=headers).status_code == 200
    assert "Sign out" not in visitor.get("/", headers=headers).text


# -- through a proxy


def test_a_trusted_proxy_says_who_it_is(services: Services) -> None:
    client = client_of(services, CRMSYNC_PROXY_USER_HEADER="X-Forwarded-User", CRMSYNC_TRUSTED_PROXIES="10.0.0.7")

    def seen(name: str, address: str) -> int:
        return client.get(
            "/", headers={**BROWSER, "X-Forwarded-User": name}, environ_overrides={"REMOTE_ADDR": address}
        ).status_code

    assert (seen("Ada", "10.0.0.7"), seen("nobody", "10.0.0.7"), seen("ada", "10.0.0.8")) == (200, 401, 401)
    assert seen("crmsync", "10.0.0.7") == 401, "the built-in operator has a password"


def test_no_header_is_believed_that_nobody_has_named(services: Services) -> None:
    headers = {**BROWSER, "X-Forwarded-User": "ada"}

    assert client_of(services).get("/", headers=headers).status_code == 401


def test_attempts_are_counted_by_the_address_behind_a_trusted_proxy(services: Services) -> None:
    client = client_of(services, CRMSYNC_TRUSTED_PROXIES="127.0.0.1")
    token = form_token(client)

    def attempt(number: int, address: str) -> int:
        form = {"token": token, "name": f"n{number}", "password": "wrong"}
        return client.post("/sign-in", data=form, headers={**BROWSER, "X-Forwarded-For": address}).status_code

    assert [attempt(number, "203.0.113.9") for number in range(51)][-1] == 429
    assert attempt(99, "203.0.113.10") == 401
    assert attempt(99, "203.0.113.10, 203.0.113.9") == 429, "only the last one is the proxy's own word"


# -- another key


OLD_KEY, NEW_KEY = "the key before this one, of 32 characters", "the key of today, which has 32 characters"


def carried_over(before: FlaskClient, services: Services, **environment: str) -> FlaskClient:
    """The same browser, after the receiver has started again with another environment."""
    client = client_of(services, **environment)
    for name in ("crmsync_session", "crmsync_tower"):
        cookie = before.get_cookie(name)
        assert cookie is not None
        client.set_cookie(name, cookie.value)
    return client


def shown_token(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_who_is_signed_in_stays_so_when_the_key_is_changed(services: Services) -> None:
    browser = client_of(services, CRMSYNC_SECRET_KEY=OLD_KEY)
    sign_in(browser)
    page = browser.get("/", headers=BROWSER)

    after = carried_over(browser, services, CRMSYNC_SECRET_KEY=NEW_KEY, CRMSYNC_SECRET_KEY_PREVIOUS=OLD_KEY)

    assert after.get("/", headers=BROWSER).status_code == 200
    after.post("/sign-out", data={"token": shown_token(page.text)})  # a form from before the change
    assert after.get("/", headers=BROWSER).status_code == 401


def test_a_form_that_a_key_outside_the_ring_has_signed_is_refused(services: Services) -> None:
    browser = client_of(services, CRMSYNC_SECRET_KEY=OLD_KEY)
    sign_in(browser)
    page = browser.get("/", headers=BROWSER)

    after = carried_over(browser, services, CRMSYNC_SECRET_KEY=NEW_KEY)
    after.post("/sign-out", data={"token": shown_token(page.text)})

    assert after.get("/", headers=BROWSER).status_code == 200


def test_a_key_that_was_made_anew_in_the_state_directory_keeps_forms_good(services: Services) -> None:
    browser = client_of(services)
    sign_in(browser)
    page = browser.get("/", headers=BROWSER)
    renew_kept_key(services.settings.home)

    after = carried_over(browser, services)
    after.post("/sign-out", data={"token": shown_token(page.text)})

    assert after.get("/", headers=BROWSER).status_code == 401


@pytest.mark.parametrize("change", ["password", "role", "disabled"])
def test_a_change_ends_every_session_of_that_person_and_no_other(services: Services, change: str) -> None:
    browsers = [client_of(services) for _ in range(2)]
    for browser in browsers:
        sign_in(browser, "vic")
    other = client_of(services)
    sign_in(other)
    with services.store.begin() as uow:
        changes = {
            "password": lambda: people.set_password(uow, ADA, "vic", SECRET + "2"),
            "role": lambda: people.set_role(uow, ADA, "vic", Role.OPERATOR),
            "disabled": lambda: people.set_disabled(uow, ADA, "vic", True),
        }
        changes[change]()

    assert [browser.get("/", headers=BROWSER).status_code for browser in (*browsers, other)] == [401, 401, 200]


def test_another_password_of_the_tower_ends_the_sessions_of_the_built_in_operator(services: Services) -> None:
    browser = client_of(services, CRMSYNC_SECRET_KEY=OLD_KEY, CRMSYNC_TOWER_PASSWORD=PASSWORD)
    sign_in(browser, "crmsync", PASSWORD)
    assert browser.get("/", headers=BROWSER).status_code == 200
    ring = {"CRMSYNC_SECRET_KEY": NEW_KEY, "CRMSYNC_SECRET_KEY_PREVIOUS": OLD_KEY}

    same, other = (
        carried_over(browser, services, **ring, CRMSYNC_TOWER_PASSWORD=password)
        for password in (PASSWORD, PASSWORD + "2")
    )

    assert same.get("/", headers=BROWSER).status_code == 200
    assert other.get("/", headers=BROWSER).status_code == 401


def test_a_password_that_is_changed_during_a_sign_in_leaves_no_session(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, is_right = client_of(services), passwords.is_right

    def change_meanwhile(password: str, kept: str | None) -> bool:
        found = is_right(password, kept)
        with services.store.begin() as uow:
            people.set_password(uow, ADA, "vic", SECRET + "2")
        return found

    monkeypatch.setattr(passwords, "is_right", change_meanwhile)
    sign_in(browser, "vic")

    assert browser.get("/", headers=BROWSER).status_code == 401
