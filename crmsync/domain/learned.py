"""What each step learns: the contents of `runs.results`.

Two releases read and write it side by side. So a field that is added has a default, and none changes its meaning or its
type: where that must be, the class's version is raised, and an older release lets such a run wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from crmsync.domain.customers import Customer
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.kept import Learned
from crmsync.domain.money import Money
from crmsync.domain.payments import PaymentFigures

# -- order_to_invoice


@dataclass(frozen=True, slots=True)
class DealRead(Learned, Deal):
    """*generations* are those of its order and its invoice, by kind, where they are not the first.

    *foreign* are the numbers of others that it carries, and that a person has accepted; *by_person*: a person has let
    the run go on.
    """

    generations: Mapping[str, int] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    by_person: bool = False

    @classmethod
    def of(cls, deal: Deal, **more: Any) -> Self:
        return cls(**{each.name: getattr(deal, each.name) for each in fields(Deal)}, **more)


@dataclass(frozen=True, slots=True)
class DealInShort(Learned):
    """Of a deal that was read what is never forgotten: of its customer the key."""

    amount: Money | None = None
    customer: Customer = field(default_factory=lambda: Customer(""))
    is_won: bool = True


@dataclass(frozen=True, slots=True)
class CustomerMatched(Learned):
    """*name* and *city* are "" for a person."""

    customer_key: str
    name: str = ""
    city: str = ""
    matched_by: str = ""

    def in_short(self) -> str:
        """
        >>> CustomerMatched("1000123", "Acme Ltd", "Berlin", "tax number").in_short()
        '1000123 Acme Ltd, Berlin (by tax number)'
        """
        place = ", ".join(filter(None, (self.name, self.city)))
        by = f"(by {self.matched_by})" if self.matched_by else ""
        return " ".join(filter(None, (self.customer_key, place, by)))


@dataclass(frozen=True, slots=True)
class OrderMade(Learned, Document):
    customer: str = ""  # the key of the account that it is for

    def in_short(self) -> str:
        return self.number

    @classmethod
    def of(cls, order: Document, *, customer: str) -> Self:
        return cls(**{each.name: getattr(order, each.name) for each in fields(Document)}, customer=customer)


@dataclass(frozen=True, slots=True)
class InvoiceMade(Learned, Document):
    def in_short(self) -> str:
        return self.number

    @classmethod
    def of(cls, invoice: Document) -> Self:
        return cls(**{each.name: getattr(invoice, each.name) for each in fields(Document)})


@dataclass(frozen=True, slots=True)
class InvoiceMailed(Learned):
    invoice: str  # its number
    is_mailed_by_hand: bool = False


@dataclass(frozen=True, slots=True)
class NumbersWritten(Learned):
    order_number: str
    invoice_number: str
    status: str

    def in_short(self) -> str:
        return self.status


# -- payments


@dataclass(frozen=True, slots=True)
class InvoiceRead(Learned):
    """*deal* is its key; *balance* is "" and *number* as well where the invoice does not exist any more."""

    deal: str
    number: str
    balance: str
    is_void: bool
    figures: PaymentFigures
    read_at: datetime
    is_replaced: bool = False

    def in_short(self) -> str:
        return self.number

    def in_detail(self) -> list[tuple[str, str]]:
        paid = self.figures
        return [
            ("Invoice number", self.number),
            ("Paid", str(paid.amount)),
            ("Balance", str(Money(Decimal(self.balance), paid.amount.currency)) if self.balance else ""),
            ("Payment received", "yes" if paid.is_received else "no"),
            ("Last payment", str(paid.paid_on or "")),
            ("Void", "yes" if self.is_void else ""),
            ("The deal says", paid.status),
        ]


@dataclass(frozen=True, slots=True)
class InvoicesFound(Learned):
    """*ours* are keys of invoices, *foreign* is how many others the payment touches."""

    ours: tuple[str, ...]
    foreign: int
    is_gone: bool
    number: str = ""

    def in_short(self) -> str:
        return f"{len(self.ours)} of ours, {self.foreign} of others"

    def in_detail(self) -> list[tuple[str, str]]:
        return [
            ("Payment number", self.number),
            ("Invoices of ours", str(len(self.ours))),
            ("Invoices of others", str(self.foreign)),
            ("Deleted in the books", "yes" if self.is_gone else ""),
        ]


# -- what repeats. The first fields are also what a step shows while it is at work.


@dataclass(frozen=True, slots=True)
class ChangesSeen(Learned):
    """*healed* counts the missed changes among *started*.

    *started* is None in results of an earlier release, whose *healed* counted all that it started.
    """

    seen: int
    healed: int
    started: int | None = None
    until: datetime | None = None

    def in_short(self) -> str:
        if self.started is None:
            return f"{self.seen:,} seen, {self.healed:,} started"
        return f"{self.seen:,} seen, {self.started:,} started, {self.healed:,} of them missed"

    def in_detail(self) -> list[tuple[str, str]]:
        return [_looked_up_to(self.until)]


@dataclass(frozen=True, slots=True)
class DocumentsCompared(Learned):
    seen: int
    changed: int
    until: datetime | None = None

    def in_short(self) -> str:
        return f"{self.seen:,} seen, {self.changed:,} not as they were made"

    def in_detail(self) -> list[tuple[str, str]]:
        return [_looked_up_to(self.until)]


def _looked_up_to(until: datetime | None) -> tuple[str, str]:
    return "Checked up to", f"{until:%Y-%m-%d %H:%M:%S} UTC" if until else ""


@dataclass(frozen=True, slots=True)
class SellerTold(Learned):
    """What the deal says now; "" where nothing was to be said."""

    status: str = ""
    reason: str = ""

    def in_short(self) -> str:
        return self.status

    def in_detail(self) -> list[tuple[str, str]]:
        return [("The deal says", " – ".join(filter(None, (self.status, self.reason))))]


@dataclass(frozen=True, slots=True)
class CatalogueRead(Learned):
    products: int
    is_whole: bool = False
    at: str = ""

    def in_short(self) -> str:
        return f"{self.products:,} products"

    def in_detail(self) -> list[tuple[str, str]]:
        return [("Products read", f"{self.products:,}, " + ("all of them" if self.is_whole else "those that changed"))]


@dataclass(frozen=True, slots=True)
class StockRead(Learned):
    """*unknown* and *newly_mixed* are those that were not so before."""

    materials: int
    unknown: int = 0
    first_unknown: tuple[str, ...] = ()
    mixed_units: int = 0
    newly_mixed: int = 0

    def in_short(self) -> str:
        return f"{self.materials:,} materials"

    def in_detail(self) -> list[tuple[str, str]]:
        return [("Materials", f"{self.materials:,}"), ("Newly not in the ERP", f"{self.unknown:,}")]


@dataclass(frozen=True, slots=True)
class LevelsWritten(Learned):
    """*written* is None while they are being written; *lowest* are codes, and what is left of each."""

    changed: int
    written: int | None = None
    refused: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    newly_refused: int = 0
    newly_low: int = 0
    lowest: tuple[tuple[str, ...], ...] = ()
    low_unwritten: int = 0
    first_low_unwritten: tuple[str, ...] = ()

    def in_short(self) -> str:
        return f"{self.changed:,} to write" if self.written is None else f"{self.written:,} written"

    def in_detail(self) -> list[tuple[str, str]]:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in self.reasons.items())
        return [
            ("Written", f"{self.written or 0:,}"),
            ("Refused", f"{self.refused:,}" + (f" ({reasons})" if reasons else "")),
            ("Newly low", f"{self.newly_low:,}"),
            ("Lowest", ", ".join(f"{code}: {left}" for code, left in self.lowest)),
        ]
