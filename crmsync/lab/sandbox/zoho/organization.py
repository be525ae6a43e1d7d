"""One organisation: its modules, and what concerns more than one of them."""

from typing import Any

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.http import Request, Response
from crmsync.lab.sandbox.ledger import Notes
from crmsync.lab.sandbox.zoho.books import SYMBOLS, Books
from crmsync.lab.sandbox.zoho.contacts import Contacts
from crmsync.lab.sandbox.zoho.creditnotes import CreditNotes
from crmsync.lab.sandbox.zoho.fields import Doc
from crmsync.lab.sandbox.zoho.invoices import Invoices
from crmsync.lab.sandbox.zoho.items import Items
from crmsync.lab.sandbox.zoho.lines import Lines
from crmsync.lab.sandbox.zoho.lists import list_response
from crmsync.lab.sandbox.zoho.payments import Payments
from crmsync.lab.sandbox.zoho.profile import ZohoProfile


class Organization:
    """The books of one company."""

    def __init__(self, profile: ZohoProfile, clock: Clock, ledger: Notes) -> None:
        self._profile, self._clock, self._ledger = profile, clock, ledger
        self.books = Books(profile, clock, ledger)
        self.contacts = Contacts(self.books)
        self.items = Items(self.books)
        lines = Lines(self.books, self.items)
        self.invoices = Invoices(self.books, self.contacts, lines)
        self.payments = Payments(self.books, self.contacts, self.invoices)
        self.creditnotes = CreditNotes(self.books, self.contacts, self.invoices, lines)

    def void(self, invoice: Doc) -> None:
        """Payments and credits come off an invoice that is made void, and stay with the customer."""
        self.invoices.mark(invoice, "void")
        self.payments.detach(invoice)

    def listed(self, request: Request, module: Any) -> Response:
        """One page of a module's documents."""
        return list_response(module.listing, request, list(module.docs.values()), self._profile, self._clock.now())

    def show(self) -> Doc:
        profile = self._profile
        return {
            "organization_id": profile.organization_id,
            "name": "Sandbox Trading Inc.",
            "is_default_org": True,
            "currency_id": self.books.currency_id(profile.currency),
            "currency_code": profile.currency,
            "currency_symbol": SYMBOLS.get(profile.currency, ""),
            "price_precision": self.books.precision(profile.currency),
            "time_zone": profile.time_zone,
            "plan_name": "PREMIUM",
        }

    def currencies(self) -> list[Doc]:
        return [
            {
                "currency_id": key,
                "currency_code": code,
                "currency_name": code,
                "currency_symbol": SYMBOLS.get(code, code),
                "price_precision": self.books.precision(code),
                "is_base_currency": code == self._profile.currency,
                "exchange_rate": 1 if code == self._profile.currency else 0,
            }
            for key, code in self.books.currencies.items()
        ]

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        """What exists now, for the ledger."""
        mails = self._ledger.mail_counts()
        return {
            "contacts": [self._contact(doc) for doc in self.contacts.docs.values()],
            "invoices": [self._invoice(doc, mails[doc["invoice_id"]]) for doc in self.invoices.docs.values()],
            "payments": [self._payment(doc) for doc in self.payments.docs.values()],
        }

    def _contact(self, doc: Doc) -> dict[str, Any]:
        reference = self.contacts.reference(doc)
        return {"id": doc["contact_id"], "name": doc["contact_name"], "email": doc["email"], "reference": reference}

    def _invoice(self, doc: Doc, mails: int) -> dict[str, Any]:
        shown = {name: doc[name] for name in ("customer_id", "sub_total", "total", "balance", "is_emailed")}
        shown |= {"id": doc["invoice_id"], "number": doc["invoice_number"], "currency": doc["currency_code"]}
        reference = doc["reference_number"] or None
        return {**shown, "reference": reference, "status": self.invoices.status(doc), "mails": mails}

    def _payment(self, doc: Doc) -> dict[str, Any]:
        applied = {key: str(amount) for key, amount in doc["_applied"].items()}
        reference = doc["reference_number"] or None
        shown = {"id": doc["payment_id"], "reference": reference, "amount": doc["amount"], "invoices": applied}
        shown |= {"currency": doc["currency_code"], "unused": self.payments.unused(doc)}
        return {**shown, "refunded": doc["amount_refunded"]}
