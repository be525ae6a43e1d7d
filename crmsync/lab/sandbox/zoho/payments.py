"""Customer payments: money applied to invoices, given back, taken off again.

Source: shared fact sheet, section 5. The codes of the amount rules (24016, 24017, 24018) are unverified.
"""

import hashlib
import hmac
import json
from decimal import Decimal
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from crmsync.lab.sandbox.kernel.http import dumps
from crmsync.lab.sandbox.zoho.books import SYMBOLS, Books, Contacts, Module, day, number, text
from crmsync.lab.sandbox.zoho.fields import Doc, Listing, ZohoError, invalid, missing
from crmsync.lab.sandbox.zoho.invoices import Invoices, Lines

# The outgoing payment webhook: its body forms and its signature.
#
# Source: shared fact sheet, section 7. The signed text is every query pair and form pair, sorted by key and joined
# without separators, followed by the raw body where that is no form.


FORMS = ("json", "flat", "jsonstring", "form", "raw")
URLENCODED = "application/x-www-form-urlencoded"
SIGNATURE = "X-Zoho-Webhook-Signature"


def payment_body(payment: Doc, form: str) -> tuple[bytes, str]:
    """The body and content type of a payment webhook.

    `json` is the default payload, `flat` the same without its wrapper, `jsonstring` the older single form field, `form`
    own key and value pairs, `raw` a JSON text made from placeholders, in which numbers are texts.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r} is none of {', '.join(FORMS)}")
    if form in ("json", "flat"):
        return dumps({"payment": payment} if form == "json" else payment), "application/json"
    if form == "jsonstring":
        return urlencode({"JSONString": dumps({"payment": payment}).decode()}).encode(), URLENCODED
    pairs = {name: str(payment[name]) for name in ("payment_id", "amount", "date", "customer_id", "reference_number")}
    if payment["invoices"]:
        pairs["invoice_id"] = payment["invoices"][0]["invoice_id"]
    return (
        (urlencode(pairs).encode(), URLENCODED) if form == "form" else (json.dumps(pairs).encode(), "application/json")
    )


def sign(secret: str, url: str, body: bytes, content_type: str) -> str:
    """The value of the signature header.

    >>> sign("crmsyncTestSecret2026", "http://x/", b'{"payment":{"payment_id":"1"}}', "application/json")[:12]
    'cf16ea9eeb8d'
    """
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    if content_type == URLENCODED:
        pairs += parse_qsl(body.decode(), keep_blank_values=True)
    signed = "".join(key + value for key, value in sorted(pairs)).encode()
    signed += b"" if content_type == URLENCODED else body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


# Credit notes, as far as crmsync meets them: made, opened, voided, applied to invoices.


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


Parts = dict[str, Decimal]  # of a payment: invoice id → amount

ZERO = Decimal(0)
MODES = ("check", "cash", "creditcard", "banktransfer", "bankremittance", "autotransaction", "others")
ROW = (
    *("payment_id", "payment_number", "payment_mode", "amount", "date", "reference_number", "description"),
    *("customer_id", "customer_name", "currency_code", "exchange_rate", "created_time", "last_modified_time"),
)


class Payments(Module):
    """The customer payments of one organisation."""

    kind, key, noun = "customerpayments", "payment_id", "Payment"

    def __init__(self, books: Books, contacts: Contacts, invoices: Invoices) -> None:
        super().__init__(books)
        self._contacts, self._invoices = contacts, invoices
        self._numbers = count(1)
        self.listing = Listing(
            "customerpayments",
            self.row,
            texts=("customer_name", "reference_number", "payment_mode", "customer_id", "description"),
            ordered=("date", "amount"),
            search=("reference_number", "customer_name", "description"),
            sorts=("created_time", "date", "amount", "customer_name", "last_modified_time", "reference_number"),
            statuses={f"PaymentMode.{mode.title()}": _has_mode(mode) for mode in MODES} | {"PaymentMode.All": bool},
        )

    def create(self, body: Doc, custom: dict[str, str] | None = None) -> Doc:
        contact = self._contacts.get(str(body.get("customer_id", "")))
        doc: Doc = {"_custom": {}, "_applied": {}, "_withheld": {}, "_part_ids": {}, "_refunds": []}
        doc["amount_refunded"] = ZERO
        doc |= {"customer_id": contact["contact_id"], "customer_name": contact["contact_name"]}
        doc |= {"email": contact["email"], "currency_code": contact["currency_code"]}
        self._fill(doc, body, custom or {})
        doc |= {"payment_id": self._books.new_id(), "payment_number": str(next(self._numbers)), **self._books.stamps()}
        self.docs[doc["payment_id"]] = doc
        self._apply(doc, 1)
        self._books.note("created", "payment", doc["payment_id"], doc["reference_number"], amount=str(doc["amount"]))
        return doc

    def _fill(self, doc: Doc, body: Doc, custom: dict[str, str]) -> None:
        doc["payment_mode"] = body.get("payment_mode", doc.get("payment_mode"))
        if doc["payment_mode"] not in MODES:
            raise invalid("payment_mode")
        doc["amount"] = number(body, "amount", doc.get("amount"))
        if doc["amount"] <= 0 or doc["amount"] != self._books.rounded(doc["amount"], doc["currency_code"]):
            raise ZohoError(24015, "The amount has to be greater than zero.")
        doc["date"] = day(body, "date", self._books.today())
        doc["reference_number"] = text(body, "reference_number", 100, doc.get("reference_number", ""))
        doc["description"] = text(body, "description", 2000, doc.get("description", ""))
        doc["bank_charges"] = number(body, "bank_charges", doc.get("bank_charges", ZERO))
        # In foreign currency it turns the amount into the organisation's; invoices are paid in their own currency.
        doc["exchange_rate"] = number(body, "exchange_rate", doc.get("exchange_rate", Decimal(1)))
        if doc["exchange_rate"] <= 0:
            raise invalid("exchange_rate")
        doc["account_id"] = text(body, "account_id", 50, doc.get("account_id", ""))
        if "invoices" in body:
            doc["_applied"], doc["_withheld"] = self._applied(doc, body["invoices"])
        if sum(doc["_applied"].values(), doc["amount_refunded"]) > doc["amount"]:
            raise ZohoError(24016, "The amount applied is more than the payment.")
        self.fill_custom(doc, body, custom)

    def _applied(self, doc: Doc, entries: Any) -> tuple[Parts, Parts]:
        """Invoice id → amount, and the same for what the customer withheld as tax.

        Raises ZohoError for more than a balance, a void invoice or another customer's.
        """
        if not isinstance(entries, list):
            raise invalid("invoices")
        applied: Parts = {}
        withheld: Parts = {}
        for entry in entries:
            if not isinstance(entry, dict):
                raise invalid("invoices")
            invoice, amount = self._invoices.get(str(entry.get("invoice_id", ""))), number(entry, "amount_applied")
            tax, key = number(entry, "tax_amount_withheld", ZERO), invoice["invoice_id"]
            if invoice["customer_id"] != doc["customer_id"] or invoice["status"] == "void" or amount <= 0 or tax < 0:
                raise ZohoError(24018, "The payment cannot be applied to this invoice.")
            applied[key], withheld[key] = amount + applied.get(key, ZERO), tax + withheld.get(key, ZERO)
            before = self.docs[doc["payment_id"]] if "payment_id" in doc else {"_applied": {}, "_withheld": {}}
            held = before["_applied"].get(key, ZERO) + before["_withheld"].get(key, ZERO)
            if applied[key] + withheld[key] > invoice["balance"] + held:
                raise ZohoError(24017, "The amount applied is more than the balance of the invoice.")
        return applied, withheld

    def _apply(self, doc: Doc, sign: int) -> None:
        """Add to (or with -1 take from) what the invoices have been paid."""
        for invoice_id, amount in doc["_applied"].items():
            self._apply_to(invoice_id, sign * amount, sign * doc["_withheld"].get(invoice_id, ZERO))

    def _apply_to(self, invoice_id: str, amount: Decimal, withheld: Decimal) -> None:
        """A paid draft counts as sent."""
        invoice = self._invoices.docs.get(invoice_id)
        if invoice is None or invoice["status"] == "void":
            return
        invoice["payment_made"] += amount
        invoice["tax_amount_withheld"] += withheld
        invoice["status"] = "sent" if invoice["status"] == "draft" else invoice["status"]
        invoice["last_payment_date"] = self._last_day(invoice_id)
        self._invoices.settle(invoice)
        self._books.touch(invoice)

    def _last_day(self, invoice_id: str) -> str:
        return max((str(self.docs[key]["date"]) for key in self.ids_of(invoice_id)), default="")

    def update(self, doc: Doc, body: Doc) -> Doc:
        changed = {**doc, "_custom": dict(doc["_custom"])}
        self._fill(changed, body, {})
        self._apply(doc, -1)
        doc.update(changed)
        self._apply(doc, 1)
        self._changed(doc)
        return doc

    def delete(self, doc: Doc) -> None:
        """Remove a payment; its invoices owe the money again."""
        if doc["_refunds"]:
            raise ZohoError(24019, "Payments with refunds cannot be deleted.")
        del self.docs[doc["payment_id"]]
        self._apply(doc, -1)
        self._books.note("deleted", "payment", doc["payment_id"], doc["reference_number"])

    def detach(self, invoice: Doc) -> None:
        """Take an invoice that is void out of its payments: the money stays with the customer."""
        for key in self.ids_of(invoice["invoice_id"]):
            del self.docs[key]["_applied"][invoice["invoice_id"]]
            self._changed(self.docs[key])
        invoice |= {"payment_made": ZERO, "tax_amount_withheld": ZERO, "credits_applied": ZERO, "last_payment_date": ""}
        self._invoices.settle(invoice)

    def refund(self, doc: Doc, body: Doc) -> Doc:
        """Give back what is not applied. Raises ZohoError for more than that."""
        amount = number(body, "amount")
        if amount <= 0 or amount > self.unused(doc):
            raise ZohoError(24020, "The refund is more than the unused amount of the payment.")
        refund = {
            "payment_refund_id": self._books.new_id(),
            "amount": amount,
            "date": day(body, "date", self._books.today()),
        }
        refund |= {"payment_id": doc["payment_id"], "reference_number": text(body, "reference_number", 100)}
        doc["_refunds"].append(refund)
        doc["amount_refunded"] += amount
        self._books.touch(doc)
        self._books.note("refunded", "payment", doc["payment_id"], doc["reference_number"], amount=str(amount))
        return refund

    def undo_refund(self, doc: Doc, refund_id: str) -> None:
        """Delete a refund: the money is unused again."""
        found = [one for one in doc["_refunds"] if one["payment_refund_id"] == refund_id]
        if not found:
            raise missing("Refund")
        doc["_refunds"].remove(found[0])
        doc["amount_refunded"] -= found[0]["amount"]
        self._changed(doc)

    def unused(self, doc: Doc) -> Decimal:
        """What of a payment is neither applied nor given back: over-payments, advances."""
        return Decimal(doc["amount"] - doc["amount_refunded"] - sum(doc["_applied"].values(), ZERO))

    def take_off(self, invoice: Doc, part_id: str) -> None:
        """Take one invoice out of a payment, which keeps the money: DELETE of an invoice payment."""
        for key in self.ids_of(invoice["invoice_id"]):
            doc = self.docs[key]
            if self._part_id(doc, invoice["invoice_id"]) == part_id:
                amount = doc["_applied"].pop(invoice["invoice_id"])
                self._apply_to(invoice["invoice_id"], -amount, -doc["_withheld"].pop(invoice["invoice_id"], ZERO))
                return self._changed(doc)
        raise missing("Payment")

    def _changed(self, doc: Doc) -> None:
        self._books.touch(doc)
        self._books.note("changed", "payment", doc["payment_id"], doc["reference_number"])

    def ids_of(self, invoice_id: str) -> list[str]:
        """The payments that an invoice has."""
        return [key for key, doc in self.docs.items() if invoice_id in doc["_applied"]]

    def _part_id(self, doc: Doc, invoice_id: str) -> str:
        """The id of one invoice's share in a payment."""
        if invoice_id not in doc["_part_ids"]:
            doc["_part_ids"][invoice_id] = self._books.new_id()
        return str(doc["_part_ids"][invoice_id])

    def of_invoice(self, invoice_id: str) -> list[Doc]:
        """The payments as an invoice lists them: with its own share as the amount."""
        found = [self.docs[key] for key in self.ids_of(invoice_id)]
        return [
            {**self.row(doc), "invoice_id": invoice_id, "invoice_payment_id": self._part_id(doc, invoice_id)}
            | {"amount": doc["_applied"][invoice_id]}
            for doc in found
        ]

    def row(self, doc: Doc) -> Doc:
        numbers = [self._invoices.docs[key]["invoice_number"] for key in doc["_applied"] if key in self._invoices.docs]
        shown = {name: doc[name] for name in ROW} | {"unused_amount": self.unused(doc)}
        return shown | {"invoice_number": ", ".join(numbers)}

    def show(self, doc: Doc) -> Doc:
        """The payment as GET and the webhook show it."""
        shown = super().show(doc)
        shown |= {"invoices": [self._part(doc, *one) for one in doc["_applied"].items()], "status": "paid"}
        shown["unused_amount"] = self.unused(doc)
        shown["currency_symbol"] = SYMBOLS.get(doc["currency_code"], "")
        return shown | {"custom_fields": self.fields.show(doc["_custom"])}

    def _part(self, doc: Doc, invoice_id: str, amount: Decimal) -> Doc:
        invoice = self._invoices.docs.get(invoice_id, {})
        shown = {name: invoice.get(name, "") for name in ("invoice_number", "date")}
        shown |= {"invoice_id": invoice_id, "amount_applied": amount}
        shown["tax_amount_withheld"] = doc["_withheld"].get(invoice_id, ZERO)
        shown["invoice_payment_id"] = self._part_id(doc, invoice_id)
        return shown | {"invoice_amount": invoice.get("total", 0), "balance_amount": invoice.get("balance", 0)}


def _has_mode(mode: str) -> Any:
    return lambda doc: doc["payment_mode"] == mode
