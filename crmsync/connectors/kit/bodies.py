"""Decodes the text or JSON of a webhook's body; what can't be read is refused with a hint for the sender."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crmsync.errors import MalformedWebhookError

# The encodings that senders use. Not all that Python knows: some of those take a time that the sender chooses.
_CHARSETS = frozenset({"ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "iso8859-15", "cp1252"})
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([\w.:-]{1,30})"?', re.IGNORECASE)
_WRAPPED_MAX = 2  # JSON text inside JSON text inside JSON text is nobody's mistake any more


def media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def charset(content_type: str | None) -> str:
    """Python's name of the encoding that *content_type* names, "" if it names none. Raises: MalformedWebhookError.

    >>> charset("text/plain; Charset=UTF-16LE"), charset("application/json")
    ('utf-16-le', '')
    """
    named = _CHARSET.search(content_type or "")
    if named is None:
        return ""
    with suppress(LookupError):
        found = codecs.lookup(named[1]).name
        if found in _CHARSETS:
            return found
    raise MalformedWebhookError(field_errors={"Content-Type": "names a charset that is not supported: send UTF-8"})


def text_of(body: bytes, content_type: str | None) -> str:
    """A byte order mark says how *body* is encoded, else the charset of *content_type*, else the pattern of JSON.

    Raises: MalformedWebhookError.
    """
    named = charset(content_type)
    is_known = named not in ("", "ascii", "utf-8") and not body.startswith(_MARKS)
    try:
        return body.decode(named if is_known else json.detect_encoding(body))
    except UnicodeDecodeError as error:
        problem = "is not valid text in this encoding: send UTF-8, or name the charset in Content-Type"
        raise MalformedWebhookError(field_errors={"body": problem}) from error


def json_of(text: str, field: str, **options: Any) -> Any:
    """The value of *text*. A value that is JSON text itself is opened: senders serialise twice by mistake.

    Raises: MalformedWebhookError, which names *field*.
    """
    try:
        value = json.loads(text, **options)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError(field_errors={field: "is not valid JSON, or contains a key twice"}) from error
    for _ in range(_WRAPPED_MAX):
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):
                value = json.loads(value, **options)
    return value


def unwrapped(payload: Any, key: str) -> Any:
    """What stands under *key*, opened where it is JSON text; *payload* itself where it has no such key.

    >>> unwrapped({"payment": '{"payment_id": "1"}'}, "payment")
    {'payment_id': '1'}
    """
    if not isinstance(payload, Mapping) or key not in payload:
        return payload
    inner = payload[key]
    return json_of(inner, key) if isinstance(inner, str) else inner
