"""Whether a new token helps: a 401 may mean that the token has ended or that it may not do this, without saying which.

A vendor gives few tokens. So one that did not help for some scope of calls is not fetched again for a while, and of
the threads that meet a 401 at once one tries and the others hear what came of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

FRUITLESS_SECONDS = 600.0

T = TypeVar("T")


class Renewals:
    """What is known of one scope of calls, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fruitless_until = 0.0
        self._helped_at = 0.0

    def answer(self, refused: T, since: float, repeat: Callable[[], T], is_refused: Callable[[T], bool]) -> T:
        """What *repeat*, which renews the token and calls again, brings; *refused*, where that is known to be in vain.

        *since* is when the call was refused first, as time.monotonic() counts.
        """
        with self._lock:
            if time.monotonic() < self._fruitless_until:
                return refused
            if self._helped_at < since:  # nobody has shown yet that a new token helps
                return self._noted(repeat(), is_refused)
        return repeat()

    def _noted(self, answer: T, is_refused: Callable[[T], bool]) -> T:
        if is_refused(answer):
            self._fruitless_until = time.monotonic() + FRUITLESS_SECONDS
        else:
            self._helped_at = time.monotonic()
        return answer
