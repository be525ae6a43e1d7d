"""Whose a row is, for people who see all companies: its company and its connection; one company alone sees neither."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from flask import Flask
from flask.testing import FlaskClient

from crmsync import people
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import Binding
from crmsync.domain.breaker import FailedCall
from crmsync.domain.runs import Origin as RunOrigin
from crmsync.domain.stock import Product
from crmsync.services import Services
from crmsync.store.deliveries import seen_by_catch_up
from tests.fakes import start_run
from tests.unit.web.api.conftest import shop
from tests.unit.web.test_sign_in import BROWSER, SECRET, sign_in
from tests.unit.web.test_tower import words

FIRST = "read_catalogue"


@pytest.fixture
def of_acme(services: Services) -> Mapping[str, str]:
    """Its catalogue has a product that is low, an inventory and a missed deal; and so has that of the environment."""
    made = shop(services, "acme", name="our ")
    with services.store.begin() as uow:
        for tenant, crm, code in (("acme", made["crm"], "SENSOR"), ("default", "salesforce", "CABLE")):
            uow.products.saw(crm, [Product(f"01t{code}", code, True, Decimal(1), True)], seen_at=uow.now, trust=True)
            uow.deliveries.add(seen_by_catch_up("order_to_invoice", crm), "006", event_key=code, is_healed=True)
            for flow, key in (("inventory", "inventory"), ("order_to_invoice", f"006{code}")):
                uow.runs.start_all(flow, RunOrigin(tenant, crm), [(key, "c")], step=FIRST, queued_until=uow.now)
        people.add_user(uow, Act("root", Origin.CLI), "ann", SECRET, role=Role.VIEWER, tenant="acme")
    return made


def page_of(app: Flask, name: str, path: str) -> str:
    client = app.test_client()
    sign_in(client, name)
    return words(client.get(path, headers=BROWSER))


@pytest.mark.usefixtures("of_acme")
def test_a_product_says_whose_it_is(operator: FlaskClient) -> None:
    for path in ("/stock", "/stock?text=S"):
        page = words(operator.get(path))
        assert "Code Company Connection Read in the ERP" in page
        assert "SENSOR acme our crm 1" in page
    assert "CABLE default Salesforce 1" in words(operator.get("/stock"))


@pytest.mark.usefixtures("of_acme")
def test_each_catalogue_has_a_line_of_its_inventory(operator: FlaskClient) -> None:
    for path in ("/stock", "/"):
        page = words(operator.get(path))
        assert "Company Connection low refused not in the ERP Last completed acme our crm 1 0 0 never" in page
        assert "default Salesforce 1 0 0 never" in page


@pytest.mark.usefixtures("of_acme")
def test_the_overview_says_whose_changes_and_runs_are(operator: FlaskClient) -> None:
    page = words(operator.get("/"))

    assert "Changes of Company Connection expected" in page
    assert "Deals acme our crm 1 0 1 never" in page
    assert "Deals default Salesforce 1 0 1 never" in page
    assert "006SENSOR acme, our crm" in page


def test_the_overview_says_whose_system_is_down(
    operator: FlaskClient, services: Services, of_acme: Mapping[str, str]
) -> None:
    watch = services._breakers()
    for _ in range(services.settings.behaviour.breaker_failures):
        watch.failed(of_acme["crm"], "Salesforce", FailedCall(is_probe=False))

    assert "Salesforce (acme): crmsync waits for it" in words(operator.get("/"))


@pytest.mark.usefixtures("of_acme")
def test_one_company_alone_is_not_told_apart(app: Flask, operator: FlaskClient) -> None:
    for page in (page_of(app, "ann", "/stock"), page_of(app, "ann", "/")):
        assert "Company" not in page
        assert "our crm" not in page
        assert "CABLE" not in page
    assert "SENSOR 1" in page_of(app, "ann", "/stock")
    assert "Deals 1 0 1" in page_of(app, "ann", "/")
    assert "Deals 1 0 1" in words(operator.get("/?tenant=acme")), "it is chosen"


def test_where_there_is_one_company_nothing_is_said(operator: FlaskClient, services: Services) -> None:
    with services.store.begin() as uow:
        uow.products.saw("salesforce", [Product("01t", "CABLE", True, Decimal(1), True)], seen_at=uow.now, trust=True)
        start_run(uow, "inventory", "inventory", step=FIRST, correlation_id="c", queued_until=uow.now)

    for path in ("/stock", "/"):
        assert "Company" not in words(operator.get(path))
    assert "CABLE 1" in words(operator.get("/stock"))


@pytest.mark.usefixtures("of_acme")
def test_a_threshold_is_named_where_all_have_the_same(operator: FlaskClient, services: Services) -> None:
    with services.store.begin() as uow:
        uow.products.unknown("salesforce", ["01tCABLE"])
        for connection in uow.owners.made_by("acme"):
            uow.products.unknown(connection, ["01tSENSOR"])
    assert "No product has less than 10 available." in words(operator.get("/stock"))
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "inventory", "con_a", {}, {"low_stock_threshold": "3"}))
    services.companies.forget()

    assert "less than its company asks for" in words(operator.get("/stock"))
    assert "less than 3 available" in words(operator.get("/stock?tenant=acme"))
