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
from crmsync.worker.flow import Flow, Message, Results, enqueue_all

logger = logging.getLogger(__name__)

ENQUEUER_SIZE = 10_000
TOGETHER_MAX = 100
REST_SECONDS = 0.02  # between two batches


class Enqueuer:
    """Sends the first message of a run from a thread of its own, so that a slow Redis never holds a webhook.

    In a burst one batch serves several runs: sending for each of them alone costs more than its webhook.
    What does not get through is no loss: the run is in the store, and the sweeper starts it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[Message] = queue.Queue(ENQUEUER_SIZE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def enqueue(self, flow: Flow, run_id: str, results: Results) -> None:
        self._start()
        try:
            self._waiting.put_nowait((flow, run_id, results))
        except queue.Full:
            logger.warning("the queue of the enqueuer is full", extra={"action": "enqueuer_full"})

    def flush(self) -> None:
        """The last batch of a process that ends."""
        if messages := self._at_hand(TOGETHER_MAX):
            self._enqueue(messages)

    def _start(self) -> None:
        """In the process that serves: a thread does not survive gunicorn's fork."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="enqueuer", daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        while True:
            self._enqueue(self._next())
            time.sleep(REST_SECONDS)

    def _next(self) -> list[Message]:
        """What waits to be sent, as soon as anything does."""
        return [self._waiting.get(), *self._at_hand(TOGETHER_MAX - 1)]

    def _at_hand(self, limit: int) -> list[Message]:
        found: list[Message] = []
        with suppress(queue.Empty):
            while len(found) < limit:
                found.append(self._waiting.get_nowait())
        return found

    def _enqueue(self, messages: Sequence[Message]) -> None:
        try:
            if not dead_letters.best_effort(partial(enqueue_all, messages)):
                self._unqueue(messages)
        except Exception:
            if len(messages) > 1:  # one run must not keep the others' messages back
                for each in messages:
                    self._enqueue([each])
                return
            logger.exception("a message could not be sent", extra={"action": "enqueuer_failed"})  # the sweeper sends it

    def _unqueue(self, messages: Sequence[Message]) -> None:
        """No message is on its way: let the next sweep bring the runs."""
        with self._store.begin() as uow:
            for _, run_id, _ in messages:
                uow.runs.queued(run_id, None)
