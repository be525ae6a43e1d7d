"""Whether a new token helps: a 401 may mean that the token has ended or that it may not do this, without saying which.

A vendor gives few tokens. So one that did not help for some scope of calls is not fetched again for a while, and of
the threads that meet a 401 at once one tries, and the others hear what came of it, or come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import TypeVar

from crmsync.connectors.lease import is_in_step
from crmsync.errors import NotNowError

FRUITLESS_SECONDS = 600.0

T = TypeVar("T")


class Worth(Enum):
    """What a new token was worth to the call that was refused."""

    HELPED = auto()
    NOTHING = auto()  # another one won't help either
    UNKNOWN = auto()


class Renewals:
    """What is known of one scope of calls, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fruitless_until = 0.0
        self._helped_at = 0.0

    @property
    def is_fruitless(self) -> bool:
        """Whether it is known that a new token does not help."""
        return time.monotonic() < self._fruitless_until

    def answer(self, refused: T, since: float, repeat: Callable[[], tuple[T, Worth]]) -> T:
        """What *repeat*, which renews the token and calls again, brings; *refused*, where that is known to be in vain.

        *since* is when the call was refused first, as time.monotonic() counts.
        """
        with self._alone():
            if self.is_fruitless:
                return refused
            if self._helped_at < since:  # nobody has shown yet that a new token helps
                return self._noted(*repeat())
        return repeat()[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises: NotNowError in a step, which comes back: a sign-in that hangs must not hold all threads."""
        if not self._lock.acquire(blocking=not is_in_step()):
            raise NotNowError("Another run finds out whether a new token helps.", wait_seconds=1)
        try:
            yield
        finally:
            self._lock.release()

    def _noted(self, answer: T, worth: Worth) -> T:
        if worth is Worth.NOTHING:
            self._fruitless_until = time.monotonic() + FRUITLESS_SECONDS
        elif worth is Worth.HELPED:
            self._helped_at = time.monotonic()
        return answer
