"""A burst: 200 deals of 50 known customers, announced 16 at a time, at 100 ms a vendor call.

Deals per second from the first webhook to the end of the last run, with the processes of the Procfile; one row for each
arrangement of workers, with what each process took of the processors, and with the workers' memory. On SQLite, and on
the PostgreSQL of CRMSYNC_TEST_DATABASE_URL.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figure import Figure, Row
from benchmarks.installation import CUSTOMERS, Installation, databases
from benchmarks.machine import StuckError

TARGET = 60.0
DEALS = 200
LATENCY_SECONDS = 0.1  # of a vendor call
PATIENCE_SECONDS = 120.0
SURROUNDINGS = ("web", "beat", "sandbox", "redis")


@dataclass(frozen=True)
class Workers:
    """How many worker processes of which pool and size; by default what `crmsync up` runs."""

    count: int = 2
    pool: str = "threads"
    concurrency: int | None = None

    def __str__(self) -> str:
        return f"{self.count} × {self.pool} {self.concurrency}" if self.concurrency else "as crmsync up"

    @property
    def names(self) -> list[str]:
        return [f"worker{number}" for number in range(1, self.count + 1)]


ARRANGEMENTS = (
    Workers(),
    Workers(2, "threads", 16),
    Workers(1, "threads", 32),
    Workers(1, "prefork", 8),
)


@dataclass(frozen=True)
class Outcome:
    """*shares* are processor seconds per second of the burst, 1.0 is one processor."""

    deals_per_second: float
    shares: Mapping[str, float]
    worker_bytes: int


def measure(*, is_quick: bool, arrangements: Sequence[Workers] = ARRANGEMENTS) -> Iterator[Figure]:
    rounds = 1 if is_quick else 3
    for database, url in databases().items():
        # The arrangements differ in the same way on both.
        chosen = arrangements if database == "SQLite" else arrangements[:1]
        played: dict[Workers, list[Outcome]] = {workers: [] for workers in chosen}
        for _ in range(rounds):
            for workers in chosen:
                played[workers].append(_play(workers, url))
        yield _figure(database, played, rounds)


def _play(workers: Workers, database_url: str) -> Outcome:
    with Installation(database_url=database_url) as crmsync:
        crmsync.start_web()
        for name in workers.names:
            crmsync.start_worker(name, pool=workers.pool, concurrency=workers.concurrency)
        crmsync.start_beat()
        _make_customers_known(crmsync)
        deals = crmsync.make_deals(DEALS)
        crmsync.set_latency(LATENCY_SECONDS)
        outcome = _burst(crmsync, workers, deals)
        _check(crmsync)
        return outcome


def _make_customers_known(crmsync: Installation) -> None:
    crmsync.announce(crmsync.make_deals(CUSTOMERS))
    crmsync.await_done(CUSTOMERS, seconds=PATIENCE_SECONDS)


def _burst(crmsync: Installation, workers: Workers, deals: Sequence[str]) -> Outcome:
    processes = crmsync.processes
    names = [*workers.names, *SURROUNDINGS]
    before = {name: processes.cpu_seconds(name) for name in names}
    started_at = time.time()
    crmsync.announce(deals)
    crmsync.await_done(CUSTOMERS + len(deals), seconds=PATIENCE_SECONDS)
    seconds = crmsync.finished_at(deals) - started_at
    shares = {name: (processes.cpu_seconds(name) - before[name]) / seconds for name in names}
    return Outcome(len(deals) / seconds, shares, sum(map(processes.pss_bytes, workers.names)))


def _check(crmsync: Installation) -> None:
    """Raises: StuckError unless the vendors hold every document once."""
    ledger = crmsync.ask("/ledger")
    expected = {"orders": DEALS + CUSTOMERS, "invoices": DEALS + CUSTOMERS, "mails": DEALS + CUSTOMERS}
    expected |= {"customers": CUSTOMERS, "contacts": CUSTOMERS}
    found = {kind: len(ledger[kind]) for kind in expected}
    repeated = {kind: twice for kind, twice in ledger["duplicates"].items() if twice}
    if found != expected or repeated:
        raise StuckError(f"not exactly once: {found} instead of {expected}, twice: {repeated}")


def _figure(database: str, played: Mapping[Workers, Sequence[Outcome]], rounds: int) -> Figure:
    default = next(iter(played.values()))
    head = ("workers", "deals/s", "worst", "MB workers", "CPU workers", *(f"CPU {name}" for name in SURROUNDINGS))
    return Figure(
        f"burst, {database}",
        median(outcome.deals_per_second for outcome in default),
        "deals/s",
        TARGET,
        f"{DEALS} deals of {CUSTOMERS} known customers, {LATENCY_SECONDS * 1000:g} ms a vendor call; the Procfile's"
        f" processes; median of {rounds}; CPU in % of one processor; everything made exactly once",
        is_floor=True,
        table=[head, *(_row(workers, outcomes) for workers, outcomes in played.items())],
    )


def _row(workers: Workers, outcomes: Sequence[Outcome]) -> Row:
    rates = [outcome.deals_per_second for outcome in outcomes]
    spent = [sum(outcome.shares[name] for name in workers.names) for outcome in outcomes]
    around = [median(100 * outcome.shares[name] for outcome in outcomes) for name in SURROUNDINGS]
    memory = median(outcome.worker_bytes for outcome in outcomes) / 1e6
    return (str(workers), median(rates), min(rates), memory, 100 * median(spent), *around)
