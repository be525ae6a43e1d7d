"""The queue of dead letters and the commands about it: a view of the store, which no accident can lose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from crmsync.domain.dead_letters import FIRST_SHOWN_SECONDS, LetterStatus
from crmsync.lab.sandbox.deals import Deal
from tests.system import System, big_sandbox, database, until

pytestmark = pytest.mark.acceptance

LETTERS = 4


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Running, with an ERP that refuses every order."""
    with big_sandbox() as sandbox, database(tmp_path) as url, System(tmp_path, sandbox, database_url=url) as system:
        sandbox.faults.add("sap", "error", "create_order", status=403, code="NO_AUTH")
        yield system.start("web", "worker", "beat")


@pytest.fixture
def dead(system: System) -> list[Deal]:
    """Deals that wait as dead letters, and are on the queue."""
    deals = system.sandbox.deals.bulk(LETTERS, 2)
    system.close_all(deals)
    system.wait_for("stopped", *deals)
    until(lambda: system.queue_length() == LETTERS, what="the queue shows every letter")
    return deals


def repaired(system: System) -> None:
    system.sandbox.faults.clear()


def stops(system: System, deal: Deal) -> int:
    """How often the run has stopped."""
    return sum(event == "stopped" for _, event in system.history(deal))


def assert_no_replay_was_early(system: System, deal: Deal) -> None:
    """The first letter is replayed at once, one that failed again half a minute later, then a minute, then two."""
    with system.store.read() as uow:
        rows = uow.history.of_run(system.run_of(deal).id)
    stopped, replayed = ([row.at for row in rows if row.event == event] for event in ("stopped", "replayed"))
    for failures, stop, replay in zip(count(1), stopped, replayed, strict=False):
        pause = FIRST_SHOWN_SECONDS * 2 ** (failures - 2) if failures > 1 else 0
        assert replay - stop >= timedelta(seconds=pause), f"replay {failures} came too early"


def test_the_queue_is_the_waiting_letters_and_the_commands_work_from_anywhere(system: System, dead: list[Deal]) -> None:
    listed = system.dead_letters("list")
    assert [letter["deal"] for letter in listed] == [letter.subject_key for letter in system.letters()]
    assert {(letter["task"], letter["error"], letter["status"]) for letter in listed} == {
        ("order_to_invoice.create_order", "AuthenticationError", "waiting")
    }
    first, second = listed[0]["id"], listed[1]["id"]
    assert system.dead_letters("show", str(first))["run"] == listed[0]["run"]

    repaired(system)
    assert system.dead_letters("discard", str(first), "--yes", "--reason", "a test") == {
        "discarded": [first],
        "failed": [],
    }
    until(lambda: system.queue_length() == LETTERS - 1, what="the discarded letter leaves the queue")
    system.dead_letters("replay", str(second), "--yes")
    until(lambda: system.queue_length() == LETTERS - 2, what="the replayed letter leaves the queue")
    again = system.run("celery", "-A", "crmsync", "dead-letters", "replay", str(first), "--yes", "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["failed"][0]["id"] == first

    assert len(system.dead_letters("replay", "--error", "AuthenticationError", "--yes")["replayed"]) == LETTERS - 2
    by_id = {deal.id: deal for deal in dead}
    done = [by_id[letter["deal"]] for letter in listed[1:]]
    system.wait_for("done", *done)
    assert system.statuses(dead) == {"done": LETTERS - 1, "discarded": 1}
    until(lambda: system.queue_length() == 0, what="the queue is empty")
    assert system.documents(by_id[listed[0]["deal"]]) == ([], [])
    assert {letter["status"] for letter in system.dead_letters("list", "--all")} == {"replayed", "discarded"}


def test_a_command_that_would_ask_does_nothing_where_nobody_can_answer(system: System, dead: list[Deal]) -> None:
    asked = system.run("celery", "-A", "crmsync", "dead-letters", "replay", "--all")

    assert asked.returncode != 0
    assert len(system.letters()) == LETTERS
    until(lambda: system.queue_length() == LETTERS, what="the queue shows every letter")  # it may just be redrawn


def test_a_plain_worker_leaves_the_queue_alone_and_a_worker_on_it_replays_it(system: System, dead: list[Deal]) -> None:
    repaired(system)
    other = system.sandbox.deals.create("Another Ltd", email="another@example.com")
    system.start("worker@2")
    system.close(other.id)
    system.wait_for("done", other)  # the plain workers have had their chance
    assert [stops(system, deal) for deal in dead] == [1] * LETTERS
    assert len(system.letters()) == LETTERS
    until(lambda: system.queue_length() == LETTERS, what="the queue shows every letter")  # it may just be redrawn

    system.start("replayer")

    system.wait_for("done", *dead)
    until(lambda: system.queue_length() == 0, what="the queue is empty")
    customers = sorted({row["account"] for row in system.sandbox.ledger()["deals"]})
    system.assert_each_once([*dead, other], customers=customers)
    with system.store.read() as uow:
        assert {letter.status for letter in uow.dead_letters.list(None, status=None)} == {LetterStatus.REPLAYED}


def test_a_worker_on_the_queue_does_not_spin_while_the_fault_stays(system: System, dead: list[Deal]) -> None:
    system.start("replayer")
    until(lambda: all(stops(system, deal) > 1 for deal in dead), what="each letter was replayed, and failed again")

    # Many sweeps later, so that beat and the workers were at work.
    sweeps = system.log().count("housekeeping.sweep")
    until(lambda: system.log().count("housekeeping.sweep") >= sweeps + 6, what="six sweeps")

    for deal in dead:
        assert_no_replay_was_early(system, deal)
    with system.store.read() as uow:
        assert [alert.occurrences for alert in uow.alerts.newest(None, limit=10)] == [LETTERS]


def test_an_emptied_redis_gets_its_dead_letters_back(system: System, dead: list[Deal]) -> None:
    with system.redis() as client:
        client.flushdb()

    until(lambda: system.queue_length() == LETTERS, what="the sweeper shows the letters again")
    repaired(system)
    system.start("replayer")
    system.wait_for("done", *dead)
