"""Shows dead letters: in a list, or one with everything that is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from crmsync import errors
from crmsync.cli import screen
from crmsync.cli.history import documents_table, named, print_tables, steps_table, subject_of
from crmsync.domain import choices
from crmsync.domain.dead_letters import DeadLetter, LetterStatus
from crmsync.phrases import capital, whole_span
from crmsync.plain import visible
from crmsync.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from crmsync.reading.history import Event
    from crmsync.reading.run import DocumentRow

COLUMNS = ("id", "age", "task", "deal", "company", "amount", "error", "kind", "status")
NARROW_COLUMNS = ("id", "age", "task, error", "deal, company", "amount", "kind", "status")
ONE_LINE_WIDTH = 150


def table(letters: Sequence[DeadLetter], now: datetime, *, width: int, with_status: bool = False) -> Table:
    """One line a letter, or two where *width* has no room for it."""
    columns = COLUMNS if width >= ONE_LINE_WIDTH else NARROW_COLUMNS
    names = [name for name in columns if with_status or name != "status"]
    rows = [[_cell(name, letter, now) for name in names] for letter in letters]
    return screen.table(names, rows, right=["id", "age", "amount"])


def _cell(name: str, letter: DeadLetter, now: datetime) -> str:
    """What stands in a column; one named after two things has two lines."""
    if ", " in name:
        return "\n".join(_cell(part, letter, now) for part in name.split(", "))
    cells = {
        "id": str(letter.id),
        "age": whole_span((now - letter.created_at).total_seconds()),
        "task": f"{letter.flow}.{letter.step}",
        "deal": _subject(letter),
        "company": letter.title,
        "amount": letter.money,
        "error": letter.error,
        "kind": letter.kind.value,
        "status": letter.status.value,
    }
    return cells[name]


def _subject(letter: DeadLetter) -> str:
    """The id of a deal, for which most letters are; anything else by its name."""
    return letter.subject_key if subject_of(letter.flow) == "deal" else named(letter.flow, letter.subject_key)


def nothing(error: str | None, *, with_ended: bool) -> str:
    """What is said where no letter is found.

    >>> nothing(None, with_ended=False), nothing("RejectedError", with_ended=True)
    ('No dead letter waits.', 'There is no dead letter with the error RejectedError.')
    >>> nothing("Rejected", with_ended=False)
    'No dead letter with the error Rejected waits. There is no error with that name; did you mean RejectedError?'
    """
    name = f" with the error {visible(error)}" if error else ""
    told = f"There is no dead letter{name}." if with_ended else f"No dead letter{name} waits."
    return f"{told}{_unknown(error)}" if error else told


def _unknown(error: str) -> str:
    known = [name for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")]
    if error in known:
        return ""
    close = get_close_matches(error, known, n=1)
    return " There is no error with that name" + (f"; did you mean {close[0]}?" if close else ".")


def answers(letter: DeadLetter, settings: Settings) -> list[dict[str, str]]:
    """What a person may decide about a review that waits, each with its command."""
    return [
        {"answer": choice.answer, "means": choice.means, "command": settings.pasteable(choice.command)}
        for choice in choices.choices(letter)
    ]


def print_one(
    letter: DeadLetter,
    history: Sequence[Event],
    documents: Sequence[DocumentRow],
    command: str,
    words: str,
    settings: Settings,
) -> None:
    out = screen.console()
    out.print(f"Dead letter {letter.id}", style="bold")
    out.print(screen.pairs({name: value for name, value in _facts(letter).items() if value}))
    if words:
        print_words(letter, words)
    print_tables({"What happened": steps_table(history), "What was made": documents_table(documents)})
    out.print("\nWhat to do", style="bold")
    out.print(f"  {advice_for(letter)}")
    offered = answers(letter, settings)
    for offer in offered:
        out.print(f"  {capital(offer['answer'])}: {offer['means']}.")
        out.print(f"    {offer['command']}", style="bold", soft_wrap=True)
    if command and not offered:
        out.print(f"  {command}", style="bold", soft_wrap=True)


def print_words(letter: DeadLetter, words: str) -> None:
    """What the vendor itself said; it stands nowhere but here and in the control tower."""
    from rich.text import Text

    out = screen.console()
    out.print(f"\nWhat {letter.system or 'the system'} said", style="bold")
    out.print(Text(words, style="italic"), soft_wrap=True)


def _facts(letter: DeadLetter) -> dict[str, str]:
    subject = capital(subject_of(letter.flow))
    return {
        **({"About": letter.title} if letter.is_only_one else {subject: letter.subject_key, "Company": letter.title}),
        "Amount": letter.money,
        "Task": f"{letter.flow}.{letter.step}",
        "System": letter.system,
        "Error": letter.error,
        "Cause": letter.cause,
        "Kind": letter.kind.value,
        "Status": letter.status.value,
        "Failures": str(letter.failures),
        "Since": f"{letter.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "Run": letter.run_id,
        "Correlation": letter.correlation_id,
    }


def advice_for(letter: DeadLetter) -> str:
    """The same words as in the alert, as long as the letter waits."""
    from crmsync.alerts.content import dead_letter_alert

    states = {
        LetterStatus.REPLAYING: "It is being replayed: wait until that has ended.",
        LetterStatus.REPLAYED: "Nothing: its run went through.",
        LetterStatus.DISCARDED: "Nothing: it was given up.",
    }
    return states.get(letter.status) or str(dead_letter_alert(letter, subject="", command="")["advice"])


def next_command(letter: DeadLetter, settings: Settings) -> str:
    """What to type next, or "" if there is nothing to do."""
    from crmsync.worker.dead_letters import link_of

    command = choices.next_command(letter, link_of(letter))
    return settings.pasteable(command) if command else ""
