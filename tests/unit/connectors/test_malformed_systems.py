"""A system whose package is broken says what is wrong with it, and takes no other down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest

import tests.made_up as package
from crmsync import bindings, connections, systems
from crmsync.cli import check_systems, checks
from crmsync.connectors import registry
from crmsync.domain.audit import Act, Origin
from crmsync.domain.connections import Wanted
from crmsync.environment import env
from crmsync.errors import ConfigurationError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.web import health
from tests.made_up import SYSTEM
from tests.unit.connectors.test_systems import MADE_UP, forget_what_was_found
from tests.unit.web.api.conftest import shop

OURS = ["salesforce", "s4hana", "zoho_books"]
ADA = Act("ada", Origin.CLI)
Install = Callable[[Any], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package whose entry point leads to this; it comes first, as the order of packages is anybody's."""

    def use(what: Any) -> None:
        monkeypatch.setattr(package, "SYSTEM", what)
        monkeypatch.setattr(systems, "entry_points", lambda *, group: [MADE_UP, *entry_points(group=group)])
        forget_what_was_found()

    yield use
    monkeypatch.undo()
    forget_what_was_found()


@dataclass(frozen=True)
class Undeclared:
    client_id: str = env.required("LEDGERLY_CLIENT_ID")


DOOR = SYSTEM.doors[0]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("a text", "expected a crmsync.connectors.system.System, and not a str"),
        (replace(SYSTEM, name="Ledger ly"), "name is 'Ledger ly'"),
        (replace(SYSTEM, name="salesforce"), "there is another system of the name salesforce"),
        (replace(SYSTEM, roles=("invoices", "sales")), "roles has sales: expected some of deals"),
        (replace(SYSTEM, roles="invoices"), "roles is 'invoices': expected a tuple of texts"),
        (replace(SYSTEM, auth_kinds=()), "auth_kinds is (): expected a tuple of texts"),
        (replace(SYSTEM, auth_kinds=("a", "b")), "no auth_setting says which"),
        (replace(SYSTEM, auth_setting="auth"), "auth_setting is auth, which is no setting"),
        (replace(SYSTEM, settings=dict), "settings is <class 'dict'>: expected a dataclass"),
        (replace(SYSTEM, settings=Undeclared), "the setting client_id is not declared"),
        (replace(SYSTEM, variable="LEDGERLY_KEY"), "LEDGERLY_KEY is mentioned and is the variable of no setting"),
        (replace(SYSTEM, prefixes=("LEDGER-",)), "the variable LEDGERLY_CLIENT_ID begins with none of LEDGER-"),
        (replace(SYSTEM, claim=None), "claim is None: expected a function"),
        (replace(SYSTEM, consent="page"), "consent is 'page': expected a Consent"),
        (replace(SYSTEM, doors=("payment",)), "doors has 'payment': expected a Door"),
        (replace(SYSTEM, doors=(DOOR, DOOR)), "two doors have one name"),
        (replace(SYSTEM, doors=(replace(DOOR, path="payment"),)), "the door payment has the path payment"),
        (
            replace(SYSTEM, doors=(replace(DOOR, path="/webhook/zoho/payment"),)),
            "its door /webhook/zoho/payment is another system's",
        ),
        (replace(SYSTEM, doors=(replace(DOOR, announces="stock"),)), "announces stock: expected payments"),
        (replace(SYSTEM, doors=(replace(DOOR, secrets=("LEDGERLY_CLIENT_SECRET",)),)), "no setting of env.door_secret"),
        (replace(SYSTEM, doors=(replace(DOOR, forms={}),)), "has no forms or no code"),
    ],
)
def test_what_is_wrong_is_said_and_the_others_work(
    install: Install, made: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        install(made)

        assert list(systems.installed()) == OURS

    (name,), (why,) = systems.refused().keys(), systems.refused().values()
    assert name == "ledgerly"
    assert why.startswith("the system ledgerly (tests.made_up:SYSTEM) is not used: ")
    assert words in why
    assert why in caplog.text
    with pytest.raises(ConfigurationError, match="is not used"):
        registry.system_named("ledgerly")
    (found,) = checks.of_packages()
    assert (found.is_ok, found.name) == (False, "system ledgerly")


def test_a_package_that_can_t_be_loaded_is_said(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(SYSTEM)
    broken = EntryPoint("ledgerly", "tests.made_up.nowhere:SYSTEM", systems.GROUP)
    monkeypatch.setattr(systems, "entry_points", lambda *, group: [broken, *entry_points(group=group)])
    forget_what_was_found()

    assert list(systems.installed()) == OURS
    assert "can't be loaded: ModuleNotFoundError" in systems.refused()["ledgerly"]


def test_one_that_is_right_is_used(install: Install) -> None:
    install(SYSTEM)

    assert set(systems.installed()) == {*OURS, "ledgerly"}
    assert (systems.refused(), list(checks.of_packages())) == ({}, [])


def test_its_stored_connections_stop_nobody_elses(install: Install, store: Store, clean_environment: None) -> None:
    install(SYSTEM)
    settings = {"client_id": "x", "client_secret": "a secret"}
    key = {"HOME": "/nowhere", "CRMSYNC_SECRET_KEY": "a key with which secrets are sealed"}
    using = Services(Settings.from_env(key), store)
    with store.begin() as uow:
        books = connections.create(using, uow, ADA, "acme", "ledgerly", Wanted(name="Books", settings=settings))
    own = shop(using, "acme")

    install(replace(SYSTEM, roles=()))
    using = Services(Settings.from_env(key), store)
    roles = {"deals": own["crm"], "orders": own["erp"], "invoices": own["books"]}
    with store.begin() as uow:
        bindings.put(using, uow, ADA, "acme", "order_to_invoice", roles)

    assert using.companies.all("order_to_invoice")[-1].deals.connection == own["crm"]
    assert {each.id for each in connections.all_of(using, "acme")} == {books.id, *own.values()}
    found = [each for each in check_systems.of_connections(using) if books.id in each.area]
    assert [each.is_ok for each in found] == [False]
    assert "is not used: roles is ()" in found[0].detail
    assert "connections" in health.check_all(using)
