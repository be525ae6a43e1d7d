"""The settings of each system: what the environment says of Salesforce, SAP and Zoho Books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crmsync.environment import Reader, Secret, env, read, read_into

MINIMUM_SECRET_LENGTH = 12  # what Zoho asks of a webhook secret
TOKEN_PATH = "/sap/bc/sec/oauth2/token"  # of SAP's API host, where SAP_TOKEN_URL names no other  # noqa: S105


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """What opens each form of a door, the newest secret first; a form without any is refused."""

    signature: tuple[Secret, ...] = ()
    standard: tuple[Secret, ...] = ()
    bearer: tuple[Secret, ...] = ()
    token: tuple[Secret, ...] = ()


_LOGIN_URL = "https://login.salesforce.com"
_FIELD = r"[A-Za-z][A-Za-z0-9_]{0,79}"
_HOST = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"


def _field_name(variable: str, default: str = "") -> str:
    expected = "the API name of a field, such as Sync_Status__c"
    return read(lambda reader: reader.text(variable, default, pattern=_FIELD, expected=expected))


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
    webhook_secret: Secret | None = env.optional_secret("SF_WEBHOOK_SECRET", minimum_length=MINIMUM_SECRET_LENGTH)
    webhook_secret_previous: Secret | None = read(lambda reader: _previous(reader, "SF_WEBHOOK_SECRET"))
    webhook_bearer: tuple[Secret, ...] = read(lambda reader: _both(reader, "SF_WEBHOOK_BEARER"))
    webhook_token: tuple[Secret, ...] = read(lambda reader: _both(reader, "SF_WEBHOOK_TOKEN"))
    webhook_forms: tuple[str, ...] = read(lambda reader: _forms(reader, "SF_WEBHOOK_FORMS"))
    organization_id: str = env.text(
        "SF_ORGANIZATION_ID",
        pattern="00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?",
        expected="15 or 18 letters and digits that begin with 00D",
    )
    audience: str = read(lambda reader: reader.url("SF_AUDIENCE", reader.url("SF_LOGIN_URL", _LOGIN_URL)))
    order_number_field: str = _field_name("SF_ORDER_NUMBER_FIELD", "SAP_Order_Number__c")
    invoice_number_field: str = _field_name("SF_INVOICE_NUMBER_FIELD", "Zoho_Invoice_Number__c")
    status_field: str = _field_name("SF_STATUS_FIELD", "Sync_Status__c")
    status_reason_field: str = _field_name("SF_STATUS_REASON_FIELD")  # none: no sentence is written
    purchase_order_field: str = _field_name("SF_PURCHASE_ORDER_FIELD")
    tax_number_field: str = _field_name("SF_TAX_NUMBER_FIELD")
    account_email_field: str = _field_name("SF_ACCOUNT_EMAIL_FIELD")  # of a person account: PersonEmail
    payment_received_field: str = _field_name("SF_PAYMENT_RECEIVED_FIELD", "Payment_Received__c")
    payment_amount_field: str = _field_name("SF_PAYMENT_AMOUNT_FIELD", "Payment_Amount__c")
    payment_date_field: str = _field_name("SF_PAYMENT_DATE_FIELD", "Payment_Date__c")
    stock_field: str = _field_name("SF_STOCK_FIELD", "Available_Stock__c")
    low_stock_field: str = _field_name("SF_LOW_STOCK_FIELD", "Low_Stock_Alert__c")
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
        common = _in_turn(self.webhook_secret, self.webhook_secret_previous)
        keys = {
            "signature": common,
            "standard": common,
            "bearer": self.webhook_bearer or common,
            "token": self.webhook_token or common,
        }
        return WebhookKeys(**{form: keys[form] for form in self.webhook_forms})


@dataclass(frozen=True, slots=True)
class SapSettings:
    auth: str = read(lambda reader: _sap_auth(reader))
    base_url: str = env.url("SAP_BASE_URL", required=True)
    token_url: str = read(lambda reader: _token_url(reader))
    client_id: str = read(
        lambda reader: reader.required("SAP_CLIENT_ID") if _is_oauth(reader) else reader.text("SAP_CLIENT_ID")
    )
    client_secret: Secret = read(lambda reader: reader.secret("SAP_CLIENT_SECRET", required=_is_oauth(reader)))
    user: str = read(lambda reader: reader.text("SAP_USER") if _is_oauth(reader) else reader.required("SAP_USER"))
    password: Secret = read(lambda reader: reader.secret("SAP_PASSWORD", required=not _is_oauth(reader)))
    sap_client: str = env.text("SAP_CLIENT", pattern=r"\d{3}", expected="three digits")
    language: str = env.text("SAP_LANGUAGE", "EN", pattern="[A-Z]{2}", expected="a code such as EN")
    sales_organization: str = env.required("SAP_SALES_ORGANIZATION")
    distribution_channel: str = env.text("SAP_DISTRIBUTION_CHANNEL", "10", at_most=2)
    division: str = env.text("SAP_DIVISION", "00", at_most=2)
    order_type: str = env.text("SAP_ORDER_TYPE", "OR", at_most=4)
    price_condition_type: str = env.text("SAP_PRICE_CONDITION_TYPE", "PPR0", at_most=4)
    quantity_unit: str = env.text("SAP_QUANTITY_UNIT", at_most=3)
    reference_field: str = env.text(
        "SAP_REFERENCE_FIELD",
        "PurchaseOrderByCustomer",
        pattern="PurchaseOrderByCustomer|AssignmentReference",
        expected="PurchaseOrderByCustomer or AssignmentReference",
    )
    partner_grouping: str = env.text("SAP_PARTNER_GROUPING", "BP02", at_most=4)
    company_code: str = env.text("SAP_COMPANY_CODE", "1010", at_most=4)
    reconciliation_account: str = env.text("SAP_RECONCILIATION_ACCOUNT", "12100000", at_most=10)
    payment_terms: str = env.text("SAP_PAYMENT_TERMS", "0004", at_most=4)
    shipping_condition: str = env.text("SAP_SHIPPING_CONDITION", "01", at_most=2)
    incoterms: str = env.text("SAP_INCOTERMS", "EXW", at_most=3)
    default_country: str = env.text("SAP_DEFAULT_COUNTRY", pattern="[A-Z]{2}", expected="a code such as US")
    tax_number_type: str = env.text("SAP_TAX_NUMBER_TYPE", at_most=4)
    customer_tax_category: str = env.text("SAP_CUSTOMER_TAX_CATEGORY", at_most=4)
    customer_tax_classification: str = env.text("SAP_CUSTOMER_TAX_CLASSIFICATION", "1", at_most=1)
    departure_country: str = read(lambda reader: _departure_country(reader))
    # Message codes of this system that mean: locked, try again.
    lock_codes: tuple[str, ...] = env.codes("SAP_LOCK_CODES", code=r"[\w/.~-]{1,60}", example="MC/601, V2/468")
    stock_types: tuple[str, ...] = env.codes("SAP_STOCK_TYPES", "01")
    stock_plants: tuple[str, ...] = env.codes("SAP_STOCK_PLANTS")  # none: all of them
    calls_at_once: int = env.integer("SAP_CALLS_AT_ONCE", 8, minimum=1, maximum=10_000)


@dataclass(frozen=True, slots=True)
class ZohoBooksSettings:
    accounts_url: str = env.url("ZOHO_ACCOUNTS_URL", "https://accounts.zoho.com")
    api_url: str = env.url("ZOHO_API_URL", "https://www.zohoapis.com")
    client_id: str = env.required("ZOHO_CLIENT_ID")
    client_secret: Secret = env.secret("ZOHO_CLIENT_SECRET")
    refresh_token: Secret = env.secret("ZOHO_REFRESH_TOKEN")
    organization_id: str = env.required("ZOHO_ORGANIZATION_ID")
    webhook_secret: Secret | None = env.optional_secret("ZOHO_WEBHOOK_SECRET", minimum_length=MINIMUM_SECRET_LENGTH)
    webhook_secret_previous: Secret | None = read(lambda reader: _previous(reader, "ZOHO_WEBHOOK_SECRET"))
    time_zone: str = env.time_zone("ZOHO_TIME_ZONE")  # "": the organization tells its own
    tax_id: str = env.text("ZOHO_TAX_ID", pattern=r"\d{1,20}", expected="digits alone")
    invoice_unique_field: str = _field_name("ZOHO_INVOICE_UNIQUE_FIELD")
    contact_unique_field: str = _field_name("ZOHO_CONTACT_UNIQUE_FIELD")
    item_lookup: bool | None = read(lambda reader: _wish(reader, "ZOHO_ITEM_LOOKUP"))
    line_discounts: bool = env.flag("ZOHO_LINE_DISCOUNTS")
    calls_per_minute: int = env.integer("ZOHO_CALLS_PER_MINUTE", 100, minimum=1, maximum=1_000_000)
    calls_per_day: int = env.integer("ZOHO_CALLS_PER_DAY", 10_000, minimum=1, maximum=1_000_000_000)
    calls_at_once: int = env.integer("ZOHO_CALLS_AT_ONCE", 10, minimum=1, maximum=10_000)

    @property
    def webhook_secrets(self) -> tuple[Secret, ...]:
        return _in_turn(self.webhook_secret, self.webhook_secret_previous)


def _wish(reader: Reader, name: str) -> bool | None:
    """Yes, no, or None where it is left to crmsync."""
    wished = reader.flag(name)
    return wished if reader.raw(name) else None


def _in_turn(*secrets: Secret | None) -> tuple[Secret, ...]:
    """Those that are set: while a secret is being changed there are two."""
    return tuple(secret for secret in secrets if secret is not None)


def read_salesforce(reader: Reader) -> SalesforceSettings | None:
    names = ("SF_LOGIN_URL", "SF_CLIENT_ID", "SF_USERNAME", "SF_PRIVATE_KEY")
    doors = [_has_secret(reader, f"SF_WEBHOOK_{form}") for form in ("SECRET", "BEARER", "TOKEN")]
    if not reader.any_set(*names) and not any(doors):
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


def _has_secret(reader: Reader, name: str) -> bool:
    """Whether a door has its secret; that the one before it is set alone is remembered as a mistake."""
    secret, _ = _secret(reader, name), _previous(reader, name)
    return secret is not None


def _both(reader: Reader, name: str) -> tuple[Secret, ...]:
    """The secret, and the one before it while a sender still uses that."""
    return _in_turn(_secret(reader, name), _previous(reader, name))


def _secret(reader: Reader, name: str) -> Secret | None:
    return reader.optional_secret(name, minimum_length=MINIMUM_SECRET_LENGTH)


def _previous(reader: Reader, name: str) -> Secret | None:
    previous = _secret(reader, f"{name}_PREVIOUS")
    if previous and not _secret(reader, name):
        reader.problems[f"{name}_PREVIOUS"] = f"is set without {name}, which follows it"
    return previous


def _forms(reader: Reader, name: str) -> tuple[str, ...]:
    """The forms of proof that are accepted, between commas or blanks; all of them by default."""
    named = reader.listed(name) or list(WEBHOOK_FORMS)
    if not set(named) <= set(WEBHOOK_FORMS):
        reader.problems[name] = f"expected some of {', '.join(WEBHOOK_FORMS)}, between commas"
        return ()
    return tuple(dict.fromkeys(named))


def read_sap(reader: Reader) -> SapSettings | None:
    if not reader.any_set("SAP_BASE_URL", "SAP_CLIENT_ID", "SAP_USER"):
        return None
    return read_into(SapSettings, reader)


def _sap_auth(reader: Reader) -> str:
    return reader.text("SAP_AUTH", "oauth2", pattern="oauth2|basic", expected="oauth2 or basic")


def _is_oauth(reader: Reader) -> bool:
    return _sap_auth(reader) == "oauth2"


def _token_url(reader: Reader) -> str:
    base_url = reader.url("SAP_BASE_URL")
    return reader.url("SAP_TOKEN_URL", f"{base_url}{TOKEN_PATH}" if base_url else "")


def _departure_country(reader: Reader) -> str:
    name = "SAP_DEPARTURE_COUNTRY"
    code = reader.text(name, reader.raw("SAP_DEFAULT_COUNTRY"), pattern="[A-Z]{2}", expected="a code such as US")
    if reader.raw("SAP_CUSTOMER_TAX_CATEGORY") and not code:
        reader.problems[name] = "is missing: SAP_CUSTOMER_TAX_CATEGORY needs the country that goods are sent from"
    return code


def read_zoho_books(reader: Reader) -> ZohoBooksSettings | None:
    names = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_ORGANIZATION_ID")
    has_door = _has_secret(reader, "ZOHO_WEBHOOK_SECRET")
    if not reader.any_set(*names) and not has_door:
        return None
    return read_into(ZohoBooksSettings, reader)
