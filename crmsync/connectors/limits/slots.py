"""Counts the concurrent calls of a connection over all processes and hosts.

    thread ── a semaphore of this process ── one of N keys in Redis ── the call
              (waits without asking Redis)   (gone by itself if the process is killed)

Background work may take the first slots only, so that the last ones are always within reach of orders and payments.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import cast

from redis import Redis

from crmsync.connectors.limits import entry
from crmsync.connectors.limits.budget import Quota, allowance, is_background, too_many_at_once
from crmsync.connectors.limits.entry import Counted, Slot
from crmsync.connectors.limits.redis_link import Link, NoRedisError
from crmsync.errors import BusyError

PATIENCE_SECONDS = 0.75  # how long a caller stands and waits; then the run comes back, and its thread is free
LONGEST_ABSENCE_SECONDS = 10.0  # a system that has become fast again has work soon
# A long reading that comes back begins anew, and would never end where others are busy: it may stand for longer.
BACKGROUND_PATIENCE_SECONDS = 10.0
HOLD_MARGIN_SECONDS = 5.0  # a slot outlasts the longest call by this
SLOTS_MAX = 200  # a higher limit counts as this one: no company has so many threads
_GUESSES = 4  # slots that are asked for blindly
_POLL_SECONDS = (0.02, 0.06)
_COME_BACK_SECONDS = (0.5, 1.5)  # times what it is on average


class Slots:
    """The slots of one connection. *hold_seconds* is the longest that a call may last."""

    def __init__(
        self,
        quota: Quota,
        link: Link,
        *,
        prefix: str,
        reserve_percent: int,
        hold_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._quota = quota
        self._link = link
        self._timeout = hold_seconds + HOLD_MARGIN_SECONDS
        self.count = min(quota.calls_at_once, SLOTS_MAX)
        self.background_count = allowance(self.count, reserve_percent, in_background=True)
        self._names = [f"{prefix}:slot:{number}" for number in range(self.count)]
        self._here = threading.BoundedSemaphore(self.count)
        self._background_here = threading.BoundedSemaphore(self.background_count)
        self._clock = clock
        self._now = now
        self._began: dict[object, float] = {}  # the calls that this process has under way
        self._last_seconds = 0.0  # what the last one took

    @contextmanager
    def one(self, windows: Sequence[Counted] = ()) -> Iterator[None]:
        """Hold a slot, and be counted in *windows*.

        Raises: BusyError if no slot becomes free within the caller's patience; FullError.
        """
        in_background = is_background()
        allowed = self.background_count if in_background else self.count
        mine = (self._background_here, self._here) if in_background else (self._here,)
        seconds = BACKGROUND_PATIENCE_SECONDS if in_background else patience_seconds(self.call_seconds())
        ends_at = time.monotonic() + seconds
        with ExitStack() as held:
            for semaphore in mine:
                if not semaphore.acquire(timeout=max(0.0, ends_at - time.monotonic())):
                    raise self._all_taken(allowed)
                held.callback(semaphore.release)
            slot = self._shared(allowed, ends_at, windows)
            if slot is not None:
                held.callback(self._release, slot)
            with self._timed():
                yield

    def call_seconds(self) -> float:
        """What a call takes just now: as long as the last one did, or as those under way have taken already."""
        now, began = self._clock(), list(self._began.values())
        return max(self._last_seconds, sum(now - each for each in began) / len(began) if began else 0.0)

    def under_way(self) -> int:
        """How many calls are under way now, anywhere. Raises: NoRedisError."""
        return self.count - len(self._link.ask(self._free))

    @contextmanager
    def _timed(self) -> Iterator[None]:
        call, began = object(), self._clock()
        self._began[call] = began
        try:
            yield
        finally:
            del self._began[call]
            self._last_seconds = self._clock() - began

    def _shared(self, allowed: int, ends_at: float, windows: Sequence[Counted]) -> Slot | None:
        """A slot of all processes; None where Redis can't be asked: then this process counts alone."""
        while True:
            try:
                slot = self._link.ask(lambda client: self._take(client, allowed, windows))
            except NoRedisError:
                return None
            if slot is not None:
                return slot
            pause = random.uniform(*_POLL_SECONDS)
            if time.monotonic() + pause > ends_at:
                raise self._all_taken(allowed)
            time.sleep(pause)

    def _take(self, client: Redis, allowed: int, windows: Sequence[Counted]) -> Slot | None:
        """Guess first, which is usually right; then look which are free."""
        names = self._names[:allowed]
        guessed = random.sample(names, min(_GUESSES, allowed))
        if (slot := self._first_free(client, guessed, windows)) or allowed <= _GUESSES:
            return slot
        free = [name for name in self._free(client) if name in names]
        random.shuffle(free)
        return self._first_free(client, free, windows) if free else None

    def _first_free(self, client: Redis, names: Sequence[str], windows: Sequence[Counted]) -> Slot | None:
        holder = uuid.uuid4().hex
        return entry.take(client, names, windows, holder=holder, hold_seconds=self._timeout, now=self._now())

    def _free(self, client: Redis) -> list[str]:
        holders = cast(list[bytes | None], client.mget(self._names))
        return [name for name, holder in zip(self._names, holders, strict=True) if holder is None]

    def _release(self, slot: Slot) -> None:
        with suppress(NoRedisError):  # then it ends by its own timeout
            self._link.ask(lambda client: entry.let_go(client, slot))

    def _all_taken(self, allowed: int) -> BusyError:
        return too_many_at_once(self._quota, allowed=allowed, wait_seconds=absence_seconds(self.call_seconds()))


def patience_seconds(call_seconds: float) -> float:
    """How long to stand and wait where a call takes *call_seconds*: whoever would wait in vain gives its thread back.

    >>> [patience_seconds(each) for each in (0.0, 0.1, 10.0)]
    [0.75, 0.75, 0.0]
    """
    return PATIENCE_SECONDS if call_seconds <= PATIENCE_SECONDS else 0.0


def absence_seconds(call_seconds: float) -> float:
    """When to come back: sooner where slots become free often. Never all at once.

    >>> 0.5 <= absence_seconds(0.1) <= 1.5, 2 <= absence_seconds(8.0) <= 6, absence_seconds(900.0) <= 15
    (True, True, True)
    """
    return min(max(1.0, call_seconds / 2), LONGEST_ABSENCE_SECONDS) * random.uniform(*_COME_BACK_SECONDS)
