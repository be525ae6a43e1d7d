"""The words of SOQL: strings with escapes, dates, instants, numbers, names and marks."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.salesforce.errors import malformed_query

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<word>[A-Za-z][\w.]*(?::\d+)?)|(?P<mark><=|>=|!=|<>|[=<>(),]))"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > 100_000:
        raise malformed_query("SOQL statements cannot be longer than 100000 characters")
    found, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if not match or not match.lastgroup:
            raise malformed_query(f"unexpected token: '{text[position:].strip()[:1]}'")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


def unescape(quoted: str) -> str:
    r"""The text of a SOQL string with its quotes.

    >>> unescape(r"'O\'Brien'")
    "O'Brien"
    """
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1:-1])


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise malformed_query(f"invalid datetime: {text}") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise malformed_query(f"invalid date: {text}") from None


LITERALS: dict[str, Callable[[str], Any]] = {"string": unescape, "number": Decimal, "datetime": _instant, "date": _day}
