"""Makes text from outside, such as a company's name, harmless for terminals, logs and JSON.

Control characters move a cursor or forge a line, bidi marks turn an amount around, and zero-width characters make two
names look like one. All of them are shown as what they are.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, half characters, line and paragraph ends


def is_seen(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) not in _UNSEEN


def visible(text: str, *, keep: str = "") -> str:
    r"""*text* with every character that nobody can see written as an escape, but those in *keep*.

    >>> print(visible("Acme\x1b[2J \u202eLtd\u200b\nAmount: 1"), visible("a\nb", keep="\n") == "a\nb")
    Acme\x1b[2J \u202eLtd\u200b\nAmount: 1 True
    """
    return _escaped(text, keep, lambda character: character.encode("unicode_escape").decode())


def json_text(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] = str) -> str:
    r"""JSON that a terminal may show: it holds the same, and other letters than those of English stay readable.

    >>> print(json_text({"name": "Müller\u202e\x9b"}))
    {"name": "Müller\u202e\u009b"}
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=default)
    return _escaped(text, "\n", lambda character: json.dumps(character)[1:-1])


def json_value(value: Any) -> Any:
    """What JSON has no form for, as commands and the API show it. Raises: TypeError."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} can't be shown as JSON")


def _escaped(text: str, keep: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(each if each in keep or is_seen(each) else escape(each) for each in text)
