"""A customer of the CRM as a business partner: organisation, address, roles, company code, sales area. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from crmsync.connectors.s4hana.schemas import (
    AddressSchema,
    EmailSchema,
    SalesAreaSchema,
    TaxNumber,
    TaxNumberSchema,
    misfit,
    written,
)
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.domain.countries import country_code
from crmsync.domain.customers import Address, Customer
from crmsync.domain.references import shortened

ORGANISATION = "2"
PERSON = "1"
FINANCE_ROLE = "FLCU00"
SALES_ROLE = "FLCU01"
REFERENCE_LENGTH = 20
TAX_NUMBER_LENGTH = 20

_SALES_AREA = SalesAreaSchema()
_ADDRESS = AddressSchema()
_EMAIL = EmailSchema()
_TAX_NUMBER = TaxNumberSchema()
_NAME = textwrap.TextWrapper(40, break_on_hyphens=False)
_NAME_LINES = 4
_STREET_LENGTH = 60
_STREET_OVERFLOW = textwrap.TextWrapper(40, break_on_hyphens=False)
_REGION_LENGTH = 3


def partner_body(customer: Customer, *, reference: str, currency: str, settings: SapSettings) -> dict[str, Any]:
    """The one deep insert that makes a customer complete enough to be sold to.

    Raises: MappingError naming the deal's field that SAP can't hold.
    """
    country = _country(customer.address, settings)
    body = {
        "BusinessPartnerCategory": ORGANISATION,
        "BusinessPartnerGrouping": settings.partner_grouping,
        **_names(customer.name),
        "SearchTerm1": customer.name.upper()[:20].strip(),
        "BusinessPartnerIDByExtSystem": external_id(reference),
        "to_BusinessPartnerAddress": [_address(customer, country, settings.language)],
        "to_BusinessPartnerRole": [role_body(FINANCE_ROLE), role_body(SALES_ROLE)],
        "to_Customer": _customer(settings, currency),
    }
    if settings.tax_number_type and customer.tax_number:
        body["to_BusinessPartnerTax"] = [_tax_number(customer.tax_number, settings.tax_number_type)]
    return body


def external_id(reference: str) -> str:
    """*reference* as SAP stores it: in capitals, and with a digest in place of the key where it is too long.

    >>> external_id("001xx000003dgb2aaa"), external_id("AC-001xx000003dgb2aaa")
    ('001XX000003DGB2AAA', 'AC-KH3LMDBCXD4RJTTYR')
    """
    stored = shortened(reference.upper(), REFERENCE_LENGTH)
    if reference and not stored:
        raise misfit("customer.key", f"as reference has {len(reference)} characters, SAP holds {REFERENCE_LENGTH}")
    return stored


def role_body(role: str) -> dict[str, str]:
    return {"BusinessPartnerRole": role}


def sales_area_body(settings: SapSettings, currency: str) -> dict[str, Any]:
    """The sales area that orders are made in."""
    body = written(_SALES_AREA, {**sales_area(settings), **_terms(settings, currency)}, "customer")
    if settings.customer_tax_category:
        body["to_SalesAreaTax"] = [
            {
                "DepartureCountry": settings.departure_country,
                "CustomerTaxCategory": settings.customer_tax_category,
                "CustomerTaxClassification": settings.customer_tax_classification,
            }
        ]
    return body


def sales_area(settings: SapSettings) -> dict[str, str]:
    """The three keys of the sales area."""
    return {
        "organization": settings.sales_organization,
        "channel": settings.distribution_channel,
        "division": settings.division,
    }


def _terms(settings: SapSettings, currency: str) -> dict[str, str]:
    return {
        "currency": currency,
        "payment_terms": settings.payment_terms,
        "incoterms": settings.incoterms,
        "shipping_condition": settings.shipping_condition,
    }


def _customer(settings: SapSettings, currency: str) -> dict[str, Any]:
    company = {"CompanyCode": settings.company_code, "ReconciliationAccount": settings.reconciliation_account}
    return {"to_CustomerCompany": [company], "to_CustomerSalesArea": [sales_area_body(settings, currency)]}


def _country(address: Address, settings: SapSettings) -> str:
    if address.country.strip():
        code = country_code(address.country)
        problem = "is not a country of ISO 3166"
    else:
        code = settings.default_country
        problem = "is empty and SAP_DEFAULT_COUNTRY is not set"
    if not code:
        raise misfit("customer.address.country", problem)
    return code


def _names(name: str) -> dict[str, str]:
    """The name over up to four lines, broken between words.

    >>> _names("Acme Ltd")
    {'OrganizationBPName1': 'Acme Ltd'}
    """
    lines = _NAME.wrap(name)
    if not lines:
        raise misfit("customer.name", "is empty")
    if len(lines) > _NAME_LINES:
        raise misfit("customer.name", f"does not fit into the {_NAME_LINES} lines of 40 characters that SAP has")
    return {f"OrganizationBPName{number}": line for number, line in enumerate(lines, start=1)}


def _address(customer: Customer, country: str, language: str) -> dict[str, Any]:
    address = customer.address
    region = address.region.strip()
    body = written(
        _ADDRESS,
        {
            **_street(address.street),
            "city": address.city,
            "postal_code": address.postal_code,
            "region": region if len(region) <= _REGION_LENGTH else "",  # a name; SAP's codes are its own
            "country": country,
            "language": language,
        },
        "customer.address",
    )
    body["to_AddressUsage"] = [{"AddressUsage": "XXDEFAULT"}]
    if customer.email:
        body["to_EmailAddress"] = [written(_EMAIL, customer, "customer")]
    return body


def _street(street: str) -> Mapping[str, str]:
    """The street in one line if it fits, else the rest in the lines below it.

    >>> _street("Hof 1")
    {'street': 'Hof 1'}
    >>> _street("Industrial Park North, Building 17\\nGate 4, second floor, care of Acme Logistics")["street_2"]
    'Gate 4, second floor, care of Acme'
    """
    lines = [line.strip(" ,") for line in street.splitlines() if line.strip(" ,")]
    whole = ", ".join(lines)
    if len(whole) <= _STREET_LENGTH:
        return {"street": whole}
    first = textwrap.wrap(lines[0], _STREET_LENGTH, break_on_hyphens=False)
    rest = _STREET_OVERFLOW.wrap(", ".join([" ".join(first[1:]), *lines[1:]]).strip(" ,"))
    if len(rest) > 2:
        raise misfit("customer.address.street", f"has {len(whole)} characters, SAP holds lines of 60, 40 and 40")
    return {"street": first[0], **dict(zip(("street_2", "street_3"), rest, strict=False))}


def _tax_number(number: str, tax_type: str) -> dict[str, Any]:
    is_short = len(number) <= TAX_NUMBER_LENGTH
    record = TaxNumber(type=tax_type, **{"number" if is_short else "long_number": number})
    return written(_TAX_NUMBER, record, "customer")
