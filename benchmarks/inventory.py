"""`crmsync inventory run`: calls besides the pages that are read, wall time, and memory; every product is checked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests

from benchmarks.figure import Figure, Row
from benchmarks.installation import Installation
from benchmarks.machine import BIN, ROOT, StuckError
from benchmarks.salesforce import sign_in

LATENCY_SECONDS = 0.02
PRODUCTS = 5_000
MANY_PRODUCTS = 100_000
CHANGED_SHARE = 0.01
SINGLE_CALLS = 500  # a product each, timed, for comparison
PAGES = {("salesforce", "query"), ("sap", "read_stock"), ("sap", "find_product")}

# Runs a command and prints its largest size in kB. Linux counts in it that of the process which started it, and this
# one is large after other figures: a small one stands between them.
_WEIGH = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@dataclass(frozen=True)
class Run:
    """One inventory. *calls* by (vendor, operation), sign-ins left out."""

    seconds: float
    peak_mb: float
    calls: Mapping[tuple[str, str], int]

    @property
    def pages(self) -> int:
        return sum(count for name, count in self.calls.items() if name in PAGES)

    @property
    def others(self) -> int:
        return sum(count for name, count in self.calls.items() if name not in PAGES)


def measure(*, is_quick: bool) -> Iterator[Figure]:
    with Installation() as crmsync:
        crmsync.ask("/products/bulk", {"number": PRODUCTS})
        crmsync.set_latency(LATENCY_SECONDS)
        first = _run(crmsync)
        single_seconds = _one_call_per_product(crmsync, 100 if is_quick else SINGLE_CALLS) * PRODUCTS
        crmsync.ask("/products/stock", {"share": CHANGED_SHARE})
        second = _run(crmsync)
        yield _calls(f"first inventory of {PRODUCTS:,} products", first, target=30)
        yield _calls(f"inventory of {PRODUCTS:,} products, 1 % changed", second, target=3)
        yield Figure(
            "wall time against one call per product",
            first.seconds / single_seconds,
            "of it",
            0.1,
            f"{first.seconds:.1f} s with the start of the command, against {single_seconds:.1f} s "
            f"({PRODUCTS:,} times the mean of single PATCH calls in this run), {LATENCY_SECONDS * 1000:.0f} ms a call",
        )
    with Installation() as crmsync:
        crmsync.ask("/products/bulk", {"number": MANY_PRODUCTS})
        many = _run(crmsync)
        yield _calls(f"first inventory of {MANY_PRODUCTS:,} products", many, target=20)
        yield Figure(
            f"memory of an inventory of {MANY_PRODUCTS:,} products", many.peak_mb, "MB", 300, _how(many) + "; peak RSS"
        )


def _calls(name: str, run: Run, *, target: float) -> Figure:
    rows: list[Row] = [(f"{vendor} {operation}", count) for (vendor, operation), count in sorted(run.calls.items())]
    return Figure(
        f"calls of the {name}", run.others, "besides the pages", target, _how(run), table=[("call", "count"), *rows]
    )


def _how(run: Run) -> str:
    return f"crmsync inventory run: {run.seconds:.1f} s, {run.pages} pages read, every product right afterwards"


def _run(crmsync: Installation) -> Run:
    """Run the command, weigh it, and compare each product with the ERP's stock. Raises: StuckError."""
    before, started = _business_calls(crmsync), time.monotonic()
    command = [sys.executable, "-c", _WEIGH, str(BIN / "crmsync"), "inventory", "run", "--json"]
    with (crmsync.home / "inventory.log").open("ab") as log:
        ended = subprocess.run(
            command, env=crmsync.processes.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, check=False
        )
    seconds = time.monotonic() - started
    if ended.returncode:
        raise StuckError(f"inventory failed: {(crmsync.home / 'inventory.log').read_text()[-2000:]}")
    _compare(crmsync)
    after = _business_calls(crmsync)
    calls = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
    return Run(seconds, int(ended.stdout) / 1000, calls)


def _business_calls(crmsync: Installation) -> dict[tuple[str, str], int]:
    found = crmsync.ask("/calls")
    return {
        (vendor, operation): count
        for vendor, counted in found.items()
        for operation, count in counted["operations"].items()
        if operation not in ("token", "csrf")
    }


def _compare(crmsync: Installation) -> None:
    """Raises: StuckError unless each product says what the ERP has."""
    products: list[dict[str, Any]] = crmsync.ask("/ledger")["products"]
    wrong = [product["ProductCode"] for product in products if not _is_right(product)]
    if wrong:
        raise StuckError(f"{len(wrong)} of {len(products)} products are wrong: {wrong[:5]}")


def _is_right(product: Mapping[str, Any]) -> bool:
    if product["stock"] is None or not product["IsActive"]:
        return True
    stock, said = Decimal(str(product["stock"])), product["Available_Stock__c"]
    return said is not None and Decimal(str(said)) == stock and product["Low_Stock_Alert__c"] == (stock < 10)


def _one_call_per_product(crmsync: Installation, count: int) -> float:
    """Mean seconds of a PATCH of one product, over a connection that is kept."""
    token, instance_url = sign_in(crmsync.processes.environment)
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        base = f"{instance_url}/services/data/v68.0"
        found = session.get(f"{base}/query", params={"q": f"SELECT Id FROM Product2 LIMIT {count}"}, timeout=30).json()
        started = time.monotonic()
        for row in found["records"]:
            answer = session.patch(f"{base}/sobjects/Product2/{row['Id']}", json={"Description": "timed"}, timeout=30)
            assert answer.status_code == 204, answer.text
        return (time.monotonic() - started) / len(found["records"])
