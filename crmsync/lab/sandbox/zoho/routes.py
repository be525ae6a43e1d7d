"""What can be asked of the Books API: method, path, operation, and what answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crmsync.lab.sandbox.kernel.http import BadJson, Request, Response, answer
from crmsync.lab.sandbox.kernel.ledger import Clock, Notes
from crmsync.lab.sandbox.zoho.books import SYMBOLS, Books, Contacts
from crmsync.lab.sandbox.zoho.fields import Doc, ZohoProfile, list_response, missing, upsert_target
from crmsync.lab.sandbox.zoho.invoices import Invoices, Items, Lines
from crmsync.lab.sandbox.zoho.payments import CreditNotes, Payments

# One organisation: its modules, and what concerns more than one of them.


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


Action = Callable[..., Response]
Route = tuple[str, str, str, Action]


def body_of(request: Request) -> Doc:
    """The JSON object of a request, sent as it is or as the form field JSONString. Raises BadJson for plain forms."""
    inner = request
    if request.content_type == "application/x-www-form-urlencoded":
        inner = Request("POST", "", {}, request.form.get("JSONString", "").encode())
    value = inner.json()
    if not isinstance(value, dict):
        raise BadJson("object expected")
    return value


def optional_body(request: Request) -> Doc:
    return body_of(request) if request.body else {}


def success(message: str, status: int = 200, **content: Any) -> Response:
    return answer({"code": 0, "message": message, **content}, status)


def act(message: str, work: Callable[..., Any]) -> Action:
    """An action that answers with a message alone."""

    def call(o: Organization, r: Request, **arguments: str) -> Response:
        work(o, r, **arguments)
        return success(message)

    return call


@dataclass(frozen=True)
class Resource:
    """A kind of documents, with the six calls that Books has for each: list, make, upsert, read, change, delete.

    `noun` names its operations, `field` is what it stands under in answers, and `made` and `deleted` are what the
    answers to those calls say.
    """

    path: str
    noun: str
    field: str
    made: str
    deleted: str
    module: Callable[[Organization], Any]
    create: Callable[[Any, Request, dict[str, str]], Doc] = lambda module, r, custom: module.create(body_of(r), custom)

    def routes(self) -> list[Route]:
        of, one = self.module, f"{self.path}/{{key}}"
        return [
            ("GET", self.path, f"find_{self.noun}", lambda o, r: o.listed(r, of(o))),
            ("POST", self.path, f"create_{self.noun}", lambda o, r: self._create(o, r, {})),
            ("PUT", self.path, f"create_{self.noun}", self._upsert),
            ("GET", one, f"get_{self.noun}", lambda o, r, key: self.shown(o, of(o).get(key))),
            ("PUT", one, f"update_{self.noun}", lambda o, r, key: self._update(o, r, of(o).get(key))),
            ("DELETE", one, f"delete_{self.noun}", act(self.deleted, lambda o, r, key: of(o).delete(of(o).get(key)))),
        ]

    def shown(self, o: Organization, doc: Doc, status: int = 200) -> Response:
        message = self.made if status == 201 else "success"
        return success(message, status, **{self.field: self.module(o).show(doc)})

    def _create(self, o: Organization, r: Request, custom: dict[str, str]) -> Response:
        return self.shown(o, self.create(self.module(o), r, custom), 201)

    def _update(self, o: Organization, r: Request, doc: Doc) -> Response:
        return self.shown(o, self.module(o).update(doc, body_of(r)))

    def _upsert(self, o: Organization, r: Request) -> Response:
        module = self.module(o)
        doc, custom = upsert_target(r, module.fields, module.docs.values())
        return self._update(o, r, doc) if doc else self._create(o, r, custom)


CONTACT = Resource("/contacts", noun="customer", field="contact", module=lambda o: o.contacts,
                   made="The contact has been saved.", deleted="The customer has been deleted.")  # fmt: skip
ITEM = Resource("/items", noun="item", field="item", module=lambda o: o.items,
                made="The item has been added.", deleted="The item has been deleted.")  # fmt: skip
INVOICE = Resource("/invoices", noun="invoice", field="invoice", module=lambda o: o.invoices,
                   create=lambda module, r, custom: module.create(body_of(r), r.query, custom),
                   made="The invoice has been created.", deleted="The invoice has been deleted.")  # fmt: skip
PAYMENT = Resource("/customerpayments", noun="payment", field="payment", module=lambda o: o.payments,
                   made="The payment from the customer has been recorded",
                   deleted="The payment has been deleted.")  # fmt: skip


def contact_by_reference(o: Organization, r: Request, key: str) -> Response:
    found = next((doc for doc in o.contacts.docs.values() if key in doc["_custom"].values()), None)
    if found is None:
        raise missing("Contact")
    return CONTACT.shown(o, found)


CONTACTS: list[Route] = [
    *CONTACT.routes(),
    ("POST", "/contacts/contactpersons", "update_customer",
     lambda o, r: success("The contact person has been added.", 201, contact_person=o.contacts.add_person(body_of(r)))),
    ("PUT", "/contacts/contactpersons/{key}", "update_customer",
     lambda o, r, key: success("success", contact_person=o.contacts.change_person(key, body_of(r)))),
    ("DELETE", "/contacts/contactpersons/{key}", "update_customer",
     act("The contact person has been deleted.", lambda o, r, key: o.contacts.delete_person(key))),
    ("POST", "/contacts/contactpersons/{key}/primary", "update_customer",
     act("This contact person has been marked as primary.", lambda o, r, key: o.contacts.make_primary(key))),
    ("GET", "/contacts/reference/{key}", "find_customer", contact_by_reference),
    ("POST", "/contacts/{key}/active", "update_customer",
     act("Marked as active.", lambda o, r, key: o.contacts.mark(o.contacts.get(key), "active"))),
    ("POST", "/contacts/{key}/inactive", "update_customer",
     act("Marked as inactive.", lambda o, r, key: o.contacts.mark(o.contacts.get(key), "inactive"))),
    ("GET", "/contacts/{key}/contactpersons", "get_customer",
     lambda o, r, key: success("success", contact_persons=o.contacts.get(key)["persons"])),
]  # fmt: skip


def item_details(o: Organization, r: Request) -> Response:
    keys = r.query.get("item_ids", "").split(",")
    return success("success", items=[o.items.show(o.items.get(key)) for key in keys])


ITEMS: list[Route] = [
    *ITEM.routes(),
    ("GET", "/itemdetails", "get_item", item_details),
    ("POST", "/items/{key}/active", "update_item",
     act("The item has been marked as active.", lambda o, r, key: o.items.mark(o.items.get(key), "active"))),
    ("POST", "/items/{key}/inactive", "update_item",
     act("The item has been marked as inactive.", lambda o, r, key: o.items.mark(o.items.get(key), "inactive"))),
]  # fmt: skip


def email_many(o: Organization, r: Request) -> None:
    for key in r.query.get("invoice_ids", "").split(",")[:10]:
        o.invoices.email(o.invoices.get(key), {})


INVOICES: list[Route] = [
    *INVOICE.routes(),
    ("POST", "/invoices/email", "send_invoice", act("Mission accomplished! Mails are on their way.", email_many)),
    ("POST", "/invoices/{key}/status/sent", "mark_sent",
     act("Invoice status has been changed to Sent.", lambda o, r, key: o.invoices.mark(o.invoices.get(key), "sent"))),
    ("POST", "/invoices/{key}/status/draft", "draft_invoice",
     act("Invoice is a draft again", lambda o, r, key: o.invoices.mark(o.invoices.get(key), "draft"))),
    ("POST", "/invoices/{key}/status/void", "void_invoice",
     act("Invoice status has been changed to Void.", lambda o, r, key: o.void(o.invoices.get(key)))),
    ("POST", "/invoices/{key}/email", "send_invoice",
     act("Your invoice has been sent.", lambda o, r, key: o.invoices.email(o.invoices.get(key), optional_body(r)))),
    ("POST", "/invoices/{key}/writeoff", "update_invoice",
     act("Invoice amount has been written off.", lambda o, r, key: o.invoices.write_off(o.invoices.get(key)))),
    ("POST", "/invoices/{key}/writeoff/cancel", "update_invoice",
     act("The writeoff done for this invoice has been cancelled.",
         lambda o, r, key: o.invoices.undo_write_off(o.invoices.get(key)))),
    ("GET", "/invoices/{key}/payments", "find_payment",
     lambda o, r, key: success("success", payments=o.payments.of_invoice(o.invoices.get(key)["invoice_id"]))),
    ("DELETE", "/invoices/{key}/payments/{part}", "update_payment",
     act("The payment has been deleted.", lambda o, r, key, part: o.payments.take_off(o.invoices.get(key), part))),
]  # fmt: skip


def delete_payments(o: Organization, r: Request) -> None:
    for key in r.query.get("payment_ids", "").split(","):
        o.payments.delete(o.payments.get(key))


def refund(o: Organization, r: Request, key: str) -> Response:
    made = o.payments.refund(o.payments.get(key), body_of(r))
    return success("The refund information for this payment has been saved.", 201, payment_refund=made)


PAYMENTS: list[Route] = [
    *PAYMENT.routes(),
    ("DELETE", "/customerpayments", "delete_payment", act("The payment(s) have been deleted.", delete_payments)),
    ("POST", "/customerpayments/{key}/refunds", "refund_payment", refund),
    ("GET", "/customerpayments/{key}/refunds", "get_payment",
     lambda o, r, key: success("success", payment_refunds=o.payments.get(key)["_refunds"])),
    ("DELETE", "/customerpayments/{key}/refunds/{part}", "refund_payment",
     act("The refund has been deleted.", lambda o, r, key, part: o.payments.undo_refund(o.payments.get(key), part))),
]  # fmt: skip


def creditnote(o: Organization, doc: Doc, status: int = 200) -> Response:
    return success("success", status, creditnote=o.creditnotes.show(doc))


def creditnote_status(status: str) -> Action:
    return act("Status changed.", lambda o, r, key: o.creditnotes.mark(o.creditnotes.get(key), status))


CREDITNOTES: list[Route] = [
    ("GET", "/creditnotes", "find_creditnote", lambda o, r: o.listed(r, o.creditnotes)),
    ("POST", "/creditnotes", "create_creditnote", lambda o, r: creditnote(o, o.creditnotes.create(body_of(r)), 201)),
    ("GET", "/creditnotes/{key}", "get_creditnote", lambda o, r, key: creditnote(o, o.creditnotes.get(key))),
    ("POST", "/creditnotes/{key}/status/void", "update_creditnote", creditnote_status("void")),
    ("POST", "/creditnotes/{key}/status/open", "update_creditnote", creditnote_status("open")),
    ("POST", "/creditnotes/{key}/status/draft", "update_creditnote", creditnote_status("draft")),
    ("POST", "/creditnotes/{key}/invoices", "update_creditnote",
     act("Credits applied.", lambda o, r, key: o.creditnotes.apply(o.creditnotes.get(key), body_of(r)))),
]  # fmt: skip
SETTINGS: list[Route] = [
    ("GET", "/organizations", "organizations", lambda o, r: success("success", organizations=[o.show()])),
    ("GET", "/settings/currencies", "settings", lambda o, r: success("success", currencies=o.currencies())),
    ("GET", "/settings/taxes", "settings", lambda o, r: success("success", taxes=o.books.taxes)),
]
ROUTES = [*CONTACTS, *ITEMS, *INVOICES, *PAYMENTS, *CREDITNOTES, *SETTINGS]
