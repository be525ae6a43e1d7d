"""Invoices: draft → sent → partially_paid → paid, or void; overdue by date; mails are counted.

Source: shared fact sheet, section 5. Codes without a tag there (1001, 4097 and those of this module's own rules) are
unverified.
"""

from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from crmsync.lab.sandbox.zoho.books import EMAIL, Books, Contacts, Module, day, number, rounded, text
from crmsync.lab.sandbox.zoho.fields import Doc, Listing, ZohoError, invalid

# Items: what is sold. Names are unique, and so are SKUs, unless the organisation allows otherwise.


ITEM_TEXTS = {"name": 100, "sku": 100, "unit": 100, "description": 2000, "product_type": 20}


class Items(Module):
    """The items of one organisation."""

    kind, key, noun = "items", "item_id", "Item"

    def __init__(self, books: Books) -> None:
        super().__init__(books)
        self.listing = Listing(
            "items",
            lambda doc: self.show(doc) | self.fields.flat(doc["_custom"]),
            texts=("name", "description"),
            ordered=("rate",),
            search=("name", "description"),
            sorts=("name", "rate", "tax_name"),
            statuses={
                "Status.Active": lambda doc: doc["status"] == "active",
                "Status.Inactive": lambda doc: doc["status"] == "inactive",
            },
        )

    def create(self, body: Doc, custom: dict[str, str] | None = None) -> Doc:
        base: Doc = {"_custom": {}, "status": "active", "tax_id": ""}
        doc = base | dict.fromkeys(ITEM_TEXTS, "") | {"product_type": "goods"}
        if not body.get("name") or "rate" not in body:
            raise ZohoError(4, "Please enter a valid name and rate.")
        self._fill(doc, body, custom or {})
        doc |= {"item_id": self._books.new_id(), **self._books.stamps()}
        self.docs[doc["item_id"]] = doc
        self._books.note("created", "item", doc["item_id"], doc["sku"])
        return doc

    def update(self, doc: Doc, body: Doc) -> Doc:
        changed = {**doc, "_custom": dict(doc["_custom"])}
        self._fill(changed, body, {})
        doc.update(changed)
        self._books.touch(doc)
        self._books.note("changed", "item", doc["item_id"], doc["sku"])
        return doc

    def _fill(self, doc: Doc, body: Doc, custom: dict[str, str]) -> None:
        doc |= {name: text(body, name, longest, doc[name]) for name, longest in ITEM_TEXTS.items()}
        doc["rate"] = number(body, "rate", doc.get("rate"))
        tax = self._books.tax(body["tax_id"]) if body.get("tax_id") else {}
        doc |= {"tax_id": tax.get("tax_id", doc["tax_id"]), "tax_name": tax.get("tax_name", "")}
        doc["tax_percentage"] = str(tax.get("tax_percentage", Decimal(0)))
        for name, code in (("name", 1001), ("sku", 1005)):
            if name in self._books.profile.duplicate_items:
                continue
            if doc[name] and any(one[name].lower() == doc[name].lower() for one in self.others(doc)):
                raise ZohoError(code, f'The {name} "{doc[name]}" already exists.')
        self.fill_custom(doc, body, custom)

    def delete(self, doc: Doc) -> None:
        invoices = self._books.docs["invoices"].values()
        if any(line["item_id"] == doc["item_id"] for invoice in invoices for line in invoice["line_items"]):
            raise ZohoError(1006, "Items which are part of transactions cannot be deleted.")
        del self.docs[doc["item_id"]]

    def mark(self, doc: Doc, status: str) -> None:
        doc["status"] = status
        self._books.touch(doc)

    def show(self, doc: Doc) -> Doc:
        return {**super().show(doc), "tax_type": "tax", "custom_fields": self.fields.show(doc["_custom"])}


# Line items: quantity times rate, discount, tax, and the sums of a document, in Decimal.
#
# A rate is rounded to the currency's decimals and a quantity to those of the preferences before they are multiplied
# (help.zoho.com, facts sheet; the preference: zoho.com/books/help/items/item-preferences.html, "by default, this rate
# is two"). That halves are rounded up is from memory.


class Lines:
    """Reads the lines of invoices and credit notes."""

    def __init__(self, books: Books, items: Items) -> None:
        self._books = books
        self._items = items

    def read(self, bodies: Any, contact: Doc) -> list[Doc]:
        """The lines of a body. Raises ZohoError for none, unknown items and bad numbers."""
        if not isinstance(bodies, list) or not bodies:
            raise ZohoError(4, "Please add at least one line item.")
        return [self._line(body, contact) for body in bodies]

    def _line(self, body: Any, contact: Doc) -> Doc:
        """One line: of an item, or of free text with its own rate."""
        if not isinstance(body, dict):
            raise invalid("line_items")
        item = self._items.get(str(body["item_id"])) if body.get("item_id") else {}
        if item.get("status") == "inactive":
            raise ZohoError(1007, f"The item {item['name']} is inactive.")
        name, description = text(body, "name", 200, item.get("name", "")), text(body, "description", 2000)
        if not name and not description:
            raise ZohoError(4, "Please enter a name or description for the line item.")
        currency = contact["currency_code"]
        quantity = rounded(number(body, "quantity", Decimal(1)), self._books.profile.quantity_precision)
        rate = self._books.rounded(number(body, "rate", item.get("rate")), currency)
        total = self._books.rounded(quantity * rate - _discount(body, quantity * rate), currency)
        line = {"line_item_id": self._books.new_id(), "item_id": item.get("item_id", ""), "name": name}
        line |= {"description": description, "sku": item.get("sku", ""), "unit": text(body, "unit", 100), "rate": rate}
        line |= {"quantity": quantity, "discount": body.get("discount", 0), "item_total": total}
        return line | self._tax(body, item, contact)

    def _tax(self, body: Doc, item: Doc, contact: Doc) -> Doc:
        """The line's own tax, else the item's, the contact's, the organisation's."""
        tax_id = body.get("tax_id") or item.get("tax_id") or contact["tax_id"]
        tax = self._books.tax(tax_id) if tax_id else self._books.taxes[0]
        if not tax["tax_percentage"]:
            return {"tax_id": tax_id or "", "tax_name": "", "tax_percentage": 0}
        return dict(tax)

    def sums(self, lines: list[Doc], currency: str) -> Doc:
        """Net, tax and total; tax is rounded per line."""
        net = sum((line["item_total"] for line in lines), Decimal(0))
        taxes: dict[str, Decimal] = {}
        for line in lines:
            part = self._books.rounded(line["item_total"] * line["tax_percentage"] / 100, currency)
            if line["tax_percentage"]:
                taxes[line["tax_name"]] = taxes.get(line["tax_name"], Decimal(0)) + part
        shown = [{"tax_name": name, "tax_amount": amount} for name, amount in taxes.items()]
        tax_total = sum(taxes.values(), Decimal(0))
        return {"sub_total": net, "tax_total": tax_total, "total": net + tax_total, "taxes": shown}


def _discount(body: Doc, amount: Decimal) -> Decimal:
    """A discount as an amount, or as a text with a percent sign."""
    given = body.get("discount", 0)
    if isinstance(given, str) and given.endswith("%"):
        return amount * number({"discount": given[:-1]}, "discount") / 100
    return number({"discount": given}, "discount")


ZERO = Decimal(0)
TEXTS = {"reference_number": 100, "notes": 5000, "terms": 10000, "zcrm_potential_id": 50}
ROW = (
    *("invoice_id", "invoice_number", "reference_number", "customer_id", "customer_name", "date", "due_date"),
    *("currency_id", "currency_code", "created_time", "last_modified_time", "is_emailed", "exchange_rate"),
)
LONGEST_TERMS = 9999  # days; what is less than none stands for the end of a month


class Invoices(Module):
    """The invoices of one organisation."""

    kind, key, noun = "invoices", "invoice_id", "Invoice"

    def __init__(self, books: Books, contacts: Contacts, lines: Lines) -> None:
        super().__init__(books)
        self._contacts, self._lines = contacts, lines
        self._numbers = count(1)
        self.listing = Listing(
            "invoices",
            self.row,
            texts=("reference_number", "invoice_number", "customer_id", "customer_name", "zcrm_potential_id"),
            ordered=("date", "due_date", "total", "balance", "created_date"),
            by_modified=True,
            search=("invoice_number", "reference_number", "customer_name"),
            sorts=("created_time", "customer_name", "invoice_number", "date", "due_date", "total", "balance"),
            statuses={
                "Status.Draft": lambda doc: doc["status"] == "draft",
                "Status.Sent": lambda doc: doc["status"] == "sent",
                "Status.Paid": lambda doc: doc["status"] == "paid",
                "Status.Void": lambda doc: doc["status"] == "void",
                "Status.PartiallyPaid": lambda doc: doc["status"] == "partially_paid",
                "Status.OverDue": lambda doc: self.status(doc) == "overdue",
                "Status.Unpaid": lambda doc: self.status(doc) in ("sent", "overdue", "partially_paid"),
            },
        )

    def create(self, body: Doc, query: dict[str, str], custom: dict[str, str] | None = None) -> Doc:
        """Add an invoice; with `send=true` it is mailed at once. Two equal reference numbers are no error."""
        contact = self._customer(body)
        doc: Doc = {"_custom": {}, "status": "draft", "is_emailed": False, "payment_made": ZERO}
        doc |= {"credits_applied": ZERO, "write_off_amount": ZERO, "tax_amount_withheld": ZERO}
        doc |= dict.fromkeys(TEXTS, "")
        self._fill(doc, body, contact, custom or {})
        recipients = self._recipients(contact, body) if query.get("send") == "true" else []
        doc["invoice_number"] = self._number(body, query)
        doc |= {"invoice_id": self._books.new_id(), **self._books.stamps(), "created_date": doc["date"]}
        self.docs[doc["invoice_id"]] = doc
        self._books.note("created", "invoice", doc["invoice_id"], doc["reference_number"], number=doc["invoice_number"])
        if recipients:
            self._mail(doc, recipients)
        return doc

    def _customer(self, body: Doc) -> Doc:
        if not body.get("customer_id"):
            raise ZohoError(4, "Please select a customer.")
        contact = self._contacts.get(str(body["customer_id"]))
        if contact["status"] == "inactive" or contact["contact_type"] != "customer":
            raise ZohoError(3008, "The customer is inactive or no customer.")
        return contact

    def _number(self, body: Doc, query: dict[str, str]) -> str:
        """INV-000001 and on; an own number needs `ignore_auto_number_generation=true` and must be free."""
        if not body.get("invoice_number"):
            return f"INV-{next(self._numbers):06d}"
        wanted = text(body, "invoice_number", 100)
        if query.get("ignore_auto_number_generation") != "true":
            raise ZohoError(4097, "Invoice number should not be sent while auto-numbering is on.")
        if any(doc["invoice_number"] == wanted for doc in self.docs.values()):
            raise ZohoError(1001, f"Invoice number {wanted} already exists.")
        return wanted

    def _fill(self, doc: Doc, body: Doc, contact: Doc, custom: dict[str, str]) -> None:
        """Read the body into the document; its currency is the customer's, whatever the body says."""
        if "currency_id" in body:
            self._books.currency_code(body["currency_id"])
        doc |= {"customer_id": contact["contact_id"], "customer_name": contact["contact_name"]}
        doc |= {"currency_id": contact["currency_id"], "currency_code": contact["currency_code"]}
        doc |= {name: text(body, name, longest, doc[name]) for name, longest in TEXTS.items()}
        doc["exchange_rate"] = number(body, "exchange_rate", doc.get("exchange_rate", Decimal(1)))
        self._fill_dates(doc, body, contact)
        self._fill_money(doc, body, contact)
        doc["_persons"] = self._persons(contact, body.get("contact_persons", doc.get("_persons", [])))
        self.fill_custom(doc, body, custom)

    def _fill_dates(self, doc: Doc, body: Doc, contact: Doc) -> None:
        doc["date"] = day(body, "date", date.fromisoformat(doc.get("date", self._books.today().isoformat())))
        terms = body.get("payment_terms", doc.get("payment_terms", contact["payment_terms"]))
        if isinstance(terms, bool) or not isinstance(terms, int) or not -LONGEST_TERMS <= terms <= LONGEST_TERMS:
            raise invalid("payment_terms")
        doc |= {"payment_terms": terms, "payment_terms_label": f"Net {terms}" if terms else "Due on Receipt"}
        doc["due_date"] = day(body, "due_date", date.fromisoformat(doc["date"]) + timedelta(days=terms))
        if doc["due_date"] < doc["date"]:
            raise ZohoError(1010, "Due date should not be earlier than the invoice date.")

    def _fill_money(self, doc: Doc, body: Doc, contact: Doc) -> None:
        if "line_items" in body or "line_items" not in doc:
            doc["line_items"] = self._lines.read(body.get("line_items"), contact)
        doc["adjustment"] = number(body, "adjustment", doc.get("adjustment", ZERO))
        doc["shipping_charge"] = number(body, "shipping_charge", doc.get("shipping_charge", ZERO))
        doc |= self._lines.sums(doc["line_items"], contact["currency_code"])
        doc["total"] += doc["adjustment"] + doc["shipping_charge"]
        self.settle(doc)

    def _persons(self, contact: Doc, ids: Any) -> list[str]:
        known = {person["contact_person_id"] for person in contact["persons"]}
        if not isinstance(ids, list) or not {str(one) for one in ids} <= known:
            raise invalid("contact_persons")
        return [str(one) for one in ids]

    def update(self, doc: Doc, body: Doc) -> Doc:
        """Change an invoice that is neither paid nor void; sent `line_items` replace those it had."""
        if doc["status"] in ("paid", "void"):
            raise ZohoError(1012, f"An invoice that is {doc['status']} cannot be edited.")
        contact = self._contacts.get(str(body.get("customer_id", doc["customer_id"])))
        changed = {**doc, "_custom": dict(doc["_custom"])}
        self._fill(changed, body, contact, {})
        if changed["balance"] < 0:
            raise ZohoError(1013, "The total cannot be less than what has been paid.")
        doc.update(changed)
        self._changed(doc, "changed")
        return doc

    def settle(self, doc: Doc) -> None:
        """Work out balance and status from what was paid, withheld and credited."""
        paid = doc["payment_made"] + doc["tax_amount_withheld"] + doc["credits_applied"] + doc["write_off_amount"]
        doc["balance"] = doc["total"] - paid
        if doc["status"] == "void" or (doc["status"] == "draft" and not paid):
            return
        doc["status"] = "paid" if doc["balance"] <= 0 else "partially_paid" if paid else "sent"

    def status(self, doc: Doc) -> str:
        """The status as shown: one that is due and unpaid is overdue."""
        is_due = doc["due_date"] < self._books.today().isoformat()
        return "overdue" if is_due and doc["status"] in ("sent", "partially_paid") else str(doc["status"])

    def mark(self, doc: Doc, status: str) -> None:
        """Move the status without a mail. Raises ZohoError where it cannot go there."""
        allowed = {"sent": ("draft", "sent"), "void": ("draft", "sent", "partially_paid", "paid"), "draft": ("void",)}
        if doc["status"] not in allowed[status]:
            raise ZohoError(1014, f"An invoice that is {doc['status']} cannot be marked as {status}.")
        doc["status"] = status
        self.settle(doc)
        self._changed(doc, status)

    def write_off(self, doc: Doc) -> None:
        """Give up what is left to pay. Raises ZohoError where nothing is, or it never was sent."""
        if doc["status"] in ("draft", "void") or doc["balance"] <= 0:
            raise ZohoError(1017, "Only an invoice with a balance can be written off.")
        doc["write_off_amount"] = doc["balance"]
        self.settle(doc)
        self._changed(doc, "written off")

    def undo_write_off(self, doc: Doc) -> None:
        doc["write_off_amount"] = ZERO
        self.settle(doc)
        self._changed(doc, "write-off cancelled")

    def _changed(self, doc: Doc, action: str) -> None:
        self._books.touch(doc)
        self._books.note(action, "invoice", doc["invoice_id"], doc["reference_number"], number=doc["invoice_number"])

    def email(self, doc: Doc, body: Doc) -> None:
        """Mail the invoice, and mark a draft as sent; a second call mails a second time."""
        if doc["status"] == "void":
            raise ZohoError(1015, "A void invoice cannot be mailed.")
        contact = self._contacts.get(doc["customer_id"])
        self._mail(doc, self._recipients(contact, body))

    def _recipients(self, contact: Doc, body: Doc) -> list[str]:
        """The given addresses, else those of the invoice's or the primary contact persons."""
        wanted = body.get("contact_persons") or []
        persons = [one for one in contact["persons"] if one["contact_person_id"] in wanted or one["is_primary_contact"]]
        given = body.get("to_mail_ids") or [one["email"] for one in persons if one["email"]]
        if not isinstance(given, list) or not given:
            raise ZohoError(1025, "Please enter an email address for the customer.")
        if not all(isinstance(one, str) and EMAIL.fullmatch(one) for one in given):
            raise invalid("to_mail_ids")
        return given

    def _mail(self, doc: Doc, recipients: list[str]) -> None:
        doc["is_emailed"] = True
        doc["status"] = "sent" if doc["status"] == "draft" else doc["status"]
        self._changed(doc, "mailed")
        reference, number_ = doc["reference_number"] or None, doc["invoice_number"]
        self._books.ledger.mail(doc["invoice_id"], number=number_, reference=reference, to=recipients)

    def delete(self, doc: Doc) -> None:
        if doc["payment_made"] or doc["credits_applied"]:
            raise ZohoError(1016, "Invoices with payments cannot be deleted.")
        del self.docs[doc["invoice_id"]]
        self._books.note("deleted", "invoice", doc["invoice_id"], doc["reference_number"])

    def row(self, doc: Doc) -> Doc:
        """The invoice as lists show it: no lines, total and balance as text, custom fields flat."""
        shown = {name: doc[name] for name in ROW} | {"status": self.status(doc)}
        shown |= {
            "total": str(doc["total"]),
            "balance": str(doc["balance"]),
            "write_off_amount": doc["write_off_amount"],
        }
        return shown | {"custom_fields": self.fields.show(doc["_custom"])} | self.fields.flat(doc["_custom"])

    def show(self, doc: Doc) -> Doc:
        shown = super().show(doc)
        del shown["created_date"]
        contact = self._contacts.docs.get(doc["customer_id"], {})
        shown |= {"status": self.status(doc), "custom_fields": self.fields.show(doc["_custom"])}
        shown |= {"billing_address": contact.get("billing_address", {}), "contact_persons": doc["_persons"]}
        shown |= {
            "price_precision": self._books.precision(doc["currency_code"]),
            "shipping_charge": str(doc["shipping_charge"]),
            "is_inclusive_tax": False,
        }
        shown["invoice_url"] = f"https://books.example.com/invoice/{doc['invoice_id']}"
        return shown
