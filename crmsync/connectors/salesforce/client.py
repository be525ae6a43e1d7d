"""The roles of the CRM, implemented for Salesforce."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from crmsync.connectors.base import Check, KeepAlive, StatusWritten
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits.budget import UNLIMITED, Budget
from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi
from crmsync.connectors.salesforce.bulk import BulkJobs
from crmsync.connectors.salesforce.catalogue import ProductCatalogue
from crmsync.connectors.salesforce.deals import DealReader
from crmsync.connectors.salesforce.doctor import examine
from crmsync.connectors.salesforce.errors import SYSTEM, explainer
from crmsync.connectors.salesforce.ids import OPPORTUNITY_PREFIX, full_id
from crmsync.connectors.salesforce.organization import Organization, TokenAuthorizer
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.salesforce.sign_in import signer_in
from crmsync.connectors.salesforce.status import ReasonField, StatusWriter
from crmsync.connectors.salesforce.won_deals import WonDealReader
from crmsync.connectors.signing_in.auth import SharedToken
from crmsync.connectors.system import Tools, Usage
from crmsync.connectors.way_out.transport import Session, new_session
from crmsync.domain.catch_up import WonDeal
from crmsync.domain.customers import Customer
from crmsync.domain.deals import Deal
from crmsync.domain.payments import PaymentFigures
from crmsync.domain.stock import Product, Rejection, StockLevel
from crmsync.errors import RecordNotFoundError
from crmsync.settings import Behaviour

CLIENT = "crmsync"  # as it stands in the usage reports of the organization
BULK_ABOVE = 2000  # from there on Salesforce advises a job: api_asynch, how_requests_are_processed


def connect(connection: str, settings: SalesforceSettings, tools: Tools) -> Salesforce:
    """The connector of a process, with one session and one shared token."""
    fetch = signer_in(settings, is_outside=tools.is_outside)
    return Salesforce(
        session=new_session(is_outside=tools.is_outside),
        authorizer=SharedToken(connection, store=tools.token_store, fetch=fetch),
        settings=settings,
        behaviour=tools.behaviour,
        budget=tools.budget,
        usage=tools.usage,
    )


ACCOUNTS_PER_QUERY = 200  # an address holds so many ids


class Salesforce:
    """Opportunities and products of one organization."""

    system = SYSTEM
    bulk_above = BULK_ABOVE

    def __init__(
        self,
        *,
        session: Session,
        authorizer: TokenAuthorizer,
        settings: SalesforceSettings,
        behaviour: Behaviour,
        budget: Budget = UNLIMITED,
        usage: Callable[[], Usage] = Usage,
    ) -> None:
        explain = explainer(soql.asked_fields(settings))
        client = VendorClient(
            system=SYSTEM,
            session=session,
            authorizer=authorizer,
            explain=explain,
            call_seconds=behaviour.call_seconds,
            headers={"Accept": "application/json", "Sforce-Call-Options": f"client={CLIENT}"},
            budget=budget,
        )
        self._organization = Organization(
            client, authorizer, login_url=settings.login_url, extra_hosts=settings.extra_hosts
        )
        self._api = SalesforceApi(self._organization, api_version=settings.api_version)
        self._settings = settings
        self._usage = usage
        lacking: set[str] = set()  # as Salesforce refuses them
        self._deals = DealReader(self._api, settings, default_currency=self._currency, lacking=lacking)
        self._won_deals = WonDealReader(self._api, settings, default_currency=self._currency, lacking=lacking)
        self._catalogue = ProductCatalogue(self._api, settings)
        self._bulk = BulkJobs(self._api, settings)
        self._numbers_body = schemas.write_back_body(settings)
        self._payment_body = schemas.payment_body(settings)
        self._reason_field = ReasonField(settings)
        self._status = StatusWriter(self._api, settings, explain=explain, reason_field=self._reason_field)

    def _currency(self) -> str:
        return self._usage().default_currency

    def sign_in(self) -> str:
        return self._organization.account()

    def checks(self) -> Iterator[Check]:
        return examine(self._api, self._settings, self._usage())

    def check(self) -> list[Check]:
        return list(self.checks())

    def fetch_deal(self, key: str) -> Deal:
        return self._deals.fetch(_opportunity_id(key))

    def read_accounts(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Customer]:
        found: dict[str, Customer] = {}
        for place in range(0, len(keys), ACCOUNTS_PER_QUERY):
            keep_alive()
            rows = self._api.query("read accounts", soql.select_accounts(keys[place : place + ACCOUNTS_PER_QUERY]))
            customers: list[Customer] = schemas.load(schemas.ACCOUNT_NAMES, list(rows), operation="read accounts")
            found |= {each.key: each for each in customers}
        return found

    def write_back(self, key: str, *, order_number: str, invoice_number: str, status: str) -> None:
        numbers = {"order_number": order_number, "invoice_number": invoice_number, "status": status}
        self._update(key, self._numbers_body.dump(numbers), operation="write back", has_status=True)

    def write_status(self, key: str, status: str, reason: str) -> StatusWritten:
        return self._status.write(_opportunity_id(key), status, reason)

    def write_payment(self, key: str, figures: PaymentFigures, *, currency: str) -> None:
        """In one call."""
        paid = {
            "is_received": figures.is_received,
            "amount": figures.number_in(currency),
            "paid_on": figures.paid_on,
        }
        values = self._payment_body.dump(paid) | schemas.payment_status_body(self._settings, figures.status)
        self._update(key, values, operation="write payment", has_status=bool(figures.status))

    def _update(self, key: str, values: Mapping[str, Any], *, operation: str, has_status: bool) -> None:
        """Set *values* on the deal, and with a status that nothing is wrong with it."""
        deal_id = _opportunity_id(key)

        def write(own: Mapping[str, Any]) -> None:
            self.update_fields("Opportunity", deal_id, {**values, **own}, operation=operation)

        self._reason_field.written("", write) if has_status else write({})

    def won_deals(self, since: datetime, until: datetime) -> Iterator[Sequence[WonDeal]]:
        return self._won_deals.pages(since, until)

    def products(self, since: datetime | None) -> Iterator[Sequence[Product]]:
        return self._catalogue.products(since)

    def write_levels(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> list[Rejection]:
        return self._catalogue.write_levels(levels, keep_alive)

    def start_bulk(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> str:
        return self._bulk.start(levels, keep_alive)

    def bulk_rejections(self, job_key: str, keep_alive: KeepAlive) -> list[Rejection] | None:
        return self._bulk.rejections(job_key, keep_alive)

    def update_fields(self, object_name: str, record_id: str, values: Mapping[str, Any], *, operation: str) -> None:
        """Set *values*, by field name, on the record; the same call twice changes nothing."""
        self._api.write(operation, f"/sobjects/{object_name}/{record_id}", values)


def _opportunity_id(key: str) -> str:
    try:
        return full_id(key, OPPORTUNITY_PREFIX)
    except ValueError as error:
        raise RecordNotFoundError(
            "Not a Salesforce opportunity id.", system=SYSTEM, field_errors={"opportunityId": str(error)}
        ) from error
