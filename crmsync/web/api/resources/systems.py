"""/systems: what each vendor needs and can do."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from crmsync.connectors.registry import is_configured, systems
from crmsync.connectors.system import System
from crmsync.web.api.problems import not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.context import services_of_app

blueprint = Resource("systems", "What each system needs, and what it can do")


class DoorSchema(ApiSchema):
    name = fields.String(required=True)
    path = fields.String(required=True)


class ConsentPageSchema(ApiSchema):
    auth_kind = fields.String(required=True, metadata={"description": "the way to sign in that needs it"})
    scopes = fields.List(fields.String(), required=True)
    has_pkce = fields.Boolean(required=True)
    secret = fields.String(required=True, metadata={"description": "the secret that consent brings"})
    server = fields.String(required=True, metadata={"description": "the setting that names its host"})
    authorize_path = fields.String(required=True)
    token_path = fields.String(required=True)


class SystemSchema(ApiSchema):
    name = fields.String(required=True)
    title = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    auth_kinds = fields.List(fields.String(), required=True)
    doors = fields.List(fields.Nested(DoorSchema), required=True)
    guide = fields.String(required=True)
    consent = fields.Nested(
        ConsentPageSchema, required=True, allow_none=True, metadata={"description": "in the browser; null: none"}
    )
    is_configured = fields.Boolean(required=True, metadata={"description": "by the environment"})


class WholeSystemSchema(SystemSchema):
    settings = fields.Dict(required=True, metadata={"description": "JSON Schema of the settings of a connection"})


class SystemsSchema(ApiSchema):
    items = fields.List(fields.Nested(SystemSchema), required=True)


@blueprint.route("/systems")
@blueprint.asks(QuerySchema)
@blueprint.response(200, SystemsSchema)
def all_systems(_: dict[str, Any]) -> dict[str, Any]:
    """List the systems that crmsync can work with."""
    return {"items": [_as_json(each) for each in systems().values()]}


@blueprint.route("/systems/<name>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, WholeSystemSchema)
def one_system(_: dict[str, Any], name: str) -> dict[str, Any]:
    """Show a system, with the settings that its connections need."""
    found = systems().get(name)
    if found is None:
        raise not_found("system")
    return _as_json(found) | {"settings": found.schema}


def _as_json(found: System) -> dict[str, Any]:
    names = ("name", "title", "roles", "auth_kinds", "doors", "guide", "consent")
    own = {name: getattr(found, name) for name in names}
    return own | {"is_configured": is_configured(found.name, services_of_app().settings)}
