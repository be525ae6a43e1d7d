"""What `crmsync doctor` asks of Salesforce: the sign-in, one deal with all its parts, and the fields to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from crmsync.connectors.base import Check
from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi
from crmsync.connectors.salesforce.errors import speaks_with
from crmsync.errors import CrmsyncError, PermanentError, RecordNotFoundError
from crmsync.settings import SalesforceSettings

_VARIABLES = {
    "order_number": "SF_ORDER_NUMBER_FIELD",
    "invoice_number": "SF_INVOICE_NUMBER_FIELD",
    "status": "SF_STATUS_FIELD",
    "payment_received": "SF_PAYMENT_RECEIVED_FIELD",
    "payment_amount": "SF_PAYMENT_AMOUNT_FIELD",
    "payment_date": "SF_PAYMENT_DATE_FIELD",
    "stock": "SF_STOCK_FIELD",
    "low_stock": "SF_LOW_STOCK_FIELD",
}

Probe = Callable[[], str]
"""Reads one thing and says what is wrong with it, or ""."""


def examine(api: SalesforceApi, settings: SalesforceSettings, *, default_currency: str) -> list[Check]:
    """The first line is the sign-in; where it fails there are no others."""
    sign_in = _check("sign-in", lambda: _sign_in(api))
    if not sign_in.is_ok:
        return [sign_in]
    return [
        sign_in,
        _check("deals", lambda: _deals(api, settings)),
        _check("currency", lambda: _currency(api, default_currency)),
        _check("write-back fields", lambda: _writable(api, "Opportunity", _of_deals(settings))),
        _check("stock fields", lambda: _writable(api, soql.PRODUCT, soql.stock_fields(settings))),
    ]


def _check(name: str, probe: Probe) -> Check:
    try:
        problem = probe()
    except CrmsyncError as error:
        problem = error.with_advice
    return Check(name, is_ok=not problem, detail=problem)


def _sign_in(api: SalesforceApi) -> str:
    api.instance()
    return ""


def _deals(api: SalesforceApi, settings: SalesforceSettings) -> str:
    """The query of every run: it names a field or object that is missing even where there is no deal."""
    select = soql.select_deals(settings, with_currency=False)
    try:
        next(api.query("read deal", f"{select} LIMIT 1"), None)
    except RecordNotFoundError:
        return "The organization does not know this version of the API: check SF_API_VERSION."
    return ""


def _currency(api: SalesforceApi, default_currency: str) -> str:
    """Only a multi-currency organization has the field, and there a default would bill in the wrong currency."""
    if _has_currencies(api):
        return "The organization has several currencies: remove CRMSYNC_DEFAULT_CURRENCY." if default_currency else ""
    return "" if default_currency else "The organization has one currency: set CRMSYNC_DEFAULT_CURRENCY to it."


def _has_currencies(api: SalesforceApi) -> bool:
    try:
        next(api.query("read currency", soql.SELECT_CURRENCY), None)
    except PermanentError as error:
        if soql.CURRENCY in error.field_errors:
            return False
        raise
    return True


def _of_deals(settings: SalesforceSettings) -> Mapping[str, str]:
    return {**soql.own_fields(settings), **soql.payment_fields(settings)}


def _writable(api: SalesforceApi, object_name: str, own: Mapping[str, str]) -> str:
    operation = f"describe {object_name}"
    answer = api.call(operation, "GET", f"/sobjects/{object_name}/describe", speaks=speaks_with("fields"))
    description = schemas.load(schemas.DESCRIBE, answer, operation=operation)
    is_updateable = {field["name"]: field["is_updateable"] for field in description["described"]}
    return " ".join(_field_problems(object_name, own, is_updateable))


def _field_problems(object_name: str, own: Mapping[str, str], is_updateable: Mapping[str, bool]) -> Iterator[str]:
    for meaning, variable in _VARIABLES.items():
        field = own.get(meaning)
        if field and field not in is_updateable:
            yield f"{object_name} has no field {field} ({variable}), or hides it: create it or grant access to it."
        elif field and not is_updateable[field]:
            yield f"The integration user may not edit {object_name}.{field} ({variable}): grant it edit access."
