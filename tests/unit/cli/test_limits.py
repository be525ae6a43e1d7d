"""`crmsync limits`, as far as it needs no Redis; the rest is in tests/integration/test_budget.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result

from crmsync.cli import limits
from crmsync.cli.limits import Usage
from crmsync.connectors.limits.shared_budget import State

ZOHO = {
    "ZOHO_CLIENT_ID": "1000.X",
    "ZOHO_CLIENT_SECRET": "s",
    "ZOHO_REFRESH_TOKEN": "r",
    "ZOHO_ORGANIZATION_ID": "10001",
}

RunCli = Callable[..., Result]


def test_without_a_system_there_is_nothing_to_show(run_cli: RunCli) -> None:
    assert run_cli("limits").output.startswith("No system is configured")
    assert run_cli("limits", "--json").output == "[]\n"


def test_a_redis_that_is_down_is_named_with_what_to_do(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ZOHO, "REDIS_URL": "redis://127.0.0.1:1/0"}.items():
        monkeypatch.setenv(name, value)

    result = run_cli("limits")

    assert result.exit_code == 1
    assert "Redis does not answer" in result.output
    assert "Check REDIS_URL" in result.output


def test_a_row_shows_what_is_known(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [
        State("minute", 100, 30, 30, resets_in_seconds=19.2),
        State("24 hours", None, None, None),
        State("at once", 10, 2, 3),
    ]
    found = [Usage("acme", "books", "1", states, 30, 12.0)]
    monkeypatch.setattr(limits, "_usages", lambda *_: found)

    lines = [line.split() for line in run_cli("limits").output.splitlines()]

    assert lines[1] == ["acme", "books", "minute", "100", "30", "30", "70", "20", "s"]
    assert lines[2] == ["acme", "books", "24", "hours", "?", "?", "?", "?"]
    assert lines[3] == ["acme", "books", "at", "once", "10", "2", "3", "8"]
    assert "books has asked crmsync to wait: 12 s more." in run_cli("limits").output
    assert "Reserved: 30 %, for orders and payments." in run_cli("limits").output

    found.append(Usage("acme", "erp", "2", [], 50, 0.0))

    assert "Reserved: 30 % of books, 50 % of erp, for orders and payments." in run_cli("limits").output
