"""Cases from the field: O5, what strangers write is harmless in terminals, in logs, in JSON and in Slack."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crmsync import log
from crmsync.alerts.blocks import as_message, escape
from crmsync.alerts.content import dead_letter_alert, stock_digest
from crmsync.cli import failures, screen
from crmsync.cli.main import cli
from crmsync.domain.dead_letters import DeadLetter, LetterKind
from crmsync.domain.learned import LevelsWritten
from crmsync.errors import CrmsyncError
from crmsync.plain import json_text, visible
from crmsync.store import Store, schema
from tests.builders import DEAL_KEY
from tests.fakes import start_run

NASTY = {
    "escape sequence": "Acme\x1b[2J\x1b[31m Ltd",
    "C1 escape sequence": "Acme\x9b2J Ltd",
    "title of the window": "Acme\x1b]0;pwned\x07 Ltd",
    "link of a terminal": "\x1b]8;;http://evil.example\x1b\\Acme\x1b]8;;\x1b\\",
    "clipboard": "Acme\x1b]52;c;cm0gLXJm\x07",
    "bidi override": "Acme \u202e00.000,74\u202c EUR",
    "bidi isolate": "Acme \u2066\u2067Ltd\u2069",
    "marks": "Acme\u200e\u200f\u061c Ltd",
    "zero width": "Ac\u200bme\u2060 L\ufefft\u200dd",
    "soft hyphen": "Ac\u00adme",
    "tag characters": "Acme\U000e0041\U000e0042",
    "line ends": "Acme\nAmount: 1,000,000 USD\r\n✓ Everything is as it should be.",
    "other line ends": "Acme\u2028Next\u2029Paragraph\x85NEL\x0bVT\x0cFF",
    "carriage return": "real\rfake",
    "backspace and delete": "Acme\x08\x08\x08\x7f Ltd",
    "nul": "Acme\x00Ltd",
    "half a character": "Acme\ud800 Ltd",
    "markup of rich": "[red]Acme[/red] [link=http://evil.example]Ltd[/link] :skull:",
    "Slack link": "<http://evil.example|Acme> http://evil.example evil.example",
    "Slack mention": "<!channel> <@U123> <#C123> @here @channel #general",
    "Slack markup": "*Acme* _Ltd_ ~x~ `code` ```block``` > quote\n> quote :smile: &lt;!channel&gt;",
}
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.fixture(params=NASTY)
def nasty(request: pytest.FixtureRequest) -> str:
    return NASTY[request.param]


def unseen(text: str, *, but: str = "\n") -> list[str]:
    return [each for each in text if unicodedata.category(each) in UNSEEN and each not in but]


# -- logs


@pytest.mark.parametrize("formatter", [log.JsonFormatter(), log.ConsoleFormatter()], ids=["json", "console"])
def test_O5__a_log_line_is_one_line_that_shows_everything(formatter: logging.Formatter, nasty: str) -> None:
    record = logging.makeLogRecord({"msg": "won: %s", "args": (nasty,), "levelname": "INFO", "company": nasty})

    with log.bound(subject=nasty):
        line = formatter.format(record)

    assert unseen(line, but="") == []
    line.encode()
    if isinstance(formatter, log.JsonFormatter):
        assert json.loads(line)["subject"] == nasty


# -- terminals


def printed(nasty: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal gets, without the sequences of our own styles: none is used here."""
    monkeypatch.setenv("NO_COLOR", "1")
    out, buffer = screen.console(), io.StringIO()
    out.file = buffer
    out.print(screen.table(["company"], [[nasty]]))
    out.print(screen.pairs({"Company": nasty}))
    out.print(f"The run of {nasty} waits.")
    return buffer.getvalue()


def test_O5__a_terminal_gets_no_sequence_and_reads_no_markup(nasty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(nasty, monkeypatch)

    assert unseen(text) == []
    if nasty.isprintable():
        assert text.count(nasty) == 3


def test_O5__an_error_is_one_line(nasty: str, capsys: pytest.CaptureFixture[str]) -> None:
    failures.report(CrmsyncError(f"{nasty} is ambiguous."))

    told = capsys.readouterr().err
    assert unseen(told) == []
    assert sum(line.startswith("✓") for line in told.splitlines()) == 0


def test_O5__json_for_scripts_is_harmless_in_a_terminal_and_holds_the_same(
    nasty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.print_json({"company": nasty})

    told = capsys.readouterr().out
    assert unseen(told) == []
    assert json.loads(told) == {"company": nasty}


def test_O5__letters_of_other_languages_stay_readable() -> None:
    for text in ("Müller & Söhne", "株式会社", "Ёлка", "شركة", "עברית", "a\u0301", "👍🏽", "nbsp\u00a0here"):
        assert visible(text) == text
        assert json_text(text) == f'"{text}"'


@pytest.fixture
def run_of(store: Store, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Any:
    monkeypatch.setenv("DATABASE_URL", database_url)
    schema.migrate(store)

    def make(title: str) -> str:
        with store.begin() as uow:
            run_id, _ = start_run(uow, "order_to_invoice", DEAL_KEY, step="x", correlation_id="c", queued_until=uow.now)
            run = uow.runs.claim(run_id, "x", lease_seconds=60)
            assert run is not None
            uow.runs.stop(run, title=title, amount=None, currency=None)
        return run_id

    return make


@pytest.mark.parametrize("name", ["escape sequence", "bidi override", "zero width", "markup of rich"])
def test_O5__the_commands_show_a_company_as_it_is(name: str, run_of: Any) -> None:
    run_id = run_of(NASTY[name])

    for words in (["runs", "list"], ["runs", "show", run_id], ["runs", "list", "--json"]):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output
        assert unseen(result.output) == []
        assert "Acme"[:2] in result.output


# -- Slack


def alert(nasty: str) -> dict[str, Any]:
    values = dict.fromkeys((field.name for field in fields(DeadLetter)), "")
    strange = {"title": nasty, "cause": f"{nasty} has two customers.", "kind": LetterKind.REVIEW, "amount": None}
    letter = DeadLetter(**{**values, **strange, "advice": "Decide."})  # type: ignore[arg-type]
    return as_message(dead_letter_alert(letter, subject="deal", command="celery -A crmsync dead-letters show 1"), 2)


def test_O5__slack_gets_strangers_words_as_plain_text_only(nasty: str) -> None:
    message = alert(nasty)

    parts = [part for block in message["blocks"] for part in [*block.get("fields", ()), block.get("text")] if part]
    shown = escape(visible(nasty))[:50]
    assert [part["type"] for part in parts if shown in part["text"]] == ["plain_text", "plain_text"]
    assert all(part["emoji"] is False for part in parts if part["type"] == "plain_text")
    assert [part["text"] for part in parts if unseen(part["text"])] == []
    assert unseen(message["text"], but="") == []
    for control in ("<!", "<@", "<#", "<http"):
        assert control not in message["text"]
    assert (message["mrkdwn"], message["parse"], message["link_names"]) == (False, "none", False)
    assert (message["unfurl_links"], message["unfurl_media"]) == (False, False)


def test_O5__a_field_of_slack_can_not_be_forged_by_a_line_end() -> None:
    texts = [field["text"] for block in alert(NASTY["line ends"])["blocks"] for field in block.get("fields", ())]

    assert texts
    assert all(text.count("\n") == 1 for text in texts)


def test_O5__product_codes_in_a_digest_are_strangers_words_too() -> None:
    outcome = LevelsWritten(
        changed=1, newly_low=1, lowest=((NASTY["line ends"], "3"),), newly_refused=1, reasons={"a\nb": 1}
    )
    digest = stock_digest(
        outcome, unknown=1, first_unknown=["x\u202ey"], threshold=Decimal(1), link="https://tower/", command="crmsync"
    )
    assert len(digest["cause"].splitlines()) == 3
    assert unseen(digest["cause"]) == []


@pytest.mark.parametrize("words", [("--help",), ("runs", "--help"), ("config",), ("up",)])
def test_O5__a_locale_without_our_signs_ends_no_command(words: tuple[str, ...], tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "CRMSYNC_HOME": str(tmp_path), "PYTHONIOENCODING": "latin-1"}

    words = ("-c", "from crmsync.cli.main import cli; cli()", *words)
    ended = subprocess.run([sys.executable, *words], env=env, capture_output=True, check=False)

    assert b"Traceback" not in ended.stderr
    assert ended.returncode in (0, 2)
    assert ended.stdout + ended.stderr
