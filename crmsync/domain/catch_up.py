"""Catch-up: which changes at the source should have a run, and whether to start it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum

from crmsync.domain.admission import Dates, is_too_old, won_since
from crmsync.domain.money import Money
from crmsync.domain.runs import Run


@dataclass(frozen=True, slots=True)
class WonDeal:
    """A row of the list of won deals. *won_at* is when its stage last changed, None where the CRM does not say."""

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

    @property
    def dates(self) -> Dates:
        return Dates(self.created_at, self.won_at, self.closed_on)


class Verdict(StrEnum):
    """What catch-up does about a deal: start it, check it again, or the reason why nothing."""

    START = "start"
    LOOK = "has another amount than its run"
    WON_AGAIN = "was not won when its run last read it"
    HAS_RUN = "has a run"
    HAS_ORDER = "carries an order number"
    BEFORE_GO_LIVE = "was won before going live"
    TOO_OLD = "was won too long ago"

    @property
    def starts(self) -> bool:
        return self is Verdict.START or self.rereads

    @property
    def rereads(self) -> bool:
        """Whether a run that is over reads its deal again."""
        return self in (Verdict.LOOK, Verdict.WON_AGAIN)


def is_of_another_amount(deal: WonDeal, run: Run) -> bool:
    """Whether the deal is worth something else than when its run last read it."""
    if deal.amount is None or run.amount is None:
        return False
    return not deal.amount.equals(Money(run.amount, run.currency))


def verdict(
    deal: WonDeal,
    *,
    has_run: bool,
    go_live: datetime,
    zone: tzinfo = UTC,
    now: datetime | None = None,
    max_days: int = 0,
) -> Verdict:
    """*zone* is the company's; a deal that was won more than *max_days* before *now* is left alone (0: none is)."""
    if has_run:
        return Verdict.HAS_RUN
    if deal.order_number:
        return Verdict.HAS_ORDER
    if deal.changed_at < go_live or not won_since(deal.dates, go_live, zone):
        return Verdict.BEFORE_GO_LIVE
    return Verdict.TOO_OLD if now and is_too_old(deal.dates, now, max_days, zone) else Verdict.START
