"""Reads payments: what was paid, and which invoices and payments have changed.

Vendor facts: invoices can be listed by `last_modified_time` (invoices.yml); payments can't. Other connectors sort the
payments by that column, newest first, which customer-payments.yml neither promises nor forbids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from crmsync.connectors.zoho_books import payment_schemas, schemas
from crmsync.connectors.zoho_books.api import BooksApi, SortedPage
from crmsync.connectors.zoho_books.payment_schemas import PaymentRow
from crmsync.domain.payments import InvoiceChange, Payment, PaymentChange, Settlement
from crmsync.errors import RecordNotFoundError, RejectedError

PAGES_UNSORTED_MAX = 5
_LIST_PAYMENTS = "list customerpayments"
_LIST_RECEIPTS = "list payments of invoice"
_CHANGED = "last_modified_time"
_STEP = timedelta(seconds=1)  # the filter may mean "after", and stamps have whole seconds


class PaymentReader:
    """Reads payments and what they settle. It remembers for the process whether the list of payments can be sorted."""

    def __init__(self, api: BooksApi) -> None:
        self._api = api
        self._is_sort_refused = False

    def payment(self, key: str) -> Payment:
        """One call. Raises: RecordNotFoundError."""
        answer = self._api.call("read payment", "GET", f"/customerpayments/{key}")
        found: Payment = schemas.read(
            payment_schemas.PAYMENT, answer, _name(answer, "payment", "customerpayment"), operation="read payment"
        )
        return found

    def settlement(self, invoice_key: str) -> Settlement:
        """One call, and another where the answer names an amount that was paid but no day.

        Raises: RecordNotFoundError for an invoice that was deleted.
        """
        answer = self._api.call("read invoice", "GET", f"/invoices/{invoice_key}")
        found: Settlement = schemas.read(payment_schemas.SETTLEMENT, answer, "invoice", operation="read invoice")
        if found.is_void or found.paid_on or found.paid.amount <= 0:
            return found
        return replace(found, paid_on=self._last_paid_on(invoice_key))

    def changed_invoices(self, since: datetime) -> Iterator[InvoiceChange]:
        """Invoices changed at or after *since*, to the second. A row without a stamp counts as changed then."""
        since = since.replace(microsecond=0)
        rows = self._api.rows("/invoices", last_modified_time=payment_schemas.stamp_text(since - _STEP))
        for row in rows:
            read = schemas.load(payment_schemas.INVOICE_ROW, row, "invoices", operation="list invoices")
            change = payment_schemas.invoice_change(read, otherwise=since)
            if change.changed_at >= since:  # the filter was ignored, or took our step back at its word
                yield change

    def changed_payments(self, since: datetime) -> Iterator[PaymentChange]:
        """Payments changed at or after *since*, to the second, as far as their rows tell.

        Without a sort that works, only the first thousand rows are seen. A row tells its last change, else when it was
        made, else the payment's day: then it counts as changed when that day is over everywhere. Deleted payments are
        in no list. The invoices that they settled have changed too: changed_invoices() finds those.
        """
        since = since.replace(microsecond=0)
        progress = Progress(since)
        for page in self._payment_pages():
            rows = [_payment_row(row) for row in page.rows]
            yield from (
                PaymentChange(row.key, row.changed_at, row.changed_since)
                for row in rows
                if row.changed_at and row.changed_at >= since
            )
            if progress.is_enough(page.sort_column, [row.changed_at for row in rows if row.changed_at]):
                return

    def _payment_pages(self) -> Iterator[SortedPage]:
        """The list, newest change first where the vendor takes the sort."""
        if not self._is_sort_refused:
            pages = self._payments(sort_column=_CHANGED, sort_order="D")
            try:
                first = next(pages)
            except RejectedError:
                pass
            else:
                yield first
                yield from pages
                return
        for page in self._payments():
            self._is_sort_refused = True  # not before: whatever else was refused is refused without the sort too
            yield page

    def _payments(self, **order: str) -> Iterator[SortedPage]:
        return self._api.pages("/customerpayments", also="customer_payments", **order)

    def _last_paid_on(self, invoice_key: str) -> date | None:
        """The day of the latest payment; None where no row tells one, or the invoice has vanished by now."""
        try:
            answer = self._api.call(_LIST_RECEIPTS, "GET", f"/invoices/{invoice_key}/payments", is_list=True)
        except RecordNotFoundError:
            return None
        days = (_receipt(row) for row in (answer or {}).get("payments") or ())
        return max((day for day in days if day), default=None)


@dataclass(slots=True)
class Progress:
    """How far a list that should be sorted by change, newest first, has been read."""

    since: datetime
    pages: int = 0
    descends: bool = True
    last: datetime | None = None

    def is_enough(self, sort_column: str, stamps: Sequence[datetime]) -> bool:
        """After one more page: whether what follows is older than *since*, or was read in vain for long enough.

        *sort_column* is what the answer calls its order, "" if it doesn't say; its rows must be seen to follow it.
        """
        seen = [self.last, *stamps] if self.last else [*stamps]
        is_sorted = sort_column in ("", _CHANGED) and bool(stamps) and all(a >= b for a, b in pairwise(seen))
        self.pages, self.descends = self.pages + 1, self.descends and is_sorted
        self.last = seen[-1] if seen else None
        return stamps[-1] < self.since if self.descends else self.pages >= PAGES_UNSORTED_MAX


def _name(answer: Any, usual: str, other: str) -> str:
    """Under which of two names the answer has its record."""
    return other if isinstance(answer, dict) and usual not in answer and other in answer else usual


def _payment_row(row: Any) -> PaymentRow:
    read: PaymentRow = schemas.load(payment_schemas.PAYMENT_ROW, row, "customerpayments", operation=_LIST_PAYMENTS)
    return read


def _receipt(row: Any) -> date | None:
    day: date | None = schemas.load(payment_schemas.RECEIPT, row, "payments", operation=_LIST_RECEIPTS)
    return day
