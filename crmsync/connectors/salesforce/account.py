"""Which account a connection to Salesforce belongs to: the organization, whatever its address is."""

from __future__ import annotations

import re

from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.salesforce.settings import JWT_BEARER, SalesforceSettings
from crmsync.domain.accounts import Claim
from crmsync.environment import Secret

_ORGANIZATION = re.compile(r"00D[A-Za-z0-9]{12}")
_IN_IDENTITY_URL = re.compile(rf"/id/({_ORGANIZATION.pattern})(?:[A-Za-z0-9]{{3}})?/")
_IN_TOKEN = re.compile(rf"({_ORGANIZATION.pattern})!")


def claim(settings: SalesforceSettings) -> Claim:
    """The organization, which a sign-in names; a sandbox that was refreshed is another one."""
    signs_in_with: tuple[str | Secret, ...] = (
        settings.login_url,
        settings.client_id,
        *_own_to(settings),
    )
    identity = organization(settings.organization_id[:15]) if settings.organization_id else ""
    return Claim(SYSTEM, identity, signs_in_with, is_told=True)


def _own_to(settings: SalesforceSettings) -> tuple[str | Secret, ...]:
    if settings.auth == JWT_BEARER:
        return settings.username, settings.private_key
    return settings.client_secret, settings.refresh_token


def told_by(identity_url: str, token: str) -> str:
    """Whose a token is, from the `id` of its answer, else from the token itself; "" where neither says.

    >>> told_by("https://login.salesforce.com/id/00Dxx0000001gEREAY/005xx000001SwiUAAS", "")
    'organization 00Dxx0000001gER'
    >>> told_by("", "00Dxx0000001gER!AQ"), told_by("", "opaque")
    ('organization 00Dxx0000001gER', '')
    """
    found = _IN_IDENTITY_URL.search(identity_url) or _IN_TOKEN.match(token)
    return organization(found[1]) if found else ""


def organization(key: str) -> str:
    return f"organization {key}"
