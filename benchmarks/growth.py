"""What years of work in the store cost: a million runs that are over, with all that they left, against an empty store.

The same burst on both, in turns; and the questions that people and machines ask again and again, on both.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from benchmarks.figure import Figure, Row
from benchmarks.filled import RUNS, fill
from benchmarks.installation import CUSTOMERS, FLOW, Installation, databases, settle
from benchmarks.machine import ROOT, until
from crmsync.store import Store, schema
from crmsync.store.tables import runs
from crmsync.store.tallies import BOOKS

BURST_TARGET = 1.1  # of the empty store's
QUESTION_TARGET = 100.0
DEALS = 200
LATENCY_SECONDS = 0.1
PATIENCE_SECONDS = 180.0
KEPT = ROOT / "build"  # where a filled SQLite file stays for a day: filling it takes minutes
KEPT_SECONDS = 86_400.0


def measure(*, is_quick: bool) -> Iterator[Figure]:
    count, rounds = (RUNS // 10, 2) if is_quick else (RUNS, 5)
    for url in databases().values():
        with ExitStack() as stack:
            full = stack.enter_context(Installation(database_url=url))
            _fill(full, count)
            empty = stack.enter_context(Installation(database_url=url))
            for each in (empty, full):
                _start(each)
            yield _of_burst(empty, full, count, rounds)
            yield _of_questions(empty, full, count)


# The full store


def _fill(crmsync: Installation, count: int) -> None:
    if crmsync.store.is_sqlite:
        crmsync.store.close()
        shutil.copyfile(_filled_file(count), crmsync.state / "crmsync.db")
        os.sync()  # else the first checkpoints wait for four gigabytes
    else:
        _fill_store(crmsync.store, count)


def _filled_file(count: int) -> Path:
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"growth-{schema.HEAD}-{count}.db"
    if not path.exists() or time.time() - path.stat().st_mtime > KEPT_SECONDS:
        path.unlink(missing_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        store = Store(f"sqlite:///{unfinished}")
        _fill_store(store, count)
        store.wipe()
        store.close()
        unfinished.rename(path)
    return path


def _fill_store(store: Store, count: int) -> None:
    schema.migrate(store)
    fill(store, store.clock(), count)
    for book in BOOKS:  # as the migration of a store that is full would
        with store.begin() as uow:
            uow.tallies.fold(book)


def _start(crmsync: Installation) -> None:
    crmsync.start_web()
    for number in (1, 2):
        crmsync.start_worker(f"worker{number}")
    crmsync.start_beat()
    crmsync.announce(known := crmsync.make_deals(CUSTOMERS))
    _await(crmsync, known)
    crmsync.set_latency(LATENCY_SECONDS)


# The burst


def _of_burst(empty: Installation, full: Installation, count: int, rounds: int) -> Figure:
    played = [_in_turns(empty, full, number) for number in range(rounds)]
    ratios = [with_history.seconds / without.seconds for without, with_history in played]
    rows: list[Row] = [("round", "empty, s", "full, s", "empty, CPU s", "full, CPU s")]
    rows += [
        (str(number), without.seconds, with_history.seconds, without.cpu_seconds, with_history.cpu_seconds)
        for number, (without, with_history) in enumerate(played, 1)
    ]
    how = (
        f"{DEALS} deals of {CUSTOMERS} known customers, {LATENCY_SECONDS * 1000:g} ms a vendor call, in a store with "
        f"{count:,} runs that are over and in an empty one, {rounds} rounds in turns; ratios from {min(ratios):.2f} "
        f"to {max(ratios):.2f}"
    )
    return Figure(
        f"growth of a burst, {_name(full)}", median(ratios), "of the empty store's", BURST_TARGET, how, table=rows
    )


def _in_turns(empty: Installation, full: Installation, number: int) -> tuple[Burst, Burst]:
    """A burst in each; now the one begins, now the other."""
    if number % 2 == 0:
        return _burst(empty), _burst(full)
    with_history = _burst(full)
    return _burst(empty), with_history


@dataclass(frozen=True)
class Burst:
    """Seconds from the first webhook to the end of the last run; and what all of crmsync's processes took for it."""

    seconds: float
    cpu_seconds: float


def _burst(crmsync: Installation) -> Burst:
    deals = crmsync.make_deals(DEALS)
    before, started_at = _cpu_seconds(crmsync), time.time()
    crmsync.announce(deals)
    _await(crmsync, deals)
    burst = Burst(_finished_at(crmsync, deals) - started_at, _cpu_seconds(crmsync) - before)
    settle()
    return burst


def _cpu_seconds(crmsync: Installation) -> float:
    return sum(crmsync.processes.cpu_seconds(name) for name in ("web", "worker1", "worker2", "beat"))


def _await(crmsync: Installation, deals: Sequence[str]) -> None:
    """Not Installation.await_done: in a store that is full some runs wait for a person."""
    # Asked for the status too, SQLite reads every run of it, and takes a processor from those who are measured.
    query = select(runs.c.status).where(runs.c.flow == FLOW, runs.c.subject_key.in_(deals))

    def are_done() -> bool:
        with crmsync.store.read() as uow:
            return list(uow.connection.execute(query).scalars()) == ["done"] * len(deals)

    until(are_done, what=f"{len(deals)} runs are done", seconds=PATIENCE_SECONDS, poll_seconds=0.1)


def _finished_at(crmsync: Installation, deals: Sequence[str]) -> float:
    query = select(func.max(runs.c.updated_at)).where(runs.c.flow == FLOW, runs.c.subject_key.in_(deals))
    with crmsync.store.read() as uow:
        return float(uow.connection.execute(query).scalar_one().timestamp())


# The questions


def _of_questions(empty: Installation, full: Installation, count: int) -> Figure:
    few, many = _asked(empty), _asked(full)
    rows: list[Row] = [("question", "empty, ms", "full, ms", "empty, CPU ms", "full, CPU ms")]
    for name, (taken, cpu) in sorted(many.items(), key=lambda item: -item[1][0]):
        rows.append((name, few[name][0], taken, few[name][1], cpu))
    how = (
        f"the slowest of {len(many)} questions with {count:,} runs that are over, median of 9 each; of a command "
        "without its start"
    )
    return Figure(
        f"growth of questions, {_name(full)}",
        max(taken for taken, _ in many.values()),
        "ms",
        QUESTION_TARGET,
        how,
        table=rows,
    )


def _asked(crmsync: Installation) -> Mapping[str, tuple[float, float]]:
    """For each question its milliseconds, and those of the processor without the database's own server."""
    crmsync.processes.run("questions", "python -m benchmarks.questions 9")
    answered = json.loads(crmsync.processes.log("questions").read_text().splitlines()[-1])
    return {name: (1000 * seconds, 1000 * cpu) for name, (seconds, cpu) in answered.items()}


def _name(crmsync: Installation) -> str:
    return "SQLite" if crmsync.store.is_sqlite else "PostgreSQL"
