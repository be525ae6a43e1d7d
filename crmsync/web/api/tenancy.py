"""Limits what a caller can see to its tenant."""

from __future__ import annotations

from flask import g

from crmsync.web.api.problems import not_found


def own() -> str | None:
    """The tenant that the caller is kept to; None where it sees all of them."""
    tenant: str | None = g.caller.tenant
    return tenant


def sees(tenant: str) -> bool:
    return bool(g.caller.sees(tenant))


def require(what: str, tenant: str) -> None:
    """Raises: Problem 404 for what is another tenant's."""
    if not sees(tenant):
        raise not_found(what)
