"""/sync-configs: what is kept in sync for a tenant, how often, and whether it is paused; POST /sync starts a run now.

The shape is that of records as well, which come later: what a flow leaves no choice in is fixed, or null.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, jsonify, request
from marshmallow import fields, validate

from crmsync import sync_configs as verbs
from crmsync.company import Company
from crmsync.domain.bindings import FLOWS as BOUND
from crmsync.domain.bindings import BindingChangedError
from crmsync.domain.connections import Direction
from crmsync.domain.sync_configs import (
    FLOW_SYNCS,
    ConfigStatus,
    InvalidSyncConfigError,
    Kind,
    SyncConfig,
    UnknownSyncConfigError,
)
from crmsync.services import Services
from crmsync.web.api import effects, starting, versions
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.endpoints import PREFIX
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.bindings import as_problem as bindings_as_problem
from crmsync.web.api.resources.bindings import tenant_of, version_of
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, Text, WholeNumber, Word, page_of
from crmsync.web.api.tenancy import own
from crmsync.web.context import services_of_app
from crmsync.worker.flow import FLOWS

blueprint = Resource("sync-configs", "What is kept in sync, how often, and whether it is paused")

KINDS = [kind.value for kind in Kind]
STATUSES = [status.value for status in ConfigStatus]
DIRECTIONS = [direction.value for direction in Direction]
_OF_RECORDS = {"description": "for records; null for a flow"}


class LastRunSchema(ApiSchema):
    id = fields.String(required=True)
    status = fields.String(required=True)
    started_at = fields.AwareDateTime(required=True)


class SyncConfigSchema(ApiSchema):
    id = fields.String(required=True)
    tenant_id = fields.String(required=True)
    flow = fields.String(required=True, allow_none=True, metadata={"description": "null for records"})
    entity = fields.String(required=True, allow_none=True, metadata=_OF_RECORDS)
    source = fields.String(required=True, metadata={"description": "the connection that its subjects come from"})
    roles = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    direction = fields.String(
        required=True,
        validate=validate.OneOf(DIRECTIONS),
        metadata={"description": "seen from the source: whether it is written to, read from, or both"},
    )
    interval_seconds = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "null: webhooks start it; 0: it is only started by hand"},
    )
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    filter = fields.Dict(required=True, allow_none=True, metadata=_OF_RECORDS)
    conflict_resolution = fields.String(required=True, allow_none=True, metadata=_OF_RECORDS)
    field_mappings = fields.List(fields.Dict(), required=True, allow_none=True, metadata=_OF_RECORDS)
    last_run = fields.Nested(LastRunSchema, required=True, allow_none=True)
    version = fields.Integer(required=True, metadata={"description": "0: it comes from the environment"})


class SyncConfigsQuerySchema(ListSchema):
    tenant_id = Text(load_default="", validate=validate.Length(max=40))
    flow = Text(load_default="", validate=validate.Length(max=60))
    connection = Text(load_default="", validate=validate.Length(max=40), metadata={"description": "in any role"})
    status = fields.String(load_default="", validate=validate.OneOf(["", *STATUSES]))


class _ConfigBodySchema(ApiSchema):
    kind = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(KINDS))
    direction = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(DIRECTIONS))
    interval_seconds = WholeNumber(
        load_default=None, allow_none=True, metadata={"description": "how often it is started, in seconds; 0: never"}
    )
    status = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(STATUSES))
    entity = Text(load_default=None, allow_none=True, metadata=_OF_RECORDS)
    filter = fields.Dict(load_default=None, allow_none=True, metadata=_OF_RECORDS)
    conflict_resolution = Text(load_default=None, allow_none=True, metadata=_OF_RECORDS)
    field_mappings = fields.List(fields.Dict(), load_default=None, allow_none=True, metadata=_OF_RECORDS)
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class NewSyncConfigSchema(_ConfigBodySchema):
    tenant_id = Text(load_default="", validate=validate.Length(max=40))
    flow = fields.String(
        required=True,
        validate=validate.OneOf([*FLOW_SYNCS]),
        metadata={"description": f"one of {', '.join(BOUND)}: catch-up is part of them"},
    )
    roles = fields.Dict(
        keys=Text(validate=validate.Length(1, 40)),
        values=Text(validate=validate.Length(1, 40)),
        required=True,
        metadata={"description": "the connection in each role"},
    )


class ChangedSyncConfigSchema(_ConfigBodySchema):
    """What is left out stays."""


class SyncSchema(ApiSchema):
    sync_config_id = Text(required=True, validate=validate.Length(1, 110))
    subject_key = Word(
        "[A-Za-z0-9_-]{0,100}",
        "letters, digits, _ and -",
        load_default="",
        metadata={"description": "the id of the deal or payment; empty for a flow that has one run"},
    )
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class StartedSchema(ApiSchema):
    run_id = fields.String(required=True)
    link = fields.String(required=True, metadata={"description": "where the state of the run can be read"})
    sync_config_id = fields.String(required=True)
    flow = fields.String(required=True)
    subject_key = fields.String(required=True)


# -- to read


@blueprint.route("/sync-configs")
@blueprint.asks(SyncConfigsQuerySchema)
@blueprint.response(200, page_of(SyncConfigSchema))
def sync_configs(query: dict[str, Any]) -> dict[str, Any]:
    """List the sync configs."""
    place, using = place_of(query), services_of_app()
    found = [each for each in verbs.all_of(using, own()) if _is_wanted(each, query)]
    found.sort(key=_place)
    after = [each for each in found if place is None or _place(each) > tuple(place)]
    with using.store.read() as uow:
        shown = [verbs.with_last_run(uow, each) for each in after[: query["limit"]]]
    more = list(_place(shown[-1])) if len(after) > len(shown) else None
    return {"items": [each.row() for each in shown], "next_cursor": cursor_of(more, query)}


def _is_wanted(of: SyncConfig, query: dict[str, Any]) -> bool:
    return (
        query["tenant_id"] in ("", of.binding.tenant)
        and query["flow"] in ("", of.name)
        and query["connection"] in ("", *of.binding.roles.values())
        and query["status"] in ("", of.status)
    )


def _place(of: SyncConfig) -> tuple[str, str]:
    return of.binding.tenant, of.id


@blueprint.route("/sync-configs/<config_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, SyncConfigSchema, headers=versions.ETAG)
def sync_config(_: dict[str, Any], config_id: str) -> Response:
    """Show a sync config, with its run if it has only one."""
    return _answer(own_config(config_id))


# -- to make and change


@blueprint.route("/sync-configs", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(NewSyncConfigSchema)
@blueprint.response(201, SyncConfigSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def create_sync_config(_: dict[str, Any], body: dict[str, Any]) -> Response:
    """Bind a flow, and set how often it runs. PUT /bindings/{flow} does the same with all options."""
    tenant = tenant_of(body)

    def make(effect: Effect) -> dict[str, Any]:
        using, name, roles = services_of_app(), body["flow"], body["roles"]
        with _as_problem():
            try:
                return verbs.create(using, effect.uow, effect.act, tenant, name, roles, body).row()
            except BindingChangedError:
                raise Problem(409, "is-bound", "The flow is bound to that source: change its sync config.") from None

    return effects.once(make, schema=SyncConfigSchema(), status=201, body=body, reason=body["reason"])


@blueprint.route("/sync-configs/<config_id>", methods=["PUT"])
@blueprint.asks(QuerySchema)
@blueprint.takes(ChangedSyncConfigSchema)
@blueprint.response(200, SyncConfigSchema, headers=versions.ETAG)
@blueprint.doc(parameters=[versions.IF_MATCH])
def change_sync_config(_: dict[str, Any], body: dict[str, Any], config_id: str) -> Response:
    """Change how often it runs, or pause it; it takes effect within ten seconds."""
    found = own_config(config_id)
    versions.require(*_version(found))
    using, went_live = services_of_app(), services_of_app().go_live()  # before: the first question writes it
    with _as_problem(), using.store.begin() as uow:
        changed = verbs.change(using, uow, effects.act(body["reason"]), found, body, went_live=went_live)
    return _answer(changed)


# -- to start


@blueprint.route("/sync", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(SyncSchema)
@blueprint.response(202, StartedSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def sync(_: dict[str, Any], body: dict[str, Any]) -> Response:
    """Start a run, or let a finished one check again, as a webhook or the schedule would. 409 while it is paused."""
    config = own_config(body["sync_config_id"])
    if config.status is ConfigStatus.PAUSED:
        raise Problem(409, "paused", f"{config.id} is paused: resume it first.")
    flow, has_one_run = FLOWS[config.fixed.flow], config.fixed.kind is not Kind.WEBHOOK
    subject = starting.subject_of(flow, body["subject_key"], has_one_run=has_one_run)
    company = _company(services_of_app(), config)

    def begin(effect: Effect) -> dict[str, Any]:
        run = starting.start(effect, flow, company, subject, sync_config=config.id)
        return {
            "run_id": run.id,
            "link": f"{request.script_root}{PREFIX}/runs/{run.id}",
            "sync_config_id": config.id,
            "flow": flow.name,
            "subject_key": subject,
        }

    return effects.once(begin, schema=StartedSchema(), status=202, body=body, reason=body["reason"])


def _company(using: Services, config: SyncConfig) -> Company:
    """Raises: Problem where a role is filled by nothing that is configured."""
    flow, binding = FLOWS[config.fixed.flow], config.binding
    company = using.companies.of(binding.tenant, binding.flow, flow.subject_role, binding.source)
    missing = [role for role in flow.roles if not company.bound(role).is_configured]
    if missing:
        raise Problem(409, "not-configured", f"No configured connection fills the role {missing[0]}.")
    return company


# -- parts


def own_config(config_id: str) -> SyncConfig:
    """Raises: Problem 404, also for another tenant's."""
    with _as_problem(), services_of_app().store.read() as uow:
        return verbs.show(services_of_app(), uow, own(), config_id)


def _version(of: SyncConfig) -> tuple[Any, ...]:
    return (of.name, *version_of(of.binding))


def _answer(of: SyncConfig) -> Response:
    return versions.marked(jsonify(SyncConfigSchema().dump(of.row())), *_version(of))


@contextmanager
def _as_problem() -> Iterator[None]:
    try:
        with bindings_as_problem():
            yield
    except UnknownSyncConfigError:
        raise not_found("sync config") from None
    except InvalidSyncConfigError as error:
        raise invalid(str(error.args[0]), {(name,): text for name, text in error.field_errors.items()}) from None
