"""The JSON of money that came in: payments, how far invoices are settled, and the rows of both lists.

Source: customer-payments.yml and invoices.yml of Zoho's OpenAPI set (July 2026). Its examples hold " " for a day that
is not known, and amounts as numbers or as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, post_load, pre_load, validate

from crmsync.connectors.kit.schemas import Tolerant
from crmsync.connectors.zoho_books.schemas import Amount, Key
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


def read_stamp(value: Any) -> datetime | None:
    """The instant in UTC; None where there is none, or one without an offset: its zone would be a guess.

    >>> read_stamp("2026-11-18T02:02:51-0800")
    datetime.datetime(2026, 11, 18, 10, 2, 51, tzinfo=datetime.timezone.utc)
    """
    try:
        stamp = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
        return stamp.astimezone(UTC) if stamp and stamp.tzinfo else None
    except (ValueError, OverflowError):
        return None


def read_day(value: Any) -> date | None:
    """The day, also of a stamp; None where there is none.

    >>> read_day("2026-11-18"), read_day(" ")
    (datetime.date(2026, 11, 18), None)
    """
    try:
        return date.fromisoformat(value.strip()[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


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


class Stamp(fields.Field[datetime | None]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime | None:
        return read_stamp(value)


class Day(fields.Field[date | None]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date | None:
        return read_day(value)


# Payments


class AppliedAnswer(Tolerant):
    """What a payment is applied to: every invoice that it lists, whatever the amount."""

    invoice_id = Key(required=True)


class PaymentAnswer(Tolerant):
    payment_id = Key(required=True)
    number = fields.Raw(data_key="payment_number", load_default=None, allow_none=True)  # a text or a number
    day = Day(data_key="date", load_default=None, allow_none=True)
    invoices = fields.List(fields.Nested(AppliedAnswer), load_default=list, allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Payment:
        applied = dict.fromkeys(row["invoice_id"] for row in data["invoices"] or ())
        number = str(data["number"] or "").strip()
        return Payment(data["payment_id"], tuple(applied), data["day"], number)


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
    last_modified_time = Stamp(load_default=None, allow_none=True)
    created_time = Stamp(load_default=None, allow_none=True)
    day = Day(data_key="date", load_default=None, allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> PaymentRow:
        told_at, day_ends_at = data["last_modified_time"] or data["created_time"], end_of(data["day"])
        if told_at or not day_ends_at:
            return PaymentRow(data["payment_id"], told_at)
        return PaymentRow(data["payment_id"], day_ends_at, day_ends_at - LONGEST_DAY)


# Invoices


class RequiredAmount(Amount):
    """An amount without which nothing can be said of an invoice."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        amount = super()._deserialize(value, attr, data, **kwargs)
        if amount is None:
            raise ValidationError("is no amount")
        return amount


_MAILED = frozenset({"sent", "viewed", "overdue", "unpaid", "partially_paid", "paid"})


class SettlementAnswer(Tolerant):
    """`total` and `balance` are required: a guess would tell the deal that it is paid, or that it is not."""

    invoice_id = Key(required=True)
    invoice_number = Key(required=True)
    reference_number = fields.String(load_default="", allow_none=True)
    status = fields.String(load_default="", allow_none=True)
    currency_code = fields.String(required=True, validate=validate.Length(min=1))
    total = RequiredAmount(required=True)
    balance = RequiredAmount(required=True)
    payment_made = Amount(load_default=None, allow_none=True)
    credits_applied = Amount(load_default=None, allow_none=True)
    write_off_amount = Amount(load_default=None, allow_none=True)
    tax_amount_withheld = Amount(load_default=None, allow_none=True)
    last_payment_date = Day(load_default=None, allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Settlement:
        currency, paid = data["currency_code"], paid_of(data)
        return Settlement(
            key=data["invoice_id"],
            number=data["invoice_number"],
            reference=data["reference_number"] or "",
            total=Money(data["total"], currency),
            balance=Money(data["balance"], currency),
            paid=Money(paid, currency),
            paid_on=data["last_payment_date"] if paid > 0 else None,
            is_void=is_void(data["status"]),
            written_off=data["write_off_amount"] or _NOTHING,
            credited=data["credits_applied"] or _NOTHING,
            withheld=data["tax_amount_withheld"] or _NOTHING,
            is_mailed=(data["status"] or "").strip().lower() in _MAILED,
        )


def paid_of(data: dict[str, Any]) -> Decimal:
    """What payments brought: as the answer says, else what nothing else that it tells explains."""
    if data["payment_made"] is not None:
        return Decimal(data["payment_made"])
    if is_void(data["status"]):
        return _NOTHING
    no_payments = (data[name] or _NOTHING for name in ("credits_applied", "write_off_amount", "tax_amount_withheld"))
    return max(_NOTHING, data["total"] - data["balance"] - sum(no_payments, _NOTHING))


def is_void(status: str | None) -> bool:
    return (status or "").strip().lower() == _VOID


class InvoiceRowAnswer(Tolerant):
    """A row of the list of invoices; `changed_at` is None where the row has no stamp that can be read."""

    invoice_id = Key(required=True)
    reference_number = fields.String(load_default="", allow_none=True)
    status = fields.String(load_default="", allow_none=True)
    total = RequiredAmount(required=True)
    balance = RequiredAmount(required=True)
    last_modified_time = Stamp(load_default=None, allow_none=True)


def invoice_change(row: dict[str, Any], *, otherwise: datetime) -> InvoiceChange:
    """From what InvoiceRowAnswer loads; *otherwise* is when it changed if the row doesn't say."""
    return InvoiceChange(
        key=row["invoice_id"],
        reference=row["reference_number"] or "",
        changed_at=row["last_modified_time"] or otherwise,
        balance=row["balance"],
        total=row["total"],
        is_void=is_void(row["status"]),
    )


class ReceiptAnswer(Tolerant):
    """A row of GET /invoices/{id}/payments. The file says `amount`; payments themselves say `amount_applied`."""

    day = Day(data_key="date", load_default=None, allow_none=True)
    amount = Amount(load_default=None, allow_none=True)

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
