"""The budget of a connection, counted in Redis for all processes and hosts.

    crmsync:<connection>:<organisation>:minute, :hour, :day
                                                        the calls of the window (moving window of the library `limits`)
                                       :slot:<n>        a call under way
                                       :announced       calls a minute, as the vendor has announced
                                       :usage           used/allowed in 24 hours, as the vendor has counted
                                       :pause           until when the vendor wants no calls

Without Redis nothing is refused but what this process alone has too much under way: the vendor's own limits remain.
Windows are counted by the clocks of the hosts, which are expected to agree within a second or so. What lies further
ahead was written by a clock that was wrong, and does not count.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import cast

from limits.storage import RedisStorage
from redis import Redis

from crmsync.connectors.limits import budget as words
from crmsync.connectors.limits.budget import Announcement, Quota, Unlimited, Window, allowance, is_background, reserve
from crmsync.connectors.limits.entry import Counted, FullError, count
from crmsync.connectors.limits.redis_link import Link, NoRedisError
from crmsync.connectors.limits.slots import Slots

PREFIX = "crmsync"
USAGE_BELIEVED_SECONDS = 900  # an older count says little about a moving window
ANNOUNCEMENT_KEPT_SECONDS = 3600
CLOCKS_AGREE_SECONDS = 60.0  # whatever is further ahead was written by a wrong clock
BOARD_SECONDS = 1.0  # how old the copy of what the others have learned may be
WRITE_SECONDS = 1.0  # a usage changes with every call, and is written no more often than this
REWRITE_SECONDS = 600.0  # an announcement that stays the same


@dataclass(frozen=True, slots=True)
class Board:
    """What any process has learned from the vendor; *pause_until* is a time of day, in seconds since 1970."""

    per_minute: int | None = None
    usage: tuple[int, int] | None = None
    pause_until: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """The state of one limit. None: not known (until the vendor says so) or nothing to wait for."""

    window: str
    allowed: int | None
    used: int | None
    reserved: int | None
    resets_in_seconds: float | None = None
    is_announced: bool = False

    @property
    def left(self) -> int | None:
        return max(0, self.allowed - self.used) if self.allowed is not None and self.used is not None else None


class SharedBudget(Unlimited):
    """One connection's budget: it says nothing to what only a breaker can answer.

    *reserve_percent* is this connection's own, or that of the installation.
    """

    def __init__(
        self,
        quota: Quota,
        link: Link,
        *,
        reserve_percent: int,
        call_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.quota = quota
        self._link = link
        self.reserve_percent = reserve_percent
        self._now = now
        self._key = f"{quota.connection}:{quota.organization}"
        prefix = f"{PREFIX}:{self._key}"
        self._slots = (
            Slots(quota, link, prefix=prefix, reserve_percent=self.reserve_percent, hold_seconds=call_seconds, now=now)
            if quota.calls_at_once
            else None
        )
        self._announced_key, self._usage_key, self._pause_key = (
            f"{prefix}:{name}" for name in ("announced", "usage", "pause")
        )
        self._windows_storage: RedisStorage | None = None
        self._board = Board()
        self._board_read_at = self._usage_written_at = self._announced_written_at = float("-inf")

    # -- around a call

    @contextmanager
    def call(self, operation: str) -> Iterator[None]:
        in_background = is_background()
        board = self._learned()
        self._raise_if_told_so(operation, board, in_background=in_background)
        with ExitStack() as held:
            self._enter(held, operation, board, in_background=in_background)
            yield

    def learn(self, headers: Mapping[str, str], status: int = 200) -> None:
        announced = self.quota.read(headers)
        with suppress(NoRedisError):
            self._learn_limit(announced)
            self._learn_usage(announced)

    def unsettled(self, headers: Mapping[str, str], status: int) -> None:
        self.learn(headers, status)

    def refused(self, retry_after_seconds: float | None) -> None:
        pause = words.pause_seconds(retry_after_seconds)
        if pause is None:
            return
        until = str(self._now() + pause)
        with suppress(NoRedisError):
            self._link.ask(lambda client: client.set(self._pause_key, until, px=int(pause * 1000)))
            self._forget_board()

    # -- what the vendor has announced

    def _raise_if_told_so(self, operation: str, board: Board, *, in_background: bool) -> None:
        pause = self._pause_left(board)
        if pause > 0:
            raise words.told_to_wait(self.quota, operation, min(pause, words.LONGEST_PAUSE_SECONDS))
        if board.usage is None:
            return
        used, limit = board.usage
        if used >= allowance(limit, self.reserve_percent, in_background=in_background):
            raise words.over_usage(self.quota, operation, used, limit, in_background=in_background)

    def _pause_left(self, board: Board) -> float:
        left = board.pause_until - self._now()
        return left if 0 < left <= words.LONGEST_PAUSE_SECONDS + CLOCKS_AGREE_SECONDS else 0.0

    def _learned(self) -> Board:
        """Read at most once a second: nearly every call costs nothing here."""
        if time.monotonic() - self._board_read_at < BOARD_SECONDS:
            return self._board
        try:
            self._board = self._read_board()
        except NoRedisError:
            self._board = Board()
        self._board_read_at = time.monotonic()
        return self._board

    def _read_board(self) -> Board:
        keys = [self._announced_key, self._usage_key, self._pause_key]
        return read_board(self._link.ask(lambda client: cast(list[bytes | None], client.mget(keys))))

    def _forget_board(self) -> None:
        self._board_read_at = float("-inf")

    def _learn_limit(self, announced: Announcement) -> None:
        if announced.per_minute is None or not self.quota.per_minute:
            return
        limit = words.clamped(announced.per_minute)
        is_fresh = time.monotonic() - self._announced_written_at < REWRITE_SECONDS
        if is_fresh and self._board.per_minute == limit:
            return
        self._announced_written_at = time.monotonic()
        self._link.ask(lambda client: client.set(self._announced_key, limit, ex=ANNOUNCEMENT_KEPT_SECONDS))
        self._forget_board()

    def _learn_usage(self, announced: Announcement) -> None:
        if announced.used is None or announced.allowed is None:
            return
        if time.monotonic() - self._usage_written_at < WRITE_SECONDS:
            return
        self._usage_written_at = time.monotonic()
        usage = f"{announced.used}/{announced.allowed}"
        self._link.ask(lambda client: client.set(self._usage_key, usage, ex=USAGE_BELIEVED_SECONDS))

    # -- what we count ourselves

    def _enter(self, held: ExitStack, operation: str, board: Board, *, in_background: bool) -> None:
        """A slot, and one more call in each window. Raises: RateLimitedError if one has no room; BusyError.

        By a script, not the library's limiter: that one has a key for each limit, and here two limits share a count.
        Adding under the lower limit drops only what the window has left behind: it succeeds when whatever stands
        beyond that limit is too old to count.
        """
        windows = words.windows(self.quota, board.per_minute)
        allowed = [allowance(each.limit, self.reserve_percent, in_background=in_background) for each in windows]
        counted = [
            Counted(f"{PREFIX}:{self._key}:{each.name}", limit, each.seconds)
            for each, limit in zip(windows, allowed, strict=True)
        ]
        while True:
            try:
                held.enter_context(self._slots.one(counted) if self._slots else self._counted(counted))
                return
            except FullError as full:
                self._make_room(operation, windows[full.number], allowed[full.number])

    @contextmanager
    def _counted(self, windows: Sequence[Counted]) -> Iterator[None]:
        with suppress(NoRedisError):
            if windows:
                self._link.ask(lambda client: count(client, windows, now=self._now()))
        yield

    def _make_room(self, operation: str, window: Window, allowed: int) -> None:
        """Raises: RateLimitedError, unless calls that a wrong clock counted ahead hold up all others until then."""
        try:
            wait = self._link.ask(lambda client: self._seconds_until_room(client, window, allowed))
            if wait > window.seconds + CLOCKS_AGREE_SECONDS:
                self._link.ask(lambda client: self._storage(client).clear(f"{self._key}:{window.name}"))
                return
        except NoRedisError:  # nor will it be asked for a slot, for a while
            return
        raise words.over_window(self.quota, operation, window, allowed=allowed, wait_seconds=wait)

    def _seconds_until_room(self, client: Redis, window: Window, allowed: int) -> float:
        """Until the oldest of the latest *allowed* calls leaves the window."""
        oldest, _ = self._storage(client).get_moving_window(f"{self._key}:{window.name}", allowed, window.seconds)
        return oldest + window.seconds - self._now()

    def _storage(self, client: Redis) -> RedisStorage:
        if self._windows_storage is None:
            self._windows_storage = RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix=PREFIX)
        return self._windows_storage

    # -- for people

    def states(self) -> list[State]:
        """The state of each limit. Raises: NoRedisError."""
        board = self._read_board()
        found = [self._window_state(window, board) for window in words.windows(self.quota, board.per_minute)]
        return [*found, *self._usage_state(board), *self._slots_state()]

    def pause_left_seconds(self) -> float:
        """For how many seconds the vendor wants no calls, by its Retry-After. Raises: NoRedisError."""
        return self._pause_left(self._read_board())

    def _window_state(self, window: Window, board: Board) -> State:
        oldest, used = self._link.ask(
            lambda client: self._storage(client).get_moving_window(
                f"{self._key}:{window.name}", window.limit, window.seconds
            )
        )
        return State(
            window.name,
            window.limit,
            used,
            reserve(window.limit, self.reserve_percent),
            resets_in_seconds=max(0.0, oldest + window.seconds - self._now()) if used else None,
            is_announced=window.name == "minute" and board.per_minute is not None,
        )

    def _usage_state(self, board: Board) -> Iterator[State]:
        if board.usage is None and (self.quota.read is words.announces_nothing or self.quota.per_day):
            return
        used, limit = board.usage or (None, None)
        kept = reserve(limit, self.reserve_percent) if limit is not None else None
        yield State("24 hours", limit, used, kept, is_announced=True)

    def _slots_state(self) -> Iterator[State]:
        slots = self._slots
        if slots is not None:
            yield State("at once", slots.count, slots.under_way(), slots.count - slots.background_count)


def read_board(values: list[bytes | None]) -> Board:
    """What stands under the keys for limit, usage and pause; what can't be read is as if it weren't there.

    >>> read_board([b"150", b"18/15000", b"1795000000.5"])
    Board(per_minute=150, usage=(18, 15000), pause_until=1795000000.5)
    >>> read_board([None, b"18", b"soon"])
    Board(per_minute=None, usage=None, pause_until=0.0)
    """
    limit, usage, pause = ((value or b"").decode("ascii", errors="replace") for value in values)
    counted = re.fullmatch(r"(\d{1,12})/(\d{1,12})", usage)
    return Board(
        int(limit) if re.fullmatch(r"\d{1,6}", limit) else None,
        (int(counted[1]), int(counted[2])) if counted else None,
        float(pause) if re.fullmatch(r"\d{1,12}(\.\d+)?", pause) else 0.0,
    )
