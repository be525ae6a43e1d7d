"""The web application over a real store whose clock is told the time; nothing is sent to a broker."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from crmsync import broker
from crmsync.celery import app as celery
from crmsync.company import Bound
from crmsync.domain.dead_letters import DeadLetter
from crmsync.domain.runs import Run
from crmsync.errors import CrmsyncError
from crmsync.flows import order_to_invoice
from crmsync.reading import foresight
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, schema
from crmsync.web import metrics
from crmsync.web.app import create_app
from crmsync.worker import customer_links, dead_letters, link_checks, questions
from crmsync.worker.flow import Flow
from tests.builders import DEAL_KEY, customer, deal
from tests.fakes import FakeClock, FakeCustomers, FakeMessenger, start_run

STEPS = order_to_invoice.FLOW.steps
PASSWORD = "tower-password-1"
NO_REDIS = "redis://127.0.0.1:1/0"  # nothing listens there


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings() -> Settings:
    told = {"CRMSYNC_TOWER_PASSWORD": PASSWORD, "REDIS_URL": NO_REDIS, "CRMSYNC_DOORS_URL": "https://doors.example"}
    return Settings.from_env({**os.environ, **told})


@pytest.fixture
def services(settings: Settings, database_url: str, clock: FakeClock) -> Iterator[Services]:
    store = Store(database_url, clock=clock)
    schema.migrate(store)
    yield Services(settings, store, messenger=FakeMessenger())
    store.close()


@pytest.fixture
def enqueued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that a chain was sent for."""
    sent: list[str] = []
    monkeypatch.setattr(Flow, "enqueue", lambda self, run_id, results=None: sent.append(run_id))
    return sent


@pytest.fixture
def app(services: Services, enqueued: list[str], monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr(dead_letters, "best_effort", lambda send: send())
    monkeypatch.setattr(metrics, "queue_names", lambda: ("crm", "dead_letter"))  # Celery's would start a server
    monkeypatch.setattr(broker, "TIMEOUT_SECONDS", 0.3)
    return create_app(services)


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    """Somebody without the password."""
    return app.test_client()


@pytest.fixture
def operator(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = basic("crmsync", PASSWORD)
    return client


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


Seed = Callable[..., Run]


@pytest.fixture
def a_run(services: Services, clock: FakeClock) -> Seed:
    """A run of *company* that has done its first steps, each in half a second."""

    def seed(company: str = "Acme Ltd", *, key: str = DEAL_KEY, done: int = 1, leased: bool = False) -> Run:
        with services.store.begin() as uow:
            run_id, _ = start_run(
                uow, "order_to_invoice", key, step=STEPS[0], correlation_id="c" * 32, queued_until=uow.now
            )
            uow.deliveries.add("salesforce", key)
        for position in range(done):
            _finish(services, clock, run_id, position, company)
        return _standing(services, run_id, leased=leased)

    return seed


def _learned(company: str) -> dict[str, Any]:
    """What each step learns; the first one learns about persons."""
    read = deal(customer=customer(name=company, first_name="Petra", last_name="Private", email="petra@acme.test"))
    return {
        "fetch_deal": read.to_json(),
        "match_erp_customer": {"customer_key": "1000123"},
        "create_order": {"key": "4500001", "number": "4500001", "net": None, "total": None},
        "match_books_customer": {"customer_key": "982000123"},
        "create_invoice": {"key": "982000999", "number": "INV-000042", "net": None, "total": None},
        "send_invoice": {"invoice": "INV-000042"},
        "write_back": {"order_number": "4500001", "invoice_number": "INV-000042", "status": "Synced"},
    }


def _finish(services: Services, clock: FakeClock, run_id: str, position: int, company: str) -> None:
    step, following = STEPS[position], STEPS[position + 1 :]
    with services.store.begin() as uow:
        run, started_at = uow.runs.claim(run_id, step, lease_seconds=60), uow.now
    assert run is not None
    clock.advance(0.5)
    with services.store.begin() as uow:
        uow.runs.finish_step(
            run,
            _learned(company)[step],
            next_step=following[0] if following else None,
            queued_until=uow.now,
            title=f"{company} – 200 sensors",
            amount=Decimal("47000.00"),
            currency="USD",
        )
        uow.history.note(run, "done", started_at=started_at)


def _standing(services: Services, run_id: str, *, leased: bool) -> Run:
    with services.store.begin() as uow:
        run = uow.runs.get(run_id)
        assert run is not None
        return (uow.runs.claim(run_id, run.step, lease_seconds=60) or run) if leased else run


Bury = Callable[..., DeadLetter]


@pytest.fixture
def a_letter(services: Services, a_run: Seed, clock: FakeClock) -> Bury:
    """A run that died of *error*; takes what a_run takes."""

    def bury(error: CrmsyncError, **of_run: Any) -> DeadLetter:
        run = a_run(leased=True, **of_run)
        with services.store.begin() as uow:
            uow.runs.stop(run, title=None, amount=None, currency=None)
            uow.history.note(run, "stopped", started_at=uow.now - timedelta(seconds=1), detail=str(error))
            letter, _ = uow.dead_letters.add(run, error)
            uow.alerts.add(run.tenant, error.cause, {"headline": "A deal is stuck", "facts": [], "cause": str(error)})
        return letter

    return bury


@dataclass
class AtOnce:
    """A worker that answers each question as soon as it is sent, and the systems as it sees them."""

    crm: FakeCustomers
    there: FakeCustomers
    is_there: bool = True
    is_broker_there: bool = True
    questions: list[str] = field(default_factory=list)

    def send(self, task: str, question_id: str) -> bool:
        self.questions.append(question_id)
        if self.is_there and self.is_broker_there:
            celery.tasks[task](question_id)
        return self.is_broker_there


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch, services: Services) -> AtOnce:
    made = AtOnce(FakeCustomers("the CRM"), FakeCustomers("the ERP"))
    monkeypatch.setattr(made.crm, "fetch_deal", lambda _: deal(name="300 sensors"), raising=False)
    monkeypatch.setattr(questions, "send", made.send)
    for tasks in (link_checks, foresight):
        monkeypatch.setattr(tasks, "services", lambda: services)
    monkeypatch.setattr(Bound, "api", made.crm)
    monkeypatch.setattr(customer_links, "role", lambda *_: made.there)
    return made
