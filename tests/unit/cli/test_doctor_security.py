"""`crmsync doctor --security` goes through the hardening list, and says what to do where something is to be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crmsync import files
from crmsync.cli import hardening
from crmsync.settings import Settings

GOOD = "b2f1c07d94e5a8360f7c1d2b9e4a5f60"
OTHER = "7d90a1c4e3f25b68d0c9a7e1f4b3628c"
GUESSED_AT_FLOWER = "FLOWER_BASIC_AUTH of administrators-of-it can't be guessed"
THIRD = "e19c5d03b7a4f6281c0d9e8a3b5f7246"
SYSTEMS = {
    "SF_CLIENT_ID": "c",
    "SF_USERNAME": "u",
    "ZOHO_CLIENT_ID": "z",
    "ZOHO_CLIENT_SECRET": "s",
    "ZOHO_REFRESH_TOKEN": "r",
    "ZOHO_ORGANIZATION_ID": "1",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    files.make_private_folder(tmp_path / "state")
    return tmp_path / "state"


def advice(home: Path, **env: str) -> dict[str, str]:
    settings = Settings.from_env({"CRMSYNC_HOME": str(home), **env})
    return {finding.name: finding.detail for finding in hardening.all_of(settings) if not finding.is_ok}


@pytest.fixture(autouse=True)
def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening.os, "geteuid", lambda: 1000)


def test_an_installation_that_is_hardened_needs_nothing(home: Path) -> None:
    hardened = {
        "CRMSYNC_SECRET_KEY": GOOD,
        "CRMSYNC_TOWER_PASSWORD": OTHER,
        "CRMSYNC_HOST": "0.0.0.0",
        "CRMSYNC_ADMIN_PORT": "8001",
        "CRMSYNC_PUBLIC_URL": "https://crm.example.com",
        "CRMSYNC_TRUSTED_PROXIES": "10.0.0.0/8, fc00::/7",
        "FLOWER_BASIC_AUTH": f"crmsync:{OTHER[::-1]}",
        "REDIS_URL": f"rediss://crmsync:{THIRD}@redis.example.com/0",
    }
    assert advice(home, **hardened) == {}


@pytest.mark.parametrize(
    ("env", "name", "cure"),
    [
        ({}, "secret key is set", "CRMSYNC_SECRET_KEY_FILE"),
        ({"CRMSYNC_TOWER_PASSWORD": "short-one-123"}, "CRMSYNC_TOWER_PASSWORD can't be guessed", "openssl"),
        ({"CRMSYNC_METRICS_TOKEN": "a" * 40}, "CRMSYNC_METRICS_TOKEN can't be guessed", "openssl"),
        ({"CRMSYNC_METRICS_TOKEN": f"sandbox{GOOD}"}, "CRMSYNC_METRICS_TOKEN can't be guessed", "well-known value"),
        ({"CRMSYNC_METRICS_TOKEN": GOOD, "CRMSYNC_SECRET_KEY": GOOD}, "secrets are different", "its own"),
        ({"REDIS_URL": "redis://redis.example.com/0"}, "REDIS_URL is encrypted and asks for a password", "rediss://"),
        ({"REDIS_URL": "rediss://redis.example.com/0"}, "REDIS_URL is encrypted and asks for a password", "password"),
        ({"CRMSYNC_HOST": "0.0.0.0"}, "private pages are served on a port of their own", "CRMSYNC_ADMIN_PORT"),
        ({"CRMSYNC_HOST": "0.0.0.0"}, "doors are behind TLS", "proxy"),
        ({"FLOWER_ADDRESS": "0.0.0.0"}, "Flower is not published", "tunnel"),
        ({"CRMSYNC_KEEP_DAYS": "0"}, "personal data is deleted in time", "for ever"),
        ({"CRMSYNC_LOG_LEVEL": "DEBUG"}, "the log is not at DEBUG", "INFO"),
        ({"CRMSYNC_FAILPOINTS": "/tmp"}, "no test switch is on", "kills workers"),
        (
            {"CRMSYNC_PUBLIC_URL": "http://crm.example.com", "CRMSYNC_ALLOW_HTTP": "true"},
            "doors are behind TLS",
            "https address",
        ),
        ({"CRMSYNC_TRUSTED_PROXIES": "10.0.0.1, 0.0.0.0/0"}, "only your own proxies are trusted", "0.0.0.0/0"),
        ({"CRMSYNC_TRUSTED_PROXIES": "0.0.0.0/1, 128.0.0.0/1"}, "only your own proxies are trusted", "128.0.0.0/1"),
        ({"CRMSYNC_TRUSTED_PROXIES": "::/1"}, "only your own proxies are trusted", "::/1"),
        ({"FLOWER_BASIC_AUTH": "administrators-of-it:short-one"}, GUESSED_AT_FLOWER, "24"),
        ({"FLOWER_BASIC_AUTH": f"ops:{GOOD}", "CRMSYNC_TOWER_PASSWORD": GOOD}, "secrets are different", "its own"),
        (
            {"CELERY_BROKER_URL": "amqps://guest:guest@rabbit.example.com//"},
            "CELERY_BROKER_URL is encrypted and asks for a password",
            "a user of its own",
        ),
        (
            {"SLACK_WEBHOOK_URL": "http://proxy.example.com/x", "CRMSYNC_ALLOW_HTTP": "true"},
            "systems are reached by https",
            "SLACK_WEBHOOK_URL",
        ),
        (
            {"SLACK_API_URL": "http://proxy.example.com/api", "CRMSYNC_ALLOW_HTTP": "true"},
            "systems are reached by https",
            "SLACK_API_URL",
        ),
    ],
)
def test_what_is_open_is_said_with_its_cure(home: Path, env: dict[str, str], name: str, cure: str) -> None:
    assert cure in advice(home, **env)[name]


def test_a_database_whose_certificate_is_not_checked_is_named() -> None:
    settings = Settings.from_env({"CRMSYNC_HOME": "/tmp/x", "DATABASE_URL": "postgresql://u@db.example.com/crmsync"})
    checked = Settings.from_env(
        {"CRMSYNC_HOME": "/tmp/x", "DATABASE_URL": "postgresql://u@db.example.com/crmsync?sslmode=verify-full"}
    )

    assert next(advice for _, advice in hardening._database(settings)).startswith("sslmode is prefer")
    assert [advice for _, advice in hardening._database(checked)] == [""]


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("postgresql:///crmsync?host=db.example.com", True),
        ("postgresql://127.0.0.1/crmsync?host=db.example.com:5432&host=127.0.0.1:5432", True),
        ("postgresql:///crmsync?host=/run/postgresql", False),
        ("postgresql://localhost/crmsync?hostaddr=192.0.2.7", True),
        ("postgresql:///crmsync?host=localhost,db.example.com", True),
        ("postgresql:///crmsync?host=localhost,127.0.0.1", False),
        ("postgresql:///crmsync?host=127.0.0.1:5432", False),
        ("postgresql://[::1]:5432/crmsync", False),
        ("postgresql:///crmsync", False),
    ],
)
def test_a_host_of_the_database_is_found_wherever_it_is_written(home: Path, url: str, is_told: bool) -> None:
    settings = Settings.from_env({"CRMSYNC_HOME": str(home), "DATABASE_URL": url})

    assert bool([advice for _, advice in hardening._database(settings) if advice]) == is_told


@pytest.mark.parametrize("name", ["PGHOST", "PGHOSTADDR"])
def test_a_host_that_the_environment_names_counts(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "192.0.2.7")
    settings = Settings.from_env({"CRMSYNC_HOME": str(home), "DATABASE_URL": "postgresql:///crmsync"})

    assert [advice for _, advice in hardening._database(settings) if advice]


def test_each_secret_of_a_door_is_looked_at(home: Path) -> None:
    doors = {"SF_WEBHOOK_SECRET": GOOD, "SF_WEBHOOK_BEARER": GOOD, "SF_WEBHOOK_TOKEN": "a" * 30}
    before = {
        "SF_WEBHOOK_BEARER_PREVIOUS": "sandbox-of-before",
        "ZOHO_WEBHOOK_SECRET": OTHER,
        "ZOHO_WEBHOOK_SECRET_PREVIOUS": "b" * 30,
    }
    found = advice(home, **doors, **before, **SYSTEMS, **key(home))

    weak = {"SF_WEBHOOK_TOKEN", "SF_WEBHOOK_BEARER_PREVIOUS", "ZOHO_WEBHOOK_SECRET_PREVIOUS"}
    assert {name.split()[0] for name in found if "guessed" in name} == weak
    assert "its own" in found["secrets are different"]


def test_a_file_with_a_secret_that_others_may_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.parent / "sap.secret"
    path.write_text(GOOD)
    path.chmod(0o640)
    monkeypatch.setenv("SAP_CLIENT_SECRET_FILE", str(path))

    assert f"chmod go= {path}" in advice(home)["files with secrets are their owner's alone"]
    path.chmod(0o600)
    assert "files with secrets are their owner's alone" not in advice(home)


def test_root_and_files_of_others_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening.os, "geteuid", lambda: 0)
    (home / "secret-key").write_text("x")
    (home / "secret-key").chmod(0o644)
    found = advice(home)
    assert "user of its own" in found["runs without root"]
    assert "chmod go=" in found["state directory is its owner's alone"]


def test_a_webhook_secret_that_opens_several_forms_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.from_env({"CRMSYNC_HOME": str(home), "ZOHO_WEBHOOK_SECRET": GOOD, **SYSTEMS, **key(home)})
    assert dict(hardening._separate(settings)) == {"secrets are different": ""}
    shared = Settings.from_env({"CRMSYNC_HOME": str(home), "SF_WEBHOOK_SECRET": GOOD, **SYSTEMS, **key(home)})
    advice = dict(hardening._separate(shared))["each form of webhook has a secret of its own"]
    assert "SF_WEBHOOK_BEARER and SF_WEBHOOK_TOKEN" in advice


def key(home: Path) -> dict[str, str]:
    from crmsync.lab.sandbox.salesforce.oauth import make_key

    (home / "key.pem").write_text(make_key().private_pem)
    return {"SF_PRIVATE_KEY_FILE": str(home / "key.pem")}


def test_no_advice_shows_a_secret(home: Path) -> None:
    secret = "sandbox-geheim-4711"
    env = {"CRMSYNC_TOWER_PASSWORD": secret, "REDIS_URL": f"redis://:{secret}@redis.example.com/0"}
    assert not [text for text in advice(home, **env).values() if "geheim" in text]


def test_the_command_ends_with_status_1_where_something_is_to_be_done(run_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_cli("doctor", "--security", "--json")

    found = json.loads(result.output)
    assert (result.exit_code, found["ok"]) == (1, False)
    assert {check["area"] for check in found["checks"]} == {"Security"}


@pytest.mark.parametrize(
    ("env", "ways"),
    [
        ({}, "passwords, the built-in operator's password: the ways"),
        ({"CRMSYNC_OIDC_ONLY": "true"}, "the identity provider accounts.example: the ways"),
        (
            {"CRMSYNC_PROXY_USER_HEADER": "X-User"},
            "the identity provider accounts.example, the proxy's header X-User: the ways",
        ),
    ],
)
def test_it_says_which_ways_of_signing_in_are_open(home: Path, env: dict[str, str], ways: str) -> None:
    provider = {
        "CRMSYNC_OIDC_ISSUER": "https://accounts.example",
        "CRMSYNC_OIDC_CLIENT_ID": "c",
        "CRMSYNC_OIDC_ROLES": "groups: ops=operator",
    }
    settings = Settings.from_env({"CRMSYNC_HOME": str(home), **(provider if env else {}), **env})

    told = [finding.name for finding in hardening.all_of(settings) if finding.name.endswith("that are open")]

    assert ways in told[0]
    assert not ("OIDC_ONLY" in "".join(env) and "password" in told[0])


def test_a_provider_in_the_clear_is_told(home: Path) -> None:
    env = {
        "CRMSYNC_OIDC_ISSUER": "http://accounts.example",
        "CRMSYNC_OIDC_CLIENT_ID": "c",
        "CRMSYNC_ALLOW_HTTP": "true",
    }

    found = advice(home, **env, CRMSYNC_OIDC_ROLES="groups: ops=operator")

    assert "https" in found["the identity provider is reached by https"]
