"""Whose account a connection to SAP is: the system's host, and the client in it."""

from __future__ import annotations

from urllib.parse import urlsplit

from crmsync.connectors.s4hana.errors import SYSTEM
from crmsync.domain.accounts import Claim
from crmsync.settings import SapSettings


def claim(settings: SapSettings) -> Claim:
    """No sign-in tells it. A host that gets another name is another system until a person says otherwise."""
    host = urlsplit(settings.base_url)
    place = ":".join(str(part) for part in (host.hostname, host.port) if part)
    client = f"client {settings.sap_client}" if settings.sap_client else "the default client"
    by_token = (settings.token_url, settings.client_id, settings.client_secret)
    by_password = (settings.user, settings.password)
    return Claim(SYSTEM, f"{place}, {client}", (settings.base_url, *by_token, *by_password))
