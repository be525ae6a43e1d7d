"""Authenticates Zoho Books' webhooks and reads the payments and invoices that they announce.

The method and the body are the workflow's choice: the payment as JSON, under its key `payment` or bare (raw bodies
hold text for numbers); a form with one field `JSONString` or `payment`; or a form of single fields. Neither event id
nor event type is inside, no time is signed, and calls come twice or never: the payment is read again by its id.
Source: https://www.zoho.com/books/api/v3/webhooks/, …/kb/automation/create-webhook.html; facts, section 7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from marshmallow import ValidationError, validate

from crmsync.connectors.kit import bodies, signatures
from crmsync.connectors.kit.fields import Key
from crmsync.connectors.kit.schemas import Tolerant
from crmsync.errors import MalformedWebhookError, SignatureError, WrongTypeError
from crmsync.settings import Secret

SIGNATURE_HEADER = "X-Zoho-Webhook-Signature"
WRAPPER = "payment"
_FORM = "application/x-www-form-urlencoded"
_JSON = frozenset({"application/json", "text/json", "text/plain"})
_FORM_FIELDS_MAX = 100
_INVOICE_FIELDS = ("invoices", "invoice_ids", "invoice_id")
_ID = re.compile("[0-9]{1,25}")
INVOICES_MAX = 1000

Pairs = Sequence[tuple[str, str]]


def verify(
    query_pairs: Pairs, content_type: str | None, body: bytes, signature: str | None, secrets: Sequence[Secret]
) -> None:
    """Raise SignatureError unless *signature* was made with one of *secrets*.

    *query_pairs* are the decoded pairs of the address, *body* the bytes as they came.
    Raises: MalformedWebhookError for a form that is none, because its pairs are part of what was signed.
    """
    if not secrets:
        raise SignatureError("This receiver refuses webhooks until ZOHO_WEBHOOK_SECRET is set.", reason="closed")
    texts = list(_signed_texts(query_pairs, content_type, body))
    signatures.require_signature((signature or "").strip().lower(), secrets, texts, what=SIGNATURE_HEADER)


def _signed_texts(query_pairs: Pairs, content_type: str | None, body: bytes) -> Iterator[bytes]:
    """Pairs sorted by key and joined, then the raw body; a form's own pairs count among them instead of its body.

    Zoho spells this out only for a sibling product. Whether a form is signed so is unverified: its raw bytes count too.
    """
    if bodies.media_type(content_type) != _FORM:
        yield _joined(query_pairs) + body
        return
    yield _joined([*query_pairs, *_form(body, content_type)])
    yield _joined(query_pairs) + body


def _joined(pairs: Pairs) -> bytes:
    return "".join(f"{key}{value}" for key, value in sorted(pairs, key=lambda pair: pair[0])).encode()


@dataclass(frozen=True, slots=True)
class PaymentNotice:
    """What a body says. *invoice_keys* are hints, of what the payment was applied to when the body was written."""

    payment_key: str
    invoice_keys: tuple[str, ...] = ()


def parse(content_type: str | None, body: bytes, query_pairs: Pairs = ()) -> PaymentNotice:
    """The id of the payment, and those of its invoices where the body names them in a way that can be read.

    A call without a body, as DELETE may be, names them in its address.
    Raises: MalformedWebhookError that names the field at fault; WrongTypeError. Never for the invoices.
    """
    media_type = bodies.media_type(content_type)
    if not body and query_pairs:
        return _notice(dict(query_pairs))
    if media_type == _FORM:
        return _notice(dict(_form(body, content_type)))
    if media_type in _JSON or media_type.endswith("+json"):
        return _notice(bodies.json_of(bodies.text_of(body, content_type), "body"))
    raise WrongTypeError("Set the body of the webhook to JSON (application/json) or to a form of single fields.")


class NoticeSchema(Tolerant):
    payment_id = Key(required=True, validate=validate.Regexp(r"[0-9]{1,25}\Z"))


_NOTICE = NoticeSchema()


def _notice(payload: Any) -> PaymentNotice:
    """From {"payment": {…}} or the payment itself; either may be JSON text under its key."""
    payload = bodies.unwrapped(payload, "JSONString")
    is_wrapped = isinstance(payload, dict) and WRAPPER in payload
    record = bodies.unwrapped(payload, WRAPPER)
    try:
        read: dict[str, str] = _NOTICE.load(record)
    except ValidationError as error:
        field = f"{WRAPPER}.payment_id" if is_wrapped else "payment_id"
        raise MalformedWebhookError(field_errors={field: "is missing or is not an id"}) from error
    return PaymentNotice(read["payment_id"], invoice_keys(record))


def invoice_keys(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of its invoices, each once and at most 1000; what is none, or can't be read, is left out.

    >>> invoice_keys({"invoices": [{"invoice_id": "46", "amount_applied": 5}], "invoice_ids": "47,46"})
    ('46', '47')
    """
    named = (each for field in _INVOICE_FIELDS for each in _listed(record.get(field)))
    keys = dict.fromkeys(key for key in map(_invoice_key, named) if key)
    return tuple(islice(keys, INVOICES_MAX))


def _listed(value: Any) -> list[Any]:
    """The items of a list, of text that holds one as JSON, or of text with commas; anything else is one item."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = value.split(",")
    return value if isinstance(value, list) else [value]


def _invoice_key(item: Any) -> str:
    """The id in {"invoice_id": …}, or the item itself; "" where that is none."""
    value = item.get("invoice_id") if isinstance(item, dict) else item
    is_id = isinstance(value, str | int) and not isinstance(value, bool) and _ID.fullmatch(str(value).strip())
    return str(value).strip() if is_id else ""


def _form(body: bytes, content_type: str | None) -> list[tuple[str, str]]:
    """The decoded pairs. Raises: MalformedWebhookError."""
    encoding = bodies.charset(content_type) or "utf-8"
    try:
        text = body.decode(encoding)
        return parse_qsl(
            text, keep_blank_values=True, encoding=encoding, errors="strict", max_num_fields=_FORM_FIELDS_MAX
        )
    except ValueError as error:
        raise MalformedWebhookError(field_errors={"body": "is not a form in UTF-8, or has too many fields"}) from error
