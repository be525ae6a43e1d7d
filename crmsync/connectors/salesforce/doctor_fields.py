"""Checks the customer's own fields: that they exist, can be written, and are long enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmsync.connectors.salesforce.settings import SalesforceSettings


@dataclass(frozen=True, slots=True)
class Need:
    """The variable that names the field, its type in Salesforce's setup, and those of the API that will do."""

    variable: str
    kind: str
    types: tuple[str, ...]
    length: int = 0


_TEXT, _NUMBER = ("string", "textarea"), ("double", "currency", "int")

NEEDS: Mapping[str, Need] = {
    "order_number": Need("SF_ORDER_NUMBER_FIELD", "Text", _TEXT, 10),
    "invoice_number": Need("SF_INVOICE_NUMBER_FIELD", "Text", _TEXT, 16),
    "status": Need("SF_STATUS_FIELD", "Text", _TEXT, 80),
    "status_reason": Need("SF_STATUS_REASON_FIELD", "Text", _TEXT, 255),
    "payment_received": Need("SF_PAYMENT_RECEIVED_FIELD", "Checkbox", ("boolean",)),
    "payment_amount": Need("SF_PAYMENT_AMOUNT_FIELD", "Currency", _NUMBER),
    "payment_date": Need("SF_PAYMENT_DATE_FIELD", "Date", ("date",)),
    "stock": Need("SF_STOCK_FIELD", "Number", _NUMBER),
    "low_stock": Need("SF_LOW_STOCK_FIELD", "Checkbox", ("boolean",)),
}


def field_problems(
    object_name: str, own: Mapping[str, str], described: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """What is wrong with the fields *own*, by what they mean; *described* is what Salesforce says of each by name."""
    for meaning, need in NEEDS.items():
        name = own.get(meaning)
        if name:
            yield from _problems(f"{object_name}.{name} ({need.variable})", need, described.get(name))


def missing_fields(settings: SalesforceSettings, names: Iterable[str]) -> list[str]:
    """What to do about the fields *names*, which Salesforce does not know, each with its object and its variable."""
    return [_missing(settings, name) for name in names]


def _missing(settings: SalesforceSettings, name: str) -> str:
    for object_name, own in settings.own_fields.items():
        for variable, field in own.items():
            if field == name:
                return _lacks(object_name, name, variable)
    return f"It hides {name} from the integration user: grant the user read access to it."


def _lacks(object_name: str, name: str, variable: str) -> str:
    return f"{object_name} has no field {name} ({variable}), or hides it: create it or grant access to it."


def _problems(field: str, need: Need, found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        object_name, _, name = field.partition(" ")[0].partition(".")
        yield _lacks(object_name, name, need.variable)
    elif not found["is_updateable"]:
        yield f"The integration user may not edit {field}: grant it edit access."
    elif found["type"] and found["type"] not in (*need.types, *_lists(need, found)):
        yield f"{field} is of type {found['type']}: make it one of type {need.kind}."
    elif found["length"] and found["length"] < need.length:
        yield f"{field} holds {found['length']} characters: let it hold {need.length} or more."


def _lists(need: Need, found: Mapping[str, Any]) -> tuple[str, ...]:
    """A picklist holds any text unless it is restricted to its values."""
    return ("picklist",) if need.kind == "Text" and not found["is_restricted"] else ()
