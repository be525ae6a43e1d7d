"""The Zoho stand-in's HTTP face: accounts server and Books API on one port.

Source: shared fact sheet on Zoho Books.
"""

import re
from typing import Any, ClassVar

from crmsync.sandbox.faults import Fault
from crmsync.sandbox.http import BadJson, Handler, NotOffered, Request, Response, answer, html
from crmsync.sandbox.vendor import Surroundings, Vendor
from crmsync.sandbox.zoho.accounts import TOO_MANY, Accounts
from crmsync.sandbox.zoho.books import SYMBOLS, Books, places
from crmsync.sandbox.zoho.contacts import Contacts
from crmsync.sandbox.zoho.creditnotes import CreditNotes
from crmsync.sandbox.zoho.errors import ZohoError
from crmsync.sandbox.zoho.fields import Doc
from crmsync.sandbox.zoho.invoices import Invoices
from crmsync.sandbox.zoho.items import Items
from crmsync.sandbox.zoho.limits import MINUTE_TEXT, Limits
from crmsync.sandbox.zoho.lines import Lines
from crmsync.sandbox.zoho.lists import list_response
from crmsync.sandbox.zoho.operations import OPERATIONS
from crmsync.sandbox.zoho.payments import Payments
from crmsync.sandbox.zoho.profile import ZohoProfile
from crmsync.sandbox.zoho.routes import ROUTES, Action

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

    name: ClassVar[str] = "zoho"
    operations: ClassVar[tuple[str, ...]] = OPERATIONS

    def __init__(self, around: Surroundings, profile: ZohoProfile) -> None:
        super().__init__(around)
        self.profile = profile
        self.accounts = Accounts(self.clock, profile, self.token)
        self.limits = Limits(self.clock, profile)
        self.reset()
        self.router.add("POST", "/oauth/v2/token", lambda request: self.accounts.grant(request, self.url), "token")
        for method, path, operation, action in ROUTES:
            self.router.add(method, API + path, self._guarded(action, path), operation)

    def reset(self) -> None:
        self.books = Books(self.profile, self.clock, self.ledger)
        self.contacts = Contacts(self.books)
        self.items = Items(self.books)
        lines = Lines(self.books, self.items)
        self.invoices = Invoices(self.books, self.contacts, lines)
        self.payments = Payments(self.books, self.contacts, self.invoices)
        self.creditnotes = CreditNotes(self.books, self.contacts, self.invoices, lines)
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
                return action(self, request, **arguments)
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

    def void(self, invoice: Doc) -> None:
        """Payments and credits come off an invoice that is made void, and stay with the customer."""
        self.invoices.mark(invoice, "void")
        self.payments.detach(invoice)

    def listed(self, request: Request, module: Any) -> Response:
        """One page of a module's documents."""
        return list_response(module.listing, request, list(module.docs.values()), self.profile, self.clock.now())

    def organization(self) -> Doc:
        profile = self.profile
        return {
            "organization_id": profile.organization_id,
            "name": "Sandbox Trading Inc.",
            "is_default_org": True,
            "currency_id": self.books.currency_id(profile.currency),
            "currency_code": profile.currency,
            "currency_symbol": SYMBOLS.get(profile.currency, ""),
            "price_precision": places(profile.currency),
            "time_zone": "PST",
            "plan_name": "PREMIUM",
        }

    def currencies(self) -> list[Doc]:
        return [
            {
                "currency_id": key,
                "currency_code": code,
                "currency_name": code,
                "currency_symbol": SYMBOLS.get(code, code),
                "price_precision": places(code),
                "is_base_currency": code == self.profile.currency,
                "exchange_rate": 1 if code == self.profile.currency else 0,
            }
            for key, code in self.books.currencies.items()
        ]

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

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        mails = self.ledger.mail_counts()
        return {
            "contacts": [self._contact(doc) for doc in self.contacts.docs.values()],
            "invoices": [self._invoice(doc, mails[doc["invoice_id"]]) for doc in self.invoices.docs.values()],
            "payments": [self._payment(doc) for doc in self.payments.docs.values()],
        }

    def _contact(self, doc: Doc) -> dict[str, Any]:
        reference = self.contacts.reference(doc)
        return {"id": doc["contact_id"], "name": doc["contact_name"], "email": doc["email"], "reference": reference}

    def _invoice(self, doc: Doc, mails: int) -> dict[str, Any]:
        shown = {name: doc[name] for name in ("customer_id", "sub_total", "total", "balance", "is_emailed")}
        shown |= {"id": doc["invoice_id"], "number": doc["invoice_number"], "currency": doc["currency_code"]}
        reference = doc["reference_number"] or None
        return {**shown, "reference": reference, "status": self.invoices.status(doc), "mails": mails}

    def _payment(self, doc: Doc) -> dict[str, Any]:
        applied = {key: str(amount) for key, amount in doc["_applied"].items()}
        reference = doc["reference_number"] or None
        shown = {"id": doc["payment_id"], "reference": reference, "amount": doc["amount"], "invoices": applied}
        shown |= {"currency": doc["currency_code"], "unused": self.payments.unused(doc)}
        return {**shown, "refunded": doc["amount_refunded"]}
