"""sObject rows: read, create, change, delete, upsert, describe."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from crmsync.lab.sandbox.http import Request, Response, answer
from crmsync.lab.sandbox.salesforce.errors import SalesforceError, not_found
from crmsync.lab.sandbox.salesforce.org import Org, Record
from crmsync.lab.sandbox.salesforce.schema import PREFIXES, Field, Object
from crmsync.lab.sandbox.salesforce.search import Search
from crmsync.lab.sandbox.salesforce.values import read_value, show


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
