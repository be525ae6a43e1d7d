"""A vendor's own error text as an operator may read it: bounded, without personal data, safe to display."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from crmsync.domain.customers import Customer
from crmsync.domain.personal import MASK, personal_values
from crmsync.log import redact

CHARACTERS_MAX = 1000
_SHORTEST_NAME = 3  # a shorter one would be found in every other word

_SEPARATOR = r"[ /.-]"
_PERSONAL = (
    re.compile(r"[\w.+-]+(?:@[\w-]+(?:\.[\w-]+)*|%40[\w-]+(?:\.[\w-]+)+)"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w.-]+"),  # a signed token
    # IBANs, also in groups of four
    re.compile(r"\b[A-Z]{2}\d{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{0,4}\b"),
    re.compile(r"\b[a-z]{2}\d{12,30}\b"),
    re.compile(r"\b(?:\d{4}[ -]){3}\d{1,4}\b"),  # a card
    re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),  # a social security number
    # telephone numbers: international ones, those with an area code, those of North America. A number without any
    # separator is one of a record.
    re.compile(rf"(?<![\w.+/-])(?:\+\d|00[1-9]\d{{0,2}}{_SEPARATOR}\d)[\d ()/.-]{{5,}}\d"),
    re.compile(rf"(?<![\w.+/-])\(?0[1-9]\d{{1,4}}\)? ?{_SEPARATOR}? ?(?<=[ /.)-])\d[\d ./-]{{3,}}\d"),
    re.compile(r"(?<![\w.+/-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b"),
)
_TITLED = re.compile(
    r"\b(Mrs?|Ms|Miss|Dr|Prof|Herrn?|Frau|Mme|Monsieur|Madame|Sra?|Señora?)\b(\.?)((?: [A-ZÀ-Þ][\w'’-]*\.?){1,3})"
)


def readable(text: str, known: Collection[str] = ()) -> str:
    r"""*text* without what its form, or *known*, says is a person's; at most 1,000 characters.

    >>> readable("Customer 17100001 is blocked for sales area 1010 10 00")
    'Customer 17100001 is blocked for sales area 1010 10 00'
    >>> readable("Ask Mr. Lee,\x1b[2J ann@acme.test or +49 30 1234567 (DE89 3704 0044 0532 0130 00)")
    'Ask Mr. ***, [2J *** or *** (***)'
    >>> readable("Ida  LEE owns it", ["ida lee"])
    '*** owns it'
    """
    shown = "\n".join(filter(None, (" ".join(_seen(line).split()) for line in text.splitlines())))
    shown = redact(shown).replace("***@***", MASK)
    for pattern in _PERSONAL:  # before the names, which are parts of addresses
        shown = pattern.sub(MASK, shown)
    for name in sorted(known, key=len, reverse=True):
        if len(name) >= _SHORTEST_NAME:
            shown = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", MASK, shown, flags=re.IGNORECASE)
    shown = _TITLED.sub(rf"\1\2 {MASK}", shown)
    return shown if len(shown) <= CHARACTERS_MAX else f"{shown[: CHARACTERS_MAX - 1]}…"


def known_persons(results: Mapping[str, Any]) -> frozenset[str]:
    """The persons of the deals that a run has read, from what its steps learned."""
    return frozenset(value for customer in _customers(results) for value in personal_values(customer))


def _customers(results: Mapping[str, Any]) -> Iterator[Customer]:
    for learned in results.values():
        found = learned.get("customer") if isinstance(learned, Mapping) else None
        if isinstance(found, Mapping) and "address" in found:
            yield Customer.from_json(found)


def _seen(text: str) -> str:
    """*text* with a blank for each character that moves a cursor or hides others."""
    return "".join(" " if unicodedata.category(each) in _UNSEEN else each for each in text)


_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
