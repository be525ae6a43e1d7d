"""When a step is tried again, and what becomes of a message that comes at the wrong time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crmsync.domain.runs import Message, Retry, RetryPolicy, Run, RunStatus, next_try, unclaimed
from crmsync.errors import (
    AmountMismatchError,
    ConcurrentUpdateError,
    CrmsyncError,
    RateLimitedError,
    RejectedError,
    VendorUnavailableError,
)
from tests.builders import NOW, run

STEPS = ("fetch_deal", "create_order", "write_back")
POLICY = RetryPolicy(max_retries=3, backoff_seconds=2)


@pytest.mark.parametrize(
    ("error", "attempts", "jitter", "expected"),
    [
        (VendorUnavailableError(), 0, 1.0, Retry(2)),
        (VendorUnavailableError(), 1, 1.0, Retry(4)),
        (VendorUnavailableError(), 2, 1.0, Retry(8)),
        (VendorUnavailableError(), 3, 1.0, None),
        (VendorUnavailableError(), 2, 0.0, Retry(4)),  # jitter stays in the upper half
        (ConcurrentUpdateError(retry_after_seconds=30), 0, 0.0, Retry(30)),  # the vendor is never undercut
        (VendorUnavailableError(retry_after_seconds=1), 2, 1.0, Retry(8)),
        (RateLimitedError(retry_after_seconds=900), 3, 0.0, Retry(900, is_attempt=False)),  # a quota is no attempt
        (RateLimitedError(), 99, 0.0, Retry(60, is_attempt=False)),
        (RejectedError(), 0, 1.0, None),
        (AmountMismatchError(), 0, 1.0, None),
    ],
)
def test_next_try(error: CrmsyncError, attempts: int, jitter: float, expected: Retry | None) -> None:
    assert next_try(error, attempts, POLICY, jitter=jitter) == expected


def test_a_system_that_is_down_is_waited_for_without_counting() -> None:
    held = next_try(VendorUnavailableError(), 3, POLICY, held_seconds=30, jitter=0.0)

    assert held == Retry(30.5, is_attempt=False)


def test_no_retries_at_all_can_be_configured() -> None:
    assert next_try(VendorUnavailableError(), 0, RetryPolicy(max_retries=0)) is None


def at(step: str, **changes: object) -> Run:
    done = STEPS[: STEPS.index(step)]
    return run(step=step, results={name: {} for name in done}, **changes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, Message.END),
        (at("write_back"), Message.GO_ON),
        (at("write_back", leased_until=NOW + timedelta(seconds=9)), Message.END),
        (at("write_back", leased_until=NOW - timedelta(seconds=9)), Message.GO_ON),
        (at("write_back", due_at=NOW + timedelta(seconds=9)), Message.END),
        (at("write_back", status=RunStatus.STOPPED), Message.END),
        (at("write_back", status=RunStatus.DONE), Message.END),
        (at("create_order"), Message.END),
        (at("fetch_deal"), Message.END),
    ],
    ids=[
        "no such run",
        "done and the next is due",
        "the next is leased",
        "the lease of the next is over",
        "the next is parked",
        "the run is stopped",
        "the run is done",
        "its own turn, but not claimable",
        "an earlier step is undone",
    ],
)
def test_a_message_that_may_not_start_its_step(found: Run | None, expected: Message) -> None:
    assert unclaimed(found, "create_order", STEPS, NOW) is expected


def test_a_message_ends_when_the_step_after_its_own_is_done_too() -> None:
    assert unclaimed(at("write_back"), "fetch_deal", STEPS, NOW) is Message.END
