"""What a replay would do, as JSON: what is done already, what changed at the source, what would be sent next.

The command line asks for it itself; for the API a worker does, because the processes of the web call no system.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import crmsync.flows  # noqa: F401 - registers the steps that are rehearsed
from crmsync.celery import app
from crmsync.domain.changes import Change
from crmsync.domain.choices import replay_command
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterStatus, why_not
from crmsync.domain.personal import MASK, masked, personal_values
from crmsync.errors import CrmsyncError
from crmsync.log import redact
from crmsync.plain import json_value
from crmsync.reading.letters import summary
from crmsync.reading.run import documents_json, documents_of
from crmsync.services import Services, services
from crmsync.worker import questions, rehearsal
from crmsync.worker.customer_links import LinkRefusedError
from crmsync.worker.dead_letters import NotWaitingError, company_of_letter, link_of, linkable, sides_of_letter
from crmsync.worker.flow import FLOWS, company_of
from crmsync.worker.rehearsal import Foreseen, Rehearsal, Source

if TYPE_CHECKING:
    from crmsync.connectors.kit.rehearsal import Write
    from crmsync.domain.runs import Run
    from crmsync.store import UnitOfWork

ACCEPT_CHANGES = "--accept-changes"
TASK = "background.rehearse"


def foresee(using: Services, letter: DeadLetter, answers: Answers, *, accept_changes: bool) -> dict[str, Any]:
    """What replaying *letter* would do, as JSON without persons; reads from systems and store, writes to neither."""
    found = rehearsal.rehearse(using, letter, answers, accept_changes=accept_changes)
    run = rehearsal.run_of(using, letter)
    given = rehearsal.agreed(answers, found.source, accept_changes=accept_changes)
    reason = refusal(letter, found.source, given)
    with using.store.read() as uow:
        return {
            **summary(letter, uow.now),
            "dry_run": True,
            "done": _done(uow, run, answers, found.source, linkable(company_of(using, run)).values()),
            "source": source_json(found.source),
            "refusal": reason,
            "steps": _steps(found, is_refused=bool(reason)),
            "later": list(found.later),
            "command": command(using, letter, found.source, answers),
        }


def command(using: Services, letter: DeadLetter, source: Source | None, answers: Answers) -> str:
    """The command that replays with the same answers and those that it lacks; "" where none would begin."""
    needs_changes = rehearsal.is_refused(source, answers, letter.step)
    if needs_changes and source and source.foreign_numbers:
        return ""
    names = {connection: name for name, connection in linkable(company_of_letter(using, letter.id)).items()}
    options = [f"--link {names[connection]}={key}" for connection, key in answers.links.items()]
    options += ["--accept"] if answers.accept else []
    options += [ACCEPT_CHANGES] if needs_changes else []
    return replay_command(letter, link_of(letter), "".join(f" {option}" for option in options))


# -- what is done


def _done(
    uow: UnitOfWork, run: Run, answers: Answers, source: Source | None, connections: Iterable[str]
) -> list[dict[str, Any]]:
    """What exists and is not made again: customers as they are linked, and the documents of the run."""
    customers = _customers(uow, run, answers, source, connections)
    linked = {customer["system"] for customer in customers}
    confirmed = [each for each in documents_json(documents_of(uow, run.id)) if each["state"] == "confirmed"]
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
    """The source as JSON; None for a run whose source is read by its own steps only."""
    if source is None:
        return None
    return {
        "is_read": source.deal is not None,
        "problem": source.problem,
        "changes": [change_json(change) for change in source.changes],
        "has_documents": source.has_documents,
        "foreign_numbers": list(source.foreign_numbers),
        "documents": list(source.documents),
        "in_the_way": list(source.is_refused_by),
    }


def change_json(change: Change) -> dict[str, str]:
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


# -- for the API


@app.task(name=TASK, queue=questions.QUEUE)
def rehearse(question_id: str) -> None:
    using = services()
    questions.answer(
        using, question_id, lambda asked: _rehearsed(using, asked["letter_id"], Answers(**asked["answers"]))
    )


def _rehearsed(using: Services, letter_id: int, answers: Answers) -> dict[str, Any]:
    """What is foreseen, or why the customers that *answers* name are not taken.

    Raises: NotWaitingError; LinkRefusedError where a system can't be asked for them now.
    """
    with using.store.read() as uow:
        letter = uow.dead_letters.get(letter_id)
    if letter is None or letter.status is not LetterStatus.WAITING:
        raise NotWaitingError(why_not(letter_id, letter))
    if problem := _why_not_linked(using, letter, answers):
        return {"wrong_links": problem, "foreseen": None}
    found = foresee(using, letter, answers, accept_changes=False)
    return {"wrong_links": "", "foreseen": json.loads(json.dumps(found, default=json_value))}


def _why_not_linked(using: Services, letter: DeadLetter, answers: Answers) -> str:
    """What would stop the run at the customers that a person names, as a sentence, or ""."""
    try:
        sides = sides_of_letter(using, letter.id, answers)
    except LinkRefusedError as error:
        if isinstance(error.__cause__, CrmsyncError):  # its system does not say
            raise
        return str(error)
    differing = [] if answers.is_seen else [each for each in sides if not each.is_alike]
    return next((each.difference for each in differing), "")
