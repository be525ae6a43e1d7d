"""Authenticates Salesforce's webhooks and reads the deals that they announce.

Two senders: a Flow or Apex callout with {"opportunityId": "006…"}, whose form is ours, with one of three proofs: a
signature of the body, Standard Webhooks' signature of id, time and body, or a bearer secret;
and an Outbound Message, SOAP without any signature, known by a token in the URL and the id of its organization.
Source: sforce_api_om_outboundmessaging_notifications; facts, sections 9 and 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree
from marshmallow import ValidationError, fields

from crmsync.connectors.kit import bodies, signatures
from crmsync.connectors.kit.schemas import Tolerant
from crmsync.connectors.salesforce.ids import (
    OPPORTUNITY_PREFIX,
    ORGANIZATION_PREFIX,
    full_id,
)
from crmsync.connectors.salesforce.settings import WebhookKeys
from crmsync.domain.keys import SHORT_LENGTH
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import MalformedWebhookError, SignatureError
from crmsync.settings import Secret

SIGNATURE_HEADER = "X-Crmsync-Signature"
NOTIFICATIONS_MAX = 100

_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_SOBJECT = "{urn:sobject.enterprise.soap.sforce.com}"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

_ACK = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>{}</Ack></notificationsResponse>'
    "</soapenv:Body></soapenv:Envelope>"
)


# JSON


def verify_json(headers: Mapping[str, str], body: bytes, keys: WebhookKeys, now: datetime) -> str:
    """Raise SignatureError unless one form of proof among *headers* fits. The message's id, "" where it has none."""
    _require_open(keys)
    lower = {name.lower(): signatures.as_sent(value) for name, value in headers.items()}
    problem: SignatureError | None = None
    for form in (_standard, _signed, _bearer):
        try:
            message_id = form(lower, body, keys, now)
        except SignatureError as error:
            problem = problem or error
        else:
            if message_id is not None:
                return message_id
    raise problem or SignatureError(
        f"This call is not authenticated: send {SIGNATURE_HEADER}, Authorization: Bearer, or the webhook- headers.",
        reason="missing",
    )


def _standard(headers: Mapping[str, str], body: bytes, keys: WebhookKeys, now: datetime) -> str | None:
    if not any(name in headers for name in signatures.STANDARD_HEADERS):
        return None
    _require_form("standard", keys.standard)
    return signatures.require_standard(headers, body, keys.standard, now)


def _signed(headers: Mapping[str, str], body: bytes, keys: WebhookKeys, now: datetime) -> str | None:
    given = headers.get(SIGNATURE_HEADER.lower())
    if given is None:
        return None
    _require_form("signature", keys.signature)
    method, _, signature = given.partition("=")
    if method.strip() != "sha256":
        raise SignatureError(f"{SIGNATURE_HEADER} must be sha256=<64 hexadecimal digits>.", reason="format")
    signatures.require_signature(signature.strip().lower(), keys.signature, [body], what=SIGNATURE_HEADER)
    return ""


def _bearer(headers: Mapping[str, str], body: bytes, keys: WebhookKeys, now: datetime) -> str | None:
    given = headers.get("authorization")
    if given is None:
        return None
    _require_form("bearer", keys.bearer)
    scheme, _, bearer = given.partition(" ")
    if scheme.lower() != "bearer" or not bearer.strip():
        raise SignatureError('Authorization must be "Bearer", a space and the secret.', reason="format")
    signatures.require_secret(bearer.strip(), keys.bearer, what="The secret in Authorization")
    return ""


def parse_json(body: bytes, content_type: str = "", *, message_id: str = "") -> list[WebhookEvent]:
    """The one event of a body that verify_json() has let in. Raises: MalformedWebhookError."""
    try:
        notice: dict[str, str] = _NOTICE.load(_json(body, content_type))
    except ValidationError as error:
        problem = error.messages_dict.get("opportunityId", ["is missing: the body must be a JSON object"])[0]
        raise MalformedWebhookError(field_errors={"opportunityId": problem}) from error
    deal = notice["opportunityId"]
    # Any id is as good as another, and may be long.
    event_key = f"wh:{hashlib.sha256(message_id.encode()).hexdigest()[:40]}:{deal}" if message_id else ""
    return [WebhookEvent(deal, event_key)]


_PROBLEMS: dict[str, Any] = {"required": "is missing", "null": "is null", "invalid": "is not text"}


class DealId(fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return full_id(super()._deserialize(value, attr, data, **kwargs) or "", OPPORTUNITY_PREFIX)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class DealNotice(Tolerant):
    opportunityId = DealId(required=True, error_messages=_PROBLEMS)


_NOTICE = DealNotice()


def _json(body: bytes, content_type: str) -> Any:
    """Strictly: no key twice, no NaN."""
    text = bodies.text_of(body, content_type)
    return bodies.json_of(text, "body", object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid JSON")


# Outbound Messages


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """*left_out* says of each notification that names no deal what is wrong with it."""

    organization_id: str  # 18 characters
    events: tuple[WebhookEvent, ...]
    left_out: tuple[str, ...] = ()


def verify_token(given: str, keys: WebhookKeys) -> None:
    """Raise SignatureError unless the `token` of the URL is the secret."""
    _require_open(keys)
    _require_form("token", keys.token)
    signatures.require_secret(given, keys.token, what="The address's token")


def verify_organization(given: str, expected: str) -> None:
    """Raise SignatureError unless both are the same organization. An id of 15 characters is as good as one of 18."""
    if not expected:
        raise SignatureError(
            "This receiver refuses Outbound Messages until SF_ORGANIZATION_ID is set.", reason="closed"
        )
    if not signatures.same(given[:SHORT_LENGTH], expected[:SHORT_LENGTH]):
        raise SignatureError("OrganizationId is not the organisation that this receiver serves.", reason="organization")


def parse_outbound(body: bytes) -> OutboundMessage:
    """The organization and the events of an envelope that verify_token() has let in; nothing else in it is read.

    A notification that names no deal spoils no other: Salesforce sends it without data where the record is gone.
    A message of such notifications only is let in as well: sent again, it would say the same.
    Raises: MalformedWebhookError, also for any DTD or entity, and where none names a deal for another reason.
    """
    envelope = _xml(body)
    if envelope.tag != f"{_SOAP}Envelope":
        raise MalformedWebhookError(field_errors={"Envelope": "is missing"})
    message = _only(_only(envelope, _SOAP, "Body"), _OUTBOUND, "notifications")
    notifications = message.findall(f"{_OUTBOUND}Notification")
    if not 1 <= len(notifications) <= NOTIFICATIONS_MAX:
        raise MalformedWebhookError(field_errors={"Notification": f"there must be 1 to {NOTIFICATIONS_MAX}"})
    organization_id = _id(message, _OUTBOUND, "OrganizationId", ORGANIZATION_PREFIX)
    events, refused = _events(notifications)
    if not events and not all(map(_is_gone, notifications)):
        raise refused[0]
    return OutboundMessage(organization_id, tuple(events), tuple(str(error) for error in refused))


def _events(notifications: Sequence[Element]) -> tuple[list[WebhookEvent], list[MalformedWebhookError]]:
    events: list[WebhookEvent] = []
    refused: list[MalformedWebhookError] = []
    for notification in notifications:
        try:
            events.append(_event(notification))
        except MalformedWebhookError as error:
            refused.append(error)
    return events, refused


def ack(is_accepted: bool) -> str:
    """The answer to a whole message; Salesforce repeats it for 24 hours until this is true."""
    return _ACK.format("true" if is_accepted else "false")


def _event(notification: Element) -> WebhookEvent:
    """Its key holds the deal too: what was said of one deal is no repetition of what is said of another."""
    record = _only(notification, _OUTBOUND, "sObject")
    if _is_nil(record):
        raise MalformedWebhookError(field_errors={"sObject": "has no data: the record is gone"})
    deal = _id(record, _SOBJECT, "Id", OPPORTUNITY_PREFIX, name="sObject.Id")
    return WebhookEvent(deal, f"{_id(notification, _OUTBOUND, 'Id', name='Notification.Id')}:{deal}")


def _is_gone(notification: Element) -> bool:
    record = notification.find(f"{_OUTBOUND}sObject")
    return record is not None and _is_nil(record)


def _is_nil(record: Element) -> bool:
    return record.get(_NIL, "").strip() in ("true", "1")


def _xml(body: bytes) -> Element:
    try:
        root: Element = ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise MalformedWebhookError(field_errors={"body": "is not valid XML, or has a DTD"}) from error
    return root


def _only(parent: Element, namespace: str, name: str) -> Element:
    found = parent.findall(f"{namespace}{name}")
    if len(found) != 1:
        raise MalformedWebhookError(field_errors={name: "is missing" if not found else "occurs twice"})
    return found[0]


def _id(parent: Element, namespace: str, tag: str, prefix: str = "", *, name: str = "") -> str:
    try:
        return full_id((_only(parent, namespace, tag).text or "").strip(), prefix)
    except ValueError as error:
        raise MalformedWebhookError(field_errors={name or tag: str(error)}) from error


def _require_open(keys: WebhookKeys) -> None:
    """Raises: SignatureError where there is no secret at all: no empty token opens this door."""
    if not any((keys.signature, keys.standard, keys.bearer, keys.token)):
        raise SignatureError("This receiver refuses webhooks until SF_WEBHOOK_SECRET is set.", reason="closed")


def _require_form(form: str, secrets: Sequence[Secret]) -> None:
    if not secrets:
        raise SignatureError(
            f"This form of authentication ({form}) is switched off here: see SF_WEBHOOK_FORMS.", reason="closed"
        )
