"""What Zoho Books allows an organisation, and where its answers say so."""

from __future__ import annotations

from collections.abc import Mapping

from crmsync.connectors.limits.budget import MINUTE_SECONDS, NOTHING, Announcement, Quota
from crmsync.connectors.zoho_books.errors import SYSTEM
from crmsync.connectors.zoho_books.settings import PUBLISHED_LIMITS, ZohoBooksSettings

# https://www.zoho.com/books/api/v3/introduction/, read 2026-11-20. No minute has as many.
CALLS_A_DAY_BY_PLAN = frozenset({1_000, 2_000, 5_000, 10_000})


def quota(connection: str, settings: ZohoBooksSettings) -> Quota:
    """By organisation: 100 calls a minute, 1,000 to 10,000 a day by plan, 5 or 10 at once."""
    return Quota(
        connection,
        SYSTEM,
        settings.organization_id,
        calls_at_once=settings.calls_at_once,
        per_minute=settings.calls_per_minute,
        per_hour=settings.calls_per_hour,
        per_day=settings.calls_per_day,
        usual_per_minute=PUBLISHED_LIMITS["calls_per_minute"],
        reserve_percent=settings.reserve_percent,
        read=announcement,
    )


def announcement(headers: Mapping[str, str]) -> Announcement:
    """The limit of a minute, from `X-Rate-Limit-Limit` (seen in 2019, documented nowhere).

    The header may as well speak of the day: the time until it starts anew tells, but for the day's last minute.

    >>> announcement({"X-Rate-Limit-Limit": "150", "X-Rate-Limit-Reset": "42"}).per_minute
    150
    >>> announcement({"X-Rate-Limit-Limit": "5000", "X-Rate-Limit-Reset": "42"}) == NOTHING
    True
    >>> announcement({"X-Rate-Limit-Limit": "150", "X-Rate-Limit-Reset": "43200"}) == NOTHING
    True
    """
    limit, reset = (_number(headers.get(f"X-Rate-Limit-{name}", "")) for name in ("Limit", "Reset"))
    if limit is None or reset is None or reset > MINUTE_SECONDS or limit in CALLS_A_DAY_BY_PLAN:
        return NOTHING
    return Announcement(per_minute=limit)


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None
