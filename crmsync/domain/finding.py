"""What somebody may mean who types a number: the same number is written in several ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from crmsync.domain.ledger import matching_number

WHERE = (
    "ids of runs, deals, payments, invoices, accounts and dead letters; numbers of orders, invoices and customers; "
    "references, correlation ids, and names of companies and deals"
)
_WORDS_BEFORE = re.compile(
    r"(?:(?:dead[ -]?letter|letter|order|invoice|customer|payment|deal|account|run|no|nr|number)\b[ .:#-]*)+(?=\S)",
    re.I,
)
_REFERENCE = re.compile(r"SF-([A-Za-z0-9]{15,18})(?:-\d+)?", re.I)
_LARGEST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """*keys* are ids as systems write them, *number* is a document's as numbers are compared, *letter* a dead letter's
    id (0: none); *text* is part of a name."""

    text: str
    keys: tuple[str, ...]
    number: str
    letter: int


def wanted(text: str, full_key: Callable[[str], str] = str) -> Wanted:
    """*full_key* makes the CRM's full id of a short one, and leaves everything else as it is.

    >>> found = wanted(" #inv-000001 ")
    >>> found.number, found.keys, found.letter
    ('INV-000001', ('inv-000001', 'INV-000001'), 0)
    >>> wanted("order 0000004734").number, wanted("dead letter 7").letter, wanted("Nr. 12").number
    ('4734', 7, '12')
    >>> wanted("SF-006xx0000012abcAAA-2").keys[-1]
    '006xx0000012abcAAA'
    >>> wanted("Order Desk GmbH").text
    'Order Desk GmbH'
    """
    text = text.strip().strip("\"'`“”#,;").strip()
    bare = _WORDS_BEFORE.sub("", text, count=1).strip("# ") if any(map(str.isdigit, text)) else text
    reference = _REFERENCE.fullmatch(bare)
    found = [bare, full_key(bare), matching_number(bare), *([full_key(reference[1])] if reference else [])]
    is_small = bare.isascii() and bare.isdigit() and int(bare) <= _LARGEST_ID
    keys = tuple(dict.fromkeys(key for key in found if key))
    return Wanted(text, keys, matching_number(bare), int(bare) if is_small else 0)
