"""The S/4HANA stand-in's HTTP face: sign-in, CSRF, ETags, and the OData verbs.

Source: shared fact sheet on S/4HANA, sections 1, 2 and 7.
"""

from collections.abc import Mapping
from datetime import timedelta
from itertools import chain
from typing import Any, ClassVar

from crmsync.lab.sandbox.kernel.account import Account, Surroundings
from crmsync.lab.sandbox.kernel.faults import Details, Fault
from crmsync.lab.sandbox.kernel.http import BadJson, Naming, NotOffered, Request, Response, answer, html
from crmsync.lab.sandbox.sap.access import Access, ODataError, SapProfile, error_response, not_found
from crmsync.lab.sandbox.sap.changes import Changes, Partners
from crmsync.lab.sandbox.sap.fields import SERVICE
from crmsync.lab.sandbox.sap.metadata import Row, Tables, metadata, services
from crmsync.lab.sandbox.sap.orders import HEADER, SIMULATION, Orders, simulate
from crmsync.lab.sandbox.sap.products import Catalogue
from crmsync.lab.sandbox.sap.reading import (
    Found,
    Reader,
    atom,
    etag_header,
    formatted,
    options_of,
    wants_json,
    with_message,
)
from crmsync.lab.sandbox.sap.values import Address, parse_path

# What a call counts as, by service. What is added to or changed in a document is an update of it.
OPERATIONS = {
    "API_BUSINESS_PARTNER": {verb: f"{verb}_customer" for verb in ("find", "get", "create", "update")},
    "API_SALES_ORDER_SRV": {verb: f"{verb}_order" for verb in ("find", "get", "create", "update", "delete")},
    "API_PRODUCT_SRV": {verb: f"{verb}_product" for verb in ("find", "get", "update")},
    "API_MATERIAL_STOCK_SRV": dict.fromkeys(("find", "get"), "read_stock"),
    SIMULATION: dict.fromkeys(("create", "update"), "simulate_order"),
}
DOCUMENTS = {"/A_BusinessPartner", "/A_SalesOrder"}
ROOT = "/sap/opu/odata/sap"
INCOMPLETE = {"DeliveryBlockReason": "01", "HeaderBillingBlockReason": "01", "TotalCreditCheckStatus": "B"}
READS = ("GET", "HEAD")
WRITES = {"POST", "PUT", "PATCH", "MERGE", "DELETE"}


ROOT_OF_SERVICE = r"/sap/[A-Z_]+/?(\?|$)"


def _erp(code: str, message: str, operation: str = "create_order") -> Details:
    return {"kind": "refuse", "operation": operation, "code": code, "message": message}


ODDITIES: dict[str, Details] = {
    "lock-user": _erp("MC/601", "Object requested is currently locked by user CB9980000010"),
    "lock-customer": _erp("V2/468", "Customer 10100001 is currently locked by user CB9980000010"),
    "lock-table": _erp("VL/045", "Table is currently locked (Error no. 3)"),
    "csrf-root-silent": {
        "kind": "headers",
        "operation": "csrf",
        "path": ROOT_OF_SERVICE,
        "headers": {"x-csrf-token": None},
    },
    "csrf-refused-silently": {
        "kind": "answer",
        "operation": "create_order",
        "status": 403,
        "body": "CSRF token validation failed",
    },
    "incomplete": {"kind": "incomplete", "operation": "create_order"},
    "clock-behind": {"kind": "headers", "headers": {"Date": "Fri, 20 Nov 2026 09:15:00 GMT"}},
    "vanish": {"kind": "vanish", "operation": "create_order"},
}


class Sap(Account):
    """One S/4HANA tenant."""

    vendor: ClassVar[str] = "sap"
    system: ClassVar[str] = "s4hana"
    prefix: ClassVar[str] = "SAP_"
    oddities: ClassVar[Mapping[str, Details]] = ODDITIES
    own_kinds: ClassVar[tuple[str, ...]] = ("incomplete", "vanish")
    profile_type: ClassVar[type[Any]] = SapProfile
    profile: SapProfile

    def __init__(self, around: Surroundings, profile: SapProfile, number: int = 1) -> None:
        super().__init__(around, profile, number)
        self.access = Access(self.clock, profile, self.token)
        self.router.add("POST", "/sap/bc/sec/oauth2/token", self.access.grant, "token")
        for method in (*READS, *sorted(WRITES)):
            self.router.add(method, f"{ROOT}/(?P<service>[A-Z_]+)(?P<rest>/.*)?", self._service, NAMING)
        self.reset()

    def reset(self) -> None:
        self.tables = Tables()
        self.reader = Reader(self.tables, lambda: self.url, self.profile)
        self.partners = Partners(self.tables, self.clock, own_customer_numbers=self.profile.own_customer_numbers)
        self.orders = Orders(self.tables, self.clock)
        self.catalogue = Catalogue(self.tables, self.clock)
        parts = (self.partners, self.orders, self.catalogue)
        self.changes = Changes(self.tables, self.reader, *parts, self.profile, self.clock, self._note)
        self.access.expire_tokens()
        self.access.expire_sessions()

    def unknown(self, request: Request) -> Response:
        if request.path.startswith("/sap/opu/odata4"):
            raise NotOffered("OData V4")
        return super().unknown(request)

    def _note(self, action: str, kind: str, key: str, reference: str | None) -> None:
        self.ledger.note(action, kind, key, reference=reference)

    def expire_tokens(self) -> None:
        self.access.expire_tokens()

    def _service(self, request: Request, service: str, **_: str) -> Response:
        rest = request.path.removeprefix(f"{ROOT}/{service}").strip("/")
        refusal = self.access.refuses(request)
        if refusal:
            return refusal
        if service in self.profile.missing_services:
            return self._error(request, ODataError(f"No service found for {service}", "/IWFND/MED/170", 403), service)
        is_known = service in services() or service == SIMULATION
        if not is_known and SERVICE.fullmatch(service):
            raise NotOffered(f"the service {service}")
        if not is_known:
            return self._error(request, ODataError(f"No service found for {service}", "/IWFND/MED/170", 403), service)
        try:
            return self._allowed(request, service, rest)
        except ODataError as error:
            return self._error(request, error, service)
        except BadJson:
            return self._error(request, ODataError("Error while parsing a JSON stream", "CX_SXML_PARSE_ERROR"), service)

    def _allowed(self, request: Request, service: str, rest: str) -> Response:
        if request.method in WRITES:
            self.tables.changed()
            return self._write(request, service, rest)
        response = self._read(request, service, rest)
        if request.headers.get("x-csrf-token", "").lower() == "fetch":
            response.headers |= self.access.fetch_csrf(request)
        return response

    def _read(self, request: Request, service: str, rest: str) -> Response:
        if service == SIMULATION:
            return self._read_of_simulation(request, rest)
        if rest == "$metadata":
            return Response(200, metadata(service), {"Content-Type": "application/xml"})
        if not rest:
            return formatted(request, {"d": {"EntitySets": sorted(services()[service])}})
        address = parse_path(service, rest)
        options = options_of(request.target)
        if address.key is not None and (address.nav is None or not address.nav.many):
            return self._one(request, address, options)
        found = self._listed(address, self.reader.found(address.target, self._related(address), options))
        if address.counting:
            return Response(200, str(len(found.all())).encode())
        return formatted(request, {"d": self.reader.collection(address.target, found, options, request.path)})

    def _read_of_simulation(self, request: Request, rest: str) -> Response:
        if rest == "$metadata":
            raise NotOffered(f"the metadata of {SIMULATION}")
        if not rest:
            return formatted(request, {"d": {"EntitySets": [HEADER]}})
        return simulate(request, rest, self.orders)

    def _listed(self, address: Address, found: Found) -> Found:
        """A list without what is too fresh for it."""
        if not self.profile.lag_seconds or address.nav:
            return found
        seen = self.clock.now() - timedelta(seconds=self.profile.lag_seconds)
        return Found([row for row in found.all() if row.get("_made", seen) <= seen])

    def _related(self, address: Address) -> list[Row] | None:
        """The rows that a navigation leads to; None where the whole set is asked for."""
        if address.nav is None:
            return None
        return self.tables.related(self.tables.found(address.entity.name, address.key), address.nav)

    def _one(self, request: Request, address: Address, options: dict[str, str]) -> Response:
        row = self.tables.found(address.entity.name, address.key)
        if address.nav:
            related = self.tables.related(row, address.nav)
            if not related:
                raise not_found()
            row = related[0]
        response = formatted(request, {"d": self.reader.entity(address.target, row, options)})
        response.headers |= etag_header(row)
        return response

    def _write(self, request: Request, service: str, rest: str) -> Response:
        if not self.access.has_csrf(request):
            return Response(
                403, b"CSRF token validation failed", {"x-csrf-token": "Required", "Content-Type": "text/plain"}
            )
        if service == SIMULATION:
            return simulate(request, rest, self.orders)
        if rest == "$batch":
            raise NotOffered("$batch")
        if "x-http-method" in request.headers:
            raise NotOffered("a method in a header")
        if request.method == "PUT":
            raise NotOffered("PUT, which replaces all of an entity")
        address = parse_path(service, rest)
        acts = {"POST": self.changes.create, "DELETE": self.changes.delete}
        return acts.get(request.method, self.changes.update)(request, address)

    def _error(self, request: Request, error: ODataError, service: str) -> Response:
        response = error_response(error, service, self.token(32).upper())
        return response if wants_json(request) else atom(response.status, error.message)

    def afterwards(self, fault: Fault, response: Response) -> Response:
        """An order that was made, but is incomplete or is gone a moment later."""
        if fault.kind not in ("incomplete", "vanish") or response.status != 201:
            return response
        order = self.tables.found("A_SalesOrder", (response.json()["d"]["SalesOrder"],))
        if fault.kind == "vanish":
            self.orders.delete(order)
            return response
        order.update(fault.body or INCOMPLETE)
        code, text = fault.code or "SLS_LORD/009", fault.message or "The sales document is not yet complete: edit data"
        return with_message(response, text, code)

    def error_answer(self, fault: Fault, operation: str) -> Response:
        status = fault.status or 500
        if fault.html or operation in ("token", "csrf"):
            return html(status, "Internal Server Error" if status == 500 else "Service Unavailable")
        error = ODataError(fault.message or "An internal error occurred", fault.code or "SY/530", status)
        return error_response(error, "SANDBOX", self.token(32).upper())

    def limit_answer(self, fault: Fault, operation: str) -> Response:
        response = html(429, "Too Many Requests")
        response.headers["Retry-After"] = str(int(fault.seconds))
        return response

    def refusal(self, fault: Fault, operation: str) -> Response:
        if operation == "token":
            return answer({"error": "invalid_client"}, fault.status or 401)
        message = fault.message or "Sales document is currently being processed by user CB9980000010"
        error = ODataError(message, fault.code or "V1/042", fault.status or 400)
        return error_response(error, "SANDBOX", self.token(32).upper())

    def settings(self) -> dict[str, Any]:
        profile = self.profile
        return {
            "base_url": self.url,
            "token_url": f"{self.url}/sap/bc/sec/oauth2/token",
            "client_id": profile.user,
            **({"sap_client": profile.client} if self.number > 1 else {}),  # named where there are several
            "sales_organization": profile.sales_organization,
            "distribution_channel": profile.distribution_channel,
            "division": profile.division,
            "order_type": profile.order_type,
        }

    def secrets(self) -> dict[str, str]:
        return {"client_secret": self.profile.password}

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "orders": [_order_entry(row, self.orders.items(row)) for row in self.tables["A_SalesOrder"]],
            "customers": [_customer_entry(row) for row in self.tables["A_BusinessPartner"]],
            "materials": [{"id": code, "stock": stock} for code, stock in self.catalogue.stocks().items()],
        }


def _operation(request: Request, arguments: dict[str, str]) -> str:
    rest = (arguments.get("rest") or "").rstrip("/")
    names = OPERATIONS.get(arguments["service"], {})
    if names and request.method in READS and rest in ("", "/$metadata"):
        return "csrf" if request.headers.get("x-csrf-token", "").lower() == "fetch" else "metadata"
    return names.get(_verb(request.method, rest), "other")


def _verb(method: str, rest: str) -> str:
    if method in READS:
        return "get" if "(" in rest or "%28" in rest else "find"
    if method == "POST" and rest in DOCUMENTS:
        return "create"
    return "delete" if method == "DELETE" and rest.startswith("/A_SalesOrder(") else "update"


NAMING = Naming(("csrf", "metadata", *chain.from_iterable(names.values() for names in OPERATIONS.values())), _operation)


def _order_entry(row: Row, items: list[Row]) -> dict[str, Any]:
    return {
        "id": row["SalesOrder"],
        "reference": row.get("PurchaseOrderByCustomer") or None,
        "customer": row["SoldToParty"],
        "net": row["TotalNetAmount"],
        "currency": row["TransactionCurrency"],
        "items": [(item["Material"], item["RequestedQuantity"]) for item in items],
        "rejected": row["OverallSDDocumentRejectionSts"] == "C",
    }


def _customer_entry(row: Row) -> dict[str, Any]:
    reference = row.get("BusinessPartnerIDByExtSystem") or None
    name = row["BusinessPartnerFullName"]
    return {"id": row["BusinessPartner"], "customer": row.get("Customer"), "name": name, "reference": reference}
