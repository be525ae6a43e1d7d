"""Payments: what was paid on an invoice, and what the deal should say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from crmsync.domain.kept import Kept
from crmsync.domain.money import Money

_NOTHING = Decimal(0)
_TRIFLE = Decimal("0.01")  # of the total: a bank's fee or a cent that was written off leaves an invoice paid


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it stands in the books, and the invoices that it is applied to now; *number* is what people say."""

    key: str
    invoice_keys: tuple[str, ...]
    paid_on: date | None = None
    number: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How far an invoice is settled, in its own currency.

    *paid* is what payments brought, all together; what was credited, written off, or *withheld* as tax by the customer
    lowers the balance but is no payment.
    *paid_on* is the day of the last payment, None where there is none or the answer does not say. *is_mailed*: the
    customer has the invoice.
    """

    key: str
    number: str
    reference: str
    total: Money
    balance: Money
    paid: Money
    paid_on: date | None = None
    is_void: bool = False
    written_off: Decimal = _NOTHING
    credited: Decimal = _NOTHING
    withheld: Decimal = _NOTHING
    is_mailed: bool = False

    @property
    def otherwise(self) -> Decimal:
        """What lowers the balance and is none of these: a retainer, an early-payment discount."""
        explained = self.balance.amount + self.paid.amount + self.credited + self.written_off + self.withheld
        return max(_NOTHING, Money(self.total.amount - explained, self.total.currency).rounded().amount)

    @property
    def is_paid(self) -> bool:
        """Nothing is left to pay: neither because the invoice is void, nor because somebody gave the money up."""
        is_given_up = self.written_off > self.total.amount * _TRIFLE
        return not self.is_void and self.balance.amount <= 0 and not is_given_up and self.total.amount > 0

    @property
    def is_received(self) -> bool:
        """Nothing is left to pay, and money came: a credit note alone is no payment."""
        return self.is_paid and self.paid.amount > 0


@dataclass(frozen=True, slots=True)
class PaymentFigures(Kept):
    """What a deal says of its payment. *status* is in words, "" to leave the deal's as it is."""

    is_received: bool
    amount: Money
    paid_on: date | None
    status: str = ""

    def number_in(self, currency: str) -> Decimal | None:
        """The amount for a field of *currency*; None where it is of another, and can only be said in words.

        >>> paid, nothing = (PaymentFigures(False, Money.of(amount, "EUR"), None) for amount in ("7.00", "0.00"))
        >>> paid.number_in("EUR"), paid.number_in("USD"), nothing.number_in("USD")
        (Decimal('7.00'), None, Decimal('0.00'))
        """
        return self.amount.amount if currency == self.amount.currency or not self.amount.amount else None


def figures(settlement: Settlement, *, last_seen: date | None = None) -> PaymentFigures:
    """The figures of an invoice; *last_seen* is the day of its latest payment that we know, used where it states none.

    >>> part = Settlement("1", "INV-1", "", Money.of(100, "EUR"), Money.of(40, "EUR"), Money.of(60, "EUR"))
    >>> figures(part).is_received, str(figures(part).amount)
    (False, '60.00 EUR')
    """
    paid = Money(_NOTHING, settlement.paid.currency) if settlement.is_void else settlement.paid
    paid_on = (settlement.paid_on or last_seen) if paid.amount > 0 else None
    return PaymentFigures(settlement.is_received, paid.rounded(), paid_on, extraordinary(settlement))


def extraordinary(settlement: Settlement | None) -> str:
    """What happened to an invoice besides payments, in words for sales people; "" for nothing. None: it was deleted.

    >>> usd = lambda amount: Money.of(amount, "USD")
    >>> extraordinary(Settlement("1", "INV-1", "", usd(100), usd(0), usd(0), credited=Decimal(100)))
    'Credited'
    >>> extraordinary(Settlement("1", "INV-1", "", usd(100), usd(0), usd("99.99"), written_off=Decimal("0.01")))
    '99.99 USD paid, 0.01 USD written off'
    >>> extraordinary(Settlement("1", "INV-1", "", usd(100), usd(0), usd(90), withheld=Decimal(10)))
    '90.00 USD paid, 10.00 USD withheld as tax'
    >>> extraordinary(Settlement("1", "INV-1", "", usd(100), usd(0), usd(0)))
    'Settled otherwise'
    """
    if settlement is None or settlement.is_void:
        return "Invoice deleted" if settlement is None else "Invoice void"
    unpaid = {
        "credited": settlement.credited,
        "withheld as tax": settlement.withheld,
        "written off": settlement.written_off,
        "settled otherwise": settlement.otherwise,
    }
    if not any(unpaid.values()):
        return ""
    amounts = {"paid": settlement.paid.amount, **unpaid, "open": settlement.balance.amount}
    said = {word: amount for word, amount in amounts.items() if amount > 0}
    if len(said) == 1:
        return next(iter(said)).capitalize()
    return ", ".join(f"{Money(amount, settlement.total.currency).rounded()} {word}" for word, amount in said.items())


@dataclass(frozen=True, slots=True)
class InvoiceChange:
    """A row of the list of changed invoices: enough to see whether anything was paid."""

    key: str
    reference: str
    changed_at: datetime
    balance: Decimal
    total: Decimal
    is_void: bool = False

    @property
    def is_untouched(self) -> bool:
        """As it was made: nothing paid, credited or voided."""
        return not self.is_void and self.balance == self.total


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """A row of the list of payments. Where that states only the day, it changed between *changed_since* and the end."""

    key: str
    changed_at: datetime
    changed_since: datetime | None = field(default=None, compare=False)
