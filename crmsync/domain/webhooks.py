"""What a webhook means, once it has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something happened to a record. *event_key* is the vendor's own id of the message, "" where it has none."""

    subject_key: str
    event_key: str = ""


class Action(StrEnum):
    """What was done about an event: of a deal, documents were made, or made anew; of a payment, deals were marked."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    IGNORED = "ignored"  # nothing that counts had changed, or it is nothing of ours, or a person left it
    PENDING = "pending"  # not done yet: it waits, for its turn or for a person


class Line(Protocol):
    """Of a run's history."""

    @property
    def step(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def started_at(self) -> datetime | None: ...


def lines_after(lines: Sequence[Line], received_at: datetime, first_step: str) -> list[Line]:
    """What the run did when it first read its source after an event came, until it read it again for another one.

    *lines* are those of the run, oldest first.
    """
    found: list[Line] = []
    for line in lines:
        is_reading = line.step == first_step and line.event == "done"
        if not found and not (is_reading and (line.started_at or line.at) >= received_at):
            continue
        if found and is_reading and found[-1].event == "done":
            break  # what was stopped, and read again by a replay, is still done for the same event
        found.append(line)
    return found


def action_taken(
    done: Sequence[Line], *, steps: Sequence[str], is_over: bool, is_first: bool, is_gone: bool, is_ours: bool
) -> Action:
    """*done* are the lines_after() the event, *steps* those of its flow; *is_first*: it has opened the run.

    *is_gone*: its subject is not there any more; *is_ours*: it concerns a document of ours.
    """
    is_worked = any(line.step == steps[-1] and line.event == "done" for line in done)
    if not is_over and not is_worked:
        return Action.PENDING
    if not is_worked or not is_ours:
        return Action.IGNORED
    if is_gone:
        return Action.DELETED
    return Action.CREATED if is_first else Action.UPDATED
