"""Salesforce with a recorded other side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import responses

from crmsync.connectors.salesforce.client import Salesforce
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.system import Usage
from crmsync.connectors.way_out.transport import new_session
from crmsync.settings import Behaviour, Secret, Settings
from tests.fakes import Signed

from .. import conftest

INSTANCE = "https://acme.my.salesforce.com"
DATA = f"{INSTANCE}/services/data/v68.0"
QUERY = f"{DATA}/query"
DEAL = "006xx0000012abcAAA"
DEAL_URL = f"{DATA}/sobjects/Opportunity/{DEAL}"
FIXTURES = conftest.FIXTURES / "salesforce"

Build = Callable[..., Salesforce]


@pytest.fixture
def salesforce() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        yield mock


@pytest.fixture
def authorizer() -> Signed:
    return Signed(INSTANCE)


@pytest.fixture
def settings() -> SalesforceSettings:
    return SalesforceSettings(
        login_url="https://login.salesforce.com",
        client_id="3MVG9.CONSUMER",
        username="integration@acme.test",
        private_key=Secret("no key"),
        api_version="v68.0",
        webhook_secret=None,
        organization_id="",
        audience="https://login.salesforce.com",
        order_number_field="SAP_Order_Number__c",
        invoice_number_field="Zoho_Invoice_Number__c",
        status_field="Sync_Status__c",
        purchase_order_field="",
        tax_number_field="",
    )


@pytest.fixture
def behaviour() -> Behaviour:
    return Settings.from_env({"HOME": "/nowhere"}).behaviour


@pytest.fixture
def crm(authorizer: Signed, settings: SalesforceSettings, behaviour: Behaviour) -> Iterator[Build]:
    """Builds the connector, with other settings where a test names them."""
    session = new_session()

    def build(*, default_currency: str = "USD", usage: Callable[[], Usage] | None = None, **changes: Any) -> Salesforce:
        return Salesforce(
            session=session,
            authorizer=authorizer,
            settings=replace(settings, **changes),
            behaviour=behaviour,
            usage=usage or (lambda: Usage(default_currency=default_currency)),
        )

    yield build
    session.close()
