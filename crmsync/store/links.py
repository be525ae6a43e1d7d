"""Links: which record here is which there. Locks: who works on what across runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, bindparam, delete, or_, select, update

from crmsync.store.rows import Rows
from crmsync.store.tables import links, locks

_FIND = select(links.c.key).where(
    links.c.connection == bindparam("in_connection"),
    links.c.record_type == bindparam("of_type"),
    links.c.crm_key == bindparam("for_key"),
)


class Links(Rows):
    def find(self, connection: str, record_type: str, crm_key: str) -> str | None:
        """The key in *connection* of the CRM's record, if the two are linked."""
        return self._connection.execute(
            _FIND, {"in_connection": connection, "of_type": record_type, "for_key": crm_key}
        ).scalar()

    def add(self, connection: str, record_type: str, crm_key: str, key: str, *, origin: str) -> bool:
        """Link two records. False if the CRM's record is linked already: that link stands."""
        return self._insert_once(
            links,
            {
                "connection": connection,
                "record_type": record_type,
                "crm_key": crm_key,
                "key": key,
                "origin": origin,
                "created_at": self._now,
            },
        )

    def replace(self, connection: str, record_type: str, crm_key: str, key: str, *, origin: str) -> None:
        """Link two records as a person said, in place of whatever link there was."""
        self._connection.execute(
            delete(links).where(
                links.c.connection == connection, links.c.record_type == record_type, links.c.crm_key == crm_key
            )
        )
        self.add(connection, record_type, crm_key, key, origin=origin)

    def all(self) -> Sequence[Row[Any]]:
        return self._connection.execute(select(links).order_by(links.c.id)).all()


class Locks(Rows):
    """A lock is a row; one whose time is over may be taken by anybody."""

    def take(self, name: str, owner: str, *, seconds: float) -> bool:
        """True if *owner* holds the lock now (again included)."""
        until = self._now + timedelta(seconds=seconds)
        if self._insert_once(locks, {"name": name, "owner": owner, "until": until}):
            return True
        is_over = or_(locks.c.until <= self._now, self._is_unreal(locks.c.until, seconds))
        statement = (
            update(locks)
            .where(locks.c.name == name, or_(is_over, locks.c.owner == owner))
            .values(owner=owner, until=until)
        )
        return self._connection.execute(statement).rowcount == 1

    def release(self, name: str, owner: str) -> None:
        self._connection.execute(delete(locks).where(locks.c.name == name, locks.c.owner == owner))
