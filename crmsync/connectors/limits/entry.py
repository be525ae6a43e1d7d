"""One script in Redis before each call: takes a free slot and room in every window, or nothing.

A window is the list that the library `limits` keeps of it (newest call first), so that its other questions are asked
of the library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import NoScriptError


@dataclass(frozen=True, slots=True)
class Counted:
    """At most *limit* calls in any *seconds*, kept under *key*."""

    key: str
    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a call under way, which *holder* alone may give back."""

    key: str
    holder: str


class FullError(Exception):
    """A window has no room: the one of this number among those asked."""

    def __init__(self, number: int = 0) -> None:
        super().__init__(number)
        self.number = number


class _Script:
    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Redis, keys: Sequence[str], *arguments: Any) -> int:
        asked = (len(keys), *keys, *arguments)
        try:
            return cast(int, client.evalsha(self._sha, *asked))
        except NoScriptError:  # Redis has restarted, or has never seen it
            return cast(int, client.eval(self._text, *asked))


# KEYS: the windows, then the slots. ARGV: how many windows, now, holder, how long a slot is held at most, in
# milliseconds; then limit and seconds of each window. The answer is the number of the slot that is taken (with none to
# choose from, 1), 0 where none is free, or -1, -2, … for the window without room.
_ENTER = _Script(
    """
local windows, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local taken = #KEYS == windows and 1 or 0
for place = windows + 1, #KEYS do
    if redis.call('exists', KEYS[place]) == 0 then taken = place - windows break end
end
if taken == 0 then return 0 end
for window = 1, windows do
    local limit, seconds = tonumber(ARGV[3 + 2 * window]), tonumber(ARGV[4 + 2 * window])
    local oldest = redis.call('lindex', KEYS[window], limit - 1)
    if oldest and tonumber(oldest) >= now - seconds then return -window end
end
for window = 1, windows do
    redis.call('lpush', KEYS[window], ARGV[2])
    redis.call('ltrim', KEYS[window], 0, tonumber(ARGV[3 + 2 * window]) - 1)
    redis.call('expire', KEYS[window], ARGV[4 + 2 * window])
end
if #KEYS > windows then redis.call('set', KEYS[windows + taken], ARGV[3], 'PX', ARGV[4]) end
return taken
"""
)
_LEAVE = _Script("return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0")


def count(client: Redis, windows: Sequence[Counted], *, now: float) -> None:
    """Count a call in each of *windows*, which are not none. Raises: FullError, and counts in none."""
    _enter(client, windows, [], now=now)


def take(
    client: Redis, names: Sequence[str], windows: Sequence[Counted], *, holder: str, hold_seconds: float, now: float
) -> Slot | None:
    """The first of the slots *names* that is free, and a call counted in each of *windows*. None where none is free.

    Raises: FullError.
    """
    number = _enter(client, windows, names, now=now, holder=holder, hold_seconds=hold_seconds)
    return Slot(names[number - 1], holder) if number else None


def let_go(client: Redis, slot: Slot) -> None:
    """Where Redis was emptied, or the call took longer than a call may, somebody else may have it: he keeps it."""
    _LEAVE.run(client, [slot.key], slot.holder)


def _enter(
    client: Redis,
    windows: Sequence[Counted],
    names: Sequence[str],
    *,
    now: float,
    holder: str = "",
    hold_seconds: float = 0.0,
) -> int:
    limits = [number for window in windows for number in (window.limit, window.seconds)]
    keys = [*(window.key for window in windows), *names]
    answer = _ENTER.run(client, keys, len(windows), repr(now), holder, int(hold_seconds * 1000), *limits)
    if answer < 0:
        raise FullError(-answer - 1)
    return answer
