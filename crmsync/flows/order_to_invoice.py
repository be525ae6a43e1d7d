"""Order to invoice: a won deal becomes an order and an invoice, and their numbers are written back to the deal.

    fetch_deal → match_erp_customer → create_order → match_books_customer → create_invoice → send_invoice → write_back

Each step takes the run's id, may run twice without harm, and passes nothing on: what it learns goes to the store.
A deal of known customers costs five calls: one for each step but the two matches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from crmsync.company import Company
from crmsync.domain.customers import is_address
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document, InvoiceRequest, OrderRequest, compare_net, standing
from crmsync.domain.learned import CustomerMatched, DealRead, InvoiceMade, InvoiceMailed, NumbersWritten, OrderMade
from crmsync.domain.ledger import EntryKey
from crmsync.domain.references import document_reference
from crmsync.domain.runs import Run
from crmsync.domain.steps import About
from crmsync.errors import DocumentGoneError, RecordNotFoundError, RejectedError
from crmsync.flows import admission, other_currency, second_look, unmailed
from crmsync.flows.business_day import business_day
from crmsync.flows.customer_doubts import is_doubted, told_of_customer
from crmsync.flows.customers import customer_now, linked_customer, match_customer
from crmsync.flows.held_orders import check_holds
from crmsync.flows.second_look import generation_of
from crmsync.flows.told_deals import note_told, settled
from crmsync.worker.attempt import Attempt
from crmsync.worker.documents import read_made
from crmsync.worker.flow import Flow, result
from crmsync.worker.task import step

FLOW = Flow(
    "order_to_invoice",
    subject="deal",
    steps=(
        "fetch_deal",
        "match_erp_customer",
        "create_order",
        "match_books_customer",
        "create_invoice",
        "send_invoice",
        "write_back",
    ),
    rereads=("fetch_deal", "match_erp_customer", "match_books_customer"),
    source="fetch_deal",
    is_rehearsed=True,
    look_calls={"deals": 1, "orders": 1, "invoices": 1},
)


@step(FLOW, queue="crm", learns=DealRead, about=About(calls={"deals": 1}))
def fetch_deal(attempt: Attempt) -> DealRead | Mapping[str, Any]:
    """Read the deal, and go on only if it can be ordered and billed as it stands, and its documents are its own."""
    deal = admission.read(attempt)
    other_currency.look_again(attempt, deal)
    return second_look.reread(attempt, FLOW, deal, partial(admission.check, attempt))


def _document_key(company: Company, run: Run, *, role: str, kind: str) -> EntryKey:
    generation = generation_of(run, kind)
    reference = document_reference(run.subject_key, generation, prefix=company.options.reference_prefix)
    return EntryKey(company.bound(role).connection, kind, reference, generation)


_order_key = partial(_document_key, role="orders", kind="order")
_invoice_key = partial(_document_key, role="invoices", kind="invoice")


def _mail_key(company: Company, run: Run) -> EntryKey | None:
    """None where it is first to be seen whether a mail is to be sent."""
    invoice = result(run, "create_invoice", InvoiceMade)
    is_sent = invoice.is_mailed or company.options.send_on_create
    if is_sent or result(run, "fetch_deal", DealRead).is_mailed_by_hand:
        return None
    return EntryKey(company.invoices.connection, "mail", invoice.key)


@step(
    FLOW,
    queue="erp",
    learns=CustomerMatched,
    known=partial(linked_customer, role="orders", document_step="create_order"),
    about=About("Match ERP customer", most_calls={"orders": 3}, customer_of="orders"),
)
def match_erp_customer(attempt: Attempt) -> CustomerMatched:
    """Find or make the customer in the ERP."""
    deal, doubted = attempt.result(fetch_deal), is_doubted(attempt.run, document_step="create_order")
    return match_customer(attempt, deal, attempt.company.orders, is_doubted=doubted)


@step(FLOW, queue="erp", learns=OrderMade, reserves=_order_key, about=About(calls={"orders": 1}, writes="orders"))
def create_order(attempt: Attempt) -> OrderMade:
    """Make the order, once; a total that is not the deal's stops the run before anything is invoiced."""
    deal, erp = attempt.result(fetch_deal), attempt.company.orders
    key = _order_key(attempt.company, attempt.run)

    def create() -> Mapping[str, Any]:
        customer_key = customer_now(attempt, deal, erp, matched_in="match_erp_customer")
        with told_of_customer(attempt, erp.api, customer_key):
            return erp.api.create_order(OrderRequest(key.reference, customer_key, deal)).to_json()

    order = Document.from_json(
        attempt.create_once(
            key,
            find=lambda: [found.to_json() for found in standing(erp.api.find_orders(key.reference))],
            create=create,
        )
    )
    if order.net is None or attempt.has_adopted or order.remarks:
        order = order.as_read(_standing(attempt, "order", order, erp.api.read_order, system=erp.system))
    _compare(attempt, deal, order, system=erp.system, kind="order")
    check_holds(attempt, order, system=erp.system)
    return OrderMade.of(order, customer=deal.customer.key)


@step(
    FLOW,
    queue="books",
    learns=CustomerMatched,
    known=partial(linked_customer, role="invoices", document_step="create_invoice"),
    about=About(most_calls={"invoices": 4}, customer_of="invoices"),
)
def match_books_customer(attempt: Attempt) -> CustomerMatched:
    """Find or make the customer in the books."""
    deal, doubted = attempt.result(fetch_deal), is_doubted(attempt.run, document_step="create_invoice")
    return match_customer(attempt, deal, attempt.company.invoices, is_doubted=doubted)


@step(
    FLOW,
    queue="books",
    learns=InvoiceMade,
    reserves=_invoice_key,
    about=About(calls={"invoices": 1}, writes="invoices"),
)
def create_invoice(attempt: Attempt) -> InvoiceMade:
    """Make the invoice, once and unsent; one whose net or currency is not the deal's is not mailed."""
    deal, books = attempt.result(fetch_deal), attempt.company.invoices
    key = _invoice_key(attempt.company, attempt.run)
    request = _invoice_request(attempt, deal, key.reference)

    def create() -> Mapping[str, Any]:
        customer_key = customer_now(attempt, deal, books, matched_in="match_books_customer")
        with told_of_customer(attempt, books.api, customer_key):
            return books.api.create_invoice(replace(request, customer_key=customer_key)).to_json()

    invoice = Document.from_json(
        attempt.create_once(
            key,
            find=lambda: [found.to_json() for found in standing(books.api.find_invoices(key.reference))],
            create=create,
        )
    )
    if invoice.net is None or attempt.has_adopted:
        invoice = _standing(attempt, "invoice", invoice, books.api.read_invoice, system=books.system)
    _compare(attempt, deal, invoice, system=books.system, kind="invoice")
    return InvoiceMade.of(invoice)


@step(
    FLOW,
    queue="books",
    learns=InvoiceMailed,
    reserves=_mail_key,
    about=About(calls={"invoices": 1}, writes="invoices"),
)
def send_invoice(attempt: Attempt) -> InvoiceMailed:
    """Mail the invoice, once: before a repeated mail the books' own mark is read."""
    deal, books = attempt.result(fetch_deal), attempt.company.invoices
    invoice = attempt.result(create_invoice)

    def read() -> Document:
        return _standing(attempt, "invoice", invoice, books.api.read_invoice, system=books.system)

    # One that waited may have been voided or deleted meanwhile; the first try, made at once, costs no look.
    if invoice.is_mailed or ((_is_sent_on_create(attempt) or attempt.run.attempts) and read().is_mailed):
        return InvoiceMailed(invoice.number)
    if deal.is_mailed_by_hand:
        return unmailed.leave_to_person(attempt, invoice, system=books.system)

    def find() -> list[Mapping[str, Any]]:
        return [{"invoice": invoice.number}] if read().is_mailed else []

    def send() -> Mapping[str, Any]:
        try:
            books.api.send_invoice(invoice.key, _recipients(deal))
        except (RecordNotFoundError, RejectedError):
            read()  # raises where that is why
            raise
        return {"invoice": invoice.number}

    mail = EntryKey(books.connection, "mail", invoice.key)
    return InvoiceMailed.from_json(attempt.create_once(mail, find=find, create=send))


@step(FLOW, queue="crm", learns=NumbersWritten, about=About(calls={"deals": 1}, writes="deals"))
def write_back(attempt: Attempt) -> NumbersWritten:
    """Write the numbers to the deal, and how it stands: an invoice that stays may have been credited meanwhile."""
    with attempt.services.store.read() as uow:
        status = settled(uow, attempt.company, attempt.run)
    order, invoice = attempt.result(create_order).number, attempt.result(create_invoice).number
    attempt.company.deals.api.write_back(
        attempt.run.subject_key, order_number=order, invoice_number=invoice, status=status
    )
    note_told(attempt, status)
    return NumbersWritten(order, invoice, status)


def _is_sent_on_create(attempt: Attempt) -> bool:
    return attempt.company.options.send_on_create


def _recipients(deal: Deal) -> tuple[str, ...]:
    return (deal.customer.email,) if is_address(deal.customer.email) else ()


def _invoice_request(attempt: Attempt, deal: Deal, reference: str) -> InvoiceRequest:
    return InvoiceRequest(
        reference=reference,
        customer_key=attempt.result(match_books_customer).customer_key,
        deal=deal,
        payment_terms_days=attempt.company.options.payment_terms_days,
        send=_is_sent_on_create(attempt) and not deal.is_mailed_by_hand,
        recipients=_recipients(deal),
        dated_on=business_day(attempt.services, attempt.company.invoices),
    )


def _compare(attempt: Attempt, deal: Deal, document: Document, *, system: str, kind: str) -> None:
    if not attempt.is_accepted():
        compare_net(deal, document, system=system, kind=kind)


def _standing(
    attempt: Attempt, kind: str, document: Document, read: Callable[[str], Document], *, system: str
) -> Document:
    """The document as its system shows it now. Raises: DocumentGoneError for one that was taken back meanwhile."""
    found = read_made(attempt.services, attempt.run, kind, document.key, read)
    if found is None or found.is_void:
        raise DocumentGoneError(
            f"The {kind} {document.number} {'is gone' if found is None else 'was voided or rejected'}.",
            system=system,
            advice=f"Make the {kind} again: replay. Give it up: discard.",
        )
    return found
