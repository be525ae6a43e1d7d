"""Signing in at Salesforce: keys, sessions, and the addresses of an org that has moved."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from crmsync.lab.sandbox.kernel import consent
from crmsync.lab.sandbox.kernel.http import ConnectionDropped, Request, Response, answer, html
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.salesforce.values import SalesforceError

# The RSA key pair with which crmsync signs in at the stand-in of Salesforce.


@dataclass(frozen=True)
class Key:
    """A private key as PEM text, and the public key that checks its signatures."""

    private_pem: str
    public: Any


def make_key() -> Key:
    """A fresh key of 2048 bits."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Key(pem.decode(), private.public_key())


# What can be set about the Salesforce stand-in.


@dataclass
class SalesforceProfile:
    """`custom_fields` adds fields to objects in the notation of `schema`, e.g. {"Account": "VAT_Number__c:s20"}.

    `lag_seconds` is how long a change stays off the queries that look for changes: its stamp is older than its commit.
    `audiences` are those for which an assertion may be meant; "org" stands for the org's own addresses.
    """

    pod: str = "Sb"  # two characters in every record id, by which orgs differ
    client_id: str = "3MVG9sandboxConsumerKey"
    client_secret: str = "sandboxConsumerSecret"
    callback_url: str = ""  # of the app; "": whatever is asked for
    username: str = "integration@crmsync.example.com"
    webhook_secret: str = "sandboxSalesforceSecret1"
    currency: str = "USD"
    multi_currency: bool = False
    daily_calls: int = 100_000
    page_size: int = 2000
    lag_seconds: float = 0.0
    audiences: tuple[str, ...] = ("https://login.salesforce.com", "https://test.salesforce.com", "org")
    custom_fields: dict[str, str] = field(default_factory=dict)

    def of_another(self, number: int) -> Self:
        """The same for the org of another company: with ids, credentials and secrets of its own."""
        return replace(
            self,
            pod=f"S{number:x}"[-2:].rjust(2, "S"),
            client_id=f"{self.client_id}{number}",
            client_secret=f"{self.client_secret}{number}",
            username=f"integration{number}@crmsync.example.com",
            webhook_secret=f"sandboxSalesforceSecretOf{number}",
            custom_fields=dict(self.custom_fields),
        )


# An org that has moved: what its old addresses answer, and how the new one is told.
#
# The token endpoint answers at every address, as the vendor's login hosts do, and names the newest.


NOT_RESET = "Destination URL not reset. The URL returned from login must be set"


def _session(request: Request, url: str) -> Response:
    return SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", 401).response()


def _redirected(status: int) -> Callable[[Request, str], Response]:
    return lambda request, url: Response(status, b"", {"Location": url + request.target})


def _not_reset(status: int) -> Callable[[Request, str], Response]:
    return lambda request, url: SalesforceError("URL_NOT_RESET", NOT_RESET, status).response()


def _page(request: Request, url: str) -> Response:
    return html(404, "Page not found")


def _gone(request: Request, url: str) -> Response:
    raise ConnectionDropped


# What an address answers from which the org has moved away, by name
OLD_ADDRESSES: dict[str, Callable[[Request, str], Response]] = {
    "expired": _session,
    "moved": _redirected(301),
    "found": _redirected(302),
    "temporary": _redirected(307),
    "permanent": _redirected(308),
    "not-reset": _not_reset(404),
    "not-reset-400": _not_reset(400),
    "page": _page,
    "gone": _gone,
}


# The token endpoint: OAuth 2.0 JWT bearer.
#
# Source: shared fact sheet, section 2. The answer has five keys and no lifetime; a session ends after two idle hours.


CODE_SECONDS = 900  # of an authorization code: the web server flow's
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
BY_CODE, BY_REFRESH = "authorization_code", "refresh_token"
_OF_CODE = {
    "code": ("invalid_grant", "invalid authorization code"),
    "expired": ("invalid_grant", "expired authorization code"),
    "client": ("invalid_grant", "invalid authorization code"),
    "redirect": ("redirect_uri_mismatch", "redirect_uri must match configuration"),
    "verifier": ("invalid_grant", "invalid code verifier"),
}
LONGEST_SECONDS = 300
IDLE_SECONDS = 7200


class Oauth:
    """Checks assertions and keeps the sessions."""

    def __init__(
        self, clock: Clock, profile: SalesforceProfile, public_key: Any, make_token: Callable[[int], str]
    ) -> None:
        self._clock = clock
        self._profile = profile
        self._public_key = public_key
        self._make_token = make_token
        self._sessions: dict[str, float] = {}
        self.codes = consent.Codes(clock, make_token, seconds=CODE_SECONDS)
        self._refresh_tokens: set[str] = set()

    def authorize(self, request: Request) -> Response:
        """The consent page. What is wrong with the app is told here: the browser is sent back to no stranger."""
        asked = request.query
        problem = self._problem_of_app(asked)
        if problem:
            return html(400, f"error={problem[0]}&amp;error_description={problem[1]}")
        wanted = asked.get("scope", "api")
        if "decision" not in asked:
            return consent.page(request, title="Salesforce: Allow Access?", wants=wanted)
        state = {"state": asked["state"]} if "state" in asked else {}
        if asked["decision"] != "Allow":
            refused = {"error": "access_denied", "error_description": "end-user denied authorization"}
            return consent.back(asked["redirect_uri"], {**refused, **state})
        return consent.back(asked["redirect_uri"], {"code": self.codes.give(asked), **state})

    def _problem_of_app(self, asked: dict[str, str]) -> tuple[str, str] | None:
        if asked.get("client_id") != self._profile.client_id:
            return "invalid_client_id", "client identifier invalid"
        if not asked.get("redirect_uri") or self._profile.callback_url not in ("", asked["redirect_uri"]):
            return "redirect_uri_mismatch", "redirect_uri must match configuration"
        if asked.get("response_type") != "code":
            return "unsupported_response_type", "response type not supported"
        if asked.get("code_challenge_method", "S256") != "S256":
            return "invalid_request", "invalid code challenge method"
        if not asked.get("code_challenge"):
            return "invalid_request", "missing required code challenge"
        return None

    def grant(self, request: Request, base: str, login: str, organization: str, user: str) -> Response:
        """Answer a token request, with an error object and status 400 where it is not in order.

        *base* is the org's address, *login* the one at which clients sign in; an assertion may be meant for either.
        """
        if request.content_type != "application/x-www-form-urlencoded":
            return _error("invalid_request", "content type must be application/x-www-form-urlencoded")
        ways = {GRANT: self._problem_of_assertion, BY_CODE: self._problem_of_code, BY_REFRESH: self._problem_of_refresh}
        way = ways.get(request.form.get("grant_type", ""))
        if way is None:
            return _error("unsupported_grant_type", "grant type not supported")
        problem = way(request.form, (base, login))
        if problem:
            return _error(*problem)
        token = f"{organization[:15]}!AQ{self._make_token(60)}"
        self._sessions[token] = self._clock.seconds()
        identity = f"{base}/id/{organization}/{user}"
        body = {"access_token": token, "scope": "api", "instance_url": base, "id": identity, "token_type": "Bearer"}
        return answer({**body, **self._refreshable(request.form)})

    def _refreshable(self, form: dict[str, str]) -> dict[str, str]:
        """A refresh token comes with a code alone; its answer has a stamp and a signature beside the five keys."""
        if form["grant_type"] != BY_CODE:
            return {}
        made = f"5Aep{self._make_token(60)}"
        self._refresh_tokens.add(made)
        return {"refresh_token": made, "issued_at": str(int(self._clock.seconds() * 1000)), "signature": "c2lnbmF0dXJl"}

    def _problem_of_client(self, form: dict[str, str]) -> tuple[str, str] | None:
        if form.get("client_id") != self._profile.client_id:
            return "invalid_client_id", "client identifier invalid"
        if form.get("client_secret") != self._profile.client_secret:
            return "invalid_client", "invalid client credentials"
        return None

    def _problem_of_code(self, form: dict[str, str], _: tuple[str, ...]) -> tuple[str, str] | None:
        return self._problem_of_client(form) or _OF_CODE.get(self.codes.problem(form))

    def _problem_of_refresh(self, form: dict[str, str], _: tuple[str, ...]) -> tuple[str, str] | None:
        if form.get("refresh_token") not in self._refresh_tokens:
            return self._problem_of_client(form) or ("invalid_grant", "expired access/refresh token")
        return self._problem_of_client(form)

    def revoke(self) -> None:
        """Every consent is taken back."""
        self._refresh_tokens.clear()
        self._sessions.clear()

    def _problem_of_assertion(self, form: dict[str, str], addresses: tuple[str, ...]) -> tuple[str, str] | None:
        import jwt

        assertion = form.get("assertion", "")
        try:
            options: Any = {"require": ["iss", "sub", "aud", "exp"], "verify_exp": False, "verify_iat": False}
            audiences = [*self._profile.audiences, *(addresses if "org" in self._profile.audiences else ())]
            claims = jwt.decode(assertion, self._public_key, ["RS256"], audience=audiences, options=options)
        except jwt.InvalidAudienceError:
            return "invalid_grant", "audience is invalid"
        except jwt.PyJWTError:
            return "invalid_grant", "invalid assertion"
        return self._problem_with(claims)

    def _problem_with(self, claims: dict[str, Any]) -> tuple[str, str] | None:
        left = _instant(claims["exp"]) - time.time()  # the caller's clock is the real one, however far a test is ahead
        if not left > 0:  # what is not a number is neither
            return "invalid_grant", "assertion expired"
        if left > LONGEST_SECONDS:
            return "invalid_grant", "invalid assertion"
        if claims["iss"] != self._profile.client_id:
            return "invalid_client_id", "client identifier invalid"
        if claims["sub"] != self._profile.username:
            return "invalid_grant", "user hasn't approved this consumer"
        return None

    def is_open(self, request: Request) -> bool:
        """Whether the request belongs to a session; using one keeps it open."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        now = self._clock.seconds()
        if now - self._sessions.get(token, 0) > IDLE_SECONDS:
            return False
        self._sessions[token] = now
        return True

    def expire(self) -> None:
        self._sessions.clear()


def _instant(value: Any) -> float:
    """Seconds since the epoch, as a number or as its digits, which simple-salesforce sends; else long ago."""
    if isinstance(value, str) and value.isdigit():
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _error(error: str, description: str) -> Response:
    return answer({"error": error, "error_description": description}, 400)
