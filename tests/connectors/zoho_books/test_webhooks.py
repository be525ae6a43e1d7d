"""Payment webhooks: three forms of body, one signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from crmsync.connectors.zoho_books.webhooks import PaymentNotice, parse, verify
from crmsync.errors import MalformedWebhookError, SignatureError, WrongTypeError
from crmsync.settings import Secret

from .conftest import FIXTURES

SECRET = Secret("crmsyncTestSecret2026")
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PAYMENT = b'{"payment":{"payment_id":"1"}}'
JSON_STRING = b"JSONString=" + quote(PAYMENT).encode()

# The proof vectors of shared/facts/zoho-books.md, section 7.
VECTORS = {
    "query and JSON": (
        [("subscription_id", "90343"), ("name", "basic")],
        JSON,
        b'{"created_date":"2019-03-06","event_id":"5675"}',
        "c9c7b6e2f53f5104ccff8a18aef008fbf534bda38927f6444d89cff8759a547a",
    ),
    "JSON alone": ([], JSON, PAYMENT, "cf16ea9eeb8d327f226445fb7b6c7ea0244133101e5acd8064f12cdbdaa5aa4b"),
    "JSONString": ([], FORM, JSON_STRING, "8d0a385b5e34be75288d4a9c55b6c084a2ac6a46b7a9c331b1f711392907b1fe"),
}


def signed(body: bytes) -> str:
    return hmac.new(SECRET.reveal().encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(("query", "content_type", "body", "signature"), VECTORS.values(), ids=VECTORS.keys())
def test_documented_signature_is_accepted(
    query: list[tuple[str, str]], content_type: str, body: bytes, signature: str
) -> None:
    verify(query, content_type, body, signature, [SECRET])


@pytest.mark.parametrize(("query", "content_type", "body", "signature"), VECTORS.values(), ids=VECTORS.keys())
@pytest.mark.parametrize("what", ["signature", "body", "query", "secret"])
def test_anything_altered_is_refused(
    query: list[tuple[str, str]], content_type: str, body: bytes, signature: str, what: str
) -> None:
    if what == "signature":
        signature = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    query = [*query, ("extra", "1")] if what == "query" else query
    body = body.replace(b"5", b"6").replace(b"1", b"2") if what == "body" else body
    secret = Secret("anotherTestSecret2026") if what == "secret" else SECRET

    with pytest.raises(SignatureError):
        verify(query, content_type, body, signature, [secret])


def test_form_may_be_signed_over_its_raw_bytes() -> None:
    verify([], FORM, JSON_STRING, signed(JSON_STRING), [SECRET])


def test_pairs_of_the_form_and_of_the_address_are_sorted_together() -> None:
    verify([("b", "2")], f"{FORM}; charset=utf-8", b"c=%C3%BC&a=1", signed("a1b2cü".encode()), [SECRET])


@pytest.mark.parametrize("signature", [None, "", "ü"])
def test_missing_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(SignatureError):
        verify([], JSON, PAYMENT, signature, [SECRET])


def test_nothing_is_authentic_without_a_secret() -> None:
    with pytest.raises(SignatureError, match="ZOHO_WEBHOOK_SECRET"):
        verify([], JSON, PAYMENT, signed(PAYMENT), [])


@pytest.mark.parametrize("fixture", sorted(FIXTURES.glob("payment__*.json")), ids=lambda path: path.stem)
def test_payment_of_every_fixture_is_read(fixture: Path) -> None:
    assert parse(JSON, fixture.read_bytes()).payment_key == "460000000042059"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json; charset=utf-8", PAYMENT),
        ("text/plain", b'{"payment_id": 1}'),
        ("application/vnd.zoho+json", PAYMENT),
        (FORM, JSON_STRING),
        (FORM, b"JSONString=" + quote('{"payment_id":"1"}').encode()),
        (FORM, b"event=payment&payment_id=1"),
    ],
    ids=["JSON", "raw", "other JSON", "JSONString", "flat JSONString", "form fields"],
)
def test_every_form_of_body_is_read(content_type: str, body: bytes) -> None:
    assert parse(content_type, body) == PaymentNotice("1")


# The invoices of a body → what it hints at.
HINTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "none": ({}, ()),
    "default payload": ({"invoices": [{"invoice_id": "46", "amount_applied": 5}, {"invoice_id": 47}]}, ("46", "47")),
    "ids alone": ({"invoices": ["46", 47]}, ("46", "47")),
    "named twice": ({"invoices": [{"invoice_id": "46"}, {"invoice_id": 46}], "invoice_id": "46"}, ("46",)),
    "one invoice as an object": ({"invoices": {"invoice_id": "46"}}, ("46",)),
    "list as text": ({"invoices": '[{"invoice_id":"46"},{"invoice_id":47}]'}, ("46", "47")),
    "one id": ({"invoice_id": "460000000039129"}, ("460000000039129",)),
    "one id with zeros in front": ({"invoice_id": "0046"}, ("0046",)),
    "ids with commas": ({"invoice_ids": "46, 47,"}, ("46", "47")),
    "ids in a list": ({"invoice_ids": ["46", "47"]}, ("46", "47")),
    "all fields": ({"invoice_id": "48", "invoice_ids": [47], "invoices": ["46"]}, ("46", "47", "48")),
    "placeholder that was not filled": ({"invoices": "${PAYMENT.INVOICES}", "invoice_id": ""}, ()),
    "nulls": ({"invoices": None, "invoice_id": None, "invoice_ids": [None]}, ()),
    "no ids": ({"invoices": [True, 1.5, -4, "../7", "1" * 26, "٤٦", [], {}, {"invoice_id": [1]}]}, ()),
    "one good among bad": ({"invoices": [{"invoice_number": "INV-1"}, {"invoice_id": "46"}]}, ("46",)),
    "deep text": ({"invoices": "[" * 100_000}, ()),
    "no JSON number": ({"invoice_id": "9" * 5000}, ()),
    "too many": ({"invoices": [str(n) for n in range(1, 1500)]}, tuple(str(n) for n in range(1, 1001))),
}


@pytest.mark.parametrize(("fields", "expected"), HINTS.values(), ids=HINTS.keys())
def test_invoices_are_hints(fields: dict[str, Any], expected: tuple[str, ...]) -> None:
    flat = {"payment_id": "1", **fields}
    wrapped = json.dumps({"payment": flat})

    for content_type, body in (
        (JSON, wrapped.encode()),
        (JSON, json.dumps(flat).encode()),
        (FORM, urlencode({"JSONString": wrapped}).encode()),
    ):
        assert parse(content_type, body) == PaymentNotice("1", expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ()),
        ({"invoice_id": "46"}, ("46",)),
        ({"invoice_ids": "46,47"}, ("46", "47")),
        ({"invoices": '[{"invoice_id": "46"}]'}, ("46",)),
        ({"invoices": "INV-1"}, ()),
    ],
)
def test_form_of_single_fields_may_name_invoices(fields: dict[str, str], expected: tuple[str, ...]) -> None:
    assert parse(FORM, urlencode({"payment_id": "1", **fields}).encode()) == PaymentNotice("1", expected)


def test_default_payload_names_its_invoices() -> None:
    body = (FIXTURES / "payment__default_payload.json").read_bytes()

    assert parse(JSON, body) == PaymentNotice("460000000042059", ("460000000039129",))


@pytest.mark.parametrize(
    ("content_type", "body", "field"),
    [
        (JSON, b"", "body"),
        (JSON, b"\xff\xfe{", "body"),
        (JSON, b"[" * 100_000, "body"),
        (JSON, b"[]", "payment_id"),
        (JSON, b'{"invoice":{"invoice_id":"1"}}', "payment_id"),
        (JSON, b'{"payment":null}', "payment.payment_id"),
        (JSON, b'{"payment":{}}', "payment.payment_id"),
        (JSON, b'{"payment":{"payment_id":true}}', "payment.payment_id"),
        (JSON, b'{"payment":{"payment_id":1.5}}', "payment.payment_id"),
        (JSON, b'{"payment":{"payment_id":"../1"}}', "payment.payment_id"),
        (JSON, '{"payment":{"payment_id":"١"}}'.encode(), "payment.payment_id"),
        (JSON, b'{"payment_id":"${PAYMENT.PAYMENT_ID}"}', "payment_id"),
        (JSON, b'{"payment_id":"1\\n"}', "payment_id"),
        (FORM, b"JSONString=no", "JSONString"),
        (FORM, b"amount=5", "payment_id"),
        (FORM, b"payment_id=", "payment_id"),
        (FORM, b"\xff", "body"),
        (FORM, b"payment_id=%ff", "body"),
        (FORM, b"&".join([b"a=1"] * 101), "body"),
    ],
)
def test_malformed_body_names_the_field_at_fault(content_type: str, body: bytes, field: str) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        parse(content_type, body)

    assert list(caught.value.field_errors) == [field]


@pytest.mark.parametrize("content_type", [None, "", "application/xml", "multipart/form-data; boundary=x"])
def test_other_types_are_refused(content_type: str | None) -> None:
    with pytest.raises(WrongTypeError):
        parse(content_type, PAYMENT)
