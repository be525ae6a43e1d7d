"""Deals that Salesforce announces: is the call authentic, and which deals are they?

Two senders: a Flow or Apex callout with {"opportunityId": "006…"}, whose form is ours, signed or with a bearer secret;
and an Outbound Message, SOAP without any signature, known by a token in the URL and the id of its organization.
Source: sforce_api_om_outboundmessaging_notifications; facts, sections 9 and 10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from crmsync.connectors import signatures
from crmsync.connectors.salesforce.ids import (
    CASE_SENSITIVE_LENGTH,
    OPPORTUNITY_PREFIX,
    ORGANIZATION_PREFIX,
    full_id,
)
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import MalformedWebhookError, SignatureError
from crmsync.settings import Secret

SIGNATURE_HEADER = "X-Crmsync-Signature"
NOTIFICATIONS_MAX = 100

_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_SOBJECT = "{urn:sobject.enterprise.soap.sforce.com}"

_ACK = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>{}</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)


# JSON


def verify_json(headers: Mapping[str, str], body: bytes, secret: Secret | None) -> None:
    """Raise SignatureError unless *headers* hold the body's HMAC, or the secret itself as a bearer token."""
    expected = _required(secret)
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    method, _, signature = headers.get(SIGNATURE_HEADER, "").partition("=")
    is_bearer = scheme.lower() == "bearer" and signatures.same(bearer.strip(), expected.reveal())
    is_signed = method == "sha256" and signatures.same(signature.strip().lower(), signatures.sign(expected, body))
    if not (is_bearer or is_signed):
        raise SignatureError


def parse_json(body: bytes) -> list[WebhookEvent]:
    """The one event of a body that verify_json() has let in. Raises: MalformedWebhookError."""
    try:
        notice: dict[str, str] = _NOTICE.load(_json(body))
    except ValidationError as error:
        problem = error.messages_dict.get("opportunityId", ["is missing: the body must be a JSON object"])[0]
        raise MalformedWebhookError(field_errors={"opportunityId": problem}) from error
    return [WebhookEvent(notice["opportunityId"])]


_PROBLEMS: dict[str, Any] = {"required": "is missing", "null": "is null", "invalid": "is no text"}


class DealId(fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return full_id(super()._deserialize(value, attr, data, **kwargs) or "", OPPORTUNITY_PREFIX)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class DealNotice(Schema):
    class Meta:
        unknown = EXCLUDE

    opportunityId = DealId(required=True, error_messages=_PROBLEMS)


_NOTICE = DealNotice()


def _json(body: bytes) -> Any:
    """Strictly: UTF-8, no key twice, no NaN."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError(field_errors={"body": "is no JSON in UTF-8, or names a key twice"}) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


# Outbound Messages


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    organization_id: str  # 18 characters
    events: tuple[WebhookEvent, ...]


def verify_token(given: str, secret: Secret | None) -> None:
    """Raise SignatureError unless the `token` of the URL is the secret."""
    if not signatures.same(given, _required(secret).reveal()):
        raise SignatureError


def verify_organization(given: str, expected: str) -> None:
    """Raise SignatureError unless both are the same organization. An id of 15 characters is as good as one of 18."""
    if not expected:
        raise SignatureError("This receiver refuses Outbound Messages until SF_ORGANIZATION_ID is set.")
    if not signatures.same(given[:CASE_SENSITIVE_LENGTH], expected[:CASE_SENSITIVE_LENGTH]):
        raise SignatureError


def parse_outbound(body: bytes) -> OutboundMessage:
    """The organization and the events of an envelope that verify_token() has let in; nothing else in it is read.

    Raises: MalformedWebhookError, also for any DTD or entity.
    """
    envelope = _xml(body)
    if envelope.tag != f"{_SOAP}Envelope":
        raise MalformedWebhookError(field_errors={"Envelope": "is missing"})
    message = _only(_only(envelope, _SOAP, "Body"), _OUTBOUND, "notifications")
    notifications = message.findall(f"{_OUTBOUND}Notification")
    if not 1 <= len(notifications) <= NOTIFICATIONS_MAX:
        raise MalformedWebhookError(field_errors={"Notification": f"there must be 1 to {NOTIFICATIONS_MAX}"})
    return OutboundMessage(
        organization_id=_id(message, _OUTBOUND, "OrganizationId", ORGANIZATION_PREFIX),
        events=tuple(_event(notification) for notification in notifications),
    )


def ack(is_accepted: bool) -> str:
    """The answer to a whole message; Salesforce repeats it for 24 hours until this is true."""
    return _ACK.format("true" if is_accepted else "false")


def _event(notification: Element) -> WebhookEvent:
    record = _only(notification, _OUTBOUND, "sObject")
    return WebhookEvent(
        subject_key=_id(record, _SOBJECT, "Id", OPPORTUNITY_PREFIX, name="sObject.Id"),
        event_key=_id(notification, _OUTBOUND, "Id", name="Notification.Id"),
    )


def _xml(body: bytes) -> Element:
    try:
        root: Element = ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise MalformedWebhookError(field_errors={"body": "is no XML, or has a DTD"}) from error
    return root


def _only(parent: Element, namespace: str, name: str) -> Element:
    found = parent.findall(f"{namespace}{name}")
    if len(found) != 1:
        raise MalformedWebhookError(field_errors={name: "is missing" if not found else "comes twice"})
    return found[0]


def _id(parent: Element, namespace: str, tag: str, prefix: str = "", *, name: str = "") -> str:
    try:
        return full_id((_only(parent, namespace, tag).text or "").strip(), prefix)
    except ValueError as error:
        raise MalformedWebhookError(field_errors={name or tag: str(error)}) from error


def _required(secret: Secret | None) -> Secret:
    """Raises: SignatureError where there is none: no empty token opens this door."""
    if secret is None or not secret.reveal():
        raise SignatureError("This receiver refuses webhooks until SF_WEBHOOK_SECRET is set.")
    return secret
