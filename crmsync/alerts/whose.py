"""Whose an alert is, in words: the connection that it is about and its tenant, where people could not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crmsync.domain.connections import ID_PREFIX

if TYPE_CHECKING:
    from crmsync.store import UnitOfWork

CONNECTION, TENANT = "Connection", "Tenant"


def with_owner(uow: UnitOfWork, alert: Any) -> Mapping[str, Any]:
    """The content of *alert*, a row of the outbox, with the facts that say whose it is.

    They are read when it is shown and are not kept with it: a connection may get another name while it is open.
    """
    whose, content = _whose(uow, alert), alert.content
    if not whose:
        return content
    content = {**content, "facts": [*content.get("facts", ()), *whose]}
    end = content.get("end")
    return {**content, "end": {**end, "facts": [*end.get("facts", ()), *whose]}} if end else content


def _whose(uow: UnitOfWork, alert: Any) -> list[list[str]]:
    """Nothing where there is one tenant alone and its one account at the system, that of the environment."""
    is_made = alert.connection.startswith(ID_PREFIX)
    if not (is_made or (alert.tenant and len(uow.owners.tenants()) > 1)):
        return []
    facts = [[CONNECTION, uow.owners.name_of(alert.connection)], [TENANT, alert.tenant]]
    return [fact for fact in facts if fact[1]]
