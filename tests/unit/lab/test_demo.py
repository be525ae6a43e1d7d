"""The parts of the demo that can be wrong without the whole of it."""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import nullcontext
from decimal import Decimal
from urllib.request import Request, urlopen

import pytest
from rich.console import Console

from crmsync.alerts.blocks import as_blocks
from crmsync.alerts.content import as_text
from crmsync.lab.demo import cast
from crmsync.lab.demo.audit import Account
from crmsync.lab.demo.narrator import Narrator, lines_of
from crmsync.lab.demo.performance import perform
from crmsync.lab.demo.sightings import NeverHappened, until
from crmsync.lab.demo.story import Story
from crmsync.lab.demo.world import World
from crmsync.lab.machine import Logs
from crmsync.lab.rig import SlackCatcher

AMOUNT = Decimal("47000")

ALERT = {
    "headline": "A deal is stuck",
    "facts": [["Deal", "006xx"], ["Company", "A & B <Ltd>"]],
    "cause": "SAP does not answer.",
    "advice": "Replay it.",
    "command": "celery -A crmsync dead-letters replay 1",
}


def account(*, nets=(AMOUNT,), invoiced=(AMOUNT,), mails=1, written=True, is_paid=False, was_paid=False):
    return Account("200 sensors", AMOUNT, nets, invoiced, mails, written, is_paid, was_paid)


@pytest.mark.parametrize(
    ("counted", "is_right"),
    [
        (account(), True),
        (account(nets=()), False),
        (account(nets=(AMOUNT, AMOUNT)), False),
        (account(invoiced=(AMOUNT, AMOUNT)), False),
        (account(invoiced=(AMOUNT + 1,)), False),
        (account(mails=0), False),
        (account(mails=2), False),
        (account(written=False), False),
        (account(is_paid=True, was_paid=True), True),
        (account(is_paid=True), False),
        (account(was_paid=True), False),
    ],
    ids=[
        "all once",
        "no order",
        "two orders",
        "two invoices",
        "a wrong amount",
        "no mail",
        "two mails",
        "no numbers",
        "paid",
        "paid, but nobody did",
        "not paid, but somebody did",
    ],
)
def test_the_audit_accepts_only_everything_once(counted, is_right):
    assert counted.is_right is is_right


def test_an_alert_is_caught_and_reads_as_in_slack():
    message = {"text": as_text(ALERT, 1), "blocks": as_blocks(ALERT, 1)}

    with SlackCatcher() as slack:
        with urlopen(Request(slack.url, json.dumps(message).encode(), method="POST")) as answer:
            assert answer.read() == b"ok"
        (caught,) = slack.messages

    assert lines_of(caught) == [
        "A deal is stuck",
        "Deal     006xx",
        "Company  A & B <Ltd>",
        "Cause",
        "SAP does not answer.",
        "Replay it.",
        "celery -A crmsync dead-letters replay 1",
    ]


def test_logs_go_to_files_and_their_ends_stay_at_hand(tmp_path):
    logs = Logs(tmp_path / "logs")
    for number in range(5):
        logs("worker", f"line {number}")

    assert logs.tails(2) == {"worker": ["line 3", "line 4"]}
    assert logs.contains("worker", "line 1")
    assert (tmp_path / "logs" / "worker.log").read_text().count("\n") == 5


def test_waiting_ends_with_what_was_waited_for():
    with pytest.raises(NeverHappened, match="the order is made"):
        until(lambda: None, "the order is made", patience_seconds=0)


def test_nothing_but_text_is_printed_where_there_is_no_terminal():
    out = io.StringIO()
    narrator = Narrator(Console(file=out, width=60, markup=False, highlight=False))

    narrator.chapter("A deal is won")
    narrator.say("A sentence that is longer than the screen is wide, and therefore has a second line.")
    narrator.step("SAP", "order 4711 made", seconds=0.5)
    with narrator.waiting("waiting"):
        narrator.typed("true", ["done"], seconds=1.25)

    assert out.getvalue().splitlines() == [
        "",
        "1. A deal is won",
        "   A sentence that is longer than the screen is wide, and",
        "   therefore has a second line.",
        "     0.50 s ✓ SAP        order 4711 made",
        "   $ true",
        "     done",
        "     1.25 s ✓ crmsync    the command has ended",
    ]


@pytest.fixture
def world(monkeypatch):
    """A world whose stand-ins have addresses without being started."""
    monkeypatch.setenv("SAP_BASE_URL", "https://sap.of.the.company")
    with World.in_temporary_state(keep=False, say=print) as made:
        for vendor in made.sandbox.vendors:
            vendor.url = f"http://127.0.0.1:1/{vendor.name}"
        yield made


def test_a_story_that_fails_says_what_went_wrong_and_shows_the_logs(monkeypatch, capsys):
    def fail(story):
        story._world.logs("worker1", "the last words of the worker")
        raise NeverHappened("This did not happen within 45 s: the order is made in SAP.")

    monkeypatch.setattr(World, "configuration", lambda world: {"CRMSYNC_HOME": str(world.home)})
    monkeypatch.setattr(World, "running", lambda *_: nullcontext())
    monkeypatch.setattr(cast, "introduce", lambda *_: None)
    monkeypatch.setattr(Story, "tell", fail)

    assert not perform(once=True, keep_state=False)

    output = capsys.readouterr().out
    assert "✗ This did not happen within 45 s: the order is made in SAP." in output
    assert "the last words of the worker" in output


def test_the_demo_knows_nothing_of_what_is_configured_outside(world):
    assert world.settings.systems.get("s4hana").base_url == "http://127.0.0.1:1/sap"
    assert world.env["SAP_BASE_URL"] == "http://127.0.0.1:1/sap"


def test_the_demo_keeps_the_real_retries(world):
    assert (world.settings.behaviour.max_retries, world.settings.behaviour.retry_backoff_seconds) == (3, 2.0)


def test_a_command_of_the_demo_carries_its_state_directory(world):
    assert world.command("celery -A crmsync beat") == f"CRMSYNC_HOME={world.home} celery -A crmsync beat"


def test_a_command_that_calls_the_stand_ins_finds_them(world):
    source, _, command = world.command("crmsync runs list").partition("; ")

    environment = (world.home / "environment").read_text()
    assert (source, command) == (f". {world.home}/environment", "crmsync runs list")
    assert f"export CRMSYNC_HOME={world.home}\n" in environment
    assert "export SAP_BASE_URL=http://127.0.0.1:1/sap\n" in environment
    assert (world.home / "environment").stat().st_mode & 0o777 == 0o600


def test_a_state_directory_is_removed_unless_it_is_to_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = []
    with World.in_temporary_state(keep=False, say=said.append) as gone:
        pass
    with World.in_temporary_state(keep=True, say=said.append) as kept:
        pass

    assert (gone.home.exists(), kept.home.exists()) == (False, True)
    assert said == [f"The state directory is kept: {kept.home}"]
