"""What changed at a deal between two readings of it, and what each change affects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from crmsync.domain.customers import Address, Customer
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.documents import Document
from crmsync.domain.meanings import Concern, meanings
from crmsync.domain.money import Money


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


def changes(before: Deal, after: Deal) -> list[Change]:
    """Every difference between two readings of one deal; a line that only got another id or place is none."""
    return [*_deal_changes(before, after), *_line_changes(before, after), *_customer_changes(before, after)]


def changes_since(documents: Mapping[str, Document], account: str, deal: Deal) -> list[Change]:
    """How a deal whose last reading is not kept differs from its *documents*, by kind: its amount and its account."""
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
    yield from _field_changes(Deal, before, after)
    if before.customer.key != after.customer.key:
        yield Change("account", before.customer.key, after.customer.key, Concern.ACCOUNT)


def _customer_changes(before: Deal, after: Deal) -> Iterator[Change]:
    yield from _field_changes(Customer, before.customer, after.customer)
    yield from _field_changes(Address, before.customer.address, after.customer.address)


def _field_changes(kind: type, before: object, after: object) -> Iterator[Change]:
    for field, meaning in meanings(kind).items():
        was, now = _text(getattr(before, field)), _text(getattr(after, field))
        if was != now:
            yield Change(meaning.name, was, now, meaning.concern, is_personal=meaning.is_personal)


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
    total = Change("total", _total(line, before), _total(now, after), Concern.MONEY)
    found = [*_field_changes(DealLine, line, now), *([total] if total.before != total.after else [])]
    for change in found:
        yield replace(change, field=f"{_named(line)}: {change.field}")


def _named(line: DealLine) -> str:
    return f"line {line.product_code or line.key}"


def _shown(line: DealLine, deal: Deal) -> str:
    return f"{_number(line.quantity)} × {_number(line.unit_price)} = {_total(line, deal)}"


def _total(line: DealLine, deal: Deal) -> str:
    return str(Money(line.total, deal.amount.currency))


def _text(value: object) -> str:
    """A value as people read it.

    >>> _text(True), _text(None), _text(Decimal("200.00")), _text(Money.of("47000", "USD"))
    ('yes', '', '200', '47,000.00 USD')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _number(value) if isinstance(value, Decimal) else "" if value is None else str(value)


def _number(number: Decimal) -> str:
    """
    >>> _number(Decimal("200.00")), _number(Decimal("0.125"))
    ('200', '0.125')
    """
    return f"{number.normalize():f}"
