"""Holds deals that are announced in a flood far beyond what is usual here, and asks about all of them once.

What is usual is the busiest hour of the last thirty days, five times over, and never less than CRMSYNC_BURST_DEALS.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from crmsync.domain.admission import ACCEPTED_FOR, REMEMBERED_DAYS, learned, most_usual
from crmsync.domain.dead_letters import is_answered
from crmsync.errors import UnusualBurstError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import AGREED, WAS_DISCARDED

ACCEPTED_UNTIL = "burst.accepted_until."  # in front of a connection: a fact
HOUR = timedelta(hours=1)
COUNTED_FOR = timedelta(seconds=5)  # so long a count does for all deals of this process
USUAL_FOR = timedelta(minutes=10)
_ADVICE = (
    "Check in the CRM what caused them, such as a mass update or an import. All of them go on by "
    "`replay --error UnusualBurstError --accept`, and are given up by `discard --error UnusualBurstError`. "
    "Those of the last years are asked about one by one even so."
)


@dataclass
class _Figures:
    """What a process has counted: new deals of the last hour, and the busiest hour of each day."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counted_at: datetime | None = None
    count: int = 0
    learned_at: datetime | None = None
    usual: int = 0


_figures: WeakKeyDictionary[Services, dict[str, _Figures]] = WeakKeyDictionary()  # by the CRM's connection


def hold(attempt: Attempt) -> None:
    """Let a deal pass that came as deals usually come. No call is made for one that did not.

    One that was given up is read when it is announced again, so that a person who leaves it so is not asked once more:
    see ask_again(). Raises: UnusualBurstError.
    """
    using, floor = attempt.services, attempt.company.options.burst_deals
    if not floor or attempt.run.progress.get(WAS_DISCARDED) or _is_accepted(attempt):
        return
    if _was_held(attempt):
        raise UnusualBurstError("The deal came in a flood of new ones, and nobody has approved it.", advice=_ADVICE)
    count, usual = _count(using, attempt.company.deals.connection, attempt.run.flow, floor)
    if count > usual and _is_of_flood(attempt):
        raise UnusualBurstError(
            f"{count:,} new deals were announced within an hour; up to {usual:,} are usual here.", advice=_ADVICE
        )


def ask_again(attempt: Attempt) -> None:
    """Hold a deal of a flood again.

    Raises: UnusualBurstError for a deal that was given up with a flood, unread, and is announced again.
    """
    progress = attempt.run.progress
    if progress.get(WAS_DISCARDED) and not progress.get(AGREED) and _was_held(attempt) and not _is_accepted(attempt):
        raise UnusualBurstError(
            "The deal was given up with a flood of new ones, and is announced again.", advice=_ADVICE
        )


def let_pass(using: Services, source: str) -> None:
    """A person let a flood go on: what still comes of it is not asked about again."""
    with using.store.begin() as uow:
        uow.facts.set(f"{ACCEPTED_UNTIL}{source}", (uow.now + ACCEPTED_FOR).isoformat())


def _is_accepted(attempt: Attempt) -> bool:
    return is_answered(attempt.run.answers, attempt.run.step, UnusualBurstError)


def _was_held(attempt: Attempt) -> bool:
    """Whether it was held before, and the flood was not let pass since: who replays a failure has not decided that."""
    if attempt.run.is_first_claim:
        return False
    with attempt.services.store.read() as uow:
        letter = uow.dead_letters.of_run(attempt.run.id)
        return (
            letter is not None
            and letter.error == UnusualBurstError.__name__
            and not _is_let_pass(uow, attempt.run.source)
        )


def _is_let_pass(uow: UnitOfWork, source: str) -> bool:
    accepted_until = uow.facts.instant(f"{ACCEPTED_UNTIL}{source}", longest_ahead=ACCEPTED_FOR)
    return accepted_until is not None and accepted_until > uow.now


def _is_of_flood(attempt: Attempt) -> bool:
    """Whether the deal was announced just now, and nobody has let the flood pass. Catch-up's own starts are none."""
    with attempt.services.store.read() as uow:
        if _is_let_pass(uow, attempt.run.source):
            return False
        is_recent = attempt.run.created_at > uow.now - HOUR
        return (
            is_recent
            and uow.deliveries.last_received_at(attempt.company.deals.connection, attempt.run.subject_key) is not None
        )


def _count(using: Services, connection: str, flow: str, floor: int) -> tuple[int, int]:
    """How many new deals the last hour brought, and how many are usual; counted anew every few seconds."""
    figures = _figures.setdefault(using, defaultdict(_Figures))[connection]
    with figures.lock, using.store.read() as uow:
        if not _is_fresh(figures.counted_at, uow.now, COUNTED_FOR):
            figures.count = uow.deliveries.new_subjects(connection, flow, uow.now - HOUR, uow.now)
            figures.counted_at = uow.now
        if figures.count > floor and not _is_fresh(figures.learned_at, uow.now, USUAL_FOR):
            figures.usual = most_usual(floor, learned({}, _hours(uow, connection, flow), now=uow.now, floor=floor))
            figures.learned_at = uow.now
        return figures.count, max(floor, figures.usual)


def _is_fresh(at: datetime | None, now: datetime, lifetime: timedelta) -> bool:
    return at is not None and abs(now - at) < lifetime


def _hours(uow: UnitOfWork, connection: str, flow: str) -> Mapping[datetime, int]:
    """How many new deals each hour brought, but the last one: that is the one in question."""
    first = uow.deliveries.first_received_at(connection, uow.now - timedelta(days=REMEMBERED_DAYS))
    found, end = {}, uow.now - HOUR
    while first is not None and end > first:
        found[end - HOUR] = uow.deliveries.new_subjects(connection, flow, end - HOUR, end)
        end -= HOUR
    return found
