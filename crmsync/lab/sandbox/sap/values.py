"""Values on the wire: what a body may hold for each Edm type, and how a stored value is shown."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.numbers import decimal_of
from crmsync.lab.sandbox.sap.errors import ODataError
from crmsync.lab.sandbox.sap.metadata import Field

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_DATE = re.compile(r"/Date\((-?\d+)([+-]\d+)?\)/")
_HALF = re.compile("[\ud800-\udfff]")  # of a character: XML, which the server thinks in, can't hold it
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z?")


def accept(field: Field, value: Any) -> Any:
    """The stored form of a value from a JSON body. Raises ODataError where Gateway's parser would stop."""
    if value is None:
        return field.default
    reader = _READERS.get(field.kind, _text)
    return reader(field, value)


def _wrong(field: Field, value: Any) -> ODataError:
    message = f"Property '{field.name}' has invalid value '{value}' for type Edm.{field.kind}"
    return ODataError(message, "/IWBEP/CM_MGW_RT/018", target=field.name)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or _HALF.search(value):
        raise _wrong(field, value)
    if field.length and len(value) > field.length:
        message = f"Property '{field.name}' at offset '0' has value longer than {field.length} characters"
        raise ODataError(message, "/IWBEP/CM_MGW_RT/176", target=field.name)
    return normal(field, value)


def normal(field: Field, text: str) -> str:
    """A text as the server keeps it: upper-cased where it does so, numbers without leading zeros."""
    text = text.upper() if field.upper else text
    return (text.lstrip("0") or "0") if field.digits and text.isdigit() else text


def _decimal(field: Field, value: Any) -> Decimal:
    """Decimals travel as strings; a JSON number is refused by many services."""
    number = decimal_of(value) if isinstance(value, str) else None
    if number is None or not _fits(field, number):
        raise _wrong(field, value)
    return number


def _fits(field: Field, number: Decimal) -> bool:
    if field.scale is None or field.precision is None:
        return False
    fraction = max(0, -int(number.normalize().as_tuple().exponent))
    return fraction <= field.scale and abs(number) < Decimal(10) ** (field.precision - field.scale)


def _instant(field: Field, value: Any) -> datetime:
    moment = parse_instant(value) if isinstance(value, str) else None
    if moment is None:
        raise _wrong(field, value)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) if field.kind == "DateTime" else moment


def parse_instant(text: str) -> datetime | None:
    """Read `/Date(ms)/` or ISO; None for anything else."""
    found = _MS_DATE.fullmatch(text)
    try:
        if found:
            return EPOCH + timedelta(milliseconds=int(found[1]))
        return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=UTC) if _ISO.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, value)
    return value


_READERS = {
    "Decimal": _decimal,
    "DateTime": _instant,
    "DateTimeOffset": _instant,
    "Boolean": _boolean,
}


def show(field: Field, value: Any) -> Any:
    """The JSON form of a stored value: decimals and dates are strings."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        milliseconds = (value - EPOCH) // timedelta(milliseconds=1)
        return f"/Date({milliseconds}+0000)/" if field.kind == "DateTimeOffset" else f"/Date({milliseconds})/"
    return value
