"""What waits for each connection, and which of them do not answer: for whoever watches them one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crmsync.store import UnitOfWork


@dataclass(frozen=True, slots=True)
class ConnectionFigures:
    """Of the connections of a tenant, by their ids: *due_since* is since when the longest-waiting run of each is due,
    *letters* are the dead letters that wait, by connection and kind."""

    open_breakers: frozenset[str]
    due_since: Mapping[str, datetime]
    letters: Mapping[tuple[str, str], int]


def connection_figures(uow: UnitOfWork, tenant: str | None) -> ConnectionFigures:
    return ConnectionFigures(
        open_breakers=frozenset(each.connection for each in uow.breakers.all(tenant) if each.is_open),
        due_since=uow.due.oldest_by_source(tenant),
        letters=uow.dead_letters.waiting_by_connection(tenant),
    )
