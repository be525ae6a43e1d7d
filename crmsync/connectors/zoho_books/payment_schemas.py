"""The JSON of payments: payments, how far invoices are settled, and the rows of both lists.

Source: customer-payments.yml and invoices.yml of Zoho's OpenAPI set (July 2026). Its examples hold " " for a day that
is not known, and amounts as numbers or as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from marshmallow import fields, post_load, pre_load, validate

from crmsync.connectors.kit.fields import Day, Instant, Key, Number, Readable, Text
from crmsync.connectors.kit.schemas import Tolerant
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange, Payment, Settlement

_NOTHING = Decimal(0)
_VOID = "void"
_LAST_ZONE = timezone(timedelta(hours=-12))  # where a day ends last


def stamp_text(moment: datetime) -> str:
    """*moment* as a filter takes it: whole seconds, an offset without colon.

    >>> stamp_text(datetime(2026, 11, 18, 10, 2, 51, 999, tzinfo=UTC))
    '2026-11-18T10:02:51+0000'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


LONGEST_DAY = timedelta(hours=50)  # from where it begins first to where it ends last


def end_of(day: date | None) -> datetime | None:
    """When *day* is over everywhere: the row does not tell the organization's zone.

    >>> end_of(date(2026, 11, 18))
    datetime.datetime(2026, 11, 19, 11, 59, 59, tzinfo=datetime.timezone.utc)
    """
    try:
        return datetime.combine(day, time(23, 59, 59), _LAST_ZONE).astimezone(UTC) if day else None
    except OverflowError:
        return None


# Payments


class AppliedAnswer(Tolerant):
    """What a payment is applied to: every invoice that it lists, whatever the amount."""

    invoice_id = Key(required=True)


class PaymentAnswer(Tolerant):
    payment_id = Key(required=True)
    number = Text("payment_number")
    day = Readable(Day("date"))
    invoices = fields.List(fields.Nested(AppliedAnswer), load_default=list, allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Payment:
        applied = dict.fromkeys(row["invoice_id"] for row in data["invoices"] or ())
        return Payment(data["payment_id"], tuple(applied), data["day"], data["number"].strip())


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A row of the list of payments; *changed_at* is None where the row tells no time at all.

    *changed_since*: the row tells the day only, which begins then where days begin first.
    """

    key: str
    changed_at: datetime | None
    changed_since: datetime | None = None


class PaymentRowAnswer(Tolerant):
    """The OpenAPI file promises `date` alone; organizations send the other two as well (community fixtures)."""

    payment_id = Key(required=True)
    last_modified_time = Readable(Instant())
    created_time = Readable(Instant())
    day = Readable(Day("date"))

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> PaymentRow:
        told_at, day_ends_at = data["last_modified_time"] or data["created_time"], end_of(data["day"])
        if told_at or not day_ends_at:
            return PaymentRow(data["payment_id"], told_at)
        return PaymentRow(data["payment_id"], day_ends_at, day_ends_at - LONGEST_DAY)


# Invoices


_MAILED = frozenset({"sent", "viewed", "overdue", "unpaid", "partially_paid", "paid"})


class SettlementAnswer(Tolerant):
    """`total` and `balance` are required: a guess would tell the deal that it is paid, or that it is not."""

    invoice_id = Key(required=True)
    invoice_number = Key(required=True)
    reference_number = Text()
    status = Text()
    currency_code = fields.String(required=True, validate=validate.Length(min=1))
    total = Number(required=True)
    balance = Number(required=True)
    payment_made = Number()
    credits_applied = Number()
    write_off_amount = Number()
    tax_amount_withheld = Number()
    last_payment_date = Readable(Day())

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Settlement:
        currency, paid = data["currency_code"], paid_of(data)
        return Settlement(
            key=data["invoice_id"],
            number=data["invoice_number"],
            reference=data["reference_number"],
            total=Money(data["total"], currency),
            balance=Money(data["balance"], currency),
            paid=Money(paid, currency),
            paid_on=data["last_payment_date"] if paid > 0 else None,
            is_void=is_void(data["status"]),
            written_off=data["write_off_amount"] or _NOTHING,
            credited=data["credits_applied"] or _NOTHING,
            withheld=data["tax_amount_withheld"] or _NOTHING,
            is_mailed=data["status"].strip().lower() in _MAILED,
        )


def paid_of(data: dict[str, Any]) -> Decimal:
    """What payments brought: as the answer says, else what nothing else that it tells explains."""
    if data["payment_made"] is not None:
        return Decimal(data["payment_made"])
    if is_void(data["status"]):
        return _NOTHING
    no_payments = (data[name] or _NOTHING for name in ("credits_applied", "write_off_amount", "tax_amount_withheld"))
    return max(_NOTHING, data["total"] - data["balance"] - sum(no_payments, _NOTHING))


def is_void(status: str) -> bool:
    return status.strip().lower() == _VOID


class InvoiceRowAnswer(Tolerant):
    """A row of the list of invoices; `changed_at` is None where the row has no stamp that can be read."""

    invoice_id = Key(required=True)
    reference_number = Text()
    status = Text()
    total = Number(required=True)
    balance = Number(required=True)
    last_modified_time = Readable(Instant())


def invoice_change(row: dict[str, Any], *, otherwise: datetime) -> InvoiceChange:
    """From what InvoiceRowAnswer loads; *otherwise* is when it changed if the row doesn't say."""
    return InvoiceChange(
        key=row["invoice_id"],
        reference=row["reference_number"],
        changed_at=row["last_modified_time"] or otherwise,
        balance=row["balance"],
        total=row["total"],
        is_void=is_void(row["status"]),
    )


class ReceiptAnswer(Tolerant):
    """A row of GET /invoices/{id}/payments. The file says `amount`; payments themselves say `amount_applied`."""

    day = Readable(Day("date"))
    amount = Number()

    @pre_load
    def _one_name(self, data: Any, **_: Any) -> Any:
        has_other = isinstance(data, dict) and "amount" not in data and "amount_applied" in data
        return {**data, "amount": data["amount_applied"]} if has_other else data

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> date | None:
        """The day on which it brought money."""
        brought = data["amount"] is None or data["amount"] > 0
        return data["day"] if brought else None


PAYMENT = PaymentAnswer()
PAYMENT_ROW = PaymentRowAnswer()
SETTLEMENT = SettlementAnswer()
INVOICE_ROW = InvoiceRowAnswer()
RECEIPT = ReceiptAnswer()
