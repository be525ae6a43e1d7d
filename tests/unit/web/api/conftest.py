"""The API over a real store, with a token for each role, of the whole installation and of two tenants."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import make_url
from werkzeug.test import TestResponse

from crmsync import bindings, connections, files, passwords, people, private_key, subscriptions
from crmsync.connection_trial import Trial
from crmsync.connectors import registry
from crmsync.domain.access import Role
from crmsync.domain.approvals import Decision
from crmsync.domain.audit import Act, Origin
from crmsync.domain.connections import Connection, Wanted
from crmsync.domain.links import Link
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web.api.app import describe, serve
from crmsync.worker import four_eyes, trials
from tests.fakes import FakeClock

ADA = Act("ada", Origin.CLI)


@dataclass
class Caller:
    """Somebody with a token."""

    client: FlaskClient
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **self.headers, **options.pop("headers", {})}
        return self.client.open(f"/api/erp{path}", method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        answer = self("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.get_json()


Admit = Callable[..., Caller]


_idle: list[Flask] = []  # described already, and not in use by a test


@pytest.fixture(autouse=True)
def described_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hundreds of tests need an API, and to describe one takes longer than most of them."""
    used = []

    def create(services: Services) -> Flask:
        used.append(_idle.pop() if _idle else describe())
        return serve(used[-1], services)

    monkeypatch.setattr("crmsync.web.api.app.create_api", create)
    yield
    _idle.extend(used)


@pytest.fixture
def caller(app: Flask, services: Services) -> Admit:
    def admit(role: str = "admin", tenant: str | None = None) -> Caller:
        with services.store.begin() as uow:
            made = people.create_token(uow, ADA, name=f"{role} of {tenant}", role=Role(role), tenant=tenant)
        return Caller(app.test_client(), made.text)

    return admit


@pytest.fixture
def admin(caller: Admit) -> Caller:
    return caller()


@dataclass(frozen=True)
class World:
    """What there is of the tenant `default`."""

    run_id: str
    letter_id: int
    account: str
    token_id: str
    connection_id: str
    names: dict[str, str]
    """By which bodies name what there is."""
    approval_id: int
    """What somebody else than ADA has proposed about the letter."""


BOOKS: dict[str, Any] = {
    "erp_system": "zoho_books",
    "name": "Our books",
    "settings": {"client_id": "1000.ABC", "organization_id": "60001"},
    "secrets": {
        "client_secret": "planted-client-secret",
        "refresh_token": "planted-refresh-token",
        "webhook_secret": "planted-webhook-secret",
    },
}
"""What POST /connections takes."""


@pytest.fixture
def a_connection(services: Services) -> Callable[..., Connection]:
    def make(tenant: str = "default", **more: Any) -> Connection:
        wanted = {name: BOOKS[name] for name in ("name", "settings", "secrets")} | more
        with services.store.begin() as uow:
            return connections.create(services, uow, ADA, tenant, "zoho_books", Wanted(**wanted))

    return make


_check_key = cache(private_key._check)  # of the same key again and again; it takes longer than what is asked of it


@pytest.fixture(autouse=True)
def keys_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_key, "_check", _check_key)


@cache
def _key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _wanted() -> dict[str, tuple[str, Wanted]]:
    crm = Wanted(
        settings={"client_id": "3MVG9", "username": "sync@acme.test"},
        secrets={
            "private_key": _key(),
            "webhook_secret": "planted-webhook-secret",
            "webhook_bearer": "planted-webhook-bearer",
        },
    )
    erp = Wanted(
        settings={"base_url": "https://erp.acme.test", "client_id": "c", "sales_organization": "1010"},
        secrets={"client_secret": "planted-client-secret"},
    )
    books = Wanted(settings=BOOKS["settings"], secrets=BOOKS["secrets"])
    return {"crm": ("salesforce", crm), "erp": ("s4hana", erp), "books": ("zoho_books", books)}


def environment() -> dict[str, str]:
    """The variables that configure the same for the installation's own tenant."""
    made = {}
    for system, wanted in _wanted().values():
        values = {**(wanted.settings or {}), **wanted.secrets}
        made |= {each.variable: values[each.name] for each in registry.system(system).declared if each.name in values}
    return made


def shop(services: Services, tenant: str, *, name: str = "") -> dict[str, str]:
    """A CRM, an ERP and books of *tenant*, by what they are: their ids."""
    made = {}
    for place, (system, wanted) in _wanted().items():
        with services.store.begin() as uow:
            named = replace(wanted, name=f"{name}{place}")
            made[place] = connections.create(services, uow, ADA, tenant, system, named).id
    return made


@pytest.fixture
def of_acme(services: Services) -> dict[str, str]:
    return shop(services, "acme")


TRIED = Trial(True, "It signs in, and everything that runs need is there.", 0.25)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, services: Services) -> list[str]:
    """The connections that a worker has tried, at once: each works."""
    asked: list[str] = []

    def send(connection_id: str) -> bool:
        asked.append(connection_id)
        trials.try_connection(connection_id)
        return True

    monkeypatch.setattr(trials, "services", lambda: services)
    monkeypatch.setattr(trials, "try_out", lambda *_: TRIED)
    monkeypatch.setattr(trials, "send", send)
    return asked


@pytest.fixture(autouse=True)
def one_key(clean_environment: None, tmp_path: Path) -> None:
    """Each test has the same key in its state directory, so that what one world has sealed another can open."""
    home = tmp_path / "home"
    files.make_private_folder(home)
    (home / passwords.SECRET_KEY_FILE).write_text("a key that is the same in each test of the API")


_made: list[tuple[Settings, datetime, World, datetime, sqlite3.Connection]] = []


@pytest.fixture
def world(
    services: Services,
    clock: FakeClock,
    a_letter: Any,
    a_connection: Callable[..., Connection],
    tried: list[str],
) -> World:
    """Made once for the same settings and time: an empty SQLite gets a copy, which takes a tenth of the time."""
    began, own = clock(), replace(services.settings, home=Path(), database_url="")
    may_copy = services.store.is_sqlite and _is_empty(services)
    for settings, at, known, ended, copy in _made if may_copy else ():
        if (settings, at) == (own, began):
            with closing(sqlite3.connect(make_url(services.store.url).database or "")) as target:
                copy.backup(target)
            clock.now = ended
            return known
    made = _world(services, a_letter, a_connection)
    if may_copy:
        copy = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(make_url(services.store.url).database or "")) as source:
            source.backup(copy)
        _made.append((own, began, made, clock(), copy))
    return made


def _is_empty(services: Services) -> bool:
    with services.store.read() as uow:
        return not uow.audit.newest(None, limit=1) and not uow.runs.newest(None, limit=1)


def _world(services: Services, a_letter: Any, a_connection: Callable[..., Connection]) -> World:
    letter = a_letter(VendorUnavailableError(), done=3)
    account = "001xx000003DGb0AAG"
    with services.store.begin() as uow:
        uow.links.put(Link("s4hana", "salesforce", account, "1000123", "imported", name="Acme Ltd", city="Berlin"))
        made = people.create_token(uow, ADA, name="of the default", role=Role.VIEWER, tenant="default")
    connection = a_connection(name="The default's books")
    ours = shop(services, "default")
    with services.store.begin() as uow:
        bindings.put(services, uow, ADA, "default", "inventory", {"catalogue": ours["crm"], "stock": ours["erp"]})
        webhook, _ = subscriptions.create(services, uow, ADA, "default", ours["crm"])
        answers = four_eyes.asdict_of(four_eyes.NO_ANSWERS)
        approval = uow.approvals.add(letter, Decision.REPLAY, answers, by="cleo", reason="")
        assert approval is not None
    return World(
        letter.run_id,
        letter.id,
        account,
        made.token.id,
        connection.id,
        {**ours, "config": f"inventory:{ours['crm']}", "webhook": webhook.id},
        approval.id,
    )
