"""Two tenants in one store, with the same numbers: whoever asks for one of them gets nothing of the other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crmsync.domain.connections import Connection, Direction, Status
from crmsync.domain.finding import wanted
from crmsync.domain.ledger import EntryKey
from crmsync.domain.links import Link
from crmsync.domain.runs import Origin
from crmsync.domain.stock import Product
from crmsync.errors import PermanentError
from crmsync.flows import inventory, order_to_invoice, payment_to_invoices
from crmsync.store import Store, UnitOfWork, schema, tallies
from crmsync.worker.finding import find
from tests.fakes import FakeClock

# Of each tenant its connection to CRM, ERP and books at once, and a word that stands in all that is its own.
TENANTS = {"default": ("salesforce", "Nord"), "acme": ("con_acme", "Sued"), "other": ("con_other", "West")}
DEAL, ACCOUNT = "006xx0000012abcAAA", "001xx000003DGb2AAG"  # the same in every CRM


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    made = Store(database_url, clock=clock)
    schema.migrate(made)
    with made.begin() as uow:
        for tenant, (connection, word) in TENANTS.items():
            if tenant != "default":
                uow.connections.add(a_connection(tenant, connection, uow), sealed="", key_id="")
            fill(uow, tenant, connection, word)
    yield made
    made.close()


def a_connection(tenant: str, connection: str, uow: UnitOfWork) -> Connection:
    return Connection(
        id=connection,
        tenant=tenant,
        system="salesforce",
        name=f"The CRM of {tenant}",
        auth_kind="basic",
        settings={},
        secret_names=(),
        status=Status.ACTIVE,
        sync_enabled=True,
        interval_seconds=None,
        direction=Direction.BIDIRECTIONAL,
        created_at=uow.now,
        updated_at=uow.now,
        version=1,
    )


def fill(uow: UnitOfWork, tenant: str, connection: str, word: str) -> None:
    """A deal that died after its order was made, a link, a product, a payment, webhooks, an inventory and a breaker."""
    flow = order_to_invoice.FLOW.name
    opened = uow.runs.start_all(
        flow, Origin(tenant, connection), [(DEAL, "c")], step="fetch_deal", queued_until=uow.now
    )
    run = uow.runs.claim(opened[0][0], "fetch_deal", lease_seconds=60)
    assert run is not None
    learned = {"key": DEAL, "customer": {"key": ACCOUNT}}
    described: dict[str, Any] = {"title": f"{word} GmbH", "amount": Decimal(1), "currency": "EUR"}
    uow.runs.finish_step(run, learned, next_step="create_order", queued_until=uow.now, **described)
    entry = EntryKey(connection, "order", f"SF-{DEAL}")
    uow.ledger.reserve(entry, run.id, certain_at=uow.now)
    uow.ledger.confirmed(entry, {"key": "4734", "number": "INV-004777"})
    uow.links.put(Link(connection, connection, ACCOUNT, "1000123", "created", name=f"{word} GmbH"))
    uow.applications.replace(connection, "46000777", ["98200001"], paid_on=date(2026, 11, 20))
    uow.products.saw(connection, [Product(f"p-{word}", f"{word}-100", True, None, True)], seen_at=uow.now, trust=True)
    uow.deliveries.add(connection, DEAL, event_key=word)
    uow.deliveries.add(f"catch_up.{flow}.{connection}", DEAL, is_healed=True)
    uow.accounts.confirm(connection, identity=word, credentials="")
    paid = [("46000777", "p")]
    uow.runs.start_all(payment_to_invoices.FLOW.name, Origin(tenant, connection), paid, step="x", queued_until=uow.now)
    stock = [(inventory.FLOW.name, "c")]
    uow.runs.start_all(inventory.FLOW.name, Origin(tenant, connection), stock, step="x", queued_until=uow.now)
    stopped = uow.runs.claim(run.id, "create_order", lease_seconds=60)
    assert stopped is not None
    uow.dead_letters.add(stopped, PermanentError(f"{word} can't be served."))
    uow.history.note(stopped, "done")


QUERIES = {
    "runs": lambda uow, tenant: uow.runs.listed(tenant, limit=99),
    "runs of a subject": lambda uow, tenant: uow.runs.called(tenant, order_to_invoice.FLOW.name, DEAL),
    "letters": lambda uow, tenant: uow.dead_letters.list(tenant),
    "causes": lambda uow, tenant: uow.dead_letters.waiting_causes(tenant, limit=9),
    "links": lambda uow, tenant: uow.links.customers(tenant),
    "low": lambda uow, tenant: uow.products.listed(tenant, "low", limit=9),
    "products": lambda uow, tenant: uow.products.like(tenant, "100", limit=9),
    "accounts": lambda uow, tenant: uow.accounts.all(tenant),
    "a deal": lambda uow, tenant: find(uow, tenant, DEAL),
    "an order": lambda uow, tenant: find(uow, tenant, "INV-004777"),
    "a reference": lambda uow, tenant: find(uow, tenant, f"SF-{DEAL}"),
    "a customer": lambda uow, tenant: find(uow, tenant, "1000123"),
    "an account": lambda uow, tenant: find(uow, tenant, ACCOUNT),
    "part of a name": lambda uow, tenant: find(uow, tenant, "mbH"),
    "part of a number": lambda uow, tenant: find(uow, tenant, "00477"),
    "a correlation id": lambda uow, tenant: uow.finding.find(tenant, wanted("c"), [], []),
}


def words_in(found: Any) -> set[str]:
    return {word for _, word in TENANTS.values() if word in repr(found)}


def test_a_list_holds_what_is_the_tenants_own(store: Store) -> None:
    with store.read() as uow:
        told = {what: {tenant: words_in(ask(uow, tenant)) for tenant in TENANTS} for what, ask in QUERIES.items()}
        of_all = {what: words_in(ask(uow, None)) for what, ask in QUERIES.items()}
        of_nobody = [found for ask in QUERIES.values() if (found := ask(uow, "nobody"))]

    assert told == {what: {tenant: {word} for tenant, (_, word) in TENANTS.items()} for what in QUERIES}
    assert of_all == {what: {word for _, word in TENANTS.values()} for what in QUERIES}
    assert of_nobody == []


def test_a_search_finds_what_is_the_tenants_own(store: Store) -> None:
    """Also at connections that people have made, and although others have the same number."""
    texts = ["INV-004777", "4734", "46000777", "1000123", f"SF-{DEAL}", ACCOUNT, DEAL, "gmb"]
    with store.read() as uow:
        hits = {(tenant, text): find(uow, tenant, text) for tenant in TENANTS for text in texts}

    assert {place: {hit.run.tenant for hit in found} for place, found in hits.items()} == {
        (tenant, text): {tenant} for tenant, text in hits
    }


def test_a_letter_is_found_by_its_number_for_its_own_tenant_alone(store: Store) -> None:
    with store.read() as uow:
        (letter,) = uow.dead_letters.list("acme")
        found = {tenant: find(uow, tenant, str(letter.id)) for tenant in TENANTS}

    assert [tenant for tenant, hits in found.items() if any(f"letter {letter.id}" in hit.what for hit in hits)] == [
        "acme"
    ]


COUNTS = {
    "runs": lambda uow, tenant: sum(uow.runs.counts(tenant).values()) / 3,
    "where they stand": lambda uow, tenant: sum(each.standing for each in uow.runs.tally(tenant)) / 3,
    "letters": lambda uow, tenant: uow.dead_letters.waiting_count(tenant),
    "kinds": lambda uow, tenant: sum(uow.dead_letters.waiting_by_kind(tenant).values()),
    "letters by connection": lambda uow, tenant: sum(uow.dead_letters.waiting_by_connection(tenant).values()),
    "documents": lambda uow, tenant: sum(uow.ledger.counts(tenant).values()),
    "webhooks": lambda uow, tenant: sum(uow.deliveries.counts(tenant).values()),
    "webhooks lately": lambda uow, tenant: uow.deliveries.count_since(tenant, 3600),
    "healed": lambda uow, tenant: uow.deliveries.healed_counts(tenant).get(order_to_invoice.FLOW.name, (0, 0))[1],
    "sources": lambda uow, tenant: len(uow.deliveries.sources(tenant)) / 2,
    "products": lambda uow, tenant: uow.products.counts(tenant).active,
    "due": lambda uow, tenant: uow.due.count(tenant),
    "ends": lambda uow, tenant: 1 if uow.due.oldest(tenant) else 0,
    "sources that wait": lambda uow, tenant: len(uow.due.oldest_by_source(tenant)),
}


@pytest.mark.parametrize("is_folded", [False, True])
def test_a_count_is_of_the_tenants_own(store: Store, clock: FakeClock, is_folded: bool) -> None:
    if is_folded:  # what was counted once for all says as well whose it is
        clock.advance(timedelta(minutes=30).total_seconds())
        with store.begin() as uow:
            for book in tallies.BOOKS:
                uow.tallies.fold(book)
    with store.read() as uow:
        found = {what: [count(uow, tenant) for tenant in (*TENANTS, "nobody")] for what, count in COUNTS.items()}

    own = 3 if is_folded else 2  # their leases are over
    assert found == {what: [1, 1, 1, 0] for what in COUNTS} | {"due": [own, own, own, 0]}
