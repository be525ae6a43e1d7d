"""Two releases beside each other, and a rollback: what another release has learned for a run, this one goes on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from crmsync.domain.runs import RunStatus
from crmsync.flows.order_to_invoice import FLOW
from crmsync.lab.sandbox.deals import Deal
from crmsync.store.tables import ledger, runs
from crmsync.worker.stranded import CAUSE
from tests.fakes import run_of_subject
from tests.system import NO_PERIODS, System, running, until

# What was added since the first release has written results; what an older one has written lacks it.
ADDED = frozenset(
    "v created_at won_at changed_at is_mailed_by_hand generations foreign by_person purchase_order_number "
    "order_number invoice_number first_name last_name tax_number matched_by city remarks holds is_incomplete".split()
)
Change = Callable[[Any], Any]


def newer(value: Any) -> Any:
    """With a key more at every level."""
    if isinstance(value, Mapping):
        return {name: newer(each) for name, each in value.items()} | {"of_a_newer_release": {"deep": [{"x": 1}]}}
    return [newer(each) for each in value] if isinstance(value, list) else value


def older(value: Any) -> Any:
    """Without what was added, at every level."""
    if isinstance(value, Mapping):
        return {name: older(each) for name, each in value.items() if name not in ADDED}
    return [older(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("releases"), "web", "worker", "beat", **NO_PERIODS) as system:
        yield system


def back_to(system: System, deal: Deal, step: str, change: Change) -> None:
    """The deal's run as another release leaves it before *step*, and its rows of the ledger."""
    run = system.run_of(deal)
    before = {name: run.results[name] for name in FLOW.steps[: FLOW.steps.index(step)]}
    with system.store.begin() as uow:
        rows = uow.connection.execute(select(ledger.c.id, ledger.c.document).where(ledger.c.run_id == run.id)).all()
        for row in rows:
            written = update(ledger).where(ledger.c.id == row.id).values(document=change(row.document))
            uow.connection.execute(written)
        left = {
            "step": step,
            "status": RunStatus.ACTIVE.value,
            "results": {name: change(learned) for name, learned in before.items()},
            "due_at": uow.now,
            "queued_until": None,
            "leased_until": None,
        }
        uow.connection.execute(update(runs).where(runs.c.id == run.id).values(left))


@pytest.mark.parametrize("change", [newer, older])
def test_what_another_release_has_learned_is_carried_to_the_end(system: System, change: Change) -> None:
    name = f"{change.__name__.capitalize()} Ltd"
    deal = system.sandbox.deals.create(name, email=f"{change.__name__}@example.com")
    assert system.close(deal.id) == 200
    system.wait_for("done", deal)

    for step in FLOW.steps[1:]:
        back_to(system, deal, step, change)
        system.wait_for("done", deal)

    assert system.letters() == []
    system.assert_each_once([deal], customers=[name])
    [order], [invoice] = system.documents(deal)
    learned = system.run_of(deal).results["write_back"]
    assert (learned["order_number"], learned["invoice_number"]) == (order["id"], invoice["number"])


def test_a_deal_that_another_release_has_billed_is_looked_at_again(system: System) -> None:
    deal = system.sandbox.deals.create("Looked Ltd", email="looked@example.com")
    system.close(deal.id)
    system.wait_for("done", deal)
    for change in (newer, older):
        with system.store.begin() as uow:
            run = run_of_subject(uow, FLOW.name, deal.id)
            assert run is not None
            changed = update(runs).where(runs.c.id == run.id).values(results=change(run.results))
            uow.connection.execute(changed)
        looks = system.history(deal).count(("fetch_deal", "done"))
        system.close(deal.id)
        until(lambda looks=looks: system.history(deal).count(("fetch_deal", "done")) > looks, what="it is looked at")
        system.wait_for("done", deal)

    assert system.letters() == []
    system.assert_each_once([deal], customers=["Looked Ltd"])


def test_what_only_a_newer_release_can_read_waits_for_it(system: System) -> None:
    deal = system.sandbox.deals.create("Waiting Ltd", email="waiting@example.com")
    system.close(deal.id)
    system.wait_for("done", deal)
    run = system.run_of(deal)

    back_to(system, deal, "create_order", lambda learned: learned and {**learned, "v": 2})
    until(lambda: f"{CAUSE}{run.id}" in open_causes(system), what="people are told")
    assert system.run_of(deal).status is RunStatus.ACTIVE
    assert system.letters() == []

    back_to(system, deal, "match_erp_customer", lambda learned: learned and {**learned, "v": 1})
    system.wait_for("done", deal)
    until(lambda: f"{CAUSE}{run.id}" not in open_causes(system), what="the alert is over")


def open_causes(system: System) -> list[str]:
    with system.store.read() as uow:
        return list(uow.alerts.open_causes(None, CAUSE))
