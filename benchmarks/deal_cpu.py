"""A deal's processor time: crmsync's worker against a worker whose chain makes the same HTTP calls and nothing else.

Both workers run the Procfile's line (pool, concurrency) on the same Celery settings and the same Redis. The bare chain
sends the bodies that crmsync sent, and gets the answers that the sandbox gave, from the same server process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol
from urllib.request import urlopen

from benchmarks.figure import Figure
from benchmarks.installation import CUSTOMERS, PROCFILE, Installation, settle
from benchmarks.machine import until
from benchmarks.vendors import CALLS
from crmsync import embedded

TARGET = 1.0
LATENCY_SECONDS = 0.1  # of a vendor call, as in the burst
ROUND_SECONDS = 120.0


class Contender(Protocol):
    worker: str  # the name of its process

    def play(self, count: int) -> None:
        """Work *count* deals off."""


class Ours:
    """crmsync: deals are announced by webhook."""

    worker = "worker"

    def __init__(self, installation: Installation) -> None:
        self._at = installation
        self._done = 0
        installation.start_web()
        installation.start_worker(self.worker)

    def play(self, count: int) -> None:
        self._at.announce(self._at.make_deals(count))
        self._done += count
        self._at.await_done(self._done, seconds=ROUND_SECONDS)


class Bare:
    """The bare chain."""

    worker = "bare"

    def __init__(self, installation: Installation) -> None:
        self._at = installation
        self._done = 0
        broker = embedded.embedded_url(installation.state).replace("virtual_host=0", "virtual_host=1")
        self._environment = {"CELERY_BROKER_URL": broker, "BENCH_CALLS": str(self._write_calls())}
        line = PROCFILE["worker"].replace("-A crmsync", "-A benchmarks.bare_celery")
        installation.processes.start(self.worker, f"{line} --hostname bare@bench", **self._environment)
        installation.processes.await_word(self.worker, "ready.")

    def _write_calls(self) -> Path:
        calls = self._ask("/calls")
        assert len(calls) == CALLS, f"a deal of a known customer made {len(calls)} calls"
        path = self._at.home / "calls.json"
        path.write_text(json.dumps([{**call, "url": f"{self._at.replay_url}/{n}"} for n, call in enumerate(calls)]))
        return path

    def _ask(self, path: str) -> Any:
        with urlopen(f"{self._at.replay_url}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def play(self, count: int) -> None:
        publish = f"import benchmarks.bare_celery as b; [b.start(str(n)) for n in range({count})]"
        self._at.processes.run("publish", f"python -c '{publish}'", **self._environment)
        self._done += count
        until(self._is_done, what="the bare chains are done", seconds=ROUND_SECONDS, poll_seconds=0.1)

    def _is_done(self) -> bool:
        return self._ask("/answered").get(f"/{CALLS - 1}", 0) >= self._done


@dataclass
class Score:
    """Milliseconds of processor time a deal, one for each round."""

    contender: Contender
    milliseconds: list[float] = field(default_factory=list)

    def play(self, installation: Installation, count: int) -> None:
        before = installation.processes.cpu_seconds(self.contender.worker)
        self.contender.play(count)
        settle(0.5)  # the last acknowledgements
        spent = installation.processes.cpu_seconds(self.contender.worker) - before
        self.milliseconds.append(1000 * spent / count)


def measure(*, is_quick: bool, latency_seconds: float = LATENCY_SECONDS) -> Iterator[Figure]:
    rounds, count = (3, 50) if is_quick else (7, 100)
    with Installation() as installation:
        ours = Ours(installation)
        ours.play(CUSTOMERS)  # from here on every customer is known
        ours.play(1)
        bare = Bare(installation)
        installation.set_latency(latency_seconds)
        scores = Score(ours), Score(bare)
        for contender in (ours, bare):
            contender.play(CUSTOMERS)
        for _ in range(rounds):
            for score in scores:
                score.play(installation, count)
    how = f"median of {rounds} interleaved rounds of {count} deals; {latency_seconds * 1000:g} ms a vendor call"
    yield _figure(*scores, how)


def _figure(ours: Score, bare: Score, how: str) -> Figure:
    ratios = [mine / theirs for mine, theirs in zip(ours.milliseconds, bare.milliseconds, strict=True)]
    return Figure(
        "processor time of a deal",
        median(ratios),
        "of a bare chain",
        TARGET,
        f"{how}; user and system time of the worker; ratios from {min(ratios):.2f} to {max(ratios):.2f}",
        table=[
            ("worker", "ms a deal"),
            ("crmsync", median(ours.milliseconds)),
            ("bare", median(bare.milliseconds)),
        ],
    )
