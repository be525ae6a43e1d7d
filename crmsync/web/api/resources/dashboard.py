"""GET /dashboard: the state of everything, on one page."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from marshmallow import fields

from crmsync import connections
from crmsync.domain.personal import masked
from crmsync.domain.subscriptions import SubscriptionStatus
from crmsync.reading.alerts import AlertRow, open_alerts
from crmsync.reading.flows import background
from crmsync.reading.overview import ALERTS_SHOWN
from crmsync.reading.runs import newest_runs
from crmsync.reading.summary import summary
from crmsync.web.api import tenancy
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.runs import RunSchema
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.context import services_of_app

blueprint = Resource("dashboard", "How everything stands")

RECENT = 8


class ConnectionsSchema(ApiSchema):
    total = fields.Integer(required=True)
    by_system = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    by_status = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class StatisticsSchema(ApiSchema):
    runs = fields.Dict(
        keys=fields.String(), values=fields.Dict(keys=fields.String(), values=fields.Integer()), required=True
    )
    documents = fields.Dict(
        keys=fields.String(), values=fields.Dict(keys=fields.String(), values=fields.Integer()), required=True
    )
    dead_letters_waiting = fields.Integer(required=True)
    alerts_open = fields.Integer(required=True)
    deliveries_last_hour = fields.Integer(required=True)
    webhooks_active = fields.Integer(required=True, metadata={"description": "addresses of /webhooks that are open"})


class AlertSchema(ApiSchema):
    """What is wrong and what to do, without the company and the amount, which may be a person's."""

    id = fields.Integer(required=True)
    tenant_id = fields.String(
        required=True, attribute="tenant", metadata={"description": "empty: it concerns the whole installation"}
    )
    connection = fields.String(required=True, metadata={"description": "that it is about; empty: none"})
    headline = fields.String(required=True)
    cause = fields.String(required=True)
    advice = fields.String(required=True)
    occurrences = fields.Integer(required=True)
    opened_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class DashboardSchema(ApiSchema):
    connections = fields.Nested(ConnectionsSchema, required=True)
    statistics = fields.Nested(StatisticsSchema, required=True)
    alerts = fields.List(
        fields.Nested(AlertSchema),
        required=True,
        metadata={"description": "the newest open alerts; statistics.alerts_open counts all"},
    )
    recent = fields.List(fields.Nested(RunSchema), required=True, metadata={"description": "the newest runs"})


@blueprint.route("/dashboard")
@blueprint.asks(QuerySchema)
@blueprint.response(200, DashboardSchema)
def dashboard(_: dict[str, Any]) -> dict[str, Any]:
    """Connections by system and status, figures, the newest open alerts and runs: of the token's tenant, or of all."""
    services, tenant = services_of_app(), tenancy.own()
    known = connections.all_of(services, tenant)
    with services.store.read() as uow:
        found = summary(uow, tenant)
        alerts = open_alerts(uow, tenant, limit=ALERTS_SHOWN)
        recent = newest_runs(uow, tenant, limit=RECENT, without=background()).rows
        webhooks = [each for each in uow.subscriptions.all(tenant) if each.status is SubscriptionStatus.ACTIVE]
        open_breakers = {each.connection for each in uow.breakers.all(tenant) if each.is_open}
    statuses = ["error" if each.id in open_breakers else each.status.value for each in known]
    return {
        "connections": {
            "total": len(known),
            "by_system": dict(Counter(each.system for each in known)),
            "by_status": dict(Counter(statuses)),
        },
        "statistics": {
            "runs": _nested(found.runs),
            "documents": _nested(found.documents),
            "dead_letters_waiting": found.letters_waiting,
            "alerts_open": found.alerts_open,
            "deliveries_last_hour": found.deliveries_last_hour,
            "webhooks_active": len(webhooks),
        },
        "alerts": [_shown(each) for each in alerts],
        "recent": recent,
    }


def _shown(of: AlertRow) -> AlertRow:
    """Its words quote what a system or a person wrote, which may hold somebody's address."""
    return replace(of, **{name: masked(getattr(of, name)) for name in ("headline", "cause", "advice")})


def _nested(counts: Any) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (outer, inner), count in counts.items():
        found.setdefault(outer, {})[inner] = count
    return found
