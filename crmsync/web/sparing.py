"""Limits log lines that strangers can cause: enough to be seen, too few to fill a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

LINES_MAX = 20
PERIOD_SECONDS = 60.0


class Sparing(logging.Filter):
    """Lets the first 20 lines of a minute through."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = clock()
        self._count = 0

    def allows(self) -> bool:
        with self._lock:
            if self._clock() - self._begun >= PERIOD_SECONDS:
                self._begun, self._count = self._clock(), 0
            self._count += 1
            return self._count <= LINES_MAX

    def filter(self, record: logging.LogRecord) -> bool:
        return self.allows()
