"""The roles of the books, implemented for Zoho Books."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from crmsync.connectors.base import Check, KeepAlive
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.kit.notes import Notes, OwnNotes
from crmsync.connectors.kit.second_look import SecondLook
from crmsync.connectors.limits.budget import UNLIMITED, Budget
from crmsync.connectors.signing_in.auth import Authorizer, SharedToken
from crmsync.connectors.signing_in.grants import refresh_token
from crmsync.connectors.system import Tools, Usage
from crmsync.connectors.way_out.transport import Session, new_session
from crmsync.connectors.zoho_books import organization, schemas
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.connectors.zoho_books.contacts import Contacts, contact_body
from crmsync.connectors.zoho_books.currencies import Currencies
from crmsync.connectors.zoho_books.doctor import examine
from crmsync.connectors.zoho_books.errors import SYSTEM, explain, of_account, speaks
from crmsync.connectors.zoho_books.items import Items
from crmsync.connectors.zoho_books.lines import InvoiceLines, LinePolicy
from crmsync.connectors.zoho_books.payments import PaymentReader
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.connectors.zoho_books.sign_in import token_endpoint
from crmsync.domain.customers import Candidate, Customer, CustomerMatch
from crmsync.domain.documents import Document, InvoiceRequest
from crmsync.domain.matching import search_email
from crmsync.domain.payments import InvoiceChange, Payment, PaymentChange, Settlement
from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.errors import RecordNotFoundError, RejectedError, RetryableError
from crmsync.settings import Behaviour

RENEWAL_LIMIT = RenewalLimit(8, 600)  # Zoho gives ten in ten minutes, then none for the rest of the window

Clock = Callable[[], datetime]


def connect(connection: str, settings: ZohoBooksSettings, tools: Tools) -> ZohoBooks:
    """The connector of a process, with one session, one shared token and what all processes read of it."""

    def fetch() -> AccessToken:
        # The answer's `api_domain` is for the doctor only: ZOHO_API_URL alone decides where a token is sent.
        return refresh_token(token_endpoint(settings, is_outside=tools.is_outside), settings.refresh_token)

    token = SharedToken(connection, store=tools.token_store, fetch=fetch, scheme="Zoho-oauthtoken", limit=RENEWAL_LIMIT)
    return ZohoBooks(
        session=new_session(is_outside=tools.is_outside),
        authorizer=token,
        settings=settings,
        behaviour=tools.behaviour,
        budget=tools.budget,
        api_domain=lambda: token.token().instance_url,
        notes=tools.notes,
        usage=tools.usage,
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


class ZohoBooks:
    """Contacts, invoices and their mails, and what was paid, in one organization."""

    system = SYSTEM
    customers_have_one_currency = True  # which can't be changed once there are documents

    def __init__(
        self,
        *,
        session: Session,
        authorizer: Authorizer,
        settings: ZohoBooksSettings,
        behaviour: Behaviour,
        clock: Clock = utc_now,
        budget: Budget = UNLIMITED,
        api_domain: Callable[[], str] = lambda: "",
        notes: Notes | None = None,
        usage: Callable[[], Usage] = Usage,
    ) -> None:
        """*api_domain* is the API's address of the data centre that the token comes from, "" where it did not say."""
        client = VendorClient(
            system=SYSTEM,
            session=session,
            authorizer=authorizer,
            explain=explain,
            speaks=speaks,
            call_seconds=behaviour.call_seconds,
            headers={"Accept": "application/json"},
            budget=budget,
            second_look=SecondLook(
                f"{settings.api_url}/books/v3/organizations", partial(of_account, settings.organization_id)
            ),
        )
        self._api_domain = api_domain
        self._api = BooksApi(client, api_url=settings.api_url, organization_id=settings.organization_id)
        self._settings = settings
        self._usage = usage
        notes, of = notes or OwnNotes(), settings.organization_id
        self._currencies = Currencies(self._api, assumed=self._currency, notes=notes, organization=of)
        self._items = Items(self._api, clock=clock, notes=notes, organization=of)
        self._contacts = Contacts(self._api, own_field=settings.contact_unique_field)
        self._payments = PaymentReader(self._api)
        policy = LinePolicy(
            tax_id=settings.tax_id, has_discounts=settings.line_discounts, needs_items=settings.item_lookup
        )
        self._lines = InvoiceLines(self._items, policy)
        self.time_zone = settings.time_zone

    def _currency(self) -> str:
        return self._usage().default_currency

    def checks(self) -> Iterator[Check]:
        return examine(self._api, self._items, self._currencies, self._settings, self._usage(), self._api_domain)

    def check(self) -> list[Check]:
        return list(self.checks())

    def read_time_zone(self) -> str:
        return organization.time_zone(self._api, self._settings.organization_id)

    # Customers

    def find_customers_by_reference(self, reference: str, customer: Customer, *, currency: str) -> list[Candidate]:
        return self._contacts.of_reference(reference, customer, currency=currency)

    def find_customers_by_keys(self, customer: Customer) -> list[Candidate]:
        return self._contacts.of_email(search_email(customer), customer.name)

    def find_customers_by_name(self, customer: Customer) -> list[Candidate]:
        return self._contacts.of_name(customer)

    def read_customers(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        return self._contacts.of_keys(keys, keep_alive)

    def adopt_customer(self, match: CustomerMatch, customer: Customer, *, currency: str) -> CustomerMatch:
        """*match*, as it is: any customer of Zoho Books can be invoiced."""
        return match

    def create_customer(
        self, customer: Customer, *, reference: str, currency: str, suffix: str = "", payment_terms_days: int = 30
    ) -> CustomerMatch:
        """One call; the first customer of a process in a foreign currency costs another for the currencies.

        Where the books are kept in another currency than the CRM, that is learned at the first customer of all.

        Raises: AmbiguousMatchError where the name is taken; MappingError for an unknown currency; RetryableError.
        """
        body = contact_body(customer, reference=reference, suffix=suffix, payment_terms_days=payment_terms_days)
        currency_id = self._currencies.foreign_id(currency)
        if currency_id:
            body["currency_id"] = currency_id
        answer = self._write("contact", body, self._settings.contact_unique_field, reference, {})
        made: schemas.ContactRow = schemas.read(schemas.CONTACT, answer, "contact", operation="create contact")
        if currency and not currency_id and made.currency not in ("", currency):
            self._learn(made, currency)
        return CustomerMatch(made.key, made.name, "created", customer.address.city)

    def _learn(self, made: schemas.ContactRow, currency: str) -> None:
        """Raises: RetryableError, once for all processes, so that another is made: this one can't be billed."""
        if self._currencies.learn(made.currency):
            raise RetryableError(
                f"{SYSTEM} keeps its books in {made.currency} and created the customer {made.key} in that: "
                f"another is made in {currency}.",
                system=SYSTEM,
                operation="create contact",
            )

    # Invoices

    def find_invoices(self, reference: str) -> list[Document]:
        """Every invoice with exactly this reference number; a void one is ours as well, and says so. Lists know no net.

        Whoever it is for: contacts may be merged, and then the invoice belongs to another.
        """
        rows = self._api.rows("/invoices", reference_number=reference)
        found = [schemas.load(schemas.INVOICE, row, "invoices", operation="list invoices") for row in rows]
        return [row.document for row in found if row.reference == reference]

    def create_invoice(self, request: InvoiceRequest) -> Document:
        """One call. With a unique field it is an upsert, which repeats without harm but never mails.

        Raises: MappingError, with another call, for a deal finer than the organization is known to keep its currency.

        Where it is refused and an item on it is no longer active, it is made once more, without that item.
        """
        digits = self._currencies.check(request.deal)
        lines = self._lines.of(request.deal, digits)
        try:
            return self._create_invoice(request, lines)
        except (RejectedError, RecordNotFoundError):
            lines_now = self._lines.now(request.deal, lines, digits)
            if lines_now == lines:
                raise
        return self._create_invoice(request, lines_now)

    def _create_invoice(self, request: InvoiceRequest, lines: list[schemas.Line]) -> Document:
        answer = self._write(
            "invoice",
            self._invoice_body(request, lines),
            self._settings.invoice_unique_field,
            request.reference,
            {"send": "true" if request.send else "false"},
        )
        made: schemas.InvoiceRow = schemas.read(schemas.INVOICE, answer, "invoice", operation="create invoice")
        if made.document.net is not None:
            self._currencies.saw(made.document.net.currency, made.decimals)
        return made.document

    def read_invoice(self, key: str) -> Document:
        return _document(self._api.call("read invoice", "GET", f"/invoices/{key}"), "read invoice")

    def send_invoice(self, key: str, recipients: tuple[str, ...]) -> None:
        """Mail it with the organization's own text; with no recipients Zoho Books chooses them."""
        body = {"to_mail_ids": list(recipients)} if recipients else None
        self._api.call("mail invoice", "POST", f"/invoices/{key}/email", json=body)

    # Payments

    def read_payment(self, key: str) -> Payment:
        return self._payments.payment(key)

    def read_settlement(self, invoice_key: str) -> Settlement:
        return self._payments.settlement(invoice_key)

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        return self._payments.changed_invoices(since)

    def changed_payments(self, since: datetime) -> Iterator[PaymentChange]:
        return self._payments.changed_payments(since)

    # Parts

    def _write(
        self, kind: str, body: Mapping[str, Any], unique_field: str, reference: str, params: Mapping[str, str]
    ) -> Any:
        """POST, or an upsert where a unique custom field is configured."""
        if unique_field:
            return self._upsert(kind, body, unique_field, reference)
        return self._api.call(f"create {kind}", "POST", f"/{kind}s", params=params, json=body)

    def _upsert(self, kind: str, body: Mapping[str, Any], unique_field: str, reference: str) -> Any:
        """Zoho's own idempotency. It doesn't say so when the field is at fault: the advice does."""
        headers = {
            "X-Unique-Identifier-Key": unique_field,
            "X-Unique-Identifier-Value": reference,
            "X-Upsert": "true",
        }
        own = {"custom_fields": [{"api_name": unique_field, "value": reference}]}
        try:
            return self._api.call(f"create {kind}", "PUT", f"/{kind}s", json={**body, **own}, headers=headers)
        except RejectedError as error:
            error.advice = f"Check that the custom field {unique_field} exists for {kind}s and prevents duplicates."
            raise

    def _invoice_body(self, request: InvoiceRequest, made: list[schemas.Line]) -> dict[str, Any]:
        lines = schemas.LINE_BODIES.dump(made)
        body = {
            "customer_id": request.customer_key,
            "reference_number": request.reference,
            **_dates(request),
            "payment_terms": request.payment_terms_days,
            "is_inclusive_tax": False,
            "line_items": lines,
        }
        if any("discount" in line for line in lines):
            body |= {"discount_type": "item_level", "is_discount_before_tax": True}
        currency_id = self._currencies.known_id(request.deal.amount.currency)
        return {**body, "currency_id": currency_id} if currency_id else body


def _dates(request: InvoiceRequest) -> dict[str, str]:
    """None where the day is not known: Zoho Books then takes its organization's own, and adds the terms."""
    if request.dated_on is None:
        return {}
    due_on = request.dated_on + timedelta(days=request.payment_terms_days)
    return {"date": request.dated_on.isoformat(), "due_date": due_on.isoformat()}


def _document(answer: Any, operation: str) -> Document:
    row: schemas.InvoiceRow = schemas.read(schemas.INVOICE, answer, "invoice", operation=operation)
    return row.document
