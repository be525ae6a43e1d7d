"""What has gone wrong: the dead letters that wait for a person, and the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from crmsync.domain.dead_letters import Choice, DeadLetter, answer_asked, choices
from crmsync.settings import Settings
from crmsync.store import UnitOfWork

LETTERS_SHOWN = 100
ALERTS_SHOWN = 50
REPLAY = "celery -A crmsync dead-letters replay"


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter that waits; *choices* are the answers that it takes."""

    letter: DeadLetter
    command: str
    choices: Sequence[Choice] = ()


@dataclass(frozen=True, slots=True)
class LettersPage:
    """*count* letters wait; *waiting* are those that the page has room for."""

    waiting: Sequence[LetterRow]
    count: int
    command_for_all: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    id: int
    headline: str
    facts: Sequence[tuple[str, str]]
    cause: str
    advice: str
    command: str
    occurrences: int
    told: int
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    end: str
    counts: bool  # its facts say how often it happened

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def about(self) -> str:
        """The company and the amount that it is about; "" for what concerns no deal."""
        known = dict(self.facts)
        return ", ".join(known[name] for name in ("Company", "Amount") if name in known)


@dataclass(frozen=True, slots=True)
class AlertsPage:
    """What is so now, and the latest of what was; *open_count* of them are open."""

    open: Sequence[AlertRow]
    open_count: int
    solved: Sequence[AlertRow]


def letters_page(uow: UnitOfWork, settings: Settings) -> LettersPage:
    """The letters that have waited longest, each with the command that replays it."""
    oldest = uow.dead_letters.list(limit=LETTERS_SHOWN)
    return LettersPage(
        waiting=[letter_row(letter, settings) for letter in oldest],
        count=uow.dead_letters.waiting_count(),
        command_for_all=settings.pasteable(f"{REPLAY} --all --yes"),
    )


def letter_row(letter: DeadLetter, settings: Settings) -> LetterRow:
    offered = [
        replace(choice, command=settings.pasteable(f"celery -A crmsync dead-letters {choice.command}"))
        for choice in choices(letter)
    ]
    asked = "" if offered else answer_asked(letter)  # of several answers none is chosen for people
    return LetterRow(letter, settings.pasteable(f"{REPLAY} {letter.id}{asked}"), offered)


def alerts_page(uow: UnitOfWork) -> AlertsPage:
    return AlertsPage(
        open=open_alerts(uow, limit=ALERTS_SHOWN),
        open_count=uow.alerts.open_count(),
        solved=[_alert_row(row) for row in uow.alerts.newest(limit=ALERTS_SHOWN, is_open=False)],
    )


def open_alerts(uow: UnitOfWork, *, limit: int) -> list[AlertRow]:
    return [_alert_row(row) for row in uow.alerts.newest(limit=limit, is_open=True)]


def _alert_row(row: Row[Any]) -> AlertRow:
    content: Mapping[str, Any] = row.content
    return AlertRow(
        id=row.id,
        headline=content.get("headline", ""),
        facts=[(name, value) for name, value in content.get("facts", ())],
        cause=content.get("cause", ""),
        advice=content.get("advice", ""),
        command=content.get("command", ""),
        occurrences=row.occurrences,
        told=row.told,
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        closed_at=row.closed_at,
        end=content.get("end", {}).get("headline", ""),
        counts=bool(content.get("counts")),
    )
