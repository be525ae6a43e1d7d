"""`crmsync approvals`: a second person at the command line, and what the first one is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from crmsync.domain.dead_letters import LetterStatus
from crmsync.errors import UnusualBurstError
from crmsync.flows import flood
from crmsync.store import Store
from crmsync.worker import dead_letters as worker
from crmsync.worker.flow import Flow

WHY = ("--yes", "--reason", "agreed", "--by")


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    enqueued: list[str] = []
    monkeypatch.setattr(Flow, "enqueue", lambda _, run_id, results=None: enqueued.append(run_id))
    monkeypatch.setattr(worker, "redraw", lambda _: None)
    monkeypatch.setenv("CRMSYNC_FOUR_EYES_ABOVE", "10000 USD")
    return enqueued


def status_of(store: Store, letter_id: int) -> LetterStatus:
    with store.read() as uow:
        found = uow.dead_letters.get(letter_id)
    assert found is not None
    return found.status


def test_what_needs_two_people_is_done_when_the_second_one_says_so(
    store: Store,
    bury: Callable[..., int],
    run_letters: Callable[..., Result],
    run_cli: Callable[..., Result],
    broker: list[str],
) -> None:
    letter = bury()
    first = run_letters("replay", str(letter), "--accept", *WHY, "ada")
    assert (first.exit_code, broker) == (0, [])
    assert "crmsync approvals approve 1" in first.output

    own = run_cli("approvals", "approve", "1", "--by", "Ada")
    assert own.exit_code != 0
    assert "another person" in own.output
    assert "ada" in run_cli("approvals", "list").output
    assert status_of(store, letter) is LetterStatus.WAITING

    assert run_cli("approvals", "approve", "1", "--by", "bob").exit_code == 0
    assert (status_of(store, letter), len(broker)) == (LetterStatus.REPLAYING, 1)
    assert "Nothing waits" in run_cli("approvals", "list").output


def test_several_are_proposed_one_by_one_and_told_as_such(
    store: Store, bury: Callable[..., int], run_letters: Callable[..., Result], run_cli: Callable[..., Result]
) -> None:
    letter = bury()
    told: dict[str, Any] = json.loads(run_letters("discard", "--all", "--json", *WHY, "ada").stdout)

    assert told == {"discarded": [], "failed": [], "proposed": [{"id": letter, "approval": 1}]}
    rejected = json.loads(run_cli("approvals", "reject", "1", "--by", "bob", "--json").stdout)
    assert (rejected["status"], rejected["decided_by"]) == ("rejected", "bob")
    assert status_of(store, letter) is LetterStatus.WAITING


def test_one_person_lets_no_flood_pass_unseen(
    monkeypatch: pytest.MonkeyPatch, bury: Callable[..., int], run_letters: Callable[..., Result]
) -> None:
    passed: list[str] = []
    monkeypatch.setattr(flood, "let_pass", lambda _, source: passed.append(source))
    bury(error=UnusualBurstError("A flood."), step="fetch_deal", read=False)

    run_letters("replay", "--error", "UnusualBurstError", "--accept", *WHY, "ada")
    assert passed == []
    monkeypatch.setenv("CRMSYNC_FOUR_EYES_ABOVE", "")
    run_letters("replay", "--error", "UnusualBurstError", "--accept", *WHY, "bob")
    assert passed == ["salesforce"]
