"""Odd answers that vendors, their edges and their accounts are known to give: each is a fault, spelled out.

`sandbox.faults.play(name)` switches one on. What a name does not state (how often, at which call) is given there:
`play("salesforce-edge-420", operation="update_deal", times=1)`.
"""

from collections.abc import Mapping
from typing import Any

Details = Mapping[str, Any]

PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
LOGIN_PAGE = "https://login.example.com/saml"
ELSEWHERE = "http://localhost:9/elsewhere"  # nobody listens there, and nobody should come

ROOT_OF_SERVICE = r"/sap/[A-Z_]+/?(\?|$)"
LOCKED = "unable to obtain exclusive access to this record or 1 records: 006000000000001AAA"
NESTED_LOCK = (
    "DealTrigger: execution of AfterUpdate\n\ncaused by: System.DmlException: Update failed. First exception on row 0; "
    f"first error: UNABLE_TO_LOCK_ROW, {LOCKED}: []"
)


def _edge(status: int, title: str = "", **headers: str) -> Details:
    """What a server in front of the application says."""
    return {"kind": "answer", "status": status, "body": PAGE.format(title) if title else "", "headers": headers}


def _text(text: str) -> Details:
    return {"kind": "answer", "status": 200, "body": text, "headers": {"Content-Type": "text/plain"}}


def _oauth(error: str, description: str = "", status: int = 400) -> Details:
    told = {"error_description": description} if description else {}
    return {"kind": "answer", "operation": "token", "status": status, "body": {"error": error, **told}}


def _crm(code: str, message: str, status: int = 400, **more: Any) -> Details:
    """A refusal of a write-back, with `fields` even where they are empty."""
    row = {"message": message, "errorCode": code, "fields": [], **more}
    return {"kind": "answer", "operation": "update_deal", "status": status, "body": [row]}


def _erp(code: str, message: str, operation: str = "create_order") -> Details:
    return {"kind": "refuse", "operation": operation, "code": code, "message": message}


def _books(code: int, message: str, status: int) -> Details:
    return {"kind": "answer", "status": status, "body": {"code": code, "message": message}}


# The application's edge, its gateways, and pages where JSON was asked for
EDGES: dict[str, Details] = {
    "edge-420": _edge(420, "Too much traffic"),
    "edge-maintenance": _edge(200, "Down for maintenance"),
    "edge-not-found": _edge(404, "Page not found"),
    "edge-login": _edge(302, "", Location=LOGIN_PAGE),
    "edge-forbidden": _edge(403, "Access denied"),
    "edge-unauthorized": _edge(401, "Sign in"),
    "edge-bad-gateway": _edge(502, "Bad gateway"),
    "edge-empty": _edge(200),
    "edge-not-acceptable": _edge(406),
    "edge-text": _text("upstream connect error"),
    "edge-half-json": {"kind": "answer", "status": 200, "body": '{"records": ['},
    "edge-other-json": {"kind": "answer", "status": 200, "body": {"status": "maintenance"}},
    "edge-null": {"kind": "answer", "status": 200, "body": "null"},
}

# Token endpoints: what passes, what is somebody else's answer, and what must not be followed
TOKENS: dict[str, Details] = {
    "token-maintenance": {**EDGES["edge-maintenance"], "operation": "token"},
    "token-empty": {**EDGES["edge-empty"], "operation": "token"},
    "token-forbidden": {**EDGES["edge-forbidden"], "operation": "token"},
    "token-too-many": {**_edge(429, "Too many requests", **{"Retry-After": "7"}), "operation": "token"},
    "token-found-elsewhere": {**_edge(302, "", Location=ELSEWHERE), "operation": "token"},
    "token-moved-elsewhere": {**_edge(307, "", Location=ELSEWHERE), "operation": "token"},
    "token-bomb": {"kind": "bomb", "operation": "token", "size": 2_500 * 1024 * 1024, "layers": 2},
    "token-trickle": {"kind": "trickle", "operation": "token"},
    "token-stall": {"kind": "stall", "operation": "token"},
    "token-server-error": _oauth("server_error"),
    "token-temporarily-unavailable": _oauth("temporarily_unavailable", "The service is temporarily unavailable", 503),
}

SALESFORCE: dict[str, Details] = {
    "unknown-error": _oauth("unknown_error", "retry your request"),
    "login-rate": _oauth("invalid_grant", "login rate exceeded"),
    "grant-not-approved": _oauth("invalid_grant", "user hasn't approved this consumer"),
    "grant-audience": _oauth("invalid_grant", "audience is invalid"),
    "grant-expired": _oauth("invalid_grant", "assertion expired"),
    "grant-assertion": _oauth("invalid_grant", "invalid assertion"),
    "grant-inactive": _oauth("invalid_grant", "user is inactive"),
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

SAP: dict[str, Details] = {
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

ZOHO: dict[str, Details] = {
    "general-error": _oauth("general_error", "", 200),
    "plan-over": _books(103001, "Your trial has ended. Please upgrade to continue.", 400),
    "plan-over-under-200": _books(103001, "Your trial has ended. Please upgrade to continue.", 200),
    "no-organisation": _books(9017, "The organization does not exist.", 400),
    "no-organisation-under-200": _books(9017, "The organization does not exist.", 200),
    "other-data-centre": _books(14, "Invalid value passed for authtoken", 401),
}


def _of(system: str, *tables: Mapping[str, Details]) -> dict[str, Details]:
    return {f"{system}-{name}": {"system": system, **one} for table in tables for name, one in table.items()}


ODDITIES: Mapping[str, Details] = {
    **_of("salesforce", EDGES, TOKENS, SALESFORCE),
    **_of("sap", EDGES, TOKENS, SAP),
    **_of("zoho", EDGES, TOKENS, ZOHO),
}
