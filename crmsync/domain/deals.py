"""A deal of the CRM, and the conditions that it must meet before anything is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar

from crmsync.domain.admission import Dates
from crmsync.domain.customers import Customer
from crmsync.domain.kept import Kept
from crmsync.domain.meanings import UNCOMPARED, Concern, Meaning, means
from crmsync.domain.money import Money
from crmsync.errors import InvalidDealError

NOT_WON = "the deal is not closed as won"
NOT_WON_ANY_MORE = "The deal is not won any more."


@dataclass(frozen=True, slots=True)
class DealLine(Kept):
    """One product of a deal. *total* is net: quantity × unit price less the discount, with all the CRM's decimals."""

    key: str = field(metadata=UNCOMPARED)
    product_code: str = field(metadata=means(Concern.MONEY, "product"))
    description: str
    quantity: Decimal = field(metadata=means(Concern.MONEY))
    unit_price: Decimal = field(metadata=means(Concern.MONEY))
    total: Decimal = field(metadata=UNCOMPARED)  # but in the deal's currency

    unsaid: ClassVar[Meaning] = Meaning()

    def total_in(self, currency: str) -> Money:
        """What the customer pays for the line: its total, rounded to the currency."""
        return Money(self.total, currency).rounded()


@dataclass(frozen=True, slots=True)
class Deal(Kept):
    """A deal as it stands in the CRM; *amount* is net of tax."""

    key: str = field(metadata=UNCOMPARED)
    name: str
    is_won: bool
    amount: Money = field(metadata=means(Concern.MONEY))
    customer: Customer = field(metadata=UNCOMPARED)  # but field by field
    lines: tuple[DealLine, ...] = field(metadata=UNCOMPARED)  # but line by line
    closed_on: str = ""  # ISO date
    purchase_order_number: str = ""  # the customer's own
    order_number: str = ""  # as the CRM shows it now
    invoice_number: str = ""
    created_at: datetime | None = field(default=None, metadata=UNCOMPARED)
    # When its stage last changed; None: the CRM does not tell.
    won_at: datetime | None = field(default=None, metadata=UNCOMPARED)
    # The CRM's own stamp: what bears a later one was not read.
    changed_at: datetime | None = field(default=None, metadata=UNCOMPARED)
    # A person mails its invoice: there is no address to mail it to.
    is_mailed_by_hand: bool = field(default=False, metadata=UNCOMPARED)

    unsaid: ClassVar[Meaning] = Meaning()

    @property
    def dates(self) -> Dates:
        return Dates(self.created_at, self.won_at, _day(self.closed_on))

    @property
    def lines_total(self) -> Money:
        """The sum of the lines as documents bill them: each is rounded before they are added up."""
        currency = self.amount.currency
        return Money(sum((line.total_in(currency).amount for line in self.lines), Decimal(0)), currency)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def check(deal: Deal) -> None:
    """Raise InvalidDealError, naming every field at fault, unless the deal can be ordered and billed."""
    problems = {**_deal_problems(deal), **_line_problems(deal)}
    if problems:
        raise InvalidDealError(field_errors=problems, advice="Correct the deal in the CRM and close it again.")


def _deal_problems(deal: Deal) -> dict[str, str]:
    found = {}
    if not deal.is_won:
        found["is_won"] = NOT_WON
    if not deal.customer.key:
        found["customer"] = "the deal has no account"
    if not deal.amount.currency:
        found["amount.currency"] = "the deal has no currency; set CRMSYNC_DEFAULT_CURRENCY"
    if deal.amount.rounded().amount <= 0:
        found["amount"] = f"must be more than zero, is {deal.amount}"
    elif deal.lines and not deal.amount.equals(deal.lines_total):
        found["amount"] = _difference(deal)
    return found


def _difference(deal: Deal) -> str:
    """Both figures, and where only fractions of the smallest unit make them differ, what to do about those."""
    both = f"is {deal.amount}, but the products add up to {deal.lines_total}"
    if not deal.amount.equals(Money(sum((line.total for line in deal.lines), Decimal(0)), deal.amount.currency)):
        return both
    return (
        f"{both} as each is rounded to {deal.amount.currency} on documents: "
        "give them prices whose totals need no rounding"
    )


def _line_problems(deal: Deal) -> dict[str, str]:
    if not deal.lines:
        return {"lines": "the deal has no products"}
    found = {}
    for position, line in enumerate(deal.lines, start=1):
        if not line.product_code:
            found[f"lines[{position}].product_code"] = "the product has no code"
        if line.quantity <= 0:
            found[f"lines[{position}].quantity"] = (
                f"must be more than zero, is {line.quantity:f}: "
                "take a return out of the deal and credit it in the books"
            )
        if line.total_in(deal.amount.currency).amount < 0:
            found[f"lines[{position}].total"] = (
                f"is negative, {line.total_in(deal.amount.currency)}: lower the price of the products that it is off, "
                "or take it out of the deal and credit it in the books"
            )
    return found
