"""Which account a connection to Zoho Books belongs to: the organization, in its data center."""

from __future__ import annotations

from crmsync.connectors.zoho_books.errors import SYSTEM
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.domain.accounts import Claim, place_of


def claim(settings: ZohoBooksSettings) -> Claim:
    """A token is for a user, who may be in several organizations: the environment names the one."""
    signs_in_with = (settings.accounts_url, settings.client_id, settings.client_secret, settings.refresh_token)
    return Claim(SYSTEM, f"organization {settings.organization_id} at {place_of(settings.accounts_url)}", signs_in_with)
