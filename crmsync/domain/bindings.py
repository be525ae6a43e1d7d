"""A binding: which connection fills which role in a flow of a tenant, and what the tenant wants of the flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FLOWS = ("order_to_invoice", "payments", "inventory")
"""What is bound; the flows that look after one of these go with it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """*source* is the connection that the flow's subjects come from; *version* grows with every change."""

    tenant: str
    flow: str
    source: str
    roles: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
