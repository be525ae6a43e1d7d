"""Which day it is: a document bears the day of the organization in whose books it stands, whatever it is in UTC.

The organization's time zone is read once and kept in the store for a day: the usual deal costs no call for it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from crmsync.errors import NotNowError, RetryableError
from crmsync.services import ROLES, Services
from crmsync.zones import zone_named

logger = logging.getLogger(__name__)

BOOKS = ROLES["invoices"]
FACT = f"time_zone.{BOOKS}"
KEPT_FOR = timedelta(days=1)


class Kept(NamedTuple):
    """A zone's name, and when it was read."""

    name: str
    read_at: datetime


def business_day(using: Services) -> date:
    """Today, in the books' organization. One call where its zone is not known yet, or not for a day.

    Raises: ConfigurationError where the organization has no zone that is known; a vendor's errors.
    """
    return using.store.clock().astimezone(_zone(using)).date()


def known_zone(using: Services) -> tzinfo:
    """The zone by which documents were dated last; UTC before the first of them."""
    kept = _kept(using)
    return (zone_named(kept.name) if kept else None) or UTC


def _zone(using: Services) -> tzinfo:
    kept = _kept(using)
    configured = using.invoices.time_zone
    is_fresh = kept is not None and abs(using.store.clock() - kept.read_at) < KEPT_FOR
    if kept is None or not is_fresh or configured not in ("", kept.name):
        kept = _keep(using, configured) if configured else _read(using, kept)
    return zone_named(kept.name) or UTC


def _read(using: Services, before: Kept | None) -> Kept:
    """An old one does while the books can't be asked: companies seldom move."""
    try:
        return _keep(using, using.invoices.read_time_zone())
    except (NotNowError, RetryableError) as error:
        if before is None:
            raise
        logger.info("the time zone of the books is an old one: %s", error, extra={"action": "old_time_zone"})
        return before


def _keep(using: Services, name: str) -> Kept:
    with using.store.begin(durable=False) as uow:
        uow.facts.set(FACT, json.dumps({"name": name, "read_at": uow.now.isoformat()}))
    return Kept(name, uow.now)


def _kept(using: Services) -> Kept | None:
    with using.store.read() as uow:
        value = uow.facts.get(FACT)
    try:
        read = json.loads(value or "")
        return Kept(read["name"], datetime.fromisoformat(read["read_at"])) if zone_named(read["name"]) else None
    except (ValueError, KeyError, TypeError):  # none yet, or another release's
        return None
