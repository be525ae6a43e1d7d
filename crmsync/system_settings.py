"""The settings of each system: what the environment says of Salesforce, SAP and Zoho Books."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crmsync.environment import Reader, Secret

MINIMUM_SECRET_LENGTH = 12  # what Zoho asks of a webhook secret


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """What opens each form of a door, the newest secret first; a form without any is refused."""

    signature: tuple[Secret, ...] = ()
    standard: tuple[Secret, ...] = ()
    bearer: tuple[Secret, ...] = ()
    token: tuple[Secret, ...] = ()


WEBHOOK_FORMS = ("signature", "standard", "bearer", "token")


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    login_url: str
    client_id: str
    username: str
    private_key: Secret
    api_version: str
    webhook_secret: Secret | None
    organization_id: str
    audience: str
    order_number_field: str
    invoice_number_field: str
    status_field: str
    purchase_order_field: str
    tax_number_field: str
    payment_received_field: str = "Payment_Received__c"
    payment_amount_field: str = "Payment_Amount__c"
    payment_date_field: str = "Payment_Date__c"
    stock_field: str = "Available_Stock__c"
    low_stock_field: str = "Low_Stock_Alert__c"
    calls_at_once: int = 0  # Salesforce limits only calls that last for 20 seconds
    catch_up_filter: str = ""  # a condition in SOQL
    extra_hosts: tuple[str, ...] = ()  # to which tokens may be sent beside Salesforce's own
    webhook_secret_previous: Secret | None = None
    webhook_bearer: tuple[Secret, ...] = ()
    webhook_token: tuple[Secret, ...] = ()
    webhook_forms: tuple[str, ...] = WEBHOOK_FORMS

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
    base_url: str
    auth: str  # oauth2 | basic
    token_url: str
    client_id: str
    client_secret: Secret
    user: str
    password: Secret
    sap_client: str
    language: str
    sales_organization: str
    distribution_channel: str
    division: str
    order_type: str
    price_condition_type: str
    quantity_unit: str
    reference_field: str
    partner_grouping: str
    company_code: str
    reconciliation_account: str
    payment_terms: str
    shipping_condition: str
    incoterms: str
    default_country: str
    tax_number_type: str
    customer_tax_category: str
    customer_tax_classification: str
    departure_country: str = ""
    lock_codes: tuple[str, ...] = ()  # message codes of this system that mean: locked, try again
    stock_types: tuple[str, ...] = ("01",)
    stock_plants: tuple[str, ...] = ()  # none: all of them
    calls_at_once: int = 8


@dataclass(frozen=True, slots=True)
class ZohoBooksSettings:
    accounts_url: str
    api_url: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret
    organization_id: str
    webhook_secret: Secret | None
    tax_id: str
    invoice_unique_field: str
    contact_unique_field: str
    item_lookup: bool = False
    line_discounts: bool = False
    calls_per_minute: int = 100
    calls_per_day: int = 10_000
    calls_at_once: int = 10
    webhook_secret_previous: Secret | None = None

    @property
    def webhook_secrets(self) -> tuple[Secret, ...]:
        return _in_turn(self.webhook_secret, self.webhook_secret_previous)


def _in_turn(*secrets: Secret | None) -> tuple[Secret, ...]:
    """Those that are set: while a secret is being changed there are two."""
    return tuple(secret for secret in secrets if secret is not None)


_FIELD = r"[A-Za-z][A-Za-z0-9_]{0,79}"


def read_salesforce(reader: Reader) -> SalesforceSettings | None:
    names = ("SF_LOGIN_URL", "SF_CLIENT_ID", "SF_USERNAME", "SF_PRIVATE_KEY")
    secret, previous = _webhook_secrets(reader, "SF_WEBHOOK_SECRET")
    bearer, token = (_in_turn(*_webhook_secrets(reader, f"SF_WEBHOOK_{form}")) for form in ("BEARER", "TOKEN"))
    if not reader.any_set(*names) and not (secret or bearer or token):
        return None
    login_url = reader.url("SF_LOGIN_URL", "https://login.salesforce.com")
    return SalesforceSettings(
        login_url=login_url,
        client_id=reader.required("SF_CLIENT_ID"),
        username=reader.required("SF_USERNAME"),
        private_key=reader.private_key("SF_PRIVATE_KEY"),
        api_version=reader.text("SF_API_VERSION", "68.0", pattern=r"v?\d\d\.0", expected="a version such as 68.0"),
        webhook_secret=secret,
        webhook_secret_previous=previous,
        webhook_bearer=bearer,
        webhook_token=token,
        webhook_forms=_forms(reader, "SF_WEBHOOK_FORMS"),
        organization_id=reader.text("SF_ORGANIZATION_ID", pattern="00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?"),
        audience=reader.url("SF_AUDIENCE", login_url),
        order_number_field=reader.text("SF_ORDER_NUMBER_FIELD", "SAP_Order_Number__c", pattern=_FIELD),
        invoice_number_field=reader.text("SF_INVOICE_NUMBER_FIELD", "Zoho_Invoice_Number__c", pattern=_FIELD),
        status_field=reader.text("SF_STATUS_FIELD", "Sync_Status__c", pattern=_FIELD),
        purchase_order_field=reader.text("SF_PURCHASE_ORDER_FIELD", pattern=_FIELD),
        tax_number_field=reader.text("SF_TAX_NUMBER_FIELD", pattern=_FIELD),
        payment_received_field=reader.text("SF_PAYMENT_RECEIVED_FIELD", "Payment_Received__c", pattern=_FIELD),
        payment_amount_field=reader.text("SF_PAYMENT_AMOUNT_FIELD", "Payment_Amount__c", pattern=_FIELD),
        payment_date_field=reader.text("SF_PAYMENT_DATE_FIELD", "Payment_Date__c", pattern=_FIELD),
        stock_field=reader.text("SF_STOCK_FIELD", "Available_Stock__c", pattern=_FIELD),
        low_stock_field=reader.text("SF_LOW_STOCK_FIELD", "Low_Stock_Alert__c", pattern=_FIELD),
        calls_at_once=reader.integer("SF_CALLS_AT_ONCE", 0, maximum=10_000),
        catch_up_filter=reader.text("SF_CATCH_UP_FILTER"),
        extra_hosts=_codes(
            reader, "SF_EXTRA_HOSTS", code=r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", example="crm.example.com"
        ),
    )


def _webhook_secrets(reader: Reader, name: str) -> tuple[Secret | None, Secret | None]:
    """The secret, and the one before it while a sender still uses that."""
    secret = reader.optional_secret(name, minimum_length=MINIMUM_SECRET_LENGTH)
    previous = reader.optional_secret(f"{name}_PREVIOUS", minimum_length=MINIMUM_SECRET_LENGTH)
    if previous and not secret:
        reader.problems[f"{name}_PREVIOUS"] = f"is set without {name}, which follows it"
    return secret, previous


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
    auth = reader.text("SAP_AUTH", "oauth2", pattern="oauth2|basic", expected="oauth2 or basic")
    is_oauth = auth == "oauth2"
    base_url = reader.url("SAP_BASE_URL", required=True)
    return SapSettings(
        base_url=base_url,
        auth=auth,
        token_url=reader.url("SAP_TOKEN_URL", f"{base_url}/sap/bc/sec/oauth2/token" if base_url else ""),
        client_id=reader.required("SAP_CLIENT_ID") if is_oauth else reader.text("SAP_CLIENT_ID"),
        client_secret=reader.secret("SAP_CLIENT_SECRET", required=is_oauth),
        user=reader.text("SAP_USER") if is_oauth else reader.required("SAP_USER"),
        password=reader.secret("SAP_PASSWORD", required=not is_oauth),
        sap_client=reader.text("SAP_CLIENT", pattern=r"\d{3}", expected="three digits"),
        language=reader.text("SAP_LANGUAGE", "EN", pattern="[A-Z]{2}"),
        sales_organization=reader.required("SAP_SALES_ORGANIZATION"),
        distribution_channel=reader.text("SAP_DISTRIBUTION_CHANNEL", "10", pattern=".{1,2}"),
        division=reader.text("SAP_DIVISION", "00", pattern=".{1,2}"),
        order_type=reader.text("SAP_ORDER_TYPE", "OR", pattern=".{1,4}"),
        price_condition_type=reader.text("SAP_PRICE_CONDITION_TYPE", "PPR0", pattern=".{1,4}"),
        quantity_unit=reader.text("SAP_QUANTITY_UNIT", pattern=".{1,3}"),
        reference_field=reader.text(
            "SAP_REFERENCE_FIELD", "PurchaseOrderByCustomer", pattern="PurchaseOrderByCustomer|AssignmentReference"
        ),
        partner_grouping=reader.text("SAP_PARTNER_GROUPING", "BP02", pattern=".{1,4}"),
        company_code=reader.text("SAP_COMPANY_CODE", "1010", pattern=".{1,4}"),
        reconciliation_account=reader.text("SAP_RECONCILIATION_ACCOUNT", "12100000", pattern=".{1,10}"),
        payment_terms=reader.text("SAP_PAYMENT_TERMS", "0004", pattern=".{1,4}"),
        shipping_condition=reader.text("SAP_SHIPPING_CONDITION", "01", pattern=".{1,2}"),
        incoterms=reader.text("SAP_INCOTERMS", "EXW", pattern=".{1,3}"),
        default_country=reader.text("SAP_DEFAULT_COUNTRY", pattern="[A-Z]{2}", expected="a code such as US"),
        tax_number_type=reader.text("SAP_TAX_NUMBER_TYPE", pattern=".{1,4}"),
        customer_tax_category=reader.text("SAP_CUSTOMER_TAX_CATEGORY", pattern=".{1,4}"),
        customer_tax_classification=reader.text("SAP_CUSTOMER_TAX_CLASSIFICATION", "1", pattern=".{1}"),
        departure_country=_departure_country(reader),
        lock_codes=_codes(reader, "SAP_LOCK_CODES", code=r"[\w/.~-]{1,60}", example="MC/601, V2/468"),
        stock_types=_codes(reader, "SAP_STOCK_TYPES", "01"),
        stock_plants=_codes(reader, "SAP_STOCK_PLANTS"),
        calls_at_once=reader.integer("SAP_CALLS_AT_ONCE", 8, minimum=1, maximum=10_000),
    )


def _codes(
    reader: Reader, name: str, default: str = "", *, code: str = r"\w{1,4}", example: str = "1010, 1020"
) -> tuple[str, ...]:
    """A list, separated by commas, semicolons or blanks, each of the form *code*."""
    found = tuple(reader.listed(name) or filter(None, [default]))
    if not all(re.fullmatch(code, each) for each in found):
        reader.problems[name] = f"expected codes separated by commas or blanks, such as {example}"
    return found


def _departure_country(reader: Reader) -> str:
    name = "SAP_DEPARTURE_COUNTRY"
    code = reader.text(name, reader.raw("SAP_DEFAULT_COUNTRY"), pattern="[A-Z]{2}", expected="a code such as US")
    if reader.raw("SAP_CUSTOMER_TAX_CATEGORY") and not code:
        reader.problems[name] = "is missing: SAP_CUSTOMER_TAX_CATEGORY needs the country that goods are sent from"
    return code


def read_zoho_books(reader: Reader) -> ZohoBooksSettings | None:
    webhook_secret, previous = _webhook_secrets(reader, "ZOHO_WEBHOOK_SECRET")
    names = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_ORGANIZATION_ID")
    if not reader.any_set(*names) and webhook_secret is None:
        return None
    return ZohoBooksSettings(
        accounts_url=reader.url("ZOHO_ACCOUNTS_URL", "https://accounts.zoho.com"),
        api_url=reader.url("ZOHO_API_URL", "https://www.zohoapis.com"),
        client_id=reader.required("ZOHO_CLIENT_ID"),
        client_secret=reader.secret("ZOHO_CLIENT_SECRET"),
        refresh_token=reader.secret("ZOHO_REFRESH_TOKEN"),
        organization_id=reader.required("ZOHO_ORGANIZATION_ID"),
        webhook_secret=webhook_secret,
        webhook_secret_previous=previous,
        tax_id=reader.text("ZOHO_TAX_ID", pattern=r"\d{1,20}"),
        invoice_unique_field=reader.text("ZOHO_INVOICE_UNIQUE_FIELD", pattern=_FIELD),
        contact_unique_field=reader.text("ZOHO_CONTACT_UNIQUE_FIELD", pattern=_FIELD),
        item_lookup=reader.flag("ZOHO_ITEM_LOOKUP"),
        line_discounts=reader.flag("ZOHO_LINE_DISCOUNTS"),
        calls_per_minute=reader.integer("ZOHO_CALLS_PER_MINUTE", 100, minimum=1, maximum=1_000_000),
        calls_per_day=reader.integer("ZOHO_CALLS_PER_DAY", 10_000, minimum=1, maximum=1_000_000_000),
        calls_at_once=reader.integer("ZOHO_CALLS_AT_ONCE", 10, minimum=1, maximum=10_000),
    )
