"""Finds or makes a deal's customer in another system, once for all deals of that customer.

    linked? → our reference? → same tax number or e-mail? → create

A name alone never matches: where only the name fits, or more than one customer does, a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from crmsync.connectors.base import Customers
from crmsync.domain.customers import Customer, CustomerMatch
from crmsync.domain.deals import Deal
from crmsync.domain.ledger import EntryKey
from crmsync.domain.references import customer_reference
from crmsync.errors import AmbiguousMatchError
from crmsync.worker.attempt import Attempt


def match_customer(attempt: Attempt, deal: Deal, connection: str, connector: Customers) -> dict[str, str]:
    """The customer's key in *connection*; everything is asked only for a customer that is not linked yet."""
    key = _linked(attempt, connection, deal.customer)
    if key is None:
        with attempt.lock(f"customer:{connection}:{deal.customer.key}"):
            key = _linked(attempt, connection, deal.customer) or _link(attempt, deal, connection, connector)
    return {"customer_key": key}


def _linked(attempt: Attempt, connection: str, customer: Customer) -> str | None:
    with attempt.services.store.read() as uow:
        return uow.links.find(connection, "customer", customer.key)


def _link(attempt: Attempt, deal: Deal, connection: str, connector: Customers) -> str:
    match = _find(deal.customer, connector)
    if match is not None:
        match = connector.adopt_customer(match, deal.customer, currency=deal.amount.currency)
    else:
        match = _create(attempt, deal, connection, connector)
    with attempt.services.store.begin() as uow:
        uow.links.add(connection, "customer", deal.customer.key, match.key, origin=match.matched_by)
    return match.key


def _find(customer: Customer, connector: Customers) -> CustomerMatch | None:
    reference = customer_reference(customer.key)
    return _only(connector.find_customers_by_reference(reference, customer), connector.system) or _only(
        connector.find_customers_by_keys(customer), connector.system
    )


def _only(matches: Sequence[CustomerMatch], system: str) -> CustomerMatch | None:
    """Raises: AmbiguousMatchError for more than one."""
    if len(matches) > 1:
        keys = ", ".join(match.key for match in matches)
        raise AmbiguousMatchError(
            f"{len(matches)} customers have the same {matches[0].matched_by}: {keys}.",
            system=system,
            advice="Replay with --link and the number of the right one.",
        )
    return matches[0] if matches else None


def _create(attempt: Attempt, deal: Deal, connection: str, connector: Customers) -> CustomerMatch:
    customer, reference = deal.customer, customer_reference(deal.customer.key)

    def find() -> list[Mapping[str, Any]]:
        match = _find(customer, connector)
        return [asdict(match)] if match else []

    def create() -> Mapping[str, Any]:
        return asdict(connector.create_customer(customer, reference=reference, currency=deal.amount.currency))

    made = attempt.create_once(EntryKey(connection, "customer", reference), find=find, create=create)
    return CustomerMatch(**made)
