"""Composite: up to 25 calls in one, later ones using the ids of earlier ones."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from crmsync.lab.sandbox.http import Request, Response, dumps
from crmsync.lab.sandbox.salesforce.errors import SalesforceError
from crmsync.lab.sandbox.salesforce.org import Org

MAXIMUM, SEARCHES = 25, 5
HALTED = SalesforceError(
    "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed."
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"@\{(\w+)\.([\w.\[\]]+)\}")
Serve = Callable[[Request], Response]


def run(org: Org, body: Any, serve: Serve) -> list[dict[str, Any]]:
    """The answers in order; with allOrNone one failure undoes all. Raises SalesforceError for too many calls."""
    calls = body.get("compositeRequest") if isinstance(body, dict) else None
    if not isinstance(calls, list) or not calls:
        raise SalesforceError("JSON_PARSER_ERROR", "compositeRequest must be an array")
    if not all(isinstance(call, dict) and _is_readable(call) for call in calls):
        raise SalesforceError("JSON_PARSER_ERROR", "each subrequest needs url, method and referenceId")
    _check_references([call["referenceId"] for call in calls])
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


def _is_readable(call: dict[str, Any]) -> bool:
    headers = call.get("httpHeaders", {})
    texts = [call.get(name) for name in ("url", "method", "referenceId")]
    return isinstance(headers, dict) and all(isinstance(text, str) for text in (*texts, *headers.values()))


def _check_references(names: list[str]) -> None:
    wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
    if wrong is not None:
        raise SalesforceError("INVALID_FIELD", f"Provided referenceId is invalid: {wrong}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SalesforceError("INVALID_FIELD", f"Duplicate ReferenceId provided in the request: {twice}")


def _answer(call: dict[str, Any], earlier: dict[str, Any], serve: Serve) -> dict[str, Any]:
    try:
        response = serve(_request(call, earlier))
    except SalesforceError as error:
        response = error.response()
    except (LookupError, TypeError):
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
    target = quote(url, safe="/?&=%'+*:,()@!$;~-._", errors="replace")
    return Request(call["method"].upper(), target, {"content-type": "application/json", **headers}, text.encode())


def _halted(reference: str) -> dict[str, Any]:
    body = json.loads(dumps([HALTED.row()]))
    return {"body": body, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": reference}
