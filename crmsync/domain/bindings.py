"""A binding: which connection fills which role in a flow of a tenant, and the flow's options for that tenant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crmsync.errors import CrmsyncError

NEEDS: Mapping[str, tuple[str, ...]] = {
    "order_to_invoice": ("deals", "orders", "invoices", "payments"),
    "payments": ("payments", "deals", "invoices"),
    "inventory": ("catalogue", "stock"),
}
"""The roles that each flow works with; its subjects come from the connection in the first of them."""
FLOWS = tuple(NEEDS)
"""What is bound; the flows that look after one of these go with it."""
_ALSO = (("invoices", "payments"), ("payments", "invoices"))
"""The books usually do both: where one of these is not said, the other's connection fills it if it can."""


@dataclass(frozen=True, slots=True)
class Binding:
    """*source* is the connection that the flow's subjects come from; *version* grows with every change."""

    tenant: str
    flow: str
    source: str
    roles: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    created_at: datetime | None = None

    @property
    def is_implied(self) -> bool:
        """Whether it is that of the environment, which has no row."""
        return self.version == 0


class InvalidBindingError(CrmsyncError):
    """The flow can't be bound like this."""


class BindingChangedError(CrmsyncError):
    """Somebody else has changed the binding meanwhile; look at it again."""


class UnknownBindingError(CrmsyncError):
    """There is no such binding."""


class UnclearCompanyError(CrmsyncError):
    """It is not clear which company is meant."""


def completed(flow: str, roles: Mapping[str, str], offered: Mapping[str, Collection[str]]) -> dict[str, str]:
    """*roles* with what goes without saying. *offered* are the roles that each connection can fill.

    >>> completed("payments", {"payments": "a", "deals": "b"}, {"a": ["payments", "invoices"], "b": ["deals"]})
    {'payments': 'a', 'deals': 'b', 'invoices': 'a'}
    """
    found = dict(roles)
    for role, other in _ALSO:
        connection = found.get(other, "")
        if role in NEEDS.get(flow, ()) and role not in found and role in offered.get(connection, ()):
            found[role] = connection
    return found


def problems_of(flow: str, roles: Mapping[str, str], offered: Mapping[str, Collection[str]]) -> dict[str, str]:
    """What is wrong with these *roles*, by name. What is not *offered* is no connection of the tenant.

    >>> problems_of("inventory", {"catalogue": "a", "stock": "b", "deals": "a"}, {"a": ["deals", "catalogue"]})
    {'roles.deals': 'is not a role of this flow', 'roles.stock': 'is not a connection of this tenant'}
    >>> problems_of("inventory", {"catalogue": "a"}, {"a": ["deals"]})
    {'roles.catalogue': "can't be filled by a", 'roles.stock': 'is missing'}
    """
    if flow not in NEEDS:
        return {"flow": f"expected {', '.join(FLOWS)}"}
    found = {f"roles.{role}": "is not a role of this flow" for role in roles if role not in NEEDS[flow]}
    for role in NEEDS[flow]:
        connection = roles.get(role)
        if not connection:
            found[f"roles.{role}"] = "is missing"
        elif connection not in offered:
            found[f"roles.{role}"] = "is not a connection of this tenant"
        elif role not in offered[connection]:
            found[f"roles.{role}"] = f"can't be filled by {connection}"
    return found
