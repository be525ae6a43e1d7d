"""The deals whose documents people take back or whose figures they change; each file brings a `shared` system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crmsync.lab.sandbox.deals import Deal
from tests.field.life import company
from tests.system import System


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    yield shared
    shared.sandbox.faults.clear()


@pytest.fixture
def deal(system: System) -> Deal:
    return system.sandbox.deals.create(company("Buyer"))


@pytest.fixture
def billed(system: System, deal: Deal) -> Deal:
    assert system.close(deal.id) == 200
    system.wait_for("done", deal)
    return deal


@pytest.fixture
def wrong(system: System, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """While it is so, every new invoice is a dollar too much; calling it mends the cause."""
    lines = system.sandbox.zoho.organization.invoices._lines
    real = lines.sums

    def sums(*arguments: Any) -> dict[str, Any]:
        found = dict(real(*arguments))
        return {**found, "sub_total": found["sub_total"] + 1, "total": found["total"] + 1}

    monkeypatch.setattr(lines, "sums", sums)
    return lambda: monkeypatch.setattr(lines, "sums", real)
