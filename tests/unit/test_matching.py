"""Which customer of another system is a customer of the CRM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crmsync.domain.company_names import same_company_name
from crmsync.domain.customer_numbers import customer_number
from crmsync.domain.customers import Candidate, Customer
from crmsync.domain.mail_domains import is_freemail
from crmsync.domain.matching import Choice, choose, is_sibling, search_email
from crmsync.domain.references import shortened
from crmsync.domain.tax_numbers import TaxNumber
from tests.builders import customer

MUSTER = customer(key="001xx000003dgb2AAA", name="Muster GmbH", email="info@muster.test", tax_number="DE123456789")
CANDIDATE = Candidate("1000123", "Muster GmbH", "Ulm")


def candidate(**changes: Any) -> Candidate:
    return replace(CANDIDATE, **changes)


def chosen(*candidates: Candidate, of: Customer = MUSTER, linked: Any = (), currency: str = "") -> Choice:
    return choose(of, candidates, dict(linked), currency=currency)


SAME = [
    ("Muster GmbH", "MUSTER GMBH"),
    ("Muster GmbH", "Muster"),
    ("Müller & Söhne KG", "Mueller und Soehne KG"),
    ("Müller AG", "Muller AG"),
    ("Großhandel Nord e.K.", "GROSSHANDEL NORD"),
    ("Café Royal S.A.R.L.", "Cafe Royal SARL"),
    ("Acme, Inc.", "ACME Incorporated"),
    ("Acme Pvt. Ltd.", "Acme Private Limited"),
    ("Rhein-Main Technik GmbH & Co. KG", "Rhein Main Technik GmbH und Co KG"),
    ("O'Brien Ltd", "OBrien Limited"),
    ("Prova S.p.A.", "PROVA SPA"),
    ("Møller A/S", "Moeller AS"),
    ("Café do Sul S/A", "Cafe do Sul S.A."),
    ("Kovář s.r.o.", "Kovar sro"),
    ("ガス商会", "カ\u3099ス商会"),
    ("Озёрный дом", "Озерный Дом"),
    ("Đức Phát Co., Ltd.", "Duc Phat Co Ltd"),
]
OTHERS = [
    ("Muster GmbH", "Muster AG"),
    ("Muster GmbH", "Muster GmbH & Co. KG"),
    ("Muster Nord GmbH", "Muster Süd GmbH"),
    ("Muster Holding GmbH", "Muster GmbH"),
    ("GmbH", "AG"),
    ("ガス商会", "カス商会"),
    ("मीरा ट्रेडर्स", "मारा ट्रेडर्स"),
    ("Plan E", "Plan Y"),
    ("", ""),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_company_is_written_in_many_ways(one: str, other: str) -> None:
    assert same_company_name(one, other)
    assert same_company_name(other, one)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_two_companies_stay_two(one: str, other: str) -> None:
    assert not same_company_name(one, other)


@pytest.mark.parametrize(
    "email", ["a@gmail.com", "a@Web.de", "a@yahoo.co.uk", "a@gmx.at", "a@proton.me", "a@icloud.com", "A@Mail.GMAIL.com"]
)
def test_an_address_at_a_freemail_domain_is_no_key(email: str) -> None:
    assert search_email(replace(MUSTER, email=email)) == ""
    of_nobody = replace(MUSTER, email=email, tax_number="")
    assert chosen(candidate(emails=(email,)), of=of_nobody) == Choice()


@pytest.mark.parametrize(
    "email", ["info@gmail-partner.test", "a@live.acme.test", "a@outlook.example.com", "a@muster.de", "a@online.ibm.com"]
)
def test_an_address_of_a_company_is_none_of_them(email: str) -> None:
    assert not is_freemail(email)


def test_a_vendor_is_nobodys_customer() -> None:
    vendor = candidate(is_vendor=True, currency="USD", emails=(MUSTER.email,), tax_numbers=(TaxNumber("DE123456789"),))

    assert chosen(vendor) == Choice()
    assert not is_sibling(MUSTER, vendor, {}, currency="EUR")


def test_by_address_and_name_another_accounts_customer_is_no_sibling() -> None:
    in_dollars = candidate(currency="USD", emails=(MUSTER.email,))

    assert is_sibling(MUSTER, in_dollars, {in_dollars.key: [MUSTER.key]}, currency="EUR")
    assert not is_sibling(MUSTER, in_dollars, {in_dollars.key: ["001xx000003dgb3AAA"]}, currency="EUR")


def test_our_reference_comes_first() -> None:
    ours = candidate(key="1", references=("crmsync", "001XX000003DGB2AAA"))

    choice = chosen(candidate(key="2", tax_numbers=(TaxNumber("DE123456789"),)), ours)

    assert (choice.match, choice.matched_by) == (ours, "reference")


def test_a_tax_number_comes_before_address_and_name() -> None:
    same = candidate(key="1", name="Former Name AG", tax_numbers=(TaxNumber("123 456 789", "DE"),))

    choice = chosen(candidate(key="2", emails=("info@muster.test",)), same)

    assert (choice.match, choice.matched_by) == (same, "tax number")


def test_a_tax_number_that_differs_beats_address_and_name() -> None:
    other = candidate(emails=("info@muster.test",), tax_numbers=(TaxNumber("DE987654321"),))

    assert chosen(other) == Choice()


def test_the_address_together_with_the_name_is_enough() -> None:
    found = candidate(name="MUSTER", emails=("Info@Muster.TEST",))

    choice = chosen(found)

    assert (choice.match, choice.matched_by) == (found, "e-mail and name")


def test_the_address_alone_is_for_a_person_to_judge() -> None:
    choice = chosen(candidate(name="Holding AG", emails=("info@muster.test",)))

    assert choice.match is None
    assert [doubt.text for doubt in choice.doubts] == ["1000123 Holding AG, Ulm (same e-mail, another name)"]


def test_of_many_with_one_address_the_one_of_that_name_is_taken() -> None:
    others = [candidate(key=str(number), name=f"Shop {number}", emails=("info@muster.test",)) for number in range(10)]

    assert chosen(*others, candidate(emails=("info@muster.test",))).match == candidate(emails=("info@muster.test",))


def test_a_customer_of_another_account_is_not_taken_by_address_and_name() -> None:
    choice = chosen(candidate(emails=("info@muster.test",)), linked={"1000123": ["001OTHER"]})

    assert [doubt.why for doubt in choice.doubts] == ["same e-mail and name, and linked to 001OTHER"]


def test_two_accounts_of_one_company_share_its_customer_and_the_link_says_so() -> None:
    same = candidate(tax_numbers=(TaxNumber("DE123456789"),))

    choice = chosen(same, linked={"1000123": ["001xx000003dgb9AAA"]})

    assert (choice.match, choice.matched_by) == (same, "tax number, as 001xx000003dgb9AAA")


def test_two_customers_of_one_tax_number_are_for_a_person_to_judge() -> None:
    same = [candidate(key=key, tax_numbers=(TaxNumber("DE123456789"),)) for key in ("1", "2")]

    assert [doubt.candidate.key for doubt in chosen(*same).doubts] == ["1", "2"]


def test_a_customer_in_another_currency_is_never_the_one_but_may_be_its_sibling() -> None:
    in_dollars = candidate(currency="USD", tax_numbers=(TaxNumber("DE123456789"),))

    assert chosen(in_dollars, currency="EUR") == Choice()
    assert is_sibling(MUSTER, in_dollars, {}, currency="EUR")
    assert not is_sibling(MUSTER, in_dollars, {}, currency="USD")
    assert not is_sibling(MUSTER, candidate(currency="USD"), {}, currency="EUR")


def test_the_name_alone_is_nothing() -> None:
    assert chosen(candidate()) == Choice()


def test_a_person_stands_in_no_doubt_by_name() -> None:
    person = candidate(name="Ida Lee", is_person=True, emails=("info@muster.test",))

    assert "Ida" not in chosen(person).doubts[0].text


@pytest.mark.parametrize("number", ["1000123", "C_10-01", "12345678901234", " 460000000026049 "])
def test_a_number_is_one_wherever_it_is_written(number: str) -> None:
    assert customer_number(number) == number.strip()


@pytest.mark.parametrize("number", ["", "-1", "a b", "1/2", "9" * 41, "<b>", "Ä1"])
def test_what_can_be_no_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        customer_number(number)


def test_a_reference_of_another_crm_is_no_claim_of_an_account_of_this_one() -> None:
    """Two CRMs may have ids of one kind; what one has made is free for the other by address and name."""
    made = candidate(emails=("info@muster.test",), references=("001XX000003DGB9AAA",))

    assert choose(MUSTER, [made], {}, currency="").match is None, "another account of this CRM"
    assert choose(MUSTER, [made], {}, currency="", prefix="AC-").match == made
    for own in ("AC-001XX000003DGB9AAA", shortened("AC-001XX000003DGB9AAA", 20)):
        claimed = replace(made, references=(own,))
        assert choose(MUSTER, [claimed], {}, currency="", prefix="AC-").match is None


@pytest.mark.parametrize("text", ["AC-001XX000003DGB2AAA", shortened("AC-001XX000003DGB2AAA", 20)])
def test_a_reference_with_a_prefix_is_that_of_the_crm_with_it_alone(text: str) -> None:
    made = candidate(references=(text,))

    assert choose(MUSTER, [made], {}, currency="", prefix="AC-").matched_by == "reference"
    assert choose(MUSTER, [made], {}, currency="") == Choice()
