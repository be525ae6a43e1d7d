"""Looks for runs in all flows and systems, by what a person types."""

from __future__ import annotations

from crmsync.connectors.registry import VENDORS, full_key
from crmsync.domain.finding import wanted
from crmsync.store import UnitOfWork
from crmsync.store.finding import Hit
from crmsync.worker.flow import FLOWS


def find(uow: UnitOfWork, text: str) -> list[Hit]:
    return uow.finding.find(wanted(text, full_key), list(FLOWS), list(VENDORS))
