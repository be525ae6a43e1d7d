"""How long this process itself has waited for an outcome, in case a wrong clock set the time to wait until."""

from __future__ import annotations

import time

from crmsync.domain.ledger import Entry, EntryKey

now = time.monotonic
_KEPT_MAX = 1000
_first_looks: dict[tuple[EntryKey, int], float] = {}


def seconds_left(entry: Entry, wait_seconds: float, longest_seconds: float, looked_at: float) -> float:
    """*wait_seconds*, where that is possible; else what is left of *longest_seconds* since this process first asked.

    *looked_at* is when this search began, as now() counts. A clock that was ahead has promised too much; but to
    a clock that is behind a right instant looks the same. A stopwatch is safe for both, and changes nothing for others.
    """
    if wait_seconds <= longest_seconds:
        return wait_seconds
    if len(_first_looks) >= _KEPT_MAX:
        _first_looks.clear()  # they wait once more
    first = _first_looks.setdefault((entry.key, entry.sends), looked_at)
    return max(0.0, longest_seconds - (looked_at - first))
