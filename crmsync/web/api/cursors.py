"""Cursors of lists: opaque, signed, and valid only with the filters that they were made with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import g, request

from crmsync.web.access import signing_keys
from crmsync.web.api.problems import Problem

_SIGNATURE_BYTES = 16


def cursor_of(place: Sequence[Any] | None, query: Mapping[str, Any]) -> str | None:
    """*place* is what the order of the list goes by; None at its end."""
    if place is None:
        return None
    content = json.dumps(list(place), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_signatures(content, query)[0] + content).decode().rstrip("=")


def place_of(query: Mapping[str, Any]) -> list[Any] | None:
    """The place that the query's cursor names; None for the beginning. Raises: Problem for one that is not ours."""
    text = query.get("cursor", "")
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _not_ours() from None
    signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not any(hmac.compare_digest(signature, each) for each in _signatures(content, query)):
        raise _not_ours()
    found: list[Any] = json.loads(content)
    return found


def _signatures(content: bytes, query: Mapping[str, Any]) -> list[bytes]:
    """By each key of the ring, the newest first."""
    filters = {name: str(value) for name, value in query.items() if name not in ("cursor", "limit")}
    bound = json.dumps([request.path, g.caller.tenant, filters], sort_keys=True).encode()
    digest = hashlib.sha256(bound).digest() + content
    return [hmac.digest(key, digest, "sha256")[:_SIGNATURE_BYTES] for key in signing_keys()]


def _not_ours() -> Problem:
    told = {"parameter": "cursor", "detail": "is not a cursor of this list with these filters"}
    return Problem(400, "invalid-cursor", "The list can't continue from there.", errors=[told])
