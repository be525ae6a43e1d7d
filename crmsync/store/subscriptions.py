"""The separate addresses of webhooks, with their encrypted secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, select, update

from crmsync.domain.subscriptions import Subscription, SubscriptionStatus
from crmsync.store.rows import Rows
from crmsync.store.tables import webhooks


@dataclass(frozen=True, slots=True)
class KeptSubscription:
    subscription: Subscription
    sealed: str


class Subscriptions(Rows):
    """The tenant comes first; None: of all tenants, or where an address alone says which it is."""

    def all(self, tenant: str | None) -> list[Subscription]:
        query = select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id)
        query = query if tenant is None else query.where(webhooks.c.tenant == tenant)
        return [_kept(row).subscription for row in self._connection.execute(query)]

    def get(self, tenant: str | None, webhook_id: str) -> KeptSubscription | None:
        query = select(webhooks).where(webhooks.c.id == webhook_id)
        query = query if tenant is None else query.where(webhooks.c.tenant == tenant)
        row = self._connection.execute(query).first()
        return None if row is None else _kept(row)

    def add(self, new: Subscription, *, sealed: str) -> None:
        row = {
            **_columns(new),
            "id": new.id,
            "tenant": new.tenant,
            "connection": new.connection,
            "door": new.door,
            "secrets": sealed,
            "created_at": self._now,
            "updated_at": self._now,
            "version": 1,
        }
        self._connection.execute(webhooks.insert().values(**row))

    def change(self, changed: Subscription, *, sealed: str) -> bool:
        """Write *changed*. False if somebody has changed it since its version."""
        mine = (webhooks.c.id == changed.id, webhooks.c.version == changed.version)
        values = {**_columns(changed), "secrets": sealed, "updated_at": self._now, "version": changed.version + 1}
        return self._connection.execute(update(webhooks).where(*mine).values(**values)).rowcount == 1

    def delete(self, of: Subscription) -> bool:
        mine = (webhooks.c.id == of.id, webhooks.c.version == of.version)
        return self._connection.execute(delete(webhooks).where(*mine)).rowcount == 1


def _columns(of: Subscription) -> Mapping[str, Any]:
    return {
        "events": list(of.events),
        "entity_types": list(of.entity_types),
        "status": of.status.value,
        "previous_until": of.previous_until,
    }


def _kept(row: Row[Any]) -> KeptSubscription:
    values = dict(row._mapping)
    sealed = values.pop("secrets")
    lists = {name: tuple(values[name]) for name in ("events", "entity_types")}
    return KeptSubscription(Subscription(**{**values, **lists, "status": SubscriptionStatus(values["status"])}), sealed)
