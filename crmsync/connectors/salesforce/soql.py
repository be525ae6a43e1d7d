"""The queries for deals and products, and how values are quoted in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from crmsync.connectors.salesforce.settings import (
    MAYBE_READ_OF_DEALS,
    READ_OF_ACCOUNTS,
    READ_OF_DEALS,
    READ_OF_PRODUCTS,
    SalesforceSettings,
)

OPTIONAL = MAYBE_READ_OF_DEALS
LAST_STAGE_CHANGE, CURRENCY = OPTIONAL
PRODUCT = "Product2"
WON_DEALS_PER_PAGE = 2000
SELECT_CURRENCY = "SELECT CurrencyIsoCode FROM Opportunity LIMIT 1"

_LINES = ("Id", "Product2.ProductCode", "Product2.Name", "Description", "Quantity", "UnitPrice", "TotalPrice")
_CONTACT_ROLES = ("Id", "IsPrimary", "Contact.Email", "Contact.FirstName", "Contact.LastName")

_WON_DEAL = ("Id", "Name", "Account.Name", "Amount", "CreatedDate", "CloseDate", "SystemModstamp")

Position = tuple[datetime, str]
"""The stamp and the id of a row, by which a list is read on."""

# https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm
_ESCAPES = str.maketrans(
    {"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"},
)


def quote(text: str) -> str:
    r"""A string literal of SOQL whose value is *text*.

    >>> print(quote("O'Brien \\ Sons"))
    'O\'Brien \\ Sons'
    """
    return f"'{text.translate(_ESCAPES)}'"


def instant(at: datetime) -> str:
    """A literal of SOQL: in UTC, without quotes; with milliseconds where *at* has any, what is finer is cut off.

    >>> instant(datetime(2026, 11, 20, 9, 15, tzinfo=UTC)), instant(datetime(2026, 11, 20, 9, 15, 0, 7999, tzinfo=UTC))
    ('2026-11-20T09:15:00Z', '2026-11-20T09:15:00.007Z')
    """
    precision = "milliseconds" if at.microsecond >= 1000 else "seconds"
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def own_fields(settings: SalesforceSettings) -> Mapping[str, str]:
    """The customer's own fields of Opportunity, by what they mean here."""
    named = {
        "order_number": settings.order_number_field,
        "invoice_number": settings.invoice_number_field,
        "status": settings.status_field,
        "purchase_order_number": settings.purchase_order_field,
    }
    return {meaning: field for meaning, field in named.items() if field}


def payment_fields(settings: SalesforceSettings) -> Mapping[str, str]:
    """The customer's own fields of Opportunity for payments, by what they mean here."""
    return {
        "payment_received": settings.payment_received_field,
        "payment_amount": settings.payment_amount_field,
        "payment_date": settings.payment_date_field,
    }


def stock_fields(settings: SalesforceSettings) -> Mapping[str, str]:
    """The customer's own fields of Product2, by what they mean here."""
    return {"stock": settings.stock_field, "low_stock": settings.low_stock_field}


def asked_fields(settings: SalesforceSettings) -> Iterable[str]:
    """Every field by its own name, which organizations may lack or hide."""
    for own in settings.own_fields.values():
        yield from own.values()
    yield from (*READ_OF_DEALS, *OPTIONAL, *READ_OF_ACCOUNTS, *READ_OF_PRODUCTS)
    yield from (field.rpartition(".")[2] for field in (*_LINES, *_CONTACT_ROLES, *_WON_DEAL))


def account_fields(settings: SalesforceSettings) -> tuple[str, ...]:
    """The customer's own fields of Account."""
    return tuple(filter(None, [settings.tax_number_field, settings.account_email_field]))


def select_deals(settings: SalesforceSettings, lacking: Collection[str]) -> str:
    """SELECT … FROM Opportunity, with account, lines and contacts, without the optional fields that are *lacking*.

    Where the query ends is the caller's to add.
    """
    account = [*READ_OF_ACCOUNTS, *account_fields(settings)]
    return _select(
        [
            *READ_OF_DEALS,
            *_optional(lacking),
            *own_fields(settings).values(),
            *(f"Account.{field}" for field in account),
            f"({_select(_LINES, 'OpportunityLineItems')} ORDER BY Id)",
            f"({_select(_CONTACT_ROLES, 'OpportunityContactRoles')} ORDER BY Id)",
        ],
        "Opportunity",
    )


def _optional(lacking: Collection[str]) -> list[str]:
    return [field for field in OPTIONAL if field not in lacking]


def select_accounts(ids: Iterable[str]) -> str:
    """
    >>> select_accounts(["001A", "001B"])
    "SELECT Id, Name, BillingCity FROM Account WHERE Id IN ('001A', '001B')"
    """
    return f"{_select(('Id', 'Name', 'BillingCity'), 'Account')} WHERE Id IN ({', '.join(map(quote, ids))})"


def select_won_deals(settings: SalesforceSettings, lacking: Collection[str]) -> str:
    """SELECT … FROM Opportunity, without the optional fields that are *lacking*."""
    return _select([*_WON_DEAL, *_optional(lacking), settings.order_number_field], "Opportunity")


def won_deals_between(since: datetime, until: datetime, after: Position | None, condition: str = "") -> str:
    """WHERE … LIMIT of the won deals that were changed in [since, until) and come after the row *after*.

    *condition* narrows them to those that the organization's own automation announces.
    """
    begin = f"SystemModstamp >= {instant(since)}" if after is None else _after(after)
    narrowed = f" AND ({condition})" if condition else ""
    return (
        f" WHERE IsWon = true AND SystemModstamp < {instant(until)} AND {begin}{narrowed}"
        f" ORDER BY SystemModstamp, Id LIMIT {WON_DEALS_PER_PAGE}"
    )


def select_products(settings: SalesforceSettings, since: datetime | None) -> str:
    """The active products; or all that were changed at or after *since*, to learn which are active no more."""
    which = f"SystemModstamp >= {instant(since)}" if since else "IsActive = true"
    return f"{_select([*READ_OF_PRODUCTS, *stock_fields(settings).values()], PRODUCT)} WHERE {which}"


def _after(position: Position) -> str:
    """Rows that come after *position* in the order of stamp and id; many may share one stamp.

    >>> _after((datetime(2026, 11, 20, tzinfo=UTC), "006"))
    "(SystemModstamp > 2026-11-20T00:00:00Z OR (SystemModstamp = 2026-11-20T00:00:00Z AND Id > '006'))"
    """
    stamp, record_id = instant(position[0]), quote(position[1])
    return f"(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {record_id}))"


def _select(fields: Iterable[str], source: str) -> str:
    # A field that is asked for twice is refused.
    return f"SELECT {', '.join(dict.fromkeys(fields))} FROM {source}"  # noqa: S608 - names from settings.py, which lets nothing but names in


def spared_by(currency: str) -> frozenset[str]:
    """What a deal is not asked for where all deals are in this *currency*."""
    return frozenset({CURRENCY} if currency else ())
