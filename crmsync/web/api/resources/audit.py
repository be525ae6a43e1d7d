"""GET /audit: who did what to which object."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, Text, page_of
from crmsync.web.api.tenancy import own
from crmsync.web.context import services_of_app

blueprint = Resource("audit", "Who did what to which object")


class AuditEntrySchema(ApiSchema):
    id = fields.Integer(required=True)
    at = fields.AwareDateTime(required=True)
    name = fields.String(required=True)
    origin = fields.String(required=True, metadata={"description": "api, tower or cli"})
    verb = fields.String(required=True)
    object_type = fields.String(required=True)
    object_key = fields.String(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    before = fields.Dict(required=True)
    after = fields.Dict(required=True)
    reason = fields.String(required=True)
    previous = fields.String(required=True)
    hash = fields.String(required=True)


class AuditQuerySchema(ListSchema):
    object_type = Text(load_default="", validate=validate.Length(max=40))
    object_key = Text(load_default="", validate=validate.Length(max=200))


@blueprint.route("/audit")
@blueprint.asks(AuditQuerySchema)
@blueprint.response(200, page_of(AuditEntrySchema))
def audit(query: dict[str, Any]) -> dict[str, Any]:
    """List what was done, newest first."""
    place = place_of(query)
    with services_of_app().store.read() as uow:
        found = uow.audit.newest(
            own(),
            object_type=query["object_type"],
            object_key=query["object_key"],
            before_id=place[0] if place else 0,
            limit=query["limit"] + 1,
        )
    shown = found[: query["limit"]]
    return {"items": shown, "next_cursor": cursor_of([shown[-1].id] if len(found) > len(shown) else None, query)}
