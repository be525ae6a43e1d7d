"""The types of OData fields as SAP fills them: values that it has not computed are missing or null."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from marshmallow import ValidationError, fields

from crmsync.connectors.kit import fields as kit
from crmsync.connectors.s4hana.odata import plain, trimmed

# The number of a record, without the zeros that SAP may put before it.
Key = partial(kit.Key, canonical=lambda text: trimmed(text.strip()))
# ABAP's own form of true is "X", and of false a blank.
Flag = partial(kit.Flag, truthy={*fields.Boolean.truthy, "X"}, falsy={*fields.Boolean.falsy, ""})


class Text(kit.Text):
    """A text of at most *limit* characters; *field* is the deal's own name of what stands there, if that is another."""

    def __init__(self, limit: int, field: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._limit = limit
        self._field = field

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        text = str(value or "").strip()
        if len(text) > self._limit:
            raise ValidationError(f"has {len(text)} characters, SAP holds {self._limit}", self._field or str(attr))
        return text


class Number(kit.Number):
    """An Edm.Decimal, which travels as a string; reading one that is absent or no number gives None."""

    def __init__(self, precision: int, scale: int, field: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._before, self._after = precision - scale, scale
        self._field = field

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Decimal | None:
        try:
            number: Decimal | None = super().deserialize(value, attr, data, **kwargs)
        except ValidationError:
            return None
        return number

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        text = plain(value) if _decimals(value) <= self._after else plain(value.normalize())
        whole, _, fraction = text.partition(".")
        if len(fraction) > self._after or len(whole.lstrip("-")) > self._before:
            held = f"SAP holds {self._before} digits before and {self._after} after the point"
            raise ValidationError(f"is {text}; {held}", self._field or str(attr))
        return text


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
