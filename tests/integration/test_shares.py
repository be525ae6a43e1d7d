"""One company's flood delays another's deal by the share of its source at most, however large the flood is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import Ignore

from crmsync.celery import app
from crmsync.company import Bound, Company
from crmsync.domain.bindings import Binding
from crmsync.domain.runs import RunStatus
from crmsync.domain.webhooks import WebhookEvent
from crmsync.services import Services
from crmsync.web.inbox import Arrived, Inbox
from crmsync.worker import dead_letters, housekeeping, queues, shares
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests.fakes import DEFAULT, FakeClock

_FLOW = Flow("shared", subject="deal", steps=("work",))
SHARE = 2 * shares.PER_WORKER  # of the two workers that crmsync up runs
FLOOD = 500
OTHER: Company = replace(DEFAULT, tenant="acme", deals=Bound("con_crm", DEFAULT.deals.connections))


@step(_FLOW, queue="erp")
def work(attempt: Attempt) -> Mapping[str, Any]:
    return {}


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> deque[str]:
    """The queue: what came first goes first."""
    sent: deque[str] = deque()
    monkeypatch.setattr(Flow, "enqueue", lambda _, run_id, results=None: sent.append(run_id))
    monkeypatch.setattr(dead_letters, "best_effort", lambda send: send() or True)
    monkeypatch.setattr(queues, "lengths", lambda: {"erp": len(sent)})
    return sent


def opened(services: Services, company: Company, keys: list[str]) -> list[str]:
    """The runs of these subjects, none of which has a message."""
    with services.store.begin() as uow:
        subjects = [(key, "c") for key in keys]
        return [run_id for run_id, _ in _FLOW.open_runs(uow, company, subjects, queued_for=timedelta(0))]


def deliver(messages: deque[str]) -> str:
    """A worker takes the next message. Returns whose it was."""
    run_id, task = messages.popleft(), app.tasks[_FLOW.task_name("work")]
    task.push_request(id="m", chain=[])
    try:
        task.execute(run_id)
    except Ignore:
        pass
    finally:
        task.pop_request()
    return run_id


def counts(services: Services) -> Counter[RunStatus]:
    with services.store.read() as uow:
        return Counter(run.status for run in uow.runs.newest(None, limit=10 * FLOOD))


def test_a_deal_waits_for_a_share_of_anothers_flood_and_not_for_the_flood(
    services: Services, messages: deque[str]
) -> None:
    opened(services, DEFAULT, [f"006{number}" for number in range(FLOOD)])
    housekeeping.enqueue_due(services, timedelta(seconds=30))
    (late,) = opened(services, OTHER, ["006"])
    housekeeping.enqueue_due(services, timedelta(seconds=30))

    before = 0
    while deliver(messages) != late:
        before += 1

    assert before <= SHARE


def test_the_flood_goes_on_without_a_sweep(services: Services, messages: deque[str]) -> None:
    """Runs that end make room for others of their source, so no worker is idle until the next sweep."""
    opened(services, DEFAULT, [f"006{number}" for number in range(FLOOD)])
    housekeeping.enqueue_due(services, timedelta(seconds=30))
    longest = 0
    while messages:
        longest = max(longest, len(messages))
        deliver(messages)

    assert counts(services) == {RunStatus.DONE: FLOOD}
    assert longest <= SHARE


def test_a_sweep_sends_each_source_its_share_and_no_message_twice(services: Services, messages: deque[str]) -> None:
    opened(services, DEFAULT, [f"006{number}" for number in range(FLOOD)])
    opened(services, OTHER, ["006A", "006B"])

    sent = [housekeeping.enqueue_due(services, timedelta(seconds=30)) for _ in range(3)]

    assert sent == [SHARE + 2, 0, 0]
    assert len(set(messages)) == len(messages)


def test_what_a_message_was_lost_of_is_sent_again_when_that_is_over(
    services: Services, messages: deque[str], clock: FakeClock
) -> None:
    opened(services, DEFAULT, [f"006{number}" for number in range(FLOOD)])
    housekeeping.enqueue_due(services, timedelta(seconds=30))
    messages.clear()  # Redis was emptied

    clock.advance(31)

    assert housekeeping.enqueue_due(services, timedelta(seconds=30)) == SHARE


def test_webhooks_beyond_the_share_are_stored_and_wait_for_their_message(
    services: Services, messages: deque[str], clock: FakeClock
) -> None:
    roles = {"deals": "con_crm", "orders": "con_erp", "invoices": "con_books", "payments": "con_books"}
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "order_to_invoice", "con_crm", roles))
    inbox = Inbox(services)

    enqueued = sum(len(inbox.put(_arrived("salesforce", number))) for number in range(FLOOD // 100))
    others = inbox.put(Arrived("deals", "con_crm", [WebhookEvent("006A", "")], "c"))

    assert enqueued == SHARE
    assert len(others) == 1, "another company's deal is announced at once"
    with services.store.read() as uow:
        assert uow.due.count(None) == FLOOD + 1
        assert uow.due.is_any_waiting("salesforce")
        assert not uow.due.is_any_waiting("con_crm")


def _arrived(connection: str, number: int) -> Arrived:
    events = [WebhookEvent(f"006{number:04d}{each:04d}", "") for each in range(100)]
    return Arrived("deals", connection, events, "c")


def test_what_waits_for_its_time_takes_no_share(services: Services, messages: deque[str]) -> None:
    """Runs that come back in a minute are none that a worker could take now."""
    waiting = opened(services, DEFAULT, [f"006{number}" for number in range(SHARE)])
    with services.store.begin() as uow:
        for run_id in waiting:
            run = uow.runs.claim(run_id, "work", lease_seconds=60)
            assert run is not None
            uow.runs.release(run, wait_seconds=90, attempts=0)

    assert shares.take(services, "salesforce", 5) == 5


def test_messages_that_are_late_are_not_multiplied(services: Services, messages: deque[str], clock: FakeClock) -> None:
    """Workers that are slower than a message is believed to take would have ever more of them to read."""
    opened(services, DEFAULT, [f"006{number}" for number in range(FLOOD)])
    for _ in range(5):
        housekeeping.sweep_now(services)
        deliver(messages)
        clock.advance(10 * services.settings.behaviour.queued_for.total_seconds())

    assert len(messages) <= SHARE
    assert len(set(messages)) == len(messages)


def test_what_is_lost_is_sent_again_though_messages_of_another_queue_wait(
    services: Services, messages: deque[str], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(services, DEFAULT, ["006A"])
    housekeeping.sweep_now(services)
    messages.clear()  # Redis was emptied
    clock.advance(services.settings.behaviour.queued_for.total_seconds())
    monkeypatch.setattr(queues, "lengths", lambda: {"crm": 10_000, "erp": 0})

    housekeeping.sweep_now(services)

    assert len(messages) == 1


def test_only_as_many_are_sent_again_as_their_queue_lacks(
    services: Services, messages: deque[str], clock: FakeClock
) -> None:
    opened(services, DEFAULT, [f"006{number}" for number in range(10)])
    housekeeping.sweep_now(services)
    for _ in range(4):
        messages.popleft()  # a worker had taken them, and was killed
    clock.advance(services.settings.behaviour.queued_for.total_seconds())

    housekeeping.sweep_now(services)

    assert len(messages) == 10


def test_a_flow_that_beat_starts_waits_for_no_share_of_the_flood(services: Services, messages: deque[str]) -> None:
    """Inventory has one run for a source, and must not wait until all deals of that source have had their turn."""
    opened(services, DEFAULT, [f"006{number}" for number in range(FLOOD)])
    housekeeping.sweep_now(services)
    with services.store.begin() as uow:
        inventory, _ = FLOWS["inventory"].open_run(uow, DEFAULT, "inventory", correlation_id="c")
    messages.clear()

    housekeeping.sweep_now(services)

    assert list(messages) == [inventory]
