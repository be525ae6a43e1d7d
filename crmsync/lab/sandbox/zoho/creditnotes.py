"""Credit notes, as far as crmsync meets them: made, opened, voided, applied to invoices."""

from decimal import Decimal
from itertools import count

from crmsync.lab.sandbox.zoho.books import Books, Module, day, number, text
from crmsync.lab.sandbox.zoho.contacts import Contacts
from crmsync.lab.sandbox.zoho.errors import ZohoError, invalid
from crmsync.lab.sandbox.zoho.fields import Doc
from crmsync.lab.sandbox.zoho.invoices import Invoices
from crmsync.lab.sandbox.zoho.lines import Lines
from crmsync.lab.sandbox.zoho.lists import Listing


class CreditNotes(Module):
    """The credit notes of one organisation."""

    kind, key, noun = "creditnotes", "creditnote_id", "Credit note"

    def __init__(self, books: Books, contacts: Contacts, invoices: Invoices, lines: Lines) -> None:
        super().__init__(books)
        self._contacts, self._invoices, self._lines = contacts, invoices, lines
        self._numbers = count(1)
        self.listing = Listing(
            "creditnotes",
            self.show,
            texts=("reference_number", "customer_id", "customer_name", "creditnote_number", "status"),
            ordered=("date", "total"),
            by_modified=True,
            search=("creditnote_number", "reference_number", "customer_name"),
            sorts=("created_time", "customer_name", "creditnote_number", "total", "balance", "date"),
        )

    def create(self, body: Doc) -> Doc:
        contact = self._contacts.get(str(body.get("customer_id", "")))
        lines = self._lines.read(body.get("line_items"), contact)
        doc = {"status": "open", "line_items": lines, **self._lines.sums(lines, contact["currency_code"])}
        doc |= {"customer_id": contact["contact_id"], "customer_name": contact["contact_name"], "is_emailed": False}
        doc |= {"currency_id": contact["currency_id"], "currency_code": contact["currency_code"]}
        doc |= {"date": day(body, "date", self._books.today()), "balance": doc["total"]}
        doc["reference_number"] = text(body, "reference_number", 100)
        doc["creditnote_number"] = text(body, "creditnote_number", 100) or f"CN-{next(self._numbers):05d}"
        doc |= {"creditnote_id": self._books.new_id(), **self._books.stamps()}
        self.docs[doc["creditnote_id"]] = doc
        self._books.note("created", "creditnote", doc["creditnote_id"], doc["reference_number"])
        return doc

    def mark(self, doc: Doc, status: str) -> None:
        if doc["balance"] != doc["total"]:
            raise ZohoError(12010, "A credit note that has been applied cannot change its status.")
        doc["status"] = status
        self._books.touch(doc)

    def apply(self, doc: Doc, body: Doc) -> None:
        """Credit invoices. Raises ZohoError for more than is left on either side."""
        entries = body.get("invoices")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise invalid("invoices")
        parts = [(self._invoices.get(str(one.get("invoice_id"))), number(one, "amount_applied")) for one in entries]
        if any(amount <= 0 for _, amount in parts):
            raise invalid("amount_applied")
        total = sum((amount for _, amount in parts), Decimal(0))
        if doc["status"] != "open" or total > doc["balance"] or any(a > invoice["balance"] for invoice, a in parts):
            raise ZohoError(12011, "The amount applied is more than what is left.")
        for invoice, amount in parts:
            invoice["credits_applied"] += amount
            self._invoices.settle(invoice)
            self._books.touch(invoice)
        doc["balance"] -= total
        doc["status"] = "open" if doc["balance"] else "closed"
