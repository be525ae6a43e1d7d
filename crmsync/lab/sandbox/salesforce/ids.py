"""Record ids: 15 case-sensitive characters, and three more that protect their case."""

import re
import string

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECK = string.ascii_uppercase + "012345"
_SHAPE = re.compile(r"[a-zA-Z0-9]{15}(?:[A-Z0-5]{3})?")


def checksum(id15: str) -> str:
    """The three characters that follow a 15-character id.

    >>> checksum("00Dxx0000001gER")
    'EAY'
    """
    fives = (id15[start : start + 5] for start in (0, 5, 10))
    return "".join(_CHECK[sum(1 << bit for bit, char in enumerate(five) if char.isupper())] for five in fives)


def make_id(prefix: str, number: int, pod: str = "Sb") -> str:
    """An 18-character id of the object with this prefix; the pod tells the org."""
    tail = ""
    while number:
        number, digit = divmod(number, 62)
        tail = _BASE62[digit] + tail
    id15 = f"{prefix}{pod}00{tail.rjust(8, '0')}"
    return id15 + checksum(id15)


def full_id(text: object) -> str | None:
    """The 18-character form of an id given with 15 or 18 characters; None for anything else."""
    if not isinstance(text, str) or not _SHAPE.fullmatch(text):
        return None
    id15 = text[:15]
    return id15 + checksum(id15) if len(text) == 15 or text[15:] == checksum(id15) else None
