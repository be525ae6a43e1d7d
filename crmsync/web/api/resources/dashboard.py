"""GET /dashboard: how everything stands, on one page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from marshmallow import fields

from crmsync.connectors.registry import in_use, title
from crmsync.domain.breaker import Breaker
from crmsync.reading.overview import figures, overview
from crmsync.store import UnitOfWork
from crmsync.web.api import tenancy
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.runs import RunSchema
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.context import services_of_app

blueprint = Resource("dashboard", "How everything stands")

_COUNTS = fields.Dict(keys=fields.String(), values=fields.Integer())


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
    oldest_due_seconds = fields.Float(required=True)


class DashboardSchema(ApiSchema):
    connections = fields.Nested(ConnectionsSchema, required=True)
    statistics = fields.Nested(StatisticsSchema, required=True)
    recent = fields.List(fields.Nested(RunSchema), required=True, metadata={"description": "the newest runs"})
    active_webhooks = fields.Integer(required=True, metadata={"description": "doors whose secret is set"})


@blueprint.route("/dashboard")
@blueprint.asks(QuerySchema)
@blueprint.response(200, DashboardSchema)
def dashboard(_: dict[str, Any]) -> dict[str, Any]:
    """Connections by system and status, figures, and the newest runs."""
    if not tenancy.sees():
        return _NOTHING
    with services_of_app().store.read() as uow:
        page, known = overview(uow), figures(uow)
        statistics = {
            "runs": _nested(known.runs),
            "documents": _nested(known.documents),
            "dead_letters_waiting": uow.dead_letters.waiting_count(),
            "alerts_open": page.alerts_open,
            "deliveries_last_hour": page.deliveries_last_hour,
            "oldest_due_seconds": max(0.0, known.oldest_due_seconds),
        }
        return {
            "connections": _connections(uow),
            "statistics": statistics,
            "recent": page.runs,
            "active_webhooks": _active_doors(),
        }


_NOTHING = {
    "connections": {"total": 0, "by_system": {}, "by_status": {}},
    "statistics": {
        "runs": {},
        "documents": {},
        "dead_letters_waiting": 0,
        "alerts_open": 0,
        "deliveries_last_hour": 0,
        "oldest_due_seconds": 0.0,
    },
    "recent": [],
    "active_webhooks": 0,
}


def _connections(uow: UnitOfWork) -> dict[str, Any]:
    names = in_use(services_of_app().settings, ())
    breakers = {each.connection: each for each in uow.breakers.all()}
    return {
        "total": len(names),
        "by_system": dict(Counter(title(name) for name in names)),
        "by_status": dict(Counter(_status(breakers.get(name)) for name in names)),
    }


def _status(breaker: Breaker | None) -> str:
    return "error" if breaker is not None and breaker.is_open else "active"


def _active_doors() -> int:
    from crmsync.connectors.registry import systems

    settings = services_of_app().settings
    doors = [
        (settings.systems[name], system, door)
        for name, system in systems().items()
        if name in settings.systems
        for door in system.doors
    ]
    return sum(_has_secret(own, system, door.secrets) for own, system, door in doors)


def _has_secret(own: Any, system: Any, secrets: tuple[str, ...]) -> bool:
    names = {each.variable: each.name for each in system.declared}
    return any(getattr(own, names[secret], None) for secret in secrets if secret in names)


def _nested(counts: Any) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (outer, inner), count in counts.items():
        found.setdefault(outer, {})[inner] = count
    return found
