"""Which deals go on without a question: won recently and since going live, and in no flood of others.

A webhook proves who sent it, and not that somebody wanted what it sets off: an administrator who changes old deals
makes the automation announce them all, and an import brings deals of years ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

STALE_CLOSE_DATE = timedelta(days=30)  # people close deals without looking at the date that they once planned
CLOCKS = timedelta(minutes=1)  # how far the CRM's clock may be behind ours
USUAL_TIMES = 5  # so many times the busiest hour is beyond the usual
REMEMBERED_DAYS = 30
ACCEPTED_FOR = timedelta(hours=6)  # how long a burst that a person let pass goes on without a question
FIRST_LOOK_SECONDS = 2.0


# -- when it was won


@dataclass(frozen=True, slots=True)
class Dates:
    """A deal's times in the CRM. *won_at* is when its stage last changed, None where the CRM does not say."""

    created_at: datetime | None = None
    won_at: datetime | None = None
    closed_on: date | None = None


def won_since(dates: Dates, go_live: datetime, zone: tzinfo = UTC) -> bool:
    """Whether a deal was won at or after *go_live*: an old one that somebody edits today must not be ordered.

    One that existed before counts by when its stage changed, or by its close date where the CRM does not say that. In
    some companies won deals have several stages: an old one that moves on has an old close date as well, and so has one
    that was imported. A close date is a day in the company's *zone*.
    """
    first_day = go_live.astimezone(zone).date()
    if dates.closed_on is not None and dates.closed_on < first_day - STALE_CLOSE_DATE:
        return False
    if dates.created_at is not None and dates.created_at >= go_live:
        return True
    if dates.won_at is None:
        return dates.closed_on is not None and dates.closed_on >= first_day
    return dates.won_at >= go_live


def won_on(dates: Dates, zone: tzinfo = UTC) -> date | None:
    """The day on which it was won; its close date where that is so much older that it is the truth, or all there is."""
    day = dates.won_at.astimezone(zone).date() if dates.won_at else None
    if day is None or (dates.closed_on is not None and dates.closed_on < day - STALE_CLOSE_DATE):
        return dates.closed_on
    return day


def is_too_old(dates: Dates, announced_at: datetime, max_days: int, zone: tzinfo = UTC) -> bool:
    """Whether it had been won for more than *max_days* (0: never too long) when it was announced."""
    day = won_on(dates, zone)
    return bool(max_days) and day is not None and (announced_at.astimezone(zone).date() - day).days > max_days


def why_old(dates: Dates, announced_at: datetime, *, go_live: datetime, max_days: int, zone: tzinfo = UTC) -> str:
    """The end of a sentence that begins with the deal; "" for one that is let in, or whose times are not known."""
    day = won_on(dates, zone)
    if day is None:
        return ""
    if not won_since(dates, go_live - CLOCKS, zone):
        return f"was won on {day}, before crmsync went live on {go_live.astimezone(zone).date()}"
    if is_too_old(dates, announced_at, max_days, zone):
        return f"was won on {day}, more than {max_days} days before it was announced"
    return ""


# -- how long a deal that is not there yet is waited for


def next_check_seconds(announced_at: datetime | None, now: datetime, grace_seconds: float) -> float | None:
    """In how many seconds a deal that seems not to be won is checked again; None: its announcement is too long ago.

    An announcement may overtake the change that it announces. Each wait is as long as all before it.

    >>> at = datetime(2026, 11, 20, tzinfo=UTC)
    >>> [next_check_seconds(at, at + timedelta(seconds=age), 90) for age in (0, 2, 6, 62, 90)]
    [2.0, 4.0, 8.0, 28.0, None]
    """
    age = (now - announced_at).total_seconds() if announced_at else grace_seconds
    if age < -CLOCKS.total_seconds() or age >= grace_seconds:
        return None
    return min(max(age, 0.0) + FIRST_LOOK_SECONDS, grace_seconds - age)


# -- how many are usual


def most_usual(floor: int, busiest: Mapping[str, int]) -> int:
    """How many new deals an hour may bring before a person is asked; *busiest* is the busiest hour of each day.

    >>> most_usual(1000, {"2026-11-19": 40}), most_usual(1000, {"2026-11-19": 40, "2026-11-20": 700})
    (1000, 3500)
    """
    return max(floor, USUAL_TIMES * max(busiest.values(), default=0))


def learned(busiest: Mapping[str, int], hours: Mapping[datetime, int], *, now: datetime, floor: int) -> dict[str, int]:
    """*busiest*, with what whole *hours* brought; one that was beyond the usual is no example for the next."""
    known = dict(busiest)
    for hour, count in sorted(hours.items()):
        if count <= most_usual(floor, known):
            day = hour.date().isoformat()
            known[day] = max(known.get(day, 0), count)
    oldest = (now - timedelta(days=REMEMBERED_DAYS)).date().isoformat()
    return {day: count for day, count in known.items() if day >= oldest}
