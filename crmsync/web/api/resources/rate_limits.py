"""GET /rate-limits: how much of what each system allows is used, and what is kept for orders and payments."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from crmsync import connections
from crmsync.connectors.limits.redis_link import NoRedisError
from crmsync.connectors.registry import shared_budget
from crmsync.connectors.system import System
from crmsync.domain.connections import Connection
from crmsync.errors import CrmsyncError
from crmsync.web.api import tenancy
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.context import services_of_app

blueprint = Resource("rate-limits", "How much of what each system allows is used")


class LimitSchema(ApiSchema):
    window = fields.String(required=True, metadata={"description": "minute, day, 24 hours, or at once"})
    allowed = fields.Integer(required=True, allow_none=True)
    used = fields.Integer(required=True, allow_none=True)
    reserved = fields.Integer(required=True, allow_none=True, metadata={"description": "kept for orders and payments"})
    left = fields.Integer(required=True, allow_none=True)
    resets_in_seconds = fields.Float(required=True, allow_none=True)


class UsageSchema(ApiSchema):
    tenant_id = fields.String(required=True)
    connection = fields.String(required=True)
    is_known = fields.Boolean(required=True, metadata={"description": "false while Redis does not answer"})
    limits = fields.List(fields.Nested(LimitSchema), required=True)
    told_to_wait_seconds = fields.Float(required=True)


class UsagesSchema(ApiSchema):
    items = fields.List(fields.Nested(UsageSchema), required=True)


@blueprint.route("/rate-limits")
@blueprint.asks(QuerySchema)
@blueprint.response(200, UsagesSchema)
def rate_limits(_: dict[str, Any]) -> dict[str, Any]:
    """Show the call budgets of each connection; null: the system tells it with its next answer."""
    return {"items": [_usage(each) for each in connections.all_of(services_of_app(), tenancy.own())]}


def _usage(connection: Connection) -> dict[str, Any]:
    own = {"tenant_id": connection.tenant, "connection": connection.id}
    try:
        known = services_of_app().book.get(connection.id)
        return own | {"is_known": True} | _counted(known.system, known.settings)
    except (NoRedisError, CrmsyncError):  # nobody counts now; or its secrets can't be read, or it is not right any more
        return own | {"is_known": False, "limits": [], "told_to_wait_seconds": 0.0}


def _counted(system: System, settings: Any) -> dict[str, Any]:
    services = services_of_app()
    budget = shared_budget(system, settings, services.link, services.settings.behaviour)
    return {"limits": budget.states(), "told_to_wait_seconds": round(budget.pause_left_seconds(), 1)}
