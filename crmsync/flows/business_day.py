"""The date of a document: that of the organization whose books it belongs to, not that of UTC.

The organization's time zone is read once and kept in the store for a day: the usual deal costs no call for it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from crmsync.company import Bound
from crmsync.connectors.base import Invoices
from crmsync.errors import NotNowError, RetryableError
from crmsync.services import Services
from crmsync.zones import zone_named

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=1)


class Kept(NamedTuple):
    """A zone's name, "" where the books name none that is known, and when it was read."""

    name: str
    read_at: datetime


def fact(books: Bound[Invoices]) -> str:
    """The name of the fact that keeps the zone."""
    return f"time_zone.{books.connection}"


def business_day(using: Services, books: Bound[Invoices]) -> date | None:
    """Today, in the books' organization. One call where its zone is not known yet, or not for a day.

    None where the organization names no zone that is known, or does not show it to us: its books know their own day,
    and a document that comes without one gets it. The doctor says so.

    Raises: a vendor's errors.
    """
    zone = _zone(using, books)
    return using.store.clock().astimezone(zone).date() if zone else None


def known_zone(using: Services, books: Bound[Invoices]) -> tzinfo:
    """The zone by which documents were dated last; UTC before the first of them."""
    kept = _kept(using, books)
    return (zone_named(kept.name) if kept else None) or UTC


def _zone(using: Services, books: Bound[Invoices]) -> tzinfo | None:
    kept = _kept(using, books)
    configured = books.api.time_zone
    is_fresh = kept is not None and abs(using.store.clock() - kept.read_at) < KEPT_FOR
    if kept is None or not is_fresh or configured not in ("", kept.name):
        kept = _keep(using, books, configured) if configured else _read(using, books, kept)
    return zone_named(kept.name)


def _read(using: Services, books: Bound[Invoices], before: Kept | None) -> Kept:
    """An old one does while the books can't be asked: companies seldom move."""
    try:
        return _keep(using, books, books.api.read_time_zone())
    except (NotNowError, RetryableError) as error:
        if before is None:
            raise
        logger.info("the time zone of the books is an old one: %s", error, extra={"action": "old_time_zone"})
        return before


def _keep(using: Services, books: Bound[Invoices], name: str) -> Kept:
    now = using.store.clock()
    using.facts.set(fact(books), json.dumps({"name": name, "read_at": now.isoformat()}))
    return Kept(name, now)


def _kept(using: Services, books: Bound[Invoices]) -> Kept | None:
    value = using.facts.get(fact(books))
    try:
        read = json.loads(value or "")
        name = read["name"]
        return Kept(name, datetime.fromisoformat(read["read_at"])) if name == "" or zone_named(name) else None
    except (ValueError, KeyError, TypeError):  # none yet, or another release's
        return None
