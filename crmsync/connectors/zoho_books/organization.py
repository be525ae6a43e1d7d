"""What the organization says about itself: its currency and its time zone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.errors import AuthenticationError
from crmsync.plain import visible
from crmsync.zones import zone_named

logger = logging.getLogger(__name__)

_OPERATION = "list organizations"
VARIABLE = "ZOHO_TIME_ZONE"
MISSING_SCOPE = "57"


def seen(api: BooksApi) -> list[Mapping[str, Any]]:
    """The organizations that the user of the refresh token is in, in one call."""
    answer = api.organizations()
    rows = answer.get("organizations") if isinstance(answer, dict) else None
    listed = rows if isinstance(rows, list) else []
    return [schemas.load(schemas.ORGANIZATION, row, "organizations", operation=_OPERATION) for row in listed]


def of_id(found: Sequence[Mapping[str, Any]], organization_id: str) -> Mapping[str, Any] | None:
    return next((row for row in found if row["organization_id"] == organization_id), None)


def time_zone(api: BooksApi, organization_id: str) -> str:
    """The name of its zone, in one call; "" where it has none that is known, or the token may not ask."""
    try:
        found = of_id(seen(api), organization_id)
    except AuthenticationError as error:
        if error.code != MISSING_SCOPE:
            raise
        found = None
    name = (found["time_zone"] or "") if found else ""
    problem = zone_problem(name)
    if problem:
        logger.warning("invoices are dated by the books: %s", problem, extra={"action": "no_time_zone"})
    return "" if problem else name


def zone_problem(name: str) -> str:
    """
    >>> zone_problem("Asia/Riyadh")
    ''
    >>> zone_problem("")
    'The organization has no time zone, by which invoices are dated: set ZOHO_TIME_ZONE, such as America/Los_Angeles.'
    """
    if zone_named(name) is not None:
        return ""
    told = f"the time zone {visible(name[:40])}, which crmsync does not know, and" if name else "no time zone,"
    return f"The organization has {told} by which invoices are dated: set {VARIABLE}, such as America/Los_Angeles."
