"""How often each operation of each system was called."""

import threading
from collections import Counter
from typing import Any

OVERHEAD = ("token", "csrf")


class Calls:
    """Counts by system and operation; sign-in calls (token, csrf) are also summed apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}

    def count(self, system: str, operation: str) -> None:
        with self._lock:
            self._counts.setdefault(system, Counter())[operation] += 1

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()

    def report(self) -> dict[str, Any]:
        """Per system: calls by operation, and the sums `business` and `overhead` (token and csrf calls)."""
        with self._lock:
            return {system: _summed(counts) for system, counts in sorted(self._counts.items())}


def _summed(counts: Counter[str]) -> dict[str, Any]:
    overhead = sum(counts[name] for name in OVERHEAD)
    business = counts.total() - overhead
    return {"operations": dict(sorted(counts.items())), "business": business, "overhead": overhead}
