"""Signing in to Salesforce: the audience it requires, and what its refusals mean.

One word, invalid_grant, stands for causes that have nothing in common; only the description tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from crmsync import errors
from crmsync.connectors.consent import Grant, Granted
from crmsync.connectors.salesforce.account import told_by
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.salesforce.settings import REFRESH_TOKEN, SalesforceSettings
from crmsync.connectors.signing_in.grants import TokenEndpoint, authorization_code, jwt_bearer, refresh_token
from crmsync.connectors.way_out.answers import Failure
from crmsync.domain.tokens import AccessToken

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105
TOKEN_SECONDS = 5400  # of the two hours that a session lasts by default

_PRODUCTION, _SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"


class AudienceError(errors.AuthenticationError):
    """Salesforce does not accept the audience of the sign-in."""


def signer_in(settings: SalesforceSettings, *, is_outside: bool = False) -> Callable[[], AccessToken]:
    """Signs in as the settings say; with a key by the audience that was taken last time, else one after the other."""
    if settings.auth == REFRESH_TOKEN:
        return lambda: _by_consent(settings, is_outside=is_outside)
    wanted = audiences(settings.login_url, settings.audience)

    def sign_in() -> AccessToken:
        refusal: AudienceError | None = None
        for audience in tuple(wanted):
            try:
                token = _token(settings, audience, is_outside=is_outside)
            except AudienceError as error:
                refusal = refusal or error
            else:
                wanted.remove(audience)
                wanted.insert(0, audience)
                return token
        raise refusal or AudienceError(system=SYSTEM)

    return sign_in


def audiences(login_url: str, audience: str) -> list[str]:
    """What to try. A sign-in at a My Domain may want the common address of production or sandboxes.

    >>> audiences("https://acme--test.sandbox.my.salesforce.com", "https://acme--test.sandbox.my.salesforce.com")[1:]
    ['https://test.salesforce.com', 'https://login.salesforce.com']
    >>> audiences("https://acme.my.salesforce.com", "https://login.salesforce.com")
    ['https://login.salesforce.com']
    """
    if audience != login_url:  # SF_AUDIENCE says which
        return [audience]
    host = urlsplit(login_url).hostname or ""
    usual = [_SANDBOX, _PRODUCTION] if ".sandbox." in host or "--" in host else [_PRODUCTION, _SANDBOX]
    return [audience, *(each for each in usual if each != audience)]


def _token(settings: SalesforceSettings, audience: str, *, is_outside: bool) -> AccessToken:
    token = jwt_bearer(
        SYSTEM,
        token_url=f"{settings.login_url}{TOKEN_PATH}",
        client_id=settings.client_id,
        username=settings.username,
        audience=audience,
        private_key=settings.private_key,
        seconds=TOKEN_SECONDS,
        explain=explain,
        is_outside=is_outside,
    )
    return replace(token, account=told_by(token.account, token.value))


def _token_endpoint(settings: SalesforceSettings, *, is_outside: bool) -> TokenEndpoint:
    return TokenEndpoint(
        SYSTEM,
        f"{settings.login_url}{TOKEN_PATH}",
        settings.client_id,
        settings.client_secret,
        TOKEN_SECONDS,
        explain_consent,
        is_outside,
    )


def _by_consent(settings: SalesforceSettings, *, is_outside: bool) -> AccessToken:
    token = refresh_token(_token_endpoint(settings, is_outside=is_outside), settings.refresh_token)
    return replace(token, account=told_by(token.account, token.value))


def exchange(settings: SalesforceSettings, grant: Grant, *, is_outside: bool) -> Granted:
    """Web server flow: what the code of the consent page is worth."""
    token, refresh = authorization_code(_token_endpoint(settings, is_outside=is_outside), grant)
    return Granted(refresh, told_by(token.account, token.value))


def _refusal(message: str, advice: str, error: type[errors.CrmsyncError] | None = None) -> Failure:
    return Failure(error=error, message=f"Salesforce refused to sign in: {message}", advice=advice)


# The first that fits. Sources: forcedotcom/sfdx-core; help.salesforce.com, remoteaccess_oauth_jwt_flow.
_REFUSALS: tuple[tuple[str, Failure], ...] = (
    (
        r"audience|\baud\b",
        _refusal(
            "it does not accept the audience of the assertion.",
            "Set SF_AUDIENCE to https://login.salesforce.com, for a sandbox to https://test.salesforce.com.",
            AudienceError,
        ),
    ),
    (
        r"has ?n.{1,6}t approved|not approved|admin approved|app_access|blocked",
        _refusal(
            "the integration user has not been approved for the app.",
            "Open the app's policies in Salesforce, choose `Admin approved users are pre-authorized`, and assign the "
            "user's profile or permission set to the app; or check SF_USERNAME, which may name another user or none.",
        ),
    ),
    (
        r"installed|app_not_found|cross-org",
        _refusal(
            "the app is not installed in the organization.",
            "Install or create the app in the organization that SF_LOGIN_URL signs in to, or check SF_LOGIN_URL.",
        ),
    ),
    (
        r"(\b|_)scope",
        _refusal("the app lacks a scope.", "Give the app the scopes `api` and `refresh_token`, offline access."),
    ),
    (
        r"grant.type|(flow|jwt)\b.*not (enabled|supported|allowed)",
        _refusal("the app does not let users sign in by a JWT.", "Enable the app's JWT Bearer Flow in Salesforce."),
    ),
    (
        r"inactive.org|\borg\b.*(inactive|locked|closed)|organization|trial",
        _refusal("the organization is not active.", "Ask Salesforce, or the administrator of the organization."),
    ),
    (
        r"inactive|frozen|locked|disabled|deactivated|password",
        _refusal(
            "the integration user is not active.",
            "Activate, unlock or unfreeze the user of SF_USERNAME in Salesforce.",
        ),
    ),
    (
        r"expired|\bexp\b|not yet valid|issued in the future|within .*time",
        _refusal(
            "the assertion is not valid at this time.",
            "Correct the clock of this machine (NTP): Salesforce allows a few minutes of difference.",
        ),
    ),
    (
        r"\bip\b",
        _refusal(
            "it does not accept sign-ins from this address.",
            "Add the address of this machine to the login IP ranges of the user's profile, or relax them in the app.",
        ),
    ),
    (
        r"invalid.client|client.identifier|consumer",
        _refusal(
            "it does not know the app.",
            "Check SF_CLIENT_ID (the consumer key) and SF_LOGIN_URL: sandboxes sign in at https://test.salesforce.com. "
            "A new app takes up to ten minutes.",
        ),
    ),
    (
        r"assertion|signature|\buser|signed|certificate|authentication failure",
        _refusal(
            "it does not accept the assertion's signature or user.",
            "Upload the certificate that belongs to SF_PRIVATE_KEY to the app, and check SF_USERNAME and SF_CLIENT_ID.",
        ),
    ),
)


_REFUSED_CONSENTS: tuple[tuple[str, Failure], ...] = (
    (
        r"verifier|challenge|authorization.?code|redirect",
        _refusal(
            "it does not take the code of the consent (any more).",
            "Consent once more; check that the app's callback URL is that of crmsync, and give SF_CLIENT_SECRET where "
            "the app needs one.",
        ),
    ),
    (
        r"token|\bexpired|inactive.?session",
        _refusal("the consent has ended.", "Consent once more: `crmsync connections authorize ID`."),
    ),
    (
        r"secret|invalid.client.credentials",
        _refusal("it does not accept the app's secret.", "Check SF_CLIENT_SECRET, the consumer secret of the app."),
    ),
)


def explain_consent(answer: Mapping[str, Any]) -> Failure | None:
    """What an answer says that has to do with a consent; else as explain()."""
    told = f"{answer.get('error_description') or ''} {answer.get('error') or ''}"
    found = (failure for pattern, failure in _REFUSED_CONSENTS if re.search(pattern, told, re.IGNORECASE))
    return next(found, None) or explain(answer)


def explain(answer: Mapping[str, Any]) -> Failure | None:
    """What the answer of the token endpoint says, read from its texts, which are not kept."""
    told = f"{answer.get('error_description') or ''} {answer.get('error') or ''}"
    return next((failure for pattern, failure in _REFUSALS if re.search(pattern, told, re.IGNORECASE)), None)
