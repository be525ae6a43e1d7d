"""Zoho Books: the books, where a won deal becomes an invoice that is mailed, and where it is paid.

Vendor facts               value                             source                                          checked
    write idempotency      PUT /contacts and /invoices with  contacts.yml, invoices.yml of Zoho's OpenAPI    2026-11-20
                           X-Unique-Identifier-Key, -Value   set (July 2026)
                           and X-Upsert, where a custom field
                           "Prevent Duplicate Values" exists;
                           else a look-up by reference_number
    equal references       accepted: compare what is found   facts, section 6                                2026-11-20
    customer names         unique among customers and        public clients that quote code 3062             2026-11-20
                           vendors: code 3062
    customer currency      one, not changeable once it has   Zoho's knowledge base: "a second contact"       2026-11-30
                           transactions
    customer tax number    gst_no, vat_reg_no, tax_reg_no,   contacts.yml: in no list, and no filter         2026-11-30
                           tax_id_value, by edition
    customer name, maximum 100 characters can be searched    contacts.yml                                    2026-11-20
    page size, maximum     200 (default 10 or 200: the two   contacts.yml against .../v3/introduction/       2026-11-20
                           documents disagree)
    empty list             may be 204 without a body         observed by others, unverified                  2026-11-20
    throttle               100 calls a minute, 1,000 to      https://www.zoho.com/books/api/v3/introduction/ 2026-11-20
                           10,000 a day by plan, 5 or 10
                           at once: codes 44, 45, 1070
    token lifetime         3600 seconds                      Zoho Accounts, OAuth pages                      2026-11-20
    tokens                 10 in 10 minutes for one refresh  Zoho Accounts, OAuth pages                      2026-11-20
                           token, then "Access Denied"
    errors under HTTP 200  any `code` but 0 is an error      https://www.zoho.com/books/api/v3/errors/       2026-11-20
    code 57                a dead token, or a missing scope  observed by others, 2026-09-01                  2026-11-20
    codes of the account   103001 plan over, 9017 and 6041   public clients                                  2026-11-28
                           no such organization, 14 a token
                           of another data centre
    api_domain             of the token answer: the data     Zoho Accounts, OAuth pages                      2026-11-28
                           centre that the token is for
    mail by default        POST …/email without a body       invoices.yml                                    2026-11-20
    free text lines        accepted, although invoices.yml   unverified                                      2026-11-20
                           requires item_id; ours are of an
                           item where one has the SKU
    items by SKU           no filter: the list is read       items.yml                                       2026-11-30
    rates                  rounded to the decimals of the    help.zoho.com; currency.yml (price_precision)   2026-11-30
                           currency, before they are
                           multiplied
    an invoice's date      may be left out: it is then the   invoices.yml requires none; unverified          2026-11-30
                           organization's own day
    quantities             rounded to the decimals of the    zoho.com/books/help/items/item-preferences.html 2026-11-30
                           preferences, two by default
    invoices by change     GET /invoices?last_modified_time= invoices.yml ("modified after")                 2026-11-20
    payments by change     no filter; sort_column=           customer-payments.yml; the sort is what other   2026-11-20
                           last_modified_time, sort_order=D  connectors send
    rows of payments       under `customerpayments`; the     two community fixtures                          2026-11-20
                           file says `customer_payments`
    deleted records        code 1002; in no list             https://www.zoho.com/books/api/v3/errors/       2026-11-20
    stamps                 2026-11-18T02:02:51-0800, whole   https://www.zoho.com/books/api/v3/introduction/ 2026-11-20
                           seconds, the organization's zone
    consent                code good for two minutes, once;  Zoho Accounts, OAuth pages                      2026-12-01
                           callback names accounts-server
    PKCE                   documented for mobile and desktop zoho.com/accounts/protocol/oauth/               2026-12-01
                           apps, not for those of servers    mobile-applications.html
    webhook signature      HMAC-SHA256, lower-case hex       https://www.zoho.com/subscriptions/kb/webhooks/ 2026-11-20
                                                             securing-webhooks.html (the sibling product)

The lists lag seconds behind writes: what a search doesn't find is proven absent only by time (CRMSYNC_SETTLE_SECONDS).
"""

from __future__ import annotations

from crmsync.connectors.consent import ISSUER, Consent
from crmsync.connectors.doors import Door, DoorCode
from crmsync.connectors.kit.late import late
from crmsync.connectors.system import System
from crmsync.connectors.zoho_books.settings import PUBLISHED_LIMITS, ZohoBooksSettings

__all__ = ["SYSTEM"]


def _more_scopes(settings: ZohoBooksSettings) -> tuple[str, ...]:
    """Where Zoho itself prevents a second one."""
    named = {"contacts": settings.contact_unique_field, "invoices": settings.invoice_unique_field}
    return tuple(f"ZohoBooks.{kind}.UPDATE" for kind, field in named.items() if field)


def _door() -> DoorCode:
    from crmsync.connectors.zoho_books import doors

    return doors


SYSTEM = System(
    name="zoho_books",
    title="Zoho Books",
    roles=("invoices", "payments"),
    guide="docs/setup/zoho-books.md",
    auth_kinds=("refresh_token",),
    consent=Consent(
        server="accounts_url",
        authorize_path="/oauth/v2/auth",
        token_path="/oauth/v2/token",  # noqa: S106
        scopes=(
            "ZohoBooks.settings.READ",
            "ZohoBooks.contacts.READ",
            "ZohoBooks.contacts.CREATE",
            "ZohoBooks.invoices.READ",
            "ZohoBooks.invoices.CREATE",
            "ZohoBooks.customerpayments.READ",
        ),
        more_scopes=_more_scopes,
        exchange=late("crmsync.connectors.zoho_books.sign_in:exchange"),
        between_scopes=",",
        # Without them there is no refresh token, or only the first time.
        parameters={"access_type": "offline", "prompt": "consent"},
        has_pkce=False,  # documented for mobile and desktop apps; a server's app proves itself by its secret
        says_server=("accounts-server", ISSUER),
    ),
    doors=(
        Door(
            "payment",
            "/webhook/zoho/payment",
            ("ZOHO_WEBHOOK_SECRET",),
            announces="payments",
            forms={"zoho_payment": "Zoho Books, payment"},
            code=_door,
            methods=("POST", "PUT", "DELETE"),  # a choice of whoever sets the webhook up: it says nothing
        ),
    ),
    settings=ZohoBooksSettings,
    variable="ZOHO_CLIENT_ID",
    mentioned_by=("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_ORGANIZATION_ID"),
    prefixes=("ZOHO_",),
    other_prefixes=("ZOHO_BOOKS_", "ZOHOBOOKS_"),
    connect=late("crmsync.connectors.zoho_books.client:connect"),
    quota=late("crmsync.connectors.zoho_books.quota:quota"),
    published_limits=PUBLISHED_LIMITS,
    claim=late("crmsync.connectors.zoho_books.account:claim"),
)
