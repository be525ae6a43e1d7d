"""`crmsync webhooks`: addresses of their own; a secret is shown once and is never an argument."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crmsync.cli.main import cli
from crmsync.store import Store
from tests.unit.cli.test_connections import SECRET
from tests.unit.cli.test_connections import shown as connection

BOOKS = ("add", "zoho_books", "--name", "Books", "--tenant", "acme", "--set", "client_id=x",
         "--set", "organization_id=1")  # fmt: skip


def run(*words: str, secret: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["webhooks", *words], input=secret)


def shown(*words: str, secret: str | None = None) -> Any:
    result = run(*words, "--json", secret=secret)
    assert result.exit_code == 0, result.output + result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def books(store: Store) -> str:
    secrets = {"client_secret": SECRET, "refresh_token": SECRET}
    return str(connection(*BOOKS, "--secrets-stdin", secrets=secrets)["id"])


@pytest.fixture
def made(books: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CRMSYNC_PUBLIC_URL", "https://tower.example.com")
    monkeypatch.setenv("CRMSYNC_DOORS_URL", "https://doors.example.com/in")
    found: dict[str, Any] = shown("create", books)
    return found


def test_an_address_is_made_with_a_secret_that_is_shown_once(made: dict[str, Any], books: str) -> None:
    token = made["verification_token"]

    assert len(token) >= 32
    assert made["receive_url"] == f"https://doors.example.com/in/api/erp/webhooks/{made['id']}/receive"
    assert (made["tenant"], made["door"], made["status"]) == ("acme", "payment", "active")
    assert [each["id"] for each in shown("list", "--connection", books)] == [made["id"]]
    assert shown("list", "--tenant", "globex") == []
    assert token not in run("list", "--json").output
    assert made["receive_url"] in run("list").stdout


def test_a_secret_of_ones_own_is_read_from_stdin(books: str) -> None:
    assert shown("create", books, "--secret-stdin", secret="a-secret-of-ours\n")["verification_token"] == (
        "a-secret-of-ours"
    )
    assert "ASCII characters" in run("create", books, "--secret-stdin", secret="short\n").stderr
    assert "is empty" in run("create", books, "--secret-stdin", secret="").stderr
    assert len(shown("list")) == 1


def test_rotate_disable_enable_and_delete(made: dict[str, Any]) -> None:
    rotated = shown("rotate", made["id"], "--overlap", "60")
    assert rotated["verification_token"] != made["verification_token"]
    assert rotated["previous_until"] > rotated["updated_at"]
    assert shown("disable", made["id"])["status"] == "disabled"
    assert shown("enable", made["id"])["status"] == "active"

    gone = run("delete", made["id"], "--yes", "--by", "ada", "--reason", "the sender is switched off")

    assert gone.exit_code == 0
    assert shown("list") == []
    newest = json.loads(CliRunner().invoke(cli, ["audit", "list", "--json"]).stdout)[0]
    assert (newest["name"], newest["verb"], newest["reason"]) == ("ada", "delete", "the sender is switched off")
    assert made["verification_token"] not in json.dumps(newest)


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown connection": (("create", "con_0123456789abcdef"), "There is no connection"),
    "an unknown event": (("create", "{books}", "--event", "deal.closed"), "expected payment.recorded"),
    "an unknown one": (("rotate", "whk_0123456789abcdef"), "There is no webhook"),
    "another company's": (("disable", "{id}", "--tenant", "globex"), "There is no webhook"),
    "nobody to ask": (("delete", "{id}"), "Cannot ask for confirmation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_done_is_refused_with_the_reason(made: dict[str, Any], books: str, name: str) -> None:
    words, expected = REFUSED[name]

    result = run(*(word.format(id=made["id"], books=books) for word in words))

    assert result.exit_code != 0
    assert expected in result.stderr
    assert [each["status"] for each in shown("list")] == ["active"]
