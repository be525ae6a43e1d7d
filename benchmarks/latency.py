"""How long a deal takes at rest: from its webhook to the end of its run, after its numbers were written back.

One deal at a time, of a known customer, at 100 ms a vendor call. Five calls are 500 ms that no program can save.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median, quantiles

from benchmarks.figure import Figure
from benchmarks.installation import CUSTOMERS, Installation
from benchmarks.vendors import CALLS

LATENCY_SECONDS = 0.1  # of a vendor call
MEDIAN_TARGET = 1000 * CALLS * LATENCY_SECONDS + 60
WORST_TARGET = 1000 * CALLS * LATENCY_SECONDS + 150
PATIENCE_SECONDS = 120.0


def measure(*, is_quick: bool) -> Iterator[Figure]:
    count = 20 if is_quick else 100
    with Installation() as crmsync:
        crmsync.start_web()
        crmsync.start_worker()
        crmsync.start_beat()
        crmsync.announce(crmsync.make_deals(CUSTOMERS))
        crmsync.await_done(CUSTOMERS, seconds=PATIENCE_SECONDS)
        crmsync.set_latency(LATENCY_SECONDS)
        took = [_one(crmsync, deal, CUSTOMERS + number) for number, deal in enumerate(crmsync.make_deals(count), 1)]
    how = (
        f"{count} deals one after the other, {LATENCY_SECONDS * 1000:g} ms a vendor call, from webhook to written back"
    )
    yield Figure("latency, median", median(took), "ms", MEDIAN_TARGET, how)
    yield Figure("latency, 95 of 100", quantiles(took, n=20)[-1], "ms", WORST_TARGET, how)


def _one(crmsync: Installation, deal: str, done: int) -> float:
    """Milliseconds."""
    announced_at = time.time()
    crmsync.announce([deal], threads=1)
    crmsync.await_done(done, seconds=PATIENCE_SECONDS)
    return 1000 * (crmsync.finished_at([deal]) - announced_at)
