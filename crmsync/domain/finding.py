"""The possible meanings of a number that somebody types: the same number is written in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

from crmsync.domain.ledger import matching_number
from crmsync.options import REFERENCE_PREFIX as PREFIX
from crmsync.plain import visible

WHERE = (
    "ids of runs, deals, payments, invoices, accounts and dead letters; numbers of orders, invoices, payments and "
    "customers; references, correlation ids, and names of companies and deals"
)
_BEFORE = "dead[ -]?letter|letter|order|invoice|customer|payment|deal|account|run|no|nr|number"
_BEFORE_WITH_BLANK = "sales|reference|ref|correlation|id"  # "REF-12" may be a number as it stands
_OF_ANOTHER = "order|invoice|customer|payment|deal|account|run|reference|correlation"
_REFERENCE = re.compile(rf"{PREFIX}([A-Za-z0-9]{{15,18}})(?:-\d+)?", re.I)
_LARGEST_ID = 2**31 - 1
_SHORTEST_PART = 4
_SHORTEST_ID = 8  # of which people leave the rest out, or the capitals
_HEXADECIMAL = re.compile(r"[0-9a-f-]+", re.I)
_LONGEST = 200  # no number and no name is longer
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
_AROUND = " \"'`“”#,;.:"
_ADDRESS = re.compile(r"https?://", re.I)
_PART_WITH_DIGIT = re.compile(r"(?<=[/=])[\w-]*\d[\w-]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """*keys* are ids as systems write them, *number* is a document's as numbers are compared, *letter* a dead letter's
    id (0: none); *text* is part of a name, *part* of a number, without blanks and hyphens, *id_part* of a system's id,
    and *beginning* that of an id of crmsync's own ("": too short, or none)."""

    text: str
    keys: tuple[str, ...]
    number: str
    letter: int
    part: str = ""
    id_part: str = ""
    beginning: str = ""


def wanted(text: str, full_key: Callable[[str], str] = str, words: Collection[str] = ()) -> Wanted:
    """*full_key* makes the CRM's full id of a short one, and leaves everything else as it is.

    *words* are what systems call a deal: people type them in front of its id.

    >>> found = wanted(" #inv-000001 ")
    >>> found.number, found.keys, found.letter
    ('INV-000001', ('inv-000001', 'INV-000001'), 0)
    >>> wanted("order 0000004734").number, wanted("dead letter 7").letter, wanted("Nr. 12").number
    ('4734', 7, '12')
    >>> wanted("payment 7").letter, wanted("inv 000001").part
    (0, 'INV000001')
    >>> wanted("SF-006xx0000012abcAAA-2").keys[-1]
    '006xx0000012abcAAA'
    >>> wanted("sf-006XX0000012abcaaa").id_part, wanted("Correlation ID: 0C0FFEE42").beginning
    ('006XX0000012abcaaa', '0c0ffee42')
    >>> wanted("Order Desk GmbH").text
    'Order Desk GmbH'
    >>> wanted("https://acme.test/deals/006xx0000012abcAAA/view").keys[0]
    '006xx0000012abcAAA'
    >>> wanted("Chance 4711").number, wanted("Chance 4711", words=["chance"]).number
    ('CHANCE 4711', '4711')
    """
    text = visible(text[: 10 * _LONGEST]).strip().strip(_AROUND)[:_LONGEST]
    typed = _number_in(text)
    bare = _words_before(tuple(words)).sub("", typed, count=1).strip("# ") if any(map(str.isdigit, typed)) else typed
    reference = _REFERENCE.fullmatch(bare)
    long = bare if len(bare) >= _SHORTEST_ID else ""
    beginning = long.lower() if _HEXADECIMAL.fullmatch(long) else ""
    found = [bare, full_key(bare), matching_number(bare), *([full_key(reference[1])] if reference else []), beginning]
    is_small = bare.isascii() and bare.isdigit() and int(bare) <= _LARGEST_ID
    is_letter = is_small and bare[0] != "0" and not _of_another(tuple(words)).search(typed)
    keys = tuple(dict.fromkeys(key for key in found if key))
    letter, id_part = int(bare) if is_letter else 0, reference[1] if reference else long
    return Wanted(text, keys, matching_number(bare), letter, _part(bare), id_part, beginning)


def _part(bare: str) -> str:
    """Of a number, as people shorten it or write it in another way."""
    part = re.sub(r"[\s-]", "", bare).upper()
    return part if len(part) >= _SHORTEST_PART and any(map(str.isdigit, part)) else ""


def _number_in(text: str) -> str:
    """*text* in plain signs, as numbers are written; of an address in a browser the part that may be a number."""
    plain = unicodedata.normalize("NFKC", text.translate(_HYPHENS))
    parts = _PART_WITH_DIGIT.findall(plain) if _ADDRESS.match(plain) else []
    return parts[-1] if parts else plain


@cache
def _words_before(words: tuple[str, ...]) -> re.Pattern[str]:
    with_blank = "|".join([_BEFORE_WITH_BLANK, *map(re.escape, words)])
    return re.compile(rf"(?:(?:{_BEFORE})\b[ .:#-]*|(?:{with_blank})\b[ .:#]+)+(?=\S)", re.I)


@cache
def _of_another(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([_OF_ANOTHER, *map(re.escape, words)]), re.I)
