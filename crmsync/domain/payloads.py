"""What is kept of a webhook's body for people who look into it: its shape, and no value that could be a person's.

Names are kept. Of values only those under a name that says "id, number of a document, state, date, amount", if they
look like one; of everything else only what kind of value it is. So a field that nobody knows hides itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

BODY_BYTES_MAX = 65_536  # a larger body is not looked into
KEPT_LENGTH_MAX = 4_000  # characters
_DEPTH, _MEMBERS = 6, 30

_PLAIN = frozenset(
    "id ids key status state stage type action event operation currency code date time at timestamp amount total"
    " balance rate quantity count version".split()
)
_PERSONAL = re.compile(
    "mail|phone|mobile|fax|birth|tax|vat|gst|iban|bank|card|passport|social|secret|token|password|signature|zip|postal"
    "|user|login|promo|verification|access|pass",
    re.IGNORECASE,
)
_DOCUMENT_NUMBER = re.compile("(invoice|payment|order|deal|document)_?number", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,59}")
_VALUE = re.compile(r"[A-Za-z0-9_.:+/-]{1,40}")
_NO_NAME = "<name>"
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def kept_of(body: bytes, mimetype: str) -> str | None:
    """The masked JSON of a body that is JSON, or a form; None of any other, and of one that is too large.

    >>> kept_of(b'{"dealId": "006A", "owner": "Ida Berg"}', "application/json")
    '{"dealId":"006A","owner":"<text, 8>"}'
    """
    found = _object_of(body, mimetype) if len(body) <= BODY_BYTES_MAX else None
    if found is None:
        return None
    text = _text_of(masked(found))
    return text if len(text) <= KEPT_LENGTH_MAX else _text_of({"": f"<left out, {len(text)} characters>"})


def masked(value: Any, name: str = "", depth: int = 0) -> Any:
    """
    >>> masked({"payment_id": "460000000042059", "amount": 12.5, "customer_name": "Ida Berg", "phone_id": "0151"})
    {'payment_id': '460000000042059', 'amount': 12.5, 'customer_name': '<text, 8>', 'phone_id': '<text, 4>'}
    >>> masked({"lines": [{"sku": "A"}], "ida@acme.test": True})
    {'lines': [{'sku': '<text, 1>'}], '<name>': True}
    """
    if isinstance(value, Mapping):
        if depth >= _DEPTH:
            return f"<object, {len(value)}>"
        members = list(value.items())[:_MEMBERS]
        named = ((_name_of(key), each) for key, each in members)
        return {key: masked(each, key, depth + 1) for key, each in named}
    if isinstance(value, list):
        if depth >= _DEPTH:
            return f"<list, {len(value)}>"
        return [masked(each, name, depth + 1) for each in value[:_MEMBERS]]
    if value is None or isinstance(value, bool):
        return value
    if is_plain(name) and (not isinstance(value, str) or _VALUE.fullmatch(value)):
        return value
    return f"<text, {len(value)}>" if isinstance(value, str) else "<number>"


@lru_cache(maxsize=1024)  # senders repeat themselves
def is_plain(name: str) -> bool:
    """
    >>> [is_plain(name) for name in ("dealId", "name", "invoice_number", "customer_id", "tax_id", "Id")]
    [True, False, True, True, False, True]
    """
    if _PERSONAL.search(name):
        return False
    words = _WORDS.findall(name)
    return bool(words) and (words[-1].lower() in _PLAIN or _DOCUMENT_NUMBER.fullmatch(name) is not None)


def _name_of(key: str) -> str:
    return key if _NAME.fullmatch(key) else _NO_NAME


def _object_of(body: bytes, mimetype: str) -> dict[str, Any] | None:
    try:
        if mimetype == "application/x-www-form-urlencoded":
            pairs = parse_qsl(body.decode(), max_num_fields=_MEMBERS)
            return {name: _opened(value) for name, value in pairs}
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _opened(value: str) -> Any:
    """A form's member may be JSON itself."""
    try:
        return json.loads(value) if value.startswith("{") else value
    except (ValueError, RecursionError):
        return value


def _text_of(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
