"""The database, crmsync's source of truth: inbox, runs, ledger, links, tokens, dead letters; SQLite or PostgreSQL."""

from crmsync.store.engine import Store
from crmsync.store.unit_of_work import UnitOfWork

__all__ = ["Store", "UnitOfWork"]
