"""What of the store belongs to whom. Until rows name their tenant, everything is the environment's."""

from __future__ import annotations

from flask import g

from crmsync.domain.access import DEFAULT_TENANT
from crmsync.web.api.problems import not_found


def sees(tenant: str = DEFAULT_TENANT) -> bool:
    return bool(g.caller.sees(tenant))


def require(what: str, tenant: str = DEFAULT_TENANT) -> None:
    """Raises: Problem 404 for what is another tenant's."""
    if not sees(tenant):
        raise not_found(what)


def own() -> str | None:
    """The tenant that the caller is kept to; None where it sees all of them."""
    tenant: str | None = g.caller.tenant
    return tenant
