"""The signs that crmsync is at work, and what it means when they are missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

PATIENCE_PERIODS = 4  # of the sweeper
LEAST_PATIENCE_SECONDS = 10.0


def patience(sweep_seconds: float) -> timedelta:
    """How long a sign may be missing.

    >>> patience(15).total_seconds(), patience(0.5).total_seconds()
    (60.0, 10.0)
    """
    return timedelta(seconds=max(LEAST_PATIENCE_SECONDS, PATIENCE_PERIODS * sweep_seconds))


@dataclass(frozen=True, slots=True)
class Signs:
    """When each was last seen; None: never.

    *worker_at*: a worker process said that it lives. *taken_at*: a run was taken, or is held now. *due_since*: since
    when a run that nobody holds waits. *sweep_at*, *beat_at*: a sweep, and one that beat asked for.
    """

    worker_at: datetime | None = None
    taken_at: datetime | None = None
    due_since: datetime | None = None
    sweep_at: datetime | None = None
    beat_at: datetime | None = None


def age(sign: datetime | None, now: datetime) -> timedelta | None:
    """How long ago; None for never. What lies in the future was written by a wrong clock, and is never, too."""
    return None if sign is None or sign > now + timedelta(minutes=1) else max(timedelta(0), now - sign)


def is_late(sign: datetime | None, now: datetime, patience: timedelta) -> bool:
    """Whether a sign that was seen once has been missing for too long."""
    found = age(sign, now)
    return sign is not None and (found is None or found > patience)


def nobody_takes_runs(signs: Signs, now: datetime, patience: timedelta) -> str:
    """Why no run goes on; "" if they do, or none would have to."""
    if is_late(signs.worker_at, now, patience):
        return "no worker process is running"
    waiting = age(signs.due_since, now)
    if waiting is None or waiting <= patience:
        return ""
    taken = age(signs.taken_at, now)
    return "" if taken is not None and taken <= patience else "runs are due, and no worker takes one"
