"""The Zoho stand-in's HTTP face: accounts server and Books API on one port.

Source: shared fact sheet on Zoho Books.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from crmsync.lab.sandbox.kernel import consent
from crmsync.lab.sandbox.kernel.account import Account, Surroundings
from crmsync.lab.sandbox.kernel.faults import Details, Fault, no_token
from crmsync.lab.sandbox.kernel.http import BadJson, Handler, NotOffered, Request, Response, answer, html
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.zoho.fields import ZohoError, ZohoProfile
from crmsync.lab.sandbox.zoho.routes import ROUTES, Action, Organization

# Call limits: per minute, per day, and at once.
#
# Source: shared fact sheet, section 4.


MINUTE_TEXT = "You have been blocked for some time as you have exceeded the maximum number of requests per minute."
BUSY_TEXT = "Too many requests are already being processed for this organization. Please try again later."


class Limits:
    """Counts the calls of one organisation."""

    def __init__(self, clock: Clock, profile: ZohoProfile) -> None:
        self._clock = clock
        self._profile = profile
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._day, self._today, self._running = -1, 0, 0

    def enter(self) -> None:
        """Count a call in. Raises ZohoError 1070, 45 or 44; a refused call is not counted."""
        now = self._clock.seconds()
        with self._lock:
            self._forget(now)
            if self._running >= self._profile.concurrent:
                raise ZohoError(1070, BUSY_TEXT, 429)
            if self._today >= self._profile.per_day:
                message = f"You have exceeded the maximum call rate limit of {self._profile.per_day}."
                raise ZohoError(45, message, 429)
            if len(self._recent) >= self._profile.per_minute:
                raise ZohoError(44, MINUTE_TEXT, 429)
            self._recent.append(now)
            self._today += 1
            self._running += 1

    def leave(self) -> None:
        with self._lock:
            self._running -= 1

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if self._day != now // 86400:
            self._day, self._today = int(now // 86400), 0

    def headers(self) -> dict[str, str]:
        with self._lock:
            self._forget(self._clock.seconds())
            left = self._profile.per_day - self._today
        limit, reset = str(self._profile.per_day), str(int(86400 - self._clock.seconds() % 86400))
        return {"X-Rate-Limit-Limit": limit, "X-Rate-Limit-Remaining": str(left), "X-Rate-Limit-Reset": reset}

    def reset(self) -> None:
        with self._lock:
            self._recent.clear()
            self._today = 0


# The accounts server: access tokens from a refresh token, ten in ten minutes; a refresh token from a code, once.
#
# Source: shared fact sheet, section 2. Errors come with status 200; the refusal of an eleventh token with 400.


TOKEN_SECONDS, WINDOW_SECONDS, LIVE_TOKENS = 3600, 600, 30
CODE_SECONDS = 120  # of a code from the consent page
VERBS = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "DELETE": "DELETE"}
SETTINGS = ("items", "itemdetails", "organizations", "settings")  # are under the scope `settings`
SCOPE = re.compile(r"ZohoBooks\.[a-z]+\.(?:READ|CREATE|UPDATE|DELETE|ALL)", re.IGNORECASE)
BY_CODE = "authorization_code"
_OF_CODE = {
    **dict.fromkeys(("code", "expired", "client", "verifier"), "invalid_code"),
    "redirect": "invalid_redirect_uri",
}
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
        self.codes = consent.Codes(clock, make_token, seconds=CODE_SECONDS)
        self._refresh_tokens: set[str] = set()  # that consent has brought
        self._is_offline: set[str] = set()  # codes that bring a refresh token

    def authorize(self, request: Request, server: str) -> Response:
        """The consent page. What is wrong with the app is told here; where the browser goes, the server is named."""
        asked = request.query
        if asked.get("client_id") != self._profile.client_id:
            return html(400, "ERROR_invalid_client")
        if not asked.get("redirect_uri") or self._profile.callback_url not in ("", asked["redirect_uri"]):
            return html(400, "ERROR_invalid_redirect_uri")
        if asked.get("response_type") != "code":
            return html(400, "ERROR_invalid_response_type")
        if not all(SCOPE.fullmatch(scope) for scope in asked.get("scope", "").split(",")):
            return html(400, "ERROR_invalid_scope")
        if "decision" not in asked:
            return consent.page(request, title="Zoho: Accept?", wants=asked["scope"])
        state = {"state": asked["state"]} if "state" in asked else {}
        if asked["decision"] != "Allow":
            return consent.back(asked["redirect_uri"], {"error": "access_denied", **state})
        code = self.codes.give(asked)
        if asked.get("access_type") == "offline" and asked.get("prompt") == "consent":
            self._is_offline.add(code)
        place = {"location": "us", "accounts-server": self._profile.accounts_server or server}
        return consent.back(asked["redirect_uri"], {"code": code, **place, **state})

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
            body |= self._refreshable(fields["code"])
        return answer({**body, "expires_in": TOKEN_SECONDS, "scope": " ".join(self._profile.scopes)})

    def _refreshable(self, code: str) -> dict[str, str]:
        if code == self._profile.grant_code:
            return {"refresh_token": self._profile.refresh_token}
        if code not in self._is_offline:
            return {}
        made = f"1000.{self._make_token(32)}.{self._make_token(32)}"
        self._refresh_tokens.add(made)
        return {"refresh_token": made}

    def revoke(self) -> None:
        """Every consent is taken back."""
        self._refresh_tokens.clear()
        self._live.clear()

    def _problem(self, fields: dict[str, str]) -> str | None:
        if fields.get("grant_type") not in (BY_CODE, "refresh_token"):
            return "unsupported_grant_type"
        if fields.get("client_id") != self._profile.client_id:
            return "invalid_client"
        if fields.get("client_secret") != self._profile.client_secret:
            return "invalid_client_secret"
        if fields["grant_type"] == BY_CODE:  # it works once
            if fields.get("code") != self._profile.grant_code:
                return _OF_CODE.get(self.codes.problem(fields))
            is_good = fields["code"] not in self._used_codes
        else:
            is_good = fields.get("refresh_token") in (self._profile.refresh_token, *self._refresh_tokens)
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
        self._is_offline.clear()
        self._refresh_tokens.clear()
        self.codes.forget()


def _allows(scopes: tuple[str, ...], request: Request) -> bool:
    """Whether one of the scopes is for this resource and verb."""
    resource = request.path.split("/")[3]
    area = "settings" if resource in SETTINGS else resource
    wanted = {f"ZohoBooks.{area}.{verb}".lower() for verb in (VERBS.get(request.method, ""), "ALL")}
    return bool({"zohobooks.fullaccess.all", *wanted} & {scope.lower() for scope in scopes})


API = "/books/v3"
# Resources that Books has beside those that are served here.
UNOFFERED = re.compile(
    API
    + r"/(?:estimates|salesorders|salesreceipts|recurringinvoices|retainerinvoices|purchaseorders|bills|recurringbills"
    r"|vendorcredits|vendorpayments|expenses|recurringexpenses|customerdebitnotes|bankaccounts|banktransactions|bankstatements"
    r"|chartofaccounts|journals|fixedassets|basecurrencyadjustment|projects|timeentries|users|locations|reportingtags|reports"
    r"|documents|inventoryadjustments|custommodules|invoices/|contacts/|creditnotes/|customerpayments/|items/|settings/)"
)


def _books(code: int, message: str, status: int) -> Details:
    return {"kind": "answer", "status": status, "body": {"code": code, "message": message}}


ODDITIES: dict[str, Details] = {
    "general-error": no_token("general_error", "", 200),
    "plan-over": _books(103001, "Your trial has ended. Please upgrade to continue.", 400),
    "plan-over-under-200": _books(103001, "Your trial has ended. Please upgrade to continue.", 200),
    "no-organisation": _books(9017, "The organization does not exist.", 400),
    "no-organisation-under-200": _books(9017, "The organization does not exist.", 200),
    "other-data-centre": _books(14, "Invalid value passed for authtoken", 401),
}


class Zoho(Account):
    """One Zoho Books organisation with its accounts server."""

    vendor: ClassVar[str] = "zoho"
    system: ClassVar[str] = "zoho_books"
    prefix: ClassVar[str] = "ZOHO_"
    oddities: ClassVar[Mapping[str, Details]] = ODDITIES
    profile_type: ClassVar[type[Any]] = ZohoProfile
    profile: ZohoProfile

    def __init__(self, around: Surroundings, profile: ZohoProfile, number: int = 1) -> None:
        super().__init__(around, profile, number)
        self.accounts = Accounts(self.clock, profile, self.token)
        self.limits = Limits(self.clock, profile)
        self.reset()
        self.router.add("POST", "/oauth/v2/token", lambda request: self.accounts.grant(request, self.url), "token")
        self.router.add(
            "GET", "/oauth/v2/auth", lambda request: self.accounts.authorize(request, self.url), "authorize"
        )
        for method, path, operation, action in ROUTES:
            self.router.add(method, API + path, self._guarded(action, path), operation)

    def reset(self) -> None:
        self.organization = Organization(self.profile, self.clock, self.ledger)
        self.accounts.reset()
        self.limits.reset()

    def expire_tokens(self) -> None:
        self.accounts.expire()

    def serve(self, request: Request) -> Response:
        """Calls of the API count against the limits while they last, waits included; token calls do not."""
        if not request.path.startswith(API):
            return super().serve(request)
        try:
            self.limits.enter()
        except ZohoError as error:
            match = self.router.match(request)
            self.around.calls.count(self.name, match.operation if match else "other")
            return self.finish(request, error.response())
        try:
            return super().serve(request)
        finally:
            self.limits.leave()

    def finish(self, request: Request, response: Response) -> Response:
        if request.path.startswith(API):
            response.headers |= self.limits.headers()
        return response

    def unknown(self, request: Request) -> Response:
        if UNOFFERED.match(request.path):
            raise NotOffered(f"{request.method} {request.path}")
        return ZohoError(5, "Invalid URL Passed", 404).response()

    def _guarded(self, action: Action, path: str) -> Handler:
        """Check token and organisation; turn refusals into answers."""

        def call(request: Request, **arguments: str) -> Response:
            try:
                self._admit(request, path)
                return action(self.organization, request, **arguments)
            except ZohoError as error:
                return error.response()
            except BadJson:
                return ZohoError(1038, "JSON is not well formed").response()

        return call

    def _admit(self, request: Request, path: str) -> None:
        self.accounts.check(request)
        given = request.query.get("organization_id")
        if path != "/organizations" and given != self.profile.organization_id:
            raise ZohoError(6041, f"This user is not associated with the CompanyID/CompanyName: {given}.")

    def error_answer(self, fault: Fault, operation: str) -> Response:
        status = fault.status or 500
        if fault.html or operation == "token":
            return html(status, "Internal Server Error")
        return answer({"code": int(fault.code or 1000), "message": fault.message or "Internal Error"}, status)

    def limit_answer(self, fault: Fault, operation: str) -> Response:
        if operation == "token":
            return answer(TOO_MANY, fault.status or 400)
        return answer({"code": int(fault.code or 44), "message": fault.message or MINUTE_TEXT}, 429)

    def refusal(self, fault: Fault, operation: str) -> Response:
        """Books' refusal; with status 200 it is an error code under an OK."""
        if operation == "token":
            return answer({"error": fault.code or "invalid_code"}, fault.status or 200)
        body = {"code": int(fault.code or 15), "message": fault.message or "The value is not accepted."}
        return answer(body, fault.status or 400)

    def settings(self) -> dict[str, Any]:
        profile = self.profile
        return {
            "accounts_url": self.url,
            "api_url": self.url,
            "client_id": profile.client_id,
            "organization_id": profile.organization_id,
            "calls_per_minute": profile.per_minute,
            "calls_per_day": profile.per_day,
            "calls_at_once": profile.concurrent,
        }

    def secrets(self) -> dict[str, str]:
        profile = self.profile
        return {
            "client_secret": profile.client_secret,
            "refresh_token": profile.refresh_token,
            "webhook_secret": profile.webhook_secret,
        }

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        return self.organization.documents()
