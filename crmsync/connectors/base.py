"""The interfaces between flows and connectors, role by role.

A flow is bound to connections by role and names no vendor; a connector offers the roles that its vendor can fill.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crmsync.domain.catch_up import WonDeal
from crmsync.domain.customers import Candidate, Customer, CustomerMatch
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document, InvoiceRequest, OrderRequest
from crmsync.domain.payments import InvoiceChange, Payment, PaymentChange, PaymentFigures, Settlement
from crmsync.domain.stock import Product, Rejection, StockLevel, StockRow
from crmsync.errors import CrmsyncError

KeepAlive = Callable[[], None]
"""Called before each of several calls in a row, so that the lease outlasts them."""


JOB_LOST = "JOB_LOST"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `crmsync doctor`: what was tried, whether it worked, and what to do if not.

    Of what worked *detail* says what was found. A note is no failure, but a person should read it. After the last
    nothing more was asked, because of what it says.
    """

    name: str
    is_ok: bool
    detail: str = ""
    is_note: bool = False
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class StatusWritten:
    """What came of writing a deal's status. The timestamps are the CRM's own, None where its answer lacks them.

    *left_out* is why the sentence was left out: the status itself was written.
    """

    changed_before: datetime | None = None  # when the deal was last changed before
    changed_at: datetime | None = None
    left_out: CrmsyncError | None = None


class Connector(Protocol):
    """What every vendor offers."""

    system: str
    """The name of the system for people: 'SAP S/4HANA'."""

    def checks(self) -> Iterator[Check]:
        """Sign in and try what the flows will do; name what is missing. Writes nothing, and raises nothing."""


class TellsAccount(Connector, Protocol):
    """What a vendor offers whose sign-in names the account (Claim.is_told)."""

    def sign_in(self) -> str:
        """Get a token where none is at hand. Returns whose account it is, "" for a token that was kept.

        Raises: OtherAccountError.
        """


class Deals(Connector, Protocol):
    """The role of the CRM."""

    def fetch_deal(self, key: str) -> Deal:
        """The deal with its customer and lines, in one call.

        Raises: RecordNotFoundError.
        """

    def read_accounts(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Customer]:
        """The customers of these keys, with name and city only; what does not exist is left out."""

    def write_back(self, key: str, *, order_number: str, invoice_number: str, status: str) -> None:
        """Write the numbers to the deal, and that nothing is wrong with it; the same call twice changes nothing."""

    def write_status(self, key: str, status: str, reason: str) -> StatusWritten:
        """Write how the deal stands and, where there is a field for it, why; the same call twice changes nothing.

        Raises: RecordNotFoundError.
        """

    def write_payment(self, key: str, figures: PaymentFigures, *, currency: str) -> None:
        """Write what was paid to the deal, which is in *currency*; the same call twice changes nothing.

        No day clears the day, and an amount of another currency clears the amount.

        Raises: RecordNotFoundError.
        """

    def won_deals(self, since: datetime, until: datetime) -> Iterator[Sequence[WonDeal]]:
        """Pages of the deals that are won and were changed in [since, until), oldest change first."""


class Customers(Connector, Protocol):
    """Part of the roles of the ERP and of the books. Searches return every candidate, at most ten."""

    customers_have_one_currency: bool
    """Whether all documents of a customer are in its own currency, so that an account may need several customers."""

    def find_customers_by_reference(self, reference: str, customer: Customer, *, currency: str) -> list[Candidate]:
        """Customers that carry our *reference*, wherever this vendor has a place for it."""

    def find_customers_by_keys(self, customer: Customer) -> list[Candidate]:
        """Customers with the same tax number, or where there are none with the same e-mail address; never by name."""

    def find_customers_by_name(self, customer: Customer) -> list[Candidate]:
        """Customers that hold the customer's name where this vendor allows it but once."""

    def read_customers(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        """The customers of these numbers, by the number as it was asked; what does not exist is left out."""

    def adopt_customer(self, match: CustomerMatch, customer: Customer, *, currency: str) -> CustomerMatch:
        """Complete a customer that was found, so that documents can be made for it (SAP: role and sales area)."""

    def create_customer(
        self, customer: Customer, *, reference: str, currency: str, suffix: str = "", payment_terms_days: int = 30
    ) -> CustomerMatch:
        """Make it; where names are unique, *suffix* in brackets distinguishes it from others of its name.

        *payment_terms_days* are the company's own; a system that keeps terms elsewhere does not write them.

        Raises: AmbiguousMatchError where the vendor refuses a second customer of that name.
        """


class Orders(Customers, Protocol):
    """The role of the ERP."""

    def find_orders(self, reference: str) -> list[Document]:
        """Every order that carries exactly *reference*."""

    def create_order(self, request: OrderRequest) -> Document:
        """Make the order. `net` is None where the answer lacks it: read_order() returns it."""

    def read_order(self, key: str) -> Document:
        """The order as it is now. Raises: RecordNotFoundError."""

    def read_orders(self, keys: Sequence[str]) -> list[Document]:
        """The orders of *keys*, at most forty, that the list shows, in one query."""


class Invoices(Customers, Protocol):
    """The role of the books."""

    time_zone: str
    """The zone of the organization as the environment has it, "" where the organization is to be asked."""

    def read_time_zone(self) -> str:
        """The name of the organization's zone, in one call; "" where it names none that is known."""

    def find_invoices(self, reference: str) -> list[Document]:
        """Every invoice that carries exactly *reference*, void ones too."""

    def create_invoice(self, request: InvoiceRequest) -> Document:
        """Make the invoice; mail it in the same call only where `request.send` is set."""

    def read_invoice(self, key: str) -> Document: ...

    def send_invoice(self, key: str, recipients: tuple[str, ...]) -> None:
        """Mail the invoice to its customer."""


class Payments(Connector, Protocol):
    """The role of the books where money comes in."""

    def read_payment(self, key: str) -> Payment:
        """The payment as it is now. Raises: RecordNotFoundError for one that was deleted."""

    def read_settlement(self, invoice_key: str) -> Settlement:
        """How far an invoice is paid. Raises: RecordNotFoundError for an invoice that was deleted."""

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        """Invoices changed at or after *since*, whoever made them."""

    def changed_payments(self, since: datetime) -> Iterator[PaymentChange]:
        """Payments recorded or changed at or after *since*, as far as the vendor can list them."""


class Stock(Connector, Protocol):
    """The role of the ERP where goods lie."""

    def stock(self) -> Iterator[Sequence[StockRow]]:
        """Pages of the stock that counts; a material may have many rows, or none where it has no stock."""

    def known_materials(self, codes: Collection[str], keep_alive: KeepAlive) -> set[str]:
        """The ones of *codes* that the ERP knows, as they were asked for."""


class Catalogue(Connector, Protocol):
    """The role of the CRM where products are quoted from."""

    bulk_above: int
    """More levels than this go into a bulk job."""

    def products(self, since: datetime | None) -> Iterator[Sequence[Product]]:
        """Pages of the products changed at or after *since* (None: all), also inactive ones."""

    def write_levels(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> list[Rejection]:
        """Write at most *bulk_above* levels; a row that is refused stops no other. The same call twice is harmless."""

    def start_bulk(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> str:
        """Hand any number of levels over; returns the key of the job. The same job twice is harmless."""

    def bulk_rejections(self, job_key: str, keep_alive: KeepAlive) -> list[Rejection] | None:
        """What the job refused; None while it is at work.

        Raises: VendorUnavailableError with code JOB_LOST for a job that failed or vanished as a whole: start another.
        """
