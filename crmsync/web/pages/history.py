"""What a run's history says: its last lines, its present round, and when it last came to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from crmsync.store import UnitOfWork
from crmsync.store import tables as t
from crmsync.worker.flow import Flow


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's history."""

    step: str
    event: str
    at: datetime
    started_at: datetime | None
    detail: str

    @property
    def took_seconds(self) -> float | None:
        return (self.at - self.started_at).total_seconds() if self.started_at else None


def last_lines(uow: UnitOfWork, run_id: str, *, limit: int) -> list[Event]:
    """The last lines, oldest first."""
    query = select(t.history).where(t.history.c.run_id == run_id).order_by(t.history.c.id.desc()).limit(limit)
    return [_event(line) for line in reversed(uow.connection.execute(query).all())]


def _event(line: Row[Any]) -> Event:
    return Event(line.step, line.event, line.at, line.started_at, line.detail)


def this_round(history: Sequence[Event], last_step: str, *, is_over: bool) -> Sequence[Event]:
    """The lines since the run last began: one that repeats has many rounds behind it."""
    ends = [number for number, event in enumerate(history, 1) if (event.step, event.event) == (last_step, "done")]
    if is_over and ends and ends[-1] == len(history):
        ends.pop()
    return history[ends[-1] :] if ends else history


def last_done(uow: UnitOfWork, flow: Flow) -> Event | None:
    """When the only run of *flow* last came to its end, and what it said then."""
    query = (
        select(t.history)
        .join(t.runs, t.runs.c.id == t.history.c.run_id)
        .where(t.runs.c.flow == flow.name, t.runs.c.subject_key == flow.name)
        .where(t.history.c.step == flow.steps[-1], t.history.c.event == "done")
        .order_by(t.history.c.id.desc())
        .limit(1)
    )
    line = uow.connection.execute(query).first()
    return _event(line) if line is not None else None
