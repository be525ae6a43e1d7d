"""What the story waits for, and shows as it happens: each is read back from the system that it is about."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crmsync.domain.learned import OrderMade
from crmsync.lab import machine
from crmsync.lab.demo.evidence import Evidence, Failure, money
from crmsync.lab.demo.narrator import Narrator
from crmsync.lab.demo.world import Stopwatch
from crmsync.lab.machine import Value
from crmsync.worker.flow import learned

if TYPE_CHECKING:
    from crmsync.lab.sandbox.deals import Deal

PATIENCE_SECONDS = 45.0

Row = dict[str, Any]


class NeverHappened(Exception):
    """What the story waited for did not come."""


def until(find: Callable[[], Value | None], what: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Value:
    """The first true value that *find* returns.

    Raises: NeverHappened.
    """
    value = machine.until(find, patience_seconds=patience_seconds)
    if value is None:
        raise NeverHappened(f"This did not happen within {patience_seconds:g} s: {what}.")
    return value


class Sightings:
    """Of one deal; *watch* runs from where its chapter waits from, if a time says something there."""

    def __init__(self, deal: Deal, evidence: Evidence, narrator: Narrator, watch: Stopwatch | None) -> None:
        self._deal = deal
        self._evidence = evidence
        self._narrator = narrator
        self._watch = watch

    def sap_customer(self, company: str) -> None:
        self._see("SAP", "the customer is made in SAP", lambda: _customers(self._evidence.sap_customers(company)))

    def zoho_customer(self, company: str) -> None:
        self._see("Zoho Books", "the customer is made in Zoho", lambda: self._zoho_customer(company))

    def _zoho_customer(self, company: str) -> str:
        return _customers(self._evidence.zoho_customers(company))

    def order(self) -> None:
        self._see("SAP", "the order is made in SAP", lambda: _orders(self._evidence.orders(self._deal)))

    def invoice(self) -> None:
        """Made, then mailed."""
        evidence, deal = self._evidence, self._deal
        self._see("Zoho Books", "the invoice is made in Zoho Books", lambda: _invoices(evidence.invoices(deal)))
        self._see("Zoho Books", "the invoice is mailed", lambda: _mails(evidence.mails(deal)))

    def numbers(self) -> None:
        self._see("Salesforce", "the numbers are written to the deal", self._numbers)

    def _numbers(self) -> str:
        if not (self._evidence.is_written_back(self._deal) and self._evidence.is_done(self._deal)):
            return ""
        row = self._evidence.in_crm(self._deal)
        numbers = f"order {row['SAP_Order_Number__c']}, invoice {row['Zoho_Invoice_Number__c']}"
        return f"the deal shows {numbers}, status {row['Sync_Status__c']}"

    def payment(self, amount: Decimal, *, is_all: bool) -> None:
        self._see("Salesforce", "the payment is written to the deal", lambda: self._paid(amount, is_all=is_all))

    def _paid(self, amount: Decimal, *, is_all: bool) -> str:
        if self._evidence.payment(self._deal) != (is_all, amount):
            return ""
        verdict = "the deal is paid" if is_all else "the deal is paid in part"
        return f"{verdict}: {money(amount)}, on {self._evidence.in_crm(self._deal)['Payment_Date__c']}"

    def failures(self, *, count: int | None = None) -> None:
        """Each failed attempt as it happens: *count* of them, or until the run stops."""
        seen = 0
        while seen != count:
            with self._narrator.waiting("crmsync tries"):
                failures = until(lambda: self._evidence.failures(self._deal)[seen:], "the next attempt fails")  # noqa: B023
            for failure in failures:
                seen += 1
                self._narrator.step("SAP", _failed(seen, failure), seconds=self._seconds(), is_good=False)
            if failures[-1].wait_seconds is None:
                return

    def adoption(self, before: tuple[int, int]) -> None:
        """The order whose answer was lost is found; *before* is how often SAP was asked for orders until then."""
        self._see("SAP", "crmsync finds the order by its reference", lambda: self._adopted(before))

    def _adopted(self, before: tuple[int, int]) -> str:
        run, orders = self._evidence.run(self._deal), self._evidence.orders(self._deal)
        made = learned(run, "create_order", OrderMade) if run else None
        number = made.number if made else None
        creates, searches = (now - then for now, then in zip(self._evidence.asked_sap(), before, strict=True))
        if number is None or [order["id"] for order in orders] != [number] or creates != 1 or searches < 1:
            return ""
        return f"order {number} found by its reference {orders[0]['reference']}: asked for once, there once"

    def _seconds(self) -> float | None:
        return self._watch() if self._watch is not None else None

    def _see(self, system: str, what: str, find: Callable[[], str]) -> None:
        def find_or_stop() -> str:
            text = find()
            cause = "" if text else self._evidence.why_it_stopped(self._deal)
            if cause:
                raise NeverHappened(f"The deal stopped before this: {what}. {cause}")
            return text

        with self._narrator.waiting(f"waiting: {what}"):
            text = until(find_or_stop, what)
        self._narrator.step(system, text, seconds=self._seconds())


def _customers(rows: list[Row]) -> str:
    return ", ".join(f"customer {row['id']} made for {row['name']}" for row in rows)


def _orders(rows: list[Row]) -> str:
    return ", ".join(f"order {row['id']} made: {money(row['net'])} net" for row in rows)


def _invoices(rows: list[Row]) -> str:
    return ", ".join(f"invoice {row['number']} made: {money(row['sub_total'])} net" for row in rows)


def _mails(rows: list[Row]) -> str:
    return ", ".join(f"invoice {row['number']} mailed to {', '.join(row['to'])}" for row in rows)


def _failed(number: int, failure: Failure) -> str:
    """
    >>> _failed(1, Failure("It does not answer.", 1.5)), _failed(4, Failure("It does not answer.", None))
    ('try 1: It does not answer. Next try in 1.5 s', 'try 4: It does not answer. That was the last')
    """
    then = "That was the last" if failure.wait_seconds is None else f"Next try in {failure.wait_seconds:.1f} s"
    return f"try {number}: {failure.cause} {then}"
