"""What can be set about the S/4HANA stand-in, how it refuses, and whom it lets in."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Self

from crmsync.lab.sandbox.kernel.http import Refusal, Request, Response, answer, html
from crmsync.lab.sandbox.kernel.ledger import Clock

# What can be set about the S/4HANA stand-in.


@dataclass
class SapProfile:
    """`create_response` is "full" or "bare" (computed values still null in the answer to a create).

    `padded_materials` shows numeric material numbers with the leading zeros they are stored with; else they are
    trimmed, as the conversion exit of most systems does; `padded_customers` does the same for business partners and
    customers. `expanded_page_size` is how many entities an expanded link shows before it goes on by `__next` (0: all).
    `lag_seconds` is how long a fresh document stays off the lists; at its own address it is there at once.
    `client` is the only one that its host serves: a call that names another is not signed in.
    `missing_services` are those that no communication arrangement of the user has.
    """

    client: str = "100"
    user: str = "CRMSYNC_API"
    password: str = "sandbox-sap-secret"
    sales_organization: str = "1010"
    distribution_channel: str = "10"
    division: str = "00"
    order_type: str = "OR"
    plant: str = "1010"
    create_response: str = "full"
    own_customer_numbers: bool = False
    page_size: int = 1000
    padded_materials: bool = False
    padded_customers: bool = False
    expanded_page_size: int = 0
    lag_seconds: float = 0.0
    missing_services: tuple[str, ...] = ()
    warn_materials: tuple[str, ...] = ("SENSOR-OLD",)

    def of_another(self, number: int) -> Self:
        """The same for the system of another company: with a client and credentials of its own."""
        return replace(
            self,
            client=f"{number * 100 % 1000 + number // 10:03d}",
            user=f"{self.user}_{number}",
            password=f"{self.password}-{number}",
        )


# Refusals in the shape of an SAP Gateway error.


GENERIC = "/IWBEP/CX_SD_GEN_DPC_BUSINS"


class ODataError(Refusal):
    """A request that Gateway or the application behind it refuses."""

    def __init__(self, message: str, code: str = "/IWBEP/CM_MGW_RT/022", status: int = 400, target: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.status, self.target = message, code, status, target


def not_found(message: str = "Resource not found") -> ODataError:
    return ODataError(message, "/IWBEP/CM_MGW_RT/020", 404)


def error_response(error: ODataError, service: str, transaction: str) -> Response:
    """The JSON error body; like the vendor's, the last detail is a generic entry of no use."""
    first = {"code": error.code, "message": error.message, "propertyref": "", "severity": "error"}
    generic = {"code": GENERIC, "message": "An exception was raised", "severity": "error", "target": ""}
    inner = {
        "application": {
            "component_id": "",
            "service_namespace": "/SAP/",
            "service_id": service,
            "service_version": "0001",
        },
        "transactionid": transaction,
        "timestamp": datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f0"),
        "errordetails": [{**first, "target": error.target}, generic],
    }
    message = {"lang": "en", "value": error.message}
    body = {"error": {"code": error.code, "message": message, "innererror": inner}}
    return answer(body, error.status, dataserviceversion="1.0")


# Sign-in: Basic or bearer, and the CSRF token that lives and dies with its session's cookies.


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
