"""More than can be done at once: 10,000 webhooks while the store hangs, and payments beside an ERP that is slow."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from sqlalchemy import text

from benchmarks import load
from benchmarks.figure import Figure, Row
from benchmarks.installation import Installation, settle
from benchmarks.machine import until

SENDERS = 128  # eight times the receiver's threads
LOCKED_SECONDS = 20.0  # longer than a webhook waits for the store
POLL_SECONDS = 0.2
MEMORY_TARGET = 1.25
SLOW_ERP_SECONDS = 10.0
PAYMENT_TARGET = 0.2  # of one call to the slow ERP


def measure(*, is_quick: bool) -> Iterator[Figure]:
    for url in dict.fromkeys(("", os.environ.get("CRMSYNC_TEST_DATABASE_URL", ""))):
        with Installation(database_url=url) as crmsync:
            yield _flood(crmsync, 2_000 if is_quick else 10_000)
    with Installation() as crmsync:
        yield _bulkhead(crmsync, 40 if is_quick else 120)


# A flood of webhooks


def _flood(crmsync: Installation, count: int) -> Figure:
    """Nobody works them off, so that all stay in the store. Raises: RuntimeError if one was lost."""
    crmsync.start_web()
    _post(crmsync, [f"006{number:012d}" for number in range(500)])  # warm-up
    deals = [f"006{number:012d}" for number in range(500, 500 + count)]
    at_rest = crmsync.processes.pss_bytes("web")
    with _watched(lambda: crmsync.processes.pss_bytes("web")) as sizes, _hanging_store(crmsync):
        answers = _post(crmsync, deals)
    _check_stored(crmsync, [deal for deal, status in zip(deals, answers, strict=True) if status == 200])
    refused = [deal for deal, status in zip(deals, answers, strict=True) if status == 503]
    first, again = Counter(answers), Counter(_post(crmsync, refused))
    _check_stored(crmsync, deals)
    rows: list[Row] = [("answer", "at first", "sent again")]
    rows += [(str(status), first[status], again[status]) for status in sorted(first | again)]
    how = (
        f"{count:,} webhooks by {SENDERS} senders, store hanging for {LOCKED_SECONDS:g} s; every one that was "
        f"acknowledged has its run; {at_rest / 1e6:.0f} MB before, {max(sizes) / 1e6:.0f} MB at most"
    )
    name = f"memory of the receiver in a flood, {('SQLite' if crmsync.store.is_sqlite else 'PostgreSQL')}"
    return Figure(name, max(sizes) / at_rest, "of that before", MEMORY_TARGET, how, table=rows)


def _post(crmsync: Installation, deals: Sequence[str]) -> list[int]:
    posts = [load.signed(crmsync.url, deal, crmsync.webhook_secret) for deal in deals]
    answers = load.post_each(crmsync.url, posts, threads=SENDERS)
    if wrong := set(answers) - {200, 503}:
        raise RuntimeError(f"the receiver answered {sorted(wrong)}")
    return answers


def _check_stored(crmsync: Installation, deals: Sequence[str]) -> None:
    with crmsync.store.read() as uow:
        stored = {run.subject_key[: len(deals[0])] for run in uow.runs.newest(None, limit=2 * len(deals) + 1_000)}
    if missing := set(deals) - stored:
        raise RuntimeError(f"{len(missing)} acknowledged webhooks have no run, such as that of {min(missing)}")


@contextmanager
def _watched(size: Callable[[], int]) -> Iterator[list[int]]:
    sizes, is_over = [size()], threading.Event()

    def watch() -> None:
        while not is_over.wait(POLL_SECONDS):
            sizes.append(size())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _hanging_store(crmsync: Installation) -> Iterator[None]:
    """Soon after the flood has begun, nobody can write for LOCKED_SECONDS."""
    thread = threading.Thread(target=_hang, args=(crmsync,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _hang(crmsync: Installation) -> None:
    settle(1.0)
    with crmsync.store.begin() as uow:
        if not crmsync.store.is_sqlite:  # there, to begin is to lock
            uow.connection.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
        settle(LOCKED_SECONDS)


# A slow vendor


def _bulkhead(crmsync: Installation, count: int) -> Figure:
    """Raises: StuckError if a payment does not arrive at all."""
    crmsync.start_web()
    crmsync.start_worker()
    crmsync.start_beat()
    crmsync.ask("/receiver", {"url": crmsync.url})
    paid = crmsync.make_deals(20)
    crmsync.announce(paid)
    crmsync.await_done(len(paid), seconds=60)
    alone = [_pay(crmsync, deal) for deal in paid[:10]]
    crmsync.set_latency(SLOW_ERP_SECONDS, system="sap")
    crmsync.announce(crmsync.make_deals(count))
    settle(3.0)
    beside = [_pay(crmsync, deal) for deal in paid[10:]]
    waiting = crmsync.counts().get("active", 0)
    if not waiting:
        raise RuntimeError("no deal waited for the ERP: nothing was measured")
    crmsync.set_latency(0.0, system="sap")
    crmsync.await_done(len(paid) + count, seconds=180)
    how = (
        f"{waiting} deals wait for an ERP that takes {SLOW_ERP_SECONDS:g} s a call; 10 payments, from webhook to deal: "
        f"median {median(alone):.2f} s before, {median(beside):.2f} s meanwhile"
    )
    name = "slowest payment beside a slow ERP"
    return Figure(name, max(beside) / SLOW_ERP_SECONDS, "of one call to it", PAYMENT_TARGET, how)


def _pay(crmsync: Installation, deal: str) -> float:
    """Seconds until the deal says that its invoice is paid."""

    def seen() -> dict[str, Any]:
        return next(row for row in crmsync.ask("/ledger")["deals"] if row["id"] == deal)

    number = seen()["Zoho_Invoice_Number__c"]
    started_at = time.perf_counter()
    crmsync.ask(f"/invoices/{number}/pay", {"webhook": "json"})
    until(lambda: seen()["Payment_Received__c"], what=f"deal {deal} is paid")
    return time.perf_counter() - started_at
