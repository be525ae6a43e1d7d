"""Fields of vendors' JSON: null means the same as absent, and numbers and text may stand for each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, missing

from crmsync.connectors.way_out.answers import is_reasonable

_WHOLE_DIGITS_MAX = 18  # above which a number that stands for a text keeps the form in which it came


class Nullable(fields.Field[Any]):
    """Null is the same as absence: what stands then is *otherwise*, and where it is required both are an error."""

    def __init__(
        self, data_key: str | None = None, *, required: bool = False, otherwise: Any = None, **options: Any
    ) -> None:
        default: dict[str, Any] = {"required": True} if required else {"load_default": otherwise}
        super().__init__(data_key=data_key, **default, **options)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        return super().deserialize(missing if value is None else value, attr, data, **kwargs)


class Text(Nullable, fields.String):
    """Text, "" for null; a number where somebody has made the field one. A required one may be null, but is there."""

    def __init__(self, data_key: str | None = None, *, otherwise: str = "", **options: Any) -> None:
        super().__init__(data_key, otherwise=otherwise, **options)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        text = "" if value is None and self.required else as_text(value)
        return super().deserialize(text, attr, data, **kwargs)


def as_text(value: Any) -> Any:
    """A number as text, whatever else it is as it is.

    >>> as_text(Decimal("4711.0")), as_text(4711), as_text(True)
    ('4711', '4711', True)
    """
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        number = Decimal(value)
        is_whole = number.is_finite() and number.adjusted() < _WHOLE_DIGITS_MAX and number == number.to_integral_value()
        return str(int(value)) if is_whole else str(value)
    return value


class Key(Nullable):
    """The id or number of a record, never empty, in the form that *canonical* gives it."""

    def __init__(self, data_key: str | None = None, *, canonical: Callable[[str], str] = str, **options: Any) -> None:
        """*canonical* raises ValueError for what is no id."""
        super().__init__(data_key, **options)
        self._canonical = canonical

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("is not an id")
        try:
            key = self._canonical(str(value))
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if not key and self.required:
            raise ValidationError("is empty")
        return key


class Number(Nullable, fields.Decimal):
    """A number, or "" for none; without an exponent. What no amount and no quantity needs (1E+999) is none."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        return super().deserialize(None if value == "" else value, attr, data, **kwargs)

    def _validated(self, value: Any) -> Decimal:
        number = super()._validated(value)
        if not is_reasonable(number):
            raise self.make_error("too_large")
        return Decimal(f"{number:f}")


class Flag(Nullable, fields.Boolean):
    """True or false, false for null."""

    def __init__(self, data_key: str | None = None, *, otherwise: bool | None = False, **options: Any) -> None:
        super().__init__(data_key, otherwise=otherwise, **options)


class Instant(Nullable):
    """A stamp with its offset, in UTC: without one its zone would be a guess. None for null."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            stamp = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
            if stamp is None or stamp.tzinfo is None:
                raise ValidationError("is not a timestamp")
            return stamp.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError("is not a timestamp") from error


class Day(Nullable):
    """A day, also that of a stamp. None for null."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        try:
            return date.fromisoformat(value.strip()[:10])
        except (AttributeError, ValueError) as error:
            raise ValidationError("is not a date") from error


class Readable(Nullable):
    """What *field* reads; what can't be read is the same as null."""

    def __init__(self, field: Nullable) -> None:
        super().__init__(field.data_key, otherwise=None)
        self._field = field

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self._field.deserialize(value, attr, data, **kwargs)
        except ValidationError:
            return None
