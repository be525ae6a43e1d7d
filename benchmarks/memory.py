"""The memory of all processes of `crmsync up` while nothing happens, as PSS: shared pages are counted once, divided."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.figure import Figure, Row
from benchmarks.installation import CUSTOMERS, Installation, settle
from benchmarks.machine import until
from benchmarks.pss import process_tree, pss_bytes, words
from crmsync.cli.processes import answers, taken

TARGET_MB = 500.0
REST_SECONDS = 20.0  # a sweep has run by then
START_SECONDS = 90.0


def measure(*, is_quick: bool) -> Iterator[Figure]:
    """Fresh, and after a first day's work."""
    with Installation(has_redis=False) as crmsync:
        crmsync.processes.start("up", "crmsync up")
        until(lambda: answers(f"{crmsync.url}/healthz"), what="the receiver answers", seconds=START_SECONDS)
        until(lambda: taken([("127.0.0.1", crmsync.flower_port)]), what="Flower listens", seconds=START_SECONDS)
        crmsync.processes.await_word("up", "ready.", seconds=START_SECONDS)
        settle(5 if is_quick else REST_SECONDS)
        yield _figure(crmsync, "memory of crmsync up, idle")
        crmsync.announce(crmsync.make_deals(CUSTOMERS))
        crmsync.await_done(CUSTOMERS, seconds=START_SECONDS)
        settle(5 if is_quick else REST_SECONDS)
        yield _figure(crmsync, f"memory of crmsync up, idle after {CUSTOMERS} deals of new customers")


def _figure(crmsync: Installation, name: str) -> Figure:
    sizes = {member: pss_bytes(member) / 1e6 for member in process_tree(crmsync.processes.pid("up"))}
    rows: list[Row] = [(_short(words(member)), member, size) for member, size in sizes.items()]
    how = f"sum of Pss in /proc/*/smaps_rollup, {len(sizes)} processes"
    return Figure(name, sum(sizes.values()), "MB", TARGET_MB, how, table=[("process", "pid", "MB"), *rows])


def _short(command: str) -> str:
    """Without the folders of programs."""
    return re.sub(r"\S*/(?=\S)", "", command)[:70]
