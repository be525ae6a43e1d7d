"""What `crmsync doctor` asks of Zoho Books: the sign-in, the organization, and one read per permission."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from crmsync.connectors.base import Check
from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.errors import AuthenticationError, CrmsyncError
from crmsync.settings import Behaviour, ZohoBooksSettings

MALFORMED = "14"
_DATA_CENTRE = re.compile(r"https?://[A-Za-z0-9.-]{1,100}(:\d{1,5})?")
_SIGN_IN = "token"  # the operation of errors that auth.py raises

Probe = Callable[[], str]
"""Reads one thing and says what is wrong with it, or ""."""


def examine(
    api: BooksApi, settings: ZohoBooksSettings, behaviour: Behaviour, api_domain: Callable[[], str] = lambda: ""
) -> list[Check]:
    """The first line is the sign-in; where it fails, or belongs to another data centre, there are no others."""
    return list(_checks(api, settings, behaviour, api_domain))


def _checks(
    api: BooksApi, settings: ZohoBooksSettings, behaviour: Behaviour, api_domain: Callable[[], str]
) -> Iterator[Check]:
    for name, scope, probe in _probes(api, settings, behaviour):
        try:
            problem = probe()
        except CrmsyncError as error:
            elsewhere = _elsewhere(settings, error, api_domain)
            if elsewhere:
                yield Check("data centre", is_ok=False, detail=elsewhere)
                return
            yield Check(name, is_ok=False, detail=_detail(error, scope))
            if error.operation == _SIGN_IN:
                return
        else:
            yield Check(name, is_ok=not problem, detail=problem)


def _probes(api: BooksApi, settings: ZohoBooksSettings, behaviour: Behaviour) -> Iterator[tuple[str, str, Probe]]:
    yield "organization", "ZohoBooks.settings.READ", lambda: _organization(api, settings, behaviour)
    yield "contacts", "ZohoBooks.contacts.READ", lambda: _readable(api, "contacts")
    yield "invoices", "ZohoBooks.invoices.READ", lambda: _readable(api, "invoices")
    yield "customer payments", "ZohoBooks.customerpayments.READ", lambda: _readable(api, "customerpayments")
    if settings.item_lookup:
        yield "items", "ZohoBooks.settings.READ", lambda: _readable(api, "items")


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


def _organization(api: BooksApi, settings: ZohoBooksSettings, behaviour: Behaviour) -> str:
    answer = api.organizations()
    rows = answer.get("organizations") if isinstance(answer, dict) else None
    listed = rows if isinstance(rows, list) else []
    found = [schemas.load(schemas.ORGANIZATION, row, "organizations", operation="list organizations") for row in listed]
    own = next((row for row in found if row["organization_id"] == settings.organization_id), None)
    if own is None:
        return "The user of the refresh token is not in ZOHO_ORGANIZATION_ID."
    return _currency_problem(own["currency_code"] or "", behaviour.default_currency)


def _currency_problem(base: str, assumed: str) -> str:
    if not base or not assumed or base == assumed:
        return ""
    return f"The organization keeps its books in {base}, but CRMSYNC_DEFAULT_CURRENCY is {assumed}."


def _readable(api: BooksApi, kind: str) -> str:
    api.call(f"list {kind}", "GET", f"/{kind}", params={"page": "1", "per_page": "1"}, is_list=True)
    return ""


def _detail(error: CrmsyncError, scope: str) -> str:
    if type(error) is AuthenticationError:
        return f"{error} Needs the scope {scope}."
    return error.with_advice
