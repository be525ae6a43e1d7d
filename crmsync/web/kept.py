"""Caches expensive answers for a while: frequent requests cause no more work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from crmsync.errors import StoreUnavailableError
from crmsync.store.engine import Clock

Value = TypeVar("Value")

FIRST_SECONDS = 10.0  # so long the first to ask may be waited for


class Kept(Generic[Value]):
    """What *compute* returns, at most *seconds* old; one thread renews it, and meanwhile the others get the old one.

    A failure is kept as well: figures from before it would suggest health, and trying at once again like work.
    """

    def __init__(self, compute: Callable[[], Value], *, seconds: float, clock: Clock) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[datetime, Callable[[], Value]] | None = None

    def get(self) -> Value:
        """The value that is kept.

        Raises: what *compute* raised; StoreUnavailableError if the first answer takes too long.
        """
        if not self._is_fresh() and self._lock.acquire(timeout=0 if self._kept else FIRST_SECONDS):
            try:
                if not self._is_fresh():
                    self._kept = (self._clock(), self._outcome())
            finally:
                self._lock.release()
        if self._kept is None:
            raise StoreUnavailableError
        return self._kept[1]()

    def _is_fresh(self) -> bool:
        """A clock that was set back makes nothing fresh for ever."""
        return self._kept is not None and 0 <= (self._clock() - self._kept[0]).total_seconds() < self._seconds

    def _outcome(self) -> Callable[[], Value]:
        try:
            value = self._compute()
        except Exception as error:
            failure = error

            def fail() -> Value:
                raise failure

            return fail
        return lambda: value
