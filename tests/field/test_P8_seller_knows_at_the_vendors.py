"""Cases from the field: P8 on a real worker, with Salesforce's stand-in: what it costs there, and what it may lack."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmsync.lab.sandbox.deals import Deal
from tests.system import NO_PERIODS, System, running, until

REASON = "Sync_Status_Reason__c"
NO_PRODUCTS = "The deal has no products. Correct the deal and close it again."
_numbers = iter(range(1, 10_000))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("sellers")
    with running(home, "web", "worker", "beat", SF_STATUS_REASON_FIELD=REASON, **NO_PERIODS) as made:
        yield made


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    yield shared
    shared.sandbox.faults.clear()


def deal_of(system: System, **options: Any) -> Deal:
    return system.sandbox.deals.create(f"Seller {next(_numbers):04d} Ltd", **options)


def says(system: System, deal: Deal) -> tuple[str | None, str | None]:
    (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal.id]
    return row["Sync_Status__c"], row[REASON]


def calls(system: System) -> int:
    return int(system.sandbox.calls().get("salesforce", {}).get("business", 0))


def correct(system: System, deal: Deal) -> None:
    with system.sandbox.salesforce.lock:
        system.sandbox.deals._line(deal.id, {"product": "SENSOR-100", "quantity": 1}, None)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[System]:
    """No other test's deal calls there, and a deal is looked at once: products that come late are given no time."""
    once = {"CRMSYNC_ANNOUNCED_GRACE_SECONDS": "0"}
    with running(tmp_path, "web", "worker", "beat", SF_STATUS_REASON_FIELD=REASON, **NO_PERIODS, **once) as made:
        yield made


def test_P8__a_stuck_deal_costs_one_call_and_its_correction_none(alone: System) -> None:
    system = alone
    deal = deal_of(system, lines=[], amount=Decimal("235.00"))
    before = calls(system)
    system.close(deal.id)
    until(lambda: says(system, deal) == ("Needs attention", NO_PRODUCTS), what="the seller is told")
    assert calls(system) - before == 2  # it was read, and told

    correct(system, deal)
    system.close(deal.id)
    system.wait_for("done", deal)

    assert says(system, deal) == ("Synced", None)
    assert calls(system) - before == 4


def test_P8__catch_up_takes_our_own_write_for_no_correction(system: System) -> None:
    deal = deal_of(system, lines=[], amount=Decimal("235.00"))
    system.close(deal.id)
    until(lambda: says(system, deal)[0] == "Needs attention", what="the seller is told")
    until(lambda: told_stamp(system, deal), what="the stamp is kept")
    before = calls(system)

    found = system.run("crmsync", "catch-up", "--yes", "--json")
    assert found.returncode == 0, found.stderr
    assert calls(system) - before == 1  # its own query
    assert system.letter_of(deal).failures == 1


def told_stamp(system: System, deal: Deal) -> bool:
    with system.store.read() as uow:
        told = uow.tellings.of("salesforce", deal.id)
    return told is not None and told.changed_at is not None


def test_P8__a_deal_that_salesforce_locks_is_told_later(system: System) -> None:
    deal = deal_of(system, lines=[], amount=Decimal("235.00"))
    system.close(deal.id)
    system.wait_for("stopped", deal)
    until(lambda: says(system, deal)[0] == "Needs attention", what="the seller is told")
    system.sandbox.deals.refuse(deal.id, "UNABLE_TO_LOCK_ROW", times=2)
    system.dead_letters("discard", str(system.letter_of(deal).id), "--yes", "--reason", "a test")

    until(lambda: says(system, deal)[0] == "Not synced", what="the seller is told that it was given up")
    assert {letter.flow for letter in system.letters()} <= {"order_to_invoice"}


@pytest.fixture(scope="module")
def without_field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("fieldless")
    with running(home, "web", "worker", "beat", SF_STATUS_REASON_FIELD="Missing__c", **NO_PERIODS) as made:
        yield made


def heard(system: System) -> Collection[str]:
    """Each look is a transaction of its own: within one, SQLite would show the same for ever."""
    with system.store.read() as uow:
        return uow.alerts.open_causes(None, "sellers_reason")


def test_P8__a_field_that_the_organization_lacks_holds_nothing_back(without_field: System) -> None:
    system = without_field
    good, stuck = deal_of(system), deal_of(system, lines=[], amount=Decimal("235.00"))
    system.close(good.id)
    system.close(stuck.id)
    system.wait_for("done", good)
    until(lambda: says(system, stuck)[0] == "Needs attention", what="the status is told")

    assert says(system, good)[0] == "Synced"
    until(lambda: len(heard(system)) == 1, what="people hear of it, once")
    assert [letter.flow for letter in system.letters()] == ["order_to_invoice"]
