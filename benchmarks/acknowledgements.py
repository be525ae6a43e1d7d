"""Durable acknowledgements per second: crmsync's receiver against a bare Flask view that does the least possible.

Both run under the gunicorn line of the Procfile, on the same database settings and the same Redis.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import cast

import redis

from benchmarks import load
from benchmarks.figure import Figure
from benchmarks.installation import PROCFILE, Installation, databases, settle
from benchmarks.machine import until
from crmsync import embedded
from crmsync.cli.processes import answers, free_ports

TARGETS = {"SQLite": 0.7, "PostgreSQL": 0.8}
_DEALS = itertools.count(1)
RING_SECONDS = 60.0


@dataclass
class Receiver:
    """One of the two; *queue* is the Redis list that its messages go to."""

    url: str
    secret: str
    queue: str
    database: redis.Redis
    rates: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    def play(self, count: int) -> None:
        """Post *count* deals; note acknowledgements and messages sent per second."""
        self.database.delete(self.queue)
        posts = [load.signed(self.url, f"006{next(_DEALS):012d}", self.secret) for _ in range(count)]
        seconds = load.post_all(self.url, posts)
        self.rates.append(count / seconds)
        acknowledged_at = time.perf_counter()
        until(lambda: self._sent() >= count, what="every message is sent", seconds=RING_SECONDS)
        self.sent.append(count / (seconds + time.perf_counter() - acknowledged_at))

    def _sent(self) -> int:
        return int(cast(int, self.database.llen(self.queue)))


def measure(*, is_quick: bool) -> Iterator[Figure]:
    for name, url in databases().items():
        yield _measure(name, url, is_quick=is_quick)


def _measure(database: str, url: str, *, is_quick: bool) -> Figure:
    rounds, count = (3, 400) if is_quick else (7, 1500)
    with Installation(database_url=url) as installation:
        ours, bare = _receivers(installation)
        for receiver in (ours, bare):
            receiver.play(200)  # warm-up
            receiver.rates.clear()
            receiver.sent.clear()
        for _ in range(rounds):
            for receiver in (ours, bare):
                receiver.play(count)
                settle(0.3)
    return _figure(database, ours, bare, f"{rounds} interleaved rounds of {count} webhooks by 16 keep-alive threads")


def _receivers(installation: Installation) -> tuple[Receiver, Receiver]:
    installation.start_web()
    port = free_ports(1)[0]
    broker = embedded.embedded_url(installation.state).replace("virtual_host=0", "virtual_host=1")
    environment = {"PORT": str(port), "CELERY_BROKER_URL": broker}
    processes = installation.processes
    processes.run("prepare", "python -c 'from benchmarks.bare_web import prepare; prepare()'", **environment)
    processes.start("bare", PROCFILE["web"].replace("crmsync.web.wsgi", "benchmarks.bare_web"), **environment)
    url = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{url}/healthz"), what="the bare receiver answers")
    client = embedded.embedded_client_url(installation.state)
    return (
        Receiver(installation.url, installation.webhook_secret, "crm", redis.Redis.from_url(client)),
        Receiver(url, installation.webhook_secret, "bare", redis.Redis.from_url(client.replace("db=0", "db=1"))),
    )


def _figure(database: str, ours: Receiver, bare: Receiver, how: str) -> Figure:
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, bare.rates, strict=True)]
    return Figure(
        f"acknowledgements, {database}",
        median(ratios),
        "of a bare Flask view",
        TARGETS[database],
        f"median of {how}; ratios from {min(ratios):.2f} to {max(ratios):.2f}",
        is_floor=True,
        table=[
            ("receiver", "acknowledged/s", "with message sent/s"),
            ("crmsync", median(ours.rates), median(ours.sent)),
            ("bare", median(bare.rates), median(bare.sent)),
        ],
    )
