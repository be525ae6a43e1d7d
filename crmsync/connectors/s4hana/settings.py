"""The settings of SAP S/4HANA."""

from __future__ import annotations

from dataclasses import dataclass

from crmsync.environment import Reader, Secret, env, read, read_into

TOKEN_PATH = "/sap/bc/sec/oauth2/token"  # of SAP's API host, where SAP_TOKEN_URL names no other  # noqa: S105


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


def read_sap(reader: Reader) -> SapSettings | None:
    """None where nothing is said of it."""
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
