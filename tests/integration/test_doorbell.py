"""How the receiver rings for the runs that webhooks opened."""

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
from crmsync.web import doorbell
from crmsync.web.doorbell import Doorbell
from crmsync.worker.flow import Ring, ring_all
from tests.fakes import DEFAULT
from tests.system import until

FLOW = order_to_invoice.FLOW
HOUR = timedelta(hours=1)
# What no two messages share; and where results would go, which are ignored.
OF_ITS_OWN = ("id", "root_id", "origin", "correlation_id", "delivery_tag", "reply_to")


class Errands:
    """Stands in for the broker: which runs were rung for together. The first errand lasts until it is let go."""

    def __init__(self, refused: str = "", error: Exception | None = None) -> None:
        self.done: list[list[str]] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._refused, self._error = refused, error

    def __call__(self, rings: Sequence[Ring]) -> None:
        runs = [run_id for _, run_id, _ in rings]
        if not self.begun.is_set():
            self.begun.set()
            self.may_end.wait(30)
        if self._error and self._refused in runs:
            raise self._error
        self.done.append(runs)


def ring_in_a_burst(services: Services, monkeypatch: pytest.MonkeyPatch, errands: Errands, *runs: str) -> None:
    """Ring for "first", and for *runs* while that errand lasts."""
    monkeypatch.setattr(doorbell, "ring_all", errands)
    bell = Doorbell(services.store)
    bell.ring(FLOW, "first", {})
    assert errands.begun.wait(30)
    for run_id in runs:
        bell.ring(FLOW, run_id, {})
    errands.may_end.set()


def test_who_waits_while_the_bell_is_rung_shares_the_next_errand(services, monkeypatch):
    errands = Errands()

    ring_in_a_burst(services, monkeypatch, errands, "a", "b", "c")

    until(lambda: len(errands.done) > 1, what="the second errand is done")
    assert errands.done == [["first"], ["a", "b", "c"]]


def test_an_errand_takes_no_more_than_fits(services, monkeypatch):
    monkeypatch.setattr(doorbell, "TOGETHER_MAX", 2)
    errands = Errands()

    ring_in_a_burst(services, monkeypatch, errands, "a", "b", "c")

    until(lambda: len(errands.done) > 2, what="all errands are done")
    assert errands.done == [["first"], ["a", "b"], ["c"]]


def test_a_run_that_can_not_be_rung_for_silences_no_other(services, monkeypatch):
    errands = Errands(refused="b", error=RuntimeError("nobody foresaw it"))

    ring_in_a_burst(services, monkeypatch, errands, "a", "b", "c")

    until(lambda: len(errands.done) > 2, what="the others are rung for")
    assert errands.done == [["first"], ["a"], ["c"]]


def test_where_the_broker_fails_the_sweeper_may_take_every_run_of_the_errand(services, monkeypatch):
    with services.store.begin() as uow:
        ids = [FLOW.open_run(uow, DEFAULT, f"006{each}", correlation_id="c", queued_for=HOUR)[0] for each in range(3)]
    errands = Errands(refused=ids[0], error=OperationalError("nobody listens"))

    ring_in_a_burst(services, monkeypatch, errands, *ids)

    def are_free() -> bool:
        with services.store.read() as uow:
            runs = [uow.runs.get(run_id) for run_id in ids]
        return all(run is not None and run.queued_until is None for run in runs)

    until(are_free, what="no message is believed to be on its way")


def test_a_process_that_ends_rings_for_those_who_wait(services, monkeypatch):
    errands = Errands()
    errands.may_end.set()
    monkeypatch.setattr(doorbell, "ring_all", errands)
    monkeypatch.setattr(Doorbell, "_start", lambda self: None)
    bell = Doorbell(services.store)
    for run_id in ("a", "b"):
        bell.ring(FLOW, run_id, {})

    bell.flush()
    bell.flush()

    assert errands.done == [["a", "b"]]


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

    ring_all([(FLOW, "run", {})])

    expected, sent = messages(broker, "crm")
    assert sent == expected


def test_each_run_of_an_errand_gets_its_own_message(broker):
    done = {step: {} for step in FLOW.steps}

    ring_all([(FLOW, "a", {}), (payment_to_invoices.FLOW, "b", {}), (FLOW, "c", {}), (FLOW, "over", done)])

    assert [message["body"][0] for message in messages(broker, "crm")] == [["a"], ["c"]]
    assert [message["body"][0] for message in messages(broker, "books")] == [["b"]]


def test_a_broker_that_refuses_is_a_broker_error(broker):
    ring_all([(FLOW, "a", {})])  # from here on the queue is known, and only sending asks the broker
    broker.delete("crm")
    broker.set("crm", "no list")

    with pytest.raises(OperationalError):
        ring_all([(FLOW, "b", {})])
