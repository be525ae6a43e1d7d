"""Signatures of webhooks: HMAC-SHA256, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac

from crmsync.settings import Secret


def sign(secret: Secret, body: bytes) -> str:
    """The lower-case hex HMAC-SHA256 of *body*."""
    return hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())
