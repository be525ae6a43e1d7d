"""The circuit breaker of a connection: after repeated failures calls stop, except for one from time to time.

closed ──failures in a row──▶ open ──its time is over──▶ one probe ──an answer──▶ closed
                                ▲                              │
                                └────────no answer─────────────┘   for twice as long, up to five minutes

A system that answers, but refuses the account and not the record, opens it at once, with the reason: for everything
where the sign-in is refused, else for the operations that were refused, so that those which work go on working. Each
of them is probed again until it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

FIRST_HOLD_SECONDS = 15.0
LONGEST_HOLD_SECONDS = 300.0  # a hold that lasts longer was written by a wrong clock, and counts as over
PASSWORD_HOLD_SECONDS = 1800.0  # save where a system locks a user whose password was wrong a few times


@dataclass(frozen=True, slots=True)
class Breaker:
    """*failures* in a row; open since *opened_at*, and not to be tried before *retry_at*.

    *reason* is why the system as a whole refuses us, in our own words; "" where it does not answer.
    """

    connection: str
    failures: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    probes: int = 0  # that failed since it opened
    system: str = ""
    reason: str = ""
    operations: str = ""  # those that the system refuses, between commas; "" for all
    closed_at: datetime | None = None  # when the system last answered again

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None

    @property
    def longest_hold_seconds(self) -> float:
        return PASSWORD_HOLD_SECONDS if self.reason else LONGEST_HOLD_SECONDS

    def holds(self, operation: str) -> bool:
        """Whether it is open for this *operation*; "" is the sign-in, which belongs to all of them.

        >>> opened_at = datetime(2026, 11, 29)
        >>> Breaker("erp", opened_at=opened_at).holds("read"), Breaker("erp", operations="read").holds("read")
        (True, False)
        >>> [Breaker("erp", opened_at=opened_at, operations="make,mail").holds(name) for name in ("make", "read", "")]
        [True, False, False]
        """
        return self.is_open and (not self.operations or operation in self.operations.split(","))

    def without(self, operation: str) -> str:
        """The operations that are still refused after this one was done."""
        return ",".join(name for name in self.operations.split(",") if name != operation)

    def with_refused(self, operation: str) -> str:
        """The operations that are refused, with this one."""
        is_all = not operation or (self.is_open and not self.operations)
        return "" if is_all else ",".join(filter(None, (self.without(operation), operation)))

    def wait_seconds(self, now: datetime) -> float:
        """How long nobody may call; 0 where somebody may."""
        if not self.is_open or self.retry_at is None:
            return 0.0
        left = (self.retry_at - now).total_seconds()
        return left if 0 < left <= self.longest_hold_seconds else 0.0


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that counts against its system: no answer, an internal error, or a refusal of the account.

    *reason*: it refuses the account, so nobody needs to try again: the breaker opens at once, for this *operation* or,
    without one, for all.
    """

    is_probe: bool
    reason: str = ""
    operation: str = ""
    least_hold_seconds: float = 0.0


def hold_seconds(probes: int) -> float:
    """How long an open breaker lets nobody through, after so many probes that failed.

    >>> [hold_seconds(probes) for probes in (0, 1, 2, 9, 5000)]
    [15.0, 30.0, 60.0, 300.0, 300.0]
    """
    return min(LONGEST_HOLD_SECONDS, FIRST_HOLD_SECONDS * (1 << min(probes, 10)))
