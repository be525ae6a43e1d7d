"""Decides whether to renew a token after a 401, which may also mean a missing permission.

A vendor gives few tokens. So one that did not help for some scope of calls is not fetched again for a while, and of
the threads that meet a 401 at once one tries, and the others hear what came of it, or come back.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, StrEnum, auto
from typing import TypeVar

from crmsync.connectors.way_out.lease import is_in_step
from crmsync.errors import NotNowError

FRUITLESS_SECONDS = 600.0
AGAIN_SECONDS, CHANCE_SECONDS = 5.0, 60.0  # a new token that is refused is no chance if the next one is refused as well

T = TypeVar("T")


class Renewal(StrEnum):
    """What became of credentials that were refused."""

    NOTHING = ""  # there is nothing to renew
    ADOPTED = "adopted"  # another process has brought new ones meanwhile, which may have ended as well
    FETCHED = "fetched"  # these are new


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
            raise NotNowError("Another run is checking whether a new token helps.", wait_seconds=1)
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


class SecondTry:
    """Of a connection, in this process: a new token that is refused may have ended on its way, so steps try once more.

    Calls that were under way together count as one. A password does not end on its way.
    """

    def __init__(self, system: str, *, is_for_password: bool) -> None:
        self._system = system
        self._is_for_password = is_for_password
        self._first_refused_at = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether a refusal may be chance."""
        since = time.monotonic() - self._first_refused_at
        is_first = since > CHANCE_SECONDS or since < AGAIN_SECONDS
        return is_first and is_in_step() and not self._is_for_password

    def ask_for_it(self) -> None:
        """A new token was refused. Raises: NotNowError where that may be chance."""
        if self.is_open:
            if time.monotonic() - self._first_refused_at > CHANCE_SECONDS:
                self._first_refused_at = time.monotonic()
            self.await_it()

    def await_it(self) -> None:
        """Wait for the second try. Raises: NotNowError in a step, until it is time for the second try."""
        left = self._first_refused_at + AGAIN_SECONDS - time.monotonic()
        if left > 0 and is_in_step():
            raise NotNowError(f"{self._system} has just refused a new token.", wait_seconds=left, system=self._system)
