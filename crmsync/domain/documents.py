"""Orders and invoices: what we ask for, and what the other system made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from crmsync.domain.deals import Deal
from crmsync.domain.kept import UNKEPT, Kept
from crmsync.domain.money import Money
from crmsync.errors import AmountMismatchError


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order to be made in the ERP; *customer_key* is the ERP's own."""

    reference: str
    customer_key: str
    deal: Deal


@dataclass(frozen=True, slots=True)
class InvoiceRequest:
    """An invoice to be made in the books; *customer_key* is the books' own."""

    reference: str
    customer_key: str
    deal: Deal
    payment_terms_days: int = 30
    send: bool = False
    recipients: tuple[str, ...] = ()
    dated_on: date | None = None  # None: the books' own day


@dataclass(frozen=True, slots=True)
class Document(Kept):
    """An order or invoice as it stands in the other system.

    *key* is its id there, *number* what people call it. *net* is None where the answer did not say it yet;
    *total* includes tax; *is_credited* where credit notes cover all of it. *remarks* are the codes of warnings that
    came with its making; *holds* say in words what keeps it from being delivered or billed now, and *is_incomplete*
    that its making left something out. People are not alerted to that again: only that it *is_in_hand*, delivered or
    billed in part at least, proves that it was completed.
    """

    key: str
    number: str
    net: Money | None = None
    total: Money | None = None
    is_mailed: bool = False
    is_void: bool = field(default=False, metadata=UNKEPT)
    is_credited: bool = field(default=False, metadata=UNKEPT)
    remarks: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    is_incomplete: bool = False
    is_in_hand: bool = field(default=False, metadata=UNKEPT)

    @property
    def all_holds(self) -> tuple[str, ...]:
        return ("it is incomplete", *self.holds) if self.is_incomplete else self.holds

    def as_read(self, later: Document) -> Document:
        """*later*, with what only the answer to the create contained."""
        return replace(later, remarks=self.remarks, is_incomplete=self.is_incomplete and not later.is_in_hand)


def drift(known: Document, found: Document | None) -> str:
    """What has become of a document since it was made, as the end of a sentence; "" if it is as it was.

    >>> order = Document("1", "1", net=Money.of(100, "USD"))
    >>> drift(order, None), drift(order, replace(order, net=Money.of(90, "USD")))
    ('is gone', 'is 90.00 USD net now, and was 100.00 USD')
    """
    if found is None:
        return "is gone"
    if found.is_void:
        return "was rejected"
    if known.net and found.net and not found.net.equals(known.net):
        return f"is {found.net} net now, and was {known.net}"
    return ""


def standing(documents: Sequence[Document]) -> Sequence[Document]:
    """The documents that were not voided; where all were, one of them still says that the document was once made."""
    return [document for document in documents if not document.is_void] or documents[:1]


def compare_net(deal: Deal, document: Document, *, system: str, kind: str) -> None:
    """Raise AmountMismatchError unless the document's net total is the deal's (net with net: the deal has no tax)."""
    told = document.net or document.total  # a total that is the deal's carries no tax
    if told is not None and told.equals(deal.amount):
        return
    mend = (
        "Void it, or credit it in full because it was mailed, and replay: another is made" if document.is_mailed else ""
    )
    raise AmountMismatchError(
        f"The {kind} {document.number} is {told or 'of unknown amount'}, the deal is {deal.amount} net.",
        system=system,
        advice=f"{mend or 'Correct the document in that system'}, or replay with --accept to go on as it is.",
    )
