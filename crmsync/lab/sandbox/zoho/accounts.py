"""The accounts server: access tokens from a refresh token, ten in ten minutes; a refresh token from a code, once.

Source: shared fact sheet, section 2. Errors come with status 200; the refusal of an eleventh token with 400.
"""

from collections import deque
from collections.abc import Callable

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.http import Request, Response, answer
from crmsync.lab.sandbox.zoho.errors import ZohoError
from crmsync.lab.sandbox.zoho.profile import ZohoProfile

TOKEN_SECONDS, WINDOW_SECONDS, LIVE_TOKENS = 3600, 600, 30
VERBS = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "DELETE": "DELETE"}
SETTINGS = ("items", "itemdetails", "organizations", "settings")  # are under the scope `settings`
BY_CODE = "authorization_code"
TOO_MANY = {
    "error": "Access Denied",
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "status": "failure",
}


class Accounts:
    """Gives out access tokens and knows which are alive."""

    def __init__(self, clock: Clock, profile: ZohoProfile, make_token: Callable[[int], str]) -> None:
        self._clock = clock
        self._profile = profile
        self._make_token = make_token
        self._given: deque[float] = deque()
        self._used_codes: set[str] = set()
        self._live: dict[str, tuple[float, tuple[str, ...]]] = {}  # until when, for what

    def grant(self, request: Request, api_domain: str) -> Response:
        fields = {**request.query, **(request.form if request.body else {})}
        problem = self._problem(fields)
        if problem:
            return answer({"error": problem})
        if self._is_throttled():
            return answer(TOO_MANY, 400)
        token = f"1000.{self._make_token(32)}.{self._make_token(32)}"
        self._live[token] = self._clock.seconds() + TOKEN_SECONDS, tuple(self._profile.scopes)
        while len(self._live) > LIVE_TOKENS:
            del self._live[next(iter(self._live))]
        body = {"access_token": token, "api_domain": self._profile.api_domain or api_domain, "token_type": "Bearer"}
        if fields["grant_type"] == BY_CODE:
            self._used_codes.add(fields["code"])
            body |= {"refresh_token": self._profile.refresh_token}
        return answer({**body, "expires_in": TOKEN_SECONDS, "scope": " ".join(self._profile.scopes)})

    def _problem(self, fields: dict[str, str]) -> str | None:
        if fields.get("grant_type") not in (BY_CODE, "refresh_token"):
            return "unsupported_grant_type"
        if fields.get("client_id") != self._profile.client_id:
            return "invalid_client"
        if fields.get("client_secret") != self._profile.client_secret:
            return "invalid_client_secret"
        if fields["grant_type"] == BY_CODE:  # it works once
            is_good = fields.get("code") == self._profile.grant_code and fields["code"] not in self._used_codes
        else:
            is_good = fields.get("refresh_token") == self._profile.refresh_token
        return None if is_good else "invalid_code"

    def _is_throttled(self) -> bool:
        now = self._clock.seconds()
        while self._given and self._given[0] <= now - WINDOW_SECONDS:
            self._given.popleft()
        if len(self._given) >= self._profile.tokens_per_window:
            return True
        self._given.append(now)
        return False

    def check(self, request: Request) -> None:
        """Raises ZohoError: 14 for a header that is no token, or a token of another data centre; 57 for a dead one.

        The same 57 is for a token that lacks the scope.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Zoho-oauthtoken" or not token.startswith("1000.") or self._profile.api_domain:
            raise ZohoError(14, "Invalid value passed for authtoken", 401)
        ends_at, scopes = self._live.get(token, (0.0, ()))
        if ends_at <= self._clock.seconds() or not _allows(scopes, request):
            raise ZohoError(57, "You are not authorized to perform this operation", 401)

    def expire(self) -> None:
        self._live.clear()

    def reset(self) -> None:
        self._live.clear()
        self._given.clear()
        self._used_codes.clear()


def _allows(scopes: tuple[str, ...], request: Request) -> bool:
    """Whether one of the scopes is for this resource and verb."""
    resource = request.path.split("/")[3]
    area = "settings" if resource in SETTINGS else resource
    wanted = {f"ZohoBooks.{area}.{verb}".lower() for verb in (VERBS.get(request.method, ""), "ALL")}
    return bool({"zohobooks.fullaccess.all", *wanted} & {scope.lower() for scope in scopes})
