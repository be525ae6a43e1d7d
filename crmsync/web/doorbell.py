"""Enqueues the runs that a webhook opened, without making its sender wait for the broker."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from crmsync.store import Store
from crmsync.worker import dead_letters
from crmsync.worker.flow import Flow, Results, Ring, ring_all

logger = logging.getLogger(__name__)

DOORBELL_SIZE = 10_000
TOGETHER_MAX = 100
REST_SECONDS = 0.02  # between two errands


class Doorbell:
    """Sends the first message of a run from a thread of its own, so that a slow Redis never holds a webhook.

    In a burst one errand serves several runs: sending for each of them alone costs more than its webhook.
    What does not get through is no loss: the run is in the store, and the sweeper starts it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[Ring] = queue.Queue(DOORBELL_SIZE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, flow: Flow, run_id: str, results: Results) -> None:
        self._start()
        try:
            self._waiting.put_nowait((flow, run_id, results))
        except queue.Full:
            logger.warning("the doorbell is full", extra={"action": "doorbell_full"})

    def flush(self) -> None:
        """The last errand of a process that ends."""
        if rings := self._at_hand(TOGETHER_MAX):
            self._ring(rings)

    def _start(self) -> None:
        """In the process that serves: a thread does not survive gunicorn's fork."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="doorbell", daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        while True:
            self._ring(self._next())
            time.sleep(REST_SECONDS)

    def _next(self) -> list[Ring]:
        """Who is waiting, as soon as somebody is."""
        return [self._waiting.get(), *self._at_hand(TOGETHER_MAX - 1)]

    def _at_hand(self, limit: int) -> list[Ring]:
        found: list[Ring] = []
        with suppress(queue.Empty):
            while len(found) < limit:
                found.append(self._waiting.get_nowait())
        return found

    def _ring(self, rings: Sequence[Ring]) -> None:
        try:
            if not dead_letters.best_effort(partial(ring_all, rings)):
                self._unqueue(rings)
        except Exception:
            if len(rings) > 1:  # one run's bell must not silence the others
                for each in rings:
                    self._ring([each])
                return
            logger.exception("the doorbell failed", extra={"action": "doorbell_failed"})  # the sweeper rings for it

    def _unqueue(self, rings: Sequence[Ring]) -> None:
        """No message is on its way: let the next sweep bring the runs."""
        with self._store.begin() as uow:
            for _, run_id, _ in rings:
                uow.runs.queued(run_id, None)
