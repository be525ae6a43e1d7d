"""What load balancers and people are told, with everything up and with each thing down."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from crmsync import broker, connections
from crmsync.domain.audit import Act, Origin
from crmsync.domain.breaker import FailedCall
from crmsync.domain.connections import Wanted
from crmsync.embedded import ensure_running
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services
from crmsync.settings import Secret, Settings, SlackSettings
from crmsync.store import schema
from crmsync.web import health
from crmsync.web.app import create_app
from tests.fakes import FakeClock

ALL_SYSTEMS = {"salesforce": object(), "s4hana": object(), "zoho_books": object()}


Serve = Callable[..., str]


@pytest.fixture
def redis() -> Iterator[Serve]:
    """Starts a server that gives every command the same answer, or none; returns its address."""
    servers: list[tuple[socket.socket, threading.Thread]] = []

    def start(answer: bytes | None, *, at: Path | None = None) -> str:
        listening = _unix_server(at) if at else socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(listening, answer), daemon=True)
        thread.start()
        servers.append((listening, thread))
        return "" if at else f"redis://:very-secret-password@127.0.0.1:{listening.getsockname()[1]}/0"

    yield start
    for listening, thread in servers:
        listening.shutdown(socket.SHUT_RDWR)  # wakes its thread
        thread.join()
        listening.close()


def _unix_server(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def _serve(listening: socket.socket, answer: bytes | None) -> None:
    with suppress(OSError), ExitStack() as connections:
        while True:
            connection = connections.enter_context(listening.accept()[0])
            while answer is not None and (command := connection.recv(1024)):
                connection.sendall(b"+OK\r\n" if b"AUTH" in command and answer[:1] != b"-" else answer)


def readyz(client: FlaskClient) -> tuple[int, dict[str, Any]]:
    answer = client.get("/readyz")
    return answer.status_code, answer.get_json()


def serving(services: Services, **changes: Any) -> FlaskClient:
    settings: Settings = replace(services.settings, **changes)
    return create_app(Services(settings, services.store)).test_client()


def test_healthz_touches_nothing(app: Flask) -> None:
    app.extensions["crmsync"] = None

    answer = app.test_client().get("/healthz")

    assert answer.status_code == 200
    assert answer.get_json() == {"status": "alive"}


def test_ready_when_all_that_is_needed_is_there(services: Services, redis: Serve) -> None:
    status, body = readyz(serving(services, redis_url=redis(b"$5\r\ntrial\r\n"), systems=ALL_SYSTEMS))

    assert status == 200
    assert body == {
        "status": "ready",
        "checks": {
            "store": {"status": "ok", "schema": schema.HEAD, "dead_letters_waiting": 0, "oldest_due_seconds": 0.0},
            "broker": {"status": "ok"},
            "workers": {"status": "ok"},
            "salesforce": {"status": "ok"},
            "s4hana": {"status": "ok"},
            "zoho_books": {"status": "ok"},
            "connections": {"status": "ok", "active": 0, "down": []},
            "slack": {"status": "off"},
        },
    }


@pytest.fixture
def of_acme(services: Services) -> str:
    """A stored connection, whose system does not answer."""
    secrets = {"client_secret": "s", "refresh_token": "r", "webhook_secret": "planted-webhook-secret"}
    wanted = Wanted(name="books", settings={"client_id": "1000.X", "organization_id": "1"}, secrets=secrets)
    with services.store.begin() as uow:
        made = connections.create(services, uow, Act("ada", Origin.CLI), "acme", "zoho_books", wanted).id
    with services.store.begin() as uow:
        uow.breakers.failed(made, FailedCall(is_probe=False), system="Zoho Books", threshold=1)
    return made


def test_a_stored_connection_that_is_down_degrades_nobody_elses(services: Services, redis: Serve, of_acme: str) -> None:
    _, body = readyz(serving(services, redis_url=redis(b"$5\r\ntrial\r\n"), systems=ALL_SYSTEMS))

    assert body["status"] == "ready"
    assert body["checks"]["connections"] == {"status": "down", "active": 1, "down": [of_acme]}


def test_where_all_connections_are_stored_the_environment_is_expected_to_configure_none(
    services: Services, redis: Serve, of_acme: str
) -> None:
    _, body = readyz(serving(services, redis_url=redis(b"$5\r\ntrial\r\n"), systems={}))

    assert body["status"] == "ready"
    assert body["checks"].keys() == {"store", "broker", "workers", "connections", "slack"}


def test_a_system_that_is_not_configured_degrades(services: Services, redis: Serve) -> None:
    systems = {name: own for name, own in ALL_SYSTEMS.items() if name != "s4hana"}

    status, body = readyz(serving(services, redis_url=redis(b"$5\r\ntrial\r\n"), systems=systems))

    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["s4hana"]["status"] == "not configured"
    assert body["checks"]["salesforce"]["status"] == "ok"


def test_without_a_broker_webhooks_are_still_taken(services: Services) -> None:
    status, body = readyz(serving(services, systems=ALL_SYSTEMS))

    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["broker"]["status"] == "down"
    assert "nothing listens" in body["checks"]["broker"]["reason"]
    assert body["checks"]["store"]["status"] == "ok"


def test_a_broker_that_does_not_answer_holds_nobody(
    services: Services, redis: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(services, redis_url=redis(None), systems=ALL_SYSTEMS)
    monkeypatch.setattr(broker, "TIMEOUT_SECONDS", 0.3)

    begun = time.monotonic()
    status, body = readyz(client)

    assert time.monotonic() - begun < 2
    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["broker"]["reason"].startswith("no answer within 0.3 s")


def test_a_broker_that_refuses_the_password_is_down(services: Services, redis: Serve) -> None:
    answer = b"-WRONGPASS invalid username-password pair\r\n"

    _, body = readyz(serving(services, redis_url=redis(answer)))

    assert body["checks"]["broker"]["reason"].startswith("it refuses the user or the password")


def test_a_rabbit_that_is_not_there_is_down(services: Services) -> None:
    status, body = readyz(serving(services, broker_url="amqp://guest:very-secret-password@127.0.0.1:1//"))

    assert status == 200
    assert body["checks"]["broker"]["status"] == "down"
    assert "very-secret" not in json.dumps(body)


def test_the_embedded_server_is_asked_where_none_is_configured(services: Services) -> None:
    with TemporaryDirectory() as folder:  # a short path: that of a socket has a limit
        home = Path(folder)
        ensure_running(home)

        assert broker.problem(replace(services.settings, redis_url="", home=home)) is None


def test_queues_are_counted_on_the_broker(services: Services, redis: Serve) -> None:
    settings = replace(services.settings, redis_url=redis(b":3\r\n"))

    assert broker.queue_lengths(settings, ("crm", "dead_letter")) == {"crm": 3, "dead_letter": 3}
    assert broker.queue_lengths(services.settings, ("crm",)) == {}


def test_a_broken_store_is_not_ready_and_is_asked_nothing_more(
    services: Services, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_breakers", lambda _: pytest.fail("each question may wait for a whole timeout"))
    with services.store.engine.connect() as connection:
        connection.execute(text("DROP TABLE runs"))
        connection.commit()

    status, body = readyz(visitor)

    assert (status, body["status"]) == (503, "not ready")
    assert body["checks"]["store"]["status"] == "down"
    assert "not those of this release" in body["checks"]["store"]["reason"]


def test_a_store_of_another_release_is_not_ready(services: Services, visitor: FlaskClient) -> None:
    with services.store.begin() as uow:
        uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    status, body = readyz(visitor)

    assert (status, body["status"]) == (503, "not ready")
    assert body["checks"]["store"]["reason"] == "the schema is 9999, this release needs " + schema.HEAD


def test_a_system_whose_runs_are_held_is_not_called_ok(services: Services, redis: Serve) -> None:
    breakers = services._breakers()
    for _ in range(services.settings.behaviour.breaker_failures):
        breakers.failed("s4hana", "SAP S/4HANA", FailedCall(is_probe=False))
    breakers.failed("zoho_books", "Zoho Books", FailedCall(is_probe=False, reason="The plan is over."))

    status, body = readyz(serving(services, redis_url=redis(b"$5\r\ntrial\r\n"), systems=ALL_SYSTEMS))

    assert (status, body["status"]) == (200, "degraded")
    assert body["checks"]["salesforce"] == {"status": "ok"}
    assert body["checks"]["s4hana"]["reason"].startswith("it does not answer; runs that need it wait")
    assert body["checks"]["zoho_books"]["reason"].startswith("it refuses the account")


def test_readyz_counts_what_waits(
    visitor: FlaskClient, a_letter: Any, a_run: Any, clock: FakeClock, services: Services
) -> None:
    a_letter(VendorUnavailableError(), key="006xx0000012abdAAA")
    a_run(done=0)
    clock.advance(90)

    _, body = readyz(visitor)

    assert body["checks"]["store"]["dead_letters_waiting"] == 1
    assert body["checks"]["store"]["oldest_due_seconds"] == 90.0


def test_a_run_that_a_worker_holds_is_not_due(visitor: FlaskClient, a_run: Any, clock: FakeClock) -> None:
    a_run(leased=True)
    clock.advance(30)

    assert readyz(visitor)[1]["checks"]["store"]["oldest_due_seconds"] == 0.0


def test_readyz_tells_no_secret(services: Services) -> None:
    secret = "xoxb-very-secret"
    slack = SlackSettings(None, Secret(secret), "C1", "https://slack.example/")

    answer = serving(services, slack=slack, redis_url="redis://:very-secret@cache.internal.test:1/0").get("/readyz")

    assert answer.get_json()["checks"]["slack"] == {"status": "ok"}
    for hidden in ("very-secret", "cache.internal", "slack.example"):
        assert hidden not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
