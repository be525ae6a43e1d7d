"""Sign-in: Basic or bearer, and the CSRF token that lives and dies with its session's cookies."""

import base64
import binascii
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.http import Request, Response, answer, html
from crmsync.lab.sandbox.sap.profile import SapProfile

TOKEN_SECONDS = 3600
SESSION_SECONDS = 1800


class Access:
    """Knows the communication user, the tokens given out, and the open sessions."""

    def __init__(self, clock: Clock, profile: SapProfile, make_token: Callable[[int], str]) -> None:
        self._clock = clock
        self._profile = profile
        self._make_token = make_token
        self._tokens: dict[str, float] = {}
        self._sessions: dict[str, tuple[str, float]] = {}

    def grant(self, request: Request) -> Response:
        """OAuth 2 client credentials: the user's name and password as client id and secret."""
        if request.content_type != "application/x-www-form-urlencoded":
            return answer({"error": "invalid_request"}, 400)
        if request.form.get("grant_type") != "client_credentials":
            return answer({"error": "unsupported_grant_type"}, 400)
        if not (self._is_basic(request) or self._in_form(request.form)):
            return answer({"error": "invalid_client", "error_description": "Authentication failed"}, 401)
        token = self._make_token(40)
        self._tokens[token] = self._clock.seconds() + TOKEN_SECONDS
        return answer({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    @property
    def _login(self) -> tuple[str, str]:
        return self._profile.user, self._profile.password

    @property
    def _cookie(self) -> str:
        return f"SAP_SESSIONID_SBX_{self._profile.client}"

    def _in_form(self, form: dict[str, str]) -> bool:
        return (form.get("client_id"), form.get("client_secret")) == self._login

    def _is_basic(self, request: Request) -> bool:
        scheme, _, coded = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme.lower() == "basic" and (user, password) == self._login

    def refuses(self, request: Request) -> Response | None:
        """The 401 page, unless the request carries valid credentials."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        client = request.query.get("sap-client") or request.headers.get("sap-client") or self._profile.client
        is_bearer = scheme.lower() == "bearer" and self._tokens.get(token, 0) > self._clock.seconds()
        if client == self._profile.client and (is_bearer or self._is_basic(request)):
            return None
        response = html(401, "401 Unauthorized: logon failed")
        realm = f"SAP NetWeaver Application Server [SBX/{self._profile.client}]"
        response.headers["WWW-Authenticate"] = f'Basic realm="{realm}"'
        return response

    def fetch_csrf(self, request: Request) -> dict[str, str]:
        """The headers that answer `x-csrf-token: Fetch`: the session's token, and cookies for a new session."""
        session = self._session(request)
        if session:
            return {"x-csrf-token": self._sessions[session][0]}
        session, token = self._make_token(32), self._make_token(24) + "=="
        self._sessions[session] = (token, self._clock.seconds() + SESSION_SECONDS)
        client = self._profile.client
        cookies = (
            f"{self._cookie}={session}; path=/; HttpOnly",
            f"sap-XSRF_SBX_{client}={token}; path=/; HttpOnly",
            f"sap-usercontext=sap-client={client}; path=/",
        )
        return {"x-csrf-token": token, "Set-Cookie": "\n".join(cookies)}

    def _session(self, request: Request) -> str | None:
        """The session of the request's cookies, if it is still open."""
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return None
        session = cookie.value if cookie else ""
        return session if self._sessions.get(session, ("", 0))[1] > self._clock.seconds() else None

    def has_csrf(self, request: Request) -> bool:
        """Whether a write carries the token of the session whose cookies it brings."""
        session = self._session(request)
        return session is not None and request.headers.get("x-csrf-token") == self._sessions[session][0]

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def expire_sessions(self) -> None:
        self._sessions.clear()
