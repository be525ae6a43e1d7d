"""Sends the messages of every run that is under way again and again: a process of its own, until it is ended."""

from __future__ import annotations

import random
import time

from crmsync import flows  # noqa: F401 - registers the tasks
from crmsync.errors import StoreUnavailableError
from crmsync.services import Services, services
from crmsync.worker.dead_letters import best_effort
from crmsync.worker.flow import FLOWS

PAUSE_SECONDS = 0.15
AT_A_TIME = 30


def main() -> None:
    """Never returns."""
    using = services()
    print("doubling", flush=True)
    while True:
        double(using)
        time.sleep(PAUSE_SECONDS)


def double(using: Services) -> None:
    """One chain more for each run: the rest of it, or all of it once more."""
    try:
        with using.store.read() as uow:
            active = uow.runs.newest(None, limit=AT_A_TIME, status="active")
    except StoreUnavailableError:
        return
    for run in active:
        results = run.results if random.random() < 0.5 else {}
        best_effort(lambda run=run, results=results: FLOWS[run.flow].enqueue(run.id, results))  # type: ignore[misc]


if __name__ == "__main__":
    main()
