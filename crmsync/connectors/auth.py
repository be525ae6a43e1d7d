"""The three OAuth 2 grants that vendors use here, and tokens shared by all processes.

A token lives in the store and is renewed by one process at a time; every process keeps a copy for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import jwt
import requests
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error, TokenExpiredError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from crmsync import errors
from crmsync.connectors.http import Renewal, new_session
from crmsync.connectors.wire import CONNECT_SECONDS
from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.settings import Secret

# oauthlib refuses http:// unless this is set. settings.py has refused it already for all but this machine itself,
# where the sandbox and the tests live.
os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")

EARLY_SECONDS = 300.0  # renew this long before a token ends, or after three quarters of a short life
TOKEN_CALL_SECONDS = 15.0
JWT_LIFETIME_SECONDS = 180  # Salesforce documents three minutes
_COPY_SECONDS = 30.0  # how long a process trusts its copy before it looks into the store again


Fetch = Callable[[], AccessToken]


class TokenStore(Protocol):
    """Where tokens live: see store/vault.py."""

    def read(self, connection: str) -> AccessToken | None: ...

    def renew(self, connection: str, *, stale: str | None, fetch: Fetch, limit: RenewalLimit | None) -> AccessToken:
        """A token other than *stale*: another process's if there is one, else what *fetch* brings.

        Raises: NotNowError while another process renews it; RateLimitedError above *limit*.
        """


class SharedToken:
    """The authorizer of a vendor whose token is shared; *scheme* is the word before it in the header."""

    def __init__(
        self,
        connection: str,
        *,
        store: TokenStore,
        fetch: Fetch,
        scheme: str = "Bearer",
        limit: RenewalLimit | None = None,
    ) -> None:
        self._connection = connection
        self._store = store
        self._fetch = fetch
        self._scheme = scheme
        self._limit = limit
        self._copy: AccessToken | None = None
        self._copied_at = 0.0
        self._lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"{self._scheme} {self.token().value}"}

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        value = stale.get("Authorization", "").partition(" ")[2]
        fetched: list[AccessToken] = []

        def fetch() -> AccessToken:
            fetched.append(self._fetch())
            return fetched[0]

        with self._lock:
            self._keep(self._store.renew(self._connection, stale=value or None, fetch=fetch, limit=self._limit))
        return Renewal.FETCHED if fetched else Renewal.ADOPTED

    def token(self) -> AccessToken:
        copy = self._copy
        if copy and _is_fresh(copy) and time.monotonic() - self._copied_at < _COPY_SECONDS:
            return copy
        with self._lock:
            return self._look_up()

    def _look_up(self) -> AccessToken:
        token = self._store.read(self._connection)
        if token is None or not _is_fresh(token):
            stale = token.value if token else None
            token = self._store.renew(self._connection, stale=stale, fetch=self._fetch, limit=self._limit)
        return self._keep(token)

    def _keep(self, token: AccessToken) -> AccessToken:
        self._copy, self._copied_at = token, time.monotonic()
        return token


def _is_fresh(token: AccessToken) -> bool:
    return token.expires_at > datetime.now(UTC)


class BasicAuth:
    """The authorizer of a vendor that takes a user and a password with every call."""

    def __init__(self, user: str, password: Secret) -> None:
        request = requests.Request("GET", "http://unused").prepare()
        HTTPBasicAuth(user.encode(), password.reveal().encode())(request)
        self._headers = {"Authorization": request.headers["Authorization"]}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        return Renewal.NOTHING


def jwt_bearer(
    system: str, *, token_url: str, client_id: str, username: str, audience: str, private_key: Secret, seconds: int
) -> AccessToken:
    """OAuth 2.0 JWT bearer (RFC 7523). *seconds* is the assumed lifetime: the answer does not say one.

    Raises: ConfigurationError for a key that is none; AuthenticationError, VendorUnavailableError.
    """
    claims = {"iss": client_id, "sub": username, "aud": audience, "exp": int(time.time()) + JWT_LIFETIME_SECONDS}
    try:
        assertion = jwt.encode(claims, private_key.reveal(), algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise errors.ConfigurationError(f"The private key of {system} can't sign (RSA in PEM is needed).") from error
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    with new_session() as session:
        answer = _token_call(system, lambda: _check_status(session.post(token_url, data=form, timeout=_timeout())))
    return access_token(system, _json(answer), seconds)


def client_credentials(
    system: str, *, token_url: str, client_id: str, client_secret: Secret, seconds: int
) -> AccessToken:
    """OAuth 2.0 client credentials, the client authenticating by HTTP Basic."""
    with OAuth2Session(client=BackendApplicationClient(client_id=client_id)) as session:
        session.register_compliance_hook("access_token_response", _check_status)
        answer = _token_call(
            system,
            lambda: session.fetch_token(
                token_url, auth=HTTPBasicAuth(client_id, client_secret.reveal()), timeout=_timeout()
            ),
        )
    return access_token(system, answer, seconds)


def refresh_token(
    system: str, *, token_url: str, client_id: str, client_secret: Secret, refresh: Secret, seconds: int
) -> AccessToken:
    """OAuth 2.0 refresh token. Errors under HTTP 200 (Zoho) count as errors."""
    form = {"client_id": client_id, "client_secret": client_secret.reveal()}
    with OAuth2Session(client_id=client_id) as session:
        session.register_compliance_hook("refresh_token_response", _check_status)
        answer = _token_call(
            system,
            lambda: session.refresh_token(token_url, refresh_token=refresh.reveal(), timeout=_timeout(), **form),
        )
    return access_token(system, answer, seconds)


def access_token(system: str, answer: Any, seconds: int) -> AccessToken:
    """Read a token answer. Success is the key `access_token`, whatever the status.

    Raises: AuthenticationError with the vendor's error word; RateLimitedError where it refuses more tokens.
    """
    if not isinstance(answer, Mapping) or not answer.get("access_token"):
        raise token_refused(system, answer if isinstance(answer, Mapping) else {})
    lifetime = float(answer.get("expires_in") or seconds)
    lifetime -= min(EARLY_SECONDS, lifetime / 4)
    return AccessToken(
        value=str(answer["access_token"]),
        expires_at=datetime.now(UTC) + timedelta(seconds=lifetime),
        instance_url=str(answer.get("instance_url") or "").rstrip("/"),
        account=str(answer.get("id") or ""),
    )


def token_refused(system: str, answer: Mapping[str, Any]) -> errors.CrmsyncError:
    """The error for a token answer without a token.

    Zoho answers "Access Denied" with HTTP 400 or 200 when more than ten tokens were asked for in ten minutes.
    """
    word = str(answer.get("error", ""))[:60]
    if word.lower() == "access denied":
        return errors.RateLimitedError(
            f"{system} gives no more tokens for now.",
            retry_after_seconds=600,
            system=system,
            operation="token",
            code=word,
        )
    return errors.AuthenticationError(
        f"{system} refused to sign in.",
        system=system,
        operation="token",
        code=word or "no token",
        advice="Check the credentials, then run `crmsync doctor`.",
    )


def _timeout() -> tuple[float, float]:
    return CONNECT_SECONDS, TOKEN_CALL_SECONDS


def _token_call(system: str, send: Callable[[], Any]) -> Any:
    try:
        return send()
    except requests.RequestException as error:
        raise errors.VendorUnavailableError(
            f"{system} does not answer the sign-in.", system=system, operation="token", is_definite=True
        ) from error
    except TokenExpiredError as error:
        raise token_refused(system, {"error": "expired"}) from error
    except OAuth2Error as error:
        raise token_refused(system, {"error": error.error or ""}) from error


def _check_status(response: requests.Response) -> requests.Response:
    """An internal error of the vendor is not a refusal: try again later."""
    if response.status_code >= 500 or response.status_code == 429:
        response.raise_for_status()
    return response


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return {}
