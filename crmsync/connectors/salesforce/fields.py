"""The types of Salesforce's fields, as crmsync reads them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields

from crmsync.connectors.salesforce.ids import BULK_JOB_PREFIX, full_id
from crmsync.settings import instant_of

_DIGITS_MAX = 18  # what a number field of Salesforce holds
_SURE_DIGITS = 15  # of a double
_KEPT_DECIMALS = 4  # as many as any currency has
_DECIMALS_MAX = 40  # more than any number of it has, and few enough to be written out


class Text(fields.String):
    """Text, "" for null; a number where a customer has made the field one."""

    def __init__(self, data_key: str, *, required: bool = False) -> None:
        default: dict[str, Any] = {"required": True} if required else {"load_default": ""}
        super().__init__(data_key=data_key, allow_none=True, pre_load=_text, **default)


def _text(value: Any) -> Any:
    """Before validation: null and numbers become text.

    >>> _text(Decimal("4711.0")), _text(None)
    ('4711', '')
    """
    if value is None:
        return ""
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return str(int(value)) if _is_whole(Decimal(value)) else str(value)
    return value


def _is_whole(number: Decimal) -> bool:
    return number.is_finite() and number.adjusted() < _DIGITS_MAX and number == number.to_integral_value()


class Number(fields.Decimal):
    """A JSON number, or null; without an exponent, which Salesforce writes for large ones (1.0E7)."""

    def __init__(self, data_key: str) -> None:
        super().__init__(data_key=data_key, load_default=None, allow_none=True)

    def _validated(self, value: Any) -> Decimal:
        number = super()._validated(value)
        exponent = number.as_tuple().exponent
        if number.adjusted() >= _DIGITS_MAX or (isinstance(exponent, int) and exponent < -_DECIMALS_MAX):
            raise self.make_error("too_large")
        return Decimal(f"{number:f}")


class Double(Number):
    """A price or a quantity, which the API works out and keeps as a double, with all its decimals."""

    def _validated(self, value: Any) -> Decimal:
        return without_noise(super()._validated(value))


def without_noise(number: Decimal) -> Decimal:
    """*number* without what a double can't be sure of, behind its fifteenth digit; no cent of a large sum is touched.

    >>> [str(without_noise(Decimal(text))) for text in ("0.30000000000000004", "50.004999999999995", "47000.0")]
    ['0.3', '50.005', '47000.0']
    >>> without_noise(Decimal("12345678901234.565"))
    Decimal('12345678901234.565')
    """
    digits = max(_SURE_DIGITS - 1 - number.adjusted(), _KEPT_DECIMALS)
    rounded = round(number, digits)
    return number if rounded == number else Decimal(f"{rounded.normalize():f}")


class Instant(fields.Field[datetime]):
    """A stamp as a query writes it (2026-11-20T09:15:00.000+0000), in UTC."""

    def __init__(self, data_key: str, *, required: bool = False) -> None:
        default: dict[str, Any] = {"required": True} if required else {"load_default": None, "allow_none": True}
        super().__init__(data_key=data_key, **default)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            return instant_of(str(value))
        except ValueError as error:
            raise ValidationError("is no instant") from error


class Id(fields.String):
    prefix = ""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return full_id(str(value), self.prefix)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class BulkJobId(Id):
    prefix = BULK_JOB_PREFIX
