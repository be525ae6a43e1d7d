"""Looks up the accounts and customers that a file of links mentions, in few queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from crmsync.cli.link_file import Pair, Problem
from crmsync.company import Company
from crmsync.domain.customers import Candidate, Customer
from crmsync.errors import CrmsyncError
from crmsync.services import Services
from crmsync.worker import customer_links
from crmsync.worker.customer_links import LinkRefusedError


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found; where there are *problems* some of it was not."""

    accounts: dict[str, Customer] = field(default_factory=dict)
    customers: dict[tuple[str, str], Candidate] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def look(using: Services, company: Company, pairs: Sequence[Pair], tell: Callable[[], None]) -> Seen:
    """*tell* is called before each call. Raises: LinkRefusedError where a system can't be asked now."""
    accounts = _accounts(company, _distinct(pair.crm_key for pair in pairs), tell)
    customers: dict[tuple[str, str], Candidate] = {}
    for connection in _distinct(pair.connection for pair in pairs):
        numbers = _distinct(pair.key for pair in pairs if pair.connection == connection)
        found = customer_links.look_up(using, connection, numbers, tell)
        customers |= {(connection, number): each for number, each in found.items()}
    return Seen(accounts, customers, [*_problems(using, pairs, accounts, customers)])


def _accounts(company: Company, keys: list[str], tell: Callable[[], None]) -> dict[str, Customer]:
    try:
        return company.deals.api.read_accounts(keys, tell)
    except CrmsyncError as error:
        raise LinkRefusedError(
            f"The accounts can't be read from the CRM now: {error} Nothing was stored.",
            advice="Try again when it answers; `crmsync doctor` says what is wrong.",
        ) from error


def _problems(
    using: Services,
    pairs: Sequence[Pair],
    accounts: dict[str, Customer],
    customers: dict[tuple[str, str], Candidate],
) -> Iterable[Problem]:
    for pair in pairs:
        if pair.crm_key not in accounts:
            yield Problem(pair.line, "crm_id", f"The CRM has no account {pair.crm_key}.")
        system = customer_links.role(using, pair.connection).system
        problem = customer_links.problem_of(customers.get((pair.connection, pair.key)), pair.key, system)
        if problem:
            yield Problem(pair.line, pair.field, problem)


def _distinct(keys: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(keys))
