"""A link: which customer of another system matches a customer of the CRM, and how that was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Link:
    """*source* is the CRM's connection.

    *currency* is "" where the customer is billed in any, or where a link of an earlier release does not say.

    *name* and *city* are as they were last seen there, "" for a person; *linked_by* says which person made the link.
    """

    connection: str
    source: str
    crm_key: str
    key: str
    origin: str
    currency: str = ""
    name: str = ""
    city: str = ""
    linked_by: str = ""
    record_type: str = CUSTOMER
    created_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
