"""What changed at a deal between two readings of it, and what that concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from crmsync.domain.customers import Customer
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.documents import Document
from crmsync.domain.money import Money


class Concern(StrEnum):
    """What a change touches."""

    MONEY = "money"  # what is ordered and billed
    ACCOUNT = "account"  # for whom
    CUSTOMER = "customer"  # what is known of the customer
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Change:
    """*before* and *after* as people read them, "" for what was or is not there."""

    field: str
    before: str
    after: str
    concern: Concern
    is_personal: bool = False


# What a replay may not pass over in silence once there are documents.
GRAVE = frozenset({Concern.MONEY, Concern.ACCOUNT})

_DEAL: Mapping[str, tuple[Concern, Callable[[Deal], str]]] = {
    "amount": (Concern.MONEY, lambda deal: str(deal.amount)),
    "account": (Concern.ACCOUNT, lambda deal: deal.customer.key),
    "name": (Concern.OTHER, lambda deal: deal.name),
    "won": (Concern.OTHER, lambda deal: "yes" if deal.is_won else "no"),
    "closed on": (Concern.OTHER, lambda deal: deal.closed_on),
    "purchase order number": (Concern.OTHER, lambda deal: deal.purchase_order_number),
    "order number": (Concern.OTHER, lambda deal: deal.order_number),
    "invoice number": (Concern.OTHER, lambda deal: deal.invoice_number),
}
_COMPANY: Mapping[str, Callable[[Customer], str]] = {
    "company": lambda customer: customer.name,
    "city": lambda customer: customer.address.city,
    "postal code": lambda customer: customer.address.postal_code,
    "region": lambda customer: customer.address.region,
    "country": lambda customer: customer.address.country,
}
PERSONAL: Mapping[str, Callable[[Customer], str]] = {
    "e-mail": lambda customer: customer.email,
    "first name": lambda customer: customer.first_name,
    "last name": lambda customer: customer.last_name,
    "tax number": lambda customer: customer.tax_number,
    "street": lambda customer: customer.address.street,
}


def changes(before: Deal, after: Deal) -> list[Change]:
    """Every difference between two readings of one deal; a line that only got another id or place is none."""
    return [*_deal_changes(before, after), *_line_changes(before, after), *_customer_changes(before, after)]


def changes_since(documents: Mapping[str, Document], account: str, deal: Deal) -> list[Change]:
    """What *documents*, by kind, tell of a deal whose last reading is not kept: its amount and its account."""
    found = []
    for kind, document in documents.items():
        told = document.net or document.total
        if told is not None and not told.equals(deal.amount):
            found.append(Change(f"amount of {kind} {document.number}", str(told), str(deal.amount), Concern.MONEY))
    if account and account != deal.customer.key:
        found.append(Change("account", account, deal.customer.key, Concern.ACCOUNT))
    return found


def are_grave(found: Sequence[Change]) -> bool:
    return any(change.concern in GRAVE for change in found)


def _deal_changes(before: Deal, after: Deal) -> Iterator[Change]:
    for field, (concern, value_of) in _DEAL.items():
        was, now = value_of(before), value_of(after)
        if was != now:
            yield Change(field, was, now, concern)


def _customer_changes(before: Deal, after: Deal) -> Iterator[Change]:
    for field, value_of in {**_COMPANY, **PERSONAL}.items():
        was, now = value_of(before.customer), value_of(after.customer)
        if was != now:
            yield Change(field, was, now, Concern.CUSTOMER, is_personal=field in PERSONAL)


def _line_changes(before: Deal, after: Deal) -> Iterator[Change]:
    gone, come = _unmatched(before.lines, after.lines)
    for line in gone:
        now = next((other for other in come if other.key and other.key == line.key), None)
        if now is None:
            yield Change(_named(line), _shown(line, before), "", Concern.MONEY)
        else:
            come.remove(now)
            yield from _changes_of_line(line, now, before, after)
    for line in come:
        yield Change(_named(line), "", _shown(line, after), Concern.MONEY)


def _unmatched(before: Sequence[DealLine], after: Sequence[DealLine]) -> tuple[list[DealLine], list[DealLine]]:
    """The lines that have no equal on the other side, whatever their ids and their order."""
    gone, come = [], list(after)
    for line in before:
        twin = next((other for other in come if replace(other, key=line.key) == line), None)
        if twin is None:
            gone.append(line)
        else:
            come.remove(twin)
    return gone, come


def _changes_of_line(line: DealLine, now: DealLine, before: Deal, after: Deal) -> Iterator[Change]:
    pairs = (
        ("product", line.product_code, now.product_code, Concern.MONEY),
        ("description", line.description, now.description, Concern.OTHER),
        ("quantity", _number(line.quantity), _number(now.quantity), Concern.MONEY),
        ("unit price", _number(line.unit_price), _number(now.unit_price), Concern.MONEY),
        ("total", _total(line, before), _total(now, after), Concern.MONEY),
    )
    for name, was, is_now, concern in pairs:
        if was != is_now:
            yield Change(f"{_named(line)}: {name}", was, is_now, concern)


def _named(line: DealLine) -> str:
    return f"line {line.product_code or line.key}"


def _shown(line: DealLine, deal: Deal) -> str:
    return f"{_number(line.quantity)} × {_number(line.unit_price)} = {_total(line, deal)}"


def _total(line: DealLine, deal: Deal) -> str:
    return str(Money(line.total, deal.amount.currency))


def _number(number: Decimal) -> str:
    """
    >>> _number(Decimal("200.00")), _number(Decimal("0.125"))
    ('200', '0.125')
    """
    return f"{number.normalize():f}"
