"""What each step learns: the contents of `runs.results`.

Two releases read and write it side by side. So a field that is added has a default, and none changes its meaning or its
type: where that must be, the class's version is raised, and an older release lets such a run wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class OrderMade(Learned, Document):
    customer: str = ""  # the key of the account that it is for

    @classmethod
    def of(cls, order: Document, *, customer: str) -> Self:
        return cls(**{each.name: getattr(order, each.name) for each in fields(Document)}, customer=customer)


@dataclass(frozen=True, slots=True)
class InvoiceMade(Learned, Document):
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


@dataclass(frozen=True, slots=True)
class InvoicesFound(Learned):
    """*ours* are keys of invoices, *foreign* is how many others the payment touches."""

    ours: tuple[str, ...]
    foreign: int
    is_gone: bool
    number: str = ""


# -- what repeats. The first fields are also what a step shows while it is at work.


@dataclass(frozen=True, slots=True)
class ChangesSeen(Learned):
    """*started* is None where an earlier release has counted, whose *healed* were all that it started."""

    seen: int
    healed: int
    started: int | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DocumentsCompared(Learned):
    seen: int
    changed: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SellerTold(Learned):
    """What the deal says now; "" where nothing was to be said."""

    status: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueRead(Learned):
    products: int
    is_whole: bool = False
    at: str = ""


@dataclass(frozen=True, slots=True)
class StockRead(Learned):
    """*unknown* and *newly_mixed* are those that were not so before."""

    materials: int
    unknown: int = 0
    first_unknown: tuple[str, ...] = ()
    mixed_units: int = 0
    newly_mixed: int = 0


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
