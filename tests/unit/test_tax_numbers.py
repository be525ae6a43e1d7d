"""Tax numbers are compared as their country writes them."""

from __future__ import annotations

import pytest

from crmsync.domain.tax_numbers import TaxNumber, Verdict, compare, compare_all, is_usable, spellings

# (number, country of its record) twice → what the two say about each other
PAIRS = [
    (("DE123456789", ""), ("DE123456789", ""), "same"),
    (("DE123456789", "Germany"), ("de 123 456 789", "DE"), "same"),
    (("DE123456789", ""), ("123456789", "Germany"), "same"),
    (("DE123456789", "Deutschland?"), ("123.456.789", ""), "same"),
    (("USt-IdNr.: DE123456789", "DE"), ("DE/123/456/789", ""), "same"),
    (("ATU12345678", ""), ("U12345678", "Austria"), "same"),
    (("ATU12345678", ""), ("12345678", "AT"), "same"),
    (("NL123456789B01", ""), ("1234.56.789.B01", "The Netherlands"), "same"),
    (("NL123456789B01", ""), ("NL123456789B02", ""), "different"),
    (("CHE-123.456.789 MWST", ""), ("CHE123456789", "Switzerland"), "same"),
    (("CHE-123.456.789 TVA", ""), ("123456789", "CH"), "same"),
    (("GB 123 4567 89", ""), ("123456789", "United Kingdom"), "same"),
    (("XI123456789", ""), ("GB 123 4567 89", ""), "same"),
    (("BE0403.170.701", ""), ("BE 403170701", ""), "same"),
    (("EL123456783", ""), ("GR123456783", "Greece"), "same"),
    (("SE556677889901", ""), ("556677-8899", "Sweden"), "same"),
    (("NO 923 609 016 MVA", ""), ("923609016", "Norway"), "same"),
    (("HU12345678", ""), ("12345678-2-42", "Hungary"), "same"),
    (("29AABCU9603R1ZM", "India"), ("29 aabcu 9603 r1zm", ""), "same"),
    (("12-3456789", "USA"), ("123456789", "US"), "same"),
    (("DE123456789", "Austria"), ("DE123456789", "Germany"), "same"),
    (("123456789", "Germany"), ("123456789", "USA"), "different"),
    (("DE123456789", ""), ("US123456789", ""), "different"),
    (("DE123456789", ""), ("DE987654321", ""), "different"),
    (("DE123456789", ""), ("987654321", ""), "different"),
    (("DE123456789", "DE"), ("12/345/67890", "DE"), "unknown"),
    (("DE123456789", "DE"), ("", "DE"), "unknown"),
    (("n/a", "DE"), ("n/a", "DE"), "unknown"),
    (("000000000", "US"), ("000000000", "US"), "unknown"),
    (("XAXX010101000", "Mexico"), ("XAXX010101000", "Mexico"), "unknown"),
    (("DEL010203AB9", "Mexico"), ("DEL-010203-AB9", "Mexico"), "same"),
    (("12.345.678/0001-95", "Brazil"), ("12345678000195", "BR"), "same"),
    (("USt-ID DE123456789", ""), ("DE123456789", ""), "same"),
    (("VAT No. GB 123 4567 82", ""), ("123456782", "GB"), "same"),
    (("CVR 12345678", "Denmark"), ("DK12345678", ""), "same"),
    (("RFC: ABC-010203-AB1", "Mexico"), ("ABC010203AB1", "MX"), "same"),
    (("GSTIN 27AAPFU0939F1ZV", "India"), ("27AAPFU0939F1ZV", ""), "same"),
    (("EINSTEIN 123456", "DE"), ("123456", "DE"), "unknown"),
]


@pytest.mark.parametrize(("one", "other", "verdict"), PAIRS)
def test_two_numbers_are_compared(one: tuple[str, str], other: tuple[str, str], verdict: str) -> None:
    assert compare(TaxNumber(*one), TaxNumber(*other)).value == verdict
    assert compare(TaxNumber(*other), TaxNumber(*one)).value == verdict


def test_of_several_numbers_one_that_is_the_same_decides() -> None:
    ours, other, income_tax = TaxNumber("DE123456789"), TaxNumber("ATU12345678"), TaxNumber("12/345/67890", "DE")

    assert compare_all(ours, [other, income_tax, TaxNumber("123456789", "DE")]) is Verdict.SAME
    assert compare_all(ours, [income_tax, other]) is Verdict.DIFFERENT
    assert compare_all(ours, [income_tax]) is Verdict.UNKNOWN


@pytest.mark.parametrize("number", ["", "none", "n/a", "0", "-", "99999999", "URP", "to be confirmed"])
def test_what_says_nothing_is_asked_for_nowhere(number: str) -> None:
    assert not is_usable(number)
    assert spellings(TaxNumber(number, "DE")) == []


@pytest.mark.parametrize(
    ("wanted", "stored"),
    [
        (("DE123456789", ""), "DE 123 456 789"),
        (("USt-ID DE123456789", ""), "DE123456789"),
        (("923609016", "Norway"), "NO 923 609 016 MVA"),
        (("NO 923 609 016 MVA", ""), "923609016"),
        (("CHE123456789", ""), "CHE-123.456.789 IVA"),
        (("EL123456783", ""), "GR123456783"),
        (("76123456-K", "Chile"), "76.123.456-K"),
        (("20123456789", "Argentina"), "20-12345678-9"),
        (("RFC ABC-010203-AB1", "Mexico"), "ABC010203AB1"),
        (("123456789", "Germany"), "DE123456789"),
        (("12-3456789", "USA"), "123456789"),
        (("123456789", "US"), "12-3456789"),
        (("CHE123456789", ""), "CHE-123.456.789"),
        (("ATU12345678", ""), "U12345678"),
        (("BE0403170701", ""), "BE 0403.170.701"),
        (("556677-8899", "Sweden"), "SE556677889901"),
        (("29aabcu9603r1zm", ""), "29AABCU9603R1ZM"),
        (("ES B12345678", ""), "B12345678"),
        (("12345678000195", "Brazil"), "12.345.678/0001-95"),
        (("NL123456789B01", ""), "NL 1234.56.789.B01"),
        (("XI123456789", ""), "GB 123 4567 89"),
    ],
)
def test_a_number_is_asked_for_in_the_spellings_that_may_stand_there(wanted: tuple[str, str], stored: str) -> None:
    assert stored in spellings(TaxNumber(*wanted))
