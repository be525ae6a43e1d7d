"""How vendors' JSON is read: unknown fields are dropped, and invalid ones are named one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from crmsync.errors import UnexpectedAnswerError


class Tolerant(Schema):
    """Drops the fields that it does not know."""

    class Meta:
        unknown = EXCLUDE


def load(schema: Schema, value: Any, name: str = "", *, system: str, operation: str) -> Any:
    """*value* as *schema* reads it; *name* is what it stands under in the answer, "" for the whole of it.

    Raises: UnexpectedAnswerError that names the fields at fault.
    """
    try:
        return schema.load(value)
    except ValidationError as error:
        at_fault = dict.fromkeys(_paths(name, error.messages), "is missing or can't be read")
        raise UnexpectedAnswerError(system=system, operation=operation, field_errors=at_fault) from error


def _paths(path: str, messages: Any) -> Iterator[str]:
    """
    >>> list(_paths("invoice", {"customer": {"id": ["Missing data for required field."]}, "_schema": ["Invalid."]}))
    ['invoice.customer.id', 'invoice']
    """
    if not isinstance(messages, dict):
        yield path or "body"
        return
    for name, below in messages.items():
        yield from _paths(path if name == "_schema" else f"{path}.{name}".lstrip("."), below)
