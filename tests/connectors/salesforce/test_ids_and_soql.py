"""Ids have one form, and nothing but ids and quoted text reaches a query."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from crmsync.connectors.salesforce.client import _opportunity_id
from crmsync.connectors.salesforce.ids import full_id
from crmsync.connectors.salesforce.soql import quote
from crmsync.errors import RecordNotFoundError

from ..conftest import LoadFixture
from .conftest import DEAL, QUERY, Build

_ESCAPED = {"\\": "\\", "'": "'", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("00Dxx0000001gER", "00Dxx0000001gEREAY"),
        ("00Dxx0000001gEREAY", "00Dxx0000001gEREAY"),
        ("006xx0000012abc", "006xx0000012abcAAA"),
        ("006xx0000012ABC", "006xx0000012ABCAA2"),
        ("AAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA555"),
    ],
)
def test_an_id_of_15_or_18_characters_has_one_form(text: str, full: str) -> None:
    assert full_id(text) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        "006",
        "006xx0000012ab",
        "006xx0000012abcA",
        "006xx0000012abcAAAA",
        "006xx0000012abcaaa",
        "006xx0000012abcAAB",
        "006XX0000012ABCAAA",
        "006xx0000012abc\n",
        " 006xx0000012abc",
        "006xx0000012ab'",
        "006xx00000１2abc",
        "006xx0000012abé",
        "' OR Name LIKE '",
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Salesforce id"):
        full_id(text)


def test_the_id_of_another_object_is_refused() -> None:
    with pytest.raises(ValueError, match="another object"):
        full_id("001xx000003DGb2AAG", "006")


@given(st.text(alphabet=_LETTERS, min_size=15, max_size=15))
def test_the_long_form_is_its_own_and_safe_against_a_change_of_case(short: str) -> None:
    full = full_id(short)

    assert full_id(full) == full
    assert full[:15] == short
    if short.swapcase() != short:
        assert full_id(short.swapcase())[15:] != full[15:]


@given(st.text())
def test_no_text_becomes_an_id_but_15_or_18_letters_and_digits(text: str) -> None:
    with suppress(ValueError):
        assert re.fullmatch("[A-Za-z0-9]{18}", full_id(text))


@given(st.text() | st.text(alphabet="'\\nrtbf\n\r\t\b\f\"") | st.sampled_from(["\\'", "'\\", "\\\\'", "' OR Id != '"]))
def test_a_quoted_text_is_read_back_as_itself(text: str) -> None:
    literal = quote(text)

    # What a reader of SOQL does: a backslash takes the next character with it, a bare quote ends the literal.
    assert re.fullmatch(r"'(?:[^'\\\n\r]|\\[\\'nrtbf])*'", literal)
    assert re.sub(r"\\(.)", lambda escape: _ESCAPED[escape[1]], literal[1:-1]) == text


@given(key=st.text() | st.text(alphabet="006xx0000012abcAAA' ", min_size=15, max_size=18))
def test_a_key_that_is_no_deal_id_is_never_sent(key: str) -> None:
    with suppress(RecordNotFoundError):
        assert re.fullmatch("006[A-Za-z0-9]{15}", _opportunity_id(key))


@pytest.mark.parametrize("key", ["x' OR IsWon = true", "001xx000003DGb2AAG", "../Account/001xx000003DGb2AAG", ""])
def test_such_a_key_is_refused_before_any_call(crm: Build, salesforce: responses.RequestsMock, key: str) -> None:
    with pytest.raises(RecordNotFoundError) as reading:
        crm().fetch_deal(key)
    with pytest.raises(RecordNotFoundError):
        crm().write_back(key, order_number="1", invoice_number="2", status="Synced")

    assert "opportunityId" in reading.value.field_errors
    assert not salesforce.calls


def test_the_query_holds_the_long_id_and_no_other_value(
    crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
) -> None:
    salesforce.get(QUERY, json=fixture("deal__bare"))

    crm().fetch_deal(DEAL[:15])

    query = parse_qs(urlsplit(salesforce.calls[0].request.url or "").query)["q"][0]
    assert query.endswith(f"FROM Opportunity WHERE Id = '{DEAL}'")
    assert query.count("'") == 2
