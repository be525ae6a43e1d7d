"""What a terminal may show of a request: companies, products and money, no persons."""

from __future__ import annotations

import pytest

from crmsync.domain.customers import Address
from crmsync.domain.personal import masked, personal_values
from tests.builders import customer

PERSON = customer(
    first_name="Ida", last_name="Berg", email="ida@acme.test", tax_number="DE123", address=Address(street="Harbour 1")
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"EmailAddress": "ida@acme.test"}, {"EmailAddress": "***"}),
        ({"to_mail_ids": ["ida@acme.test"]}, {"to_mail_ids": ["***"]}),
        ({"to_EmailAddress": [{"EmailAddress": "x", "IsDefault": True}]},
         {"to_EmailAddress": [{"EmailAddress": "***", "IsDefault": True}]}),
        ({"StreetName": "Harbour", "HouseNumber": "1", "CityName": "Springfield"},
         {"StreetName": "***", "HouseNumber": "***", "CityName": "Springfield"}),
        ({"billing_address": {"address": "Harbour 1", "city": "Springfield"}},
         {"billing_address": {"address": "***", "city": "Springfield"}}),
        ({"first_name": "Ida", "contact_name": "Acme Ltd"}, {"first_name": "***", "contact_name": "Acme Ltd"}),
        ({"mobile": 49123, "phone": ""}, {"mobile": "***", "phone": ""}),
        ({"BPTaxNumber": "DE999", "BPTaxType": "DE0", "tax_id": "4600"},
         {"BPTaxNumber": "***", "BPTaxType": "DE0", "tax_id": "4600"}),
        ({"SoldToParty": "1000001", "rate": 235.1, "is_emailed": False}, None),
        ({"sku": "A", "PurchaseOrderByCustomer": "SF-006xx0000012abcAAA"}, None),
        ({"YY1_Contact": "ida  BERG"}, {"YY1_Contact": "***"}),
        (["Harbour 1", "Acme Ltd"], ["***", "Acme Ltd"]),
        ("to_mail_ids=ida@acme.test", "to_mail_ids=***"),
        (None, None),
    ],
)  # fmt: skip
def test_a_person_is_masked_by_field_by_form_and_by_what_is_known(value, shown):
    assert masked(value, personal_values(PERSON)) == (shown if shown is not None else value)


def test_what_is_not_known_hides_nothing():
    assert personal_values(customer(email="", address=Address())) == frozenset()
