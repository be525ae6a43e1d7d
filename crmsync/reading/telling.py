"""What a step has learned, as people are told it: in a few words beside the step, and as figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from crmsync.domain.kept import Learned
from crmsync.domain.learned import (
    CatalogueRead,
    ChangesSeen,
    CustomerMatched,
    DocumentsCompared,
    InvoiceMade,
    InvoiceRead,
    InvoicesFound,
    LevelsWritten,
    NumbersWritten,
    OrderMade,
    SellerTold,
    StockRead,
)
from crmsync.domain.money import Money
from crmsync.domain.runs import Run
from crmsync.worker.flow import FLOWS


def outcome(run: Run, step: str) -> str:
    """What *step* has learned, or so far; "" where nothing is to be told, or this release can't read it."""
    kind = _kinds(run).get(step)
    if kind is None or kind not in _TOLD:
        return ""
    known = run.results.get(step) or (run.progress if step == run.step else {})
    found = kind.peek(known)
    return _TOLD[kind](found) if found else ""


def figures(run: Run) -> list[tuple[str, str]]:
    """What a payment's, an invoice's or an inventory's run has learned; nothing of a deal's, which holds persons."""
    found: list[tuple[str, str]] = []
    for step, kind in _kinds(run).items():
        known = kind.peek(run.results.get(step))
        if known and kind in _FIGURES:
            found += _FIGURES[kind](known)
    return [(name, value) for name, value in found if value]


def _kinds(run: Run) -> Mapping[str, type[Learned]]:
    return FLOWS[run.flow].learns if run.flow in FLOWS else {}


def _matched(found: CustomerMatched) -> str:
    """A customer by number, name and city, and how it was found; what belongs to a person is not in it."""
    place = ", ".join(filter(None, (found.name, found.city)))
    by = f"(by {found.matched_by})" if found.matched_by else ""
    return " ".join(filter(None, (found.customer_key, place, by)))


def _looked(it: ChangesSeen) -> str:
    """Earlier releases counted as healed whatever was started."""
    if it.started is None:
        return f"{it.seen:,} seen, {it.healed:,} started"
    return f"{it.seen:,} seen, {it.started:,} started, {it.healed:,} of them missed"


def _levels(it: LevelsWritten) -> str:
    return f"{it.changed:,} to write" if it.written is None else f"{it.written:,} written"


# What a screen may tell in a few words: of a deal's steps no more than this, for the rest holds persons.
_TOLD: Mapping[type[Any], Callable[[Any], str]] = {
    CustomerMatched: _matched,
    OrderMade: lambda it: str(it.number),
    InvoiceMade: lambda it: str(it.number),
    NumbersWritten: lambda it: str(it.status),
    InvoicesFound: lambda it: f"{len(it.ours)} of ours, {it.foreign} of others",
    InvoiceRead: lambda it: str(it.number),
    CatalogueRead: lambda it: f"{it.products:,} products",
    StockRead: lambda it: f"{it.materials:,} materials",
    LevelsWritten: _levels,
    ChangesSeen: _looked,
    DocumentsCompared: lambda it: f"{it.seen:,} seen, {it.changed:,} not as they were made",
    SellerTold: lambda it: str(it.status),
}


def _of_invoice(read: InvoiceRead) -> list[tuple[str, str]]:
    paid = read.figures
    return [
        ("Invoice number", read.number),
        ("Paid", str(paid.amount)),
        ("Balance", str(Money(Decimal(read.balance), paid.amount.currency)) if read.balance else ""),
        ("Payment received", "yes" if paid.is_received else "no"),
        ("Last payment", str(paid.paid_on or "")),
        ("Void", "yes" if read.is_void else ""),
        ("The deal says", paid.status),
    ]


def _of_payment(found: InvoicesFound) -> list[tuple[str, str]]:
    return [
        ("Payment number", found.number),
        ("Invoices of ours", str(len(found.ours))),
        ("Invoices of others", str(found.foreign)),
        ("Deleted in the books", "yes" if found.is_gone else ""),
    ]


def _of_writing(wrote: LevelsWritten) -> list[tuple[str, str]]:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in wrote.reasons.items())
    return [
        ("Written", f"{wrote.written or 0:,}"),
        ("Refused", f"{wrote.refused:,}" + (f" ({reasons})" if reasons else "")),
        ("Newly low", f"{wrote.newly_low:,}"),
        ("Lowest", ", ".join(f"{code}: {left}" for code, left in wrote.lowest)),
    ]


def _of_looking(seen: ChangesSeen | DocumentsCompared) -> list[tuple[str, str]]:
    return [("Looked up to", f"{seen.until:%Y-%m-%d %H:%M:%S} UTC" if seen.until else "")]


_FIGURES: Mapping[type[Any], Callable[[Any], list[tuple[str, str]]]] = {
    InvoicesFound: _of_payment,
    InvoiceRead: _of_invoice,
    CatalogueRead: lambda it: [
        ("Products read", f"{it.products:,}, " + ("all of them" if it.is_whole else "those that changed"))
    ],
    StockRead: lambda it: [("Materials", f"{it.materials:,}"), ("Newly not in the ERP", f"{it.unknown:,}")],
    LevelsWritten: _of_writing,
    ChangesSeen: _of_looking,
    DocumentsCompared: _of_looking,
    SellerTold: lambda it: [("The deal says", " – ".join(filter(None, (it.status, it.reason))))],
}
