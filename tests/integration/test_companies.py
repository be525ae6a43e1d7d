"""Which connections a run works with: those that its tenant has bound, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from crmsync import bindings
from crmsync.companies import usage_of
from crmsync.connectors.system import Usage
from crmsync.domain.bindings import Binding
from crmsync.domain.breaker import FailedCall
from crmsync.domain.learned import DealRead
from crmsync.errors import ConfigurationError, OutcomeUnknownError, VendorUnavailableError
from crmsync.flows import compare_orders, order_to_invoice, payment_to_invoices
from crmsync.options import Options, read_options
from crmsync.services import Services
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import company_of
from tests.builders import deal
from tests.fakes import FakeClock

ROLES = {"deals": "con_crm", "orders": "con_erp", "invoices": "con_books", "payments": "con_books"}
DEAL = "006xx0000012abcAAA"


def bind(services: Services, tenant: str = "acme", flow: str = "order_to_invoice", **changes: Any) -> Binding:
    roles = {**ROLES, **changes.pop("roles", {})}
    source = roles["payments" if flow == "payments" else "deals"]
    made = Binding(tenant, flow, source, roles, changes)
    with services.store.begin() as uow:
        assert uow.bindings.add(made)
    services.companies.forget()
    return made


def opened(services: Services, tenant: str, key: str = DEAL) -> Any:
    """A run of the tenant's first company."""
    company = next(each for each in services.companies.all("order_to_invoice") if each.tenant == tenant)
    with services.store.begin() as uow:
        run_id, is_new = order_to_invoice.FLOW.open_run(uow, company, key, correlation_id="c")
        assert is_new
        return uow.runs.get(run_id)


def test_one_deal_id_in_two_crms_is_two_runs_each_with_its_own_connections(services: Services) -> None:
    bind(services)
    bind(services, "other", roles={"deals": "con_crm2", "orders": "con_erp2"})

    runs = [opened(services, tenant) for tenant in ("default", "acme", "other")]

    orders = [company_of(services, run).orders.connection for run in runs]
    assert orders == ["s4hana", "con_erp", "con_erp2"]


def test_flows_that_look_after_one_that_is_bound_go_with_it(services: Services) -> None:
    bind(services)
    company = services.companies.of("acme", compare_orders.FLOW.bound_as, "orders", "con_erp")

    assert (company.tenant, company.deals.connection) == ("acme", "con_crm")
    assert compare_orders.FLOW.origin(company).source == "con_erp"
    assert payment_to_invoices.FLOW.bound_as == "payments", "and payments are bound by themselves"
    assert [each.tenant for each in services.companies.all("payments")] == ["default"]


def test_a_run_whose_binding_is_gone_has_nobody_elses_connections(services: Services) -> None:
    """It must not post into the ERP of the environment, nor into another one of its own tenant."""
    binding = bind(services)
    bind(services, roles={"deals": "con_crm2", "orders": "con_erp2"})
    run = opened(services, "acme")
    with services.store.begin() as uow:
        uow.bindings.remove(binding)
    services.companies.forget()

    company = company_of(services, run)

    assert (company.deals.connection, company.orders.connection) == ("con_crm", "")
    with pytest.raises(ConfigurationError, match="No connection is bound"):
        company.orders.api  # noqa: B018


def test_what_the_environment_configures_is_bound_unless_its_tenant_has_bound_it_anew(services: Services) -> None:
    assert [each.tenant for each in services.companies.all("order_to_invoice")] == ["default"]

    bind(services, "default", roles={"deals": "salesforce"})

    (company,) = services.companies.all("order_to_invoice")
    assert company.orders.connection == "con_erp"


def test_a_binding_that_another_process_has_made_is_known_soon(services: Services, clock: FakeClock) -> None:
    services.companies.all("order_to_invoice")
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "order_to_invoice", "con_crm", ROLES))

    clock.advance(10)

    assert len(services.companies.all("order_to_invoice")) == 2


def test_a_run_of_what_another_process_has_just_bound_has_its_connections(services: Services) -> None:
    """Its webhook may come at once, and a worker that knew nothing of the binding would make a dead letter of it."""
    services.companies.all("order_to_invoice")
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "order_to_invoice", "con_crm", ROLES))

    company = services.companies.of("acme", "order_to_invoice", "deals", "con_crm")

    assert company.orders.connection == "con_erp"


def test_two_people_who_change_a_binding_at_once_do_not_lose_a_change(services: Services) -> None:
    made = bind(services)
    with services.store.begin() as uow:
        assert uow.bindings.change(replace(made, roles={**ROLES, "orders": "con_erp2"}))
        assert not uow.bindings.change(replace(made, options={"burst_deals": 5}))
        (kept,) = uow.bindings.all("acme")

    assert (kept.roles["orders"], kept.version) == ("con_erp2", 2)


# -- options


def test_a_company_has_its_own_options_and_the_environments_where_it_says_nothing(
    services: Services, clock: FakeClock
) -> None:
    bind(services, low_stock_threshold="3", payment_terms_days=14)

    company = services.companies.all("order_to_invoice")[1]

    assert company.options.low_stock_threshold == Decimal(3)
    assert company.options.payment_terms_days == 14
    assert company.options.held_orders == services.settings.behaviour.held_orders
    assert services.go_live(company) == clock.now, "what was won before it was bound is not started"
    assert services.company().options.payment_terms_days == services.settings.behaviour.payment_terms_days


def test_a_connector_knows_what_the_companies_that_use_it_have_set(services: Services) -> None:
    bind(services, default_currency="EUR")
    bind(services, "other", roles={"deals": "con_crm2"}, default_currency="")

    usage = services.companies.usage

    assert usage("con_crm") == Usage("EUR", copies_stock=False), "no company copies stock into this CRM"
    assert usage("con_crm2") == Usage("", copies_stock=False)
    assert usage("con_books") == Usage("", copies_stock=False), "the deals of two CRMs, and one of them has several"
    environment = usage_of(services.settings.behaviour)
    assert usage("salesforce") == usage("con_of_nobody") == environment == Usage("", copies_stock=True)


@pytest.mark.parametrize(("seconds", "copies"), [(0, False), (60, True)])
def test_stock_is_copied_where_a_binding_says_how_often(services: Services, *, seconds: int, copies: bool) -> None:
    roles = {"catalogue": "con_crm", "stock": "con_erp"}
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "inventory", "con_crm", roles, {"inventory_seconds": seconds}))
    services.companies.forget()

    assert services.companies.usage("con_erp").copies_stock is copies


def test_documents_of_two_crms_in_one_erp_have_references_of_their_own(services: Services) -> None:
    bind(services, roles={"orders": "s4hana"}, reference_prefix="AC-")
    runs = [opened(services, tenant) for tenant in ("default", "acme")]

    keys = [order_to_invoice._order_key(company_of(services, run), run) for run in _read(runs)]

    assert [key.reference for key in keys] == [f"SF-{DEAL}", f"AC-{DEAL}"]
    assert {key.connection for key in keys} == {"s4hana"}


def test_a_document_of_another_run_under_the_same_reference_is_not_taken(services: Services) -> None:
    """As where two CRMs have a deal of one id, lead to one ERP, and nobody has given one of them a prefix."""
    bind(services, roles={"orders": "s4hana"})
    first, second = _read([opened(services, tenant) for tenant in ("default", "acme")])
    key = order_to_invoice._order_key(company_of(services, first), first)
    with services.store.begin() as uow:
        uow.ledger.reserve(key, first.id, certain_at=uow.now)
        uow.ledger.confirmed(key, {"key": "4711", "number": "4711"})
        claimed = uow.runs.claim(second.id, second.step, lease_seconds=60)
    assert claimed is not None
    attempt = Attempt(claimed, services, services.store.clock())

    with pytest.raises(OutcomeUnknownError, match="another run"):
        attempt.create_once(key, find=lambda: pytest.fail("not looked for"), create=lambda: pytest.fail("not made"))


def _read(runs: list[Any]) -> list[Any]:
    return [replace(run, results={"fetch_deal": DealRead.of(deal()).to_json()}) for run in runs]


@pytest.mark.parametrize(
    ("options", "name", "problem"),
    [
        ({"payment_terms_days": "soon"}, "payment_terms_days", "whole number"),
        ({"payment_terms_days": -1}, "payment_terms_days", "whole number"),
        ({"held_orders": "maybe"}, "held_orders", "review, alert or note"),
        ({"reference_prefix": "sf-"}, "reference_prefix", "capital letters"),
        ({"go_live": "tomorrow"}, "go_live", ""),
        ({"colour": "red"}, "colour", "not a setting"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_options(options, Options())

    assert list(caught.value.field_errors) == [name]
    assert problem in caught.value.field_errors[name]


def test_going_live_is_a_day_or_an_instant() -> None:
    assert read_options({"go_live": "2026-11-01"}, Options()).go_live == datetime(2026, 11, 1, tzinfo=UTC)


def test_options_of_one_company_that_can_not_be_read_stop_no_other(services: Services) -> None:
    bind(services, payment_terms_days="soon")
    bind(services, "other", roles={"deals": "con_crm2"})

    assert [each.tenant for each in services.companies.all("order_to_invoice")] == ["default", "other"]


def test_who_binds_hears_which_option_is_wrong() -> None:
    assert list(bindings._problems_of_options({"burst_deals": "many"})) == ["options.burst_deals"]
    assert bindings._problems_of_options({"burst_deals": "20"}) == {}


def test_an_outage_of_one_companys_system_holds_no_run_of_another(services: Services) -> None:
    """Both call it SAP S/4HANA; each has its own, and its own breaker."""
    with services.store.begin() as uow:
        for _ in range(2):
            uow.breakers.failed("con_erp", FailedCall(is_probe=False), system="SAP S/4HANA", threshold=2)
    theirs, ours = VendorUnavailableError(system="SAP S/4HANA"), VendorUnavailableError(system="SAP S/4HANA")
    theirs.connection, ours.connection = "con_erp", "s4hana"

    assert services.held_seconds(theirs) is not None
    assert services.held_seconds(ours) is None


def test_outages_of_two_companies_are_two_alerts(services: Services) -> None:
    breakers, call = services._breakers(), FailedCall(is_probe=False, reason="The account is locked.")
    for connection in ("s4hana", "con_erp"):
        breakers.failed(connection, "SAP S/4HANA", call)

    with services.store.read() as uow:
        assert sorted(alert.cause for alert in uow.alerts.open(None)) == ["outage:SAP S/4HANA", "outage:con_erp"]
    breakers.succeeded("con_erp", "SAP S/4HANA")
    with services.store.read() as uow:
        assert [alert.cause for alert in uow.alerts.open(None)] == ["outage:SAP S/4HANA"]
