"""/tokens: the API tokens of programs, created, listed and revoked by admins."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify
from marshmallow import fields, validate
from werkzeug.wrappers import Response as BaseResponse

from crmsync import people
from crmsync.domain.access import ApiToken, Role
from crmsync.web.api import effects, versions
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.instants import instant
from crmsync.web.api.problems import Problem, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, Said, Text, Word, page_of
from crmsync.web.api.tenancy import own
from crmsync.web.context import services_of_app

blueprint = Resource("tokens", "The keys of programs that use this API")

ROLES = [role.value for role in Role]


class TokenSchema(ApiSchema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    tenant_id = fields.String(required=True, allow_none=True, attribute="tenant")
    state = fields.Function(lambda of: of.state(services_of_app().store.clock()), metadata={"type": "string"})
    created_at = fields.AwareDateTime(required=True)
    created_by = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    last_used_at = fields.AwareDateTime(required=True, allow_none=True)
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)


class NewTokenSchema(TokenSchema):
    token = fields.String(required=True, metadata={"description": "shown only once"})


class TokenRequestSchema(ApiSchema):
    name = Said(100, required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    tenant_id = Word(
        "[a-z0-9][a-z0-9_-]{0,39}",
        "small letters, digits, _ and -",
        load_default=None,
        allow_none=True,
        metadata={"description": "the only tenant it may see; null: every tenant that the caller may see"},
    )
    expires_at = fields.AwareDateTime(
        load_default=None,
        allow_none=True,
        metadata={"description": "at the latest when the caller's own token does; null: then, or never"},
    )
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


@blueprint.route("/tokens")
@blueprint.asks(ListSchema)
@blueprint.response(200, page_of(TokenSchema))
def tokens(query: dict[str, Any]) -> dict[str, Any]:
    """List the tokens, newest first, without their secrets."""
    place = place_of(query)
    with services_of_app().store.read() as uow:
        after = (instant(place[0]), place[1]) if place else None
        found = uow.api_tokens.newest(own(), after=after, limit=query["limit"] + 1)
    shown = found[: query["limit"]]
    more = [shown[-1].created_at.isoformat(), shown[-1].id] if len(found) > len(shown) else None
    return {"items": shown, "next_cursor": cursor_of(more, query)}


@blueprint.route("/tokens", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(TokenRequestSchema)
@blueprint.response(201, NewTokenSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def create_token(_: dict[str, Any], body: dict[str, Any]) -> Response:
    """Create a token; its text is in this answer and nowhere else."""
    role, tenant = Role(body["role"]), body["tenant_id"] or own()
    expires_at = body["expires_at"] or g.caller.until
    if not g.caller.may_grant(role, tenant):
        raise Problem(
            403, "forbidden", "A token can't have more rights than its creator: no other tenant, no higher role."
        )
    if not g.caller.may_grant_until(expires_at):
        raise Problem(403, "forbidden", "A token can't be valid for longer than the token that creates it.")

    def make(effect: Effect) -> dict[str, Any]:
        made = people.create_token(
            effect.uow,
            effect.act,
            name=body["name"],
            role=role,
            tenant=tenant,
            expires_at=expires_at,
        )
        return {**TokenSchema().dump(made.token), "token": made.text}

    return effects.once(make, schema=None, status=201, body=body, reason=body["reason"])


@blueprint.route("/tokens/<token_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, TokenSchema, headers=versions.ETAG)
@blueprint.doc(parameters=[versions.IF_NONE_MATCH], responses={304: {"description": "it has not changed"}})
def token(_: dict[str, Any], token_id: str) -> BaseResponse:
    """Show a token, without its secret."""
    with services_of_app().store.read() as uow:
        found = _own(uow.api_tokens.get(token_id))
    return versions.tagged(jsonify(TokenSchema().dump(found)), found.id, found.version)


@blueprint.route("/tokens/<token_id>", methods=["DELETE"])
@blueprint.asks(QuerySchema)
@blueprint.response(200, TokenSchema)
@blueprint.doc(parameters=[versions.IF_MATCH])
def revoke_token(_: dict[str, Any], token_id: str) -> ApiToken:
    """Revoke a token at once and for ever; it stays in the list."""
    with services_of_app().store.begin() as uow:
        found = _own(uow.api_tokens.get(token_id))
        versions.require(found.id, found.version)
        return people.revoke_token(uow, effects.act(), token_id)


def _own(found: ApiToken | None) -> ApiToken:
    """Raises: Problem 404, also for another tenant's."""
    if found is None or own() not in (None, found.tenant):
        raise not_found("token")
    return found
