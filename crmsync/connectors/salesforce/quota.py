"""What Salesforce allows an organization, and where its answers say how much of it is used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from crmsync.connectors.limits.budget import NOTHING, Announcement, Quota
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.salesforce.settings import SalesforceSettings

_USAGE = re.compile(r"(?<![\w-])api-usage=(\d{1,12})/(\d{1,12})")


def quota(connection: str, settings: SalesforceSettings) -> Quota:
    """Salesforce counts the calls of 24 hours itself, with those of other programs; here only limits that were set."""
    return Quota(
        connection,
        SYSTEM,
        _organization(connection, settings),
        calls_at_once=settings.calls_at_once,
        per_minute=settings.calls_per_minute,
        per_hour=settings.calls_per_hour,
        per_day=settings.calls_per_day,
        reserve_percent=settings.reserve_percent,
        read=announcement,
    )


def announcement(headers: Mapping[str, str]) -> Announcement:
    """From `Sforce-Limit-Info`, whose second part, if any, speaks of one app.

    >>> announcement({"Sforce-Limit-Info": "api-usage=18/15000; per-app-api-usage=17/250(appName=x)"})
    Announcement(per_minute=None, used=18, allowed=15000)
    >>> announcement({"Sforce-Limit-Info": "per-app-api-usage=17/250(appName=x)"}) == NOTHING
    True
    """
    found = _USAGE.search(headers.get("Sforce-Limit-Info", ""))
    if found is None or int(found[2]) == 0:
        return NOTHING
    return Announcement(used=int(found[1]), allowed=int(found[2]))


def _organization(connection: str, settings: SalesforceSettings) -> str:
    """Where its id isn't configured, a digest of who signs in where: a user name often is an e-mail address.

    Who has consented is known to Salesforce alone, so such a connection counts for itself.
    """
    user = f"{settings.login_url} {settings.username or connection}"
    return settings.organization_id or hashlib.sha256(user.encode()).hexdigest()[:16]
