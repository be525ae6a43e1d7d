"""`crmsync sync-configs`: how often a company's flows run, and their pause."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from crmsync.store import Store
from tests.unit.cli.test_connections import shown as connection

RunCli = Callable[..., Result]
Shown = Callable[..., Any]


@pytest.fixture
def shown(run_cli: RunCli) -> Shown:
    def shown(*words: str) -> Any:
        result = run_cli("sync-configs", *words, "--json")
        assert result.exit_code == 0, result.output + result.stderr
        return json.loads(result.stdout)

    return shown


@pytest.fixture
def config(store: Store, run_cli: RunCli) -> str:
    """The id of a tenant's sync config of inventory."""
    secrets = {"client_secret": "geheim-and-long-enough", "refresh_token": "geheim-and-long-enough"}
    crm = ("add", "salesforce", "--name", "CRM", "--tenant", "acme", "--set", "auth=refresh_token",
           "--set", "client_id=me")  # fmt: skip
    erp = ("add", "s4hana", "--name", "ERP", "--tenant", "acme", "--set", "base_url=https://sap.example.com",
           "--set", "client_id=me", "--set", "sales_organization=1010", "--set", "stock_plants=1010")  # fmt: skip
    erp_secrets = {"client_secret": secrets["client_secret"]}
    ids = [
        connection(*words, "--secrets-stdin", secrets=given)["id"]
        for words, given in ((crm, secrets), (erp, erp_secrets))
    ]
    roles = ("--role", f"catalogue={ids[0]}", "--role", f"stock={ids[1]}")
    bound = run_cli("bindings", "set", "inventory", "--tenant", "acme", *roles)
    assert bound.exit_code == 0, bound.output + bound.stderr
    return f"inventory:{ids[0]}"


def test_a_bound_flow_is_listed_and_shown(shown: Shown, run_cli: RunCli, config: str) -> None:
    found = shown("show", config)

    assert (found["tenant_id"], found["interval_seconds"], found["status"]) == ("acme", 3600, "active")
    assert [each["id"] for each in shown("list", "--tenant", "acme")] == [config]
    assert shown("list", "--tenant", "globex") == []
    assert config in run_cli("sync-configs").stdout
    assert "3600 s" in run_cli("sync-configs", "show", config).stdout


def test_pause_resume_and_another_interval(shown: Shown, run_cli: RunCli, config: str) -> None:
    assert shown("pause", config)["status"] == "paused"
    assert [each["id"] for each in shown("list", "--status", "paused")] == [config]
    assert shown("resume", config)["status"] == "active"

    changed = shown("set", config, "--interval", "900", "--by", "ada", "--reason", "they count twice an hour")

    assert (changed["interval_seconds"], changed["version"]) == (900, 4)
    newest = json.loads(run_cli("audit", "list", "--json").stdout)[0]
    assert (newest["name"], newest["reason"]) == ("ada", "they count twice an hour")
    assert newest["after"]["options"]["inventory_seconds"] == 900


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown one": (("show", "inventory:con_0123456789abcdef"), "There is no sync config"),
    "another company's": (("pause", "{id}", "--tenant", "globex"), "There is no sync config"),
    "an interval that is too short": (("set", "{id}", "--interval", "5"), "60 to 2592000"),
    "nothing to set": (("set", "{id}"), "--interval"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_done_is_refused_with_the_reason(shown: Shown, run_cli: RunCli, config: str, name: str) -> None:
    words, expected = REFUSED[name]

    result = run_cli("sync-configs", *(word.format(id=config) for word in words))

    assert result.exit_code != 0
    assert expected in result.stderr
    assert shown("show", config)["version"] == 1
