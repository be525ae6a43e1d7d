"""Values of fields: what a request body may hold, and how a stored value is shown."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.numbers import decimal_of
from crmsync.lab.sandbox.salesforce.errors import SalesforceError
from crmsync.lab.sandbox.salesforce.ids import full_id
from crmsync.lab.sandbox.salesforce.schema import READ_ONLY, Field, Object

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def read_body(org: Any, kind: Object, body: Any, *, creating: bool, record: Any = None) -> dict[str, Any]:
    """Check a create or update body field by field. Raises SalesforceError."""
    if not isinstance(body, dict):
        raise SalesforceError("JSON_PARSER_ERROR", "The HTTP entity body must be an object")
    if kind.name in READ_ONLY:
        raise SalesforceError("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {kind.name}")
    given = {name: value for name, value in body.items() if name != "attributes"}
    fields = [_field(kind, name) for name in given]
    _check_writable(fields, creating=creating)
    values = {one.name: read_value(org, one, value) for one, value in zip(fields, given.values(), strict=True)}
    _check_required(kind, values, creating=creating)
    _check_unique(org, kind, values, record)
    return values


def _field(kind: Object, name: str) -> Field:
    found = kind.find(name)
    if not found:
        raise SalesforceError("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
    return found


def _check_writable(fields: list[Field], *, creating: bool) -> None:
    locked = tuple(one.name for one in fields if not (one.createable if creating else one.updateable))
    if locked:
        message = (
            f"Unable to create/update fields: {', '.join(locked)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise SalesforceError("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=locked)


def _check_required(kind: Object, values: dict[str, Any], *, creating: bool) -> None:
    required = [one.name for one in kind.fields.values() if one.required]
    missing = [name for name in required if (creating or name in values) and values.get(name) in (None, "")]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise SalesforceError("REQUIRED_FIELD_MISSING", message, fields=tuple(missing))


def _check_unique(org: Any, kind: Object, values: dict[str, Any], record: Any) -> None:
    for name, value in values.items():
        if kind.fields[name].external_id:
            clash = next((row for row in org.find_by(kind.name, name, value) if row is not record), None)
            if clash:
                message = f"duplicate value found: {name} duplicates value on record with id: {clash['Id'][:15]}"
                raise SalesforceError("DUPLICATE_VALUE", message, fields=(name,))


def read_value(org: Any, field: Field, value: Any) -> Any:
    """The stored form of one value of a body."""
    if value is None or value == "":
        return False if field.type == "boolean" else None
    reader = {"double": _number, "currency": _number, "boolean": _boolean, "date": _date, "datetime": _instant}
    if field.type == "reference":
        return _reference(org, field, value)
    return reader.get(field.type, _text)(field, value)


def _wrong(field: Field, value: Any) -> SalesforceError:
    kind = {"double": "double", "currency": "double", "reference": "id"}.get(field.type, field.type)
    source = "STRING" if isinstance(value, str) else "NUMBER" if not isinstance(value, bool) else "BOOLEAN"
    message = (
        f"Cannot deserialize instance of {kind} from VALUE_{source} value {value} or request may be missing "
        "a required field"
    )
    return SalesforceError("JSON_PARSER_ERROR", message)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(field, value)
    if len(value) > field.length:
        message = f"{field.name}: data value too large: {value[:60]} (max length={field.length})"
        raise SalesforceError("STRING_TOO_LONG", message, fields=(field.name,))
    if field.type == "email" and not _EMAIL.fullmatch(value):
        message = f"{field.name}: invalid email address: {value}"
        raise SalesforceError("INVALID_EMAIL_ADDRESS", message, fields=(field.name,))
    return value


def _number(field: Field, value: Any) -> Decimal:
    number = decimal_of(value)
    if number is None:
        raise _wrong(field, value)
    if abs(number) >= Decimal(10) ** 16:
        message = f"{field.name}: value outside of valid range on numeric field: {value}"
        raise SalesforceError("NUMBER_OUTSIDE_VALID_RANGE", message, fields=(field.name,))
    return number


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, value)
    return value


def _date(field: Field, value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise _wrong(field, value)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _wrong(field, value) from None


def _instant(field: Field, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(field, value) from None


def _reference(org: Any, field: Field, value: Any) -> str:
    record_id = full_id(value)
    if record_id is None:
        message = f"{field.name}: id value of incorrect type: {value}"
        raise SalesforceError("MALFORMED_ID", message, fields=(field.name,))
    if not org.peek(field.target, record_id):
        raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=(field.name,))
    return record_id


def show(value: Any) -> Any:
    """The JSON form of a stored value: instants with milliseconds and +0000."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value
