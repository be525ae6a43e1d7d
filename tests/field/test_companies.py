"""Two companies beside each other, each with connections and bindings of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore, Retry
from click.testing import CliRunner
from flask.testing import FlaskClient

from crmsync import bindings, connections
from crmsync import services as process
from crmsync.cli.main import cli
from crmsync.domain.bindings import BindingChangedError, InvalidBindingError, UnknownBindingError
from crmsync.domain.connections import Connection, ConnectionInUseError
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import CrmsyncError
from crmsync.flows import order_to_invoice
from crmsync.lab.sandbox import Sandbox
from crmsync.services import Services
from tests.field.test_connections import ADA, Start, change, create, other, sandbox, start, two_sandboxes
from tests.integration.test_webhooks import Bell, client_of, signed

__all__ = ["other", "sandbox", "start", "two_sandboxes"]  # fixtures

Made = dict[str, Connection]


@pytest.fixture
def using(start: Start) -> Services:
    return start(CRMSYNC_DEFAULT_CURRENCY="USD", CRMSYNC_SETTLE_SECONDS="0")


@pytest.fixture(autouse=True)
def as_this_process(using: Services) -> Iterator[None]:
    before = process.use(using)
    yield
    process.use(before)


def company(using: Services, sandbox: Sandbox, tenant: str, *, binds: bool = True) -> Made:
    made = {name: create(using, sandbox, name, tenant=tenant) for name in ("salesforce", "s4hana", "zoho_books")}
    if binds:
        change(bindings.put, using, ADA, tenant, "order_to_invoice", roles_of(made))
    return made


def roles_of(made: Made) -> dict[str, str]:
    return {"deals": made["salesforce"].id, "orders": made["s4hana"].id, "invoices": made["zoho_books"].id}


@pytest.fixture
def client(using: Services) -> FlaskClient:
    return client_of(using, Bell())


def announce(client: FlaskClient, using: Services, made: Made, deal: str) -> None:
    body = json.dumps({"opportunityId": deal}).encode()
    secret = using.book.get(made["salesforce"].id).settings.webhook_secret.reveal()
    answer = client.post(f"/hooks/{made['salesforce'].id}/deal-closed", data=body, headers=signed(body, secret))
    assert answer.status_code == 200


def won(sandbox: Sandbox) -> str:
    deal = sandbox.deals.create()
    sandbox.deals.close(deal.id)
    return str(deal.id)


def run_of(using: Services, made: Made, deal: str) -> Run | None:
    with using.store.read() as uow:
        return uow.runs.of_subject("order_to_invoice", made["salesforce"].id, deal)


def worked_on(using: Services, made: Made, deal: str) -> Run:
    """Its steps, one after the other, as far as they go now."""
    run = run_of(using, made, deal)
    assert run is not None
    for _ in order_to_invoice.FLOW.steps:
        with suppress(Ignore, Retry, CrmsyncError):
            step: Any = getattr(order_to_invoice, run.step)
            step.execute(run.id)
        found = run_of(using, made, deal)
        assert found is not None
        if found.status is RunStatus.DONE or found.step == run.step:
            return found
        run = found
    return run


def test_each_makes_its_documents_in_its_own_systems(
    using: Services, client: FlaskClient, sandbox: Sandbox, other: Sandbox
) -> None:
    acme, globex = company(using, sandbox, "acme"), company(using, other, "globex")

    for made, theirs in ((acme, sandbox), (globex, other)):
        deal = won(theirs)
        announce(client, using, made, deal)
        run = worked_on(using, made, deal)
        assert (run.status, run.tenant, run.source) == (
            RunStatus.DONE,
            made["salesforce"].tenant,
            made["salesforce"].id,
        )

    assert [len(each.ledger()["orders"]) for each in (sandbox, other)] == [1, 1]
    assert [len(each.ledger()["invoices"]) for each in (sandbox, other)] == [1, 1]


def test_a_new_customer_of_the_books_has_the_payment_terms_of_its_own_company(
    using: Services, client: FlaskClient, sandbox: Sandbox, other: Sandbox
) -> None:
    acme, globex = company(using, sandbox, "acme"), company(using, other, "globex", binds=False)
    options = {"payment_terms_days": 14}
    change(bindings.put, using, ADA, "globex", "order_to_invoice", roles_of(globex), options=options)

    for made, theirs in ((acme, sandbox), (globex, other)):
        deal = won(theirs)
        announce(client, using, made, deal)
        worked_on(using, made, deal)

    def terms(of: Sandbox) -> set[int]:
        return {each["payment_terms"] for each in of.zoho.organization.contacts.docs.values()}

    assert (terms(sandbox), terms(other)) == ({30}, {14})


def test_while_a_connection_is_paused_its_runs_wait_and_no_attempt_is_counted(
    using: Services, client: FlaskClient, sandbox: Sandbox
) -> None:
    made = company(using, sandbox, "acme")
    change(connections.pause, using, ADA, "acme", made["s4hana"].id)
    deal = won(sandbox)
    announce(client, using, made, deal)

    waiting = worked_on(using, made, deal)

    assert (waiting.status, waiting.attempts) == (RunStatus.ACTIVE, 0)
    assert waiting.step == "match_erp_customer"
    with using.store.read() as uow:
        assert uow.dead_letters.waiting_count(None) == 0
        last = uow.history.of_run(waiting.id)[-1]
    assert "is paused" in last.detail
    change(connections.resume, using, ADA, "acme", made["s4hana"].id)
    assert worked_on(using, made, deal).status is RunStatus.DONE


def test_what_comes_for_a_connection_that_nothing_is_bound_to_is_kept(
    using: Services, client: FlaskClient, sandbox: Sandbox
) -> None:
    made = company(using, sandbox, "acme", binds=False)
    deal = won(sandbox)

    announce(client, using, made, deal)

    assert run_of(using, made, deal) is None
    with using.store.read() as uow:
        assert uow.deliveries.last_received_at(made["salesforce"].id, deal) is not None


# -- what may be bound


def test_the_environments_own_binding_is_implied(start: Start, sandbox: Sandbox) -> None:
    using = start(dict(sandbox.environment()))

    found = bindings.all_of(using, "default")

    assert [(each.flow, each.source, each.version) for each in found] == [
        ("order_to_invoice", "salesforce", 0),
        ("payments", "zoho_books", 0),
        ("inventory", "salesforce", 0),
    ]


def test_a_flow_is_bound_to_the_tenants_own_connections_that_can_fill_its_roles(
    using: Services, sandbox: Sandbox
) -> None:
    acme, globex = company(using, sandbox, "acme", binds=False), company(using, sandbox, "globex", binds=False)
    wrong = {
        "deals": acme["zoho_books"].id,
        "orders": globex["s4hana"].id,
        "invoices": "con_0123456789abcdef",
        "stock": acme["s4hana"].id,
    }

    with pytest.raises(InvalidBindingError) as refused:
        change(bindings.put, using, ADA, "acme", "order_to_invoice", wrong)
    assert set(refused.value.field_errors) == {
        "roles.deals", "roles.orders", "roles.invoices", "roles.stock", "roles.payments",
    }  # fmt: skip
    with pytest.raises(InvalidBindingError):
        change(bindings.put, using, ADA, "acme", "sync_everything", {})
    with pytest.raises(InvalidBindingError):
        change(bindings.put, using, ADA, "acme", "inventory", {"catalogue": "salesforce", "stock": "s4hana"})


def test_a_lost_update_is_refused(using: Services, sandbox: Sandbox) -> None:
    made = company(using, sandbox, "acme")
    bound = bindings.show(using, "acme", "order_to_invoice")[0]

    again = change(bindings.put, using, ADA, "acme", "order_to_invoice", roles_of(made), expected_version=bound.version)
    assert again.version == bound.version + 1
    with pytest.raises(BindingChangedError):
        change(bindings.put, using, ADA, "acme", "order_to_invoice", roles_of(made), expected_version=bound.version)
    with pytest.raises(BindingChangedError):
        change(bindings.put, using, ADA, "acme", "order_to_invoice", roles_of(made), expected_version=0)


def test_one_that_is_bound_is_deleted_only_by_force(using: Services, sandbox: Sandbox) -> None:
    made = company(using, sandbox, "acme")

    with pytest.raises(ConnectionInUseError, match="bound to order_to_invoice"):
        change(connections.delete, using, ADA, "acme", made["s4hana"].id)
    change(connections.delete, using, ADA, "acme", made["s4hana"].id, is_forced=True)

    with pytest.raises(UnknownBindingError):
        bindings.show(using, "acme", "order_to_invoice")


def test_the_command_binds_shows_and_removes(
    using: Services, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = company(using, sandbox, "acme", binds=False)
    monkeypatch.setenv("DATABASE_URL", using.settings.database_url)
    monkeypatch.setenv("CRMSYNC_HOME", str(using.settings.home))
    pairs = [word for role, id in roles_of(made).items() for word in ("--role", f"{role}={id}")]

    def run(*words: str) -> Any:
        result = CliRunner().invoke(cli, ["bindings", *words, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    bound = run("set", "order_to_invoice", "--tenant", "acme", *pairs)

    assert bound["roles"]["payments"] == made["zoho_books"].id, "the books do both"
    assert run("show", "order_to_invoice", "--tenant", "acme") == [bound]
    assert [each["source"] for each in run("list", "--tenant", "acme")] == [made["salesforce"].id]
    run("remove", "order_to_invoice", made["salesforce"].id, "--tenant", "acme")
    assert run("list", "--tenant", "acme") == []
    refused = CliRunner().invoke(cli, ["bindings", "set", "inventory", "--tenant", "acme"])
    assert refused.exit_code != 0
    assert "roles.stock" in refused.stderr
