"""Customers: found by reference, tax number or e-mail address, completed, or made."""

from __future__ import annotations

from typing import Any

import pytest

from crmsync import errors
from crmsync.connectors.s4hana.client import S4Hana
from crmsync.domain.customers import Address, Candidate, Customer, CustomerMatch
from crmsync.domain.tax_numbers import TaxNumber
from tests.builders import customer

from ..conftest import LoadFixture
from .conftest import PARTNERS, Build, Sap

PARTNER_SET = f"{PARTNERS}/A_BusinessPartner"
TAX_SET = f"{PARTNERS}/A_BusinessPartnerTaxNumber"
EMAIL_SET = f"{PARTNERS}/A_AddressEmailAddress"
ADDRESS_SET = f"{PARTNERS}/A_BusinessPartnerAddress"
AREA_SET = f"{PARTNERS}/A_CustomerSalesArea"
REFERENCE = "001XX000003DGB2AAA"
ACME = CustomerMatch("17100001", "Acme Ltd", "reference")


NO_SUCH_SET = {"error": {"code": "/IWFND/CM_MGW/001", "message": {"lang": "en", "value": "…"}}}


def numbers(field: str, *values: str) -> str:
    """A filter that finds each number with and without the zeros before it."""
    return " or ".join(f"{field} eq '{form}'" for value in values for form in (value, value.zfill(10)))


def by_reference(connector: S4Hana, reference: str = REFERENCE) -> list[Candidate]:
    return connector.find_customers_by_reference(reference, customer(), currency="")


def labels(found: list[Candidate]) -> list[str]:
    return [each.label for each in found]


def test_found_by_exactly_our_reference(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partners__by_reference"))

    (found,) = by_reference(build(), REFERENCE.lower())

    assert (found.label, found.references) == ("17100001 Acme Ltd", (REFERENCE,))
    assert sap.queries()[0]["$filter"] == f"BusinessPartnerIDByExtSystem eq '{REFERENCE}'"


def test_a_filter_that_is_ignored_links_nobody(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partners__filter_ignored"))

    assert by_reference(build()) == []


def test_a_blocked_partner_is_no_candidate_beside_another(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partners__one_blocked"))

    assert [each.key for each in by_reference(build())] == ["17100003"]


def test_a_tax_number_that_finds_somebody_ends_the_search(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", TAX_SET, fixture("tax_numbers__two_partners"))
    sap.answers("GET", PARTNER_SET, fixture("partners__two_of_a_tax_number"))

    found = build().find_customers_by_keys(customer(tax_number=" de123456789"))

    assert labels(found) == ["17100001 Acme Ltd", "10100004 Acme Holding Ltd"]
    by_tax, by_number = [query["$filter"] for query in sap.queries()]
    assert by_tax.split(" or ")[:4] == [
        f"BPTaxNumber eq '{number}'" for number in ("DE123456789", "123456789", "DE 123456789", "DE 123 456 789")
    ]
    assert by_number == numbers("BusinessPartner", "10100001", "10100004")


def tax_rows(**row: str) -> Any:
    return {"d": {"results": [{"BusinessPartner": "10100001", **row}]}}


def test_a_tax_number_with_blanks_is_found_and_one_of_another_country_is_not(
    sap: Sap, build: Build, fixture: LoadFixture
) -> None:
    sap.answers("GET", TAX_SET, tax_rows(BPTaxType="DE0", BPTaxNumber="DE 123 456 789"))
    sap.answers("GET", PARTNER_SET, fixture("partners__by_reference"))
    sap.answers("GET", TAX_SET, tax_rows(BPTaxType="AT0", BPTaxNumber="123456789"))
    sap.answers("GET", EMAIL_SET, fixture("partners__none"))

    assert len(build().find_customers_by_keys(customer(tax_number="DE123456789"))) == 1
    assert build().find_customers_by_keys(customer(tax_number="DE123456789")) == []


def test_a_long_tax_number_is_searched_where_long_ones_stand(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", TAX_SET, fixture("partners__none"))

    build(tax_number_type="DE0").find_customers_by_keys(customer(tax_number="98" * 11, email=""))

    assert sap.queries()[0]["$filter"] == f"BPTaxLongNumber eq '{'98' * 11}'"


def test_an_email_address_leads_to_its_partner_whatever_its_case(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", EMAIL_SET, fixture("emails__case_differs"))
    sap.answers("GET", ADDRESS_SET, fixture("addresses__of_an_email"))
    sap.answers("GET", PARTNER_SET, fixture("partners__by_reference"))

    (found,) = build().find_customers_by_keys(customer(email="ap@acme.test"))

    assert (found.label, found.emails) == ("17100001 Acme Ltd", ("ap@acme.test",))
    assert [query["$filter"] for query in sap.queries()] == [
        "SearchEmailAddress eq 'AP@ACME.TEST'",
        numbers("AddressID", "26921"),
        numbers("BusinessPartner", "10100001"),
    ]


def test_an_email_address_is_quoted(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", EMAIL_SET, fixture("partners__none"))

    build().find_customers_by_keys(customer(email="o'brien+x&y@acme.test"))

    assert sap.queries()[0]["$filter"] == "SearchEmailAddress eq 'O''BRIEN+X&Y@ACME.TES'"


def test_of_addresses_that_begin_alike_only_the_same_one_counts(sap: Sap, build: Build) -> None:
    rows = [{"AddressID": "1", "EmailAddress": "accounts.payable@acme-germany.test"}]
    sap.answers("GET", EMAIL_SET, {"d": {"results": rows}})

    assert build().find_customers_by_keys(customer(email="accounts.payable@acme-france.test")) == []


def test_a_freemail_address_is_asked_nowhere(sap: Sap, build: Build) -> None:
    assert build().find_customers_by_keys(customer(email="acme@gmail.com", tax_number="")) == []
    assert not sap.sent


def test_a_candidate_is_described_by_city_and_tax_numbers(sap: Sap, build: Build) -> None:
    row = {
        "BusinessPartner": "0010100001",
        "Customer": "0017100001",
        "BusinessPartnerFullName": "Acme Ltd",
        "BusinessPartnerCategory": "2",
        "to_BusinessPartnerAddress": {"results": [{"CityName": "Ulm", "Country": "DE"}]},
        "to_BusinessPartnerTax": {"results": [{"BPTaxType": "DE0", "BPTaxNumber": "DE123456789"}]},
    }
    sap.answers("GET", PARTNER_SET, {"d": {"results": [row]}})
    sap.answers("GET", PARTNER_SET, {"d": {"results": []}})

    found = build().read_customers(["17100001", "999"], lambda: None)

    assert list(found) == ["17100001"]
    assert found["17100001"].label == "17100001 Acme Ltd, Ulm"
    assert found["17100001"].tax_numbers == (TaxNumber("DE123456789", "DE"),)
    assert sap.queries()[0]["$filter"] == numbers("Customer", "17100001", "999")
    assert sap.queries()[1]["$filter"] == numbers("BusinessPartner", "999")


def test_the_name_of_a_person_is_not_shown(sap: Sap, build: Build) -> None:
    row = {"BusinessPartner": "1", "BusinessPartnerFullName": "Ida Lee", "BusinessPartnerCategory": "1"}
    sap.answers("GET", PARTNER_SET, {"d": {"results": []}})
    sap.answers("GET", PARTNER_SET, {"d": {"results": [row]}})

    (found,) = build().read_customers(["1"], lambda: None).values()

    assert found.label == "1"


@pytest.mark.parametrize("missing", ["the search by tax number", "both searches"])
def test_a_search_that_a_system_lacks_finds_nobody(sap: Sap, build: Build, fixture: LoadFixture, missing: str) -> None:
    sap.answers("GET", TAX_SET, NO_SUCH_SET, status=404)
    is_missing = missing == "both searches"
    sap.answers(
        "GET", EMAIL_SET, NO_SUCH_SET if is_missing else fixture("partners__none"), status=404 if is_missing else 200
    )

    assert build().find_customers_by_keys(customer(tax_number="DE123456789")) == []


def test_without_keys_nobody_is_asked(sap: Sap, build: Build) -> None:
    assert build().find_customers_by_keys(customer(email="", tax_number="")) == []
    assert not sap.sent


def test_a_complete_customer_is_taken_as_it_is(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partner__complete"))

    assert build().adopt_customer(ACME, customer(), currency="EUR") == ACME
    assert sap.queries()[0]["$filter"] == numbers("Customer", "17100001")


def test_a_missing_sales_area_is_added(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partner__without_our_sales_area"))
    sap.gives_token(PARTNERS)
    sap.answers("POST", AREA_SET, fixture("sales_area__created"), status=201)

    taxed = {"customer_tax_category": "TTX1", "departure_country": "DE"}
    assert build(**taxed).adopt_customer(ACME, customer(), currency="EUR") == ACME

    assert sap.bodies() == [
        {
            "Customer": "17100001",
            "SalesOrganization": "1010",
            "DistributionChannel": "10",
            "Division": "00",
            "Currency": "EUR",
            "CustomerPaymentTerms": "0004",
            "IncotermsClassification": "EXW",
            "ShippingCondition": "01",
            "to_SalesAreaTax": [
                {"DepartureCountry": "DE", "CustomerTaxCategory": "TTX1", "CustomerTaxClassification": "1"}
            ],
        }
    ]


def test_a_partner_that_is_no_customer_becomes_one(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    role_set = f"{PARTNER_SET}('10100004')/to_BusinessPartnerRole"
    read = fixture("partner__read")
    read["d"]["Customer"] = "17100004"
    sap.answers("GET", PARTNER_SET, fixture("partners__none"))
    sap.answers("GET", PARTNER_SET, fixture("partner__supplier_only"))
    sap.gives_token(PARTNERS)
    sap.answers("POST", role_set, fixture("role__created"), status=201)
    sap.answers("GET", f"{PARTNER_SET}('10100004')", read)
    sap.answers("POST", AREA_SET, fixture("sales_area__created"), status=201)

    adopted = build().adopt_customer(CustomerMatch("10100004", "", "tax number"), customer(), currency="EUR")

    assert adopted == CustomerMatch("17100004", "Acme Holding Ltd", "tax number")
    role, area = sap.bodies()
    assert role == {"BusinessPartnerRole": "FLCU01"}
    assert area["Customer"] == "17100004"


def test_a_blocked_customer_is_refused_by_name(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partner__blocked"))

    with pytest.raises(errors.RejectedError, match="10100001 is blocked"):
        build().adopt_customer(ACME, customer(), currency="EUR")


def test_a_customer_that_does_not_exist_is_not_found(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", PARTNER_SET, fixture("partner__complete"))
    sap.answers("GET", PARTNER_SET, fixture("partner__complete"))

    with pytest.raises(errors.RecordNotFoundError):
        build().adopt_customer(CustomerMatch("4", "", "link"), customer(), currency="EUR")


@pytest.fixture
def creates(sap: Sap, build: Build, fixture: LoadFixture) -> Any:
    """The body that is sent for a customer."""

    def body_for(made: Customer, **changes: Any) -> Any:
        sap.gives_token(PARTNERS)
        sap.answers("POST", PARTNER_SET, fixture("partner__created"), status=201)
        build(**changes).create_customer(made, reference=REFERENCE, currency="USD")
        return sap.bodies()[0]

    return body_for


def test_a_customer_is_one_deep_insert(creates: Any) -> None:
    made = creates(customer(tax_number="DE123"), tax_number_type="DE0")

    assert made == {
        "BusinessPartnerCategory": "2",
        "BusinessPartnerGrouping": "BP02",
        "OrganizationBPName1": "Acme Ltd",
        "SearchTerm1": "ACME LTD",
        "BusinessPartnerIDByExtSystem": REFERENCE,
        "to_BusinessPartnerAddress": [
            {
                "StreetName": "Main Street 1",
                "CityName": "Springfield",
                "PostalCode": "12345",
                "Region": "IL",
                "Country": "US",
                "Language": "EN",
                "to_AddressUsage": [{"AddressUsage": "XXDEFAULT"}],
                "to_EmailAddress": [{"EmailAddress": "ap@acme.test"}],
            }
        ],
        "to_BusinessPartnerRole": [{"BusinessPartnerRole": "FLCU00"}, {"BusinessPartnerRole": "FLCU01"}],
        "to_BusinessPartnerTax": [{"BPTaxType": "DE0", "BPTaxNumber": "DE123"}],
        "to_Customer": {
            "to_CustomerCompany": [{"CompanyCode": "1010", "ReconciliationAccount": "12100000"}],
            "to_CustomerSalesArea": [
                {
                    "SalesOrganization": "1010",
                    "DistributionChannel": "10",
                    "Division": "00",
                    "Currency": "USD",
                    "CustomerPaymentTerms": "0004",
                    "IncotermsClassification": "EXW",
                    "ShippingCondition": "01",
                }
            ],
        },
    }


def test_a_bare_customer_needs_but_a_name_and_a_country(creates: Any) -> None:
    body = creates(Customer("001", "Acme"), default_country="DE")

    (address,) = body["to_BusinessPartnerAddress"]
    assert address == {"Country": "DE", "Language": "EN", "to_AddressUsage": [{"AddressUsage": "XXDEFAULT"}]}
    assert "to_BusinessPartnerTax" not in body


def test_a_tax_number_without_a_type_stays_out(creates: Any) -> None:
    assert "to_BusinessPartnerTax" not in creates(customer(tax_number="DE123"))


def test_a_long_tax_number_has_its_own_field(creates: Any) -> None:
    body = creates(customer(tax_number="9" * 21), tax_number_type="IN3")

    assert body["to_BusinessPartnerTax"] == [{"BPTaxType": "IN3", "BPTaxLongNumber": "9" * 21}]


def test_a_long_name_is_broken_between_words(creates: Any) -> None:
    name = "Consolidated International Manufacturing and Engineering Holdings of the North Atlantic Ltd"

    body = creates(customer(name=name))

    lines = [body[f"OrganizationBPName{number}"] for number in (1, 2, 3)]
    assert " ".join(lines) == name
    assert max(map(len, lines)) <= 40
    assert body["SearchTerm1"] == "CONSOLIDATED INTERNA"


def test_a_long_street_goes_on_in_the_lines_below(creates: Any) -> None:
    street = "Industrial Park North, Building 17\r\nGate 4, second floor\r\nc/o Acme Logistics, Mr. Lee"

    (address,) = creates(customer(address=Address(street, "Ulm", country="DE")))["to_BusinessPartnerAddress"]

    assert address["StreetName"] == "Industrial Park North, Building 17"
    assert address["StreetSuffixName"] == "Gate 4, second floor, c/o Acme"
    assert address["AdditionalStreetSuffixName"] == "Logistics, Mr. Lee"


def test_a_region_by_name_stays_out(creates: Any) -> None:
    (address,) = creates(customer(address=Address(region="Illinois", country="US")))["to_BusinessPartnerAddress"]

    assert "Region" not in address


COUNTRIES = {
    "de": "DE",
    "DEU": "DE",
    "United States": "US",
    "USA": "US",
    "UK": "GB",
    "The Netherlands": "NL",
    "Türkiye": "TR",
    "Russia": "RU",
    "South Korea": "KR",
    "Czech Republic": "CZ",
}


@pytest.mark.parametrize(("country", "code"), COUNTRIES.items())
def test_a_country_is_known_by_name_or_code(creates: Any, country: str, code: str) -> None:
    (address,) = creates(customer(address=Address(country=country)))["to_BusinessPartnerAddress"]

    assert address["Country"] == code


# the customer → the field that is named
MISFITS = {
    "no name": (customer(name=" "), "customer.name"),
    "name": (customer(name="word " * 40), "customer.name"),
    "unknown country": (customer(address=Address(country="Atlantis")), "customer.address.country"),
    "no country": (customer(address=Address()), "customer.address.country"),
    "street": (customer(address=Address("word " * 40, country="DE")), "customer.address.street"),
    "city": (customer(address=Address(city="C" * 41, country="DE")), "customer.address.city"),
    "postal code": (customer(address=Address(postal_code="1" * 11, country="DE")), "customer.address.postal_code"),
    "e-mail": (customer(email="a" * 240 + "@b"), "customer.email"),
    "tax number": (customer(tax_number="9" * 61), "customer.tax_number"),
}


@pytest.mark.parametrize(("made", "field"), MISFITS.values(), ids=MISFITS)
def test_what_sap_can_not_hold_is_never_sent(sap: Sap, build: Build, made: Customer, field: str) -> None:
    with pytest.raises(errors.MappingError) as caught:
        build(tax_number_type="DE0").create_customer(made, reference=REFERENCE, currency="EUR")

    assert list(caught.value.field_errors) == [field]
    assert caught.value.is_definite


def test_a_reference_too_long_is_never_sent(sap: Sap, build: Build) -> None:
    with pytest.raises(errors.MappingError):
        build().create_customer(customer(), reference="R" * 21, currency="EUR")


def test_documents_refer_to_the_customer_not_the_partner(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.gives_token(PARTNERS)
    sap.answers("POST", PARTNER_SET, fixture("partner__created"), status=201)

    made = build().create_customer(customer(), reference=REFERENCE, currency="EUR")

    assert made == CustomerMatch("17100009", "Acme Ltd", "created", "Springfield")


def test_a_customer_number_that_lacks_is_read_again(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.gives_token(PARTNERS)
    sap.answers("POST", PARTNER_SET, fixture("partner__created_without_customer"), status=201)
    sap.answers("GET", f"{PARTNER_SET}('10100009')", fixture("partner__read"))

    assert build().create_customer(customer(), reference=REFERENCE, currency="EUR").key == "17100009"


# what the second look brings; the partner exists in every case
SECOND_LOOKS = {
    "no customer yet": ({"name": "partner__created_without_customer"}, errors.RetryableError),
    "refused": ({"status": 403}, errors.AuthenticationError),
    "too many calls": ({"status": 429}, errors.RateLimitedError),
    "gone": ({"status": 404, "json": NO_SUCH_SET}, errors.RecordNotFoundError),
    "a page": ({"status": 404}, errors.VendorUnavailableError),
    "dump": ({"status": 500}, errors.VendorUnavailableError),
}


@pytest.mark.parametrize(("look", "error_type"), SECOND_LOOKS.values(), ids=SECOND_LOOKS)
def test_a_failed_second_look_never_denies_the_create(
    sap: Sap, build: Build, fixture: LoadFixture, look: dict[str, Any], error_type: type[errors.CrmsyncError]
) -> None:
    sap.gives_token(PARTNERS)
    sap.answers("POST", PARTNER_SET, fixture("partner__created_without_customer"), status=201)
    body = fixture(look["name"]) if "name" in look else look.get("json")
    sap.answers("GET", f"{PARTNER_SET}('10100009')", body, status=look.get("status", 200))
    if error_type is errors.RecordNotFoundError:
        sap.answers("GET", f"{PARTNER_SET}('0010100009')", body, status=404)

    with pytest.raises(error_type) as caught:
        build().create_customer(customer(), reference=REFERENCE, currency="EUR")

    assert not caught.value.is_definite
