"""What all requests and answers share: names in both spellings, no unknown fields, numbers as in JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import g
from marshmallow import RAISE, Schema, ValidationError, fields, post_dump, post_load, pre_load, validate

CAMEL_TYPE = "application/vnd.crmsync.camel+json"
DEFAULT_LIMIT, MOST = 50, 200


def snake(name: str) -> str:
    """
    >>> snake("tenantId"), snake("tenant_id"), snake("expiresAt2")
    ('tenant_id', 'tenant_id', 'expires_at2')
    """
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)


def camel(name: str) -> str:
    """
    >>> camel("tenant_id"), camel("id")
    ('tenantId', 'id')
    """
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


class ApiSchema(Schema):
    """Names are taken in snake_case and camelCase, and answered in snake_case unless `case=camel` was asked for."""

    class Meta:
        unknown = RAISE

    @pre_load
    def _spelt(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        found: dict[str, Any] = {}
        for name in data:
            own = snake(name) if snake(name) in self.fields else name
            if own in found:
                raise ValidationError("is given twice, in both spellings", own)
            found[own] = data[name]
        return found

    @post_dump
    def _as_asked(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {camel(name): value for name, value in data.items()} if g.get("case") == "camel" else data


class QuerySchema(ApiSchema):
    """What every address may say."""

    case = fields.String(
        validate=validate.OneOf(["snake", "camel"]),
        metadata={"description": "how names are spelt in the answer; snake_case if left out"},
    )

    @post_load
    def _without_case(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        g.case = data.pop("case", "snake")
        return data


class WholeNumber(fields.Integer):
    """As JSON Schema has it: 5 and 5.0, but no text and no truth; in an address a text of digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise self.make_error("invalid", input=value)
        if isinstance(value, str) and not (self.metadata.get("in_address") and re.fullmatch("[0-9]{1,9}", value)):
            raise self.make_error("invalid", input=value)
        return int(value) if isinstance(value, (int, float, str)) else super()._deserialize(value, attr, data, **kwargs)


class Truth(fields.Boolean):
    """As JSON has it: no text, and no number, though for Python 1 is as true as True."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Text(fields.String):
    """A text that a database can hold."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if isinstance(text, str) and ("\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text)):
            raise ValidationError("contains a character that is not allowed")
        return text


class Word(Text):
    """A text of certain signs: *pattern* is of all of it, and one that JavaScript reads alike."""

    def __init__(self, pattern: str, expected: str, **options: Any) -> None:
        metadata = {**options.pop("metadata", {}), "pattern": f"^(?:{pattern})$"}
        super().__init__(metadata=metadata, **options)
        self._pattern, self._expected = re.compile(pattern), expected

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not self._pattern.fullmatch(text):
            raise ValidationError(f"expected {self._expected}")
        return text


class Said(Text):
    """A text that says something: blanks alone do not."""

    def __init__(self, longest: int, **options: Any) -> None:
        metadata = {**options.pop("metadata", {}), "pattern": "\\S"}
        super().__init__(metadata=metadata, validate=validate.Length(1, longest), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not text.strip():
            raise ValidationError("is empty")
        return text.strip()


class ListSchema(QuerySchema):
    """What every list may be asked for."""

    limit = WholeNumber(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(1, MOST),
        metadata={"in_address": True, "description": "the maximum number"},
    )
    cursor = Text(
        load_default="",
        validate=validate.Length(max=600),
        metadata={"description": "where to continue: the next_cursor of the previous answer, with the same filters"},
    )


class MoneySchema(ApiSchema):
    amount = fields.Function(
        lambda money: str(money.rounded().amount),
        required=True,
        metadata={"type": "string", "format": "decimal", "description": "with the digits of its currency"},
    )
    currency = fields.String(required=True)


def page_of(item: type[ApiSchema]) -> type[ApiSchema]:
    """A list of *item*, and where it goes on."""
    name = item.__name__.removesuffix("Schema") + "PageSchema"
    members = {
        "items": fields.List(fields.Nested(item), required=True),
        "next_cursor": fields.String(
            required=True, allow_none=True, metadata={"description": "null at the end of the list"}
        ),
    }
    made: type[ApiSchema] = type(name, (ApiSchema,), members)
    return made


class ReasonSchema(ApiSchema):
    reason = Said(500, required=True, metadata={"description": "why, for the audit; no personal data"})
