"""What can be asked of the Books API: method, path, operation, and what answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crmsync.sandbox.http import Request, Response
from crmsync.sandbox.zoho.bodies import body_of, optional_body, success
from crmsync.sandbox.zoho.errors import missing
from crmsync.sandbox.zoho.fields import Doc, upsert_target

if TYPE_CHECKING:
    from crmsync.sandbox.zoho.app import Zoho

Action = Callable[..., Response]
Route = tuple[str, str, str, Action]


def contact(z: "Zoho", doc: Doc, status: int = 200) -> Response:
    return success("The contact has been saved." if status == 201 else "success", status, contact=z.contacts.show(doc))


def upsert_contact(z: "Zoho", r: Request) -> Response:
    doc, custom = upsert_target(r, z.contacts.fields, z.contacts.docs.values())
    return (
        contact(z, z.contacts.update(doc, body_of(r)))
        if doc
        else contact(z, z.contacts.create(body_of(r), custom), 201)
    )


def contact_by_reference(z: "Zoho", r: Request, key: str) -> Response:
    found = next((doc for doc in z.contacts.docs.values() if key in doc["_custom"].values()), None)
    if found is None:
        raise missing("Contact")
    return contact(z, found)


def act(message: str, work: Callable[..., Any]) -> Action:
    """An action that answers with a message alone."""

    def call(z: "Zoho", r: Request, **arguments: str) -> Response:
        work(z, r, **arguments)
        return success(message)

    return call


CONTACTS: list[Route] = [
    ("GET", "/contacts", "find_customer", lambda z, r: z.listed(r, z.contacts)),
    ("POST", "/contacts", "create_customer", lambda z, r: contact(z, z.contacts.create(body_of(r)), 201)),
    ("PUT", "/contacts", "create_customer", upsert_contact),
    ("POST", "/contacts/contactpersons", "update_customer",
     lambda z, r: success("The contact person has been added.", 201, contact_person=z.contacts.add_person(body_of(r)))),
    ("PUT", "/contacts/contactpersons/{key}", "update_customer",
     lambda z, r, key: success("success", contact_person=z.contacts.change_person(key, body_of(r)))),
    ("DELETE", "/contacts/contactpersons/{key}", "update_customer",
     act("The contact person has been deleted.", lambda z, r, key: z.contacts.delete_person(key))),
    ("POST", "/contacts/contactpersons/{key}/primary", "update_customer",
     act("This contact person has been marked as primary.", lambda z, r, key: z.contacts.make_primary(key))),
    ("GET", "/contacts/reference/{key}", "find_customer", contact_by_reference),
    ("GET", "/contacts/{key}", "get_customer", lambda z, r, key: contact(z, z.contacts.get(key))),
    ("PUT", "/contacts/{key}", "update_customer",
     lambda z, r, key: contact(z, z.contacts.update(z.contacts.get(key), body_of(r)))),
    ("DELETE", "/contacts/{key}", "delete_customer",
     act("The customer has been deleted.", lambda z, r, key: z.contacts.delete(z.contacts.get(key)))),
    ("POST", "/contacts/{key}/active", "update_customer",
     act("Marked as active.", lambda z, r, key: z.contacts.mark(z.contacts.get(key), "active"))),
    ("POST", "/contacts/{key}/inactive", "update_customer",
     act("Marked as inactive.", lambda z, r, key: z.contacts.mark(z.contacts.get(key), "inactive"))),
    ("GET", "/contacts/{key}/contactpersons", "get_customer",
     lambda z, r, key: success("success", contact_persons=z.contacts.get(key)["persons"])),
]  # fmt: skip


def item(z: "Zoho", doc: Doc, status: int = 200) -> Response:
    return success("The item has been added." if status == 201 else "success", status, item=z.items.show(doc))


def upsert_item(z: "Zoho", r: Request) -> Response:
    doc, custom = upsert_target(r, z.items.fields, z.items.docs.values())
    return item(z, z.items.update(doc, body_of(r))) if doc else item(z, z.items.create(body_of(r), custom), 201)


def item_details(z: "Zoho", r: Request) -> Response:
    keys = r.query.get("item_ids", "").split(",")
    return success("success", items=[z.items.show(z.items.get(key)) for key in keys])


ITEMS: list[Route] = [
    ("GET", "/items", "find_item", lambda z, r: z.listed(r, z.items)),
    ("POST", "/items", "create_item", lambda z, r: item(z, z.items.create(body_of(r)), 201)),
    ("PUT", "/items", "create_item", upsert_item),
    ("GET", "/itemdetails", "get_item", item_details),
    ("GET", "/items/{key}", "get_item", lambda z, r, key: item(z, z.items.get(key))),
    ("PUT", "/items/{key}", "update_item", lambda z, r, key: item(z, z.items.update(z.items.get(key), body_of(r)))),
    ("DELETE", "/items/{key}", "delete_item",
     act("The item has been deleted.", lambda z, r, key: z.items.delete(z.items.get(key)))),
    ("POST", "/items/{key}/active", "update_item",
     act("The item has been marked as active.", lambda z, r, key: z.items.mark(z.items.get(key), "active"))),
    ("POST", "/items/{key}/inactive", "update_item",
     act("The item has been marked as inactive.", lambda z, r, key: z.items.mark(z.items.get(key), "inactive"))),
]  # fmt: skip


def invoice(z: "Zoho", doc: Doc, status: int = 200) -> Response:
    return success(
        "The invoice has been created." if status == 201 else "success", status, invoice=z.invoices.show(doc)
    )


def upsert_invoice(z: "Zoho", r: Request) -> Response:
    doc, custom = upsert_target(r, z.invoices.fields, z.invoices.docs.values())
    if doc:
        return invoice(z, z.invoices.update(doc, body_of(r)))
    return invoice(z, z.invoices.create(body_of(r), r.query, custom), 201)


def email_many(z: "Zoho", r: Request) -> None:
    for key in r.query.get("invoice_ids", "").split(",")[:10]:
        z.invoices.email(z.invoices.get(key), {})


INVOICES: list[Route] = [
    ("GET", "/invoices", "find_invoice", lambda z, r: z.listed(r, z.invoices)),
    ("POST", "/invoices", "create_invoice", lambda z, r: invoice(z, z.invoices.create(body_of(r), r.query), 201)),
    ("PUT", "/invoices", "create_invoice", upsert_invoice),
    ("POST", "/invoices/email", "send_invoice", act("Mission accomplished! Mails are on their way.", email_many)),
    ("GET", "/invoices/{key}", "get_invoice", lambda z, r, key: invoice(z, z.invoices.get(key))),
    ("PUT", "/invoices/{key}", "update_invoice",
     lambda z, r, key: invoice(z, z.invoices.update(z.invoices.get(key), body_of(r)))),
    ("DELETE", "/invoices/{key}", "delete_invoice",
     act("The invoice has been deleted.", lambda z, r, key: z.invoices.delete(z.invoices.get(key)))),
    ("POST", "/invoices/{key}/status/sent", "mark_sent",
     act("Invoice status has been changed to Sent.", lambda z, r, key: z.invoices.mark(z.invoices.get(key), "sent"))),
    ("POST", "/invoices/{key}/status/draft", "draft_invoice",
     act("Invoice is a draft again", lambda z, r, key: z.invoices.mark(z.invoices.get(key), "draft"))),
    ("POST", "/invoices/{key}/status/void", "void_invoice",
     act("Invoice status has been changed to Void.", lambda z, r, key: z.void(z.invoices.get(key)))),
    ("POST", "/invoices/{key}/email", "send_invoice",
     act("Your invoice has been sent.", lambda z, r, key: z.invoices.email(z.invoices.get(key), optional_body(r)))),
    ("POST", "/invoices/{key}/writeoff", "update_invoice",
     act("Invoice amount has been written off.", lambda z, r, key: z.invoices.write_off(z.invoices.get(key)))),
    ("POST", "/invoices/{key}/writeoff/cancel", "update_invoice",
     act("The writeoff done for this invoice has been cancelled.",
         lambda z, r, key: z.invoices.undo_write_off(z.invoices.get(key)))),
    ("GET", "/invoices/{key}/payments", "find_payment",
     lambda z, r, key: success("success", payments=z.payments.of_invoice(z.invoices.get(key)["invoice_id"]))),
    ("DELETE", "/invoices/{key}/payments/{part}", "update_payment",
     act("The payment has been deleted.", lambda z, r, key, part: z.payments.take_off(z.invoices.get(key), part))),
]  # fmt: skip


def payment(z: "Zoho", doc: Doc, status: int = 200) -> Response:
    message = "The payment from the customer has been recorded" if status == 201 else "success"
    return success(message, status, payment=z.payments.show(doc))


def upsert_payment(z: "Zoho", r: Request) -> Response:
    doc, custom = upsert_target(r, z.payments.fields, z.payments.docs.values())
    return (
        payment(z, z.payments.update(doc, body_of(r)))
        if doc
        else payment(z, z.payments.create(body_of(r), custom), 201)
    )


def delete_payments(z: "Zoho", r: Request) -> None:
    for key in r.query.get("payment_ids", "").split(","):
        z.payments.delete(z.payments.get(key))


def refund(z: "Zoho", r: Request, key: str) -> Response:
    made = z.payments.refund(z.payments.get(key), body_of(r))
    return success("The refund information for this payment has been saved.", 201, payment_refund=made)


PAYMENTS: list[Route] = [
    ("GET", "/customerpayments", "find_payment", lambda z, r: z.listed(r, z.payments)),
    ("POST", "/customerpayments", "create_payment", lambda z, r: payment(z, z.payments.create(body_of(r)), 201)),
    ("PUT", "/customerpayments", "create_payment", upsert_payment),
    ("DELETE", "/customerpayments", "delete_payment", act("The payment(s) have been deleted.", delete_payments)),
    ("GET", "/customerpayments/{key}", "get_payment", lambda z, r, key: payment(z, z.payments.get(key))),
    ("PUT", "/customerpayments/{key}", "update_payment",
     lambda z, r, key: payment(z, z.payments.update(z.payments.get(key), body_of(r)))),
    ("DELETE", "/customerpayments/{key}", "delete_payment",
     act("The payment has been deleted.", lambda z, r, key: z.payments.delete(z.payments.get(key)))),
    ("POST", "/customerpayments/{key}/refunds", "refund_payment", refund),
    ("GET", "/customerpayments/{key}/refunds", "get_payment",
     lambda z, r, key: success("success", payment_refunds=z.payments.get(key)["_refunds"])),
    ("DELETE", "/customerpayments/{key}/refunds/{part}", "refund_payment",
     act("The refund has been deleted.", lambda z, r, key, part: z.payments.undo_refund(z.payments.get(key), part))),
]  # fmt: skip


def creditnote(z: "Zoho", doc: Doc, status: int = 200) -> Response:
    return success("success", status, creditnote=z.creditnotes.show(doc))


def creditnote_status(status: str) -> Action:
    return act("Status changed.", lambda z, r, key: z.creditnotes.mark(z.creditnotes.get(key), status))


CREDITNOTES: list[Route] = [
    ("GET", "/creditnotes", "find_creditnote", lambda z, r: z.listed(r, z.creditnotes)),
    ("POST", "/creditnotes", "create_creditnote", lambda z, r: creditnote(z, z.creditnotes.create(body_of(r)), 201)),
    ("GET", "/creditnotes/{key}", "get_creditnote", lambda z, r, key: creditnote(z, z.creditnotes.get(key))),
    ("POST", "/creditnotes/{key}/status/void", "update_creditnote", creditnote_status("void")),
    ("POST", "/creditnotes/{key}/status/open", "update_creditnote", creditnote_status("open")),
    ("POST", "/creditnotes/{key}/status/draft", "update_creditnote", creditnote_status("draft")),
    ("POST", "/creditnotes/{key}/invoices", "update_creditnote",
     act("Credits applied.", lambda z, r, key: z.creditnotes.apply(z.creditnotes.get(key), body_of(r)))),
]  # fmt: skip
SETTINGS: list[Route] = [
    ("GET", "/organizations", "organizations", lambda z, r: success("success", organizations=[z.organization()])),
    ("GET", "/settings/currencies", "settings", lambda z, r: success("success", currencies=z.currencies())),
    ("GET", "/settings/taxes", "settings", lambda z, r: success("success", taxes=z.books.taxes)),
]
ROUTES = [*CONTACTS, *ITEMS, *INVOICES, *PAYMENTS, *CREDITNOTES, *SETTINGS]
