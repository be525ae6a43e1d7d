"""GET /me: whom the token belongs to."""

from __future__ import annotations

from typing import Any

from flask import g
from marshmallow import fields

from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, QuerySchema

blueprint = Resource("me", "Whom the token belongs to")


class MeSchema(ApiSchema):
    name = fields.String(required=True)
    role = fields.String(required=True)
    tenant_id = fields.String(required=True, allow_none=True, attribute="tenant")
    token_id = fields.String(required=True)


@blueprint.route("/me")
@blueprint.asks(QuerySchema)
@blueprint.response(200, MeSchema)
def me(_: dict[str, Any]) -> Any:
    """Who the token is, and what it may do."""
    return g.caller
