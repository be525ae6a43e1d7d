"""The checks of `crmsync doctor` for Zoho Books: the sign-in, the organization, and one read per permission."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from crmsync.connectors.base import Check
from crmsync.connectors.kit.doctor import CURRENCY_SETTING, Found, Probe, examined, signed_out, unseen
from crmsync.connectors.system import Usage
from crmsync.connectors.zoho_books import organization
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.connectors.zoho_books.currencies import Currencies
from crmsync.connectors.zoho_books.items import Items
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.domain.money import decimals_of
from crmsync.errors import AuthenticationError, CrmsyncError, PermanentError, RecordNotFoundError

MALFORMED = "14"
_DATA_CENTRE = re.compile(r"https?://[A-Za-z0-9.-]{1,100}(:\d{1,5})?")
_SETTINGS_SCOPE = "ZohoBooks.settings.READ"  # of the organization, its items, currencies and taxes
_SIGN_IN = "token"  # the operation of errors that auth.py raises

_REFUSED = {
    "invalid_client": "ZOHO_CLIENT_ID, and that ZOHO_ACCOUNTS_URL is of the data centre where the client was made",
    "invalid_client_secret": "ZOHO_CLIENT_SECRET",
    "invalid_code": "ZOHO_REFRESH_TOKEN: it was revoked, or belongs to another client; make another one",
}


def examine(
    api: BooksApi,
    items: Items,
    currencies: Currencies,
    settings: ZohoBooksSettings,
    usage: Usage,
    api_domain: Callable[[], str] = lambda: "",
) -> Iterator[Check]:
    """The first call signs in; where that fails, or belongs to another data centre, nothing more is asked."""
    return examined(
        _probes(api, items, currencies, settings, usage),
        failed=partial(_failed, settings, api_domain),
        then=_unseen(settings),
    )


def _probes(
    api: BooksApi, items: Items, currencies: Currencies, settings: ZohoBooksSettings, usage: Usage
) -> Iterator[Probe]:
    yield Probe("organization", partial(_organization, api, currencies, settings, usage), _SETTINGS_SCOPE)
    yield Probe("contacts", partial(_read_one, api, "contacts"), "ZohoBooks.contacts.READ")
    yield Probe("invoices", partial(_read_one, api, "invoices"), "ZohoBooks.invoices.READ")
    yield Probe("customer payments", partial(_read_one, api, "customerpayments"), "ZohoBooks.customerpayments.READ")
    yield Probe("invoice lines", partial(_lines, items, needs_items=settings.item_lookup), _SETTINGS_SCOPE)
    yield Probe("currencies", partial(_currencies, currencies, usage.default_currency), _SETTINGS_SCOPE)
    if settings.tax_id:
        yield Probe("tax", partial(_tax, api, settings.tax_id), _SETTINGS_SCOPE)


def _failed(settings: ZohoBooksSettings, api_domain: Callable[[], str], probe: Probe, error: CrmsyncError) -> Check:
    elsewhere = _elsewhere(settings, error, api_domain)
    if elsewhere:
        return Check("data centre", is_ok=False, detail=elsewhere, is_last=True)
    if error.operation == _SIGN_IN:
        return signed_out(error, f"{settings.accounts_url} (ZOHO_ACCOUNTS_URL)", _REFUSED)
    where = f" It was asked at {settings.api_url} (ZOHO_API_URL)." if error.is_outage else ""
    # After an outage the others would say the same.
    return Check(probe.name, is_ok=False, detail=f"{_detail(error, probe.needs)}{where}", is_last=error.is_outage)


def _unseen(settings: ZohoBooksSettings) -> Iterator[Probe]:
    """What only a write would show, or what no call tells."""
    scopes = ["ZohoBooks.contacts.CREATE", "ZohoBooks.invoices.CREATE"]
    scopes += ["ZohoBooks.contacts.UPDATE"] if settings.contact_unique_field else []
    scopes += ["ZohoBooks.invoices.UPDATE"] if settings.invoice_unique_field else []
    unique = filter(None, (settings.invoice_unique_field, settings.contact_unique_field))
    untold = {
        "writing": f"the token must have {', '.join(scopes[:-1])} and {scopes[-1]} as well",
        "quantities": "that the item preferences keep two decimals, if your deals have such quantities: no call tells "
        "it",
    }
    if fields := " and ".join(unique):
        untold["unique fields"] = f"that {fields} exist and prevent duplicate values: no API call shows it"
    for name, why in untold.items():
        yield Probe(name, partial(unseen, why))


def _elsewhere(settings: ZohoBooksSettings, error: CrmsyncError, api_domain: Callable[[], str]) -> str:
    """What is wrong where the token is of another data centre than the API; "" where that is not the cause.

    There the API calls the token malformed (14), or not allowed (57) as it does for a missing scope; or whatever stands
    at the address is no API at all.
    """
    if error.operation == _SIGN_IN:
        return ""
    try:
        told = api_domain()
    except CrmsyncError:  # it takes a sign-in, which may be what failed
        return ""
    is_other = _DATA_CENTRE.fullmatch(told) is not None and told != settings.api_url
    signs_in = f"{settings.accounts_url} (ZOHO_ACCOUNTS_URL)"
    if is_other:
        failure = "" if isinstance(error, AuthenticationError) else f"{error} "
        return (
            f"{failure}The sign-in at {signs_in} is for the data centre {told}, but ZOHO_API_URL is "
            f"{settings.api_url}: set ZOHO_API_URL={told}, or ZOHO_ACCOUNTS_URL to the other one's."
        )
    if error.code != MALFORMED:
        return ""
    return f"The token of {signs_in} is not valid at {settings.api_url} (ZOHO_API_URL): set both to one data centre."


def _organization(api: BooksApi, currencies: Currencies, settings: ZohoBooksSettings, usage: Usage) -> Found:
    found = organization.seen(api)
    own = organization.of_id(found, settings.organization_id)
    if own is None:
        others = ", ".join(row["organization_id"] for row in found[:5])
        whose = f" It sees {others}: set ZOHO_ORGANIZATION_ID to the right one." if others else ""
        return Found(
            f"The user of the refresh token is not in ZOHO_ORGANIZATION_ID ({settings.organization_id}).{whose}"
        )
    base, assumed = own["currency_code"] or "", usage.default_currency
    is_other = bool(base and assumed) and base != assumed
    problems = (
        _currency_problem(currencies, base, assumed) if is_other else "",
        "" if settings.time_zone else organization.zone_problem(own["time_zone"] or ""),
    )
    bills = f"bills in {assumed}, which {CURRENCY_SETTING} says is the currency of the CRM" if is_other else ""
    told = (own["name"], own["organization_id"], base, own["time_zone"], bills)
    return Found(" ".join(filter(None, problems)), ", ".join(filter(None, told)), is_note=is_other)


def _currency_problem(currencies: Currencies, base: str, assumed: str) -> str:
    """Books in another currency than the CRM's bill in the CRM's, where they have it."""
    with suppress(RecordNotFoundError):  # an edition without currencies
        if assumed in {row["currency_code"] for row in currencies.rows()}:
            return ""
    return (
        f"The organization keeps its books in {base}, but {CURRENCY_SETTING} is {assumed}: invoices would be in "
        f"{base}, and each would wait for a person. Set it to the currency of the CRM and add that to the "
        "organization's currencies, or set ZOHO_ORGANIZATION_ID to the organization that keeps its books in that."
    )


def _read_one(api: BooksApi, kind: str) -> None:
    api.call(f"list {kind}", "GET", f"/{kind}", params={"page": "1", "per_page": "1"}, is_list=True)


def _lines(items: Items, *, needs_items: bool | None) -> Found:
    """What stands on this organization's invoices: the books' own items, or free text."""
    if needs_items is False:
        return Found(detail="free text (ZOHO_ITEM_LOOKUP=false)")
    try:
        items.read()
    except PermanentError as error:
        if needs_items:
            raise
        return Found(detail=f"free text, for the items can't be read: {_detail(error, _SETTINGS_SCOPE)}")
    if needs_items and not len(items):
        return Found(
            "ZOHO_ITEM_LOOKUP=true requires an item for each product, but no active item has a SKU of its own."
        )
    others = "a deal with any other code stops" if needs_items else "other codes as free text"
    return Found(detail=f"{len(items):,} items by SKU, {others}")


def _currencies(currencies: Currencies, billed: str) -> Found:
    """*billed* is the only currency of the deals, "" where they have several."""
    try:
        found = currencies.rows()
    except RecordNotFoundError:  # an edition without currencies: every contact has the organization's own
        return Found(detail="the organization's own alone")
    names = ", ".join(_named(row["currency_code"], row["price_precision"]) for row in found[:12])
    fewer = [code for code in currencies.fewer() if billed in ("", code)]
    if not fewer:
        return Found(detail=names)
    stops = "a deal whose lines need more is ordered, and stops before its invoice: give it all of them in the settings"
    return Found(detail=f"{names}; {', '.join(fewer)} lacks decimals, and {stops}", is_note=True)


def _named(currency: str, kept: int | None) -> str:
    """With its decimals where those are fewer than it has: no invoice can come to an amount that needs them.

    >>> _named("USD", 2), _named("JPY", 2), _named("HUF", 0), _named("EUR", None)
    ('USD', 'JPY', 'HUF (only 0 decimals)', 'EUR')
    """
    return currency if kept is None or kept >= decimals_of(currency) else f"{currency} (only {kept} decimals)"


def _tax(api: BooksApi, tax_id: str) -> Found:
    ids = [str(row.get("tax_id")) for row in api.rows("/settings/taxes") if isinstance(row, dict)]
    problem = f"The organization has no tax {tax_id} (ZOHO_TAX_ID); it has {', '.join(ids[:5]) or 'none'}."
    return Found("" if tax_id in ids else problem)


def _detail(error: CrmsyncError, scope: str) -> str:
    if type(error) is AuthenticationError:
        return f"{error} Needs the scope {scope}."
    return error.with_advice
