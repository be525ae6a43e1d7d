"""A run's history: its last lines, its current round, and when it last finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from crmsync.store import UnitOfWork
from crmsync.worker.flow import Flow

LINES_SHOWN = 200  # a flow that scans every ten minutes writes on for ever


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's history; *started_at* is None for what is no attempt of a step."""

    step: str
    event: str
    at: datetime
    started_at: datetime | None
    detail: str

    @property
    def took_seconds(self) -> float | None:
        return (self.at - self.started_at).total_seconds() if self.started_at else None


def last_lines(uow: UnitOfWork, run_id: str) -> list[Event]:
    """As many of the run's history as anybody is shown, oldest first."""
    return [_event_of(line) for line in uow.history.of_run(run_id, last=LINES_SHOWN)]


def is_cut(history: Sequence[Event]) -> bool:
    """Whether last_lines() may have left earlier ones out."""
    return len(history) == LINES_SHOWN


def this_round(history: Sequence[Event], last_step: str, *, is_over: bool) -> Sequence[Event]:
    """The lines since the run last began: one that repeats has many rounds behind it."""
    ends = [number for number, event in enumerate(history, 1) if (event.step, event.event) == (last_step, "done")]
    if is_over and ends and ends[-1] == len(history):
        ends.pop()
    return history[ends[-1] :] if ends else history


def last_done(uow: UnitOfWork, tenant: str | None, flow: Flow, *, source: str = "") -> Event | None:
    """When the only run of *flow* last came to its end, and what it said then; of several the latest.

    *source* is the connection that the run is of, "" for any.
    """
    line = uow.history.last_end(tenant, flow.name, flow.steps[-1], source=source)
    return _event_of(line) if line is not None else None


def _event_of(line: Row[Any]) -> Event:
    return Event(line.step, line.event, line.at, line.started_at, line.detail)
