"""The settings of Salesforce."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crmsync.declared import setting
from crmsync.environment import Reader, Secret, env, in_turn, read


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """What opens each form of a door, the newest secret first; a form without any is refused."""

    signature: tuple[Secret, ...] = ()
    standard: tuple[Secret, ...] = ()
    bearer: tuple[Secret, ...] = ()
    token: tuple[Secret, ...] = ()


_LOGIN_URL = "https://login.salesforce.com"
_HOST = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"

# What is asked of every record of these objects anyway.
READ_OF_DEALS = ("Id", "Name", "IsWon", "IsClosed", "StageName", "Amount", "CreatedDate", "CloseDate", "SystemModstamp")
MAYBE_READ_OF_DEALS = ("LastStageChangeDate", "CurrencyIsoCode")  # some organizations or versions of the API lack them
READ_OF_ACCOUNTS = (
    "Id",
    "Name",
    "BillingStreet",
    "BillingCity",
    "BillingPostalCode",
    "BillingState",
    "BillingCountry",
)
READ_OF_PRODUCTS = ("Id", "ProductCode", "IsActive", "SystemModstamp")

AUTH_KINDS = JWT_BEARER, REFRESH_TOKEN = ("jwt_bearer", "refresh_token")
WEBHOOK_FORMS = ("signature", "standard", "bearer", "token")


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    login_url: str = setting(
        "where to sign in: `https://login.salesforce.com`, `https://test.salesforce.com`, or your My Domain",
        env.url("SF_LOGIN_URL", _LOGIN_URL),
    )
    auth: str = setting(
        "how to sign in: `jwt_bearer`, with a key, or `refresh_token`, after consent in the browser",
        read(lambda reader: _auth(reader), variable="SF_AUTH", kind="text", pattern="jwt_bearer|refresh_token"),
    )
    client_id: str = setting("consumer key of the external client app", env.required("SF_CLIENT_ID"))
    username: str = setting(
        "user name (not the e-mail) of the integration user, for `jwt_bearer`",
        read(
            lambda reader: reader.required("SF_USERNAME") if _signs(reader) else reader.text("SF_USERNAME"),
            variable="SF_USERNAME",
            kind="text",
        ),
        default="required there",
    )
    private_key: Secret = setting(
        "the app's private key, for `jwt_bearer`: RSA of at least 2048 bits, not encrypted, PEM; line ends may be "
        "written as `\\n`. Easier as a file: `SF_PRIVATE_KEY_FILE`",
        read(
            lambda reader: reader.private_key("SF_PRIVATE_KEY") if _signs(reader) else Secret(""),
            variable="SF_PRIVATE_KEY",
            kind="private_key",
        ),
        default="required there",
    )
    client_secret: Secret = setting(
        "consumer secret of the app, for `refresh_token`, where the app has to send one",
        read(
            lambda reader: reader.secret("SF_CLIENT_SECRET", required=False),
            variable="SF_CLIENT_SECRET",
            kind="secret",
        ),
        default="none: PKCE alone protects the consent",
    )
    refresh_token: Secret = setting(
        "refresh token, for `refresh_token`; a connection that people make gets it by "
        "[consent](connections.md#consent-in-the-browser)",
        read(
            lambda reader: reader.secret("SF_REFRESH_TOKEN", required=not _signs(reader)),
            variable="SF_REFRESH_TOKEN",
            kind="secret",
        ),
        default="required there",
    )
    api_version: str = setting(
        "REST API version", env.text("SF_API_VERSION", "68.0", pattern=r"v?\d\d\.0", expected="a version such as 68.0")
    )
    webhook_secret: Secret | None = setting(
        "authenticates webhooks, at least 12 characters (`whsec_` and base64 for Standard Webhooks); used for "
        "each form that has no secret of its own below; without any of them webhooks are refused",
        env.door_secret("SF_WEBHOOK_SECRET"),
    )
    webhook_secret_previous: Secret | None = setting(
        "the previous secret, accepted as well while a sender still uses it",
        env.previous_secret("SF_WEBHOOK_SECRET_PREVIOUS"),
    )
    webhook_bearer: Secret | None = setting(
        "the secret of `Authorization: Bearer`, instead of `SF_WEBHOOK_SECRET`",
        env.door_secret("SF_WEBHOOK_BEARER"),
        default="`SF_WEBHOOK_SECRET`",
    )
    webhook_bearer_previous: Secret | None = setting(
        "the previous one", env.previous_secret("SF_WEBHOOK_BEARER_PREVIOUS")
    )
    webhook_token: Secret | None = setting(
        "the `?token=` of an Outbound Message's address, instead of `SF_WEBHOOK_SECRET`: addresses appear "
        "in the logs of proxies",
        env.door_secret("SF_WEBHOOK_TOKEN"),
        default="`SF_WEBHOOK_SECRET`",
    )
    webhook_token_previous: Secret | None = setting(
        "the previous one", env.previous_secret("SF_WEBHOOK_TOKEN_PREVIOUS")
    )
    webhook_forms: tuple[str, ...] = setting(
        "accepted forms of authentication, separated by commas: `signature` (`X-Crmsync-Signature`), `standard` "
        "(Standard Webhooks, at most five minutes old), `bearer`, `token` (Outbound Messages)",
        env.chosen("SF_WEBHOOK_FORMS", WEBHOOK_FORMS),
        default="all four",
    )
    organization_id: str = setting(
        "the organisation whose Outbound Messages are accepted",
        env.text(
            "SF_ORGANIZATION_ID",
            pattern="00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?",
            expected="15 or 18 letters and digits that begin with 00D",
        ),
        default="none: they are refused",
    )
    audience: str = setting(
        "`aud` of the assertion, if it is not the login address",
        read(
            lambda reader: reader.url("SF_AUDIENCE", reader.url("SF_LOGIN_URL", _LOGIN_URL)),
            variable="SF_AUDIENCE",
            kind="text",
        ),
        default="`SF_LOGIN_URL`",
    )
    order_number_field: str = setting(
        "field of the opportunity that receives the order number",
        env.field_name("SF_ORDER_NUMBER_FIELD", "SAP_Order_Number__c"),
    )
    invoice_number_field: str = setting(
        "field that receives the invoice number", env.field_name("SF_INVOICE_NUMBER_FIELD", "Zoho_Invoice_Number__c")
    )
    status_field: str = setting(
        "text field that receives the state: `Synced`; while a deal is stuck `Waiting`, `Retrying` or "
        "`Needs attention`, and `Not synced` if it was given up; `Synced, invoice not mailed: no "
        "e-mail address`; or what happened to the invoice besides payments: `Credited`, `Written off`, "
        "`99.99 USD paid, 0.01 USD written off`, `90.00 USD paid, 10.00 USD withheld as tax`, `Settled "
        "otherwise`, `47,000.00 EUR paid` if that is not the currency of the deal, `Invoice void`, "
        "`Invoice deleted`",
        env.field_name("SF_STATUS_FIELD", "Sync_Status__c"),
    )
    status_reason_field: str = setting(
        "text field of 255 characters that receives one sentence for the seller beside the state of a "
        "deal that is stuck, such as `Sync_Status_Reason__c`; empty if all is well "
        "([runbook](runbook.md#what-the-seller-sees))",
        env.field_name("SF_STATUS_REASON_FIELD"),
        default="none: no sentence is written",
    )  # none: no sentence is written
    purchase_order_field: str = setting(
        "field that holds the customer's own purchase order number", env.field_name("SF_PURCHASE_ORDER_FIELD")
    )
    tax_number_field: str = setting(
        "field of the account that holds the tax number: the strongest criterion for matching customers",
        env.field_name("SF_TAX_NUMBER_FIELD"),
    )
    account_email_field: str = setting(
        "field of the account with an e-mail address, for deals none of whose contact roles has one; for "
        "person accounts `PersonEmail`, which only orgs with person accounts have",
        env.field_name("SF_ACCOUNT_EMAIL_FIELD"),
    )  # of a person account: PersonEmail
    payment_received_field: str = setting(
        "checkbox of the opportunity: a payment arrived and nothing is left to pay; at most a hundredth of the "
        "invoice may have been written off",
        env.field_name("SF_PAYMENT_RECEIVED_FIELD", "Payment_Received__c"),
    )
    payment_amount_field: str = setting(
        "the total amount paid; empty if that is in another currency than the deal",
        env.field_name("SF_PAYMENT_AMOUNT_FIELD", "Payment_Amount__c"),
    )
    payment_date_field: str = setting(
        "day of the last payment", env.field_name("SF_PAYMENT_DATE_FIELD", "Payment_Date__c")
    )
    stock_field: str = setting(
        "number field of the product: available stock", env.field_name("SF_STOCK_FIELD", "Available_Stock__c")
    )
    low_stock_field: str = setting(
        "checkbox of the product: low on stock", env.field_name("SF_LOW_STOCK_FIELD", "Low_Stock_Alert__c")
    )
    # Salesforce limits only calls that last for 20 seconds.
    calls_at_once: int = setting(
        "concurrent calls of all processes together; `0`: no limit, because Salesforce "
        "limits only calls that last for 20 seconds or longer",
        env.integer("SF_CALLS_AT_ONCE", 0, maximum=10_000),
    )
    calls_per_minute: int = setting(
        "calls in any minute, of all processes together; `0`: no limit",
        env.integer("SF_CALLS_PER_MINUTE", 0, maximum=1_000_000_000),
    )
    calls_per_hour: int = setting(
        "calls in any hour, of all processes together; `0`: no limit",
        env.integer("SF_CALLS_PER_HOUR", 0, maximum=1_000_000_000),
    )
    calls_per_day: int = setting(
        "calls of crmsync in any 24 hours, besides what Salesforce itself counts; `0`: no limit of our own",
        env.integer("SF_CALLS_PER_DAY", 0, maximum=1_000_000_000),
    )
    reserve_percent: int | None = setting(
        "share of each of these limits that is reserved for orders and payments; 0 to 95",
        env.maybe_integer("SF_RESERVE_PERCENT", example=30, maximum=95),
        default="`CRMSYNC_RESERVE_PERCENT`",
    )
    catch_up_filter: str = setting(
        "SOQL condition for the won deals that catch-up may start, such as `RecordType.DeveloperName "
        "= 'Sale'`; set it if your automation announces only some of the won deals",
        env.text("SF_CATCH_UP_FILTER"),
        default="none: all of them",
    )  # a condition in SOQL
    # Beside Salesforce's own those to which tokens may be sent.
    extra_hosts: tuple[str, ...] = setting(
        "hosts or domains, separated by commas or spaces, to which tokens may be sent in addition to "
        "Salesforce's own and that of `SF_LOGIN_URL`: Salesforce returns the address of the API at sign-in",
        env.codes("SF_EXTRA_HOSTS", code=_HOST, example="crm.example.com"),
        leads=True,
    )

    @property
    def own_fields(self) -> Mapping[str, Mapping[str, str]]:
        """The customer's own fields, by object and by the variable that names each."""
        of_deals = {
            "SF_ORDER_NUMBER_FIELD": self.order_number_field,
            "SF_INVOICE_NUMBER_FIELD": self.invoice_number_field,
            "SF_STATUS_FIELD": self.status_field,
            "SF_STATUS_REASON_FIELD": self.status_reason_field,
            "SF_PURCHASE_ORDER_FIELD": self.purchase_order_field,
            "SF_PAYMENT_RECEIVED_FIELD": self.payment_received_field,
            "SF_PAYMENT_AMOUNT_FIELD": self.payment_amount_field,
            "SF_PAYMENT_DATE_FIELD": self.payment_date_field,
        }
        of_accounts = {
            "SF_TAX_NUMBER_FIELD": self.tax_number_field,
            "SF_ACCOUNT_EMAIL_FIELD": self.account_email_field,
        }
        of_products = {"SF_STOCK_FIELD": self.stock_field, "SF_LOW_STOCK_FIELD": self.low_stock_field}
        named = {"Opportunity": of_deals, "Account": of_accounts, "Product2": of_products}
        return {kind: {variable: field for variable, field in own.items() if field} for kind, own in named.items()}

    @property
    def webhook_keys(self) -> WebhookKeys:
        """SF_WEBHOOK_SECRET opens every form that has no secret of its own."""
        common = in_turn(self.webhook_secret, self.webhook_secret_previous)
        keys = {
            "signature": common,
            "standard": common,
            "bearer": in_turn(self.webhook_bearer, self.webhook_bearer_previous) or common,
            "token": in_turn(self.webhook_token, self.webhook_token_previous) or common,
        }
        return WebhookKeys(**{form: keys[form] for form in self.webhook_forms})


def _auth(reader: Reader) -> str:
    ways = "|".join(AUTH_KINDS)
    return reader.text("SF_AUTH", JWT_BEARER, pattern=ways, expected=" or ".join(AUTH_KINDS))


def _signs(reader: Reader) -> bool:
    """Whether it signs in with a key of its own."""
    return _auth(reader) == JWT_BEARER


def refuse_taken_fields(settings: SalesforceSettings, reader: Reader) -> None:
    """To write into a field of the deal itself would change the deal, and a field that is asked for twice is refused.

    Salesforce ignores case.
    """
    anyway = {
        "Opportunity": (*READ_OF_DEALS, *MAYBE_READ_OF_DEALS),
        "Account": READ_OF_ACCOUNTS,
        "Product2": READ_OF_PRODUCTS,
    }
    for kind, own in settings.own_fields.items():
        taken = {field.lower(): "crmsync reads itself" for field in anyway[kind]}
        for variable, field in own.items():
            if field.lower() in taken:
                problem = f"names {field}, which {taken[field.lower()]}: name another field"
                reader.problems.setdefault(variable, problem)
            taken[field.lower()] = f"{variable} names as well"


def harden(settings: SalesforceSettings) -> Iterator[tuple[str, str]]:
    """A secret that opens several forms is as safe as the worst of them: addresses stand in logs."""
    if not settings.webhook_secret or not {"bearer", "token"} & set(settings.webhook_forms):
        return
    own = {"bearer": settings.webhook_bearer, "token": settings.webhook_token}
    shares = [form for form, secret in own.items() if form in settings.webhook_forms and not secret]
    names = " and ".join(f"SF_WEBHOOK_{form.upper()}" for form in shares)
    advice = f"SF_WEBHOOK_SECRET opens {' and '.join(shares)}: set {names}, or leave them out of SF_WEBHOOK_FORMS"
    yield "each form of webhook has a secret of its own", advice if shares else ""
