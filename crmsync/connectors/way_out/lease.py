"""Until when a worker may call: no exchange may outlast the lease of the run that it is for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from crmsync.errors import NotNowError

_deadline: ContextVar[float | None] = ContextVar("crmsync_deadline", default=None)


@contextmanager
def deadline(ends_at: float) -> Iterator[None]:
    """Let no vendor call inside the block start that could last beyond *ends_at*, as time.monotonic() counts."""
    token = _deadline.set(ends_at)
    try:
        yield
    finally:
        _deadline.reset(token)


def extend_deadline(ends_at: float) -> None:
    """The lease was renewed: calls may last until *ends_at*."""
    if _deadline.get() is not None:
        _deadline.set(ends_at)


def is_in_step() -> bool:
    """Whether a worker is at a step: it has other work, and comes back."""
    return _deadline.get() is not None


def lease_ends_at() -> float | None:
    """When the lease of this step ends, as time.monotonic() counts; None outside of a step."""
    return _deadline.get()


def seconds_for(system: str, seconds: float) -> float:
    """*seconds*, the time that a call may take, if the run's lease outlasts it.

    Raises: NotNowError where it does not: the next attempt has a lease of its own.
    """
    limit = lease_ends_at()
    if limit is not None and time.monotonic() + seconds > limit:
        raise NotNowError("The lease is too short for another call.", wait_seconds=1, system=system)
    return seconds


def seconds_of_sign_in(system: str, seconds: float) -> float:
    """*seconds*, or half of what the run's lease leaves, where that is less: the call needs its time as well.

    Raises: NotNowError where nothing is left.
    """
    limit = lease_ends_at()
    left = seconds if limit is None else max(0.1, (limit - time.monotonic()) / 2)
    return seconds_for(system, min(seconds, left))
