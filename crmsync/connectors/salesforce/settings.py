"""The settings of Salesforce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crmsync.environment import Reader, Secret, env, in_turn, read, read_into


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

WEBHOOK_FORMS = ("signature", "standard", "bearer", "token")


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    login_url: str = env.url("SF_LOGIN_URL", _LOGIN_URL)
    client_id: str = env.required("SF_CLIENT_ID")
    username: str = env.required("SF_USERNAME")
    private_key: Secret = env.private_key("SF_PRIVATE_KEY")
    api_version: str = env.text("SF_API_VERSION", "68.0", pattern=r"v?\d\d\.0", expected="a version such as 68.0")
    webhook_secret: Secret | None = env.door_secret("SF_WEBHOOK_SECRET")
    webhook_secret_previous: Secret | None = env.previous_secret("SF_WEBHOOK_SECRET_PREVIOUS")
    webhook_bearer: Secret | None = env.door_secret("SF_WEBHOOK_BEARER")
    webhook_bearer_previous: Secret | None = env.previous_secret("SF_WEBHOOK_BEARER_PREVIOUS")
    webhook_token: Secret | None = env.door_secret("SF_WEBHOOK_TOKEN")
    webhook_token_previous: Secret | None = env.previous_secret("SF_WEBHOOK_TOKEN_PREVIOUS")
    webhook_forms: tuple[str, ...] = read(lambda reader: _forms(reader, "SF_WEBHOOK_FORMS"))
    organization_id: str = env.text(
        "SF_ORGANIZATION_ID",
        pattern="00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?",
        expected="15 or 18 letters and digits that begin with 00D",
    )
    audience: str = read(lambda reader: reader.url("SF_AUDIENCE", reader.url("SF_LOGIN_URL", _LOGIN_URL)))
    order_number_field: str = env.field_name("SF_ORDER_NUMBER_FIELD", "SAP_Order_Number__c")
    invoice_number_field: str = env.field_name("SF_INVOICE_NUMBER_FIELD", "Zoho_Invoice_Number__c")
    status_field: str = env.field_name("SF_STATUS_FIELD", "Sync_Status__c")
    status_reason_field: str = env.field_name("SF_STATUS_REASON_FIELD")  # none: no sentence is written
    purchase_order_field: str = env.field_name("SF_PURCHASE_ORDER_FIELD")
    tax_number_field: str = env.field_name("SF_TAX_NUMBER_FIELD")
    account_email_field: str = env.field_name("SF_ACCOUNT_EMAIL_FIELD")  # of a person account: PersonEmail
    payment_received_field: str = env.field_name("SF_PAYMENT_RECEIVED_FIELD", "Payment_Received__c")
    payment_amount_field: str = env.field_name("SF_PAYMENT_AMOUNT_FIELD", "Payment_Amount__c")
    payment_date_field: str = env.field_name("SF_PAYMENT_DATE_FIELD", "Payment_Date__c")
    stock_field: str = env.field_name("SF_STOCK_FIELD", "Available_Stock__c")
    low_stock_field: str = env.field_name("SF_LOW_STOCK_FIELD", "Low_Stock_Alert__c")
    # Salesforce limits only calls that last for 20 seconds.
    calls_at_once: int = env.integer("SF_CALLS_AT_ONCE", 0, maximum=10_000)
    catch_up_filter: str = env.text("SF_CATCH_UP_FILTER")  # a condition in SOQL
    # Beside Salesforce's own those to which tokens may be sent.
    extra_hosts: tuple[str, ...] = env.codes("SF_EXTRA_HOSTS", code=_HOST, example="crm.example.com")

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


def read_salesforce(reader: Reader) -> SalesforceSettings | None:
    """None where nothing is said of it."""
    doors = [reader.has_door_secret(f"SF_WEBHOOK_{form}") for form in ("SECRET", "BEARER", "TOKEN")]
    if not reader.any_set("SF_LOGIN_URL", "SF_CLIENT_ID", "SF_USERNAME", "SF_PRIVATE_KEY") and not any(doors):
        return None
    settings = read_into(SalesforceSettings, reader)
    _refuse_taken_fields(reader, settings)
    return settings


def _refuse_taken_fields(reader: Reader, settings: SalesforceSettings) -> None:
    """To write into a field of the deal itself would change the deal, and a field that is asked for twice is refused.

    Salesforce does not look at case.
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


def _forms(reader: Reader, name: str) -> tuple[str, ...]:
    """The forms of proof that are accepted, between commas or blanks; all of them by default."""
    named = reader.listed(name) or list(WEBHOOK_FORMS)
    if not set(named) <= set(WEBHOOK_FORMS):
        reader.problems[name] = f"expected some of {', '.join(WEBHOOK_FORMS)}, between commas"
        return ()
    return tuple(dict.fromkeys(named))
