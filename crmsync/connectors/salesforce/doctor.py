"""What `crmsync doctor` asks of Salesforce: the sign-in, each query of the flows, and the fields to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from crmsync.connectors.base import Check, not_checked, noted, sign_in_failed
from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi
from crmsync.connectors.salesforce.errors import UNKNOWN_FIELD, speaks_with
from crmsync.connectors.salesforce.fields_needed import field_problems, missing_fields
from crmsync.connectors.salesforce.ids import CASE_SENSITIVE_LENGTH
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.salesforce.won_deals import WonDealReader
from crmsync.errors import CrmsyncError, PermanentError, RecordNotFoundError

_OLD = 4  # versions from the oldest on that are offered: three come in a year, and the oldest are retired first
_NO_SUCH_VERSION = "The organization does not know this version of the API: check SF_API_VERSION."

Probe = Callable[[], str]
"""Reads one thing and says what is wrong with it, or ""."""


def examine(
    api: SalesforceApi, settings: SalesforceSettings, *, default_currency: str, writes_stock: bool = True
) -> Iterator[Check]:
    """The first lines are the sign-in and the version of the API; where one fails there are no others."""
    for first in (_sign_in, _version):
        check = first(api, settings)
        yield check
        if not check.is_ok:
            return
    yield _check("deals", lambda: _deals(api, settings))
    yield _check("currency", lambda: _currency(api, default_currency))
    yield _check("missed deals", lambda: _won_deals(api, settings, default_currency))
    yield _check("write-back fields", lambda: _writable(api, "Opportunity", _of_deals(settings)))
    if not writes_stock:
        yield not_checked("products and stock fields", "the stock is not written (CRMSYNC_INVENTORY_SECONDS=0)")
        return
    yield _check("products", lambda: _products(api, settings))
    yield _check("stock fields", lambda: _writable(api, soql.PRODUCT, soql.stock_fields(settings)))


def _check(name: str, probe: Probe) -> Check:
    try:
        problem = probe()
    except CrmsyncError as error:
        problem = error.with_advice
    return Check(name, is_ok=not problem, detail=problem)


def _sign_in(api: SalesforceApi, settings: SalesforceSettings) -> Check:
    try:
        host = urlsplit(api.instance()).netloc
        organization = api.account()
    except CrmsyncError as error:
        return sign_in_failed(error, f"{settings.login_url} (SF_LOGIN_URL)")
    named = settings.organization_id[:CASE_SENSITIVE_LENGTH]
    if named and organization and named not in organization:
        what = f"SF_ORGANIZATION_ID is {settings.organization_id}, but the sign-in is for {organization}: correct it."
        return Check("sign-in", is_ok=False, detail=what)
    return Check("sign-in", is_ok=True, detail=f"{organization or 'an organization'} at {host}")


# -- versions


def _version(api: SalesforceApi, settings: SalesforceSettings) -> Check:
    """Whether ours is offered, and for how long yet. A list that can't be read says nothing of the calls."""
    name, ours = "version of the API", settings.api_version.removeprefix("v")
    try:
        offered = sorted(api.versions(), key=float)
    except CrmsyncError as error:
        return not_checked(name, f"which versions are offered: {error}")
    if not offered:
        return not_checked(name, "the organization names none")
    return _judged(name, ours, offered)


def _judged(name: str, ours: str, offered: list[str]) -> Check:
    """
    >>> offered = [f"{number}.0" for number in range(31, 69)]
    >>> [(check.is_ok, check.is_note) for check in (_judged("", ours, offered) for ours in ("68.0", "32.0", "30.0"))]
    [(True, False), (True, True), (False, False)]
    """
    if ours not in offered:
        what = f"the organization offers {offered[0]} to {offered[-1]}, and not {ours}: correct SF_API_VERSION."
        return Check(name, is_ok=False, detail=what)
    if len(offered) > _OLD and ours in offered[:_OLD]:
        return noted(name, f"{ours} is among the oldest that are offered, which Salesforce retires first: see "
                           f"SF_API_VERSION; the newest is {offered[-1]}")  # fmt: skip
    return Check(name, is_ok=True, detail=f"{ours}, of {offered[0]} to {offered[-1]}")


# -- what the flows read


def _deals(api: SalesforceApi, settings: SalesforceSettings) -> str:
    """The query of every run: it names a field or object that is missing even where there is no deal."""
    query = f"{soql.select_deals(settings, lacking=soql.OPTIONAL)} LIMIT 1"
    return _readable(api, settings, "read deal", query, ("Opportunity", "Account"))


def _products(api: SalesforceApi, settings: SalesforceSettings) -> str:
    query = f"{soql.select_products(settings, None)} LIMIT 1"
    return _readable(api, settings, "read products", query, (soql.PRODUCT,))


def _readable(
    api: SalesforceApi, settings: SalesforceSettings, operation: str, query: str, objects: Iterable[str]
) -> str:
    try:
        next(api.query(operation, query), None)
    except RecordNotFoundError:
        return _NO_SUCH_VERSION
    except PermanentError as error:
        if error.code == UNKNOWN_FIELD and error.field_errors:
            names = dict.fromkeys([*error.field_errors, *_lacking(api, settings, objects)])
            return " ".join(missing_fields(settings, names))
        raise
    return ""


def _lacking(api: SalesforceApi, settings: SalesforceSettings, objects: Iterable[str]) -> Iterator[str]:
    """The customer's own fields that *objects* do not have: a query is refused for the first of them alone."""
    for object_name in objects:
        try:
            described = _described(api, object_name)
        except CrmsyncError:  # what is known is told all the same
            continue
        yield from (field for field in settings.own_fields[object_name].values() if field not in described)


def _won_deals(api: SalesforceApi, settings: SalesforceSettings, default_currency: str) -> str:
    """The query by which catch-up finds deals whose webhook never came, with the filter that is set for it."""
    try:
        _read_won_deals(api, settings, default_currency)
    except RecordNotFoundError:
        return _NO_SUCH_VERSION
    except PermanentError:
        if not settings.catch_up_filter:
            raise
        _read_won_deals(api, replace(settings, catch_up_filter=""), default_currency)
        return (
            "Salesforce refuses the condition SF_CATCH_UP_FILTER: correct it in SOQL, and let the integration user see "
            "every field that it names."
        )
    return ""


def _read_won_deals(api: SalesforceApi, settings: SalesforceSettings, default_currency: str) -> None:
    lacking = {soql.CURRENCY} if default_currency else set()
    reader = WonDealReader(api, settings, default_currency=default_currency, lacking=lacking)
    until = datetime.now(UTC)
    next(reader.pages(until - timedelta(minutes=1), until), None)


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


# -- what the flows write


def _of_deals(settings: SalesforceSettings) -> Mapping[str, str]:
    own = {**soql.own_fields(settings), **soql.payment_fields(settings)}
    reason = settings.status_reason_field
    return own | ({"status_reason": reason} if reason else {})


def _writable(api: SalesforceApi, object_name: str, own: Mapping[str, str]) -> str:
    return " ".join(field_problems(object_name, own, _described(api, object_name)))


def _described(api: SalesforceApi, object_name: str) -> dict[str, Mapping[str, Any]]:
    """The fields of an object that the integration user sees, by name."""
    operation = f"describe {object_name}"
    answer = api.call(operation, "GET", f"/sobjects/{object_name}/describe", speaks=speaks_with("fields"))
    description: Mapping[str, Any] = schemas.load(schemas.DESCRIBE, answer, operation=operation)
    return {field["name"]: field for field in description["described"]}
