"""The connector of Ledgerly, made of what crmsync offers to any: customers, bills and payments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from crmsync.connectors.base import Check, KeepAlive
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.system import Tools
from crmsync.connectors.way_out.answers import Failure, Reply, speaks_json
from crmsync.connectors.way_out.transport import new_session
from crmsync.domain.customers import Candidate, Customer, CustomerMatch
from crmsync.domain.documents import Document, InvoiceRequest
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange, Payment, PaymentChange, Settlement
from crmsync.errors import AuthenticationError, CrmsyncError
from tests.made_up import LedgerlySettings


class _Secret:
    """Credentials that are the same for each call."""

    def __init__(self, settings: LedgerlySettings) -> None:
        self._settings = settings

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._settings.client_secret.reveal()}"}

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        raise AuthenticationError("Ledgerly does not accept the secret.", system=Ledgerly.system)


def _explain(reply: Reply) -> Failure | None:
    return Failure() if reply.status >= 400 else None


class Ledgerly:
    """The roles of invoices and of payments; *connection* is the one it was made for."""

    system = "Ledgerly"
    customers_have_one_currency = False
    time_zone = "Europe/Lisbon"

    def __init__(self, connection: str, settings: LedgerlySettings, tools: Tools) -> None:
        self.connection = connection
        self._url = settings.url
        self._client = VendorClient(
            system=self.system,
            session=new_session(is_outside=tools.is_outside),
            authorizer=_Secret(settings),
            explain=_explain,
            speaks=speaks_json,
            call_seconds=tools.behaviour.call_seconds,
            budget=tools.budget,
        )

    def checks(self) -> Iterator[Check]:
        try:
            self._rows("bills", reference="")
        except CrmsyncError as error:
            yield Check("sign-in", False, str(error))
        else:
            yield Check("sign-in", True)

    def read_time_zone(self) -> str:
        return self.time_zone

    # Customers

    def find_customers_by_reference(self, reference: str, customer: Customer, *, currency: str) -> list[Candidate]:
        return [_candidate(row) for row in self._rows("payers", reference=reference)]

    def find_customers_by_keys(self, customer: Customer) -> list[Candidate]:
        return [_candidate(row) for row in self._rows("payers", email=customer.email)] if customer.email else []

    def find_customers_by_name(self, customer: Customer) -> list[Candidate]:
        return []

    def read_customers(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        return {row["id"]: _candidate(row) for key in keys for row in self._rows("payers", id=key)}

    def adopt_customer(self, match: CustomerMatch, customer: Customer, *, currency: str) -> CustomerMatch:
        return match

    def create_customer(
        self, customer: Customer, *, reference: str, currency: str, suffix: str = "", payment_terms_days: int = 30
    ) -> CustomerMatch:
        made = self._create("payers", {"reference": reference, "name": customer.name, "email": customer.email})
        return _candidate(made).matched("created")

    # Invoices

    def find_invoices(self, reference: str) -> list[Document]:
        return [_document(row) for row in self._rows("bills", reference=reference)]

    def create_invoice(self, request: InvoiceRequest) -> Document:
        amount = request.deal.amount
        body = {"reference": request.reference, "payer": request.customer_key}
        return _document(self._create("bills", {**body, "net": str(amount.amount), "currency": amount.currency}))

    def read_invoice(self, key: str) -> Document:
        return _document(self._read("bills", key))

    def send_invoice(self, key: str, recipients: tuple[str, ...]) -> None:
        self._client.call("mail bill", "POST", f"{self._url}/bills/{key}/mail", json={"to": list(recipients)})

    # Payments

    def read_payment(self, key: str) -> Payment:
        row = self._read("payments", key)
        return Payment(row["id"], (row["bill"],), date.fromisoformat(row["on"]), row["id"])

    def read_settlement(self, invoice_key: str) -> Settlement:
        row = self._read("bills", invoice_key)
        net, paid = (Money.of(row[name], row["currency"]) for name in ("net", "paid"))
        balance = Money(net.amount - paid.amount, net.currency)
        return Settlement(row["id"], row["id"], row["reference"], net, balance, paid, is_mailed=bool(row["mailed_to"]))

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        return iter(())

    def changed_payments(self, since: datetime) -> Iterator[PaymentChange]:
        return iter(())

    # Parts

    def _rows(self, kind: str, **filters: str) -> list[Any]:
        return list(self._client.call(f"list {kind}", "GET", f"{self._url}/{kind}", params=filters).body)

    def _read(self, kind: str, key: str) -> Any:
        return self._client.call(f"read {kind}", "GET", f"{self._url}/{kind}/{key}").body

    def _create(self, kind: str, body: Mapping[str, Any]) -> Any:
        return self._client.call(f"create {kind}", "POST", f"{self._url}/{kind}", json=body).body


def _candidate(row: Mapping[str, str]) -> Candidate:
    return Candidate(row["id"], row["name"], emails=(row["email"],), references=(row["reference"],))


def _document(row: Mapping[str, Any]) -> Document:
    net = Money.of(row["net"], row["currency"])
    return Document(row["id"], row["id"], net=net, total=net, is_mailed=bool(row["mailed_to"]))
