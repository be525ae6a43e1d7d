"""How answers leave: JSON where it was asked for, else Atom XML; ETags and messages in headers."""

import json
from typing import Any
from urllib.parse import quote

from crmsync.lab.sandbox.http import Request, Response, answer
from crmsync.lab.sandbox.sap.errors import ODataError
from crmsync.lab.sandbox.sap.metadata import Row
from crmsync.lab.sandbox.sap.reading import etag_of

COMPUTED = {"TotalNetAmount", "CreationDate", "LastChangeDate", "NetAmount", "OverallSDProcessStatus"}


def needs_json(request: Request) -> None:
    if request.content_type != "application/json":
        raise ODataError(f"Content type '{request.content_type}' is not supported", "/IWBEP/CM_MGW_RT/415", 415)


def wants_json(request: Request) -> bool:
    """Without `Accept: application/json` or `$format=json` the answer is Atom XML, as on the vendor's side."""
    return request.query.get("$format") == "json" or "application/json" in request.headers.get("accept", "")


def formatted(request: Request, body: dict[str, Any], status: int = 200) -> Response:
    return answer(body, status, dataserviceversion="2.0") if wants_json(request) else atom(status, "feed")


def atom(status: int, text: str) -> Response:
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>{text}</title></feed>'
    )
    return Response(status, body.encode(), {"Content-Type": "application/atom+xml"})


def etag_header(row: Row) -> dict[str, str]:
    etag = etag_of(row)
    return {"ETag": etag} if etag else {}


def bare(shown: dict[str, Any]) -> dict[str, Any]:
    """The create answer of a system that computes later: null totals and dates, no items."""
    return {
        name: None if name in COMPUTED else {"__deferred": {"uri": ""}} if name == "to_Item" else value
        for name, value in shown.items()
    }


def with_message(response: Response, text: str, code: str) -> Response:
    message = {"code": code, "message": text, "severity": "warning", "target": "", "details": []}
    response.headers["sap-message"] = quote(json.dumps(message), safe=' {}":,[]/')
    return response
