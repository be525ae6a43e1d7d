"""Shows what a replay would do: what is done already, what changed at the source, what would be sent next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crmsync.cli import screen
from crmsync.domain.money import Money
from crmsync.domain.personal import MASK
from crmsync.phrases import capital
from crmsync.plain import visible
from crmsync.reading.foresight import ACCEPT_CHANGES, change_json
from crmsync.worker.rehearsal import End, Source

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_MARKS = {End.DONE: "✓", End.WRITES: "→", End.WAITS: "…", End.STOPS: "✗"}
_STYLES = {End.DONE: "green", End.WRITES: "bold", End.WAITS: "yellow", End.STOPS: "red"}
_WORDS = {
    End.DONE: "writes nothing",
    End.WRITES: "sends this request:",
    End.WAITS: "waits:",
    End.STOPS: "stops:",
}


def print_refusal(reason: str, source: Source, accepting: str) -> None:
    """*accepting* is the command that goes on all the same, or "" where none does."""
    out = screen.console(stderr=True)
    out.print(f"✗ {reason}", style="bold red")
    out.print(changes_table(source))
    for told in source.documents:
        out.print(f"  {visible(told)}")
    in_the_way = " and ".join(source.is_refused_by)
    out.print(f"Nothing was replayed. To have it made again, void, reject or delete {in_the_way} there, then replay.")
    if any(each.startswith("invoice ") for each in source.is_refused_by):
        out.print("An invoice that was mailed may be fully credited instead.")
    if accepting:
        out.print("To go on with the deal as it is now, for what is still to be made (--dry-run shows it):")
        out.print(f"  {accepting}", style="bold", soft_wrap=True)


def changes_table(source: Source) -> Table:
    return _table([change_json(change) for change in source.changes])


def _table(changes: Sequence[Mapping[str, str]]) -> Table:
    return screen.records(["field", "before", "after", "concerns"], changes)


# -- in a terminal


def show(found: Mapping[str, Any]) -> None:
    out = screen.console()
    out.print(f"Dry run of dead letter {found['id']}: nothing is sent, nothing is stored", style="bold")
    out.print(screen.pairs(_facts(found)))
    _show_done(out, found["done"])
    _show_source(out, found["source"])
    _show_steps(out, found)
    _show_command(out, found)


def _facts(found: Mapping[str, Any]) -> dict[str, str]:
    amount = str(Money(found["amount"], found["currency"])) if found["amount"] is not None else ""
    facts = {
        capital(found["subject"]): found["deal"],
        "Company": found["company"],
        "Amount": amount,
        "Task": found["task"],
    }
    return {name: value for name, value in facts.items() if value}


def _show_done(out: Console, done: Sequence[Mapping[str, Any]]) -> None:
    out.print("\nDone, and not repeated", style="bold")
    if done:
        rows = [{"name": "", **each} for each in done]
        out.print(screen.records(["kind", "number", "name", "system", "reference"], rows))
    else:
        out.print("  Nothing yet.")


def _show_source(out: Console, source: Mapping[str, Any] | None) -> None:
    if source is None:
        return
    out.print("\nChanged at the source since it was read", style="bold")
    if not source["is_read"]:
        out.print(f"  It can't be read now: {source['problem']}")
    elif source["changes"]:
        out.print(_table(source["changes"]))
        for told in source["documents"]:
            out.print(f"  {visible(told)}")
    else:
        out.print("  Nothing.")


def _show_steps(out: Console, found: Mapping[str, Any]) -> None:
    out.print("\nWhat comes next", style="bold")
    for step in found["steps"]:
        _show_step(out, step)
    if not found["steps"]:
        out.print("  It reads its source again and decides then: what it will send is not known before.")
    if found["later"]:
        out.print(f"  {'then ' if found['steps'] else ''}{', '.join(found['later'])}")


def _show_step(out: Console, step: Mapping[str, Any]) -> None:
    end = End(step["end"])
    line = f"  {_MARKS[end]} {step['step']}: {_WORDS[end]} {step['problem']}".rstrip()
    out.print(line, style=_STYLES[end])
    for note in filter(None, (*step["notes"], step["advice"])):
        out.print(f"      {note}")
    if step["request"]:
        _show_request(out, step["request"])


def _show_request(out: Console, request: Mapping[str, Any]) -> None:
    lines = [f"{request['method']} {request['address']}"]
    lines += [f"{name}: {value}" for name, value in request["headers"].items()]
    if request["body"] is not None:
        lines += json.dumps(request["body"], indent=2, ensure_ascii=False).splitlines()
    for line in lines:
        out.print(f"      {line}", soft_wrap=True)
    if any(MASK in line for line in lines):
        out.print(f"      ({MASK} stands for personal data)")


def _show_command(out: Console, found: Mapping[str, Any]) -> None:
    if found["refusal"]:
        out.print(f"\nA replay is refused: {found['refusal']}", style="red")
    if not found["command"]:
        return
    accepts = ACCEPT_CHANGES in found["command"]
    out.print("\nTo go on with the deal as it is now" if accepts else "\nTo do it", style="bold")
    out.print(f"  {found['command']}", style="bold", soft_wrap=True)
    if found["refusal"]:
        out.print("  Add --dry-run to see first what that sends.")
