"""Authenticates webhooks: secrets and HMAC-SHA256, compared in constant time, with the reason of a refusal.

A refusal names its reason: nothing came (`missing`), it is not of the form (`format`), it does not fit (`mismatch`),
it is too old (`stale`), this form is switched off or has no secret (`closed`). Which secret was tried, or how near a
guess was, is never said; that a message is too old only to a sender who signed it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime

from crmsync.errors import SignatureError
from crmsync.settings import Secret

STANDARD_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
STANDARD_PREFIX = "whsec_"
TOLERANCE_SECONDS = 300

_STANDARD_SIGNATURES_MAX = 20
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign(secret: Secret, body: bytes) -> str:
    """The lower-case hex HMAC-SHA256 of *body*."""
    return hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def as_sent(value: str) -> str:
    """A header's text. The server reads headers as Latin-1; nearly all senders write UTF-8.

    >>> as_sent("vÃ¶llig geheim"), as_sent("völlig geheim")
    ('völlig geheim', 'völlig geheim')
    """
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def is_one_of(given: str, expected: Sequence[str]) -> bool:
    return any([same(given, each) for each in expected])  # a list: each is compared


def require_secret(given: str, secrets: Sequence[Secret], *, what: str) -> None:
    """Check a secret. Raises: SignatureError unless *given* is one of *secrets*."""
    if not given:
        raise SignatureError(f"{what} is missing.", reason="missing")
    if not is_one_of(given, [each.reveal() for each in secrets if each.reveal()]):
        raise SignatureError(f"{what} is not the expected one.", reason="mismatch")


def require_signature(given: str, secrets: Sequence[Secret], texts: Sequence[bytes], *, what: str) -> None:
    """Check a signature.

    Raises: SignatureError unless *given* is the hex signature of one of *texts* with one of *secrets*.
    """
    if not given:
        raise SignatureError(f"{what} is missing.", reason="missing")
    if not re.fullmatch(r"[0-9a-f]{64}", given):
        raise SignatureError(f"{what} must be the HMAC-SHA256 as 64 hexadecimal digits.", reason="format")
    if not is_one_of(given, [sign(secret, text) for secret in secrets for text in texts]):
        raise SignatureError(
            f"{what} does not match the body: it was made with another secret or for another body.", reason="mismatch"
        )


def require_standard(headers: Mapping[str, str], body: bytes, secrets: Sequence[Secret], now: datetime) -> str:
    """The id of a message that is signed in the form of Standard Webhooks; *headers* have lower-case names.

    Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
    Raises: SignatureError.
    """
    message_id, timestamp, signature = (headers.get(name, "").strip() for name in STANDARD_HEADERS)
    if not (message_id and timestamp and signature):
        raise SignatureError(f"{', '.join(STANDARD_HEADERS)}: send all three.", reason="missing")
    given = [each.removeprefix("v1,") for each in signature.split(" ")[:_STANDARD_SIGNATURES_MAX] if each[:3] == "v1,"]
    if not given or not _TIMESTAMP.fullmatch(timestamp):
        problem = "webhook-signature must be v1,<base64>, and webhook-timestamp seconds since 1970."
        raise SignatureError(problem, reason="format")
    text = f"{message_id}.{timestamp}.".encode() + body
    expected = [_standard(key, text) for secret in secrets for key in _standard_keys(secret)]
    if not any([is_one_of(each, expected) for each in given]):
        raise SignatureError("webhook-signature does not match the id, the timestamp and the body.", reason="mismatch")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise SignatureError(
            "webhook-timestamp differs from the current time by more than five minutes.", reason="stale"
        )
    return message_id


def standard_headers(secret: Secret, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The proof that require_standard() asks for, as a sender makes it."""
    timestamp = str(int(now.timestamp()))
    text = f"{message_id}.{timestamp}.".encode() + body
    signature = " ".join(f"v1,{_standard(key, text)}" for key in _standard_keys(secret))
    return dict(zip(STANDARD_HEADERS, (message_id, timestamp, signature), strict=True))


def _standard(key: bytes, text: bytes) -> str:
    return b64encode(hmac.digest(key, text, "sha256")).decode()


def _standard_keys(secret: Secret) -> list[bytes]:
    """`whsec_` and base64 stand for bytes; any other secret is its own key."""
    text = secret.reveal()
    if not text.startswith(STANDARD_PREFIX):
        return [text.encode()] if text else []
    encoded = text.removeprefix(STANDARD_PREFIX)
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return []
    return [key] if key else []
