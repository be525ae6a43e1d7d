"""sObject Collections: up to 200 records in one call; failures are rows, not an error.

Source: shared fact sheet, section 6.
"""

import copy
from collections.abc import Callable
from itertools import groupby
from typing import Any

from crmsync.lab.sandbox.http import Request, Response, answer
from crmsync.lab.sandbox.salesforce.errors import SalesforceError, needs_json, not_found
from crmsync.lab.sandbox.salesforce.org import Org
from crmsync.lab.sandbox.salesforce.rows import upserted

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
