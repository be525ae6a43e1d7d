"""A run: one execution of a business process for one business object; and the rules of its life cycle."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from crmsync.domain.money import Money
from crmsync.errors import CrmsyncError, RateLimitedError, RetryableError

LONG_WAIT_SECONDS = 60.0  # a longer wait ends the message; the due time in the store brings the run back
QUOTA_WAIT_SECONDS = 60.0  # where a vendor says that its limit is used up but not for how long
QUOTA_SPREAD = 0.25  # not all that wait for a quota may come back in one instant: they would use it up again
HOLD_SPREAD_SECONDS = 5.0  # nor all that wait for a system
CLOCK_SLACK = timedelta(seconds=1)  # a message may arrive this much before its run is due


class RunStatus(StrEnum):
    ACTIVE = "active"  # has an undone step
    STOPPED = "stopped"  # has a dead letter that waits for a person
    DONE = "done"
    DISCARDED = "discarded"
    OTHER = "other"  # only another release knows it

    @classmethod
    def _missing_(cls, value: object) -> RunStatus:
        return cls.OTHER

    @property
    def is_active(self) -> bool:
        return self is RunStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose a run is, and the connection that its subject comes from."""

    tenant: str
    source: str


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `runs`. *step* is the first undone step; *results* holds what each done step learned."""

    id: str
    flow: str
    subject_key: str
    status: RunStatus
    step: str
    correlation_id: str
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    tenant: str = ""
    source: str = ""  # the connection that its subject comes from
    title: str = ""
    amount: Any = None  # Decimal, for screens and alerts
    currency: str = ""
    attempts: int = 0
    starts: int = 0
    fence: int = 0
    leased_until: datetime | None = None
    queued_until: datetime | None = None
    results: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    is_reduced: bool = False  # what it learned is forgotten
    customer_key: str = ""  # of a deal's account in the CRM
    again: bool = False  # the source changed while it was under way: it begins again when it ends
    read: dict[str, tuple[Any, Any]] = field(default_factory=dict, compare=False, repr=False)  # see result() in flow.py

    @property
    def money(self) -> str:
        """'47,000.00 USD', or "" while the deal has not been read."""
        return str(Money(self.amount, self.currency)) if self.amount is not None else ""

    @property
    def is_first_claim(self) -> bool:
        """Whether no worker had the run before: then the store has nothing of it to find."""
        return self.fence <= 1

    def is_leased(self, now: datetime) -> bool:
        return self.leased_until is not None and self.leased_until > now

    def at_new_step(self, step: str, now: datetime, *, leased_until: datetime) -> Run:
        """The run as it begins *step* for the first time, under a lease of its own."""
        return replace(
            self,
            step=step,
            leased_until=leased_until,
            fence=self.fence + 1,
            attempts=0,
            starts=1,
            progress={},
            due_at=now,
            updated_at=now,
        )


def first_undone(steps: Sequence[str], results: Mapping[str, Any]) -> str | None:
    """The step to go on with, or None if all are done.

    >>> first_undone(["a", "b", "c"], {"a": {}})
    'b'
    """
    return next((step for step in steps if step not in results), None)


class Message(StrEnum):
    """What a message does that may not start its step."""

    GO_ON = "go on"  # its step is done: let its chain continue
    END = "end"  # somebody else has the run, or the sweeper will bring it back


def unclaimed(run: Run | None, step: str, steps: Sequence[str], now: datetime) -> Message:
    """What becomes of a message for *step* that could not claim the run."""
    if run is None or run.status is not RunStatus.ACTIVE or run.is_leased(now) or step not in run.results:
        return Message.END
    if run.step not in steps:  # only another release has it
        return Message.END
    is_next = steps.index(run.step) == steps.index(step) + 1
    return Message.GO_ON if is_next and run.due_at <= now + CLOCK_SLACK else Message.END


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_retries: int = 3
    backoff_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again in *wait_seconds*; *is_attempt* is False where a quota or a system's return was waited for."""

    wait_seconds: float
    is_attempt: bool = True


def next_try(
    error: CrmsyncError,
    attempts: int,
    policy: RetryPolicy,
    *,
    held_seconds: float | None = None,
    jitter: float | None = None,
) -> Retry | None:
    """Whether and when a step that failed with *error* is tried again; None: it is dead.

    *attempts* counts the failures before this one. The wait doubles (2, 4, 8 s) and varies in its upper half;
    what the vendor asks for is never undercut. Waiting for a quota is no attempt; nor is a failure of a system whose
    breaker is open (*held_seconds*: for how long yet), even if the call was the breaker's probe.
    """
    if error.is_outage and held_seconds is not None:
        return Retry(held_seconds + HOLD_SPREAD_SECONDS * (0.1 + 0.9 * _share(jitter)), is_attempt=False)
    if not isinstance(error, RetryableError):
        return None
    asked = error.retry_after_seconds
    if isinstance(error, RateLimitedError):
        wait = QUOTA_WAIT_SECONDS if asked is None else asked
        return Retry(wait * (1 + QUOTA_SPREAD * _share(jitter)), is_attempt=False)
    if attempts >= policy.max_retries:
        return None
    wait = policy.backoff_seconds * 2**attempts * (0.5 + 0.5 * _share(jitter))
    # Up to a second later, so that two hundred runs don't come back in one instant.
    return Retry(wait if asked is None else max(wait, asked + _share(jitter)))


def _share(jitter: float | None) -> float:
    return random.random() if jitter is None else jitter
