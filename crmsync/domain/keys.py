"""Case-sensitive keys, and the suffix that makes them safe where case is lost.

A key of 15 letters and digits may be written with three more, which say which of the others are capitals. They tell
nothing that the others do not: what has no room for them can do without, as long as it keeps the case.
"""

from __future__ import annotations

import re

SHORT_LENGTH = 15

_GUARDED = re.compile(r"[A-Za-z0-9]{15}[A-Z0-5]{3}")
_GUARDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def guarded(short: str) -> str:
    """
    >>> guarded("00Dxx0000001gER")
    '00Dxx0000001gEREAY'
    """
    return short + "".join(_GUARDS[_capitals(short[start : start + 5])] for start in (0, 5, 10))


def unguarded(key: str) -> str:
    """*key* without its guard; any other text as it is.

    >>> unguarded("00Dxx0000001gEREAY"), unguarded("00Dxx0000001gEREAA"), unguarded("4711")
    ('00Dxx0000001gER', '00Dxx0000001gEREAA', '4711')
    """
    short = key[:SHORT_LENGTH]
    return short if _GUARDED.fullmatch(key) and guarded(short) == key else key


def _capitals(five: str) -> int:
    return sum(1 << position for position, letter in enumerate(five) if letter.isupper())
