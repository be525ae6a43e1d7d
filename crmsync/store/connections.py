"""The stored connections, with their encrypted secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, delete, func, select, update

from crmsync.domain.connections import Connection, Direction, Status
from crmsync.domain.runs import RunStatus
from crmsync.store.rows import Rows
from crmsync.store.tables import connections, deliveries, facts, ledger, metadata, runs

TRIAL = "trial."  # in front of a connection: the fact that says what came of its last trial
LAST_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """A connection as it lies in the store; *sealed* are its secrets."""

    connection: Connection
    sealed: str


class Connections(Rows):
    """The tenant comes first, and is asked for everywhere but where a connection is used: an id is nobody else's."""

    def all(self, tenant: str | None) -> list[Connection]:
        """The connections of one tenant, or of all, by tenant and name."""
        query = _QUERY.order_by(connections.c.tenant, connections.c.name)
        rows = self._connection.execute(query.where(connections.c.tenant == tenant) if tenant is not None else query)
        return [_kept(row).connection for row in rows]

    def get(self, tenant: str | None, connection_id: str) -> Kept | None:
        query = _QUERY.where(connections.c.id == connection_id)
        if tenant is not None:
            query = query.where(connections.c.tenant == tenant)
        row = self._connection.execute(query).first()
        return _kept(row) if row is not None else None

    def in_use(self, connection_id: str) -> Kept | None:
        """The connection for a run, which has its id from a binding of its own tenant."""
        return self.get(None, connection_id)

    def add(self, new: Connection, *, sealed: str, key_id: str) -> bool:
        """Add a connection. False if the tenant has one of that name."""
        row = {
            **_columns(new),
            "id": new.id,
            "tenant": new.tenant,
            "system": new.system,
            "secrets": sealed,
            "key_id": key_id,
            "created_at": self._now,
            "updated_at": self._now,
            "version": 1,
        }
        return self._insert_once(connections, row)

    def change(self, changed: Connection, *, sealed: str, key_id: str) -> bool:
        """Write *changed*, if nobody has changed it since that version. The caller checks the name."""
        values = {**_columns(changed), "secrets": sealed, "key_id": key_id, "updated_at": self._now}
        mine = (connections.c.id == changed.id, connections.c.version == changed.version)
        statement = update(connections).where(*mine).values(**values, version=connections.c.version + 1)
        return self._connection.execute(statement).rowcount == 1

    def named(self, tenant: str, name: str) -> str | None:
        """The id of the connection of that name."""
        query = select(connections.c.id).where(connections.c.tenant == tenant, connections.c.name == name)
        return self._connection.execute(query).scalar()

    def succeeded(self, connection_id: str) -> None:
        """It works. What a person has paused stays paused."""
        mine = connections.c.id == connection_id
        self._connection.execute(update(connections).where(mine).values(last_success_at=self._now))
        failed = connections.c.status.in_((Status.ERROR, Status.EXPIRED))
        self._connection.execute(update(connections).where(mine, failed).values(status=Status.ACTIVE))

    def failed(self, connection_id: str, error: str, *, status: Status = Status.ERROR) -> None:
        mine = connections.c.id == connection_id
        values = {"last_error": error[:LAST_ERROR_LENGTH], "last_error_at": self._now}
        self._connection.execute(update(connections).where(mine).values(**values))
        works = connections.c.status != Status.INACTIVE
        self._connection.execute(update(connections).where(mine, works).values(status=status))

    def remarked(self, connection_id: str, error: str) -> None:
        """Something that was tried with it has failed, which says nothing of how it works."""
        values = {"last_error": error[:LAST_ERROR_LENGTH], "last_error_at": self._now}
        self._connection.execute(update(connections).where(connections.c.id == connection_id).values(**values))

    def reseal(self, connection_id: str, *, was: str, sealed: str, key_id: str) -> None:
        """Unless it was changed meanwhile. Its version stays: nothing of it is another."""
        mine = (connections.c.id == connection_id, connections.c.secrets == was)
        self._connection.execute(update(connections).where(*mine).values(secrets=sealed, key_id=key_id))

    def all_kept(self) -> list[Kept]:
        return [_kept(row) for row in self._connection.execute(_QUERY.order_by(connections.c.id))]

    # -- what rests on it

    def open_runs(self, connection_id: str) -> int:
        """How many runs that are not over have made something there, or come from it."""
        made = select(ledger.c.run_id).where(ledger.c.connection == connection_id)
        is_its_own: ColumnElement[bool] = runs.c.id.in_(made)
        if "source" in runs.c:
            is_its_own |= runs.c.source == connection_id
        is_open = runs.c.status.not_in((RunStatus.DONE, RunStatus.DISCARDED))
        query = select(func.count()).select_from(runs).where(is_open, is_its_own)
        return int(self._connection.execute(query).scalar_one())

    def delete(self, connection_id: str, *, version: int) -> dict[str, int] | None:
        """Delete it with everything that is remembered of it. Returns how many rows of each table went.

        None if somebody has changed it since that *version*: nothing goes.
        """
        mine = (connections.c.id == connection_id, connections.c.version == version)
        if self._connection.execute(delete(connections).where(*mine)).rowcount != 1:
            return None
        gone = {
            table.name: self._connection.execute(delete(table).where(table.c.connection == connection_id)).rowcount
            for table in _remembering()
        }
        notes = facts.c.name.startswith(f"notes.{connection_id}.", autoescape=True)
        self._connection.execute(delete(facts).where(notes | (facts.c.name == TRIAL + connection_id)))
        self._connection.execute(delete(deliveries).where(deliveries.c.source == connection_id))
        return {name: count for name, count in gone.items() if count}


def _remembering() -> list[Table]:
    """Every table that remembers something of a connection says of which."""
    return [table for table in metadata.sorted_tables if "connection" in table.c]


_QUERY: Select[Any] = select(connections)


def _columns(of: Connection) -> Mapping[str, Any]:
    return {
        "name": of.name,
        "auth_kind": of.auth_kind,
        "settings": dict(of.settings),
        "secret_names": list(of.secret_names),
        "status": of.status.value,
        "sync_enabled": of.sync_enabled,
        "interval_seconds": of.interval_seconds,
        "direction": of.direction.value,
    }


def _kept(row: Row[Any]) -> Kept:
    values = dict(row._mapping)
    sealed = values.pop("secrets")
    values.pop("key_id")
    facts = {
        "status": Status(values["status"]),
        "direction": Direction(values["direction"]),
        "secret_names": tuple(values["secret_names"]),
    }
    return Kept(Connection(**{**values, **facts}), sealed)
