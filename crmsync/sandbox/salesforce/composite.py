"""Composite: up to 25 calls in one, later ones using the ids of earlier ones."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from crmsync.sandbox.http import Request, Response, dumps
from crmsync.sandbox.salesforce.errors import SalesforceError
from crmsync.sandbox.salesforce.org import Org

MAXIMUM, SEARCHES = 25, 5
HALTED = SalesforceError(
    "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed."
)
_REFERENCE = re.compile(r"@\{(\w+)\.([\w.\[\]]+)\}")
Serve = Callable[[Request], Response]


def run(org: Org, body: Any, serve: Serve) -> list[dict[str, Any]]:
    """The answers in order; with allOrNone one failure undoes all. Raises SalesforceError for too many calls."""
    calls = body.get("compositeRequest") if isinstance(body, dict) else None
    if not isinstance(calls, list) or not calls:
        raise SalesforceError("JSON_PARSER_ERROR", "compositeRequest must be an array")
    if not all(isinstance(call, dict) and _is_text(call, "url", "method", "referenceId") for call in calls):
        raise SalesforceError("JSON_PARSER_ERROR", "each subrequest needs url, method and referenceId")
    searches = [call for call in calls if re.search(r"/query|/composite/sobjects", call["url"])]
    if len(calls) > MAXIMUM or len(searches) > SEARCHES:
        message = f"Limit exceeded: {MAXIMUM} subrequests, of which {SEARCHES} queries or collections"
        raise SalesforceError("LIMIT_EXCEEDED", message)
    answers: list[dict[str, Any]] = []
    with org.attempt() as undo:
        for call in calls:
            answers.append(_answer(call, {one["referenceId"]: one for one in answers}, serve))
        if not body.get("allOrNone") or all(one["httpStatusCode"] < 400 for one in answers):
            return answers
        undo()
    return [one if one["httpStatusCode"] >= 400 else _halted(one["referenceId"]) for one in answers]


def _is_text(call: dict[str, Any], *names: str) -> bool:
    return all(isinstance(call.get(name), str) for name in names)


def _answer(call: dict[str, Any], earlier: dict[str, Any], serve: Serve) -> dict[str, Any]:
    try:
        response = serve(_request(call, earlier))
    except SalesforceError as error:
        response = error.response()
    except LookupError:
        message = f"Invalid reference specified in {call.get('referenceId')}"
        response = SalesforceError("PROCESSING_HALTED", message).response()
    headers = {name: text for name, text in response.headers.items() if name == "Location"}
    body = response.json() if response.body else None
    reference = call.get("referenceId", "")
    return {"body": body, "httpHeaders": headers, "httpStatusCode": response.status, "referenceId": reference}


def _request(call: dict[str, Any], earlier: dict[str, Any]) -> Request:
    """The sub-request with its references filled in."""

    def fill(found: re.Match[str]) -> str:
        value = earlier[found[1]]["body"]
        for part in re.findall(r"\w+", found[2]):
            value = value[int(part)] if part.isdigit() else value[part]
        return str(value)

    url = _REFERENCE.sub(fill, call["url"])
    text = _REFERENCE.sub(fill, json.dumps(call.get("body"), default=float)) if "body" in call else ""
    headers = {name.lower(): value for name, value in call.get("httpHeaders", {}).items()}
    target = quote(url, safe="/?&=%'+*:,()@!$;~-._")
    return Request(call["method"].upper(), target, {"content-type": "application/json", **headers}, text.encode())


def _halted(reference: str) -> dict[str, Any]:
    body = json.loads(dumps([HALTED.row()]))
    return {"body": body, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": reference}
