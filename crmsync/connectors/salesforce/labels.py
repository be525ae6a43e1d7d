"""The labels of a deal's fields in Salesforce, by their path in the domain, such as `lines[1].total`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LABELS: Mapping[str, str] = {
    "key": "Opportunity.Id",
    "is_won": "StageName",
    "amount": "Amount",
    "amount.currency": "CurrencyIsoCode",
    "lines": "OpportunityLineItems",
    "purchase_order_number": "Opportunity.Purchase order number",
    "customer": "AccountId",
    "customer.key": "Account.Id",
    "customer.name": "Account.Name",
    "customer.email": "Contact.Email",
    "customer.tax_number": "Account.Tax number",
    "customer.address.street": "Account.BillingStreet",
    "customer.address.city": "Account.BillingCity",
    "customer.address.postal_code": "Account.BillingPostalCode",
    "customer.address.region": "Account.BillingState",
    "customer.address.country": "Account.BillingCountry",
}
_OF_LINE: Mapping[str, str] = {
    "product_code": "ProductCode",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
    "total": "TotalPrice",
}
_LABEL_OF_LINE = re.compile(r"OpportunityLineItems(\[\d+\])\.(\w+)")
_FIELDS = {label: field for field, label in _LABELS.items()}
_LINE_FIELDS = {label: field for field, label in _OF_LINE.items()}
_OF_ACCOUNT = re.compile(r"^customer\.(address\.)?")
_LINE = re.compile(r"lines(\[\d+\])\.(\w+)")


def label_of(field: str) -> str:
    """
    >>> label_of("lines[2].total"), label_of("customer.address.city"), label_of("of_another_release")
    ('OpportunityLineItems[2].TotalPrice', 'Account.BillingCity', 'of_another_release')
    """
    line = _LINE.fullmatch(field)
    if line:
        return f"OpportunityLineItems{line[1]}.{_OF_LINE.get(line[2], line[2])}"
    return _LABELS.get(field) or _OF_ACCOUNT.sub("Account.", field)


def field_of(label: str) -> str:
    """
    >>> field_of("OpportunityLineItems[2].TotalPrice"), field_of("StageName"), field_of("lines[2].total")
    ('lines[2].total', 'is_won', 'lines[2].total')
    """
    line = _LABEL_OF_LINE.fullmatch(label)
    if line:
        return f"lines{line[1]}.{_LINE_FIELDS.get(line[2], line[2])}"
    return _FIELDS.get(label, label)
