"""Stand-ins for what a unit must not reach: a clock that is told the time, a vendor that is told what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from crmsync.company import Connections, company_of, default_roles
from crmsync.connectors.registry import system
from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.system import System
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.customers import Address, Candidate, Customer
from crmsync.domain.links import Link
from crmsync.domain.runs import Origin, Run
from crmsync.domain.tokens import AccessToken
from crmsync.errors import CrmsyncError
from crmsync.flows import order_to_invoice  # noqa: F401 - registers all flows
from crmsync.options import Options
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker.flow import FLOWS
from tests.builders import NOW


class OnlyDeclared:
    """Connections of which is known what their systems say of themselves; nobody can be asked there."""

    declared = staticmethod(system)


DEFAULT = company_of(DEFAULT_TENANT, default_roles(), cast(Connections, OnlyDeclared()), Options())
"""The company of the environment, for its connections' ids: nobody can be asked there."""


def connection_of(role: str) -> str:
    return DEFAULT.bound(role).connection


def origin_of(flow: str) -> Origin:
    """Where the subjects of a flow come from in the environment; those of a test's own flow from the CRM."""
    known = FLOWS.get(flow)
    return known.origin(DEFAULT) if known else DEFAULT.origin("deals")


def start_run(uow: UnitOfWork, flow: str, key: str, *, step: str, correlation_id: str, queued_until: datetime) -> Any:
    """Open the run of *flow* for *key*, once. Returns its id and whether it is new."""
    subjects = [(key, correlation_id)]
    return uow.runs.start_all(flow, origin_of(flow), subjects, step=step, queued_until=queued_until)[0]


def run_of_subject(uow: UnitOfWork, flow: str, key: str) -> Run | None:
    return uow.runs.of_subject(flow, origin_of(flow).source, key)


def link_of(connection: str, crm_key: str, key: str, origin: str, **more: Any) -> Link:
    """The link of an account of the CRM of the environment."""
    return Link(connection, connection_of("deals"), crm_key, key, origin, **more)


def add_link(uow: UnitOfWork, connection: str, _: str, crm_key: str, key: str, *, origin: str, **more: Any) -> bool:
    return uow.links.put(link_of(connection, crm_key, key, origin, **more))


def replace_link(uow: UnitOfWork, connection: str, _: str, crm_key: str, key: str, *, origin: str, **more: Any) -> None:
    uow.links.put_instead(link_of(connection, crm_key, key, origin, **more))


def fill(services: Services, **roles: Any) -> None:
    """Let stand-ins fill these *roles* of the company of the environment."""
    connectors = {connection_of(role): connector for role, connector in roles.items()}
    services._connect = connectors.__getitem__
    services._is_handed_in = True


def fill_everywhere(monkeypatch: pytest.MonkeyPatch, **roles: Any) -> None:
    """The same for all services, also those that a command opens itself."""
    connectors = {connection_of(role): connector for role, connector in roles.items()}
    connector, system_of = Services.connector, Services.system_of

    def connected(self: Services, connection: str, role: str = "") -> Any:
        return connectors.get(connection) or connector(self, connection, role)

    def named(self: Services, connection: str) -> str:
        known = connectors.get(connection)
        return system_of(self, connection) if known is None else str(getattr(known, "system", connection))

    monkeypatch.setattr(Services, "connector", connected)
    monkeypatch.setattr(Services, "system_of", named)


class Only:
    """Connects nothing but one connector, whatever is asked for."""

    def __init__(self, connector: Any) -> None:
        self._connector = connector

    def connector(self, connection: str, role: str = "") -> Any:
        return self._connector

    at_hand = connector

    def system_of(self, connection: str) -> str:
        return str(self._connector.system)

    def declared(self, connection: str) -> System:
        return system(connection)

    def is_configured(self, connection: str) -> bool:
        return True


class FakeClock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeVendor:
    """Makes documents, and loses answers or refuses as it is told; *hidden* ones do not show up in its lists."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.searches = 0
        self.hidden = 0
        self._failures: list[tuple[BaseException, bool]] = []

    def fails_with(self, error: BaseException, *, after_commit: bool = False, times: int = 1) -> None:
        self._failures += [(error, after_commit)] * times

    def create(self) -> Mapping[str, Any]:
        error, is_made = self._failures.pop(0) if self._failures else (None, True)
        document = {"number": str(len(self.documents) + 1)}
        if is_made:
            self.documents.append(document)
        if error is not None:
            raise error
        return document

    def find(self) -> list[Mapping[str, Any]]:
        self.searches += 1
        return list(self.documents[: len(self.documents) - self.hidden])


class FakeCustomers:
    """The customers of a system that knows every number, but those that are *missing*, under its own name for it."""

    def __init__(self, system: str, *, one_currency: bool = False) -> None:
        self.system = system
        self.customers_have_one_currency = one_currency
        self.name = "Acme Ltd"
        self.currency = "USD" if one_currency else ""
        self.missing: set[str] = set()
        self.blocked: set[str] = set()
        self.error: CrmsyncError | None = None
        self.asked: list[str] = []

    def read_customers(self, keys: Sequence[str], keep_alive: Callable[[], None]) -> dict[str, Candidate]:
        self.asked += keys
        if self.error is not None:
            raise self.error
        return {key: self._candidate(key) for key in keys if key not in self.missing}

    def read_accounts(self, keys: Sequence[str], keep_alive: Callable[[], None]) -> dict[str, Customer]:
        """As the CRM, where a test lets it stand for that."""
        if self.error is not None:
            raise self.error
        return {key: Customer(key, "Acme Ltd", address=Address(city="Ulm")) for key in keys if key not in self.missing}

    def _candidate(self, key: str) -> Candidate:
        return Candidate(key, self.name, "Springfield", currency=self.currency, is_blocked=key in self.blocked)


class AnyAccount:
    """Owners of tokens who ask nothing."""

    def mark(self, connection: str) -> str:
        return ""

    def is_mark_of(self, connection: str, mark: str) -> bool:
        return True

    def admit(self, connection: str) -> None:
        pass

    def signed_in(self, connection: str, told: str) -> None:
        pass


class FakeMessenger:
    """Keeps what people were told."""

    update_seconds = 60.0

    def __init__(self) -> None:
        self.told: list[tuple[Mapping[str, Any], int, str]] = []
        self.errors: list[Exception] = []

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        if self.errors:
            raise self.errors.pop(0)
        self.told.append((content, occurrences, message_id))
        return "C1:171.1"


class Signed:
    """An authorizer whose token, of the account at *instance_url*, can be renewed without end."""

    def __init__(self, instance_url: str = "", *, scheme: str = "Bearer") -> None:
        self.renewals = 0
        self.instance_url = instance_url
        self._scheme = scheme

    def token(self) -> AccessToken:
        return AccessToken(f"token-{self.renewals}", datetime.now(UTC) + timedelta(hours=1), self.instance_url)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"{self._scheme} {self.token().value}"}

    def renew(self, stale: Any) -> Renewal:
        self.renewals += 1
        return Renewal.FETCHED
