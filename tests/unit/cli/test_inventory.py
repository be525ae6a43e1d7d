"""`crmsync inventory`: carried out here or watched, and what is shown of it."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal

import pytest

from crmsync.cli import inventory as command
from crmsync.cli import inventory_run
from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.runs import RunStatus
from crmsync.domain.stock import Product, Rejection, StockRow
from crmsync.errors import RejectedError, VendorUnavailableError
from crmsync.flows import inventory
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.worker import dead_letters, starting
from tests.builders import run as a_run
from tests.fakes import DEFAULT, connection_of, run_of_subject

NO_REDIS = "redis://127.0.0.1:1/0"


class House:
    """An ERP and a catalogue in one, told what they have and what they refuse."""

    system = "The house"
    bulk_above = 100

    def __init__(self):
        self.quantities = {}
        self.codes = []
        self.refuses = set()
        self.errors = []
        self.on_read = lambda: None

    def products(self, since):
        self.on_read()
        if self.errors:
            raise self.errors.pop(0)
        yield [Product(f"01t{code}", code, True, None, None) for code in self.codes]

    def stock(self):
        yield [StockRow(code, Decimal(quantity)) for code, quantity in self.quantities.items()]

    def known_materials(self, codes, keep_alive=None):
        return set()

    def write_levels(self, levels, keep_alive):
        return [Rejection(level.product_key, "NOT_ALLOWED") for level in levels if level.code in self.refuses]


@pytest.fixture
def house():
    made = House()
    made.codes = ["CABLE", "SENSOR", "UNHEARD"]
    made.quantities = {"CABLE": 3, "SENSOR": 500}
    return made


@pytest.fixture
def using(store, house, monkeypatch):
    """Services whose systems are the house; nothing reaches a broker."""
    monkeypatch.setenv("REDIS_URL", NO_REDIS)
    connectors = {connection_of("stock"): house, connection_of("catalogue"): house}
    made = Services(Settings.from_env(), store, connectors=connectors.__getitem__)
    monkeypatch.setattr(command, "open_services", lambda **_: made)
    monkeypatch.setattr(dead_letters, "best_effort", lambda send: True)
    monkeypatch.setattr(inventory_run, "LOOK_SECONDS", 0.01)
    return made


def run_of(store):
    with store.read() as uow:
        return run_of_subject(uow, "inventory", "inventory")


def open_run(store):
    with store.begin() as uow:
        run_id, _ = starting.start(
            uow, inventory.FLOW, DEFAULT, "inventory", correlation_id="c", queued_for=timedelta(minutes=1)
        )
    return run_id


# -- run


def test_it_is_carried_out_here(run_cli, using, store):
    result = run_cli("inventory", "run")

    assert result.exit_code == 0, result.output
    assert "3 products, 2 materials in stock: 2 written, 0 refused, 1 newly low." in result.stdout
    assert "CABLE" in result.stdout
    assert "3 left" in result.stdout
    assert "UNHEARD" in result.stdout
    assert run_of(store).status is RunStatus.DONE


def test_without_a_terminal_each_phase_has_its_lines(run_cli, using):
    lines = run_cli("inventory", "run").stderr.splitlines()

    assert "reading the catalogue: 3 products, done" in lines
    assert "reading the stock: 2 materials, done" in lines
    assert "writing what changed: 2 written, done" in lines


def test_only_the_outcome_is_json(run_cli, using, house):
    house.refuses = {"SENSOR"}

    found = json.loads(run_cli("inventory", "run", "--json").stdout)

    assert (found["status"], found["products"], found["written"], found["refused"]) == ("done", 3, 1, 1)
    assert found["reasons"] == {"NOT_ALLOWED": 1}
    assert found["lowest"] == [["CABLE", "3"]]
    assert (found["newly_unknown"], found["first_unknown"]) == (1, ["UNHEARD"])
    assert found["dead_letter"] is None


def test_refused_products_are_told_by_reason(run_cli, using, house):
    house.refuses = {"SENSOR"}

    output = run_cli("inventory", "run").stdout

    assert "Refused, by reason" in output
    assert "NOT_ALLOWED" in output


def test_a_passing_fault_is_waited_out(run_cli, using, house, monkeypatch, store):
    monkeypatch.setattr("crmsync.worker.step_end.next_try", lambda *_, **__: inventory_retry())
    house.errors = [VendorUnavailableError("No answer.", system="The house")]

    result = run_cli("inventory", "run")

    assert result.exit_code == 0
    with store.read() as uow:
        events = [line.event for line in uow.history.of_run(run_of(store).id)]
    assert events == ["retry", "done", "done", "done"]


def inventory_retry():
    from crmsync.domain.runs import Retry

    return Retry(0.05)


def test_what_stops_it_is_told_with_the_next_command(run_cli, using, house, store):
    house.errors = [RejectedError("The list is not to be had.", system="The house", advice="Ask for it.")]

    result = run_cli("inventory", "run")

    assert result.exit_code == 1
    assert "The inventory stopped: The list is not to be had." in result.stderr
    assert "Ask for it." in result.stderr
    assert "celery -A crmsync dead-letters replay 1" in result.stderr
    assert "Traceback" not in result.output


def test_one_that_stopped_before_goes_on(run_cli, using, house, store):
    house.errors = [RejectedError(system="The house")]
    assert run_cli("inventory", "run").exit_code == 1

    assert run_cli("inventory", "run").exit_code == 0

    with store.read() as uow:
        assert uow.dead_letters.of_run(run_of(store).id).status is LetterStatus.REPLAYED


def test_one_that_is_under_way_is_watched_and_not_begun_again(run_cli, using, store):
    run_id = open_run(store)
    with store.begin() as uow:
        held = uow.runs.claim(run_id, "read_catalogue", lease_seconds=60)

    def somebody_else():
        with store.begin() as uow:
            uow.runs.record_progress(held, {"products": 7}, lease_seconds=60)
            uow.runs.stop(held, title=None, amount=None, currency=None)
            uow.runs.leave(run_id, status=RunStatus.DISCARDED, results={})

    other = threading.Timer(0.15, somebody_else)
    other.start()
    result = run_cli("inventory", "run")
    other.join()

    assert result.exit_code == 1
    assert "already running" in result.stderr
    assert run_of(store).again is False


def test_one_that_nobody_takes_is_taken(run_cli, using, store, monkeypatch):
    monkeypatch.setattr(inventory_run, "ABANDONED_AFTER", timedelta(seconds=0.05))
    open_run(store)

    assert run_cli("inventory", "run").exit_code == 0
    assert run_of(store).status is RunStatus.DONE


def test_ctrl_c_leaves_it_to_the_workers(run_cli, using, store, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(inventory_run, "_watch", interrupted)
    monkeypatch.setattr(inventory_run._Hand, "run", lambda self: None)

    result = run_cli("inventory", "run")

    assert result.exit_code == 130
    assert "Handed over to the workers" in result.stderr
    assert run_of(store).status is RunStatus.ACTIVE
    assert run_of(store).queued_until is None  # the sweeper brings it back at once


def test_without_the_systems_it_is_a_configuration_error(run_cli, store):
    result = run_cli("inventory", "run")

    assert result.exit_code == 2
    assert "SF_CLIENT_ID" in result.stderr
    assert run_of(store) is None


# -- what is seen meanwhile


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"step": "read_catalogue"}, [("reading the catalogue", False)]),
        (
            {"step": "read_catalogue", "progress": {"products": 1200}},
            [("reading the catalogue: 1,200 products", False)],
        ),
        (
            {
                "step": "read_stock",
                "results": {"read_catalogue": {"products": 2000}},
                "progress": {"materials": 40},
            },
            [("reading the catalogue: 2,000 products", True), ("reading the stock: 40 materials", False)],
        ),
    ],
    ids=["it has just begun", "it reads", "it is at the second step"],
)
def test_phases_say_how_far_it_is(changes, expected):
    found = inventory_run.phases(a_run(flow="inventory", **changes))

    assert [(phase.text, phase.is_done) for phase in found] == expected


def test_a_wait_is_told_once():
    said = []
    lines = inventory_run.Lines(said.append)

    lines.show([], "Continues at 09:15:00 UTC.")
    lines.show([], "Continues at 09:15:00 UTC.")

    assert said == ["Continues at 09:15:00 UTC."]


def test_bars_follow_the_phases():
    from rich.progress import Progress

    with Progress(disable=True) as progress:
        bars = inventory_run.Bars(progress)
        bars.show([inventory_run.Phase("read_stock", "reading the stock: 4 materials", False)], "")
        bars.show([inventory_run.Phase("read_stock", "reading the stock: 9 materials", True)], "")

    assert [(task.description, task.finished) for task in progress.tasks] == [("reading the stock: 9 materials", True)]


# -- show


def test_show_before_the_first_one(run_cli, store):
    assert "No inventory yet." in run_cli("inventory", "show").output
    assert json.loads(run_cli("inventory", "show", "--json").output)["last_run"] is None


def test_show_tells_the_last_one_and_the_lists(run_cli, using, house):
    house.refuses = {"SENSOR"}
    run_cli("inventory", "run")

    output = run_cli("inventory", "show").output

    assert "1 written, 1 refused, 1 newly low" in output
    assert "Low on stock: 1" in output
    assert "Not in the ERP: 1" in output
    assert "NOT_ALLOWED" in output


@pytest.mark.parametrize(("option", "code"), [("--low", "CABLE"), ("--unknown", "UNHEARD"), ("--refused", "SENSOR")])
def test_show_one_list(run_cli, using, house, option, code):
    house.refuses = {"SENSOR"}
    run_cli("inventory", "run")

    found = json.loads(run_cli("inventory", "show", option, "--json").output)

    assert {name: [row["code"] for row in rows] for name, rows in found["lists"].items()} == {
        option.removeprefix("--"): [code]
    }


def test_a_list_that_is_cut_says_so(run_cli, using, house):
    house.quantities = {"CABLE": 3, "SENSOR": 5}
    run_cli("inventory", "run")

    assert "… and 1 more (--low --limit 2)" in run_cli("inventory", "show", "--low", "--limit", "1").output


def test_the_outcome_of_one_that_stopped_early_has_zeros():
    counts = {"active": 5, "low": 1, "unknown": 0, "refused": 0}

    outcome = inventory_run.outcome_of(a_run(flow="inventory", step="read_stock", status=RunStatus.STOPPED), counts)

    assert (outcome["step"], outcome["written"], outcome["products"]) == ("read_stock", 0, 5)
