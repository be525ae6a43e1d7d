"""How many calls SAP S/4HANA gets: it publishes no figure, and answers 429 if there are too many."""

from __future__ import annotations

from urllib.parse import urlsplit

from crmsync.connectors.limits.budget import Quota
from crmsync.connectors.s4hana.errors import SYSTEM
from crmsync.connectors.s4hana.settings import SapSettings


def quota(connection: str, settings: SapSettings) -> Quota:
    host = urlsplit(settings.base_url)
    system = "-".join(str(part) for part in (host.hostname, host.port, settings.sap_client) if part)
    return Quota(
        connection,
        SYSTEM,
        system,
        calls_at_once=settings.calls_at_once,
        per_minute=settings.calls_per_minute,
        per_hour=settings.calls_per_hour,
        per_day=settings.calls_per_day,
        reserve_percent=settings.reserve_percent,
    )
