"""/webhooks: separate addresses for what systems send, each with its own secret.

What comes in at `POST /webhooks/{webhook_id}/receive` is taken by the doors (web/webhooks.py), with their guarantees.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from flask import Response, jsonify, request
from marshmallow import fields, validate

from crmsync import subscriptions as verbs
from crmsync.domain.connections import UnknownConnectionError
from crmsync.domain.subscriptions import (
    OVERLAP,
    OVERLAP_SECONDS_MAX,
    InvalidSubscriptionError,
    Subscription,
    SubscriptionChangedError,
    SubscriptionStatus,
    UnknownSubscriptionError,
)
from crmsync.web.api import effects, versions
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, Text, WholeNumber, page_of
from crmsync.web.api.tenancy import own
from crmsync.web.context import services_of_app

blueprint = Resource("webhooks", "Separate addresses for the webhooks of systems")

STATUSES = [status.value for status in SubscriptionStatus]
_ONCE = {"description": "what the sender authenticates itself with; shown only once"}


class WebhookSchema(ApiSchema):
    id = fields.String(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    connection = fields.String(required=True)
    door = fields.String(required=True)
    events = fields.List(fields.String(), required=True)
    entity_types = fields.List(fields.String(), required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    receive_url = fields.String(required=True, metadata={"description": "the address to which the system must send"})
    previous_until = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "until when the previous secret is also accepted"}
    )
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class WebhookWithTokenSchema(WebhookSchema):
    verification_token = fields.String(required=True, metadata=_ONCE)


class WebhooksQuerySchema(ListSchema):
    tenant_id = Text(load_default="", validate=validate.Length(max=40))
    connection = Text(load_default="", validate=validate.Length(max=40))
    status = fields.String(load_default="", validate=validate.OneOf(["", *STATUSES]))


def _some(description: str) -> fields.List:
    return fields.List(
        Text(validate=validate.Length(1, 60)),
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=20),
        metadata={"description": description},
    )


class _ChoiceSchema(ApiSchema):
    events = _some("such as deal.closed; null: every event of the door")
    entity_types = _some("such as deal; null: every type of record of the door")
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


def _secret_field() -> Text:
    return Text(
        load_default="",
        load_only=True,
        validate=validate.Length(max=500),
        metadata={"description": "12 characters or more; generated if left out", "writeOnly": True},
    )


class NewWebhookSchema(_ChoiceSchema):
    connection = Text(required=True, validate=validate.Length(1, 40))
    door = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={"description": "required if the system has several"},
    )
    secret = _secret_field()


class ChangedWebhookSchema(_ChoiceSchema):
    status = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(STATUSES))


class RotateWebhookSchema(ApiSchema):
    secret = _secret_field()
    overlap_seconds = WholeNumber(
        load_default=int(OVERLAP.total_seconds()),
        validate=validate.Range(0, OVERLAP_SECONDS_MAX),
        metadata={"description": "for how long the previous secret is still accepted, in seconds"},
    )
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class WhyWebhookSchema(ApiSchema):
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class WebhookDeletionQuerySchema(QuerySchema):
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


@blueprint.route("/webhooks")
@blueprint.asks(WebhooksQuerySchema)
@blueprint.response(200, page_of(WebhookSchema))
def webhooks(query: dict[str, Any]) -> dict[str, Any]:
    """List the webhooks, oldest first, without their secrets."""
    place = place_of(query)
    with services_of_app().store.read() as uow:
        found = [each for each in uow.subscriptions.all(own()) if _is_wanted(each, query)]
    after = [each for each in found if place is None or _place(each) > tuple(place)]
    shown = after[: query["limit"]]
    more = list(_place(shown[-1])) if len(after) > len(shown) else None
    return {"items": [_as_json(each) for each in shown], "next_cursor": cursor_of(more, query)}


def _is_wanted(of: Subscription, query: dict[str, Any]) -> bool:
    asked = (query["tenant_id"], query["connection"], query["status"])
    return all(
        wanted in ("", is_so) for wanted, is_so in zip(asked, (of.tenant, of.connection, of.status), strict=True)
    )


def _place(of: Subscription) -> tuple[str, str]:
    return (of.created_at.isoformat() if of.created_at else ""), of.id


@blueprint.route("/webhooks", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(NewWebhookSchema)
@blueprint.response(201, WebhookWithTokenSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def create_webhook(_: dict[str, Any], body: dict[str, Any]) -> Response:
    """Create an address; its verification token is in this answer and nowhere else."""

    def make(effect: Effect) -> dict[str, Any]:
        with _as_problem():
            made, secret = verbs.create(
                services_of_app(),
                effect.uow,
                effect.act,
                own(),
                body["connection"],
                door=body["door"],
                events=body["events"],
                entity_types=body["entity_types"],
                secret=body["secret"],
            )
        return {**_as_json(made), "verification_token": secret}

    return effects.once(make, schema=WebhookWithTokenSchema(), status=201, body=body, reason=body["reason"])


@blueprint.route("/webhooks/<webhook_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, WebhookSchema, headers=versions.ETAG)
def webhook(_: dict[str, Any], webhook_id: str) -> Response:
    """Show a webhook, without its secret."""
    return _answer(_own(webhook_id))


@blueprint.route("/webhooks/<webhook_id>", methods=["PATCH"])
@blueprint.asks(QuerySchema)
@blueprint.takes(ChangedWebhookSchema)
@blueprint.response(200, WebhookSchema, headers=versions.ETAG)
@blueprint.doc(parameters=[versions.IF_MATCH])
def change_webhook(_: dict[str, Any], body: dict[str, Any], webhook_id: str) -> Response:
    """Change what is subscribed to, or disable and enable it; what is left out stays."""
    found = _own(webhook_id)
    versions.require(found.id, found.version)
    with _as_problem(), services_of_app().store.begin() as uow:
        changed = verbs.change(
            services_of_app(),
            uow,
            effects.act(body["reason"]),
            own(),
            webhook_id,
            events=body["events"],
            entity_types=body["entity_types"],
            status=body["status"],
            expected_version=found.version,
        )
    return _answer(changed)


@blueprint.route("/webhooks/<webhook_id>/rotate", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(RotateWebhookSchema)
@blueprint.response(200, WebhookWithTokenSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def rotate_webhook(_: dict[str, Any], body: dict[str, Any], webhook_id: str) -> Response:
    """Give it a new secret, shown only once; the previous one is accepted for overlap_seconds."""

    def rotate(effect: Effect) -> dict[str, Any]:
        overlap = timedelta(seconds=body["overlap_seconds"])
        with _as_problem():
            changed, secret = verbs.rotate(
                services_of_app(),
                effect.uow,
                effect.act,
                own(),
                webhook_id,
                secret=body["secret"],
                overlap=overlap,
            )
        return {**_as_json(changed), "verification_token": secret}

    return effects.once(rotate, schema=WebhookWithTokenSchema(), status=200, body=body, reason=body["reason"])


@blueprint.route("/webhooks/<webhook_id>/disable", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(WhyWebhookSchema)
@blueprint.response(200, WebhookSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def disable_webhook(_: dict[str, Any], body: dict[str, Any], webhook_id: str) -> Response:
    """Refuse everything that is sent there, at once; PATCH with the status active enables it again."""

    def disable(effect: Effect) -> dict[str, Any]:
        using, status = services_of_app(), SubscriptionStatus.DISABLED
        with _as_problem():
            return _as_json(verbs.change(using, effect.uow, effect.act, own(), webhook_id, status=status))

    return effects.once(disable, schema=WebhookSchema(), status=200, body=body, reason=body["reason"])


@blueprint.route("/webhooks/<webhook_id>", methods=["DELETE"])
@blueprint.asks(WebhookDeletionQuerySchema)
@blueprint.response(200, WebhookSchema)
@blueprint.doc(parameters=[versions.IF_MATCH])
def delete_webhook(query: dict[str, Any], webhook_id: str) -> dict[str, Any]:
    """Remove an address; what was received there stays."""
    found = _own(webhook_id)
    versions.require(found.id, found.version)
    with _as_problem(), services_of_app().store.begin() as uow:
        gone = verbs.delete(uow, effects.act(query["reason"]), own(), webhook_id, expected_version=found.version)
    return _as_json(gone)


# -- parts


def _own(webhook_id: str) -> Subscription:
    """Raises: Problem 404, also for another tenant's."""
    with _as_problem(), services_of_app().store.read() as uow:
        return verbs.show(uow, own(), webhook_id)


def _as_json(of: Subscription) -> dict[str, Any]:
    base = services_of_app().settings.receiver_url or request.host_url.rstrip("/") + request.script_root
    shown = {name: getattr(of, name) for name in of.__slots__}
    return {**shown, "receive_url": verbs.address_of(of, base)}


def _answer(of: Subscription) -> Response:
    return versions.marked(jsonify(WebhookSchema().dump(_as_json(of))), of.id, of.version)


@contextmanager
def _as_problem() -> Iterator[None]:
    try:
        yield
    except UnknownSubscriptionError:
        raise not_found("webhook") from None
    except UnknownConnectionError:
        raise invalid("There is no such connection.", connection="is not a connection of the tenant") from None
    except SubscriptionChangedError:
        raise Problem(412, "changed-meanwhile", "It has changed since it was read. Read it again.") from None
    except InvalidSubscriptionError as error:
        raise invalid(str(error.args[0]), {(name,): text for name, text in error.field_errors.items()}) from None
