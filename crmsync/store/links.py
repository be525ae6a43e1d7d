"""Links between customers of systems, and locks between runs that work on the same thing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, or_, select, update

from crmsync.domain.links import CUSTOMER, Link
from crmsync.store.owners import is_owned
from crmsync.store.rows import Rows
from crmsync.store.tables import links, locks

# The one of this currency before the one of which none is known.
_FIND = (
    select(links)
    .where(
        links.c.connection == bindparam("in_connection"),
        links.c.record_type == bindparam("of_type"),
        links.c.crm_key == bindparam("for_key"),
        links.c.source == bindparam("from_source"),
        links.c.currency.in_((bindparam("in_currency"), "")),
    )
    .order_by(links.c.currency.desc())
    .limit(1)
)
_KEY = ("connection", "record_type", "crm_key", "source", "currency")  # of which there is one
_LENGTHS = {"name": 200, "city": 100, "linked_by": 100}


class Links(Rows):
    def get(self, connection: str, source: str, crm_key: str, currency: str = "") -> Link | None:
        """The link of a customer of the CRM *source*; where none is of this *currency*, one of no known currency."""
        values = {
            "in_connection": connection,
            "from_source": source,
            "of_type": CUSTOMER,
            "for_key": crm_key,
            "in_currency": currency,
        }
        row = self._connection.execute(_FIND, values).first()
        return _link(row) if row is not None else None

    def put(self, link: Link) -> bool:
        """Add *link*. False if the account is linked already, in this currency: that link stands."""
        texts = {name: getattr(link, name)[:length] for name, length in _LENGTHS.items()}
        same = {name: getattr(link, name) for name in (*_KEY, "key", "origin")}
        return self._insert_once(links, {**same, **texts, "created_at": self._now})

    def put_instead(self, link: Link) -> None:
        """Add *link* in place of whatever link there was in this currency: a person said so."""
        for currency in {link.currency, ""}:
            self._connection.execute(delete(links).where(_is(replace(link, currency=currency))))
        self.put(link)

    def see(self, link: Link, seen: Link) -> None:
        """Write what was seen of the customer there; where its currency has a link of its own, that one stands."""
        is_taken = (
            link.currency != seen.currency and self._connection.execute(select(links.c.id).where(_is(seen))).first()
        )
        if is_taken:
            self.remove(link)
            return
        values = {
            "currency": seen.currency,
            "name": seen.name[: _LENGTHS["name"]],
            "city": seen.city[: _LENGTHS["city"]],
        }
        self._connection.execute(update(links).where(_is(link)).values(**values))

    def remove(self, link: Link) -> bool:
        """Remove a link. False if it has changed meanwhile."""
        return self._connection.execute(delete(links).where(_is(link), links.c.key == link.key)).rowcount == 1

    def of_account(self, source: str, crm_key: str) -> list[Link]:
        is_it = (links.c.source == source, links.c.record_type == CUSTOMER, links.c.crm_key == crm_key)
        query = select(links).where(*is_it).order_by(links.c.id)
        return [_link(row) for row in self._connection.execute(query)]

    def accounts_of(self, connection: str, source: str, keys: Collection[str]) -> Mapping[str, list[str]]:
        """Which customers of the CRM are linked to each of *keys* there."""
        query = select(links.c.key, links.c.crm_key).where(
            links.c.connection == connection,
            links.c.record_type == CUSTOMER,
            links.c.key.in_(keys),
            links.c.source == source,
        )
        found: dict[str, list[str]] = {}
        for key, crm_key in self._connection.execute(query.distinct().order_by(links.c.crm_key)):
            found.setdefault(key, []).append(crm_key)
        return found

    def customers(self, tenant: str | None, *, source: str = "") -> list[Link]:
        """Every link of a customer of a tenant's CRMs, or of one of them, oldest first; None: of all tenants."""
        query = select(links).where(links.c.record_type == CUSTOMER, is_owned(tenant, links.c.source))
        query = query.where(links.c.source == source) if source else query
        return [_link(row) for row in self._connection.execute(query.order_by(links.c.id))]


def _is(link: Link) -> ColumnElement[bool]:
    return and_(*(links.c[name] == getattr(link, name) for name in _KEY))


def _link(row: Row[Any]) -> Link:
    return Link(
        connection=row.connection,
        source=row.source,
        crm_key=row.crm_key,
        key=row.key,
        origin=row.origin,
        currency=row.currency,
        name=row.name,
        city=row.city,
        linked_by=row.linked_by,
        record_type=row.record_type,
        created_at=row.created_at,
    )


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
