"""A deal's fields as people see them in Salesforce: what an operator reads is what they know from there."""

from __future__ import annotations

import pytest

from crmsync.connectors.salesforce import SYSTEM
from crmsync.domain.deals import check
from crmsync.errors import InvalidDealError, MappingError, RejectedError
from tests.builders import customer, deal, line

LABELS = {
    "is_won": "StageName",
    "customer": "AccountId",
    "amount": "Amount",
    "amount.currency": "CurrencyIsoCode",
    "lines": "OpportunityLineItems",
    "lines[1].product_code": "OpportunityLineItems[1].ProductCode",
    "lines[12].quantity": "OpportunityLineItems[12].Quantity",
    "lines[2].unit_price": "OpportunityLineItems[2].UnitPrice",
    "lines[2].total": "OpportunityLineItems[2].TotalPrice",
    "key": "Opportunity.Id",
    "purchase_order_number": "Opportunity.Purchase order number",
    "customer.key": "Account.Id",
    "customer.name": "Account.Name",
    "customer.email": "Contact.Email",
    "customer.tax_number": "Account.Tax number",
    "customer.address.street": "Account.BillingStreet",
    "customer.address.city": "Account.BillingCity",
    "customer.address.postal_code": "Account.BillingPostalCode",
    "customer.address.region": "Account.BillingState",
    "customer.address.country": "Account.BillingCountry",
    "customer.payment_terms": "Account.payment_terms",
}


@pytest.mark.parametrize(("field", "label"), LABELS.items(), ids=LABELS)
def test_each_field_has_the_name_that_people_see(field: str, label: str) -> None:
    assert SYSTEM.label_of(field) == label


@pytest.mark.parametrize(("field", "label"), [each for each in LABELS.items() if each[0] != "customer.payment_terms"])
def test_what_an_earlier_release_kept_under_that_name_is_the_field(field: str, label: str) -> None:
    assert SYSTEM.field_of(label) == field
    assert SYSTEM.field_of(field) == field


def test_an_error_of_a_deal_speaks_of_its_fields_as_people_see_them() -> None:
    with pytest.raises(InvalidDealError) as refused:
        check(deal(is_won=False, customer=customer(key=""), lines=(line(product_code=""),)))
    error = refused.value

    error.label_fields(SYSTEM.label_of)

    assert "StageName: the deal is not closed as won" in str(error)
    assert "OpportunityLineItems[1].ProductCode: the product has no code" in str(error)
    assert set(error.field_errors) == {"is_won", "customer", "lines[1].product_code"}, "what is kept bears our names"


def test_what_a_vendor_calls_a_field_of_its_own_stays_as_it_is() -> None:
    refused, misfit = RejectedError(field_errors={"amount": "is odd"}), MappingError(field_errors={"amount": "is odd"})

    for error in (refused, misfit):
        error.label_fields(SYSTEM.label_of)

    assert ("amount: is odd" in str(refused), "Amount: is odd" in str(misfit)) == (True, True)
