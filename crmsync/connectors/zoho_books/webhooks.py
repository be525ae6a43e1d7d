"""Payments that Zoho Books announces: is the call authentic, and which payment and which invoices is it about?

The body is the workflow's choice: the payment as JSON, under its key `payment` or bare (raw bodies hold text for
numbers); a form with one field `JSONString`; or a form of single fields. Neither event id nor event type is inside,
no time is signed, and calls come twice or never: the payment is read again by its id.
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

from marshmallow import EXCLUDE, Schema, ValidationError, validate

from crmsync.connectors import signatures
from crmsync.connectors.zoho_books.schemas import Key
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
    query_pairs: Pairs, content_type: str | None, body: bytes, signature: str | None, secret: Secret | None
) -> None:
    """Raise SignatureError unless *signature* was made with *secret*.

    *query_pairs* are the decoded pairs of the address, *body* the bytes as they came.
    Raises: MalformedWebhookError for a form that is none, because its pairs are part of what was signed.
    """
    if secret is None:
        raise SignatureError("ZOHO_WEBHOOK_SECRET is not set.")
    given = (signature or "").strip()
    expected = [signatures.sign(secret, text) for text in _signed_texts(query_pairs, content_type, body)]
    if not any([signatures.same(given, each) for each in expected]):  # a list: each is compared
        raise SignatureError


def _signed_texts(query_pairs: Pairs, content_type: str | None, body: bytes) -> Iterator[bytes]:
    """Pairs sorted by key and joined, then the raw body; a form's own pairs count among them instead of its body.

    Zoho spells this out only for a sibling product. Whether a form is signed so is unverified: its raw bytes count too.
    """
    if _media_type(content_type) != _FORM:
        yield _joined(query_pairs) + body
        return
    yield _joined([*query_pairs, *_form(body)])
    yield _joined(query_pairs) + body


def _joined(pairs: Pairs) -> bytes:
    return "".join(f"{key}{value}" for key, value in sorted(pairs, key=lambda pair: pair[0])).encode()


@dataclass(frozen=True, slots=True)
class PaymentNotice:
    """What a body says. *invoice_keys* are hints, of what the payment was applied to when the body was written."""

    payment_key: str
    invoice_keys: tuple[str, ...] = ()


def parse(content_type: str | None, body: bytes) -> PaymentNotice:
    """The id of the payment, and those of its invoices where the body names them in a way that can be read.

    Raises: MalformedWebhookError that names the field at fault; WrongTypeError. Never for the invoices.
    """
    media_type = _media_type(content_type)
    if media_type == _FORM:
        return _notice(_from_form(_form(body)))
    if media_type in _JSON or media_type.endswith("+json"):
        return _notice(_from_json(body, "body"))
    raise WrongTypeError


class NoticeSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    payment_id = Key(required=True, validate=validate.Regexp(r"[0-9]{1,25}\Z"))


_NOTICE = NoticeSchema()


def _notice(payload: Any) -> PaymentNotice:
    """From {"payment": {…}} or the payment itself."""
    is_wrapped = isinstance(payload, dict) and WRAPPER in payload
    record = payload[WRAPPER] if is_wrapped else payload
    try:
        read: dict[str, str] = _NOTICE.load(record)
    except ValidationError as error:
        field = f"{WRAPPER}.payment_id" if is_wrapped else "payment_id"
        raise MalformedWebhookError(field_errors={field: "is missing or no id"}) from error
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


def _from_form(pairs: Pairs) -> Any:
    values = dict(pairs)
    return _from_json(values["JSONString"], "JSONString") if "JSONString" in values else values


def _from_json(text: str | bytes, field: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError(field_errors={field: "is no JSON"}) from error


def _form(body: bytes) -> list[tuple[str, str]]:
    """The decoded pairs. Raises: MalformedWebhookError."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS_MAX)
    except ValueError as error:
        raise MalformedWebhookError(field_errors={"body": "is no form"}) from error


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
