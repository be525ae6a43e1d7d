"""Zoho Books with a recorded other side; every request that a test sends is checked against Zoho's specification."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from crmsync.connectors.system import Usage
from crmsync.connectors.way_out.transport import new_session
from crmsync.connectors.zoho_books.client import ZohoBooks
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.domain.customers import Address, Customer
from crmsync.settings import Behaviour, Secret, Settings
from tests.fakes import Signed

from .. import conftest
from . import specs

API = "https://www.zohoapis.test/books/v3"
NOW = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
FIXTURES = conftest.FIXTURES / "zoho_books"

Build = Callable[..., ZohoBooks]


@pytest.fixture
def wishes() -> set[bool | None]:
    """What the connectors of a test are told about items (ZOHO_ITEM_LOOKUP)."""
    return set()


@pytest.fixture
def zoho(wishes: set[bool | None]) -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        yield mock
        sent = [call.request for call in mock.calls if call.request.url.startswith(API)]
        items = None if False in wishes else _skus_of_one_active_item(mock)
    if specs.is_available():
        assert [problem for request in sent for problem in specs.problems(request, items=items)] == []


def _skus_of_one_active_item(mock: responses.RequestsMock) -> set[str]:
    lists = [each for each in mock.registered() if each.url == f"{API}/items" and each.status == 200]
    rows = [row for each in lists for row in json.loads(each.body)["items"] if row["status"] == "active"]
    keys: dict[str, set[str]] = {}
    for row in rows:
        if row.get("item_type") == "purchases":
            continue
        keys.setdefault(row["sku"].strip(), set()).add(row["item_id"])
    return {sku for sku, found in keys.items() if len(found) == 1}


@pytest.fixture
def authorizer() -> Signed:
    return Signed(scheme="Zoho-oauthtoken")


@pytest.fixture
def settings() -> ZohoBooksSettings:
    return ZohoBooksSettings(
        accounts_url="https://accounts.zoho.test",
        api_url="https://www.zohoapis.test",
        client_id="1000.CLIENT",
        client_secret=Secret("client-secret"),
        refresh_token=Secret("1000.refresh"),
        organization_id="10234695",
        webhook_secret=None,
        tax_id="",
        invoice_unique_field="",
        contact_unique_field="",
        item_lookup=False,
    )


@pytest.fixture
def behaviour() -> Behaviour:
    return Settings.from_env({"HOME": "/nowhere"}).behaviour


@pytest.fixture
def books(
    authorizer: Signed, settings: ZohoBooksSettings, behaviour: Behaviour, wishes: set[bool | None]
) -> Iterator[Build]:
    """Builds the connector, for free text and with other settings where a test names them."""
    session = new_session()

    def build(**changes: Any) -> ZohoBooks:
        default_currency = changes.pop("default_currency", "USD")
        clock, notes = changes.pop("clock", lambda: NOW), changes.pop("notes", None)
        wishes.add(changes.get("item_lookup", settings.item_lookup))
        return ZohoBooks(
            session=session,
            authorizer=authorizer,
            settings=replace(settings, **changes),
            behaviour=behaviour,
            usage=lambda: Usage(default_currency=default_currency),
            clock=clock,
            notes=notes,
        )

    yield build
    session.close()


@pytest.fixture
def customer() -> Customer:
    return Customer(
        key="001xx000003dgb2AAA",
        name="Acme GmbH",
        email="ap@acme.example",
        first_name="Ann",
        last_name="Lee",
        address=Address(street="Main 1", city="Bonn", postal_code="53111", region="NW", country="Germany"),
    )
