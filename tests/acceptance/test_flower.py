"""Flower beside a running system: it shows the queues and readable tasks, no person, and nothing to a stranger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.system import System, running, until

pytestmark = pytest.mark.acceptance

LOGIN = ("operator", "a password of Flower")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("flower")
    environment = {"FLOWER_BASIC_AUTH": ":".join(LOGIN), "CRMSYNC_LEASE_SECONDS": "60"}
    with running(home, "web", "worker", "beat", "flower", **environment) as system:
        until(lambda: status(system) == 200, what="Flower answers")
        yield system


def status(system: System) -> int:
    try:
        return requests.get(f"http://127.0.0.1:{system.flower_port}/", auth=LOGIN, timeout=5).status_code
    except requests.RequestException:
        return 0


def get(system: System, path: str) -> Any:
    response = requests.get(f"http://127.0.0.1:{system.flower_port}{path}", auth=LOGIN, timeout=10)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("path", ["/", "/api/tasks", "/api/queues/length", "/api/workers", "/broker", "/tasks"])
@pytest.mark.parametrize("auth", [None, ("operator", "another password")])
def test_a_stranger_sees_nothing(system: System, path: str, auth: tuple[str, str] | None) -> None:
    response = requests.get(f"http://127.0.0.1:{system.flower_port}{path}", auth=auth, timeout=10)

    assert response.status_code == 401
    assert "order_to_invoice" not in response.text


def test_the_queues_are_listed_with_the_dead_letters(system: System) -> None:
    system.sandbox.faults.add("sap", "error", "create_order", status=403, code="NO_AUTH")
    deals = [system.sandbox.deals.create(f"Refused {each} Ltd", email=f"{each}@example.com") for each in range(3)]
    system.close_all(deals)
    system.wait_for("stopped", *deals)
    system.sandbox.faults.clear()
    waiting = len(system.letters())

    def lengths() -> dict[str, int]:
        return {queue["name"]: queue["messages"] for queue in get(system, "/api/queues/length")["active_queues"]}

    # Flower asks the workers for their queues when it starts, perhaps too early, and when its page of them is read.
    until(lambda: lengths().get("dead_letter") == waiting, what="dead_letter is shown with its length")
    get(system, "/api/workers?refresh=1")
    assert lengths()["dead_letter"] == waiting
    assert {"crm", "erp", "books", "housekeeping", "dead_letter"} <= set(lengths())


def test_a_task_tells_at_which_step_its_run_is_and_no_person(system: System) -> None:
    deal = system.sandbox.deals.create("Readable Ltd", email="readable@example.com")
    # Flower switches the workers' events on; what ran before it did so is not shown.
    until(lambda: "housekeeping.sweep" in {task["name"] for task in get(system, "/api/tasks").values()})
    slow = system.sandbox.faults.add("sap", "slow", operation="create_order", seconds=4, times=1)
    system.close(deal.id)
    until(lambda: slow.hits, what="its order is being made")
    run_id = system.run_of(deal).id

    def of_the_run() -> list[tuple[str, str]]:
        tasks = get(system, "/api/tasks?limit=10000").values()
        return [(task["name"], task["state"]) for task in tasks if run_id in str(task["args"])]

    until(lambda: of_the_run() == [("order_to_invoice.fetch_deal", "CREATE_ORDER")], what="Flower shows the step")
    system.wait_for("done", deal)
    until(lambda: of_the_run() == [("order_to_invoice.fetch_deal", "SUCCESS")], what="Flower has seen its end")
    everything = json.dumps(get(system, "/api/tasks?limit=10000"))
    for personal in ("readable@example.com", "Readable Ltd", "Ida", "Berg", "Harbour Road", "47000.00"):
        assert personal.lower() not in everything.lower()


def test_one_message_a_step_is_a_task_a_step(tmp_path: Path) -> None:
    environment = {"FLOWER_BASIC_AUTH": ":".join(LOGIN), "CRMSYNC_RUN_AHEAD": "false"}
    with running(tmp_path, "web", "worker", "beat", "flower", **environment) as system:
        until(lambda: status(system) == 200, what="Flower answers")
        until(lambda: "housekeeping.sweep" in {task["name"] for task in get(system, "/api/tasks").values()})
        deal = system.sandbox.deals.create("Stepwise Ltd", email="stepwise@example.com")
        system.close(deal.id)
        system.wait_for("done", deal)
        run_id = system.run_of(deal).id

        def of_the_run() -> set[str]:
            tasks = get(system, "/api/tasks?limit=10000").values()
            return {task["name"] for task in tasks if run_id in str(task["args"])}

        steps = {f"order_to_invoice.{step}" for step, event in system.history(deal) if event == "done"}
        assert len(steps) == 7
        until(lambda: of_the_run() == steps, what="Flower has seen the seven steps")
