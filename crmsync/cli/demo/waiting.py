"""Waiting for something to happen, for as long as patience lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 45.0
POLL_SECONDS = 0.03

Value = TypeVar("Value")


class NeverHappened(Exception):
    """What the story waited for did not come."""


def until(find: Callable[[], Value | None], what: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Value:
    """The first true value that *find* returns.

    Raises: NeverHappened.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        value = find()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NeverHappened(f"This never happened within {patience_seconds:g} s: {what}.")
        time.sleep(POLL_SECONDS)
