"""Shows what a replay would do: what is done already, what changed at the source, what would be sent next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crmsync.cli import history, letters, screen
from crmsync.domain.changes import Change
from crmsync.domain.choices import replay_command
from crmsync.domain.dead_letters import Answers, DeadLetter
from crmsync.domain.money import Money
from crmsync.domain.personal import MASK, masked, personal_values
from crmsync.log import redact
from crmsync.phrases import capital
from crmsync.plain import visible
from crmsync.reading.run import documents_of
from crmsync.services import Services
from crmsync.worker import rehearsal
from crmsync.worker.dead_letters import company_of_letter, link_of, linkable
from crmsync.worker.flow import FLOWS, company_of
from crmsync.worker.rehearsal import End, Foreseen, Rehearsal, Source

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from crmsync.connectors.kit.rehearsal import Write
    from crmsync.domain.runs import Run
    from crmsync.store import UnitOfWork

ACCEPT_CHANGES = "--accept-changes"

_MARKS = {End.DONE: "✓", End.WRITES: "→", End.WAITS: "…", End.STOPS: "✗"}
_STYLES = {End.DONE: "green", End.WRITES: "bold", End.WAITS: "yellow", End.STOPS: "red"}
_WORDS = {
    End.DONE: "writes nothing",
    End.WRITES: "sends this request:",
    End.WAITS: "waits:",
    End.STOPS: "stops:",
}


def foresee(using: Services, letter: DeadLetter, answers: Answers, *, accept_changes: bool) -> dict[str, Any]:
    """What replaying *letter* would do, as JSON without persons."""
    found = rehearsal.rehearse(using, letter, answers, accept_changes=accept_changes)
    run = rehearsal.run_of(using, letter)
    given = rehearsal.agreed(answers, found.source, accept_changes=accept_changes)
    reason = refusal(letter, found.source, given)
    with using.store.read() as uow:
        return {
            **letters.summary(letter, uow.now),
            "dry_run": True,
            "done": _done(uow, run, answers, found.source, linkable(company_of(using, run)).values()),
            "source": source_json(found.source),
            "refusal": reason,
            "steps": _steps(found, is_refused=bool(reason)),
            "later": list(found.later),
            "command": command(using, letter, found.source, answers),
        }


def command(using: Services, letter: DeadLetter, source: Source | None, answers: Answers) -> str:
    """The replay with the same answers and those that it lacks, as it can be pasted; "" where none would begin."""
    needs_changes = rehearsal.is_refused(source, answers, letter.step)
    if needs_changes and source and source.foreign_numbers:
        return ""
    names = {connection: name for name, connection in linkable(company_of_letter(using, letter.id)).items()}
    options = [f"--link {names[connection]}={key}" for connection, key in answers.links.items()]
    options += ["--accept"] if answers.accept else []
    options += [ACCEPT_CHANGES] if needs_changes else []
    return using.settings.pasteable(
        replay_command(letter, link_of(letter), "".join(f" {option}" for option in options))
    )


# -- what is done


def _done(
    uow: UnitOfWork, run: Run, answers: Answers, source: Source | None, connections: Iterable[str]
) -> list[dict[str, Any]]:
    """What exists and is not made again: customers as they are linked, and the documents of the run."""
    customers = _customers(uow, run, answers, source, connections)
    linked = {customer["system"] for customer in customers}
    confirmed = [each for each in history.documents_json(documents_of(uow, run.id)) if each["state"] == "confirmed"]
    return [
        *customers,
        *(each for each in confirmed if each["kind"] != "customer" or each["system"] not in linked),
    ]


def _customers(
    uow: UnitOfWork, run: Run, answers: Answers, source: Source | None, connections: Iterable[str]
) -> list[dict[str, Any]]:
    deal = source.deal if source else None
    read = deal.customer.key if deal else _read_customer(run)
    currency = deal.amount.currency if deal else run.currency
    if not read:
        return []
    linked = {connection: uow.links.get(connection, run.source, read, currency) for connection in connections}
    found = [
        (connection, answers.links.get(connection) or (link.key if link else ""), link)
        for connection, link in linked.items()
    ]
    return [
        {
            "system": connection,
            "kind": "customer",
            "number": key,
            "name": ", ".join(filter(None, (link.name, link.city))) if link and link.key == key else "",
            "matched_by": link.origin if link and link.key == key else "",
            "reference": read,
            "state": "linked",
        }
        for connection, key, link in found
        if key
    ]


def _read_customer(run: Run) -> str:
    return str(FLOWS[run.flow].reading_of(run).get("customer", {}).get("key", ""))


# -- what changed


def source_json(source: Source | None) -> dict[str, Any] | None:
    """None for a run whose source is read by its own steps only."""
    if source is None:
        return None
    return {
        "is_read": source.deal is not None,
        "problem": source.problem,
        "changes": [_change(change) for change in source.changes],
        "has_documents": source.has_documents,
        "foreign_numbers": list(source.foreign_numbers),
        "documents": list(source.documents),
        "in_the_way": list(source.is_refused_by),
    }


def _change(change: Change) -> dict[str, str]:
    before, after = (MASK if change.is_personal and value else value for value in (change.before, change.after))
    return {"field": change.field, "before": before, "after": after, "concerns": change.concern.value}


def refusal(letter: DeadLetter, source: Source | None, answers: Answers) -> str:
    """Why a replay with *answers* does not begin, or ""."""
    if source is None or not rehearsal.is_refused(source, answers, letter.step):
        return ""
    if source.foreign_numbers:
        numbers = " and the ".join(source.foreign_numbers)
        return f"The deal changed, and carries the {numbers}, which crmsync did not write: clear them first."
    return "The deal changed after documents were made from it."


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
    return _table([_change(change) for change in source.changes])


def _table(changes: Sequence[Mapping[str, str]]) -> Table:
    return screen.records(["field", "before", "after", "concerns"], changes)


# -- what comes next


def _steps(found: Rehearsal, *, is_refused: bool) -> list[dict[str, Any]]:
    deal = found.source.deal if found.source else None
    known = personal_values(deal.customer) if deal else frozenset[str]()
    steps = [_step(foreseen, known) for foreseen in found.steps]
    # What a refusal advises concerns the whole replay; the step's own advice is for when it has stopped the run.
    return [{**step, "advice": ""} for step in steps] if is_refused else steps


def _step(foreseen: Foreseen, known: frozenset[str]) -> dict[str, Any]:
    return {
        "step": foreseen.step,
        "end": foreseen.end.value,
        "notes": list(foreseen.notes),
        "request": _request(foreseen.write, known) if foreseen.write else None,
        "problem": foreseen.problem,
        "advice": foreseen.advice,
    }


def _request(write: Write, known: frozenset[str]) -> dict[str, Any]:
    return {
        "operation": write.operation,
        "method": write.method,
        "address": redact(write.url),
        "headers": dict(write.headers),
        "body": masked(write.body, known),
    }


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
