"""The checks of `crmsync doctor` for Salesforce: the sign-in, each query of the flows, and the fields to be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from crmsync.connectors.base import Check
from crmsync.connectors.kit.doctor import (
    CURRENCY_SETTING,
    NO_STOCK,
    SIGN_IN,
    Found,
    Probe,
    examined,
    failed,
    signed_out,
    unseen,
)
from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi
from crmsync.connectors.salesforce.doctor_fields import field_problems, missing_fields
from crmsync.connectors.salesforce.errors import UNKNOWN_FIELD, speaks_with
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.salesforce.won_deals import WonDealReader
from crmsync.connectors.system import Usage
from crmsync.domain.keys import SHORT_LENGTH
from crmsync.errors import CrmsyncError, PermanentError, RecordNotFoundError

_OLD = 4  # versions from the oldest on that are offered: three come in a year, and the oldest are retired first
_NO_SUCH_VERSION = "The organization does not know this version of the API: check SF_API_VERSION."


def examine(api: SalesforceApi, settings: SalesforceSettings, usage: Usage) -> Iterator[Check]:
    """The sign-in and the version of the API come first; where one fails nothing more is asked."""
    return examined(_probes(api, settings, usage), failed=partial(_failed, settings))


def _probes(api: SalesforceApi, settings: SalesforceSettings, usage: Usage) -> Iterator[Probe]:
    yield Probe(SIGN_IN, partial(_sign_in, api, settings), is_essential=True)
    yield Probe("version of the API", partial(_version, api, settings), is_essential=True)
    yield Probe("deals", partial(_deals, api, settings))
    yield Probe("currency", partial(_currency, api, usage.default_currency))
    yield Probe("missed deals", partial(_won_deals, api, settings, usage.default_currency))
    yield Probe("write-back fields", partial(_writable, api, "Opportunity", _of_deals(settings)))
    if usage.copies_stock:
        yield Probe("products", partial(_products, api, settings))
        yield Probe("stock fields", partial(_writable, api, soql.PRODUCT, soql.stock_fields(settings)))
    else:
        yield Probe("products and stock fields", partial(unseen, f"the stock is not written: {NO_STOCK}"))


def _failed(settings: SalesforceSettings, probe: Probe, error: CrmsyncError) -> Check:
    if probe.name == SIGN_IN:
        return signed_out(error, f"{settings.login_url} (SF_LOGIN_URL)")
    return failed(probe, error)


def _sign_in(api: SalesforceApi, settings: SalesforceSettings) -> Found:
    host, organization = urlsplit(api.organization.address()).netloc, api.organization.account()
    named = settings.organization_id[:SHORT_LENGTH]
    if named and organization and named not in organization:
        said = settings.organization_id
        return Found(f"SF_ORGANIZATION_ID is {said}, but the sign-in is for {organization}: correct it.")
    return Found(detail=f"{organization or 'an organization'} at {host}")


# -- versions


def _version(api: SalesforceApi, settings: SalesforceSettings) -> Found:
    """Whether ours is offered, and for how long yet. A list that can't be read says nothing of the calls."""
    try:
        offered = sorted(api.versions(), key=float)
    except CrmsyncError as error:
        return unseen(f"which versions are offered: {error}")
    return _judged(settings.api_version.removeprefix("v"), offered)


def _judged(ours: str, offered: list[str]) -> Found:
    """
    >>> offered = [f"{number}.0" for number in range(31, 69)]
    >>> [_judged(ours, offered).is_note for ours in ("68.0", "32.0")], bool(_judged("30.0", offered).problem)
    ([False, True], True)
    """
    if not offered:
        return unseen("the organization lists none")
    if ours not in offered:
        return Found(f"the organization offers {offered[0]} to {offered[-1]}, and not {ours}: correct SF_API_VERSION.")
    if len(offered) > _OLD and ours in offered[:_OLD]:
        ends = f"{ours} is among the oldest that are offered, which Salesforce retires first: see SF_API_VERSION"
        return Found(detail=f"{ends}; the newest is {offered[-1]}", is_note=True)
    return Found(detail=f"{ours}, of {offered[0]} to {offered[-1]}")


# -- what the flows read


def _deals(api: SalesforceApi, settings: SalesforceSettings) -> Found:
    """The query of every run: it names a field or object that is missing even where there is no deal."""
    query = f"{soql.select_deals(settings, lacking=soql.OPTIONAL)} LIMIT 1"
    return _readable(api, settings, "read deal", query, ("Opportunity", "Account"))


def _products(api: SalesforceApi, settings: SalesforceSettings) -> Found:
    query = f"{soql.select_products(settings, None)} LIMIT 1"
    return _readable(api, settings, "read products", query, (soql.PRODUCT,))


def _readable(
    api: SalesforceApi, settings: SalesforceSettings, operation: str, query: str, objects: Iterable[str]
) -> Found:
    try:
        next(api.query(operation, query), None)
    except RecordNotFoundError:
        return Found(_NO_SUCH_VERSION)
    except PermanentError as error:
        if error.code == UNKNOWN_FIELD and error.field_errors:
            names = dict.fromkeys([*error.field_errors, *_lacking(api, settings, objects)])
            return Found(" ".join(missing_fields(settings, names)))
        raise
    return Found()


def _lacking(api: SalesforceApi, settings: SalesforceSettings, objects: Iterable[str]) -> Iterator[str]:
    """The customer's own fields that *objects* do not have: a query is refused for the first of them alone."""
    for object_name in objects:
        try:
            described = _described(api, object_name)
        except CrmsyncError:  # what is known is reported all the same
            continue
        yield from (field for field in settings.own_fields[object_name].values() if field not in described)


def _won_deals(api: SalesforceApi, settings: SalesforceSettings, default_currency: str) -> Found:
    """The query by which catch-up finds deals whose webhook never came, with the filter that is set for it."""
    try:
        _read_won_deals(api, settings, default_currency)
    except RecordNotFoundError:
        return Found(_NO_SUCH_VERSION)
    except PermanentError:
        if not settings.catch_up_filter:
            raise
        _read_won_deals(api, replace(settings, catch_up_filter=""), default_currency)
        return Found(
            "Salesforce refuses the condition SF_CATCH_UP_FILTER: correct it in SOQL, and let the integration user see "
            "every field that it names."
        )
    return Found()


def _read_won_deals(api: SalesforceApi, settings: SalesforceSettings, default_currency: str) -> None:
    reader = WonDealReader(api, settings, default_currency=lambda: default_currency, lacking=set())
    until = datetime.now(UTC)
    next(reader.pages(until - timedelta(minutes=1), until), None)


def _currency(api: SalesforceApi, default_currency: str) -> Found:
    """Only a multi-currency organization has the field, and there a default would bill in the wrong currency."""
    if _has_currencies(api):
        problem = f"The organization has several currencies: remove {CURRENCY_SETTING}."
        return Found(problem if default_currency else "")
    return Found("" if default_currency else f"The organization has one currency: set {CURRENCY_SETTING} to it.")


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


def _writable(api: SalesforceApi, object_name: str, own: Mapping[str, str]) -> Found:
    return Found(" ".join(field_problems(object_name, own, _described(api, object_name))))


def _described(api: SalesforceApi, object_name: str) -> dict[str, Mapping[str, Any]]:
    """The fields of an object that the integration user sees, by name."""
    operation = f"describe {object_name}"
    answer = api.call(operation, "GET", f"/sobjects/{object_name}/describe", speaks=speaks_with("fields"))
    description: Mapping[str, Any] = schemas.load(schemas.DESCRIBE, answer, operation=operation)
    return {field["name"]: field for field in description["described"]}
