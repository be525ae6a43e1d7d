"""What the organization says of itself: its currency, and the time zone by which its days are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import SYSTEM, BooksApi
from crmsync.errors import AuthenticationError, ConfigurationError
from crmsync.plain import visible
from crmsync.zones import zone_named

_OPERATION = "list organizations"
VARIABLE = "ZOHO_TIME_ZONE"


def seen(api: BooksApi) -> list[Mapping[str, Any]]:
    """Those that the user of the refresh token is in, in one call."""
    answer = api.organizations()
    rows = answer.get("organizations") if isinstance(answer, dict) else None
    listed = rows if isinstance(rows, list) else []
    return [schemas.load(schemas.ORGANIZATION, row, "organizations", operation=_OPERATION) for row in listed]


def of_id(found: Sequence[Mapping[str, Any]], organization_id: str) -> Mapping[str, Any] | None:
    return next((row for row in found if row["organization_id"] == organization_id), None)


def time_zone(api: BooksApi, organization_id: str) -> str:
    """The name of its zone, in one call.

    Raises: ConfigurationError where it has none that is known: the day of an invoice is not guessed.
    """
    try:
        found = of_id(seen(api), organization_id)
    except AuthenticationError as error:
        error.advice = f"{error.advice or ''} Or set {VARIABLE} to its zone: then it is not asked.".strip()
        raise
    name = (found["time_zone"] or "") if found else ""
    problem = zone_problem(name)
    if problem:
        raise ConfigurationError(problem, system=SYSTEM, operation=_OPERATION, advice="Then restart, and replay.")
    return name


def zone_problem(name: str) -> str:
    """
    >>> zone_problem("Asia/Riyadh")
    ''
    >>> zone_problem("")
    'The organization tells no time zone, by which invoices are dated: set ZOHO_TIME_ZONE, such as America/Los_Angeles.'
    """
    if zone_named(name) is not None:
        return ""
    told = f"the time zone {visible(name[:40])}, which crmsync does not know, and" if name else "no time zone,"
    return f"The organization tells {told} by which invoices are dated: set {VARIABLE}, such as America/Los_Angeles."
