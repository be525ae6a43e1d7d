"""/rate-limits: how much of each system's limit is used, what is reserved for orders and payments, and the limits."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Response, jsonify
from marshmallow import fields, validate

from crmsync import connections
from crmsync.connectors import registry
from crmsync.connectors.limits.redis_link import NoRedisError
from crmsync.connectors.registry import shared_budget
from crmsync.connectors.system import System
from crmsync.domain.connections import Connection, Wanted
from crmsync.errors import CrmsyncError
from crmsync.web.api import effects, tenancy, versions
from crmsync.web.api.problems import invalid
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.connections import as_problem as _as_problem
from crmsync.web.api.resources.connections import own_connection
from crmsync.web.api.schemas import ApiSchema, QuerySchema, Text, WholeNumber
from crmsync.web.context import services_of_app

blueprint = Resource("rate-limits", "How much of what each system allows is used")


class LimitSchema(ApiSchema):
    window = fields.String(required=True, metadata={"description": "minute, hour, day, 24 hours, or at once"})
    allowed = fields.Integer(required=True, allow_none=True)
    used = fields.Integer(required=True, allow_none=True)
    reserved = fields.Integer(
        required=True, allow_none=True, metadata={"description": "reserved for orders and payments"}
    )
    left = fields.Integer(required=True, allow_none=True)
    resets_in_seconds = fields.Float(required=True, allow_none=True)


class UsageSchema(ApiSchema):
    tenant_id = fields.String(required=True)
    connection = fields.String(required=True)
    is_known = fields.Boolean(required=True, metadata={"description": "false while Redis does not answer"})
    limits = fields.List(fields.Nested(LimitSchema), required=True)
    told_to_wait_seconds = fields.Float(required=True)


class LimitsSchema(ApiSchema):
    """null: there is no such limit, or the system says itself how much is used."""

    per_minute = fields.Integer(required=True, allow_none=True)
    per_hour = fields.Integer(required=True, allow_none=True)
    per_day = fields.Integer(required=True, allow_none=True)
    concurrent = fields.Integer(required=True, allow_none=True)
    reserve_percent = fields.Integer(
        required=True,
        metadata={"description": "reserved for orders and payments: the connection's own, else the installation's"},
    )


class WholeUsageSchema(UsageSchema):
    settings = fields.Nested(LimitsSchema, required=True, metadata={"description": "the limits that crmsync observes"})
    is_of_environment = fields.Boolean(
        required=True, metadata={"description": "whether the environment configures it; then it is read-only here"}
    )


def _limit_field() -> WholeNumber:
    return WholeNumber(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 1_000_000_000),
        metadata={"description": "0: no limit, if the system can be called without one"},
    )


class ChangedLimitsSchema(ApiSchema):
    """What is left out or null stays."""

    per_minute = _limit_field()
    per_hour = _limit_field()
    per_day = _limit_field()
    concurrent = _limit_field()
    reserve_percent = WholeNumber(load_default=None, allow_none=True, validate=validate.Range(0, 95))
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class UsagesSchema(ApiSchema):
    items = fields.List(fields.Nested(UsageSchema), required=True)


@blueprint.route("/rate-limits")
@blueprint.asks(QuerySchema)
@blueprint.response(200, UsagesSchema)
def rate_limits(_: dict[str, Any]) -> dict[str, Any]:
    """Show the call budgets of each connection; null: not known until the next answer of the system."""
    return {"items": [_usage(each) for each in connections.all_of(services_of_app(), tenancy.own())]}


@blueprint.route("/rate-limits/<connection_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, WholeUsageSchema, headers=versions.ETAG)
def rate_limit(_: dict[str, Any], connection_id: str) -> Response:
    """Show the call budget of a connection, and the limits that can be set."""
    return _answer(own_connection(connection_id))


@blueprint.route("/rate-limits/<connection_id>", methods=["PUT"])
@blueprint.asks(QuerySchema)
@blueprint.takes(ChangedLimitsSchema)
@blueprint.response(200, WholeUsageSchema, headers=versions.ETAG)
@blueprint.doc(parameters=[versions.IF_MATCH])
def change_rate_limit(_: dict[str, Any], body: dict[str, Any], connection_id: str) -> Response:
    """Set the limits that crmsync observes: a lower limit leaves calls to other applications on the same account."""
    found = own_connection(connection_id)
    versions.require(found.id, found.version)
    settings = _settings_with(found, body)
    with _as_problem(found.system), services_of_app().store.begin() as uow:
        changed = connections.update(
            services_of_app(),
            uow,
            effects.act(body["reason"]),
            tenancy.own(),
            connection_id,
            Wanted(settings=settings),
            expected_version=found.version,
        )
    return _answer(changed)


def _settings_with(of: Connection, body: dict[str, Any]) -> dict[str, Any]:
    """Raises: Problem for a limit that its system does not have."""
    system = registry.system_named(of.system)
    asked = {name: body[name] for name in _SETTINGS if body[name] is not None}
    problems = {name: _problem(system, _SETTINGS[name], value) for name, value in asked.items()}
    if any(problems.values()):
        raise invalid("These limits can't be set.", {(name,): text for name, text in problems.items() if text})
    return {**of.settings, **{_SETTINGS[name]: value for name, value in asked.items()}}


def _problem(system: System, setting: str, value: int) -> str:
    """What is wrong with the *value* of a limit; "" if nothing is."""
    declared = next((each for each in system.declared if each.name == setting), None)
    if declared is None:
        return f"{system.title} has no such limit"
    lowest, highest = declared.options.get("minimum", 0), declared.options["maximum"]
    allowed = system.published_limits.get(setting, highest)
    if lowest <= value <= highest and value > allowed:
        return f"{system.title} allows {allowed}"
    return "" if lowest <= value <= allowed else f"expected {lowest} to {allowed}"


_SETTINGS = {
    "per_minute": "calls_per_minute",
    "per_hour": "calls_per_hour",
    "per_day": "calls_per_day",
    "concurrent": "calls_at_once",
    "reserve_percent": "reserve_percent",
}
"""What systems call the setting of each limit that crmsync counts."""


def _answer(of: Connection) -> Response:
    services, own = services_of_app(), None
    with suppress(CrmsyncError):  # its secrets can't be read here
        own = services.book.get(of.id).settings
    limits = {name: getattr(own, setting, None) or None for name, setting in _SETTINGS.items()}
    limits["reserve_percent"] = services.settings.behaviour.reserve_of(getattr(own, "reserve_percent", None))
    told = _usage(of) | {"settings": limits, "is_of_environment": of.is_of_environment}
    return versions.marked(jsonify(WholeUsageSchema().dump(told)), of.id, of.version)


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
