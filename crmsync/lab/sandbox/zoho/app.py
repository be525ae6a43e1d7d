"""The Zoho stand-in's HTTP face: accounts server and Books API on one port.

Source: shared fact sheet on Zoho Books.
"""

import re
from typing import Any, ClassVar

from crmsync.lab.sandbox.faults import Fault
from crmsync.lab.sandbox.http import BadJson, Handler, NotOffered, Request, Response, answer, html
from crmsync.lab.sandbox.vendor import Surroundings, Vendor
from crmsync.lab.sandbox.zoho.accounts import TOO_MANY, Accounts
from crmsync.lab.sandbox.zoho.errors import ZohoError
from crmsync.lab.sandbox.zoho.limits import MINUTE_TEXT, Limits
from crmsync.lab.sandbox.zoho.organization import Organization
from crmsync.lab.sandbox.zoho.profile import ZohoProfile
from crmsync.lab.sandbox.zoho.routes import OPERATIONS, ROUTES, Action

API = "/books/v3"
# Resources that Books has beside those that are served here.
UNOFFERED = re.compile(
    API
    + r"/(?:estimates|salesorders|salesreceipts|recurringinvoices|retainerinvoices|purchaseorders|bills|recurringbills"
    r"|vendorcredits|vendorpayments|expenses|recurringexpenses|customerdebitnotes|bankaccounts|banktransactions|bankstatements"
    r"|chartofaccounts|journals|fixedassets|basecurrencyadjustment|projects|timeentries|users|locations|reportingtags|reports"
    r"|documents|inventoryadjustments|custommodules|invoices/|contacts/|creditnotes/|customerpayments/|items/|settings/)"
)


class Zoho(Vendor):
    """One Zoho Books organisation with its accounts server."""

    vendor: ClassVar[str] = "zoho"
    system: ClassVar[str] = "zoho_books"
    prefix: ClassVar[str] = "ZOHO_"
    operations: ClassVar[tuple[str, ...]] = OPERATIONS

    def __init__(self, around: Surroundings, profile: ZohoProfile, number: int = 1) -> None:
        super().__init__(around, number)
        self.profile = profile
        self.accounts = Accounts(self.clock, profile, self.token)
        self.limits = Limits(self.clock, profile)
        self.reset()
        self.router.add("POST", "/oauth/v2/token", lambda request: self.accounts.grant(request, self.url), "token")
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
