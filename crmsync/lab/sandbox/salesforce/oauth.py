"""The token endpoint: OAuth 2.0 JWT bearer.

Source: shared fact sheet, section 2. The answer has five keys and no lifetime; a session ends after two idle hours.
"""

import time
from collections.abc import Callable
from typing import Any

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.http import Request, Response, answer
from crmsync.lab.sandbox.salesforce.profile import SalesforceProfile

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
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

    def grant(self, request: Request, base: str, login: str, organization: str, user: str) -> Response:
        """Answer a token request, with an error object and status 400 where it is not in order.

        *base* is the org's address, *login* the one at which clients sign in; an assertion may be meant for either.
        """
        if request.content_type != "application/x-www-form-urlencoded":
            return _error("invalid_request", "content type must be application/x-www-form-urlencoded")
        if request.form.get("grant_type") != GRANT:
            return _error("unsupported_grant_type", "grant type not supported")
        problem = self._problem(request.form.get("assertion", ""), (base, login))
        if problem:
            return _error(*problem)
        token = f"{organization[:15]}!AQ{self._make_token(60)}"
        self._sessions[token] = self._clock.seconds()
        identity = f"{base}/id/{organization}/{user}"
        body = {"access_token": token, "scope": "api", "instance_url": base, "id": identity, "token_type": "Bearer"}
        return answer(body)

    def _problem(self, assertion: str, addresses: tuple[str, ...]) -> tuple[str, str] | None:
        import jwt

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
