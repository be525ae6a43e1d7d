"""Signing in to Zoho, and what a consent is worth: a refresh token of a user who is in the organization."""

from __future__ import annotations

from crmsync.connectors.consent import Grant, Granted
from crmsync.connectors.signing_in.grants import TokenEndpoint, authorization_code
from crmsync.connectors.way_out.answers import reply_of
from crmsync.connectors.way_out.transport import exchange as exchanging
from crmsync.connectors.way_out.transport import new_session
from crmsync.connectors.zoho_books.account import claim
from crmsync.connectors.zoho_books.errors import SYSTEM, explain_sign_in
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.domain.tokens import AccessToken
from crmsync.errors import OtherAccountError

TOKEN_SECONDS = 3600
LOOK_SECONDS = 15.0


def token_endpoint(settings: ZohoBooksSettings, *, is_outside: bool) -> TokenEndpoint:
    return TokenEndpoint(
        SYSTEM,
        f"{settings.accounts_url}/oauth/v2/token",
        settings.client_id,
        settings.client_secret,
        TOKEN_SECONDS,
        explain_sign_in,
        is_outside,
    )


def exchange(settings: ZohoBooksSettings, grant: Grant, *, is_outside: bool) -> Granted:
    """Exchange the code of a consent for tokens.

    Raises: OtherAccountError where whoever consented is not in the organization.
    """
    token, refresh = authorization_code(token_endpoint(settings, is_outside=is_outside), grant)
    if _is_in_another(settings, token, is_outside=is_outside):
        raise OtherAccountError(
            f"Whoever consented is not in the organization {settings.organization_id} of {SYSTEM}.",
            system=SYSTEM,
            advice="Sign in at Zoho as a user of that organization, then consent once more.",
        )
    return Granted(refresh, claim(settings).identity)


def _is_in_another(settings: ZohoBooksSettings, token: AccessToken, *, is_outside: bool) -> bool:
    """False, too, where Zoho does not tell: the test of the connection then says what is missing."""
    headers = {"Authorization": f"Zoho-oauthtoken {token.value}"}
    address = f"{settings.api_url}/books/v3/organizations"
    with new_session(is_outside=is_outside) as session, exchanging(SYSTEM, "list organizations", seconds=LOOK_SECONDS):
        response = session.get(address, headers=headers)
        body = reply_of(response, response.content).body
    rows = body.get("organizations") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        return False
    ids = {str(row.get("organization_id")) for row in rows if isinstance(row, dict)}
    return settings.organization_id not in ids
