"""Looks up the accounts and customers that a file of links mentions, in few queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from crmsync.cli.link_file import Pair, Problem
from crmsync.company import Company
from crmsync.domain.customers import Candidate, Customer
from crmsync.services import Services
from crmsync.worker import customer_links


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found; where there are *problems* some of it was not."""

    accounts: dict[str, Customer] = field(default_factory=dict)
    customers: dict[tuple[str, str], Candidate] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def look(using: Services, company: Company, pairs: Sequence[Pair], tell: Callable[[], None]) -> Seen:
    """*tell* is called before each call. Raises: LinkRefusedError where a system can't be asked now."""
    accounts = customer_links.read_accounts(company, _distinct(pair.crm_key for pair in pairs), tell)
    customers: dict[tuple[str, str], Candidate] = {}
    for connection in _distinct(pair.connection for pair in pairs):
        numbers = _distinct(pair.key for pair in pairs if pair.connection == connection)
        found = customer_links.look_up(using, connection, numbers, tell)
        customers |= {(connection, number): each for number, each in found.items()}
    return Seen(accounts, customers, [*_problems(using, pairs, accounts, customers)])


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
