"""Which customers are linked, and how many accounts share one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from crmsync.domain.links import Link
from crmsync.store import UnitOfWork


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link; *accounts* is how many accounts are linked to its customer."""

    link: Link
    accounts: int

    @property
    def is_shared(self) -> bool:
        return self.accounts > 1


def customer_links(uow: UnitOfWork, tenant: str | None) -> list[LinkRow]:
    """Every link of a customer of *tenant*, None: of all; oldest first."""
    links = uow.links.customers(tenant)
    counts = Counter((connection, key) for connection, key, _ in {_one(link) for link in links})
    return [LinkRow(link, counts[link.connection, link.key]) for link in links]


def _one(link: Link) -> tuple[str, str, str]:
    """An account and a customer count once, whatever the currencies."""
    return link.connection, link.key, link.crm_key
