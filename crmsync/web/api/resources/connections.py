"""/connections: companies' accounts at systems. Secrets are never returned, except new ones, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Response, g, jsonify
from marshmallow import fields, validate

from crmsync import connections as verbs
from crmsync.connectors import registry
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.connections import (
    Connection,
    ConnectionChangedError,
    Direction,
    InvalidConnectionError,
    NameTakenError,
    Status,
    UnknownConnectionError,
    Wanted,
)
from crmsync.web.api import effects, versions
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, Said, Text, Truth, WholeNumber, Word, page_of
from crmsync.web.api.tenancy import own
from crmsync.web.context import services_of_app

blueprint = Resource("connections", "The accounts at other systems that companies work with")

STATUSES = [status.value for status in Status]
DIRECTIONS = [direction.value for direction in Direction]
TENANT = ("[a-z0-9][a-z0-9_-]{0,39}", "small letters, digits, _ and -")
SECRET_LENGTH = 20_000
_REASON = {"description": "for the audit"}


# -- what is shown


class ConnectionDoorSchema(ApiSchema):
    name = fields.String(required=True)
    path = fields.String(required=True, metadata={"description": "where the webhooks of the system are received"})


class ConnectionSchema(ApiSchema):
    id = fields.String(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    erp_system = fields.String(required=True, attribute="system")
    name = fields.String(required=True)
    auth_kind = fields.String(required=True)
    settings = fields.Dict(required=True, metadata={"description": "without secrets; /systems describes them"})
    secrets_set = fields.List(fields.String(), required=True, metadata={"description": "which secrets are set"})
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    sync_enabled = fields.Boolean(required=True)
    interval_seconds = fields.Integer(required=True, allow_none=True)
    direction = fields.String(required=True, validate=validate.OneOf(DIRECTIONS))
    last_success_at = fields.AwareDateTime(required=True, allow_none=True)
    last_error = fields.String(required=True)
    last_error_at = fields.AwareDateTime(required=True, allow_none=True)
    is_of_environment = fields.Boolean(
        required=True, metadata={"description": "whether the environment configures it; then it is read-only here"}
    )
    doors = fields.List(fields.Nested(ConnectionDoorSchema), required=True)
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True, allow_none=True)
    updated_at = fields.AwareDateTime(required=True, allow_none=True)


class RotatedSchema(ConnectionSchema):
    made = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "the secrets that were generated here, by name; shown only once"},
    )


class DeletedConnectionSchema(ApiSchema):
    id = fields.String(required=True)
    gone = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "what was stored about it, by kind"},
    )


# -- what is asked


class ConnectionsQuerySchema(ListSchema):
    tenant_id = Text(load_default="", validate=validate.Length(max=40))
    erp_system = Text(load_default="", validate=validate.Length(max=40))
    status = fields.String(load_default="", validate=validate.OneOf(["", *STATUSES]))


def _secrets_field() -> fields.Dict:
    return fields.Dict(
        keys=Text(validate=validate.Length(1, 100)),
        values=Text(validate=validate.Length(1, SECRET_LENGTH), allow_none=True),
        load_default=dict,
        load_only=True,
        metadata={"description": "by name; those that are left out stay, null removes one", "writeOnly": True},
    )


def _reason_field() -> Text:
    return Text(load_default="", validate=validate.Length(max=500), metadata=_REASON)


class _ConnectionBodySchema(ApiSchema):
    auth_kind = Text(load_default=None, allow_none=True, validate=validate.Length(max=40))
    secrets = _secrets_field()
    sync_enabled = Truth(load_default=None, allow_none=True)
    interval_seconds = WholeNumber(
        load_default=None, allow_none=True, metadata={"description": "how often it is scanned for changes, in seconds"}
    )
    direction = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(DIRECTIONS))
    reason = _reason_field()


class NewConnectionSchema(_ConnectionBodySchema):
    tenant_id = Word(*TENANT, load_default=None, allow_none=True)
    erp_system = Text(required=True, validate=validate.Length(1, 40))
    name = Said(100, required=True)
    settings = fields.Dict(
        keys=Text(), required=True, metadata={"description": "as described by the system's JSON Schema"}
    )


class ChangedConnectionSchema(_ConnectionBodySchema):
    """What is left out stays; settings are replaced as a whole."""

    name = Said(100, load_default=None, allow_none=True)
    settings = fields.Dict(keys=Text(), load_default=None, allow_none=True)
    is_same_account = Truth(
        load_default=False,
        metadata={"description": "confirms that it is the same account, under another address"},
    )


class RotateSchema(ApiSchema):
    make = fields.List(
        Text(validate=validate.Length(1, 100)),
        load_default=list,
        validate=validate.Length(max=20),
        metadata={"description": "secrets of webhooks to generate here"},
    )
    secrets = _secrets_field()
    reason = _reason_field()


class WhySchema(ApiSchema):
    reason = _reason_field()


class DeletionQuerySchema(QuerySchema):
    force = fields.Boolean(
        load_default=False,
        truthy={"true", True},
        falsy={"false", False},
        metadata={"description": "even if unfinished runs need it"},
    )
    reason = _reason_field()


# -- to read


@blueprint.route("/connections")
@blueprint.asks(ConnectionsQuerySchema)
@blueprint.response(200, page_of(ConnectionSchema))
def connections(query: dict[str, Any]) -> dict[str, Any]:
    """List the connections, those of the environment first."""
    place, tenant = place_of(query), own()
    found = verbs.all_of(services_of_app(), tenant, system=query["erp_system"] or None, status=query["status"] or None)
    found = [each for each in found if query["tenant_id"] in ("", each.tenant)]
    after = [each for each in found if place is None or _place(each) > tuple(place)]
    after.sort(key=_place)
    shown = after[: query["limit"]]
    more = list(_place(shown[-1])) if len(after) > len(shown) else None
    return {"items": [as_json(each) for each in shown], "next_cursor": cursor_of(more, query)}


def _place(of: Connection) -> tuple[Any, ...]:
    return (not of.is_of_environment, of.tenant, of.name, of.id)


@blueprint.route("/connections/<connection_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, ConnectionSchema, headers=versions.ETAG)
def connection(_: dict[str, Any], connection_id: str) -> Response:
    """Show a connection; of its secrets only which are set."""
    found = own_connection(connection_id)
    return versions.marked(jsonify(ConnectionSchema().dump(as_json(found))), found.id, found.version)


# -- to make and change


@blueprint.route("/connections", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(NewConnectionSchema)
@blueprint.response(201, ConnectionSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def create_connection(_: dict[str, Any], body: dict[str, Any]) -> Response:
    """Create a connection. It is not tested: POST …/test does that."""
    tenant = body["tenant_id"] or own() or DEFAULT_TENANT
    if not g.caller.sees(tenant):
        raise Problem(403, "forbidden", "The token is for another tenant.")

    def make(effect: Effect) -> dict[str, Any]:
        with as_problem(body["erp_system"]):
            made = verbs.create(services_of_app(), effect.uow, effect.act, tenant, body["erp_system"], _wanted(body))
        return as_json(made)

    return effects.once(make, schema=ConnectionSchema(), status=201, body=body, reason=body["reason"])


@blueprint.route("/connections/<connection_id>", methods=["PUT"])
@blueprint.asks(QuerySchema)
@blueprint.takes(ChangedConnectionSchema)
@blueprint.response(200, ConnectionSchema, headers=versions.ETAG)
@blueprint.doc(parameters=[versions.IF_MATCH])
def change_connection(_: dict[str, Any], body: dict[str, Any], connection_id: str) -> Response:
    """Change a connection: what is left out stays, settings are replaced as a whole. It takes effect within 2 s."""
    found = own_connection(connection_id)
    versions.require(found.id, found.version)
    with as_problem(found.system), services_of_app().store.begin() as uow:
        changed = verbs.update(
            services_of_app(),
            uow,
            effects.act(body["reason"]),
            own(),
            connection_id,
            _wanted(body),
            expected_version=found.version,
            is_same_account=body["is_same_account"],
        )
    return versions.marked(jsonify(ConnectionSchema().dump(as_json(changed))), changed.id, changed.version)


@blueprint.route("/connections/<connection_id>", methods=["DELETE"])
@blueprint.asks(DeletionQuerySchema)
@blueprint.response(200, DeletedConnectionSchema)
@blueprint.doc(parameters=[versions.IF_MATCH])
def delete_connection(query: dict[str, Any], connection_id: str) -> dict[str, Any]:
    """Delete a connection with everything that is stored about it; 409 while unfinished runs need it."""
    found = own_connection(connection_id)
    versions.require(found.id, found.version)
    with as_problem(found.system), services_of_app().store.begin() as uow:
        gone = verbs.delete(
            services_of_app(),
            uow,
            effects.act(query["reason"]),
            own(),
            connection_id,
            expected_version=found.version,
            is_forced=query["force"],
        )
    return {"id": connection_id, "gone": gone}


@blueprint.route("/connections/<connection_id>/pause", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(WhySchema)
@blueprint.response(200, ConnectionSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def pause_connection(_: dict[str, Any], body: dict[str, Any], connection_id: str) -> Response:
    """Pause a connection: its runs wait, and no attempt is counted."""
    return _set_status(verbs.pause, body, connection_id)


@blueprint.route("/connections/<connection_id>/resume", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(WhySchema)
@blueprint.response(200, ConnectionSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def resume_connection(_: dict[str, Any], body: dict[str, Any], connection_id: str) -> Response:
    """Resume a connection: its runs continue within a minute."""
    return _set_status(verbs.resume, body, connection_id)


def _set_status(verb: Any, body: dict[str, Any], connection_id: str) -> Response:
    def set_it(effect: Effect) -> dict[str, Any]:
        with as_problem():
            return as_json(verb(services_of_app(), effect.uow, effect.act, own(), connection_id))

    return effects.once(set_it, schema=ConnectionSchema(), status=200, body=body, reason=body["reason"])


@blueprint.route("/connections/<connection_id>/rotate", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(RotateSchema)
@blueprint.response(200, RotatedSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def rotate_connection(_: dict[str, Any], body: dict[str, Any], connection_id: str) -> Response:
    """Replace its secrets; those of its webhooks can be generated here. A webhook's previous secret stays valid."""
    given = {name: value for name, value in body["secrets"].items() if value}
    if not given and not body["make"]:
        raise invalid("Say which secrets.", make="name the secret of a webhook, or give one in secrets")
    found = own_connection(connection_id)

    def rotate(effect: Effect) -> dict[str, Any]:
        with as_problem(found.system):
            changed, made = verbs.rotate(
                services_of_app(), effect.uow, effect.act, own(), connection_id, given, made=body["make"]
            )
        return {**as_json(changed), "made": made}

    return effects.once(rotate, schema=RotatedSchema(), status=200, body=body, reason=body["reason"])


# -- parts


def own_connection(connection_id: str) -> Connection:
    """Raises: Problem 404, also for another tenant's."""
    with as_problem():
        return verbs.show(services_of_app(), own(), connection_id)


def as_json(of: Connection) -> dict[str, Any]:
    shown = {name: getattr(of, name) for name in of.__slots__}
    return {**shown, "secrets_set": list(of.secret_names), "doors": doors_of(of)}


def doors_of(of: Connection) -> list[dict[str, str]]:
    system = registry.systems().get(of.system)
    return [{"name": door.name, "path": f"/hooks/{of.id}/{door.name}"} for door in (system.doors if system else ())]


def _wanted(body: Mapping[str, Any]) -> Wanted:
    names = ("name", "auth_kind", "settings", "secrets", "sync_enabled", "interval_seconds", "direction")
    return Wanted(**{name: body[name] for name in names})


@contextmanager
def as_problem(system: str = "") -> Iterator[None]:
    """What the verbs raise, as the API answers it: with a pointer to each field of a body about a *system*."""
    try:
        yield
    except UnknownConnectionError:
        raise not_found("connection") from None
    except ConnectionChangedError:
        raise Problem(412, "changed-meanwhile", "It has changed since it was read. Read it again.") from None
    except (InvalidConnectionError, NameTakenError) as error:
        places = {_place_in_body(system, name): text for name, text in error.field_errors.items()}
        raise invalid(str(error.args[0]), places) from None


def _place_in_body(system: str, name: str) -> tuple[str, ...]:
    """Where the body says what the verb calls *name*."""
    known = registry.systems().get(system)
    declared = {each.name: each for each in (known.declared if known else ())}
    if name in declared:
        return ("secrets" if declared[name].is_secret else "settings", name)
    return (name,) if name in _OWN else ("settings", name)


_OWN = frozenset({"tenant_id", "erp_system", *ChangedConnectionSchema().fields})
