"""GET /sync-records: the records that are linked: customers, and the documents that were made."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from crmsync.reading.records import RECORD_TYPES, records
from crmsync.web.api import tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, Text, page_of
from crmsync.web.context import services_of_app

blueprint = Resource("sync-records", "Which record here is which there")


class SyncRecordSchema(ApiSchema):
    tenant_id = fields.String(required=True, attribute="tenant")
    type = fields.String(required=True, metadata={"description": "customer, or a document's kind: order, invoice"})
    connection = fields.String(required=True)
    source_key = fields.String(
        required=True, metadata={"description": "the id in the CRM; of a document its reference"}
    )
    target_key = fields.String(required=True, metadata={"description": "the id there; empty while it is not known"})
    number = fields.String(required=True)
    status = fields.String(required=True, metadata={"description": "linked; of a document the state of its ledger row"})
    origin = fields.String(required=True)
    run_id = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class SyncRecordsQuerySchema(ListSchema):
    type = fields.String(load_default="", validate=validate.OneOf(["", *RECORD_TYPES]))
    id = Text(load_default="", validate=validate.Length(max=100), metadata={"description": "the id here or there"})
    status = Text(load_default="", validate=validate.Length(max=20))


@blueprint.route("/sync-records")
@blueprint.asks(SyncRecordsQuerySchema)
@blueprint.response(200, page_of(SyncRecordSchema))
def sync_records(query: dict[str, Any]) -> dict[str, Any]:
    """List the linked records, newest first: the customers, then the documents."""
    place = place_of(query)
    with services_of_app().store.read() as uow:
        found = records(
            uow,
            tenancy.own(),
            record_type=query["type"],
            key=query["id"],
            status=query["status"],
            after=(place[0], place[1]) if place else None,
            limit=query["limit"] + 1,
        )
    shown = found[: query["limit"]]
    more = list(shown[-1].place) if len(found) > len(shown) else None
    return {"items": shown, "next_cursor": cursor_of(more, query)}
