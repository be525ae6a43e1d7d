"""The four OAuth 2 grants that vendors use here, and what the answers of their token endpoints mean."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import requests
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from crmsync import errors
from crmsync.connectors.consent import Grant
from crmsync.connectors.way_out.answers import Failure, Reply, encode, foreign_answer, reply_of, retry_after_seconds
from crmsync.connectors.way_out.lease import seconds_of_sign_in
from crmsync.connectors.way_out.transport import Session, exchange, new_session
from crmsync.domain.tokens import AccessToken
from crmsync.settings import Secret

EARLY_SECONDS = 300.0  # renew this long before a token ends, or after three quarters of a short life
TOKEN_CALL_SECONDS = 15.0
JWT_LIFETIME_SECONDS = 180  # Salesforce documents three minutes
LONGEST_LIFE_SECONDS = 366 * 86_400.0
RATE_WAIT_SECONDS, ACCESS_DENIED_WAIT_SECONDS = 60.0, 600.0  # where the answer does not ask for one

NO_CONSENT = "no_consent"  # the code where there is nothing to sign in with yet
TOKEN = "token"  # noqa: S105 - the name of the operation

Explain = Callable[[Mapping[str, Any]], "Failure | None"]
"""What a vendor's words for refused credentials mean; None: nothing more exact is known."""

# What a client, a user or their secret is called wrong by. Every other word may be a passing fault in permanent dress.
# `unauthorized` is what the service of SAP's BTP says (cloudfoundry/uaa), and `…app_not_found` what Salesforce does.
_CREDENTIALS = re.compile(
    r"(invalid|inactive|unauthorized|unsupported|redirect_uri|expired)_\w+|access_denied|unauthorized"
    r"|.*(blocked|app_not_found|not_admin_approved)|(consent|login|interaction)_required"
)
_PASSING = re.compile(r"(unknown|server|general|internal)_error|temporarily_unavailable|slow_down")
_RATE = re.compile(
    r"rate.{0,9}(exceeded|limit)|too many|(limit|quota) (is |was |has been )?exceeded|throttl", re.IGNORECASE
)
_AGAIN = re.compile(r"retry your request|try again (later|after|in)|temporarily", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][\w .-]{0,59}")
_CONSENT = "Let somebody who may consent do so: `crmsync connections authorize ID`."
_SIGN_IN_AGAIN = "Check the credentials, then run `crmsync doctor`."


class _TokenSession(Session, OAuth2Session):  # type: ignore[misc]  # it ships no types
    """Sessions of requests-oauthlib, as careful as all others."""


def _token_session(*, is_outside: bool, **options: Any) -> _TokenSession:
    session = _TokenSession(**options)
    if is_outside:
        session.stay_outside()
    return session


def jwt_bearer(
    system: str,
    *,
    token_url: str,
    client_id: str,
    username: str,
    audience: str,
    private_key: Secret,
    seconds: int,
    explain: Explain | None = None,
    is_outside: bool = False,
) -> AccessToken:
    """OAuth 2.0 JWT bearer (RFC 7523). *seconds* is the assumed lifetime: the answer does not say one.

    Raises: ConfigurationError for a key that is none; and as _Answers.
    """
    claims = {"iss": client_id, "sub": username, "aud": audience, "exp": int(time.time()) + JWT_LIFETIME_SECONDS}
    try:
        assertion = jwt.encode(claims, private_key.reveal(), algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise errors.ConfigurationError(f"The private key of {system} can't sign (RSA in PEM is needed).") from error
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answers = _Answers(system, seconds, explain)
    with new_session(is_outside=is_outside) as session, _signing_in(system):
        answers.read(session.post(token_url, data=form))
    return answers.tokens[0]


def client_credentials(
    system: str, *, token_url: str, client_id: str, client_secret: Secret, seconds: int, is_outside: bool = False
) -> AccessToken:
    """OAuth 2.0 client credentials, the client authenticating by HTTP Basic."""
    answers = _Answers(system, seconds)
    client = BackendApplicationClient(client_id=client_id)
    with _token_session(is_outside=is_outside, client=client) as session, _signing_in(system):
        session.register_compliance_hook("access_token_response", answers.read)
        session.fetch_token(token_url, auth=HTTPBasicAuth(client_id, client_secret.reveal()))
    return answers.tokens[0]


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where an app of a system gets its tokens, each good for *seconds*; an app may have no secret."""

    system: str
    url: str
    client_id: str
    client_secret: Secret
    seconds: int
    explain: Explain | None = None
    is_outside: bool = False

    @property
    def form(self) -> dict[str, str]:
        """The fields that say which app asks."""
        secret = self.client_secret.reveal()
        return {"client_id": self.client_id, **({"client_secret": secret} if secret else {})}


def refresh_token(at: TokenEndpoint, refresh: Secret) -> AccessToken:
    """OAuth 2.0 refresh token. Errors under HTTP 200 (Zoho) count as errors.

    Raises: AuthenticationError with code NO_CONSENT where there is no refresh token yet; and as _Answers.
    """
    if not refresh.reveal():
        what = f"Nobody has let crmsync into {at.system} yet."
        raise errors.AuthenticationError(what, system=at.system, operation=TOKEN, code=NO_CONSENT, advice=_CONSENT)
    answers = _Answers(at.system, at.seconds, at.explain)
    with _token_session(is_outside=at.is_outside, client_id=at.client_id) as session, _signing_in(at.system):
        session.register_compliance_hook("refresh_token_response", answers.read)
        session.refresh_token(at.url, refresh_token=refresh.reveal(), **at.form)
    return answers.tokens[0]


def authorization_code(at: TokenEndpoint, grant: Grant) -> tuple[AccessToken, Secret]:
    """OAuth 2.0 authorization code (RFC 6749, 7636): an access token, and the refresh token that is to be kept.

    Raises: as _Answers; AuthenticationError where the answer has no refresh token.
    """
    form = {
        "grant_type": "authorization_code",
        "code": grant.code.reveal(),
        "redirect_uri": grant.redirect_uri,
        **at.form,
        **({"code_verifier": grant.verifier.reveal()} if grant.verifier is not None else {}),
    }
    answers = _Answers(at.system, at.seconds, at.explain)
    with new_session(is_outside=at.is_outside) as session, _signing_in(at.system):
        answers.read(session.post(at.url, data=form))
    if not answers.refresh_tokens:
        what = f"{at.system} has given a token that ends soon, and none to renew it with."
        advice = "Let the app ask for offline access (refresh tokens), then consent once more."
        raise errors.AuthenticationError(what, system=at.system, operation=TOKEN, advice=advice)
    return answers.tokens[0], answers.refresh_tokens[0]


@contextmanager
def _signing_in(system: str) -> Iterator[None]:
    """One call to a token endpoint. Whatever becomes of it: the call that needed the token was not sent."""
    try:
        with exchange(system, TOKEN, seconds=seconds_of_sign_in(system, TOKEN_CALL_SECONDS)):
            yield
    except (OAuth2Error, errors.UnexpectedAnswerError) as error:
        what = f"What answered the sign-in of {system} is not a token endpoint."
        raise errors.VendorUnavailableError(what, system=system, operation=TOKEN, is_definite=True) from error
    except errors.CrmsyncError as error:
        error.is_definite = True
        raise


@dataclass(frozen=True, slots=True)
class _Answers:
    """Reads the answer of a token endpoint before any library does, which then sees the token and nothing else.

    Raises: AuthenticationError for credentials that are wrong; RateLimitedError and VendorUnavailableError, with the
    wait that was asked for.
    """

    system: str
    seconds: float  # the lifetime that is assumed where the answer does not say one
    explain: Explain | None = None
    tokens: list[AccessToken] = field(default_factory=list)
    refresh_tokens: list[Secret] = field(default_factory=list)

    def read(self, response: requests.Response) -> requests.Response:
        reply = reply_of(response, response.content)
        token = access_token(reply.body, self.seconds)
        if token is None:
            raise token_refused(self.system, reply, self.explain)
        self.tokens.append(token)
        refresh = _text(reply.body, "refresh_token")
        if re.fullmatch(r"[!-~]+", refresh):
            self.refresh_tokens.append(Secret(refresh))
        # Of the rest a library may fail at anything: a life that is no number, a scope of another form, `error: null`.
        response._content = encode({"access_token": token.value, "token_type": "Bearer"})
        response.encoding = "utf-8"
        return response


def access_token(answer: Any, seconds: float) -> AccessToken | None:
    """The token of an answer that has one, whatever its status."""
    value = answer.get("access_token") if isinstance(answer, Mapping) else None
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):  # it goes into a header
        return None
    lifetime = _lifetime(answer.get("expires_in"), seconds)
    lifetime -= min(EARLY_SECONDS, lifetime / 4)
    return AccessToken(
        value=value,
        expires_at=datetime.now(UTC) + timedelta(seconds=lifetime),
        instance_url=str(answer.get("instance_url") or answer.get("api_domain") or "").rstrip("/"),
        account=str(answer.get("id") or ""),
    )


def _lifetime(told: Any, assumed: float) -> float:
    """
    >>> [_lifetime(told, 60.0) for told in (3600, "3600", None, "soon", -1, "inf")]
    [3600.0, 3600.0, 60.0, 60.0, 60.0, 60.0]
    """
    try:
        seconds = float(told)
    except (TypeError, ValueError, OverflowError):
        return assumed
    return min(seconds, LONGEST_LIFE_SECONDS) if math.isfinite(seconds) and seconds > 0 else assumed


def token_refused(system: str, reply: Reply, explain: Explain | None = None) -> errors.CrmsyncError:
    """The error for a token answer without a token.

    Zoho answers "Access Denied" with HTTP 400 or 200 when more than ten tokens were asked for in ten minutes.
    """
    answer = reply.body if isinstance(reply.body, Mapping) else {}
    word, wait = _text(answer, "error"), retry_after_seconds(reply.headers)
    common: dict[str, Any] = {"system": system, "operation": TOKEN, "code": _code(word, reply.status)}
    if is_rate(reply.status, answer):
        usual = ACCESS_DENIED_WAIT_SECONDS if word.lower() == "access denied" else RATE_WAIT_SECONDS
        message = f"{system} issues no more tokens for now."
        return errors.RateLimitedError(message, retry_after_seconds=usual if wait is None else wait, **common)
    failure = (explain and explain(answer)) or Failure()
    is_passing = _AGAIN.search(_text(answer, "error_description"))
    if not is_passing and (are_wrong_credentials(reply.status, word) or (failure.error and not word)):
        message, advice = failure.message or f"{system} refused to sign in.", failure.advice or _SIGN_IN_AGAIN
        return (failure.error or errors.AuthenticationError)(message, advice=advice, **common)
    if not answer and reply.status < 500:
        return foreign_answer(system, TOKEN, reply)
    return errors.VendorUnavailableError(f"{system} can't sign crmsync in for now.", retry_after_seconds=wait, **common)


def is_rate(status: int, answer: Mapping[str, Any]) -> bool:
    """
    >>> is_rate(400, {"error": "invalid_grant", "error_description": "login rate exceeded"}), is_rate(400, {})
    (True, False)
    """
    word, description = _text(answer, "error"), _text(answer, "error_description")
    return status == 429 or word.lower() == "access denied" or any(map(_RATE.search, (word, description)))


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def are_wrong_credentials(status: int, word: str) -> bool:
    """
    >>> [are_wrong_credentials(400, word) for word in ("invalid_client", "invalid_code", "unknown_error", "")]
    [True, True, False, False]
    >>> [are_wrong_credentials(401, word) for word in ("", "NotAuthenticated", "server_error")]
    [True, True, False]
    """
    if status >= 500:
        return False
    is_refused = status == 401 and not _PASSING.fullmatch(word.lower())
    return is_refused or bool(_CREDENTIALS.fullmatch(word.lower()))


def _code(word: str, status: int) -> str:
    return word if _WORD.fullmatch(word) else f"HTTP {status}"
