"""How SOQL compares: texts without regard to case, instants in UTC, nulls by = and != alone."""

import operator
import re
from collections.abc import Callable
from typing import Any

from crmsync.lab.sandbox.salesforce.ids import full_id
from crmsync.lab.sandbox.salesforce.rules import Record

Test = Callable[[Record], bool]
Getter = Callable[[Record], Any]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def plain(value: Any) -> Any:
    """Texts compare without regard to case, except ids."""
    if isinstance(value, str):
        return value if len(value) == 18 and full_id(value) else value.lower()
    return value


def comparison(get: Getter, word: str, value: Any) -> Test:
    """A test of rows; `get` gives what compares as it stands (ids, numbers, instants) or was made so."""
    compare = COMPARE[word]
    if value is None:
        return lambda row: compare(get(row), None) if word in ("=", "!=") else False
    if word == "!=":
        return lambda row: get(row) != value
    return lambda row: (held := get(row)) is not None and compare(held, value)


def day_of(get: Getter) -> Getter:
    return lambda row: held.date() if (held := get(row)) is not None else None


def like(pattern: str) -> re.Pattern[str]:
    parts = [{"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern]
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def no_column(name: str, kind: str) -> str:
    return (
        f"No such column '{name}' on entity '{kind}'. If you are attempting to use a custom field, be sure to append "
        "the '__c' after the custom field name."
    )


def no_relationship(name: str) -> str:
    return f"Didn't understand relationship '{name}' in field path. Custom relationships end in '__r'."
