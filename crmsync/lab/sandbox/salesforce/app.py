"""The Salesforce stand-in's HTTP face.

Source: shared fact sheet on Salesforce, sections 1 to 8 and 13.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from crmsync.lab.sandbox.kernel.account import Account, Surroundings
from crmsync.lab.sandbox.kernel.faults import Details, Fault, no_token
from crmsync.lab.sandbox.kernel.http import (
    BadJson,
    Handler,
    Naming,
    NotOffered,
    Request,
    Response,
    Server,
    answer,
    html,
)
from crmsync.lab.sandbox.salesforce import bulk, rows
from crmsync.lab.sandbox.salesforce.bulk import Bulk
from crmsync.lab.sandbox.salesforce.oauth import OLD_ADDRESSES, Oauth, SalesforceProfile, make_key
from crmsync.lab.sandbox.salesforce.org import Org
from crmsync.lab.sandbox.salesforce.search import Cursors, Search, page
from crmsync.lab.sandbox.salesforce.soql import Query, names_in, parse
from crmsync.lab.sandbox.salesforce.values import Record, SalesforceError, build_schema, needs_json

VERSIONS = {60: "Spring '24", 64: "Summer '25", 65: "Winter '26", 66: "Spring '26", 67: "Summer '26", 68: "Winter '27"}
NEWEST, OLDEST = 68, 31
DATA = r"/services/data/v(?P<version>\d+\.0)"
DAY_SECONDS = 24 * 3600
LONGEST_HEAD = 16_384
# Resources that the platform has beside those that are served here.
UNOFFERED = re.compile(
    r"/services/(?:Soap|async|apexrest|oauth2/(?:userinfo|introspect|revoke))|/id/|/services/data/v\d+\.0/"
    r"(?:search|parameterizedSearch|tooling|analytics|chatter|connect|ui-api|process|quickActions|recent|theme|tabs"
    r"|appMenu|event|actions|support|metadata|consent|dedupe|eventSchema|folders|jobs/(?:query|ingest)/?|limits/"
    r"|composite/(?:batch|tree|graph)|sobjects/?$|sobjects/\w+/?$|sobjects/\w+/(?:updated|deleted|listviews|describe/)"
    r"|sobjects/\w+/[^/]+/[^/]+|composite/?$|composite/sobjects)"
)
SUBJECTS = {"opportunity": "deal", "product2": "product"}
STAMPS = {"systemmodstamp", "lastmodifieddate", "createddate"}
DEALS = (
    *("SAP_Order_Number__c", "Zoho_Invoice_Number__c", "Sync_Status__c", "Sync_Status_Reason__c"),
    *("Payment_Received__c", "Payment_Amount__c", "Payment_Date__c"),
)
PRODUCTS = ("ProductCode", "IsActive", "Available_Stock__c", "Low_Stock_Alert__c")


LOCKED = "unable to obtain exclusive access to this record or 1 records: 006000000000001AAA"
NESTED_LOCK = (
    "DealTrigger: execution of AfterUpdate\n\ncaused by: System.DmlException: Update failed. First exception on row 0; "
    f"first error: UNABLE_TO_LOCK_ROW, {LOCKED}: []"
)


def _crm(code: str, message: str, status: int = 400, **more: Any) -> Details:
    """A refusal of a write-back, with `fields` even where they are empty."""
    row = {"message": message, "errorCode": code, "fields": [], **more}
    return {"kind": "answer", "operation": "update_deal", "status": status, "body": [row]}


ODDITIES: dict[str, Details] = {
    "unknown-error": no_token("unknown_error", "retry your request"),
    "login-rate": no_token("invalid_grant", "login rate exceeded"),
    "grant-not-approved": no_token("invalid_grant", "user hasn't approved this consumer"),
    "grant-audience": no_token("invalid_grant", "audience is invalid"),
    "grant-expired": no_token("invalid_grant", "assertion expired"),
    "grant-assertion": no_token("invalid_grant", "invalid assertion"),
    "grant-inactive": no_token("invalid_grant", "user is inactive"),
    "nested-lock": _crm("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", NESTED_LOCK),
    "lock": _crm("UNABLE_TO_LOCK_ROW", LOCKED),
    "validation-rule": _crm("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Closed deals may not be changed."),
    "duplicate-rule": _crm("DUPLICATES_DETECTED", "Use one of these records?", duplicateResult={"allowSave": False}),
    "cross-reference": _crm(
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id"
    ),
    "version-ends": {
        "kind": "headers",
        "headers": {"Warning": '299 - "This API is deprecated and will be removed by Summer \'27."'},
    },
    "flow-trigger": _crm("CANNOT_EXECUTE_FLOW_TRIGGER", "We can't save this record because the “Deal” process failed."),
}


class Salesforce(Account):
    """One Salesforce org."""

    vendor: ClassVar[str] = "salesforce"
    system: ClassVar[str] = "salesforce"
    prefix: ClassVar[str] = "SF_"
    oddities: ClassVar[Mapping[str, Details]] = ODDITIES
    profile_type: ClassVar[type[Any]] = SalesforceProfile
    profile: SalesforceProfile

    def __init__(self, around: Surroundings, profile: SalesforceProfile, number: int = 1) -> None:
        super().__init__(around, profile, number)
        self.key = make_key()
        self.oauth = Oauth(self.clock, profile, self.key.public, self.token)
        self.login_url = ""
        self._further: list[Server] = []  # where the org has moved to, the newest last
        self.left: dict[str, str] = {}  # addresses from which the org has moved away, and what they answer now
        self.reset()
        self._route()

    def reset(self) -> None:
        self._move_back()
        schema = build_schema(multi_currency=self.profile.multi_currency, custom_fields=self.profile.custom_fields)
        self.org = Org(schema, self.clock, self._note, self.profile.pod)
        values = {"Name": "Sandbox Trading Inc.", "OrganizationType": "Developer Edition", "IsSandbox": True}
        self.organization = self.org.add("Organization", {**values, "DefaultCurrencyIsoCode": self.profile.currency})
        self.cursors = Cursors(self.clock)
        self.bulk = Bulk(self.org, self.clock)
        self.used: deque[float] = deque()
        self.oauth.revoke()
        self.oauth.codes.forget()

    def _note(self, action: str, kind: str, row: Record) -> None:
        self.ledger.note(action, kind, row["Id"], reference=row.get("SAP_Order_Number__c"))

    def _route(self) -> None:
        self.router.add("POST", "/services/oauth2/token", self._token, "token")
        self.router.add("GET", "/services/oauth2/authorize", self.oauth.authorize, "authorize")
        self.router.add("GET", "/services/data", self._versions, "versions")
        self._add("GET", "", self._resources, "versions")
        self._add("GET", "/limits", self._limits, "limits")
        self._add("GET", "/query", self._query, "query")
        self._add("GET", "/queryAll", self._query_all, "query")
        self._add("GET", "/query(?:All)?/{locator}", self._query_more, "query")
        self._route_rows()
        self._route_parts()

    def _route_rows(self) -> None:
        self._add("GET", "/sobjects/{name}/describe", self._describe, "describe")
        self._add("GET", "/sobjects/{name}/{key}", self._read, record_operation("get"))
        self._add("POST", "/sobjects/{name}", self._create, record_operation("create"))
        self._add("PATCH", "/sobjects/{name}/{key}", self._update, record_operation("update"))
        self._add("DELETE", "/sobjects/{name}/{key}", self._delete, record_operation("delete"))
        self._add("PATCH", "/sobjects/{name}/{field}/{value}", self._upsert, "upsert_record")

    def _route_parts(self) -> None:
        self._add("POST", "/composite", self._composite, "composite")
        for method, path, act in rows.ROUTES:
            self._add(method, path, _late(act, lambda: self.org), "collections")
        for method, path, act in bulk.ROUTES:
            self._add(method, path, _late(act, lambda: self.bulk), "bulk")

    def _add(self, method: str, path: str, handler: Handler, operation: Naming | str) -> None:
        self.router.add(method, DATA + path, self._guarded(handler), operation)

    def _guarded(self, handler: Handler) -> Handler:
        """Check version, session and budget; turn refusals into answers."""

        def call(request: Request, version: str, **arguments: str) -> Response:
            try:
                self._admit(request, version)
                return handler(request, version, **arguments)
            except SalesforceError as error:
                return error.response()
            except BadJson as error:
                return SalesforceError("JSON_PARSER_ERROR", f"Unexpected character: {error}").response()

        return call

    def _admit(self, request: Request, version: str) -> None:
        if not OLDEST <= int(version[:-2]) <= NEWEST:
            gone = int(version[:-2]) < OLDEST
            code = "UNSUPPORTED_API_VERSION" if gone else "NOT_FOUND"
            raise SalesforceError(code, "The requested resource is no longer available", 410 if gone else 404)
        if len(request.target) + sum(map(len, request.headers.values())) > LONGEST_HEAD:
            raise SalesforceError("REQUEST_HEADER_FIELDS_TOO_LARGE", "URI and headers are too long", 431)
        if request.is_inner:
            return
        if not self.oauth.is_open(request):
            raise SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", 401)
        self._forget()
        if len(self.used) >= self.profile.daily_calls:
            raise SalesforceError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
        self.used.append(self.clock.seconds())

    def _forget(self) -> None:
        oldest = self.clock.seconds() - DAY_SECONDS
        while self.used and self.used[0] < oldest:
            self.used.popleft()

    def serve(self, request: Request) -> Response:
        """An address that the org has left knows nothing but how to sign in."""
        old = self.left.get(request.headers.get("host", ""))
        if old is None or request.path.startswith("/services/oauth2"):
            return super().serve(request)
        self.around.calls.count(self.name, "moved")
        return OLD_ADDRESSES[old](request, self.url)

    def open(self, port: int = 0) -> None:
        super().open(port)
        self.login_url = self.url

    def close(self) -> None:
        self._move_back()
        super().close()

    def move(self, old: str = "expired") -> str:
        """Answer at another address from now on, and return it; sessions end, the old address answers as *old* says.

        Raises: ValueError.
        """
        if old not in OLD_ADDRESSES:
            raise ValueError(f"old {old!r} is none of {', '.join(OLD_ADDRESSES)}")
        before = self._further[-1] if self._further else None
        self._further.append(Server(self.serve))
        self._further[-1].start()
        self.left[self.url.partition("//")[2]] = old
        self.url = self._further[-1].url
        self.oauth.expire()
        if old == "gone" and before:
            before.stop()
        return self.url

    def _move_back(self) -> None:
        self.url = self.login_url
        self.left.clear()
        while self._further:
            self._further.pop().stop()

    def finish(self, request: Request, response: Response) -> Response:
        """Every answer of the API tells the budget: calls used and allowed in 24 hours."""
        self._forget()
        if not request.path.startswith("/services/oauth2"):
            response.headers["Sforce-Limit-Info"] = f"api-usage={len(self.used)}/{self.profile.daily_calls}"
        return response

    def unknown(self, request: Request) -> Response:
        if UNOFFERED.match(request.path) or "_HttpMethod" in request.query:
            raise NotOffered(f"{request.method} {request.path}")
        allowed = self.router.methods(request.path)
        if allowed:
            message = f"HTTP Method '{request.method}' not allowed. Allowed are {','.join(allowed)}"
            return SalesforceError("METHOD_NOT_ALLOWED", message, 405).response()
        return SalesforceError("NOT_FOUND", "The requested resource does not exist", 404).response()

    def expire_tokens(self) -> None:
        self.oauth.expire()

    def _token(self, request: Request) -> Response:
        return self.oauth.grant(request, self.url, self.login_url, self.organization["Id"], self.org.user["Id"])

    def _versions(self, request: Request) -> Response:
        shown = [{"label": name, "url": f"/services/data/v{n}.0", "version": f"{n}.0"} for n, name in VERSIONS.items()]
        return answer(shown)

    def _resources(self, request: Request, version: str) -> Response:
        names = ("sobjects", "query", "queryAll", "composite", "limits", "jobs")
        return answer({name: f"/services/data/v{version}/{name}" for name in names})

    def _limits(self, request: Request, version: str) -> Response:
        left = self.profile.daily_calls - len(self.used)
        batches = {"Max": 15000, "Remaining": 15000}
        return answer(
            {"DailyApiRequests": {"Max": self.profile.daily_calls, "Remaining": left}, "DailyBulkApiBatches": batches}
        )

    def _query(self, request: Request, version: str) -> Response:
        return answer(self._found(request, version, deleted=False))

    def _query_all(self, request: Request, version: str) -> Response:
        return answer(self._found(request, version, deleted=True))

    def _found(self, request: Request, version: str, *, deleted: bool) -> Record:
        if "explain" in request.query:
            raise NotOffered("the plan of a query")
        if "q" not in request.query:
            raise SalesforceError("MALFORMED_QUERY", "A query string has to be specified")
        query, search = parse(request.query["q"]), Search(self.org, version)
        kind, found = search.find(query, deleted=deleted)
        found = self._committed(query, found)
        if query.counting:
            return {"totalSize": len(found), "done": True, "records": []}
        return page(search, kind, query, found, self.cursors.keeper(version, self._page_size(request)))

    def _committed(self, query: Query, found: list[Record]) -> list[Record]:
        """A query for what has changed misses rows whose transaction is stamped, but not committed yet."""
        if not self.profile.lag_seconds or not STAMPS & names_in(query.where):
            return found
        seen = self.clock.now() - timedelta(seconds=self.profile.lag_seconds)
        return [row for row in found if row["SystemModstamp"] <= seen]

    def _page_size(self, request: Request) -> int:
        wanted = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""))
        return min(self.profile.page_size, max(200, int(wanted[1])) if wanted else 2000)

    def _query_more(self, request: Request, version: str, locator: str) -> Response:
        return answer(self.cursors.page(Search(self.org, version), version, locator))

    def _describe(self, request: Request, version: str, name: str) -> Response:
        return answer(rows.describe(self.org.object(name)))

    def _read(self, request: Request, version: str, name: str, key: str) -> Response:
        if key in ("updated", "deleted", "listviews"):
            raise NotOffered(f"{key} of {name}")
        return rows.read(self.org, Search(self.org, version), request, name, key)

    def _create(self, request: Request, version: str, name: str) -> Response:
        needs_json(request)
        return rows.create(self.org, name, request.json(), version)

    def _update(self, request: Request, version: str, name: str, key: str) -> Response:
        needs_json(request)
        return rows.update(self.org, request, name, key)

    def _delete(self, request: Request, version: str, name: str, key: str) -> Response:
        self.org.delete(self.org.object(name).name, key)
        return Response(204)

    def _upsert(self, request: Request, version: str, name: str, field: str, value: str) -> Response:
        needs_json(request)
        return rows.upsert(self.org, request, name, field, value, version)

    def _composite(self, request: Request, version: str) -> Response:
        needs_json(request)
        return answer({"compositeResponse": rows.run_composite(self.org, request.json(), self._sub_request)})

    def _sub_request(self, request: Request) -> Response:
        request.is_inner = True
        match = self.router.match(request)
        return match.call() if match else self.unknown(request)

    def error_answer(self, fault: Fault, operation: str) -> Response:
        status = fault.status or 503
        if fault.html:
            return html(status, "Service Unavailable")
        code = fault.code or ("SERVER_UNAVAILABLE" if status == 503 else "UNKNOWN_EXCEPTION")
        return SalesforceError(code, fault.message or "The server is temporarily unavailable", status).response()

    def limit_answer(self, fault: Fault, operation: str) -> Response:
        message = fault.message or "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
        return SalesforceError(fault.code or "REQUEST_LIMIT_EXCEEDED", message, 403).response()

    def refusal(self, fault: Fault, operation: str) -> Response:
        if operation == "token":
            body = {"error": fault.code or "invalid_grant", "error_description": fault.message or "invalid assertion"}
            return answer(body, fault.status or 400)
        code = fault.code or "FIELD_CUSTOM_VALIDATION_EXCEPTION"
        message = fault.message or "A validation rule of the organization refuses this record"
        return SalesforceError(code, message, fault.status or 400).response()

    def settings(self) -> dict[str, Any]:
        return {
            "login_url": self.login_url,
            "client_id": self.profile.client_id,
            "username": self.profile.username,
            "organization_id": self.organization["Id"],
        }

    def secrets(self) -> dict[str, str]:
        return {"private_key": self.key.private_pem, "webhook_secret": self.profile.webhook_secret}

    def environment(self) -> dict[str, str]:
        currency = {} if self.profile.multi_currency else {"CRMSYNC_DEFAULT_CURRENCY": self.profile.currency}
        return {**super().environment(), **currency}

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "deals": [self._deal(row) for row in self.org.rows("Opportunity")],
            "products": [
                {"id": row["Id"], **{name: row[name] for name in PRODUCTS}} for row in self.org.rows("Product2")
            ],
        }

    def _deal(self, row: Record) -> dict[str, Any]:
        account = self.org.peek("Account", row["AccountId"]) or {}
        shown = {"id": row["Id"], "name": row["Name"], "account": account.get("Name"), "stage": row["StageName"]}
        paid_on = row["Payment_Date__c"]
        written = {name: row[name] for name in DEALS} | {"Payment_Date__c": paid_on.isoformat() if paid_on else None}
        return {**shown, "amount": row["Amount"], "is_won": row["IsWon"], **written}


def record_operation(verb: str) -> Naming:
    """`update_deal` for an Opportunity, `update_product` for a Product2, `update_record` for the rest."""
    names = tuple(f"{verb}_{subject}" for subject in (*SUBJECTS.values(), "record"))
    return Naming(names, lambda request, given: f"{verb}_{SUBJECTS.get(given['name'].lower(), 'record')}")


def _late(act: Callable[..., Response], subject: Callable[[], Any]) -> Handler:
    """Act on what is there when the call comes: a reset makes it anew."""
    return lambda request, version, **arguments: act(subject(), request, version, **arguments)
