"""GET /webhook-events: what systems have announced, and what catch-up found unannounced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import g
from marshmallow import fields, validate

from crmsync.domain.access import Role
from crmsync.domain.webhooks import Action
from crmsync.reading.deliveries import newest_deliveries
from crmsync.web.api import tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, Text, page_of
from crmsync.web.context import services_of_app

blueprint = Resource("webhook-events", "What systems have announced by webhook")


class WebhookEventSchema(ApiSchema):
    id = fields.Integer(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    via = fields.String(required=True, metadata={"description": "webhook, or catch_up for what catch-up found"})
    connection = fields.String(required=True, metadata={"description": "where it was announced, or seen"})
    event_key = fields.String(required=True, metadata={"description": "the sender's id of the message; may be empty"})
    subject_key = fields.String(required=True)
    received_at = fields.AwareDateTime(required=True)
    is_healed = fields.Boolean(
        required=True, metadata={"description": "true if no webhook arrived and catch-up found it"}
    )
    run_id = fields.String(required=True, allow_none=True)
    status = fields.String(
        required=True, metadata={"description": "the status of the run that it concerns; empty if there is none"}
    )
    action = fields.String(
        required=True,
        validate=validate.OneOf([each.value for each in Action]),
        metadata={"description": "what was done about it; pending: nothing yet"},
    )
    payload = fields.Dict(
        required=True,
        allow_none=True,
        metadata={
            "description": "its body, with all that could be a person's or a secret masked; for admins, else null"
        },
    )


class WebhookEventsQuerySchema(ListSchema):
    connection = Text(load_default="", validate=validate.Length(max=40))
    subject_key = Text(load_default="", validate=validate.Length(max=100))


@blueprint.route("/webhook-events")
@blueprint.asks(WebhookEventsQuerySchema)
@blueprint.response(200, page_of(WebhookEventSchema))
def webhook_events(query: dict[str, Any]) -> dict[str, Any]:
    """List the events, newest first, with what was done about each."""
    place = place_of(query)
    with services_of_app().store.read() as uow:
        found = newest_deliveries(
            uow,
            tenancy.own(),
            connection=query["connection"],
            subject_key=query["subject_key"],
            before=place[0] if place else 0,
            limit=query["limit"] + 1,
        )
    shown = found[: query["limit"]]
    if not g.caller.may(Role.ADMIN):
        shown = [replace(each, payload=None) for each in shown]
    return {"items": shown, "next_cursor": cursor_of([shown[-1].id] if len(found) > len(shown) else None, query)}
