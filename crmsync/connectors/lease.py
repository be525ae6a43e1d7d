"""Until when a worker may call: no exchange may outlast the lease of the run that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
    """As time.monotonic() counts; None outside of a step."""
    return _deadline.get()
