"""The addresses of sObject Collections."""

from collections.abc import Callable

from crmsync.sandbox.http import Handler, Request, Response, answer
from crmsync.sandbox.salesforce import collections
from crmsync.sandbox.salesforce.errors import SalesforceError, needs_json
from crmsync.sandbox.salesforce.org import Org


def collection_routes(org: Callable[[], Org]) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of each call."""
    path = "/composite/sobjects"

    def many(request: Request, act: collections.Action) -> Response:
        needs_json(request)
        records, all_or_none = collections.read_records(request.json())
        return answer(collections.run(org(), records, act, all_or_none=all_or_none))

    def create(request: Request, version: str) -> Response:
        return many(request, collections.creating(org()))

    def update(request: Request, version: str) -> Response:
        return many(request, collections.updating(org()))

    def upsert(request: Request, version: str, name: str, field: str) -> Response:
        return many(request, collections.upserting(org(), name, field, version))

    def delete(request: Request, version: str) -> Response:
        ids = request.query.get("ids", "").split(",")
        if len(ids) > collections.MAXIMUM:
            raise SalesforceError("EXCEEDED_ID_LIMIT", "record limit reached")
        all_or_none = request.query.get("allOrNone") == "true"
        return answer(collections.run(org(), ids, collections.deleting(org()), all_or_none=all_or_none))

    return [
        ("POST", path, create),
        ("PATCH", path, update),
        ("DELETE", path, delete),
        ("PATCH", path + "/{name}/{field}", upsert),
    ]
