"""The webhook of Salesforce: a deal was closed, sent as JSON or as an Outbound Message with up to 100 deals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlencode

from crmsync.connectors.doors import PROBE, Announced, Arrival, Knock, Shut
from crmsync.connectors.kit import probe, signatures
from crmsync.connectors.salesforce import webhooks
from crmsync.connectors.salesforce.settings import SalesforceSettings, WebhookKeys
from crmsync.errors import WrongTypeError
from crmsync.settings import Secret

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


def knocks(settings: SalesforceSettings, now: datetime) -> Iterator[Knock | Shut]:
    keys = settings.webhook_keys
    if not any((keys.signature, keys.standard, keys.bearer, keys.token)):
        yield Shut(
            "", "refuses everything: SF_WEBHOOK_SECRET is not set, so deals arrive by catch-up only, minutes late", True
        )
        return
    body = probe.body()
    for name, proof in _proofs(keys, body, now).items():
        yield Knock(f"deals by {name}", _variable(settings, name), body, {**proof, "Content-Type": "application/json"})
    if keys.token:
        yield _outbound_knock(settings, keys.token[0])


def _proofs(keys: WebhookKeys, body: bytes, now: datetime) -> dict[str, dict[str, str]]:
    """The headers of each form of proof that is open, by its name."""
    found: dict[str, dict[str, str]] = {}
    if keys.signature:
        found["signature"] = {webhooks.SIGNATURE_HEADER: f"sha256={signatures.sign(keys.signature[0], body)}"}
    if keys.standard:
        found["Standard Webhooks"] = signatures.standard_headers(keys.standard[0], "probe", body, now)
    if keys.bearer:
        found["bearer"] = {"Authorization": f"Bearer {keys.bearer[0].reveal()}"}
    return found


def _outbound_knock(settings: SalesforceSettings, token: Secret) -> Knock | Shut:
    name = "deals by Outbound Message"
    if not settings.organization_id:
        is_chosen = bool(settings.webhook_token) or settings.webhook_forms == ("token",)
        return Shut(name, "it refuses Outbound Messages until SF_ORGANIZATION_ID is set", is_chosen)
    return Knock(
        name,
        _variable(settings, "token"),
        f"<probe>{settings.organization_id}</probe>".encode(),
        {"Content-Type": "text/xml; charset=utf-8"},
        query=urlencode({"token": token.reveal()}),
        organization_variable="SF_ORGANIZATION_ID",
    )


def _variable(settings: SalesforceSettings, form: str) -> str:
    """Forms that have no secret of their own share one."""
    own = {"bearer": settings.webhook_bearer, "token": settings.webhook_token}.get(form)
    return f"SF_WEBHOOK_{form.upper()}" if own else "SF_WEBHOOK_SECRET"


def _keys(settings: SalesforceSettings | None) -> WebhookKeys:
    return settings.webhook_keys if settings else WebhookKeys()
