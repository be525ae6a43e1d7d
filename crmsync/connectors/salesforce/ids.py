"""Record ids: 15 case-sensitive characters, or the same with three more that make them case-safe."""

from __future__ import annotations

import re

from crmsync.domain.keys import SHORT_LENGTH, guarded

ACCOUNT_PREFIX = "001"
OPPORTUNITY_PREFIX = "006"
ORGANIZATION_PREFIX = "00D"
BULK_JOB_PREFIX = "750"

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?")


def full_id(text: str, prefix: str = "") -> str:
    """The 18-character form of an id, the only one that is compared, stored or sent.

    >>> full_id("00Dxx0000001gER")
    '00Dxx0000001gEREAY'

    Raises: ValueError unless *text* is an id of an object with *prefix*; its checksum must be right.
    """
    if not _ID.fullmatch(text):
        raise ValueError("is not a Salesforce id of 15 or 18 characters")
    if not text.startswith(prefix):
        raise ValueError(f"is the id of another object: it must start with {prefix}")
    short = text[:SHORT_LENGTH]
    full = guarded(short)
    if text not in (short, full):
        raise ValueError(
            "is not a Salesforce id: its checksum is wrong, perhaps because upper and lower case were changed"
        )
    return full
