"""Two companies of one sandbox as connections of two tenants: each row opens its own account, and no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.serving import make_server

from crmsync import connections
from crmsync.connection_trial import try_out
from crmsync.domain.audit import Act, Origin
from crmsync.domain.connections import Connection, Wanted
from crmsync.errors import CrmsyncError, RecordNotFoundError
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.world import LOAD
from crmsync.services import Services
from crmsync.store.tables import deliveries
from tests.integration.test_webhooks import Bell, client_of
from tests.sandbox.clients import BooksClient

ADA = Act("ada", Origin.API)
TENANTS = ("acme", "globex")

Of = Callable[[str], Connection]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(companies=2, **LOAD) as made:
        yield made


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CRMSYNC_ALLOW_HTTP", "CRMSYNC_ALLOW_PRIVATE_ADDRESSES"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("CRMSYNC_DEFAULT_CURRENCY", "USD")


@pytest.fixture
def of(services: Services, sandbox: Sandbox) -> Of:
    """The connection to an account, by the account's name; the first company is one tenant, the second another."""
    made = {row["name"]: _connect(services, sandbox, row) for row in sandbox.connections()}
    return made.__getitem__


def _connect(services: Services, sandbox: Sandbox, row: dict[str, Any]) -> Connection:
    tenant = TENANTS[sandbox.accounts[row["name"]].number - 1]
    wanted = Wanted(name=row["name"], settings=row["settings"] | row["secrets"])
    with services.store.begin() as uow:
        return connections.create(services, uow, ADA, tenant, row["system"], wanted)


@pytest.mark.parametrize("name", ["salesforce", "sap", "zoho", "salesforce-2", "sap-2", "zoho-2"])
def test_a_row_signs_in_and_finds_all_that_runs_need(services: Services, of: Of, name: str) -> None:
    trial = try_out(services, None, of(name).id)

    assert (trial.success, trial.message) == (True, "It signs in, and everything that runs need is there.")


def test_a_deal_is_read_by_the_connection_of_its_own_org_only(services: Services, sandbox: Sandbox, of: Of) -> None:
    deal = sandbox.companies[1].deals.create("Fjord Foods")

    own, other = (services.connector(of(name).id) for name in ("salesforce-2", "salesforce"))

    assert own.fetch_deal(deal.id).amount.amount == deal.amount
    with pytest.raises(RecordNotFoundError):
        other.fetch_deal(deal.id)


@pytest.mark.parametrize("vendor", ["salesforce", "zoho"])
def test_secrets_of_one_account_do_not_open_another(services: Services, sandbox: Sandbox, of: Of, vendor: str) -> None:
    first, second = (
        next(row for row in sandbox.connections() if row["name"] == name) for name in (vendor, f"{vendor}-2")
    )
    mixed = {**first, "name": "mixed", "secrets": second["secrets"]}
    wanted = Wanted(name="mixed", settings=mixed["settings"] | mixed["secrets"])
    with services.store.begin() as uow:
        made = connections.create(services, uow, ADA, "acme", mixed["system"], wanted)

    assert not try_out(services, None, made.id).success


def test_webhooks_come_in_by_the_doors_of_their_own_connections(services: Services, sandbox: Sandbox, of: Of) -> None:
    second = sandbox.companies[1]
    deal = second.deals.create("Fjord Foods")
    server = make_server("127.0.0.1", 0, client_of(services, Bell()).application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sandbox.receiver.base_url = f"http://127.0.0.1:{server.server_port}"
    with BooksClient(second) as client:
        invoice = client.invoice()["invoice_id"]
    try:
        second.doors.payment = f"/hooks/{of('zoho-2').id}/payment"
        paid = second.invoices.pay(invoice, webhook=True)
        second.doors.deal = f"/hooks/{of('salesforce-2').id}/deal-closed"
        answers = [second.deals.announce(deal.id, form).status for form in ("json", "soap")]
        second.doors.deal = f"/hooks/{of('salesforce').id}/deal-closed"  # somebody else's
        answers.append(second.deals.announce(deal.id).status)
    finally:
        server.shutdown()
        server.server_close()

    assert answers == [200, 200, 401]
    assert paid.answer is not None
    assert paid.answer.status == 200
    with services.store.read() as uow:
        kept = uow.connection.execute(select(deliveries.c.source, deliveries.c.subject_key)).all()
    assert {tuple(row) for row in kept} == {
        (of("salesforce-2").id, deal.id),
        (of("zoho-2").id, paid.payment_id),
    }


def test_an_outage_of_one_account_is_none_of_another(services: Services, sandbox: Sandbox, of: Of) -> None:
    deals = [company.deals.create("Fjord Foods") for company in sandbox.companies]
    first, second = (services.connector(of(name).id) for name in ("salesforce", "salesforce-2"))
    sandbox.faults.add("salesforce-2", "down")
    try:
        with pytest.raises(CrmsyncError):
            second.fetch_deal(deals[1].id)
        assert first.fetch_deal(deals[0].id).key == deals[0].id
    finally:
        sandbox.faults.clear()
