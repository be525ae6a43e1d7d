"""`crmsync init`, `users`, `token` and `audit`, and that what people decide at the command line has a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from crmsync.cli.main import cli


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def run(*words: str, **options: Any) -> Result:
        return CliRunner(env={"CRMSYNC_HOME": str(tmp_path)}).invoke(cli, words, **options)

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_init_makes_the_first_admin_and_shows_the_password_once(run: Any) -> None:
    first, second = told(run("init", "--json")), told(run("init", "--json"))

    assert (first["made"], first["name"], len(first["password"])) == (True, "admin", 40)
    assert second == {"made": False}
    assert [(user["name"], user["role"]) for user in told(run("users", "list", "--json"))] == [("admin", "admin")]


def test_a_token_is_shown_once(run: Any) -> None:
    run("init")

    made = told(run("token", "create", "ci", "--role", "viewer", "--tenant", "acme", "--days", "30", "--json"))
    listed = run("token", "list", "--json")

    assert made["token"].startswith(f"crm_{made['id']}_")
    assert made["token"].rpartition("_")[2] not in listed.output
    assert [(each["name"], each["tenant"], each["state"]) for each in told(listed)] == [("ci", "acme", "valid")]
    assert told(run("token", "revoke", made["id"], "--json"))["state"] == "revoked"


def test_only_the_token_itself_goes_to_stdout(run: Any) -> None:
    run("init")

    assert run("token", "create", "ci", "--role", "viewer").stdout.startswith("crm_")


def test_a_password_may_come_from_stdin(run: Any) -> None:
    run("init")

    added = run("users", "add", "bob", "--role", "viewer", "--password-stdin", input="a long enough password\n")
    short = run("users", "set-password", "bob", "--password-stdin", input="short\n")

    assert "a long enough password" not in added.output
    assert (added.exit_code, short.exit_code) == (0, 1)
    assert "12 to 200 characters" in short.stderr


def test_each_change_is_in_the_audit_with_its_person(run: Any) -> None:
    run("init")
    run("users", "add", "bob", "--role", "viewer", "--by", "ada", "--reason", "joins support")
    run("users", "set-role", "bob", "operator", "--by", "ada")
    run("users", "disable", "bob", "--by", "ada")

    entries = told(run("audit", "list", "--object", "user:bob", "--json"))

    assert [(entry["verb"], entry["name"]) for entry in entries] == [
        ("user.disable", "ada"),
        ("user.set-role", "ada"),
        ("user.add", "ada"),
    ]
    assert (entries[1]["before"], entries[1]["after"]) == ({"role": "viewer"}, {"role": "operator"})
    assert entries[2]["reason"] == "joins support"


def test_verify_tells_of_a_changed_entry(run: Any, tmp_path: Path) -> None:
    run("init")
    head = told(run("audit", "verify", "--json"))["head"]
    assert run("audit", "verify", "--holds", head).exit_code == 0
    engine = create_engine(f"sqlite:///{tmp_path / 'crmsync.db'}")
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_refuses_update"))
        connection.execute(text("UPDATE audit SET name = 'eve'"))
    engine.dispose()

    broken, gone = run("audit", "verify"), run("audit", "verify", "--holds", "0" * 63 + "1")

    assert (broken.exit_code, gone.exit_code) == (1, 1)
    assert "Entry 1 does not match the one before it" in broken.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("replay", "1", "--accept", "--yes"), "--accept"),
        (("replay", "1", "--link", "ERP=1000123", "--yes"), "--link"),
        (("discard", "1", "--yes"), "To discard"),
    ],
)
def test_a_script_that_gives_no_reason_is_told_what_to_add(run: Any, words: tuple[str, ...], named: str) -> None:
    run("migrate")

    refused = run("dead-letters", *words)

    assert refused.exit_code == 2
    assert f'{named} needs a reason, for the audit: add --reason "…"' in refused.stderr
    assert run("dead-letters", *words, "--reason", "agreed by phone").exit_code != 2
