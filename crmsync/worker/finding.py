"""Finds runs in all flows and systems, by what a person types."""

from __future__ import annotations

from crmsync.connectors.registry import full_key, systems
from crmsync.domain.finding import wanted
from crmsync.store import UnitOfWork
from crmsync.store.finding import Hit
from crmsync.worker.flow import FLOWS


def find(uow: UnitOfWork, tenant: str | None, text: str, *, everything: bool = True) -> list[Hit]:
    """The hits among a tenant's runs, None: all runs. The most direct first; those that are only related after that."""
    words = [word for each in systems().values() for word in each.words]
    meant = wanted(text, full_key, words)
    hits = uow.finding.find(tenant, meant, list(FLOWS), list(systems()), everything=everything)
    return sorted(
        hits, key=lambda hit: (not hit.is_direct, hit.run.flow in FLOWS and FLOWS[hit.run.flow].is_background)
    )
