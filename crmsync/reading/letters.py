"""Dead letters: those that wait for a person, each with its possible answers, and those of one cause together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from crmsync.domain.approvals import Approval
from crmsync.domain.choices import COMMAND, REPLAY_ALL, Choice, choices, replay_command
from crmsync.domain.dead_letters import DeadLetter
from crmsync.reading.flows import subject_of
from crmsync.store import UnitOfWork
from crmsync.worker.dead_letters import link_of
from crmsync.worker.flow import FLOWS

LETTERS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter; *choices* are the answers that it takes, *command* replays it.

    *approval* is what somebody has proposed, where that needs a second person.
    """

    letter: DeadLetter
    command: str
    choices: Sequence[Choice] = ()
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """*count* letters wait; *rows* are those that have waited longest."""

    rows: Sequence[LetterRow]
    count: int
    command_for_all: str


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """The letters that wait for one cause; *first* is the oldest of them."""

    first: DeadLetter
    count: int


def waiting_letters(uow: UnitOfWork, tenant: str | None, *, limit: int | None = None) -> Waiting:
    oldest = uow.dead_letters.list(tenant, limit=LETTERS_SHOWN if limit is None else limit)
    proposed = uow.approvals.waiting_for([letter.id for letter in oldest])
    rows = [replace(letter_row(letter), approval=proposed.get(letter.id)) for letter in oldest]
    return Waiting(rows, uow.dead_letters.waiting_count(tenant), REPLAY_ALL)


def waiting_by_cause(uow: UnitOfWork, tenant: str | None, *, limit: int | None = None) -> list[LetterGroup]:
    """Letters that share one alert, grouped; the oldest cause first."""
    groups = uow.dead_letters.waiting_causes(tenant, limit=LETTERS_SHOWN if limit is None else limit)
    return [LetterGroup(first, count) for first, count in groups]


def takes_link(letter: DeadLetter) -> bool:
    """Whether a person may name a customer with its replay."""
    flow = FLOWS.get(letter.flow)
    return flow is not None and any(about.customer_of for about in flow.about.values())


def letter_row(letter: DeadLetter) -> LetterRow:
    """What a person can do about *letter*: nothing is chosen where several answers are offered."""
    offered = choices(letter)
    command = f"{COMMAND} replay {letter.id}" if offered else replay_command(letter, link_of(letter))
    return LetterRow(letter, command, offered)


def summary(letter: DeadLetter, now: datetime) -> dict[str, Any]:
    """A letter as JSON."""
    return {
        "id": letter.id,
        "status": letter.status.value,
        "kind": letter.kind.value,
        "task": f"{letter.flow}.{letter.step}",
        "flow": letter.flow,
        "subject": subject_of(letter.flow),
        "deal": letter.subject_key,
        "company": letter.title,
        "amount": letter.amount,
        "currency": letter.currency,
        "error": letter.error,
        "system": letter.system,
        "cause": letter.cause,
        "failures": letter.failures,
        "age_seconds": round((now - letter.created_at).total_seconds()),
        "created_at": letter.created_at,
        "updated_at": letter.updated_at,
        "run": letter.run_id,
        "correlation_id": letter.correlation_id,
    }
