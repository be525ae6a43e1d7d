"""Fair shares: only a limited number of runs of one source are enqueued at once; the others wait in the store.

    webhooks, catch-up ─▶ below the share? ─▶ a message now
                                 └──▶ due in the store ─▶ a message when runs of that source end, or by the sweeper

Celery's queues are first in, first out: ten thousand messages of one company would stand in front of another's deal.
What is counted is a few hundred entries of an index, once in a second for a source; nothing is counted in Redis, which
may be emptied at any moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from weakref import WeakKeyDictionary

from crmsync.domain.runs import Run
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.worker import dead_letters, stranded
from crmsync.worker.flow import FLOWS

logger = logging.getLogger(__name__)

PER_WORKER = 32  # a third more than it has threads: none is idle, and who comes next hardly waits
COUNTED_FOR = timedelta(seconds=1)


@dataclass
class _Source:
    """What this process knows of one source."""

    counted_at: datetime | None = None
    on_their_way: int = 0
    refilled_at: datetime | None = None
    ends: int = 0  # since it was refilled


@dataclass
class _Shares:
    lock: threading.Lock = field(default_factory=threading.Lock)
    sources: dict[str, _Source] = field(default_factory=dict)

    def of(self, source: str) -> _Source:
        return self.sources.setdefault(source, _Source())


_shares: WeakKeyDictionary[Services, _Shares] = WeakKeyDictionary()


def share_of(settings: Settings) -> int:
    """How many runs of one source are on their way to all workers at most."""
    return PER_WORKER * settings.behaviour.workers


def take(using: Services, source: str, wanted: int) -> int:
    """How many of *wanted* new runs of a source get a message at once; the others are due without one."""
    shares, share = _of(using), share_of(using.settings)
    with shares.lock:
        known, now = shares.of(source), using.store.clock()
        if not _is_fresh(known.counted_at, now):
            with using.store.read() as uow:
                known.on_their_way = uow.due.on_their_way(source, most=share)
            known.counted_at = now
        given = max(0, min(wanted, share - known.on_their_way))
        known.on_their_way += given
        return given


def ended(using: Services, source: str) -> None:
    """A run of *source* came to its end: others of it that wait may follow, after so many ends or a second."""
    shares, many = _of(using), share_of(using.settings) // 8
    with shares.lock:
        known, now = shares.of(source), using.store.clock()
        known.ends += 1
        if known.ends < many and _is_fresh(known.refilled_at, now):
            return
        known.ends, known.refilled_at = 0, now
    dead_letters.best_effort(partial(_refill, using, source))


def _refill(using: Services, source: str) -> None:
    with using.store.read() as uow:
        if not uow.due.is_any_waiting(source):
            return
    queued_for = using.settings.behaviour.queued_for
    with using.store.begin(durable=False) as uow:
        due = uow.due.claim_of(source, limit=share_of(using.settings), queued_until=uow.now + queued_for)
    send(using.store, due)


def send(store: Store, due: Sequence[Run]) -> int:
    """Send a chain for each of *due*, which count as queued already; returns for how many."""
    helpless = [run for run in due if not _enqueue(run)]
    stranded.put_aside(store, helpless)
    return len(due) - len(helpless)


def _enqueue(run: Run) -> bool:
    """False for a run that this release can't continue. Raises: the broker's connection errors."""
    if not stranded.is_known(run):
        return False
    FLOWS[run.flow].enqueue(run.id, run.results)
    return True


def _of(using: Services) -> _Shares:
    return _shares.setdefault(using, _Shares())


def _is_fresh(at: datetime | None, now: datetime) -> bool:
    return at is not None and abs(now - at) < COUNTED_FOR
