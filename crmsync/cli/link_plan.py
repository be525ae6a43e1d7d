"""Decides what to do with each pair of the file, given what exists and what is linked already; and does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmsync.cli.link_file import Pair, Problem
from crmsync.domain.audit import Act
from crmsync.domain.customers import Candidate, Customer
from crmsync.domain.links import Link
from crmsync.worker import customer_links

if TYPE_CHECKING:
    from crmsync.company import Company
    from crmsync.store import UnitOfWork


@dataclass(frozen=True, slots=True)
class Change:
    """*action* is add, replace or keep; *before* is what the link says now."""

    action: str
    pair: Pair
    account: Customer
    found: Candidate
    before: str | None = None

    @property
    def subject(self) -> tuple[str, str, str]:
        """What has one link."""
        return self.pair.connection, self.pair.crm_key, self.found.currency

    def to_json(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "line": self.pair.line,
            "field": self.pair.field,
            "connection": self.pair.connection,
            "crm_key": self.pair.crm_key,
            "account": self.account.name,
            "account_city": self.account.address.city,
            "key": self.found.key,
            "customer": self.found.shown_name,
            "customer_city": self.found.shown_city,
            "currency": self.found.currency,
            "before": self.before,
        }


def plan(
    pairs: Iterable[Pair],
    existing: Iterable[Link],
    accounts: Mapping[str, Customer],
    customers: Mapping[tuple[str, str], Candidate],
) -> list[Change]:
    """What the pairs ask for; all of *accounts* and *customers*, by connection and number, were looked up.

    Several lines may ask for the same: an account with customers of several currencies in the books has a line for
    each, and in each of them its one customer of the ERP.
    """
    linked: dict[tuple[str, str, str], str] = {
        (link.connection, link.crm_key, link.currency): link.key for link in existing
    }
    found = (_change(pair, accounts[pair.crm_key], customers[pair.connection, pair.key], linked) for pair in pairs)
    distinct: dict[tuple[tuple[str, str, str], str], Change] = {}
    for each in found:
        distinct.setdefault((each.subject, each.found.key), each)
    return list(distinct.values())


def _change(pair: Pair, account: Customer, found: Candidate, linked: Mapping[tuple[str, str, str], str]) -> Change:
    """A link of an earlier release, of which no currency is known, is one of this currency."""
    keys = (linked.get((pair.connection, pair.crm_key, currency)) for currency in (found.currency, ""))
    before = next((key for key in keys if key is not None), None)
    action = "add" if before is None else "keep" if before == found.key else "replace"
    return Change(action, pair, account, found, before)


def conflicts(changes: Sequence[Change]) -> list[Problem]:
    """Links that say something else already; nothing overwrites them unasked."""
    return [
        Problem(
            change.pair.line,
            change.pair.field,
            f"is linked to {change.before} already; --replace makes it {change.found.key}",
        )
        for change in changes
        if change.action == "replace"
    ]


def repeated(changes: Sequence[Change]) -> list[Problem]:
    """A customer that two lines speak of, in one currency: which of them counts is not for us to guess."""
    first: dict[tuple[str, str, str], Change] = {}
    return [
        Problem(change.pair.line, "crm_id", f"{change.pair.crm_key} stands in line {known.pair.line} already")
        for change in changes
        if (known := first.setdefault(change.subject, change)) is not change
    ]


def apply(uow: UnitOfWork, company: Company, changes: Sequence[Change], who: Act) -> None:
    """Write the links of the accounts of *company*'s CRM, and one entry of the audit for each account and system."""
    made = [change for change in changes if change.action != "keep"]
    for change in made:
        link = _link(change, company.deals.connection, str(who))
        customer_links.replace_link(uow, who, link, tenant=company.tenant, before=change.before)


def _link(change: Change, source: str, by: str) -> Link:
    found, pair = change.found, change.pair
    return Link(
        pair.connection,
        source,
        pair.crm_key,
        found.key,
        customer_links.IMPORTED,
        currency=found.currency,
        name=found.shown_name,
        city=found.shown_city,
        linked_by=by,
    )
