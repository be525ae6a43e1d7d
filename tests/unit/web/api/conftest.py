"""The API over a real store, with a token for each role, of the whole installation and of two tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from crmsync import people
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.domain.links import Link
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services

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


@pytest.fixture
def world(services: Services, a_letter: Any) -> World:
    letter = a_letter(VendorUnavailableError(), done=3)
    account = "001xx000003DGb0AAG"
    with services.store.begin() as uow:
        uow.links.put(Link("s4hana", "salesforce", account, "1000123", "imported", name="Acme Ltd", city="Berlin"))
        made = people.create_token(uow, ADA, name="of the default", role=Role.VIEWER, tenant="default")
    return World(letter.run_id, letter.id, account, made.token.id)
