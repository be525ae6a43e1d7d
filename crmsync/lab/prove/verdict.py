"""What became of a case: decided from the stand-ins' ledger and from how the runs stand, and from nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crmsync.domain.references import document_reference
from crmsync.lab.prove.plan import Case

_GENERATION = re.compile(r"-\d+$")

Row = Mapping[str, Any]
Ledger = Mapping[str, Any]  # what Sandbox.ledger() returns


@dataclass(frozen=True, slots=True)
class Expected:
    """A won deal that was accepted: one order and one invoice of *amount*, one mail, its customer once on each side.

    What people took back does not count; of what stands there is one, with one mail of its own.
    """

    deal: str
    customer: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Verdict:
    """*lost*, *doubled* and *stuck* are sentences, one for each finding; *seconds* from the break to the last end."""

    case: Case
    seed: int
    runs: int = 0
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    seconds: float | None = None
    skipped: str = ""  # why the case does not apply here
    strikes: int = 1  # how often something was broken
    repeat: str = ""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.stuck)

    @property
    def findings(self) -> tuple[str, ...]:
        return (*self.lost, *self.doubled, *self.stuck)

    def to_json(self) -> dict[str, Any]:
        return {
            "fault": self.case.fault,
            "step": self.case.step,
            "boundary": self.case.boundary,
            "seed": self.seed,
            "runs": self.runs,
            "strikes": self.strikes,
            "lost": list(self.lost),
            "doubled": list(self.doubled),
            "stuck": list(self.stuck),
            "seconds": None if self.seconds is None else round(self.seconds, 2),
            "skipped": self.skipped,
            "repeat": self.repeat,
        }


@dataclass(slots=True)
class Findings:
    """What is wrong with the documents."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    def count(self, what: str, number: int) -> None:
        """There should be one."""
        if number == 0:
            self.lost.append(f"no {what}")
        elif number > 1:
            self.doubled.append(f"{number} × {what}")


def examine(expected: Sequence[Expected], ledger: Ledger) -> Findings:
    """Each accepted deal's documents exactly once, of its amount, with their numbers and payments on the deal."""
    found, index = Findings(), _Index(ledger)
    for deal in expected:
        _examine_deal(deal, index, found)
    for name in sorted({deal.customer for deal in expected}):
        found.count(f"customer {name} in the ERP", index.customers[name])
        found.count(f"customer {name} in the books", index.contacts[name])
    for kind, references in ledger["duplicates"].items():
        found.doubled += [f"{count} {kind} under {reference}" for reference, count in references.items()]
    return found


def examine_apart(ledger: Ledger) -> list[str]:
    """Documents at a company's systems that are of no deal of its own."""
    own = {document_reference(row["id"]) for row in ledger["deals"]}
    documents = [(kind, row) for kind in ("orders", "invoices") for row in ledger[kind] if row["reference"]]
    return [
        f"{kind} hold {row['reference']}, a deal of another company"
        for kind, row in documents
        if _GENERATION.sub("", row["reference"]) not in own
    ]


class _Index:
    """The ledger's rows by what they are looked for."""

    def __init__(self, ledger: Ledger) -> None:
        self.deals: dict[str, Row] = {row["id"]: row for row in ledger["deals"]}
        # What people took back stands no more, whether its system still shows it or not.
        self.orders = _by_deal(row for row in ledger["orders"] if not row.get("rejected"))
        self.invoices = _by_deal(row for row in ledger["invoices"] if row.get("status") != "void")
        self.mails = Counter(mail["invoice_id"] for mail in ledger["mails"])
        self.customers = Counter(row["name"] for row in ledger["customers"])
        self.contacts = Counter(row["name"] for row in ledger["contacts"])


def _by_deal(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """By the reference of the first generation: those of later ones are of the same deal."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        first = _GENERATION.sub("", row["reference"] or "")
        found.setdefault(first, []).append(row)
    return found


def _examine_deal(deal: Expected, index: _Index, found: Findings) -> None:
    reference = document_reference(deal.deal)
    orders, invoices = index.orders.get(reference, []), index.invoices.get(reference, [])
    found.count(f"order of {deal.deal}", len(orders))
    found.count(f"invoice of {deal.deal}", len(invoices))
    found.count(f"mail of {deal.deal}", sum(index.mails[invoice["id"]] for invoice in invoices))
    _compare_amounts(deal, orders, "net", found)
    _compare_amounts(deal, invoices, "sub_total", found)
    if len(orders) == len(invoices) == 1:
        _compare_deal(index.deals[deal.deal], orders[0], invoices[0], found)


def _compare_amounts(deal: Expected, documents: Sequence[Row], field_name: str, found: Findings) -> None:
    for document in documents:
        if Decimal(str(document[field_name])) != deal.amount:
            found.lost.append(f"{deal.deal}: {document[field_name]} instead of {deal.amount}")


def _compare_deal(row: Row, order: Row, invoice: Row, found: Findings) -> None:
    """What the deal says is what the other systems say."""
    numbers = (row["SAP_Order_Number__c"], row["Zoho_Invoice_Number__c"])
    if numbers != (order["id"], invoice["number"]):
        found.lost.append(f"{row['id']}: carries {numbers}, not {order['id']} and {invoice['number']}")
    paid = Decimal(str(invoice["total"])) - Decimal(str(invoice["balance"]))
    told = Decimal(str(row["Payment_Amount__c"] or 0))
    if told != paid or bool(row["Payment_Received__c"]) != (invoice["balance"] == 0):
        found.lost.append(f"{row['id']}: says {told} paid, the books say {paid}")


def examine_stock(ledger: Ledger) -> list[str]:
    """Products that do not say what the ERP has."""
    rows = [row for row in ledger["products"] if row["IsActive"] and row["stock"] is not None]
    return [
        f"{row['ProductCode']}: says {row['Available_Stock__c']} in stock, the ERP has {row['stock']}"
        for row in rows
        if row["Available_Stock__c"] != row["stock"]
    ]
