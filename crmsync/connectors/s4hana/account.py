"""Which account a connection to SAP belongs to: the system's address, and the client in it."""

from __future__ import annotations

from crmsync.connectors.s4hana.errors import SYSTEM
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.domain.accounts import Claim, place_of


def claim(settings: SapSettings) -> Claim:
    """The account by its address: no sign-in names it. Another address is another account until a person confirms."""
    client = f"client {settings.sap_client}" if settings.sap_client else "the default client"
    by_token = (settings.token_url, settings.client_id, settings.client_secret)
    by_password = (settings.user, settings.password)
    return Claim(SYSTEM, f"{place_of(settings.base_url)}, {client}", (settings.base_url, *by_token, *by_password))
