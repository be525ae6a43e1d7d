"""What really happened, read back from the stand-ins' ledger and from crmsync's own store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crmsync.domain.dead_letters import DeadLetter, LetterStatus
from crmsync.domain.money import Money
from crmsync.domain.references import document_reference
from crmsync.domain.runs import Run, RunStatus
from crmsync.lab.demo.world import CURRENCY, World
from crmsync.phrases import plural
from crmsync.reading.runs import run_called

if TYPE_CHECKING:
    from crmsync.lab.sandbox.deals import Deal

FLOW = "order_to_invoice"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt; *wait_seconds* is when the next one comes, None for the last."""

    cause: str
    wait_seconds: float | None


class Evidence:
    """Questions about one world; every answer is read anew."""

    def __init__(self, world: World) -> None:
        self._sandbox = world.sandbox
        self._store = world.store

    # -- in the systems

    def sap_customers(self, name: str) -> list[Row]:
        return [row for row in self._rows("customers") if row["name"] == name]

    def zoho_customers(self, name: str) -> list[Row]:
        return [row for row in self._rows("contacts") if row["name"] == name]

    def orders(self, deal: Deal) -> list[Row]:
        return self._of(deal, "orders")

    def invoices(self, deal: Deal) -> list[Row]:
        return self._of(deal, "invoices")

    def mails(self, deal: Deal) -> list[Row]:
        ids = {invoice["id"] for invoice in self.invoices(deal)}
        return [mail for mail in self._rows("mails") if mail["invoice_id"] in ids]

    def in_crm(self, deal: Deal) -> Row:
        return next(row for row in self._rows("deals") if row["id"] == deal.id)

    def is_written_back(self, deal: Deal) -> bool:
        """The deal shows the numbers that the documents really have."""
        row = self.in_crm(deal)
        numbers = [order["id"] for order in self.orders(deal)], [invoice["number"] for invoice in self.invoices(deal)]
        return numbers == ([row["SAP_Order_Number__c"]], [row["Zoho_Invoice_Number__c"]])

    def payment(self, deal: Deal) -> tuple[bool, Decimal]:
        """Whether the deal says that all is paid, and how much."""
        row = self.in_crm(deal)
        return bool(row["Payment_Received__c"]), Decimal(str(row["Payment_Amount__c"] or 0))

    def product_count(self) -> int:
        return len(self._rows("products"))

    def wrong_products(self) -> list[str]:
        """Codes of the products that do not say what SAP has."""
        rows = [row for row in self._rows("products") if row["IsActive"] and row["stock"] is not None]
        return [str(row["ProductCode"]) for row in rows if row["Available_Stock__c"] != row["stock"]]

    def duplicates(self) -> dict[str, dict[str, int]]:
        """Any reference that two documents of one kind carry."""
        return {kind: found for kind, found in self._sandbox.ledger()["duplicates"].items() if found}

    def calls(self, system: str | None = None, operation: str | None = None) -> int:
        """How many calls the stand-ins have answered, sign-ins not counted."""
        report = self._sandbox.calls()
        if system and operation:
            return int(report.get(system, {}).get("operations", {}).get(operation, 0))
        return sum(int(counts["business"]) for counts in report.values())

    def asked_sap(self) -> tuple[int, int]:
        """How often an order was asked for, and how often one was looked for."""
        return self.calls("sap", "create_order"), self.calls("sap", "find_order")

    def count(self, deal: Deal) -> str:
        """'1 order, 1 invoice, 1 mail'"""
        found = {"order": self.orders(deal), "invoice": self.invoices(deal), "mail": self.mails(deal)}
        return ", ".join(plural(len(rows), noun) for noun, rows in found.items())

    def _rows(self, kind: str) -> list[Row]:
        return list(self._sandbox.ledger()[kind])

    def _of(self, deal: Deal, kind: str) -> list[Row]:
        return [row for row in self._rows(kind) if row["reference"] == document_reference(deal.id)]

    # -- in crmsync

    def run(self, deal: Deal) -> Run | None:
        with self._store.read() as uow:
            return run_called(uow, None, FLOW, deal.id)

    def is_done(self, deal: Deal) -> bool:
        run = self.run(deal)
        return run is not None and run.status is RunStatus.DONE

    def letter(self, deal: Deal) -> DeadLetter | None:
        with self._store.read() as uow:
            run = run_called(uow, None, FLOW, deal.id)
            return uow.dead_letters.of_run(run.id) if run is not None else None

    def why_it_stopped(self, deal: Deal) -> str:
        """What a person is told of the deal's dead letter; "" while none waits."""
        letter = self.letter(deal)
        return letter.cause if letter is not None and letter.status is LetterStatus.WAITING else ""

    def waiting_letters(self) -> int:
        with self._store.read() as uow:
            return uow.dead_letters.waiting_count(None)

    def failures(self, deal: Deal) -> Sequence[Failure]:
        """The failed attempts so far, oldest first."""
        with self._store.read() as uow:
            run = run_called(uow, None, FLOW, deal.id)
            rows = [row for row in uow.history.of_run(run.id) if row.event in ("retry", "stopped")] if run else []
        if run is None:
            return []
        next_tries = [*(row.started_at for row in rows[1:]), run.due_at]
        return [Failure(row.detail, _wait(row, next_at)) for row, next_at in zip(rows, next_tries, strict=False)]


def _wait(row: Any, next_at: datetime) -> float | None:
    return max(0.0, (next_at - row.at).total_seconds()) if row.event == "retry" else None


def money(amount: Any) -> str:
    """
    >>> money("47000")
    '47,000.00 USD'
    """
    return str(Money(Decimal(str(amount)), CURRENCY))
