"""Catch-up: which changes at the source should have a run, and whether to start it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus

STALE_CLOSE_DATE = timedelta(days=30)  # people close deals without looking at the date that they once planned


@dataclass(frozen=True, slots=True)
class WonDeal:
    """A row of the list of won deals. *won_at* is when its stage last changed, None where the CRM does not tell."""

    key: str
    company: str
    name: str
    amount: Money | None
    changed_at: datetime
    created_at: datetime | None = None
    won_at: datetime | None = None
    closed_on: date | None = None
    order_number: str = ""

    @property
    def title(self) -> str:
        return f"{self.company} – {self.name}"


class Verdict(StrEnum):
    """What catch-up does about a deal: one to start, or to look at again, or the reason why nothing."""

    START = "start"
    LOOK = "has another amount than its run"
    HAS_RUN = "has a run"
    HAS_ORDER = "carries an order number"
    BEFORE_GO_LIVE = "was won before going live"

    @property
    def wakes(self) -> bool:
        return self in (Verdict.START, Verdict.LOOK)


def is_of_another_amount(deal: WonDeal, run: Run) -> bool:
    """Whether the deal is worth something else than when its run, which is over, last read it."""
    if deal.amount is None or run.amount is None or run.status not in (RunStatus.DONE, RunStatus.DISCARDED):
        return False
    return not deal.amount.equals(Money(run.amount, run.currency))


def verdict(deal: WonDeal, *, has_run: bool, go_live: datetime) -> Verdict:
    if has_run:
        return Verdict.HAS_RUN
    if deal.order_number:
        return Verdict.HAS_ORDER
    return Verdict.START if won_since(deal, go_live) else Verdict.BEFORE_GO_LIVE


def won_since(deal: WonDeal, go_live: datetime) -> bool:
    """Whether the deal was won at or after *go_live*: an old one that somebody edits today must not be ordered.

    One that existed before counts by when its stage changed, or by its close date where the CRM does not tell that. In
    some companies won deals have several stages: an old one that moves on has an old close date as well.
    """
    if deal.changed_at < go_live:
        return False
    if deal.created_at is not None and deal.created_at >= go_live:
        return True
    if deal.won_at is None:
        return deal.closed_on is not None and deal.closed_on >= go_live.date()
    is_stale = deal.closed_on is not None and deal.closed_on < go_live.date() - STALE_CLOSE_DATE
    return deal.won_at >= go_live and not is_stale
