"""Salesforce: the CRM, where deals are won, and to which numbers, payments and stock are written back.

Vendor facts               value                              source                                         checked
    write idempotency      PATCH of a record by its id: the   developer.salesforce.com, api-rest/guide,      2026-11-20
                           same call twice changes nothing    sObject Rows
    success of a write     204; 200 or 201 of some versions   dome-upsert.html; restforce#556                2026-11-20
    token                  JWT bearer; no refresh_token, no   help.salesforce.com,                           2026-11-20
                           expires_in: sign a new assertion   xcloud.remoteaccess_oauth_jwt_flow.htm
    token lifetime         inactivity time-out of the org,    pub-sub-api/guide/supported-auth.html          2026-11-20
                           2 h by default; 5400 s assumed
    address of the API     `instance_url` of the token answer the same page as token                         2026-11-20
    page size, maximum     2,000 rows, fewer as Salesforce    api-rest/guide/resources-query.md              2026-11-20
                           decides; lists inside a row have
                           pages of their own (unverified)
    currency               CurrencyIsoCode exists in multi-   unverified                                     2026-11-20
                           currency orgs only, elsewhere
                           INVALID_FIELD
    hidden fields          INVALID_FIELD too; left out of     unverified                                     2026-11-20
                           describe
    LastStageChangeDate    null for a deal that never changed unverified; left out where refused            2026-11-21
                           its stage, as one made as won
    list of changes        rows become visible after their    airbyte#27146, #17148, #9883                   2026-11-21
                           stamp, and may share it: overlap,
                           and page by SystemModstamp and Id
    rows behind a cursor   may show a later change than the   unverified; so won_deals.py follows none       2026-11-21
                           query found them with
    datetimes in SOQL      no quotes, UTC with Z; stamps show api-rest/guide; estuary/connectors#2519        2026-11-21
                           milliseconds, always .000
                           (unverified)
    collections            200 rows a call, results in the    resources-composite-sobjects-collections       2026-11-21
                           order of rows; a row's code is     -create.html; three public code bases
                           `statusCode`; trust `success`
    bulk jobs              from 2,000 rows on; 100 MB of CSV, api_asynch, datafiles_understanding_bulk2_     2026-11-21
                           150,000,000 rows a day; results    ingest; bulk_api_2_limits
                           are kept for 7 days
    sf__Error              CODE:sentence:fields --            unverified; only code and our fields are read  2026-11-21
    numberRecordsProcessed counts failed rows too             unverified; else one needless call             2026-11-21
    throttle               403 REQUEST_LIMIT_EXCEEDED for the salesforce_app_limits_platform_api             2026-11-20
                           quota of 24 h and for too many
                           long calls at once; no Retry-After
    quota, used / allowed  header Sforce-Limit-Info           salesforce_app_limits_platform_api             2026-11-20
    errors                 an array of message, errorCode,    api-rest/guide/errorcodes.md                   2026-11-20
                           fields; some 5xx and 431 are HTML  airbyte#20703
    edge                   406 empty, 420, 200 or 404 with a  airbyte#36885, salto#5675, jsforce#1520,       2026-11-28
                           page, 302: all pass                restforce#860
    lock inside a trigger  CANNOT_INSERT_UPDATE_ACTIVATE_     dlrs#1241, #847                                2026-11-28
                           ENTITY, its code in the text
    org that has moved     301, 307, a page, URL_NOT_RESET:   restforce#939; the token answer names the new  2026-11-28
                           sign in again                      instance_url
    ids                    15 characters with case, or 18     unverified; test pair in ids.py                2026-11-20
                           with a checksum of the case
    outbound messages      SOAP, 1 to 100 notifications, no   sforce_api_om_outboundmessaging_notifications  2026-11-20
                           signature, repeated for 24 h until
                           Ack true, in no order
    prices and totals      doubles with all their decimals;   KB 000387302, 000385689                        2026-11-30
                           the UI alone shows two
    session in them        empty since 2026-02-23             help.salesforce.com, article 005232763         2026-11-20

Turn "Send Outbound Messages" off for the integration user, or each write-back announces its own deal again (harmless).
"""

from __future__ import annotations

from crmsync.connectors.consent import Consent
from crmsync.connectors.doors import Door, DoorCode
from crmsync.connectors.kit.late import late
from crmsync.connectors.salesforce.labels import field_of, label_of
from crmsync.connectors.salesforce.settings import AUTH_KINDS, SalesforceSettings, harden, refuse_taken_fields
from crmsync.connectors.system import System

__all__ = ["SYSTEM"]


def _is_server(settings: SalesforceSettings, told: str) -> bool:
    """A sign-in may go on at the organization's own address."""
    from crmsync.connectors.salesforce.addresses import is_trusted

    return is_trusted(told.rstrip("/"), settings.login_url, settings.extra_hosts)


def _door() -> DoorCode:
    from crmsync.connectors.salesforce import doors

    return doors


def _full_key(text: str) -> str:
    from crmsync.connectors.salesforce.ids import full_id

    try:
        return full_id(text)
    except ValueError:
        return text


def _account_key(text: str) -> str:
    from crmsync.connectors.salesforce.ids import ACCOUNT_PREFIX, full_id

    return full_id(text, ACCOUNT_PREFIX)


SYSTEM = System(
    name="salesforce",
    title="Salesforce",
    roles=("deals", "catalogue"),
    guide="docs/setup/salesforce.md",
    auth_kinds=AUTH_KINDS,
    auth_setting="auth",
    consent=Consent(
        server="login_url",
        authorize_path="/services/oauth2/authorize",
        token_path="/services/oauth2/token",  # noqa: S106
        scopes=("api", "refresh_token"),
        exchange=late("crmsync.connectors.salesforce.sign_in:exchange"),
        is_server=_is_server,
    ),
    doors=(
        Door(
            "deal-closed",
            "/webhook/salesforce/deal-closed",
            ("SF_WEBHOOK_SECRET", "SF_WEBHOOK_BEARER", "SF_WEBHOOK_TOKEN"),
            announces="deals",
            forms={"salesforce_json": "Salesforce, JSON", "salesforce_outbound": "Salesforce, Outbound Message"},
            code=_door,
        ),
    ),
    settings=SalesforceSettings,
    check=refuse_taken_fields,
    variable="SF_CLIENT_ID",
    mentioned_by=("SF_LOGIN_URL", "SF_CLIENT_ID", "SF_USERNAME", "SF_PRIVATE_KEY", "SF_REFRESH_TOKEN"),
    prefixes=("SF_",),
    other_prefixes=("SALESFORCE_",),
    connect=late("crmsync.connectors.salesforce.client:connect"),
    quota=late("crmsync.connectors.salesforce.quota:quota"),
    claim=late("crmsync.connectors.salesforce.account:claim"),
    harden=harden,
    full_key=_full_key,
    account_key=_account_key,
    label_of=label_of,
    field_of=field_of,
    words=("opportunity",),
)
