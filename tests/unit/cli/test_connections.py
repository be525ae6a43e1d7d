"""`crmsync connections`: no secret is ever an argument, or printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crmsync.cli import consent
from crmsync.cli.consent import awaited
from crmsync.cli.main import cli
from crmsync.domain.consents import ConsentRequest, ConsentStatus
from crmsync.services import Services

SECRET = "geheim-and-long-enough"
ADD = ("add", "s4hana", "--name", "Plant", "--tenant", "acme", "--set", "base_url=https://sap.example.com",
       "--set", "client_id=me", "--set", "sales_organization=1010", "--set", "stock_plants=1010,1020")  # fmt: skip


def run(*words: str, secrets: dict[str, Any] | str | None = None) -> Result:
    text = json.dumps(secrets) if isinstance(secrets, dict) else secrets
    return CliRunner().invoke(cli, ["connections", *words], input=text)


def shown(*words: str, **options: Any) -> Any:
    result = run(*words, "--json", **options)
    assert result.exit_code == 0, result.output + result.stderr
    assert SECRET not in result.output
    return json.loads(result.stdout)


@pytest.fixture
def made() -> dict[str, Any]:
    found: dict[str, Any] = shown(*ADD, "--secrets-stdin", secrets={"client_secret": SECRET})
    return found


def test_one_is_made_with_its_secrets_from_stdin(made: dict[str, Any]) -> None:
    assert made["id"].startswith("con_")
    assert made["settings"]["stock_plants"] == ["1010", "1020"]
    assert made["secret_names"] == ["client_secret"]
    assert shown("list")[0] == shown("show", made["id"]) == made
    assert shown("list", "--tenant", "globex") == []
    assert SECRET not in run("show", made["id"]).output
    assert "***" in run("show", made["id"]).output


def test_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")

    found = shown(*ADD, "--secret-file", f"client_secret={tmp_path / 'secret'}")

    assert found["secret_names"] == ["client_secret"]


def test_a_secret_on_the_command_line_is_refused(made: dict[str, Any]) -> None:
    result = run("set", made["id"], "--set", f"client_secret={SECRET}")

    assert result.exit_code == 2
    assert "list of processes" in result.stderr
    assert SECRET not in result.output


REFUSED: dict[str, tuple[tuple[str, ...], str | None, str]] = {
    "what is missing": (("add", "s4hana", "--name", "x"), None, "base_url"),
    "an unknown system": (("add", "hubspot", "--name", "x"), None, "salesforce, s4hana, zoho_books"),
    "a pair that is none": ((*ADD, "--set", "division"), None, "expected NAME=VALUE"),
    "stdin that is no object": ((*ADD, "--secrets-stdin"), f'["{SECRET}"]', "expected a JSON object of strings"),
    "a file that is not there": ((*ADD, "--secret-file", "client_secret=/nowhere"), None, "can't be read"),
    "an empty file": ((*ADD, "--secret-file", "client_secret=/dev/null"), None, "is empty"),
    "a name that is taken": ((*ADD, "--secrets-stdin"), json.dumps({"client_secret": SECRET}), "already"),
    "an unknown one": (("show", "con_0123456789abcdef"), None, "There is no connection"),
    "nothing to rotate": (("rotate", "con_0123456789abcdef"), None, "Say which"),
    "nobody to ask": (("remove", "{id}"), None, "Cannot ask for confirmation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_done_is_refused_with_the_reason(made: dict[str, Any], name: str) -> None:
    words, stdin, expected = REFUSED[name]

    result = run(*(word.format(id=made["id"]) for word in words), secrets=stdin)

    assert result.exit_code != 0
    assert expected in result.stderr
    assert SECRET not in result.output


def test_what_is_not_named_stays(made: dict[str, Any]) -> None:
    found = shown(
        "set", made["id"], "--set", "division=01", "--unset", "stock_plants", "--no-sync", "--interval", "600"
    )

    settings = {name: value for name, value in made["settings"].items() if name != "stock_plants"}
    assert found["settings"] == {**settings, "division": "01"}
    assert (found["name"], found["sync_enabled"], found["interval_seconds"]) == ("Plant", False, 600)
    assert found["version"] == made["version"] + 1
    assert found["secret_names"] == ["client_secret"]


def test_another_address_wants_the_secret_again(made: dict[str, Any]) -> None:
    to = ("set", made["id"], "--set", "base_url=https://elsewhere.example.com")

    assert "must be given again" in run(*to).stderr
    assert shown(*to, "--secrets-stdin", secrets={"client_secret": SECRET})["version"] == 2


def test_pause_resume_rotate_and_remove(made: dict[str, Any]) -> None:
    assert shown("pause", made["id"])["status"] == "inactive"
    assert [each["id"] for each in shown("list", "--status", "inactive")] == [made["id"]]
    assert shown("resume", made["id"])["status"] == "active"
    assert shown("rotate", made["id"], "--secrets-stdin", secrets={"client_secret": SECRET})["made"] == {}
    assert shown("remove", made["id"], "--yes")["gone"] == {}
    assert shown("list") == []


def test_a_webhooks_secret_is_made_here_and_shown_once() -> None:
    books = ("add", "zoho_books", "--name", "Books", "--set", "client_id=x", "--set", "organization_id=1")
    secrets = {"client_secret": SECRET, "refresh_token": SECRET, "webhook_secret": SECRET}
    made = shown(*books, "--secrets-stdin", secrets=secrets)

    result = run("rotate", made["id"], "--make", "webhook_secret", "--json")

    new = json.loads(result.stdout)["made"]["webhook_secret"]
    assert len(new) >= 32
    assert new not in run("show", made["id"], "--json").output
    assert "webhook_secret_previous" in shown("show", made["id"])["secret_names"]


def test_a_trial_that_fails_ends_with_status_1(made: dict[str, Any]) -> None:
    """The name exists nowhere, so nothing is sent."""
    run(
        "set",
        made["id"],
        "--set",
        "token_url=https://sap.invalid/token",
        "--secrets-stdin",
        secrets={"client_secret": SECRET},
    )

    result = run("test", made["id"], "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["success"] is False
    assert SECRET not in result.output


def test_who_did_what_and_why_stands_in_the_audit(made: dict[str, Any]) -> None:
    run("pause", made["id"], "--by", "ada", "--reason", "the plant is closed")

    result = CliRunner().invoke(cli, ["audit", "list", "--json"])

    newest = json.loads(result.stdout)[0]
    assert (newest["name"], newest["verb"], newest["reason"]) == ("ada", "pause", "the plant is closed")
    assert SECRET not in result.output


# -- consent in the browser

BOOKS = ("add", "zoho_books", "--name", "Books", "--set", "client_id=1000.A", "--set", "organization_id=60001")


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection that lacks what consent brings."""
    monkeypatch.setenv("CRMSYNC_PUBLIC_URL", "https://crm.example.com")
    return str(shown(*BOOKS, "--secrets-stdin", secrets={"client_secret": SECRET})["id"])


def test_the_address_of_the_consent_page_is_printed(books: str) -> None:
    found = shown("authorize", books, "--no-wait")

    assert found["authorize_url"].startswith(
        "https://accounts.zoho.com/oauth/v2/auth?response_type=code&client_id=1000.A"
    )
    assert "redirect_uri=https%3A%2F%2Fcrm.example.com%2Fapi%2Ferp%2Foauth%2Fcallback" in found["authorize_url"]
    assert run("authorize", books, "--no-wait").stdout.startswith("https://accounts.zoho.com/")


@pytest.mark.parametrize(("status", "code"), [(ConsentStatus.DONE, 0), (ConsentStatus.FAILED, 1)])
def test_it_waits_until_consent_is_given_or_refused(
    books: str, monkeypatch: pytest.MonkeyPatch, status: ConsentStatus, code: int
) -> None:
    def end(using: Services, asked: ConsentRequest) -> ConsentRequest:
        def browser(_: float) -> None:
            with using.store.begin() as uow:
                uow.consents.end(asked.id, status, "As the worker says.")

        return awaited(using, asked, sleep=browser)

    monkeypatch.setattr(consent, "awaited", end)

    result = run("authorize", books, "--json")

    assert result.exit_code == code
    assert json.loads(result.stdout) == {"connection": books, "status": status.value, "message": "As the worker says."}
    assert "https://accounts.zoho.com/" in result.stderr


def test_nobody_waits_for_ever(books: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(using: Services, asked: ConsentRequest) -> ConsentRequest:
        return awaited(using, replace(asked, expires_at=asked.asked_at))

    monkeypatch.setattr(consent, "awaited", late)

    result = run("authorize", books)

    assert result.exit_code == 1
    assert "Nobody has consented within ten minutes." in result.stderr


def test_without_a_public_address_the_variable_is_named(books: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRMSYNC_PUBLIC_URL")

    result = run("authorize", books)

    assert result.exit_code != 0
    assert "CRMSYNC_PUBLIC_URL" in result.stderr
