"""The checks of `crmsync doctor` for SAP S/4HANA: the sign-in, one read per permission, and a simulated order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from crmsync import errors
from crmsync.connectors.base import Check
from crmsync.connectors.kit.doctor import (
    NO_STOCK,
    SIGN_IN,
    Found,
    Probe,
    examined,
    failed,
    not_checked,
    noted,
    signed_out,
    unseen,
)
from crmsync.connectors.s4hana import services
from crmsync.connectors.s4hana.api import SapApi
from crmsync.connectors.s4hana.doctor_order import TRIAL, try_an_order
from crmsync.connectors.s4hana.errors import NO_SERVICE, SIGNED_OUT
from crmsync.connectors.s4hana.odata import equals
from crmsync.connectors.s4hana.services import Resource
from crmsync.connectors.s4hana.settings import TOKEN_PATH, SapSettings
from crmsync.connectors.s4hana.stock import stock_filter

_OPERATION = "check"
_NEW_CUSTOMERS = "values for new customers"
_READ = {
    "read sales orders (SAP_COM_0109)": (services.ORDERS, "SalesOrder"),
    "read business partners (SAP_COM_0008)": (services.PARTNERS, "BusinessPartner"),
    "search tax numbers": (services.PARTNER_TAX_NUMBERS, "BusinessPartner"),
    "search e-mail addresses": (services.EMAIL_ADDRESSES, "AddressID"),
    "search addresses": (services.PARTNER_ADDRESSES, "AddressID"),
    "read stock (SAP_COM_0164)": (services.STOCK, "Material"),
    "read products (SAP_COM_0009)": (services.PRODUCTS, "Product"),
}

_OF_STOCK = (services.STOCK_SERVICE, services.PRODUCT_SERVICE)
_TO_ACTIVATE = "Create the communication arrangement of {scenario} with crmsync's user; on premise, activate {service}."

_REFUSED = {
    "oauth2": {"invalid_client": "SAP_CLIENT_ID and SAP_CLIENT_SECRET"},
    "basic": {SIGNED_OUT: "SAP_USER and SAP_PASSWORD, and whether the user is locked in SAP"},
}


def examine(api: SapApi, settings: SapSettings, *, reads_stock: bool = True) -> Iterator[Check]:
    """Ends at a refused sign-in: a few more would lock the communication user."""
    checks = examined(
        _probes(api, reads_stock=reads_stock),
        failed=partial(_failed, settings),
        then=_where_all_is_well(api, settings, reads_stock=reads_stock),
        otherwise=[not_checked(TRIAL, "the failures above must be corrected first")],
    )
    first = next(checks)
    if first.is_last:
        yield replace(first, name=SIGN_IN)
        return
    yield Check(SIGN_IN, is_ok=True, detail=_account(settings))
    yield first
    yield from checks


def _probes(api: SapApi, *, reads_stock: bool) -> Iterator[Probe]:
    """The first call signs in."""
    for name, (at, field) in _READ.items():
        if reads_stock or at.service not in _OF_STOCK:
            yield Probe(name, partial(api.peek, _OPERATION, at, field), needs=at.service)
    for each in (services.ORDER_SERVICE, services.PARTNER_SERVICE):
        yield Probe(f"get a CSRF token from {each}", partial(api.may_write, each), needs=each)
    if not reads_stock:
        yield Probe("stock and products", partial(unseen, f"the stock is not read: {NO_STOCK}"))


def _where_all_is_well(api: SapApi, settings: SapSettings, *, reads_stock: bool) -> Iterator[Probe]:
    if reads_stock:
        yield Probe("stock that counts", partial(_stock_that_counts, api, settings))
    yield Probe(TRIAL, partial(try_an_order, api, settings))
    yield Probe(_NEW_CUSTOMERS, partial(_new_customers, api, settings))


def _failed(settings: SapSettings, probe: Probe, error: errors.CrmsyncError) -> Check:
    if _is_hopeless(error):
        return replace(signed_out(error, _asked(error, settings), _REFUSED[settings.auth]), name=probe.name)
    if error.code == NO_SERVICE and probe.needs:
        error.advice = _TO_ACTIVATE.format(service=probe.needs, scenario=services.SCENARIOS[probe.needs])
    return failed(probe, error)


def _is_hopeless(error: errors.CrmsyncError) -> bool:
    """Whether nothing else can be asked; one who waits for the end of a refusal (NotNowError) was not let in either."""
    is_signed_out = error.code == SIGNED_OUT or error.operation == "token"
    is_held = isinstance(error, errors.NotNowError)
    return is_signed_out or is_held or (error.is_outage and error.code != NO_SERVICE)


def _asked(error: errors.CrmsyncError, settings: SapSettings) -> str:
    if error.operation != "token":
        return f"{settings.base_url} (SAP_BASE_URL)"
    is_of_base = settings.token_url == f"{settings.base_url}{TOKEN_PATH}"
    return f"{settings.token_url} ({'SAP_BASE_URL' if is_of_base else 'SAP_TOKEN_URL'})"


def _account(settings: SapSettings) -> str:
    client = f"client {settings.sap_client}" if settings.sap_client else "its default client"
    how = "a user and a password" if settings.auth == "basic" else "OAuth 2.0"
    return f"{urlsplit(settings.base_url).netloc}, {client}, by {how}"


def _stock_that_counts(api: SapApi, settings: SapSettings) -> Found:
    """Where nothing lies there, every product is shown as sold out: that may be so, and a person should know it."""
    types, plants = settings.stock_types, settings.stock_plants
    options = {"$filter": stock_filter(types, plants), "$select": "Material", "$orderby": "Material"}
    try:
        if api.first(_OPERATION, services.STOCK, options) is not None:
            return Found()
    except errors.CrmsyncError as error:
        return unseen(error.with_advice)
    where = f" and SAP_STOCK_PLANTS={','.join(plants)}" if plants else ""
    what = f"SAP has none with SAP_STOCK_TYPES={','.join(types)}{where}: every product would be shown as sold out"
    return Found(detail=what, is_note=True)


def _new_customers(api: SapApi, settings: SapSettings) -> Iterator[Check]:
    """What new customers are made with. No service tries a customer, so what is asked is whether others have the same.

    Where there is no customer at all, nothing can be said.
    """
    try:
        if api.first(_OPERATION, services.CUSTOMERS, {"$select": "Customer", "$orderby": "Customer"}):
            unused = [words for words, at, field, value in _values(settings) if not _is_used(api, at, field, value)]
            yield _judged(unused)
    except errors.CrmsyncError as error:
        yield not_checked(_NEW_CUSTOMERS, error.with_advice)


def _judged(unused: list[str]) -> Check:
    if not unused:
        return Check(_NEW_CUSTOMERS, is_ok=True, detail="customers with the same values exist")
    what = f"no customer in SAP has {' or '.join(unused)}: check it before the first new customer is made"
    return noted(_NEW_CUSTOMERS, what)


def _values(settings: SapSettings) -> Iterator[tuple[str, Resource, str, str]]:
    """The variable with its value, and where customers have it."""
    yield (
        f"SAP_PARTNER_GROUPING={settings.partner_grouping}",
        services.PARTNERS,
        "BusinessPartnerGrouping",
        settings.partner_grouping,
    )
    yield f"SAP_COMPANY_CODE={settings.company_code}", services.COMPANY_CODES, "CompanyCode", settings.company_code
    account = settings.reconciliation_account
    yield f"SAP_RECONCILIATION_ACCOUNT={account}", services.COMPANY_CODES, "ReconciliationAccount", account
    terms, area = settings.payment_terms, services.SALES_AREAS
    yield f"SAP_PAYMENT_TERMS={terms}", area, "CustomerPaymentTerms", terms
    yield f"SAP_INCOTERMS={settings.incoterms}", area, "IncotermsClassification", settings.incoterms
    shipping = settings.shipping_condition
    yield f"SAP_SHIPPING_CONDITION={shipping}", area, "ShippingCondition", shipping
    yield from _tax_values(settings)


def _tax_values(settings: SapSettings) -> Iterator[tuple[str, Resource, str, str]]:
    """Those that are set: without them no taxes are written."""
    if number_type := settings.tax_number_type:
        yield f"SAP_TAX_NUMBER_TYPE={number_type}", services.PARTNER_TAX_NUMBERS, "BPTaxType", number_type
    if category := settings.customer_tax_category:
        taxes, country = services.SALES_AREA_TAXES, settings.departure_country
        yield f"SAP_CUSTOMER_TAX_CATEGORY={category}", taxes, "CustomerTaxCategory", category
        classification = settings.customer_tax_classification
        yield f"SAP_CUSTOMER_TAX_CLASSIFICATION={classification}", taxes, "CustomerTaxClassification", classification
        yield f"SAP_DEPARTURE_COUNTRY={country}", taxes, "DepartureCountry", country


def _is_used(api: SapApi, at: Resource, field: str, value: str) -> bool:
    options = {"$filter": equals(field, value), "$select": field, "$orderby": field}
    return api.first(_OPERATION, at, options) is not None
