"""Cases from the field: what comes from the broker is not trusted, be it a message or a command."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from crmsync.domain.dead_letters import DeadLetter
from crmsync.services import Services
from crmsync.store import Store, schema
from crmsync.worker.neighbours import CAUSE, Neighbours
from tests.system import BIN, RedisServer, System, big_sandbox, running, until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("broker")
    with running(home, "web", "worker", "beat") as system:
        yield system


def message(**changes: Any) -> dict[str, Any]:
    """A message as kombu writes it into Redis, for the first step of a run that does not exist."""
    task_id = uuid.uuid4().hex
    body = base64.b64encode(json.dumps([["0" * 32], {}, {"chain": None}]).encode()).decode()
    headers = {"lang": "py", "task": "order_to_invoice.fetch_deal", "id": task_id, "root_id": task_id, "retries": 0}
    properties = {
        "correlation_id": task_id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "crm", "routing_key": "crm"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": uuid.uuid4().hex,
    }
    made = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    for name, value in changes.items():
        part, _, inner = name.partition("__")
        if inner:
            made[part] = {**made[part], inner: value}  # type: ignore[dict-item]
        else:
            made[part.replace("_", "-")] = value
    return made


def body(*parts: Any) -> str:
    return base64.b64encode(json.dumps(parts).encode()).decode()


def embedding(**embedded: Any) -> dict[str, Any]:
    """A message that asks for something after its task."""
    return message(body=body(["0" * 32], {}, embedded))


def next_step(**changes: Any) -> dict[str, Any]:
    return {"task": "order_to_invoice.create_order", "args": ["0" * 32], "kwargs": {}, "options": {}} | changes


TOO_DEEP = "[" * 100_000 + "]" * 100_000

MALFORMED: dict[str, Any] = {
    "not json": "not json",
    "not text": b"\xff\xfe\x00",
    "empty": "",
    "a number": "42",
    "a list": "[]",
    "null": "null",
    "an empty object": "{}",
    "properties missing": {"body": "", "headers": {}},
    "a body that is no base64": message(body="%%%"),
    "a body that is not JSON": message(body=base64.b64encode(b"not json").decode()),
    "a body of another shape": message(body=base64.b64encode(b"{}").decode()),
    "a body with a number": message(body=base64.b64encode(b"[[7], {}, {}]").decode()),
    "too many arguments": message(body=base64.b64encode(b'[["a", "b"], {"c": 1}, {}]').decode()),
    "an unknown body encoding": message(properties__body_encoding="rot13"),
    "an unknown content type": message(content_type="application/x-unknown"),
    "pickle": message(content_type="application/x-python-serialize"),
    "an unknown charset": message(content_encoding="klingon"),
    "an unknown compression": message(headers__compression="application/x-unknown"),
    "a wrong compression": message(headers__compression="application/x-gzip"),
    "headers that are a list": message(headers=[1, 2]),
    "headers that are null": message(headers=None),
    "headers without a task": message(headers={"id": "x"}),
    "a task that is a list": message(headers__task=["a"]),
    "a task that nobody knows": message(headers__task="of_another_release.step"),
    "an id that is null": message(headers__id=None),
    "an eta of words": message(headers__eta="tomorrow"),
    "an eta of the year 9999": message(headers__eta="9999-12-31T23:59:59+00:00"),
    "an expiry of words": message(headers__expires="soon"),
    "retries of words": message(headers__retries="many"),
    "a time limit of words": message(headers__timelimit="none"),
    "properties that are a list": message(properties=[1]),
    "a delivery tag that is a list": message(properties__delivery_tag=[1]),
    "no delivery info": message(properties__delivery_info=None),
    "an eta of another century": message(headers__eta="2126-01-01T00:00:00+00:00"),
    "a name that is an object": message(headers__shadow={"a": 1}),
    "a step of no run": message(body=body([], {}, {})),
    "a task of Celery's own": message(headers__task="celery.chunks"),
    "a chain of numbers": embedding(chain=[1, 2]),
    "a chain of nobody's tasks": embedding(chain=[next_step(task="of_another_release.step")]),
    "a chain without a run": embedding(chain=[next_step(args=5)]),
    "a chain with options": embedding(chain=[next_step(options={"countdown": "soon"})]),
    "callbacks of numbers": embedding(callbacks=[5]),
    "errbacks of numbers": embedding(errbacks=5),
    "a chord": embedding(chord={"task": "housekeeping.sweep"}),
    "too deep an envelope": TOO_DEEP,
    "too deep a body": message(body=base64.b64encode(TOO_DEEP.encode()).decode()),
}


@pytest.mark.parametrize("queue", ["crm", "housekeeping"])
def test_O2__the_worker_outlives_every_malformed_message(system: System, queue: str) -> None:
    worker = system.processes["worker"]
    with system.redis() as client:
        for malformed in MALFORMED.values():
            client.lpush(queue, malformed if isinstance(malformed, str | bytes) else json.dumps(malformed))
    until(lambda: system.queue_length(queue) == 0, what="the messages are taken")

    deal = system.sandbox.deals.create("After Ltd", email=f"{queue}@example.com")
    system.close(deal.id)
    system.wait_for("done", deal)
    assert worker.poll() is None
    assert "Unrecoverable" not in system.log()
    assert "raised outside body" not in system.log()
    with system.redis() as client:
        until(lambda: client.hlen("unacked") == 0, what="none takes the place of another for ever")
    assert "Connection to broker lost" not in system.log()


@pytest.fixture(scope="module")
def remote(system: System) -> Iterator[Any]:
    """What anybody who reaches the broker can ask of its workers."""
    with system.redis() as client:
        pool = client.connection_pool.connection_kwargs
    password, path = pool.get("password") or "", pool.get("path")
    url = f"redis+socket://:{password}@{path}" if path else system.environment["REDIS_URL"]
    with Celery("stranger", broker=url) as app:
        # A worker that is ready opens its mailbox a moment later.
        until(lambda: app.control.inspect(timeout=2, limit=1).ping(), what="the worker hears")
        yield app.control


def test_O2__a_malformed_command_changes_nothing(system: System, remote: Any) -> None:
    with system.redis() as client:
        for malformed in MALFORMED.values():
            text = malformed if isinstance(malformed, str | bytes) else json.dumps(malformed)
            client.publish("/0.celery.pidbox", text)
    # A command that Celery can't execute makes the worker open its mailbox anew, and what comes meanwhile is not heard.
    until(lambda: remote.inspect(timeout=2, limit=1).ping(), what="the worker answers")


COMMANDS: dict[str, dict[str, Any]] = {
    "add_consumer": {"queue": "dead_letter"},
    "cancel_consumer": {"queue": "crm"},
    "pool_shrink": {"n": 8},
    "pool_grow": {"n": 800},
    "rate_limit": {"task_name": "order_to_invoice.fetch_deal", "rate_limit": "1/h"},
    "shutdown": {},
    "autoscale": {"max": 1, "min": 1},
    "pool_restart": {},
    "time_limit": {"task_name": "order_to_invoice.fetch_deal", "hard": 1},
    "revoke": {"task_id": ["x"]},
    "election": {"id": "x", "topic": "task", "action": {"task": "housekeeping.sweep"}},
}


@pytest.fixture(scope="module")
def letter(system: System) -> DeadLetter:
    system.sandbox.faults.add("sap", "error", "create_order", status=403, code="NO_AUTH")
    deal = system.sandbox.deals.create("Stuck Ltd", email="stuck@example.com")
    system.close(deal.id)
    system.wait_for("stopped", deal)
    until(lambda: system.queue_length() == 1, what="the letter is shown")
    system.sandbox.faults.clear()
    return system.letter_of(deal)


def test_P11__a_worker_names_the_queues_that_it_consumes(remote: Any) -> None:
    assert consumed(remote) == {"crm", "erp", "books", "background", "housekeeping"}


def test_O2__no_command_makes_a_worker_do_something_else(system: System, remote: Any, letter: DeadLetter) -> None:
    queues = consumed(remote)
    for command, arguments in COMMANDS.items():
        (answer,) = remote.broadcast(command, arguments=arguments, reply=True, timeout=10, limit=1)
        assert "no orders" in str(answer), command
    deal = system.sandbox.deals.create("Commanded Ltd", email="commanded@example.com")
    system.close(deal.id)
    system.wait_for("done", deal)

    assert consumed(remote) == queues == {"crm", "erp", "books", "background", "housekeeping"}
    assert system.letters() == [letter]
    assert system.queue_length() == 1


def consumed(remote: Any) -> set[str]:
    """The queues that the worker says it consumes."""
    (queues,) = remote.inspect(timeout=10, limit=1).active_queues().values()
    assert all(queue["exclusive"] is False for queue in queues), "Flower's page of a worker reads it"
    return {queue["name"] for queue in queues}


def test_O2__a_message_that_says_it_is_a_dead_letter_replays_none(system: System, letter: DeadLetter) -> None:
    body = base64.b64encode(json.dumps([[letter.run_id], {}, {"chain": None}]).encode()).decode()
    forged = message(
        body=body,
        headers__task="order_to_invoice.create_order",
        properties__delivery_info={"exchange": "dead_letter", "routing_key": "dead_letter"},
    )
    with system.redis() as client:
        client.lpush("crm", json.dumps(forged))
    until(lambda: "asked for a replay" in system.log(), what="the message is refused")
    assert system.letters() == [letter]


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[tuple[System, Any]]:
    with RedisServer() as server, big_sandbox() as sandbox:
        server.start()
        with System(tmp_path, sandbox, redis_url=server.url) as system, system.redis() as client:
            yield system.start("web", "worker"), client


def test_O2__a_worker_outlives_a_redis_that_refuses(own_broker: tuple[System, Any]) -> None:
    system, client = own_broker
    ended: dict[str, int | None] = {}
    until(lambda: client.scard("_kombu.binding.crm"), what="the worker listens")

    def refuses(name: str) -> None:
        until(lambda: "Connection to broker lost" in system.log(), what=name)
        ended[name] = system.processes["worker"].poll()
        for log in system.home.glob("worker*.log"):
            log.write_text("")

    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    refuses("read-only, as after a failover")
    client.execute_command("REPLICAOF", "NO", "ONE")
    client.delete("crm")
    client.set("crm", "no list")
    refuses("something else under a queue's name")
    client.delete("crm")

    deal = system.sandbox.deals.create("Refused Ltd", email="refused@example.com")
    system.close(deal.id)
    system.wait_for("done", deal)
    assert set(ended.values()) == {None}


@pytest.mark.parametrize("address", ["redis://crm:geheim@127.0.0.1:1/0", "amqp://crm:geheim@127.0.0.1:1/v"])
def test_O8__what_celery_shows_of_its_settings_holds_no_password(address: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "CRMSYNC_HOME": str(tmp_path), "CELERY_BROKER_URL": address}
    done = subprocess.run(
        [str(BIN / "celery"), "-A", "crmsync", "report"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "broker_read_url" in done.stdout, done.stderr
    assert "geheim" not in done.stdout


def test_O21__a_message_for_an_unknown_run_is_not_dropped_without_a_word(system: System) -> None:
    with system.redis() as client:
        client.lpush("crm", json.dumps(message()))
    until(lambda: "does another installation use this broker" in system.log(), what="a warning")


def test_O21__two_installations_on_one_redis_are_told_in_both_logs(
    services: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer() as server:
        server.start()
        settings = replace(services.settings, redis_url=server.url)
        with closing(Store(f"sqlite:///{tmp_path / 'other.db'}")) as store:
            schema.migrate(store)
            ours, theirs = Services(settings, services.store), Services(settings, store)
            mine, other, late = Neighbours(), Neighbours(), Neighbours()
            mine.check(ours)
            mine.check(ours)
            assert shared(ours, theirs, caplog) == (False, False, 0), "two workers of one installation are none"

            other.check(theirs)
            mine.check(ours)
            other.check(theirs)
            assert shared(ours, theirs, caplog) == (True, True, 2)

            late.check(theirs)
            late.check(theirs)
            assert shared(ours, theirs, caplog) == (True, False, 2), "one that was there before is over"


def shared(ours: Services, theirs: Services, caplog: pytest.LogCaptureFixture) -> tuple[bool, bool, int]:
    """Which of the two have an open alert, and how many warnings there are."""
    with ours.store.read() as first, theirs.store.read() as second:
        alerts = first.alerts.is_open(CAUSE), second.alerts.is_open(CAUSE)
    return *alerts, sum("another installation" in record.message for record in caplog.records)
