"""What a connector lacks for a role is said when it is bound or tested, and never found out by a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crmsync import bindings, connections
from crmsync.connection_trial import try_out
from crmsync.connectors import registry
from crmsync.connectors.abilities import ANY, lacking
from crmsync.connectors.base import Check, Invoices
from crmsync.connectors.s4hana.client import S4Hana
from crmsync.connectors.salesforce.client import Salesforce
from crmsync.connectors.zoho_books.client import ZohoBooks
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import InvalidBindingError
from crmsync.domain.connections import Connection, Status, Wanted
from crmsync.errors import ConfigurationError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store
from tests.made_up.client import Ledgerly
from tests.unit.connectors.test_systems import made_up
from tests.unit.web.api.conftest import shop

ADA = Act("ada", Origin.CLI)
__all__ = ["made_up"]


class Partial(Ledgerly):
    """As its first release was: it can't mail an invoice, and knows no payment terms."""

    send_invoice = None  # type: ignore[assignment]

    def create_customer(  # type: ignore[override]
        self, customer: Any, *, reference: str, currency: str, suffix: str = ""
    ) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("kind", "name"), [(Salesforce, "salesforce"), (S4Hana, "s4hana"), (ZohoBooks, "zoho_books"), (Ledgerly, "")]
)
def test_ours_have_everything_that_their_roles_ask(kind: type[Any], name: str) -> None:
    made = object.__new__(kind)
    made.time_zone = "Europe/Berlin"
    roles = registry.system(name).roles if name else ("invoices", "payments")

    assert {role: lacking(made, role) for role in (ANY, *roles)} == {role: [] for role in (ANY, *roles)}


def test_a_method_that_is_missing_or_called_otherwise_is_named() -> None:
    found = lacking(object.__new__(Partial), "invoices")

    assert found == [
        "create_customer() as it is called (got an unexpected keyword argument 'payment_terms_days')",
        "send_invoice()",
    ]
    assert lacking(object.__new__(Partial), "payments") == []


def test_a_value_that_is_missing_is_named() -> None:
    class Bare(Invoices):
        pass

    assert lacking(Bare(), "invoices") == ["system", "customers_have_one_currency", "time_zone"]


@pytest.fixture
def using(made_up: None, store: Store, clean_environment: None) -> Services:
    env = {"HOME": "/nowhere", "CRMSYNC_SECRET_KEY": "a key with which secrets are sealed"}
    return Services(Settings.from_env(env), store)


@pytest.fixture
def books(using: Services) -> Connection:
    settings = {"client_id": "x", "client_secret": "a secret"}
    with using.store.begin() as uow:
        return connections.create(using, uow, ADA, "acme", "ledgerly", Wanted(name="Books", settings=settings))


@pytest.fixture
def roles(using: Services, books: Connection) -> dict[str, str]:
    own = shop(using, "acme")
    return {"deals": own["crm"], "orders": own["erp"], "invoices": books.id, "payments": books.id}


@pytest.fixture
def is_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.made_up.client.Ledgerly", Partial)
    monkeypatch.setattr(Ledgerly, "checks", lambda _: iter([Check("sign-in", True)]))


def bind(using: Services, roles: dict[str, str]) -> None:
    with using.store.begin() as uow:
        bindings.put(using, uow, ADA, "acme", "order_to_invoice", roles)


@pytest.mark.usefixtures("is_partial")
def test_a_role_that_it_lacks_something_for_is_not_bound(using: Services, roles: dict[str, str]) -> None:
    with pytest.raises(InvalidBindingError) as refused:
        bind(using, roles)

    assert list(refused.value.field_errors) == ["roles.invoices"]
    told = refused.value.field_errors["roles.invoices"]
    assert f"{roles['invoices']} can't fill the role invoices: the connector of Ledgerly lacks" in told
    assert "send_invoice()" in told


def test_one_that_lacks_nothing_is_bound(using: Services, roles: dict[str, str]) -> None:
    bind(using, roles)

    assert using.companies.all("order_to_invoice")[-1].invoices.connection == roles["invoices"]


def test_a_test_and_a_run_of_what_was_bound_before_say_so(
    using: Services, roles: dict[str, str], request: pytest.FixtureRequest
) -> None:
    bind(using, roles)
    request.getfixturevalue("is_partial")

    trial = try_out(using, "acme", roles["invoices"])

    assert not trial.success
    assert trial.message.startswith(f"role invoices: The connection {roles['invoices']} can't fill the role invoices")
    assert len(trial.missing) == 1
    with using.store.read() as uow:
        assert uow.connections.in_use(roles["invoices"]).connection.status is Status.ERROR  # type: ignore[union-attr]
    company = using.companies.of("acme", "order_to_invoice", "deals", roles["deals"])
    with pytest.raises(ConfigurationError, match=r"can't fill the role invoices.*send_invoice"):
        company.invoices.api  # noqa: B018
    assert isinstance(company.payments.api, Partial), "what it can do goes on"


@pytest.mark.usefixtures("is_partial")
def test_what_nobody_has_bound_is_a_note(using: Services, books: Connection) -> None:
    _, role = using.examine(books.id)

    assert (role.name, role.is_ok, role.is_note) == ("role invoices", True, True)
    assert try_out(using, "acme", books.id).success


class Mute(Ledgerly):
    checks = None  # type: ignore[assignment]


def test_one_without_checks_says_so(using: Services, books: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.made_up.client.Ledgerly", Mute)

    assert "can't be used: the connector of Ledgerly lacks checks()" in try_out(using, "acme", books.id).message


def test_a_connector_that_can_t_be_made_says_so(
    using: Services, roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Iterator[Any]:
        raise KeyError("a secret")

    monkeypatch.setattr("tests.made_up.client.Ledgerly", broken)

    told = try_out(using, "acme", roles["invoices"]).message
    with pytest.raises(InvalidBindingError) as refused:
        bind(using, roles)

    assert "The connector of Ledgerly can't be made" in told
    assert "KeyError" in refused.value.field_errors["roles.invoices"]
    assert "a secret" not in told
