"""Records over REST: one by one, in collections, and in composite calls."""

import copy
import json
import re
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

from crmsync.lab.sandbox.kernel.http import Request, Response, answer, dumps
from crmsync.lab.sandbox.salesforce.org import Org
from crmsync.lab.sandbox.salesforce.search import Search
from crmsync.lab.sandbox.salesforce.values import (
    PREFIXES,
    Field,
    Object,
    Record,
    SalesforceError,
    needs_json,
    not_found,
    read_value,
    show,
)

# sObject rows: read, create, change, delete, upsert, describe.


def read(org: Org, search: Search, request: Request, name: str, record_id: str) -> Response:
    kind = org.object(name)
    row = org.get(kind.name, record_id)
    wanted = request.query.get("fields")
    names = [_known(kind, one) for one in wanted.split(",")] if wanted else list(kind.fields)
    shown = {one: show(row[one]) for one in names}
    return answer({"attributes": search.attributes(kind, row), **shown})


def _known(kind: Object, name: str) -> str:
    found = kind.find(name.strip())
    if not found:
        raise SalesforceError("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
    return found.name


def create(org: Org, name: str, body: Any, version: str) -> Response:
    kind = org.object(name)
    row = org.create(kind.name, body)
    location = f"/services/data/v{version}/sobjects/{kind.name}/{row['Id']}"
    return answer({"id": row["Id"], "success": True, "errors": []}, 201, Location=location)


def update(org: Org, request: Request, name: str, record_id: str) -> Response:
    """204, or 412 where the record changed since the date of If-Unmodified-Since."""
    since = request.headers.get("if-unmodified-since")
    if since and org.get(org.object(name).name, record_id)["SystemModstamp"] > _date(since):
        return Response(412)
    org.update(name, record_id, request.json())
    return Response(204)


def _date(text: str) -> datetime:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        raise SalesforceError("JSON_PARSER_ERROR", f"Malformed date in header: {text}") from None


def upsert(org: Org, request: Request, name: str, field: str, value: str, version: str) -> Response:
    """201 for a new record, 200 for the one found, 300 for several; the value stays out of the body."""
    kind = org.object(name)
    key = kind.find(field)
    if key is None or not key.external_id:
        raise not_found(f"Provided external ID field does not exist or is not accessible: {field}")
    return upserted(org, kind, key, value, request.json(), version, may_create="updateOnly" not in request.query)


def upserted(org: Org, kind: Object, key: Field, value: str, body: Any, version: str, *, may_create: bool) -> Response:
    _refuse_key(key, body)
    found = org.find_by(kind.name, key.name, read_value(org, key, value))
    if len(found) > 1:
        return answer([f"/services/data/v{version}/sobjects/{kind.name}/{row['Id']}" for row in found], 300)
    if not found and not may_create:
        raise not_found()
    row = org.update(kind.name, found[0]["Id"], body) if found else org.create(kind.name, {**body, key.name: value})
    shown = {"id": row["Id"], "success": True, "errors": [], "created": not found}
    return answer(shown, 200 if found else 201)


def _refuse_key(key: Field, body: Any) -> None:
    if isinstance(body, dict) and ({"Id", "id", key.name} & set(body)):
        message = f"The {key.name} field should not be specified in the sobject data."
        raise SalesforceError("INVALID_FIELD", message, fields=(key.name,))


def describe(kind: Object) -> Record:
    return {
        "name": kind.name,
        "label": kind.name,
        "keyPrefix": PREFIXES[kind.name],
        "createable": True,
        "updateable": True,
        "queryable": True,
        "fields": [describe_field(one) for one in kind.fields.values()],
        "childRelationships": [
            {"childSObject": child, "field": field, "relationshipName": name}
            for name, (child, field) in kind.children.items()
        ],
    }


def describe_field(field: Field) -> Record:
    is_number = field.type in ("double", "currency")
    return {
        "name": field.name,
        "label": field.name,
        "type": "id" if field.name == "Id" else field.type,
        "length": field.length,
        "precision": 18 if is_number else 0,
        "scale": 2 if is_number else 0,
        "createable": field.createable,
        "updateable": field.updateable,
        "nillable": not field.required,
        "calculated": False,
        "externalId": field.external_id,
        "unique": field.external_id,
        "referenceTo": [field.target] if field.target else [],
        "relationshipName": field.relationship,
        "picklistValues": [],
        "restrictedPicklist": False,
        "custom": field.name.endswith("__c"),
    }


# sObject Collections: up to 200 records in one call; failures are rows, not an error.
#
# Source: shared fact sheet, section 6.


MAXIMUM = 200
CHUNKS = 10
ROLLED_BACK = SalesforceError(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
Result = dict[str, Any]
Action = Callable[[Any], Result]


def read_records(body: Any) -> tuple[list[Any], bool]:
    """The records and allOrNone of a body. Raises SalesforceError for too many or mixed too often."""
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list):
        raise SalesforceError("JSON_PARSER_ERROR", "records must be an array")
    if len(records) > MAXIMUM:
        raise SalesforceError(
            "EXCEEDED_MAX_SIZE_REQUEST", f"record limit reached. cannot submit more than {MAXIMUM} records"
        )
    if len(list(groupby(map(_type, records)))) > CHUNKS:
        raise SalesforceError("INVALID_OPERATION", f"Too many chunks of types, maximum is {CHUNKS}")
    return records, bool(body.get("allOrNone"))


def _type(record: Any) -> str:
    try:
        return str(record["attributes"]["type"])
    except (KeyError, TypeError):
        raise SalesforceError("INVALID_TYPE", "attributes.type is missing") from None


def run(org: Org, records: list[Any], act: Action, *, all_or_none: bool) -> list[Result]:
    """Act on each record in order; with allOrNone one failure undoes all."""
    with org.attempt() as undo:
        results = [_result(record, act) for record in records]
        if not all_or_none or all(one["success"] for one in results):
            return results
        undo()
    return [_failure(ROLLED_BACK, one.get("id")) if one["success"] else one for one in results]


def _result(record: Any, act: Action) -> Result:
    try:
        return act(copy.copy(record))
    except SalesforceError as error:
        return _failure(error)


def _failure(error: SalesforceError, record_id: str | None = None) -> Result:
    shown: Result = {"success": False, "errors": [error.collection_row()]}
    return {"id": record_id, **shown} if record_id else shown


def _success(record_id: str) -> Result:
    return {"id": record_id, "success": True, "errors": []}


def creating(org: Org) -> Action:
    return lambda record: _success(org.create(_type(record), record)["Id"])


def updating(org: Org) -> Action:
    def act(record: Any) -> Result:
        record_id = record.pop("id", None) or record.pop("Id", None)
        if not record_id:
            raise SalesforceError("MISSING_ARGUMENT", "Id not specified in an update call", fields=("Id",))
        return _success(org.update(_type(record), record_id, record)["Id"])

    return act


def upserting(org: Org, name: str, field: str, version: str) -> Action:
    kind = org.object(name)
    key = kind.find(field)
    if key is None or not key.external_id:
        raise not_found()

    def act(record: Any) -> Result:
        if _type(record) != kind.name:
            raise SalesforceError("INVALID_TYPE", f"records must be of type {kind.name}")
        value = record.pop(key.name, None)
        if value is None:
            raise SalesforceError("MISSING_ARGUMENT", f"{key.name} not specified", fields=(key.name,))
        response = upserted(org, kind, key, str(value), record, version, may_create=True)
        if response.status == 300:
            raise SalesforceError("DUPLICATE_EXTERNAL_ID", "Duplicate external id specified")
        shown: Result = response.json()
        return shown

    return act


def deleting(org: Org) -> Action:
    def act(record_id: str) -> Result:
        name = org.name_of(record_id)
        org.delete(name, record_id)
        return _success(org.peek(name, record_id)["Id"])  # type: ignore[index]

    return act


# -- its addresses


def _many(org: Org, request: Request, act: Action) -> Response:
    needs_json(request)
    records, all_or_none = read_records(request.json())
    return answer(run(org, records, act, all_or_none=all_or_none))


def _create(org: Org, request: Request, version: str) -> Response:
    return _many(org, request, creating(org))


def _update(org: Org, request: Request, version: str) -> Response:
    return _many(org, request, updating(org))


def _upsert(org: Org, request: Request, version: str, name: str, field: str) -> Response:
    return _many(org, request, upserting(org, name, field, version))


def _delete(org: Org, request: Request, version: str) -> Response:
    ids = request.query.get("ids", "").split(",")
    if len(ids) > MAXIMUM:
        raise SalesforceError("EXCEEDED_ID_LIMIT", "record limit reached")
    return answer(run(org, ids, deleting(org), all_or_none=request.query.get("allOrNone") == "true"))


ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("POST", "/composite/sobjects", _create),
    ("PATCH", "/composite/sobjects", _update),
    ("DELETE", "/composite/sobjects", _delete),
    ("PATCH", "/composite/sobjects/{name}/{field}", _upsert),
]


# Composite: up to 25 calls in one, later ones using the ids of earlier ones.


MOST_CALLS, SEARCHES = 25, 5
HALTED = SalesforceError(
    "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed."
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"@\{(\w+)\.([\w.\[\]]+)\}")
Serve = Callable[[Request], Response]


def run_composite(org: Org, body: Any, serve: Serve) -> list[dict[str, Any]]:
    """The answers in order; with allOrNone one failure undoes all. Raises SalesforceError for too many calls."""
    calls = body.get("compositeRequest") if isinstance(body, dict) else None
    if not isinstance(calls, list) or not calls:
        raise SalesforceError("JSON_PARSER_ERROR", "compositeRequest must be an array")
    if not all(isinstance(call, dict) and _is_readable(call) for call in calls):
        raise SalesforceError("JSON_PARSER_ERROR", "each subrequest needs url, method and referenceId")
    _check_references([call["referenceId"] for call in calls])
    searches = [call for call in calls if re.search(r"/query|/composite/sobjects", call["url"])]
    if len(calls) > MOST_CALLS or len(searches) > SEARCHES:
        message = f"Limit exceeded: {MOST_CALLS} subrequests, of which {SEARCHES} queries or collections"
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
