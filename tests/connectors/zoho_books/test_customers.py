"""Customers: found by reference or by e-mail, made once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import responses
from responses import matchers

from crmsync.connectors.zoho_books.client import ZohoBooks
from crmsync.domain.customers import Address, Candidate, Customer, CustomerMatch
from crmsync.domain.tax_numbers import TaxNumber
from crmsync.errors import AmbiguousMatchError, MappingError, RejectedError, UnexpectedAnswerError

from ..conftest import LoadFixture
from .conftest import API, Build

REFERENCE = "001XX000003DGB2AAA"
EMPTY = {"code": 0, "message": "success", "contacts": [], "page_context": {"has_more_page": False}}


def sent(zoho: responses.RequestsMock, position: int = -1) -> Any:
    return json.loads(zoho.calls[position].request.body)


def by_reference(connector: ZohoBooks, customer: Customer, reference: str = REFERENCE) -> list[Candidate]:
    return connector.find_customers_by_reference(reference, customer, currency="USD")


def described(zoho: responses.RequestsMock, key: str, **fields: Any) -> None:
    zoho.get(f"{API}/contacts/{key}", json={"code": 0, "contact": {"contact_id": key, **fields}})


def test_email_finds_only_active_customers_with_exactly_that_address(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    zoho.get(
        f"{API}/contacts",
        json=fixture("contacts__of_one_email"),
        match=[
            matchers.query_param_matcher(
                {"organization_id": "10234695", "email": "ap@acme.example", "page": "1", "per_page": "200"}
            )
        ],
    )

    address = {"city": "Bonn", "country": "Germany"}
    described(
        zoho, "460000000026049", contact_name="Acme GmbH", email="ap@acme.example", currency_code="EUR",
        vat_reg_no="DE123456789", billing_address=address,
    )  # fmt: skip

    (found,) = books().find_customers_by_keys(customer)

    assert found.label == "460000000026049 Acme GmbH, Bonn"
    assert found.tax_numbers == (TaxNumber("DE123456789", "Germany"),)
    assert (found.emails, found.currency) == (("ap@acme.example",), "EUR")


def test_a_freemail_address_is_asked_nowhere(zoho: responses.RequestsMock, books: Build, customer: Customer) -> None:
    assert books().find_customers_by_keys(replace(customer, email="acme@web.de")) == []
    assert len(zoho.calls) == 0


def test_numbers_are_read_one_by_one_and_what_is_gone_is_left_out(zoho: responses.RequestsMock, books: Build) -> None:
    described(zoho, "46", contact_name="Acme GmbH", status="inactive")
    zoho.get(f"{API}/contacts/47", json={"code": 1002, "message": "Contact does not exist."}, status=404)

    found = books().read_customers(["46", "47"], lambda: None)

    assert list(found) == ["46"]
    assert found["46"].is_blocked


def test_ours_of_another_currency_is_told_by_its_suffix(
    zoho: responses.RequestsMock, books: Build, customer: Customer
) -> None:
    names = {"Acme GmbH": ("46", "EUR", REFERENCE), "Acme GmbH (USD)": ("47", "USD", f"{REFERENCE}-USD")}
    for name, (key, currency, reference) in names.items():
        rows = {**EMPTY, "contacts": [{"contact_id": key, "contact_name": name}]}
        query = matchers.query_param_matcher({"contact_name": name}, strict_match=False)
        zoho.get(f"{API}/contacts", json=rows, match=[query])
        described(zoho, key, currency_code=currency, notes=f"crmsync reference {reference}")

    assert [found.key for found in by_reference(books(), customer)] == ["47"]


def test_a_second_customer_of_one_name_has_a_suffix(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    long = replace(customer, name="n" * 255)

    for each in (customer, long):
        books().create_customer(each, reference=f"{REFERENCE}-USD", currency="USD", suffix="USD")

    assert sent(zoho, 0)["contact_name"] == "Acme GmbH (USD)"
    assert sent(zoho, 0)["company_name"] == "Acme GmbH"
    assert sent(zoho, 1)["contact_name"] == "n" * 94 + " (USD)"


def test_customer_without_email_costs_no_search(zoho: responses.RequestsMock, books: Build) -> None:
    assert books().find_customers_by_keys(Customer("001", "Acme GmbH", tax_number="DE123")) == []
    assert len(zoho.calls) == 0


def test_empty_list_may_be_an_answer_without_body(
    zoho: responses.RequestsMock, books: Build, customer: Customer
) -> None:
    zoho.get(f"{API}/contacts", status=204)

    assert books().find_customers_by_keys(customer) == []


def test_list_without_its_rows_is_not_an_empty_list(
    zoho: responses.RequestsMock, books: Build, customer: Customer
) -> None:
    zoho.get(f"{API}/contacts", json={"code": 0, "message": "success"})

    with pytest.raises(UnexpectedAnswerError) as caught:
        books().find_customers_by_keys(customer)

    assert caught.value.field_errors == {"contacts": "is missing"}


@pytest.mark.parametrize(
    ("detail", "unique_field"),
    [("contact__with_reference", ""), ("contact__with_unique_field", "cf_crm_account")],
    ids=["in the notes", "in the custom field"],
)
def test_reference_is_found_on_the_contact_of_that_name(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer, detail: str, unique_field: str
) -> None:
    zoho.get(f"{API}/contacts", json=fixture("contacts__of_one_name"))
    zoho.get(f"{API}/contacts/460000000026049", json=fixture(detail))

    found = by_reference(books(contact_unique_field=unique_field), customer)

    assert [each.key for each in found] == ["460000000026049"]
    assert REFERENCE in found[0].references


def test_other_custom_fields_of_the_contact_do_not_count(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    zoho.get(f"{API}/contacts", json=fixture("contacts__of_one_name"))
    zoho.get(f"{API}/contacts/460000000026049", json=fixture("contact__with_unique_field"))

    assert by_reference(books(contact_unique_field="cf_third"), customer) == []


@pytest.mark.parametrize("reference", ["001XX000003DGB2AAB", "001XX000003DGB2AA"])
def test_contact_of_another_reference_is_not_ours(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer, reference: str
) -> None:
    zoho.get(f"{API}/contacts", json=fixture("contacts__of_one_name"))
    zoho.get(f"{API}/contacts/460000000026049", json=fixture("contact__with_reference"))

    assert by_reference(books(), customer, reference) == []


def test_at_most_ten_candidates_are_read(zoho: responses.RequestsMock, books: Build, customer: Customer) -> None:
    rows = [{"contact_id": str(46000 + number), "contact_name": "acme gmbh"} for number in range(12)]
    zoho.get(f"{API}/contacts", json={**EMPTY, "contacts": rows})
    for row in rows[:10]:
        zoho.get(
            f"{API}/contacts/{row['contact_id']}",
            json={"code": 0, "contact": {**row, "notes": f"crmsync reference {REFERENCE}"}},
        )

    assert len(by_reference(books(), customer)) == 10


def test_long_name_is_searched_as_it_was_written(zoho: responses.RequestsMock, books: Build) -> None:
    customer = Customer("001", "Donaudampfschiffahrtsgesellschaft  " * 8)
    written = " ".join(customer.name.split())[:100].rstrip()
    zoho.get(f"{API}/contacts", json={**EMPTY, "contacts": [{"contact_id": "46", "contact_name": written}]})
    zoho.get(
        f"{API}/contacts/46",
        json={"code": 0, "contact": {"contact_id": "46", "notes": f"crmsync reference {REFERENCE}"}},
    )
    zoho.post(f"{API}/contacts", json={"code": 0, "contact": {"contact_id": "46", "contact_name": written}})

    assert len(by_reference(books(), customer)) == 1
    books().create_customer(customer, reference=REFERENCE, currency="USD")

    assert zoho.calls[0].request.params["contact_name"] == sent(zoho)["contact_name"] == written
    assert len(sent(zoho)["company_name"]) <= 200


def test_customer_is_created_with_one_call(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)

    made = books().create_customer(customer, reference=REFERENCE, currency="USD")

    assert made == CustomerMatch("460000000026049", "Acme GmbH", "created", "Bonn")
    assert len(zoho.calls) == 1
    assert zoho.calls[0].request.params == {"organization_id": "10234695"}
    assert sent(zoho) == {
        "contact_name": "Acme GmbH",
        "company_name": "Acme GmbH",
        "contact_type": "customer",
        "payment_terms": 30,
        "billing_address": {
            "address": "Main 1",
            "city": "Bonn",
            "state": "NW",
            "zip": "53111",
            "country": "Germany",
        },
        "contact_persons": [
            {"first_name": "Ann", "last_name": "Lee", "email": "ap@acme.example", "is_primary_contact": True}
        ],
        "notes": "crmsync reference 001XX000003DGB2AAA",
    }


@pytest.mark.parametrize(
    ("first_name", "last_name", "expected"),
    [
        ("Ann", "", {"first_name": "Ann"}),
        ("", "Lee", {"first_name": "Lee"}),
        ("", "", {"first_name": "Acme GmbH"}),
        ("A" * 120, "Lee", {"first_name": "A" * 100, "last_name": "Lee"}),
    ],
    ids=["only a first name", "only a last name", "no name: the company's", "too long a name"],
)
def test_contact_person_always_has_a_first_name(
    zoho: responses.RequestsMock,
    books: Build,
    fixture: LoadFixture,
    customer: Customer,
    first_name: str,
    last_name: str,
    expected: dict[str, str],
) -> None:
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    named = replace(customer, first_name=first_name, last_name=last_name)

    books().create_customer(named, reference=REFERENCE, currency="USD")

    person = sent(zoho)["contact_persons"][0]
    assert {key: value for key, value in person.items() if key.endswith("_name")} == expected


def test_what_is_not_known_is_left_out(zoho: responses.RequestsMock, books: Build, fixture: LoadFixture) -> None:
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)

    books().create_customer(Customer("001", "Acme GmbH"), reference=REFERENCE, currency="USD")

    assert not {"billing_address", "contact_persons", "currency_id"} & sent(zoho).keys()


def test_texts_are_cut_to_what_zoho_takes(zoho: responses.RequestsMock, books: Build, fixture: LoadFixture) -> None:
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    address = Address(street="s" * 600, city="c" * 200, postal_code="1" * 60, region="r" * 120, country="k" * 120)

    books().create_customer(Customer("001", "n" * 255, address=address), reference=REFERENCE, currency="USD")

    assert {key: len(value) for key, value in sent(zoho)["billing_address"].items()} == {
        "address": 500,
        "city": 100,
        "state": 100,
        "zip": 50,
        "country": 100,
    }


def test_foreign_currency_is_looked_up_once(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    currencies = zoho.get(f"{API}/settings/currencies", json=fixture("currencies__euro_is_foreign"))
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    connector = books()

    for currency in ("EUR", "EUR", "USD"):
        connector.create_customer(customer, reference=REFERENCE, currency=currency)

    assert currencies.call_count == 1
    assert [sent(zoho, position).get("currency_id") for position in (1, 2, 3)] == ["460000000000109"] * 2 + [None]


def test_own_currency_is_left_out_also_where_it_had_to_be_looked_up(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    zoho.get(f"{API}/settings/currencies", json=fixture("currencies__euro_is_foreign"))
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)

    books(default_currency="").create_customer(customer, reference=REFERENCE, currency="USD")

    assert "currency_id" not in sent(zoho)


def test_unknown_currency_is_a_mapping_error_until_somebody_adds_it(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    rows = fixture("currencies__euro_is_foreign")
    zoho.get(f"{API}/settings/currencies", json=rows)
    connector = books()

    with pytest.raises(MappingError, match="has no currency CHF"):
        connector.create_customer(customer, reference=REFERENCE, currency="CHF")

    rows["currencies"].append({"currency_id": "460000000000111", "currency_code": "CHF"})
    zoho.replace(responses.GET, f"{API}/settings/currencies", json=rows)
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    connector.create_customer(customer, reference=REFERENCE, currency="CHF")
    assert sent(zoho)["currency_id"] == "460000000000111"


def test_currency_is_left_out_where_no_list_can_be_read(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    currencies = zoho.get(f"{API}/settings/currencies", json={"code": 5, "message": "Invalid URL"}, status=404)
    zoho.post(f"{API}/contacts", json=fixture("contact__created"), status=201)
    connector = books()

    for _ in range(2):
        connector.create_customer(customer, reference=REFERENCE, currency="EUR")

    assert currencies.call_count == 1
    assert "currency_id" not in sent(zoho)


def test_currencies_that_are_refused_for_another_reason_stop_the_create(
    zoho: responses.RequestsMock, books: Build, customer: Customer
) -> None:
    zoho.get(f"{API}/settings/currencies", json={"code": 15, "message": "Invalid value"}, status=400)

    with pytest.raises(RejectedError):
        books().create_customer(customer, reference=REFERENCE, currency="EUR")


def test_unique_field_makes_the_create_an_upsert(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, customer: Customer
) -> None:
    headers = {
        "X-Unique-Identifier-Key": "cf_crm_account",
        "X-Unique-Identifier-Value": REFERENCE,
        "X-Upsert": "true",
    }
    zoho.put(f"{API}/contacts", json=fixture("contact__created"), match=[matchers.header_matcher(headers)])

    books(contact_unique_field="cf_crm_account").create_customer(customer, reference=REFERENCE, currency="USD")

    assert sent(zoho)["custom_fields"] == [{"api_name": "cf_crm_account", "value": REFERENCE}]


def test_taken_name_is_for_a_person_to_decide(zoho: responses.RequestsMock, books: Build, customer: Customer) -> None:
    answer = {"code": 3062, "message": 'The customer "Acme GmbH" already exists. Please specify a different name.'}
    zoho.post(f"{API}/contacts", json=answer, status=400)

    with pytest.raises(AmbiguousMatchError) as caught:
        books().create_customer(customer, reference=REFERENCE, currency="USD")

    assert caught.value.is_definite
    assert "give its contact id with the replay" in (caught.value.advice or "")
    assert "Acme" not in str(caught.value)


def test_customer_found_is_taken_as_it_is(books: Build, customer: Customer) -> None:
    match = CustomerMatch("46", "Acme GmbH", "e-mail")

    assert books().adopt_customer(match, customer, currency="USD") is match
