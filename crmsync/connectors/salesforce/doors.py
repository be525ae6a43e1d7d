"""The door of Salesforce: a deal was closed, told as JSON or by an Outbound Message with up to 100 deals."""

from __future__ import annotations

from datetime import datetime

from crmsync.connectors.doors import PROBE, Announced, Arrival
from crmsync.connectors.kit import probe
from crmsync.connectors.salesforce import webhooks
from crmsync.connectors.salesforce.settings import SalesforceSettings, WebhookKeys
from crmsync.errors import WrongTypeError

JSON, OUTBOUND = "salesforce_json", "salesforce_outbound"
_XML = frozenset({"text/xml", "application/xml", "application/soap+xml"})


def form(arrival: Arrival) -> str:
    return OUTBOUND if arrival.mimetype in _XML else JSON


def admit(arrival: Arrival, settings: SalesforceSettings | None) -> None:
    if form(arrival) == OUTBOUND:
        webhooks.verify_token(next((value for name, value in arrival.query if name == "token"), ""), _keys(settings))
    elif arrival.mimetype != "application/json":
        raise WrongTypeError("Send application/json or, for an Outbound Message, text/xml.")


def read(arrival: Arrival, settings: SalesforceSettings | None, body: bytes, now: datetime) -> Announced:
    if form(arrival) == OUTBOUND:
        return _outbound(body, settings.organization_id if settings else "")
    message_id = webhooks.verify_json(arrival.headers, body, _keys(settings), now)
    if probe.is_probe(body):
        return PROBE
    return Announced(tuple(webhooks.parse_json(body, arrival.content_type, message_id=message_id)))


def _outbound(body: bytes, organization_id: str) -> Announced:
    if (probed := probe.organization_of(body)) is not None:
        webhooks.verify_organization(probed, organization_id)
        return PROBE
    message = webhooks.parse_outbound(body)
    webhooks.verify_organization(message.organization_id, organization_id)
    left_out = tuple(f"a notification is left out. {problem}" for problem in message.left_out)
    return Announced(message.events, left_out=left_out, answer=(webhooks.ack(True), "text/xml"))


def _keys(settings: SalesforceSettings | None) -> WebhookKeys:
    return settings.webhook_keys if settings else WebhookKeys()
