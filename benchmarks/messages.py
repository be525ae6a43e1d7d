"""How many messages a deal of a known customer costs the broker, on the happy path.

Redis itself tells (MONITOR): each push into one of crmsync's queues is a message. Beat does not run: it asks for a
sweep every fifteen seconds, however many deals there are.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from benchmarks.figure import Figure
from benchmarks.installation import CUSTOMERS, Installation
from benchmarks.machine import until
from crmsync import embedded
from crmsync.celery import app

TARGET = 1.2
PATIENCE_SECONDS = 120.0
_LAST = "crmsync-bench-last"


def measure(*, is_quick: bool) -> Iterator[Figure]:
    count = 50 if is_quick else 200
    with Installation() as crmsync:
        crmsync.start_web()
        crmsync.start_worker()
        crmsync.announce(crmsync.make_deals(CUSTOMERS))
        crmsync.await_done(CUSTOMERS, seconds=PATIENCE_SECONDS)
        deals = crmsync.make_deals(count)
        with _counted(embedded.embedded_client_url(crmsync.state)) as pushed:
            crmsync.announce(deals)
            crmsync.await_done(CUSTOMERS + count, seconds=PATIENCE_SECONDS)
    yield Figure(
        "messages",
        sum(pushed.values()) / count,
        "broker messages a deal",
        TARGET,
        f"{count} deals of {CUSTOMERS} known customers",
        table=[("queue", "messages"), *sorted(pushed.items())],
    )


@contextmanager
def _counted(url: str) -> Iterator[Counter[str]]:
    """The messages that are pushed while the block runs, by queue."""
    queues, pushed, is_over = {queue.name for queue in app.conf.task_queues}, Counter[str](), threading.Event()
    with Redis.from_url(url) as client, client.monitor() as monitor:

        def listen() -> None:
            for seen in monitor.listen():
                words = seen["command"].split()
                if words[-1] == _LAST:
                    break
                if words[0] == "LPUSH" and words[1] in queues:
                    pushed[words[1]] += 1
            is_over.set()

        threading.Thread(target=listen, daemon=True).start()
        yield pushed
        client.get(_LAST)
        until(is_over.is_set, what="the broker's monitor has told everything")
