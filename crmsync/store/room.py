"""How many connections PostgreSQL has left for crmsync, and how many it needs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from crmsync.store.engine import Store

RECEIVERS = 2  # processes of the receiver
COMMANDS = 5  # for whoever sits at a terminal, and for migrations

# A limit of -1 is none.
_QUERY = text("""
    SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int AS server,
           (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS of_user,
           (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS of_database,
           (SELECT count(*) FROM pg_stat_activity
             WHERE usename IS NOT NULL AND application_name <> 'crmsync') AS others
""")


@dataclass(frozen=True, slots=True)
class Room:
    """*allowed* connections for all who come, of which *others* hold some; crmsync *needed* at most."""

    allowed: int
    others: int
    needed: int

    @property
    def is_enough(self) -> bool:
        return self.allowed - self.others >= self.needed

    @property
    def problem(self) -> str:
        """
        >>> Room(37, 20, 25).problem
        'PostgreSQL allows 37 connections, others hold 20, crmsync needs up to 25: raise max_connections, or lower \
CRMSYNC_DATABASE_CONNECTIONS or CRMSYNC_WORKERS.'
        """
        return (
            f"PostgreSQL allows {self.allowed} connections, others hold {self.others}, crmsync needs up to "
            f"{self.needed}: raise max_connections, or lower CRMSYNC_DATABASE_CONNECTIONS or CRMSYNC_WORKERS."
        )


def needed(connections: int, workers: int) -> int:
    """
    >>> needed(5, 2)
    25
    """
    return connections * (RECEIVERS + workers) + COMMANDS


def room_of(store: Store, *, connections: int, workers: int) -> Room | None:
    """The room for connections at the database; None for SQLite. Raises: StoreUnavailableError."""
    if store.is_sqlite:
        return None
    with store.read() as uow:
        row = uow.connection.execute(_QUERY).one()
    allowed = min(limit for limit in (row.server, row.of_user, row.of_database) if limit is not None and limit >= 0)
    return Room(allowed, row.others, needed(connections, workers))
