"""Holds deals that are announced in a flood far beyond what is usual here, and asks about all of them once.

What is usual is the busiest hour of the last thirty days, five times over, and never less than CRMSYNC_BURST_DEALS.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from crmsync.domain.admission import ACCEPTED_FOR, REMEMBERED_DAYS, learned, most_usual
from crmsync.domain.dead_letters import is_answered
from crmsync.errors import UnusualBurstError
from crmsync.services import ROLES, Services
from crmsync.store import UnitOfWork
from crmsync.worker.attempt import Attempt

ACCEPTED_UNTIL = "burst.accepted_until"  # a fact
HOUR = timedelta(hours=1)
COUNTED_FOR = timedelta(seconds=5)  # so long a count does for all deals of this process
USUAL_FOR = timedelta(minutes=10)


@dataclass
class _Figures:
    """What a process has counted: new deals of the last hour, and the busiest hour of each day."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counted_at: datetime | None = None
    count: int = 0
    learned_at: datetime | None = None
    usual: int = 0


_figures: WeakKeyDictionary[Services, _Figures] = WeakKeyDictionary()


def hold(attempt: Attempt) -> None:
    """Let a deal pass that came as deals usually come. No call is made for one that did not.

    Raises: UnusualBurstError.
    """
    using, floor = attempt.services, attempt.services.settings.behaviour.burst_deals
    if not floor or is_answered(attempt.run.answers, attempt.run.step, UnusualBurstError):
        return
    count, usual = _count(using, attempt.run.flow, floor)
    if count > usual and _is_of_flood(attempt):
        raise UnusualBurstError(
            f"{count:,} new deals were announced within an hour; up to {usual:,} are usual here.",
            advice="See in the CRM what announced them, such as a mass update or an import. All of them go on by "
            "`replay --error UnusualBurstError --accept`, and are given up by `discard --error UnusualBurstError`. "
            "Those of the last years are asked about one by one even so.",
        )


def let_pass(using: Services) -> None:
    """A person let a flood go on: what still comes of it is not asked about again."""
    with using.store.begin() as uow:
        uow.facts.set(ACCEPTED_UNTIL, (uow.now + ACCEPTED_FOR).isoformat())


def _is_of_flood(attempt: Attempt) -> bool:
    """Whether the deal was announced just now, and nobody has let the flood pass. Catch-up's own starts are none."""
    with attempt.services.store.read() as uow:
        accepted_until = uow.facts.instant(ACCEPTED_UNTIL, longest_ahead=ACCEPTED_FOR)
        if accepted_until is not None and accepted_until > uow.now:
            return False
        is_recent = attempt.run.created_at > uow.now - HOUR
        return is_recent and uow.deliveries.last_received_at(ROLES["deals"], attempt.run.subject_key) is not None


def _count(using: Services, flow: str, floor: int) -> tuple[int, int]:
    """How many new deals the last hour brought, and how many are usual; counted anew every few seconds."""
    figures = _figures.setdefault(using, _Figures())
    with figures.lock, using.store.read() as uow:
        if not _is_fresh(figures.counted_at, uow.now, COUNTED_FOR):
            figures.count = uow.deliveries.new_subjects(ROLES["deals"], flow, uow.now - HOUR, uow.now)
            figures.counted_at = uow.now
        if figures.count > floor and not _is_fresh(figures.learned_at, uow.now, USUAL_FOR):
            figures.usual = most_usual(floor, learned({}, _hours(uow, flow), now=uow.now, floor=floor))
            figures.learned_at = uow.now
        return figures.count, max(floor, figures.usual)


def _is_fresh(at: datetime | None, now: datetime, lifetime: timedelta) -> bool:
    return at is not None and abs(now - at) < lifetime


def _hours(uow: UnitOfWork, flow: str) -> Mapping[datetime, int]:
    """How many new deals each hour brought, but the last one: that is the one in question."""
    first = uow.deliveries.first_received_at(uow.now - timedelta(days=REMEMBERED_DAYS))
    found, end = {}, uow.now - HOUR
    while first is not None and end > first:
        found[end - HOUR] = uow.deliveries.new_subjects(ROLES["deals"], flow, end - HOUR, end)
        end -= HOUR
    return found
