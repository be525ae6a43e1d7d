"""Who gets into the control tower, and what its answers forbid a browser."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from crmsync.errors import ConfigurationError
from crmsync.passwords import kept_secret, tower_password
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web.app import create_app
from tests.unit.web.conftest import PASSWORD, basic

PAGES = ("/", "/runs", "/runs/unknown", "/dead-letters", "/alerts")
ACTIONS = ("/dead-letters/1/replay", "/dead-letters/1/discard")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_asks_for_the_password(visitor: FlaskClient, path: str) -> None:
    answer = visitor.get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("path", ACTIONS)
def test_every_action_asks_for_the_password(visitor: FlaskClient, path: str) -> None:
    assert visitor.post(path).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(basic("crmsync", PASSWORD[:-1]), id="a part of the password"),
        pytest.param(basic("crmsync", ""), id="no password"),
        pytest.param(basic("admin", PASSWORD), id="another user"),
        pytest.param(basic("crmsync", "pässwörd"), id="letters beyond ASCII"),
        pytest.param(f"Bearer {PASSWORD}", id="another scheme"),
        pytest.param("Basic !!!", id="no base64"),
    ],
)
def test_wrong_credentials_are_refused(visitor: FlaskClient, header: str) -> None:
    assert visitor.get("/", headers={"Authorization": header}).status_code == 401


def test_the_right_password_opens_the_tower(visitor: FlaskClient) -> None:
    assert visitor.get("/", headers={"Authorization": basic("crmsync", PASSWORD)}).status_code == 200


@pytest.mark.parametrize("path", [*PAGES, *ACTIONS])
def test_no_answer_is_kept_or_framed(operator: FlaskClient, visitor: FlaskClient, path: str) -> None:
    for answer in (operator.get(path), operator.post(path), visitor.get(path)):
        if answer.status_code == 405:  # no view was asked
            continue
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_the_cookie_stays_in_the_tower(operator: FlaskClient) -> None:
    cookie = operator.get("/").headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie


def test_the_cookie_never_leaves_https(database_url: str, services: Services) -> None:
    settings = _settings(CRMSYNC_PUBLIC_URL="https://crmsync.example")
    client = create_app(Services(settings, services.store)).test_client()

    answer = client.get("/", headers={"Authorization": basic("crmsync", tower_password(settings))})

    assert "Secure" in answer.headers["Set-Cookie"]


def test_the_door_of_webhooks_asks_for_no_password(visitor: FlaskClient) -> None:
    answer = visitor.post("/webhook/salesforce/deal-closed", json={})

    assert answer.status_code == 401
    assert "WWW-Authenticate" not in answer.headers


def test_the_environment_says_the_password() -> None:
    assert tower_password(_settings(CRMSYNC_TOWER_PASSWORD=PASSWORD)) == PASSWORD


def test_a_short_password_is_a_problem_of_the_environment() -> None:
    with pytest.raises(ConfigurationError) as raised:
        _settings(CRMSYNC_TOWER_PASSWORD="elevenchars")

    assert raised.value.field_errors == {"CRMSYNC_TOWER_PASSWORD": "expected at least 12 characters"}


def test_without_one_a_password_is_made_and_kept() -> None:
    settings = _settings()

    password = tower_password(settings)

    assert len(password) >= 32
    assert tower_password(settings) == password
    assert stat.S_IMODE((settings.home / "tower.password").stat().st_mode) == 0o600


def test_the_made_password_opens_the_tower(app: Flask, services: Services) -> None:
    settings = _settings()
    client = create_app(Services(settings, services.store)).test_client()

    assert client.get("/", headers={"Authorization": basic("crmsync", "")}).status_code == 401
    assert client.get("/", headers={"Authorization": basic("crmsync", tower_password(settings))}).status_code == 200


def test_an_empty_file_opens_nothing() -> None:
    settings = _settings()
    settings.home.mkdir()
    (settings.home / "tower.password").write_text("\n")

    with pytest.raises(ConfigurationError, match="is empty"):
        tower_password(settings)


def test_a_state_directory_that_cannot_be_used_names_the_variable() -> None:
    settings = _settings()
    settings.home.write_text("not a directory")

    with pytest.raises(ConfigurationError) as raised:
        tower_password(settings)

    assert "CRMSYNC_TOWER_PASSWORD" in raised.value.field_errors


def test_a_kept_secret_is_one_for_all_who_ask_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.key"

    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(lambda _: kept_secret(path), range(64)))

    assert len(secrets) == 1
    assert secrets == {path.read_text()}
    assert [file.name for file in path.parent.iterdir()] == ["a.key"]


def _settings(**env: str) -> Settings:
    return Settings.from_env({**os.environ, **env})
