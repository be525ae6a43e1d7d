"""What people do with orders, invoices and payments, beside crmsync: reject, pay, void, credit, refund."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.kernel.account import Answer, Doors, post
from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.sap.metadata import Row
from crmsync.lab.sandbox.sap.orders import REJECTION_REASONS, refused
from crmsync.lab.sandbox.zoho.app import Zoho
from crmsync.lab.sandbox.zoho.fields import Doc, invalid, missing
from crmsync.lab.sandbox.zoho.payments import SIGNATURE, payment_body, sign

# Orders as people change them in the ERP: rejected, deleted.


REASON = "10"


@dataclass
class Orders:
    """What is done with an order of the stand-in system; it is named by its number. Raises ODataError."""

    sap: Sap

    def reject(self, number: str, reason: str = REASON) -> None:
        """Give every item a reason for rejection, which is how an order is cancelled."""
        if reason not in REJECTION_REASONS:
            raise refused(f"Reason for rejection {reason} is not defined", "SalesDocumentRjcnReason")
        with self.sap.lock:
            order = self._order(number)
            for item in self.sap.orders.items(order):
                item["SalesDocumentRjcnReason"] = reason
            self._changed("rejected", order)

    def reopen(self, number: str) -> None:
        """Take the reasons for rejection away again."""
        with self.sap.lock:
            order = self._order(number)
            for item in self.sap.orders.items(order):
                item["SalesDocumentRjcnReason"] = ""
            self._changed("changed", order)

    def delete(self, number: str) -> None:
        with self.sap.lock:
            order = self._order(number)
            self.sap.orders.delete(order)
            self.sap.tables.changed()
            self._note("deleted", order)

    def _order(self, number: str) -> Row:
        return self.sap.tables.found("A_SalesOrder", (number,))

    def _changed(self, action: str, order: Row) -> None:
        self.sap.orders.refresh(order)
        self.sap.tables.changed()
        self._note(action, order)

    def _note(self, action: str, order: Row) -> None:
        reference = order.get("PurchaseOrderByCustomer") or None
        self.sap.ledger.note(action, "order", order["SalesOrder"], reference=reference)


# Payments as customers make them and bookkeepers undo them: recorded in the books, and announced by webhook.


@dataclass(frozen=True)
class Paid:
    """A payment that was recorded or changed, and what the receiver of its webhook answered.

    `invoice_id` is its first invoice, empty where it is applied to none; `applied` is what each invoice got.
    """

    payment_id: str
    invoice_id: str
    amount: Decimal
    answer: Answer | None = None
    applied: dict[str, Decimal] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        webhook = asdict(self.answer) if self.answer else None
        shown = {"payment_id": self.payment_id, "invoice_id": self.invoice_id, "amount": self.amount}
        return {**shown, "webhook": webhook, "applied": self.applied}


@dataclass(frozen=True)
class Voided:
    """An invoice that is void, the payments that came off it, and what the receiver of their webhooks answered."""

    invoice_id: str
    payment_ids: tuple[str, ...]
    answers: tuple[Answer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        shown = {"invoice_id": self.invoice_id, "payment_ids": self.payment_ids}
        return {**shown, "webhooks": [asdict(one) for one in self.answers]}


@dataclass
class Payments:
    """What is done with a payment that exists."""

    zoho: Zoho
    doors: Doors

    def announce(self, payment_id: str, *, form: str = "json", signature: str | None = None) -> Answer:
        """Send the webhook of a payment (again); `signature` replaces the right one."""
        return self.send(self.shown(payment_id), form=form, signature=signature)

    def shown(self, payment_id: str) -> Doc:
        """The payment as the API and the default payload of a webhook show it now."""
        with self.zoho.lock:
            return self.zoho.organization.payments.show(self.zoho.organization.payments.get(payment_id))

    def send(self, payment: Doc, *, form: str = "json", signature: str | None = None) -> Answer:
        body, content_type = payment_body(payment, form)
        url = self.doors.payment_url()
        right = sign(self.zoho.profile.webhook_secret, url, body, content_type)
        return post(url, body, {"Content-Type": content_type, SIGNATURE: signature or right})

    def told(self, payment: Doc, *, webhook: bool = False, form: str = "json") -> Paid:
        """A payment as the result of an action; with `webhook` the receiver hears of it as it is shown here."""
        answer = self.send(payment, form=form) if webhook else None
        parts = {part["invoice_id"]: part["amount_applied"] for part in payment["invoices"]}
        return Paid(payment["payment_id"], next(iter(parts), ""), payment["amount"], answer, parts)

    def delete(self, payment_id: str, *, webhook: bool = False, form: str = "json") -> Paid:
        """Delete a payment; its webhook shows it as it was. Raises ZohoError."""
        with self.zoho.lock:
            before = self.shown(payment_id)
            self.zoho.organization.payments.delete(self.zoho.organization.payments.get(payment_id))
        return self.told(before, webhook=webhook, form=form)

    def refund(self, payment_id: str, amount: Decimal | None = None, *, webhook: bool = False,
               form: str = "json") -> Paid:  # fmt: skip
        """Give money back: what is not applied, or all of that. Raises ZohoError for more than that."""
        with self.zoho.lock:
            doc = self.zoho.organization.payments.get(payment_id)
            given = self.zoho.organization.payments.unused(doc) if amount is None else amount
            self.zoho.organization.payments.refund(doc, {"amount": str(given)})
        return self.told(self.shown(payment_id), webhook=webhook, form=form)

    def update(self, payment_id: str, *, invoices: Mapping[str, Decimal] | None = None, webhook: bool = False,
               form: str = "json", **changes: Any) -> Paid:  # fmt: skip
        """Change a payment as a bookkeeper does: fields of the API, or by `invoices` what it pays. Raises ZohoError."""
        with self.zoho.lock:
            doc = self.zoho.organization.payments.get(payment_id)
            parts = {} if invoices is None else {"invoices": applied_to(self.zoho, invoices)}
            self.zoho.organization.payments.update(doc, {**changes, **parts})
        return self.told(self.shown(payment_id), webhook=webhook, form=form)


@dataclass
class Invoices:
    """Pays and voids invoices of the stand-in organisation."""

    zoho: Zoho
    payments: Payments

    def pay(self, invoice: str, amount: Decimal | None = None, *, webhook: bool = False, form: str = "json",
            reference: str = "PAY-778", **fields: Any) -> Paid:  # fmt: skip
        """Pay an invoice, named by id or number, in full or in part; with `webhook` tell the receiver.

        `fields` are further ones of the API: date, payment_mode, exchange_rate, bank_charges.
        """
        made = self._record({invoice: amount}, None, {"reference_number": reference, **fields})
        return self.payments.told(made, webhook=webhook, form=form)

    def pay_many(self, invoices: Mapping[str, Decimal | None], amount: Decimal | None = None, *, webhook: bool = False,
                 form: str = "json", reference: str = "PAY-778", **fields: Any) -> Paid:  # fmt: skip
        """Record one payment over invoices of one customer; None pays an invoice in full.

        A greater `amount` than their sum leaves the rest with the customer as an over-payment.
        """
        made = self._record(invoices, amount, {"reference_number": reference, **fields})
        return self.payments.told(made, webhook=webhook, form=form)

    def _record(self, invoices: Mapping[str, Decimal | None], amount: Decimal | None, fields: Doc) -> Doc:
        """Create the payment, and show it; nothing is sent while the books are held."""
        with self.zoho.lock:
            found = {name: find_invoice(self.zoho, name) for name in invoices}
            if not found:
                raise invalid("invoices")
            parts = {name: found[name]["balance"] if part is None else part for name, part in invoices.items()}
            total = sum(parts.values(), Decimal(0)) if amount is None else amount
            customer = next(iter(found.values()))["customer_id"]
            body = {"customer_id": customer, "payment_mode": "banktransfer", "amount": str(total), **fields}
            made = self.zoho.organization.payments.create({**body, "invoices": applied_to(self.zoho, parts)})
            return self.zoho.organization.payments.show(made)

    def void(self, invoice: str, *, webhook: bool = False, form: str = "json") -> Voided:
        """Void an invoice: its payments stay with the customer; with `webhook` each of them is announced as changed."""
        with self.zoho.lock:
            doc = find_invoice(self.zoho, invoice)
            taken_off = tuple(self.zoho.organization.payments.ids_of(doc["invoice_id"]))
            self.zoho.organization.void(doc)
        answers = [self.payments.announce(key, form=form) for key in taken_off] if webhook else []
        return Voided(doc["invoice_id"], taken_off, tuple(answers))

    def delete(self, invoice: str) -> None:
        """Delete an invoice. Raises ZohoError for one with payments or credits."""
        with self.zoho.lock:
            self.zoho.organization.invoices.delete(find_invoice(self.zoho, invoice))

    def unvoid(self, invoice: str) -> None:
        """Make a draft of an invoice that is void. Raises ZohoError."""
        with self.zoho.lock:
            self.zoho.organization.invoices.mark(find_invoice(self.zoho, invoice), "draft")

    def credit(self, invoice: str, amount: Decimal | None = None) -> str:
        """Cover an invoice by a credit note of that amount, or wholly; returns the note's id. Raises ZohoError."""
        with self.zoho.lock:
            doc = find_invoice(self.zoho, invoice)
            part = doc["balance"] if amount is None else amount
            line = {"name": "Credit", "rate": str(part)}
            note = self.zoho.organization.creditnotes.create({"customer_id": doc["customer_id"], "line_items": [line]})
            self.zoho.organization.creditnotes.apply(note, {"invoices": applied_to(self.zoho, {invoice: part})})
            return str(note["creditnote_id"])

    def write_off(self, invoice: str) -> None:
        """Give up what is left to pay of an invoice. Raises ZohoError."""
        with self.zoho.lock:
            self.zoho.organization.invoices.write_off(find_invoice(self.zoho, invoice))

    def announce(self, payment_id: str, *, form: str = "json", signature: str | None = None) -> Answer:
        """Send the webhook of a payment (again); `signature` replaces the right one."""
        return self.payments.announce(payment_id, form=form, signature=signature)


def find_invoice(zoho: Zoho, name: str) -> Doc:
    """An invoice by id or number. Raises ZohoError."""
    docs = zoho.organization.invoices.docs
    found = docs.get(name) or next((doc for doc in docs.values() if doc["invoice_number"] == name), None)
    if found is None:
        raise missing("Invoice")
    return found


def applied_to(zoho: Zoho, parts: Mapping[str, Decimal]) -> list[Doc]:
    """The `invoices` of a payment's body."""
    return [
        {"invoice_id": find_invoice(zoho, name)["invoice_id"], "amount_applied": str(amount)}
        for name, amount in parts.items()
    ]
