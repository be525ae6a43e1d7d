"""How the receiver enqueues the runs that webhooks opened."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from redis import Redis

from crmsync.celery import app
from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.services import Services
from crmsync.web.enqueuer import Enqueuer
from crmsync.worker.flow import Message, enqueue_all
from tests.fakes import DEFAULT
from tests.system import until

FLOW = order_to_invoice.FLOW
HOUR = timedelta(hours=1)
# What no two messages share; and where results would go, which are ignored.
OF_ITS_OWN = ("id", "root_id", "origin", "correlation_id", "delivery_tag", "reply_to")


class Batches:
    """Stands in for the broker: which runs were enqueued together. The first batch lasts until it is let go."""

    def __init__(self, refused: str = "", error: Exception | None = None) -> None:
        self.done: list[list[str]] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._refused, self._error = refused, error

    def __call__(self, messages: Sequence[Message]) -> None:
        runs = [run_id for _, run_id, _ in messages]
        if not self.begun.is_set():
            self.begun.set()
            self.may_end.wait(30)
        if self._error and self._refused in runs:
            raise self._error
        self.done.append(runs)


def enqueue_in_a_burst(services: Services, monkeypatch: pytest.MonkeyPatch, batches: Batches, *runs: str) -> None:
    """Enqueue "first", and *runs* while that batch is sent."""
    monkeypatch.setattr("crmsync.web.enqueuer.enqueue_all", batches)
    enqueuer = Enqueuer(services.store)
    enqueuer.enqueue(FLOW, "first", {})
    assert batches.begun.wait(30)
    for run_id in runs:
        enqueuer.enqueue(FLOW, run_id, {})
    batches.may_end.set()


def test_what_waits_while_one_batch_is_sent_shares_the_next(services, monkeypatch):
    batches = Batches()

    enqueue_in_a_burst(services, monkeypatch, batches, "a", "b", "c")

    until(lambda: len(batches.done) > 1, what="the second batch is done")
    assert batches.done == [["first"], ["a", "b", "c"]]


def test_a_batch_takes_no_more_than_fits(services, monkeypatch):
    monkeypatch.setattr("crmsync.web.enqueuer.TOGETHER_MAX", 2)
    batches = Batches()

    enqueue_in_a_burst(services, monkeypatch, batches, "a", "b", "c")

    until(lambda: len(batches.done) > 2, what="all batches are done")
    assert batches.done == [["first"], ["a", "b"], ["c"]]


def test_a_run_that_can_not_be_rung_for_silences_no_other(services, monkeypatch):
    batches = Batches(refused="b", error=RuntimeError("nobody foresaw it"))

    enqueue_in_a_burst(services, monkeypatch, batches, "a", "b", "c")

    until(lambda: len(batches.done) > 2, what="the others are enqueued")
    assert batches.done == [["first"], ["a"], ["c"]]


def test_where_the_broker_fails_the_sweeper_may_take_every_run_of_the_batch(services, monkeypatch):
    with services.store.begin() as uow:
        ids = [FLOW.open_run(uow, DEFAULT, f"006{each}", correlation_id="c", queued_for=HOUR)[0] for each in range(3)]
    batches = Batches(refused=ids[0], error=OperationalError("nobody listens"))

    enqueue_in_a_burst(services, monkeypatch, batches, *ids)

    def are_free() -> bool:
        with services.store.read() as uow:
            runs = [uow.runs.get(run_id) for run_id in ids]
        return all(run is not None and run.queued_until is None for run in runs)

    until(are_free, what="no message is believed to be on its way")


def test_a_process_that_ends_enqueues_what_waits(services, monkeypatch):
    batches = Batches()
    batches.may_end.set()
    monkeypatch.setattr("crmsync.web.enqueuer.enqueue_all", batches)
    monkeypatch.setattr(Enqueuer, "_start", lambda self: None)
    enqueuer = Enqueuer(services.store)
    for run_id in ("a", "b"):
        enqueuer.enqueue(FLOW, run_id, {})

    enqueuer.flush()
    enqueuer.flush()

    assert batches.done == [["a", "b"]]


# -- what is sent


@pytest.fixture
def broker(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    with Connection(valkey_url) as connection:
        producer = Producer(connection, auto_declare=False)

        @contextmanager
        def ours(given: Any = None) -> Iterator[Producer]:
            yield given or producer

        monkeypatch.setattr(app, "producer_or_acquire", ours)
        yield connection.default_channel._create_client()


def messages(broker: Redis, queue: str) -> list[dict[str, Any]]:
    """Oldest first; each without what no two messages share."""
    found = [json.loads(each) for each in broker.lrange(queue, 0, -1)[::-1]]
    for message in found:
        message["body"] = json.loads(b64decode(message["body"]))
        message["headers"] = {name: value for name, value in message["headers"].items() if name not in OF_ITS_OWN}
        message["properties"] = {name: value for name, value in message["properties"].items() if name not in OF_ITS_OWN}
    return found


def test_a_message_is_the_one_that_celery_would_send(broker):
    rest = FLOW.chain("run", FLOW.steps[1:])
    app.tasks[FLOW.task_name(FLOW.steps[0])].apply_async(("run",), chain=rest, retry=False)

    enqueue_all([(FLOW, "run", {})])

    expected, sent = messages(broker, "crm")
    assert sent == expected


def test_each_run_of_a_batch_gets_its_own_message(broker):
    done = {step: {} for step in FLOW.steps}

    enqueue_all([(FLOW, "a", {}), (payment_to_invoices.FLOW, "b", {}), (FLOW, "c", {}), (FLOW, "over", done)])

    assert [message["body"][0] for message in messages(broker, "crm")] == [["a"], ["c"]]
    assert [message["body"][0] for message in messages(broker, "books")] == [["b"]]


def test_a_broker_that_refuses_is_a_broker_error(broker):
    enqueue_all([(FLOW, "a", {})])  # from here on the queue is known, and only sending asks the broker
    broker.delete("crm")
    broker.set("crm", "no list")

    with pytest.raises(OperationalError):
        enqueue_all([(FLOW, "b", {})])
