"""Beat's scheduler: every entry once in its interval, by a clock that nobody can set, and without a file.

It remembers nothing: what must be once in a period is counted by the store, and a sweep may come twice. So beat runs in
any container, and neither a restart nor a clock that was wrong for a while makes it wait.
"""

from __future__ import annotations

import time
from typing import Any

from celery import beat


class Scheduler(beat.Scheduler):
    """Starts every entry at once, and then in its interval."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._due_at: dict[str, float] = {}

    def tick(self, **_: Any) -> float:
        """Send what is due; returns in how many seconds to call it again."""
        for name, entry in self.schedule.items():
            if self._due_at.get(name, 0.0) <= time.monotonic():
                self._due_at[name] = time.monotonic() + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=self.producer)
        wait = min(self._due_at.values(), default=time.monotonic()) - time.monotonic()
        return min(max(0.0, wait), self.max_interval)
