"""The last chapter: counts every document in the systems' own ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from crmsync.lab.demo.evidence import Evidence, money
from crmsync.lab.demo.narrator import Narrator
from crmsync.phrases import plural

if TYPE_CHECKING:
    from crmsync.lab.sandbox.deals import Deal

COLUMNS = ("deal", "amount", "orders in SAP", "invoices in Zoho", "mails", "numbers on the deal", "paid", "")
NUMBERS = ("amount", "orders in SAP", "invoices in Zoho", "mails")


@dataclass(frozen=True, slots=True)
class Account:
    """What there is of one deal."""

    name: str
    amount: Decimal
    nets: tuple[Decimal, ...]
    invoiced: tuple[Decimal, ...]
    mails: int
    is_written_back: bool
    is_paid: bool
    was_paid: bool

    @property
    def is_right(self) -> bool:
        """Each document once, for the deal's amount, its number on the deal, and paid if it was paid."""
        once = (self.amount,)
        is_once = self.nets == once and self.invoiced == once and self.mails == 1
        return is_once and self.is_written_back and self.is_paid == self.was_paid

    def row(self) -> list[object]:
        numbers, paid = ("yes" if is_so else "no" for is_so in (self.is_written_back, self.is_paid))
        verdict = "✓" if self.is_right else "✗"
        return [self.name, money(self.amount), len(self.nets), len(self.invoiced), self.mails, numbers, paid, verdict]


def account_of(deal: Deal, evidence: Evidence, *, was_paid: bool) -> Account:
    return Account(
        name=deal.name,
        amount=Decimal(deal.amount),
        nets=tuple(Decimal(row["net"]) for row in evidence.orders(deal)),
        invoiced=tuple(Decimal(str(row["sub_total"])) for row in evidence.invoices(deal)),
        mails=len(evidence.mails(deal)),
        is_written_back=evidence.is_written_back(deal),
        is_paid=evidence.payment(deal) == (True, Decimal(deal.amount)),
        was_paid=was_paid,
    )


def show(deals: Sequence[Deal], paid: Sequence[Deal], evidence: Evidence, narrator: Narrator) -> bool:
    """Print the table; True if all of it is right."""
    narrator.chapter("The audit")
    narrator.say("Counted in the ledgers of the stand-ins, not in crmsync's own:")
    accounts = [account_of(deal, evidence, was_paid=deal in paid) for deal in deals]
    narrator.table(COLUMNS, [account.row() for account in accounts], right=NUMBERS)
    customers = {
        account: _customers(account, evidence) for account in {evidence.in_crm(deal)["account"] for deal in deals}
    }
    problems = [
        *(f"The documents of {account.name} are not right." for account in accounts if not account.is_right),
        *(f"{name} is there {counts[0]} times in SAP, {counts[1]} in Zoho Books." for name, counts in customers.items()
          if counts != (1, 1)),
        *(f"Documents of one reference: {kind} {found}" for kind, found in evidence.duplicates().items()),
        *([f"{count} dead letters wait."] if (count := evidence.waiting_letters()) else []),
    ]  # fmt: skip
    for problem in problems:
        narrator.failed(problem)
    if not problems:
        _praise(len(deals), len(customers), narrator)
    return not problems


def _customers(name: str, evidence: Evidence) -> tuple[int, int]:
    return len(evidence.sap_customers(name)), len(evidence.zoho_customers(name))


def _praise(deals: int, customers: int, narrator: Narrator) -> None:
    narrator.say(
        f"{deals} deals of {plural(customers, 'customer')}: {deals} orders, {deals} invoices, {deals} mails, "
        "and each customer once in each system. Every document is where it should be, exactly once."
    )
