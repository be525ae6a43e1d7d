"""The call budget of a connection: how many calls a vendor allows, and how many are reserved for orders and payments.

A vendor counts the calls of an organisation, whichever process, host or flow makes them. So the count is shared, and
work that may wait (inventory, catch-up) sees less of it than work that may not:

    allowed  ├──────────── anybody ────────────┼─── the reserve: orders, payments ───┤

Here is what can be decided without asking anybody; shared_budget.py keeps the count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from crmsync.errors import BusyError, CrmsyncError, RateLimitedError

OVER_BUDGET = "OVER_BUDGET"  # the code of our own refusals: nothing was sent
MINUTE_SECONDS = 60
HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
# The vendor's day may begin anew, or its plan grow, before the oldest of our calls is a day old.
LONGEST_WAIT_SECONDS = 3600.0
USAGE_WAIT_SECONDS = 900.0  # a quota of 24 hours: some of it returns all the time
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 60.0
ANNOUNCED_MIN, ANNOUNCED_MAX = 10, 100_000

_background: ContextVar[bool] = ContextVar("crmsync_background", default=False)


@contextmanager
def background() -> Iterator[None]:
    """Calls inside the block may wait: they leave the reserve alone."""
    token = _background.set(True)
    try:
        yield
    finally:
        _background.reset(token)


def is_background() -> bool:
    return _background.get()


class Budget(Protocol):
    """What a client asks before a call, and reports to after it."""

    connection: str
    """Whose calls they are; "" where nothing is remembered of them."""

    def admit(self, operation: str = "") -> None:
        """Before signing in, for a call of this *operation*. Raises: NotNowError while the system is not called."""

    def call(self, operation: str) -> AbstractContextManager[None]:
        """The time of one call. Waits up to a second for a free place.

        Raises: RateLimitedError with code OVER_BUDGET where the budget is used, BusyError where too many calls are
        under way. Both are definite: nothing has been sent.
        """

    def learn(self, headers: Mapping[str, str], status: int) -> None:
        """Take note of what an answer says of the quota, and that there was one. Never raises."""

    def unsettled(self, headers: Mapping[str, str], status: int) -> None:
        """As learn(), from an answer that refuses the token or the account: no sign that the system serves us."""

    def account_refused(self, operation: str, reason: str, *, code: str = "", hold_seconds: float = 0.0) -> None:
        """The system refuses the account, for this *operation* or, without one, for all. Never raises.

        *code* is the system's own. For *hold_seconds*, or for as long as the breaker says, nobody probes whether that
        is put right.
        """

    def moved(self) -> None:
        """The system has another address: this thread's next call goes there, whatever is known about the old one."""

    def signed_out(self, error: CrmsyncError) -> None:
        """The sign-in for a call has failed by an outage. Never raises."""

    def refused(self, retry_after_seconds: float | None) -> None:
        """The vendor itself has said "slow down": the other processes are to know. Never raises."""


class Unlimited:
    """The budget where nothing limits, and what every budget does that has nothing to say."""

    connection = ""

    def admit(self, operation: str = "") -> None:
        pass

    def call(self, operation: str) -> AbstractContextManager[None]:
        return nullcontext()

    def learn(self, headers: Mapping[str, str], status: int) -> None:
        pass

    def unsettled(self, headers: Mapping[str, str], status: int) -> None:
        pass

    def account_refused(self, operation: str, reason: str, *, code: str = "", hold_seconds: float = 0.0) -> None:
        pass

    def moved(self) -> None:
        pass

    def signed_out(self, error: CrmsyncError) -> None:
        pass

    def refused(self, retry_after_seconds: float | None) -> None:
        pass


UNLIMITED = Unlimited()


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the headers of an answer say: calls *used* of *allowed* in 24 hours, calls allowed *per_minute*."""

    per_minute: int | None = None
    used: int | None = None
    allowed: int | None = None


NOTHING = Announcement()


def announces_nothing(headers: Mapping[str, str]) -> Announcement:
    return NOTHING


@dataclass(frozen=True, slots=True)
class Quota:
    """What a connection may use of what its vendor allows one organisation.

    None or 0: there is no such limit, or the vendor's answers announce its use. A *per_minute* below
    *usual_per_minute*, which the vendor publishes, was chosen: no announcement raises it.
    """

    connection: str
    system: str
    organization: str  # as it stands in keys: no secret, no person
    calls_at_once: int
    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None
    usual_per_minute: int = 0
    reserve_percent: int | None = None
    """Of this connection; None: the one of the installation."""
    read: Callable[[Mapping[str, str]], Announcement] = announces_nothing


@dataclass(frozen=True, slots=True)
class Window:
    """At most *limit* calls in any *seconds*."""

    name: str
    limit: int
    seconds: int


def windows(quota: Quota, announced_per_minute: int | None) -> tuple[Window, ...]:
    """The shortest first: a call that the minute refuses must not be counted in the day.

    >>> [window.limit for window in windows(Quota("books", "Books", "1", 5, per_minute=100, per_day=2000), 150)]
    [150, 2000]
    """
    limits = (
        ("minute", per_minute(quota, announced_per_minute), MINUTE_SECONDS),
        ("hour", quota.per_hour, HOUR_SECONDS),
        ("day", quota.per_day, DAY_SECONDS),
    )
    return tuple(Window(name, limit, seconds) for name, limit, seconds in limits if limit)


def per_minute(quota: Quota, announced: int | None) -> int | None:
    """What the vendor has *announced* replaces the limit that it publishes, and raises no lower one.

    >>> chosen, usual = (Quota("books", "Books", "1", 5, per_minute=each, usual_per_minute=100) for each in (40, 100))
    >>> [per_minute(chosen, 150), per_minute(chosen, 20), per_minute(usual, 150), per_minute(usual, None)]
    [40, 20, 150, 100]
    """
    own = quota.per_minute
    if not own or announced is None:
        return own
    return min(own, announced) if own < quota.usual_per_minute else announced


def reserve(limit: int, percent: int) -> int:
    """How many of *limit* are kept for orders and payments: at least one, never all.

    >>> [reserve(100, 30), reserve(4, 30), reserve(2, 95), reserve(1, 30), reserve(10, 0)]
    [30, 1, 1, 0, 0]
    """
    return min(limit - 1, max(1, limit * percent // 100)) if percent and limit > 1 else 0


def allowance(limit: int, percent: int, *, in_background: bool) -> int:
    """How many of *limit* this work may use.

    >>> allowance(100, 30, in_background=True), allowance(100, 30, in_background=False)
    (70, 100)
    """
    return limit - reserve(limit, percent) if in_background else limit


def clamped(per_minute: int) -> int:
    """A limit that a vendor has announced, within reason: a header that means something else must not stop us.

    >>> [clamped(limit) for limit in (0, 150, 10**9)]
    [10, 150, 100000]
    """
    return min(max(per_minute, ANNOUNCED_MIN), ANNOUNCED_MAX)


def pause_seconds(retry_after_seconds: float | None) -> float | None:
    """How long the others keep still after a refusal of the vendor; None: they need not.

    A short wait is about calls at the same time, which end soon. Never longer than a minute: then a call finds out how
    it is now.

    >>> [pause_seconds(wait) for wait in (None, 5.0, 40.0, 3600.0)]
    [None, None, 40.0, 60.0]
    """
    if retry_after_seconds is None or not retry_after_seconds >= SHORTEST_PAUSE_SECONDS:
        return None
    return min(retry_after_seconds, LONGEST_PAUSE_SECONDS)


# -- refusals, in words


def over_window(quota: Quota, operation: str, window: Window, *, allowed: int, wait_seconds: float) -> RateLimitedError:
    """*allowed* is what this work may use of the window."""
    budget = f"{window.limit} calls {'an' if window.name == 'hour' else 'a'} {window.name} for {quota.system}"
    message = f"The budget of {budget} is used up."
    if allowed < window.limit:
        message = (
            f"Background work has used its {allowed} of the {budget}; the rest is reserved for orders and payments."
        )
    return _refusal(quota, operation, message, min(max(wait_seconds, 0.1), LONGEST_WAIT_SECONDS))


def over_usage(quota: Quota, operation: str, used: int, limit: int, *, in_background: bool) -> RateLimitedError:
    end = "; what is left is reserved for orders and payments." if in_background and used < limit else "."
    message = f"{quota.system} has counted {used} of {limit} calls in 24 hours{end}"
    return _refusal(quota, operation, message, USAGE_WAIT_SECONDS)


def told_to_wait(quota: Quota, operation: str, wait_seconds: float) -> RateLimitedError:
    return _refusal(quota, operation, f"{quota.system} has asked crmsync to slow down.", wait_seconds)


def _refusal(quota: Quota, operation: str, message: str, wait_seconds: float) -> RateLimitedError:
    return RateLimitedError(
        message,
        system=quota.system,
        operation=operation,
        code=OVER_BUDGET,
        retry_after_seconds=math.ceil(wait_seconds * 10) / 10,
        is_definite=True,
    )


def too_many_at_once(quota: Quota, *, allowed: int, wait_seconds: float) -> BusyError:
    what = f"{quota.system} is handling {allowed} calls of crmsync, as many as it may at once."
    return BusyError(what, wait_seconds=wait_seconds, system=quota.system)
