"""The settings of SAP S/4HANA."""

from __future__ import annotations

from dataclasses import dataclass

from crmsync.declared import setting
from crmsync.environment import Reader, Secret, env, read

TOKEN_PATH = "/sap/bc/sec/oauth2/token"  # of SAP's API host, where SAP_TOKEN_URL names no other  # noqa: S105


@dataclass(frozen=True, slots=True)
class SapSettings:
    auth: str = setting(
        "`oauth2` or `basic`",
        read(lambda reader: _sap_auth(reader), variable="SAP_AUTH", kind="text", pattern="oauth2|basic"),
    )
    base_url: str = setting(
        "the API host; paths start with `/sap/opu/odata/sap/`", env.url("SAP_BASE_URL", required=True)
    )
    token_url: str = setting(
        "the token endpoint for client credentials",
        read(lambda reader: _token_url(reader), variable="SAP_TOKEN_URL", kind="url"),
        default="`/sap/bc/sec/oauth2/token` on the API host",
    )
    client_id: str = setting(
        "communication user, for `oauth2`",
        read(
            lambda reader: reader.required("SAP_CLIENT_ID") if _is_oauth(reader) else reader.text("SAP_CLIENT_ID"),
            variable="SAP_CLIENT_ID",
            kind="text",
        ),
        default="required there",
    )
    client_secret: Secret = setting(
        "its password",
        read(
            lambda reader: reader.secret("SAP_CLIENT_SECRET", required=_is_oauth(reader)),
            variable="SAP_CLIENT_SECRET",
            kind="secret",
        ),
        default="required there",
    )
    user: str = setting(
        "user, for `basic`",
        read(
            lambda reader: reader.text("SAP_USER") if _is_oauth(reader) else reader.required("SAP_USER"),
            variable="SAP_USER",
            kind="text",
        ),
        default="required there",
    )
    password: Secret = setting(
        "its password",
        read(
            lambda reader: reader.secret("SAP_PASSWORD", required=not _is_oauth(reader)),
            variable="SAP_PASSWORD",
            kind="secret",
        ),
        default="required there",
    )
    sap_client: str = setting(
        "SAP client, three digits, if the host serves several",
        env.text("SAP_CLIENT", pattern=r"\d{3}", expected="three digits"),
    )
    language: str = setting(
        "language of the session and of new addresses",
        env.text("SAP_LANGUAGE", "EN", pattern="[A-Z]{2}", expected="a code such as EN"),
    )
    sales_organization: str = setting(
        "sales organisation of orders and customers", env.required("SAP_SALES_ORGANIZATION")
    )
    distribution_channel: str = setting("distribution channel", env.text("SAP_DISTRIBUTION_CHANNEL", "10", at_most=2))
    division: str = setting("division", env.text("SAP_DIVISION", "00", at_most=2))
    order_type: str = setting("order type", env.text("SAP_ORDER_TYPE", "OR", at_most=4))
    price_condition_type: str = setting(
        "condition type for the price", env.text("SAP_PRICE_CONDITION_TYPE", "PPR0", at_most=4)
    )
    quantity_unit: str = setting(
        "unit of quantities; if unset, the material's own", env.text("SAP_QUANTITY_UNIT", at_most=3)
    )
    reference_field: str = setting(
        "field for our reference: `PurchaseOrderByCustomer` (then the customer's own number goes to "
        "the items), or `AssignmentReference`",
        env.text(
            "SAP_REFERENCE_FIELD",
            "PurchaseOrderByCustomer",
            pattern="PurchaseOrderByCustomer|AssignmentReference",
            expected="PurchaseOrderByCustomer or AssignmentReference",
        ),
    )
    partner_grouping: str = setting(
        "grouping of new business partners", env.text("SAP_PARTNER_GROUPING", "BP02", at_most=4)
    )
    company_code: str = setting("company code of new customers", env.text("SAP_COMPANY_CODE", "1010", at_most=4))
    reconciliation_account: str = setting(
        "their reconciliation account", env.text("SAP_RECONCILIATION_ACCOUNT", "12100000", at_most=10)
    )
    payment_terms: str = setting("their payment terms key", env.text("SAP_PAYMENT_TERMS", "0004", at_most=4))
    shipping_condition: str = setting("their shipping condition", env.text("SAP_SHIPPING_CONDITION", "01", at_most=2))
    incoterms: str = setting("their incoterms", env.text("SAP_INCOTERMS", "EXW", at_most=3))
    default_country: str = setting(
        "country of customers whose account has none",
        env.text("SAP_DEFAULT_COUNTRY", pattern="[A-Z]{2}", expected="a code such as US"),
    )
    tax_number_type: str = setting(
        "tax number category, such as `DE0`; if unset, tax numbers are not written. Customers are searched for in "
        "all categories; the first two letters of a category are the number's country",
        env.text("SAP_TAX_NUMBER_TYPE", at_most=4),
    )
    customer_tax_category: str = setting(
        "tax category of the sales area, such as `TTX1`", env.text("SAP_CUSTOMER_TAX_CATEGORY", at_most=4)
    )
    customer_tax_classification: str = setting(
        "its classification", env.text("SAP_CUSTOMER_TAX_CLASSIFICATION", "1", at_most=1)
    )
    departure_country: str = setting(
        "country from which goods are sent, for that classification",
        read(
            lambda reader: _departure_country(reader), variable="SAP_DEPARTURE_COUNTRY", kind="text", pattern="[A-Z]{2}"
        ),
        default="the customer's",
    )
    # Message codes of this system that mean: locked, try again.
    lock_codes: tuple[str, ...] = setting(
        'further message codes, written `MC/601` or `MC601`, separated by commas or spaces, that mean "locked '
        'by another user": such calls are retried',
        env.codes("SAP_LOCK_CODES", code=r"[\w/.~-]{1,60}", example="MC/601, V2/468"),
        default="the known ones: `MC/601`, `V2/468`, `VL/045` and others",
    )
    stock_types: tuple[str, ...] = setting(
        "stock types that count, separated by commas or spaces",
        env.codes("SAP_STOCK_TYPES", "01"),
        default="`01`, unrestricted use",
    )
    stock_plants: tuple[str, ...] = setting(
        "plants that count, separated by commas or spaces", env.codes("SAP_STOCK_PLANTS"), default="all"
    )  # none: all of them
    calls_at_once: int = setting(
        "concurrent calls of all processes together; SAP publishes no figure",
        env.integer("SAP_CALLS_AT_ONCE", 8, minimum=1, maximum=10_000),
    )
    calls_per_minute: int = setting(
        "calls in any minute, of all processes together; `0`: no limit",
        env.integer("SAP_CALLS_PER_MINUTE", 0, maximum=1_000_000_000),
    )
    calls_per_hour: int = setting(
        "calls in any hour, of all processes together; `0`: no limit",
        env.integer("SAP_CALLS_PER_HOUR", 0, maximum=1_000_000_000),
    )
    calls_per_day: int = setting(
        "calls in any 24 hours, of all processes together; `0`: no limit",
        env.integer("SAP_CALLS_PER_DAY", 0, maximum=1_000_000_000),
    )
    reserve_percent: int | None = setting(
        "share of each of these limits that is reserved for orders and payments; 0 to 95",
        env.maybe_integer("SAP_RESERVE_PERCENT", example=30, maximum=95),
        default="`CRMSYNC_RESERVE_PERCENT`",
    )


def _sap_auth(reader: Reader) -> str:
    return reader.text("SAP_AUTH", "oauth2", pattern="oauth2|basic", expected="oauth2 or basic")


def _is_oauth(reader: Reader) -> bool:
    return _sap_auth(reader) == "oauth2"


def _token_url(reader: Reader) -> str:
    if not _is_oauth(reader):  # nobody asks there
        return reader.url("SAP_TOKEN_URL")
    base_url = reader.url("SAP_BASE_URL")
    return reader.url("SAP_TOKEN_URL", f"{base_url}{TOKEN_PATH}" if base_url else "")


def _departure_country(reader: Reader) -> str:
    name = "SAP_DEPARTURE_COUNTRY"
    code = reader.text(name, reader.raw("SAP_DEFAULT_COUNTRY"), pattern="[A-Z]{2}", expected="a code such as US")
    if reader.raw("SAP_CUSTOMER_TAX_CATEGORY") and not code:
        reader.problems[name] = "is missing: SAP_CUSTOMER_TAX_CATEGORY needs the country that goods are sent from"
    return code
