"""A flood of another company: what it adds to the time that a deal takes.

While the deals of one company wait by the hundred, another company, with accounts of its own, wins one deal after the
other, at a second a vendor call. The figure is the median of its deals during the flood, divided by that at rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from statistics import median

from benchmarks import load
from benchmarks.figure import Figure
from benchmarks.installation import CUSTOMERS, FLOW, Installation
from benchmarks.machine import StuckError, until
from crmsync import connections
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import Binding
from crmsync.domain.connections import Wanted
from crmsync.domain.runs import RunStatus
from crmsync.services import Services
from crmsync.settings import Settings

TARGET = 2.0  # a deal is delayed by no more than the time of its own calls
LATENCY_SECONDS = 1.0  # of a vendor call: long enough that threads are what is short, and not the processor
WORKERS = ("worker1", "worker2")
PATIENCE_SECONDS = 180.0
OTHER = "other"
ROLES = {"deals": "salesforce", "orders": "s4hana", "invoices": "zoho_books"}


def measure(*, is_quick: bool) -> Iterator[Figure]:
    flood, at_rest = (250, 3) if is_quick else (600, 5)
    with Installation(companies=2) as crmsync:
        crmsync.processes.environment |= {
            "CRMSYNC_SECRET_KEY": "a key with which the benchmark seals",
            "CRMSYNC_ALLOW_HTTP": "true",
            "CRMSYNC_ALLOW_PRIVATE_ADDRESSES": "true",
        }
        crmsync.start_web()  # which makes the tables
        other = _Other(crmsync)
        for name in WORKERS:
            crmsync.start_worker(name)
        crmsync.start_beat()
        _make_customers_known(crmsync, other)
        crmsync.set_latency(LATENCY_SECONDS)
        quiet = [other.deal() for _ in range(at_rest)]
        loud, seconds = _during(crmsync, other, flood)
    rows = [("", "deals", "median ms", "worst ms"), *(_row(*each) for each in (("at rest", quiet), ("flood", loud)))]
    how = (
        f"deals of one company while {flood} of another wait, {LATENCY_SECONDS:g} s a vendor call,"
        f" {len(WORKERS)} workers; the flood was over after {seconds:.1f} s, {flood / seconds:.1f} deals a second"
    )
    yield Figure("flood", median(loud) / median(quiet), "×", TARGET, how, table=rows)


def _row(name: str, took: list[float]) -> tuple[str, int, float, float]:
    return name, len(took), 1000 * median(took), 1000 * max(took)


def _make_customers_known(crmsync: Installation, other: _Other) -> None:
    crmsync.announce(crmsync.make_deals(CUSTOMERS))
    other.announce(other.make(CUSTOMERS))
    crmsync.await_done(2 * CUSTOMERS, seconds=PATIENCE_SECONDS)


def _during(crmsync: Installation, other: _Other, count: int) -> tuple[list[float], float]:
    """What each of the other's deals took, in seconds, while the flood went on; and how long that was."""
    deals = crmsync.make_deals(count)
    began = time.time()
    senders = threading.Thread(target=crmsync.announce, args=(deals,), daemon=True)
    senders.start()
    until(lambda: crmsync.counts().get(RunStatus.ACTIVE, 0) > count // 4, what="the flood has begun", seconds=60)
    took = []
    while (crmsync.counts().get(RunStatus.ACTIVE, 0)) > len(WORKERS):
        took.append(other.deal())
        if time.time() - began > PATIENCE_SECONDS:
            raise StuckError("the flood does not end")
    senders.join()
    # The last may have come when no more than a few others waited.
    return took[:-1] or took, crmsync.finished_at(deals) - began


class _Other:
    """The second company, whose accounts are connections of another tenant."""

    def __init__(self, crmsync: Installation) -> None:
        self._crmsync = crmsync
        using = Services(Settings.from_env(crmsync.processes.environment), crmsync.store)
        act, ids = Act("bench", Origin.CLI), {}
        with crmsync.store.begin() as uow:
            for row in crmsync.accounts[1]:
                wanted = Wanted(name=row["name"], settings={**row["settings"], **row["secrets"]})
                ids[row["system"]] = connections.create(using, uow, act, OTHER, row["system"], wanted).id
                if row["system"] == "salesforce":
                    self._secret = row["secrets"]["webhook_secret"]
            roles = {role: ids[system] for role, system in ROLES.items()}
            uow.bindings.add(Binding(OTHER, FLOW, roles["deals"], roles))
        self._path = f"/hooks/{ids['salesforce']}/deal-closed"

    def make(self, count: int) -> list[str]:
        wanted = {"deals": count, "customers": CUSTOMERS, "close": True}
        return list(self._crmsync.ask("/companies/2/deals/bulk", wanted)["ids"])

    def announce(self, deals: list[str]) -> None:
        url = self._crmsync.url
        load.post_all(url, [load.signed(url, deal, self._secret, path=self._path) for deal in deals], threads=4)

    def deal(self) -> float:
        """Win one of a known customer. Returns the seconds from its webhook to the end of its run."""
        [deal] = self.make(1)
        began = time.time()
        self.announce([deal])
        until(lambda: self._is_done(deal), what="the other company's deal is done", seconds=PATIENCE_SECONDS)
        return self._crmsync.finished_at([deal], tenant=OTHER) - began

    def _is_done(self, deal: str) -> bool:
        with self._crmsync.store.read() as uow:
            return any(
                run.subject_key == deal and run.status is RunStatus.DONE
                for run in uow.runs.newest(OTHER, limit=5, flow=FLOW)
            )
