"""/bindings/{flow}: which connection fills which role in a flow of a tenant, and the flow's options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, jsonify
from marshmallow import fields, validate

from crmsync import bindings as verbs
from crmsync.declared import json_schema
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.bindings import (
    FLOWS,
    NEEDS,
    Binding,
    BindingChangedError,
    InvalidBindingError,
    UnknownBindingError,
)
from crmsync.options import Options
from crmsync.web.api import effects, versions
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, QuerySchema, Text
from crmsync.web.api.tenancy import own, sees
from crmsync.web.context import services_of_app

blueprint = Resource("bindings", "Which connection fills which role in a flow, and the flow's options")

_ROLES = sorted({role for roles in NEEDS.values() for role in roles})
_REASON = {"description": "for the audit"}


def _options_field(**options: Any) -> fields.Dict:
    told = json_schema(Options)
    return fields.Dict(
        keys=Text(),
        metadata={
            "description": "the options of the tenant that differ from those of the installation",
            "properties": told["properties"],
            "additionalProperties": False,
        },
        **options,
    )


class BindingSchema(ApiSchema):
    flow = fields.String(required=True, validate=validate.OneOf(FLOWS))
    tenant_id = fields.String(required=True, attribute="tenant")
    source = fields.String(required=True, metadata={"description": "the connection that the flow's subjects come from"})
    roles = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "the connection in each role; empty: none is configured"},
    )
    options = _options_field(required=True)
    version = fields.Integer(required=True, metadata={"description": "0: it comes from the environment"})
    sources = fields.List(
        fields.String(), required=True, metadata={"description": "every source that the tenant has bound the flow for"}
    )


class PlaceSchema(QuerySchema):
    tenant_id = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={"description": "the tenant; if left out, the token's tenant, or the installation's own"},
    )


class BindingQuerySchema(PlaceSchema):
    source = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={"description": "which source, if the tenant has bound the flow for several"},
    )


class UnbindQuerySchema(BindingQuerySchema):
    reason = Text(load_default="", validate=validate.Length(max=500), metadata=_REASON)


class BindSchema(ApiSchema):
    roles = fields.Dict(
        keys=Text(validate=validate.Length(1, 40)),
        values=Text(validate=validate.Length(1, 40)),
        required=True,
        metadata={
            "description": f"by role: {', '.join(_ROLES)}; the connection in the first role that the flow needs "
            "is its source"
        },
    )
    options = _options_field(load_default=None, allow_none=True)
    reason = Text(load_default="", validate=validate.Length(max=500), metadata=_REASON)


@blueprint.route("/bindings/<flow>")
@blueprint.asks(BindingQuerySchema)
@blueprint.response(200, BindingSchema, headers=versions.ETAG)
def binding(query: dict[str, Any], flow: str) -> Response:
    """Show how a flow is bound: order_to_invoice, payments or inventory."""
    return _answer(only_one(tenant_of(query), flow, query["source"]))


@blueprint.route("/bindings/<flow>", methods=["PUT"])
@blueprint.asks(PlaceSchema)
@blueprint.takes(BindSchema)
@blueprint.response(200, BindingSchema, headers=versions.ETAG)
@blueprint.doc(parameters=[versions.IF_MATCH])
def bind(query: dict[str, Any], body: dict[str, Any], flow: str) -> Response:
    """Bind a flow for the source that the roles name, or change its binding; options that are left out stay.

    If the flow is not bound to that source yet, send `If-Match: *`.
    """
    tenant = tenant_of(query)
    if flow not in FLOWS:
        raise not_found("flow")
    before = next((each for each in _all(tenant, flow) if each.source == body["roles"].get(NEEDS[flow][0])), None)
    versions.require(*(version_of(before) if before else ()))
    with as_problem(), services_of_app().store.begin() as uow:
        made = verbs.put(
            services_of_app(),
            uow,
            effects.act(body["reason"]),
            tenant,
            flow,
            body["roles"],
            options=body["options"],
            expected_version=before.version if before else 0,
        )
    return _answer(made)


@blueprint.route("/bindings/<flow>", methods=["DELETE"])
@blueprint.asks(UnbindQuerySchema)
@blueprint.response(200, BindingSchema)
@blueprint.doc(parameters=[versions.IF_MATCH])
def unbind(query: dict[str, Any], flow: str) -> Response:
    """Remove a binding: the source no longer starts this flow. Unfinished runs keep it and wait for the rest."""
    tenant = tenant_of(query)
    before = only_one(tenant, flow, query["source"])
    versions.require(*version_of(before))
    if before.is_implied:
        raise Problem(409, "refused", "This binding comes from the environment; bind the flow again to change it.")
    with as_problem(), services_of_app().store.begin() as uow:
        gone = verbs.remove(
            services_of_app(),
            uow,
            effects.act(query["reason"]),
            tenant,
            flow,
            before.source,
            expected_version=before.version,
        )
    return _answer(gone)


# -- what sync configs need as well


def tenant_of(query: dict[str, Any]) -> str:
    """Raises: Problem 404 for another tenant."""
    tenant = str(query["tenant_id"] or own() or DEFAULT_TENANT)
    if not sees(tenant):
        raise not_found("tenant")
    return tenant


def only_one(tenant: str, flow: str, source: str) -> Binding:
    """Raises: Problem 404 where there is none, 422 where there are several and nobody says which."""
    found = [each for each in _all(tenant, flow) if source in ("", each.source)]
    if not found:
        raise not_found("binding")
    if len(found) > 1:
        told = f"expected one of {', '.join(each.source for each in found)}"
        errors = [{"parameter": "source", "detail": told}]
        raise Problem(422, "invalid", "The tenant has bound the flow for several sources.", errors=errors)
    return found[0]


def version_of(of: Binding) -> tuple[Any, ...]:
    return of.tenant, of.flow, of.source, of.version


@contextmanager
def as_problem() -> Iterator[None]:
    """What the verbs raise, as the API answers it."""
    try:
        yield
    except UnknownBindingError:
        raise not_found("binding") from None
    except BindingChangedError:
        raise Problem(412, "changed-meanwhile", "It has changed since it was read. Read it again.") from None
    except InvalidBindingError as error:
        paths = {tuple(name.split(".", 1)): text for name, text in error.field_errors.items()}
        raise invalid(str(error.args[0]), paths) from None


def _all(tenant: str, flow: str) -> list[Binding]:
    return [each for each in verbs.all_of(services_of_app(), tenant) if each.flow == flow]


def _answer(of: Binding) -> Response:
    sources = [each.source for each in _all(of.tenant, of.flow)]
    shown = {name: getattr(of, name) for name in ("flow", "tenant", "source", "roles", "options", "version")}
    response = jsonify(BindingSchema().dump({**shown, "sources": sources}))
    return versions.marked(response, *version_of(of))
