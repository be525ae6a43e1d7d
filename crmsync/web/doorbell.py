"""Rings for the runs that a webhook opened."""

from __future__ import annotations

import logging
import queue
import threading
from functools import partial

from crmsync.store import Store
from crmsync.worker import dead_letters
from crmsync.worker.flow import Flow, Results

logger = logging.getLogger(__name__)

DOORBELL_SIZE = 10_000


class Doorbell:
    """Sends the first message of a run from a thread of its own, so that a slow Redis never holds a webhook.

    What does not get through is no loss: the run is in the store, and the sweeper starts it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[tuple[Flow, str, Results]] = queue.Queue(DOORBELL_SIZE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, flow: Flow, run_id: str, results: Results) -> None:
        self._start()
        try:
            self._waiting.put_nowait((flow, run_id, results))
        except queue.Full:
            logger.warning("the doorbell is full", extra={"action": "doorbell_full"})

    def _start(self) -> None:
        """In the process that serves: a thread does not survive gunicorn's fork."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="doorbell", daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        while True:
            flow, run_id, results = self._waiting.get()
            try:
                if not dead_letters.best_effort(partial(flow.ring, run_id, results)):
                    self._unqueue(run_id)
            except Exception:
                # One run's bell must not silence the others; the sweeper rings for it.
                logger.exception("the doorbell failed", extra={"action": "doorbell_failed"})

    def _unqueue(self, run_id: str) -> None:
        """No message is on its way: let the next sweep bring the run."""
        with self._store.begin() as uow:
            uow.runs.queued(run_id, None)
