"""Deletes old data during housekeeping: a few rows a transaction, a second a sweep, then nothing for an hour."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from crmsync.domain.retention import forgotten_before
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker.flow import FLOWS

logger = logging.getLogger(__name__)

BATCH = 100  # a transaction of some milliseconds
SECONDS = 1.0  # of one sweep
PAUSE = timedelta(hours=1)
_NEXT = "retention.next"

Duty = Callable[[UnitOfWork, datetime], int]  # returns how many rows it took


def prune(using: Services) -> None:
    """Reduce or delete what came to its end more than CRMSYNC_KEEP_DAYS ago, as far as a second goes."""
    with using.store.read() as uow:
        before = forgotten_before(uow.now, using.settings.behaviour.keep_days)
        next_at = uow.facts.instant(_NEXT, longest_ahead=PAUSE)
    if before is None or (next_at is not None and next_at > using.store.clock()):
        return
    ends_at = time.monotonic() + SECONDS
    for duty in _duties():
        if not _is_done(using, duty, before, ends_at):
            return  # the next sweep goes on
    with using.store.begin(durable=False) as uow:
        uow.facts.set(_NEXT, (uow.now + PAUSE).isoformat())


def _is_done(using: Services, duty: Duty, before: datetime, ends_at: float) -> bool:
    while True:
        with using.store.begin(durable=False) as uow:
            count = duty(uow, before)
        if count:
            logger.info("%d rows that are over are reduced or gone", count, extra={"action": "pruned", "count": count})
        if count < BATCH:
            return True
        if time.monotonic() > ends_at:
            return False


def _duties() -> Iterator[Duty]:
    # Runs first: what hangs on one goes with it.
    yield lambda uow, before: uow.retention.reduce_runs(before, limit=BATCH)
    again = [flow.name for flow in FLOWS.values() if flow.repeats and flow.every is None]
    yield lambda uow, before: uow.retention.drop_runs(before, flows=again, limit=BATCH)
    yield lambda uow, before: uow.retention.drop_tellings(before, flows=list(FLOWS), limit=BATCH)
    yield lambda uow, before: uow.retention.drop_deliveries(before, limit=BATCH)
    yield lambda uow, before: uow.retention.drop_alerts(before, limit=BATCH)
    yield lambda uow, before: uow.retention.drop_products(before, limit=BATCH)
    yield lambda uow, before: uow.retention.drop_locks(before, limit=BATCH)
