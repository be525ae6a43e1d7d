"""Call limits: per minute, per day, and at once.

Source: shared fact sheet, section 4.
"""

import threading
from collections import deque

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.zoho.errors import ZohoError
from crmsync.lab.sandbox.zoho.profile import ZohoProfile

MINUTE_TEXT = "You have been blocked for some time as you have exceeded the maximum number of requests per minute."
BUSY_TEXT = "Too many requests are already being processed for this organization. Please try again later."


class Limits:
    """Counts the calls of one organisation."""

    def __init__(self, clock: Clock, profile: ZohoProfile) -> None:
        self._clock = clock
        self._profile = profile
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._day, self._today, self._running = -1, 0, 0

    def enter(self) -> None:
        """Count a call in. Raises ZohoError 1070, 45 or 44; a refused call is not counted."""
        now = self._clock.seconds()
        with self._lock:
            self._forget(now)
            if self._running >= self._profile.concurrent:
                raise ZohoError(1070, BUSY_TEXT, 429)
            if self._today >= self._profile.per_day:
                message = f"You have exceeded the maximum call rate limit of {self._profile.per_day}."
                raise ZohoError(45, message, 429)
            if len(self._recent) >= self._profile.per_minute:
                raise ZohoError(44, MINUTE_TEXT, 429)
            self._recent.append(now)
            self._today += 1
            self._running += 1

    def leave(self) -> None:
        with self._lock:
            self._running -= 1

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if self._day != now // 86400:
            self._day, self._today = int(now // 86400), 0

    def headers(self) -> dict[str, str]:
        with self._lock:
            self._forget(self._clock.seconds())
            left = self._profile.per_day - self._today
        limit, reset = str(self._profile.per_day), str(int(86400 - self._clock.seconds() % 86400))
        return {"X-Rate-Limit-Limit": limit, "X-Rate-Limit-Remaining": str(left), "X-Rate-Limit-Reset": reset}

    def reset(self) -> None:
        with self._lock:
            self._recent.clear()
            self._today = 0
