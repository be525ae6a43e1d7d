"""Verifies the customer that a person names before it is stored: its name and city are shown beside the account's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from crmsync.company import Company
from crmsync.connectors.base import Customers
from crmsync.connectors.registry import title
from crmsync.domain.audit import Act
from crmsync.domain.company_names import same_company_name
from crmsync.domain.customers import Candidate, Customer
from crmsync.domain.learned import DealInShort
from crmsync.domain.links import Link
from crmsync.domain.runs import Run
from crmsync.errors import CrmsyncError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker.flow import FLOWS, company_of

REPLAY = "replay"
IMPORTED = "imported"
SET = "set"


class LinkRefusedError(CrmsyncError):
    """The customer can't be linked; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Sides:
    """An account of the CRM, *source*, and the customer it is said to be.

    *name* and *city* are the account's, "" for a person.
    """

    connection: str
    source: str
    system: str
    account: str
    name: str
    city: str
    found: Candidate
    currency: str = ""

    @property
    def is_alike(self) -> bool:
        """Where the account's name is not known, or a person's, there is nothing to compare."""
        return not self.name or any(
            same_company_name(self.name, other) for other in (self.found.name, self.found.other_name) if other
        )

    @property
    def difference(self) -> str:
        """What is to be said where they are not alike."""
        return f"{self.found.label} in {self.system} has another name than the account {self.account_label}."

    @property
    def account_label(self) -> str:
        words = f"{self.account} {self.name}".strip()
        return f"{words}, {self.city}" if self.city else words

    def link(self, origin: str, *, by: str) -> Link:
        return Link(
            self.connection,
            self.source,
            self.account,
            self.found.key,
            origin,
            currency=self.currency,
            name=self.found.shown_name,
            city=self.found.shown_city,
            linked_by=by,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "connection": self.connection,
            "account": self.account,
            "account_name": self.name,
            "account_city": self.city,
            "customer": self.found.key,
            "customer_name": self.found.shown_name,
            "customer_city": self.found.shown_city,
            "currency": self.currency,
            "same_name": self.is_alike,
        }


def sides_of(using: Services, run: Run | None, answers: Mapping[str, str]) -> list[Sides]:
    """The customers that a person named in answer to *run*, by connection, as their systems show them.

    Raises: LinkRefusedError.
    """
    read = DealInShort.peek(FLOWS[run.flow].reading_of(run)) if run is not None else None
    if run is None or read is None or not read.customer.key:
        return []
    source = company_of(using, run).deals.connection
    return [
        sides(using, connection, source, number, read.customer, run.currency) for connection, number in answers.items()
    ]


def sides(using: Services, connection: str, source: str, number: str, customer: Customer, currency: str) -> Sides:
    """*customer*, and the one of that number there; *currency* is the deal's. Raises: LinkRefusedError."""
    found = look_up(using, connection, [number]).get(number)
    connector = role(using, connection)
    currency = own_currency(connector, currency)
    problem = problem_of(found, number, connector.system, currency=currency)
    if problem or found is None:
        raise LinkRefusedError(f"{problem} Nothing was stored.", system=connector.system)
    name, city = ("", "") if customer.is_person else (customer.name, customer.address.city)
    found = replace(found, is_person=found.is_person or customer.is_person)
    return Sides(connection, source, connector.system, customer.key, name, city, found, currency)


def own_currency(connector: Customers, currency: str) -> str:
    """The one that the customer of a deal in *currency* must have, "" where it takes any."""
    return currency if connector.customers_have_one_currency else ""


def problem_of(found: Candidate | None, number: str, system: str, *, currency: str = "") -> str:
    """Why a customer can't be linked, as a sentence, or ""."""
    if found is None:
        return f"{system} has no customer {number}."
    if found.is_vendor:
        return f"{found.label} is a vendor in {system}, and no customer."
    if found.is_blocked:
        return f"The customer {found.label} is blocked or inactive in {system}."
    if currency and found.currency not in ("", currency):
        return f"The customer {found.label} is billed in {found.currency} by {system}, and the deal is in {currency}."
    return ""


def look_up(
    using: Services, connection: str, numbers: Sequence[str], tell: Callable[[], None] = lambda: None
) -> dict[str, Candidate]:
    """The customers of these numbers; *tell* is called before each call to a vendor. Raises: LinkRefusedError."""
    try:
        return role(using, connection).read_customers(numbers, tell)
    except CrmsyncError as error:
        what = f"customer {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} customers"
        raise LinkRefusedError(
            f"{title(connection)} can't be asked for {what} now: {error} Nothing was stored.",
            system=error.system,
            advice="Try again when it answers; `crmsync doctor` says what is wrong.",
        ) from error


def read_accounts(
    company: Company, keys: Sequence[str], tell: Callable[[], None] = lambda: None
) -> dict[str, Customer]:
    """The accounts of these ids in the CRM; *tell* is called before each call. Raises: LinkRefusedError."""
    try:
        return company.deals.api.read_accounts(keys, tell)
    except CrmsyncError as error:
        raise LinkRefusedError(
            f"The accounts can't be read from the CRM now: {error} Nothing was stored.",
            system=error.system,
            advice="Try again when it answers; `crmsync doctor` says what is wrong.",
        ) from error


def replace_link(uow: UnitOfWork, act: Act, link: Link, *, tenant: str, before: str | None) -> None:
    """Link in place of the customer *before*, if there was one, with one entry of the audit for both."""
    uow.links.put_instead(link)
    was = {"key": before} if before else {}
    place = f"{link.connection}/{link.crm_key}"
    uow.audit.add(act, "link.set", "link", place, tenant=tenant, before=was, after=_audited(link))


def store(uow: UnitOfWork, found: Sequence[Sides], *, origin: str, by: str) -> None:
    """Link in place of whatever link there was in this currency."""
    for each in found:
        uow.links.put_instead(each.link(origin, by=by))


def role(using: Services, connection: str) -> Customers:
    return cast(Customers, using.connector(connection))


def audit(
    uow: UnitOfWork,
    act: Act,
    verb: str,
    *,
    tenant: str,
    before: Sequence[Link] = (),
    after: Sequence[Link] = (),
) -> None:
    """One entry for each link that a person takes back or sets, without the names that a link keeps for people."""
    for link, is_after in [*((link, False) for link in before), *((link, True) for link in after)]:
        changed = {"after" if is_after else "before": _audited(link)}
        uow.audit.add(act, verb, "link", f"{link.connection}/{link.crm_key}", tenant=tenant, **changed)


def _audited(link: Link) -> dict[str, str]:
    return {"key": link.key, "currency": link.currency}
