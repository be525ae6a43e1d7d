"""Counts refused webhooks so that a flood costs little: in memory first, in the store every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence

from crmsync.alerts.content import Content, refusal_alert
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.store.refusals import Refused

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
LINES_MAX = 20  # in the log, between two times of writing down
ALERT = "webhooks_refused"
LEFT_OUT = "left_out"  # one of several in a message that was accepted otherwise
QUIET = frozenset({LEFT_OUT, "not_stored"})  # no reason to tell people that somebody is refused


class Refusals:
    """The refusals of this process that are not in the store yet."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, door: str, reason: str, detail: str, *, client: str | None) -> None:
        with self._lock:
            self._counts[door, reason] += 1
            is_told = self._counts.total() <= LINES_MAX
            self._start()
        if is_told:
            facts = {"action": "refused", "door": door, "reason": reason, "client": client}
            logger.warning("webhook refused: %s", detail, extra=facts)
        self._news.set()

    def pending(self) -> Counter[tuple[str, str]]:
        with self._lock:
            return self._counts.copy()

    def flush(self) -> None:
        """Store what was counted, and alert people; while the store does not answer it stays counted here."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self._write(counts)
        except Exception as error:
            logger.warning("refusals not written: %s", type(error).__name__, extra={"action": "refusals_kept"})
            with self._lock:
                self._counts.update(counts)
        if counts.total() > LINES_MAX:
            logger.warning("%d webhooks refused in all", counts.total(), extra={"action": "refused"})

    def _write(self, counts: Counter[tuple[str, str]]) -> None:
        with self._store.begin() as uow:
            uow.refusals.add(counts)
            if any(reason not in QUIET for _, reason in counts):
                uow.alerts.add(None, ALERT, self._alert(uow.refusals.totals()))

    def _alert(self, totals: Sequence[Refused]) -> Content:
        told = [(each.door, each.reason, each.count) for each in totals if each.reason not in QUIET]
        return refusal_alert(told, command=self._settings.pasteable("crmsync doctor"))

    def _start(self) -> None:
        """In the process that serves: a thread does not survive a fork."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="refusals", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while not self._store.is_closed:
            self._news.wait()
            self._news.clear()
            time.sleep(FLUSH_SECONDS)
            if not self._store.is_closed:
                self.flush()
