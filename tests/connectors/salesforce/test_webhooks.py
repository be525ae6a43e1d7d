"""What is let in at the door, and what is read from it."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync.connectors.salesforce import webhooks
from crmsync.connectors.salesforce.settings import WebhookKeys
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import MalformedWebhookError, SignatureError
from crmsync.settings import Secret

from . import outbound_schema
from .conftest import DEAL, FIXTURES

SECRET = Secret("a secret of the door")
KEYS = WebhookKeys((SECRET,), (SECRET,), (SECRET,), (SECRET,))
NOW = datetime(2026, 11, 20, tzinfo=UTC)
BODY = json.dumps({"opportunityId": DEAL}).encode()
SIGNATURE = hmac.new(SECRET.reveal().encode(), BODY, hashlib.sha256).hexdigest()
OUTBOUND = (FIXTURES / "outbound__two_deals.xml").read_text()
ORGANIZATION = "00Dxx0000001gEREAY"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Crmsync-Signature": f"sha256={SIGNATURE}"},
        {"X-Crmsync-Signature": f"sha256={SIGNATURE.upper()}"},
        {"Authorization": f"Bearer {SECRET.reveal()}"},
        {"Authorization": f"bearer {SECRET.reveal()}"},
        {"Authorization": "Basic eDp5", "X-Crmsync-Signature": f"sha256={SIGNATURE}"},
    ],
)
def test_an_authentic_call_is_let_in(headers: dict[str, str]) -> None:
    webhooks.verify_json(headers, BODY, KEYS, NOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Crmsync-Signature": ""},
        {"X-Crmsync-Signature": "sha256="},
        {"X-Crmsync-Signature": SIGNATURE},
        {"X-Crmsync-Signature": f"sha1={SIGNATURE}"},
        {"X-Crmsync-Signature": f"sha256={SIGNATURE[:-1]}"},
        {"X-Crmsync-Signature": f"sha256={hmac.new(b'another', BODY, hashlib.sha256).hexdigest()}"},
        {"X-Crmsync-Signature": f"sha256={hashlib.sha256(BODY).hexdigest()}"},
        {"X-Crmsync-Signature": "sha256=é"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {SECRET.reveal()}x"},
        {"Authorization": f"Basic {SECRET.reveal()}"},
        {"Authorization": SECRET.reveal()},
    ],
)
def test_any_other_call_is_not(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError) as caught:
        webhooks.verify_json(headers, BODY, KEYS, NOW)

    assert SECRET.reveal() not in str(caught.value)


def test_a_signature_is_of_the_bytes_as_they_came() -> None:
    with pytest.raises(SignatureError):
        webhooks.verify_json({"X-Crmsync-Signature": f"sha256={SIGNATURE}"}, BODY + b" ", KEYS, NOW)


def test_without_a_secret_every_door_is_shut() -> None:
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    for headers in ({"Authorization": "Bearer "}, {"X-Crmsync-Signature": f"sha256={empty}"}):
        with pytest.raises(SignatureError, match="SF_WEBHOOK_SECRET"):
            webhooks.verify_json(headers, BODY, WebhookKeys(), NOW)
    with pytest.raises(SignatureError, match="SF_WEBHOOK_SECRET"):
        webhooks.verify_token("", WebhookKeys())


@pytest.mark.parametrize(
    "body",
    [
        {"opportunityId": DEAL},
        {"opportunityId": DEAL[:15]},
        {"opportunityId": DEAL, "stage": "Closed Won", "amount": 1.5, "more": {"opportunityId": 7}},
    ],
)
def test_a_deal_is_known_by_its_long_id(body: dict[str, Any]) -> None:
    assert webhooks.parse_json(json.dumps(body).encode()) == [WebhookEvent(DEAL, "")]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (6, "is not text"),
        (True, "is not text"),
        ([DEAL], "is not text"),
        ({"id": DEAL}, "is not text"),
        (None, "is null"),
        ("", "is not a Salesforce id"),
        ("006xx0000012ab", "is not a Salesforce id"),
        ("006xx0000012abcAAB", "checksum"),
        ("006XX0000012ABCAAA", "checksum"),
        (f"{DEAL}\n", "is not a Salesforce id"),
        ("006xx0000012ab'", "is not a Salesforce id"),
        ("001xx000003DGb2AAG", "another object"),
    ],
)
def test_what_is_no_deal_id_is_refused_by_name(value: Any, problem: str) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        webhooks.parse_json(json.dumps({"opportunityId": value}).encode())

    assert list(caught.value.field_errors) == ["opportunityId"]
    assert problem in caught.value.field_errors["opportunityId"]
    assert not value or str(value) not in str(caught.value)


@pytest.mark.parametrize("body", ["{}", "[]", '"x"', "7", "null", f'["{DEAL}"]', f'{{"OpportunityId": "{DEAL}"}}'])
def test_a_body_without_the_id_is_refused(body: str) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        webhooks.parse_json(body.encode())

    assert "is missing" in caught.value.field_errors["opportunityId"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"opportunityId=006",
        b'{"opportunityId": "\xff"}',
        b'{"opportunityId": "006xx0000012abcAAA", "opportunityId": "006xx0000012ABCAA2"}',
        b'{"opportunityId": "006xx0000012abcAAA", "x": {"y": 1, "y": 2}}',
        b'{"opportunityId": "006xx0000012abcAAA", "x": NaN}',
        b'{"opportunityId": "006xx0000012abcAAA", "x": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        webhooks.parse_json(body)

    assert list(caught.value.field_errors) == ["body"]
    assert "006" not in str(caught.value)


@given(st.binary())
def test_no_body_breaks_the_door(body: bytes) -> None:
    for parse in (webhooks.parse_json, webhooks.parse_outbound):
        with pytest.raises(MalformedWebhookError):
            parse(body)


# Outbound Messages


def _outbound(old: str = "", new: str = "") -> bytes:
    assert old in OUTBOUND
    return OUTBOUND.replace(old, new, 1).encode()


def _notification(number: int) -> str:
    return (
        f"<Notification><Id>04lxx00000{number:05d}</Id><sObject "
        'xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>006xx0000012abc</sf:Id></sObject></Notification>'
    )


def _of(count: int) -> bytes:
    head, tail = OUTBOUND[: OUTBOUND.index("<Notification>")], OUTBOUND[OUTBOUND.rindex("</Notification>") + 15 :]
    return f"{head}{''.join(map(_notification, range(count)))}{tail}".encode()


def test_each_notification_is_an_event_with_its_own_key() -> None:
    message = webhooks.parse_outbound(OUTBOUND.encode())

    assert message.organization_id == ORGANIZATION
    assert message.events == (
        WebhookEvent("006xx0000012abcAAA", "04lxx0000000001AAA:006xx0000012abcAAA"),
        WebhookEvent("006xx0000012ABCAA2", "04lxx0000000002AAA:006xx0000012ABCAA2"),
    )


@pytest.mark.parametrize("count", [1, 100])
def test_one_to_a_hundred_deals_come_in_a_message(count: int) -> None:
    assert len({event.event_key for event in webhooks.parse_outbound(_of(count)).events}) == count


@pytest.mark.parametrize("count", [0, 101])
def test_no_and_too_many_deals_are_refused(count: int) -> None:
    with pytest.raises(MalformedWebhookError, match="1 to 100"):
        webhooks.parse_outbound(_of(count))


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("<OrganizationId>00Dxx0000001gEREAY</OrganizationId>", "", "OrganizationId"),
        ("<ActionId>", "<OrganizationId>00Dxx0000001gEREAY</OrganizationId><ActionId>", "OrganizationId"),
        (">00Dxx0000001gEREAY<", ">006xx0000012abcAAA<", "OrganizationId"),
        (">00Dxx0000001gEREAY<", "><", "OrganizationId"),
        ("http://soap.sforce.com/2005/09/outbound", "urn:other", "notifications"),
        ("http://schemas.xmlsoap.org/soap/envelope/", "urn:other", "Envelope"),
        ("</soapenv:Body>", "</soapenv:Body><soapenv:Body/>", "Body"),
    ],
)
def test_a_message_of_another_form_is_refused_by_name(old: str, new: str, field: str) -> None:
    with pytest.raises(MalformedWebhookError) as caught:
        webhooks.parse_outbound(_outbound(old, new))

    assert list(caught.value.field_errors) == [field]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("<Id>04lxx0000000001AAA</Id>", "", "Id"),
        (">04lxx0000000001AAA<", ">evil<", "Notification.Id"),
        ("<sf:Id>006xx0000012abcAAA</sf:Id>", "", "Id"),
        (">006xx0000012abcAAA<", ">001xx000003DGb2AAG<", "sObject.Id"),
        (">006xx0000012abcAAA<", ">' OR Id != '<", "sObject.Id"),
        ("<sf:Amount>1250.5</sf:Amount>", "<sf:Id>006xx0000012ABCAA2</sf:Id>", "Id"),
        ('xmlns:sf="urn:sobject.enterprise.soap.sforce.com"', 'xmlns:sf="urn:other"', "Id"),
    ],
)
def test_a_notification_that_names_no_deal_is_left_out_by_name(old: str, new: str, field: str) -> None:
    message = webhooks.parse_outbound(_outbound(old, new))

    assert [event.subject_key for event in message.events] == ["006xx0000012ABCAA2"]
    assert len(message.left_out) == 1
    assert f"{field}: " in message.left_out[0]


_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


@pytest.mark.parametrize(
    ("doctype", "entity"),
    [
        pytest.param(f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>', "&l9;", id="a billion laughs"),
        pytest.param(f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]>', "&a;" * 1000, id="quadratic growth"),
        pytest.param('<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>', "&f;", id="a file of ours"),
        pytest.param('<!DOCTYPE x [<!ENTITY u SYSTEM "http://127.0.0.1:9/">]>', "&u;", id="an address of ours"),
        pytest.param('<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]>', "", id="a parameter"),
        pytest.param('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">', "", id="a DTD elsewhere"),
        pytest.param("<!DOCTYPE x>", "", id="a DTD that does nothing"),
        pytest.param("", "&undeclared;", id="an entity of nowhere"),
    ],
)
def test_neither_dtd_nor_entity_is_ever_read(doctype: str, entity: str) -> None:
    body = OUTBOUND.replace(_DECLARATION, _DECLARATION + doctype).replace("Closed Won", entity or "Closed Won")

    with pytest.raises(MalformedWebhookError) as caught:
        webhooks.parse_outbound(body.encode())

    assert list(caught.value.field_errors) == ["body"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"{}",
        b'<?xml version="1.0" encoding="no-such"?><x/>',
        b'<?xml version="1.0" encoding="utf-7"?><x/>',
        b'<?xml version="1.0" encoding="shift_jis"?><x/>',
        b"<a>" * 200_000,
        b"<a>" * 100_000 + b"</a>" * 100_000,
    ],
)
def test_a_body_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError):
        webhooks.parse_outbound(body)


def test_the_token_of_the_url_is_the_secret() -> None:
    webhooks.verify_token(SECRET.reveal(), KEYS)
    for wrong in ("", SECRET.reveal()[:-1], SECRET.reveal().upper(), "é"):
        with pytest.raises(SignatureError):
            webhooks.verify_token(wrong, KEYS)


@pytest.mark.parametrize("expected", [ORGANIZATION, ORGANIZATION[:15]])
def test_the_organization_is_ours(expected: str) -> None:
    webhooks.verify_organization(ORGANIZATION, expected)


@pytest.mark.parametrize("expected", ["00Dxx0000001geR", "00Dxx0000001gES", ORGANIZATION.lower()])
def test_another_organization_is_not_and_case_matters(expected: str) -> None:
    with pytest.raises(SignatureError):
        webhooks.verify_organization(ORGANIZATION, expected)


def test_without_a_known_organization_no_message_is_let_in() -> None:
    with pytest.raises(SignatureError, match="SF_ORGANIZATION_ID"):
        webhooks.verify_organization("", "")


class TestWsdl:
    @pytest.mark.parametrize("body", [OUTBOUND, webhooks.ack(True), webhooks.ack(False)])
    def test_what_is_read_and_what_is_answered_are_as_the_wsdl_says(self, body: str) -> None:
        assert outbound_schema.problems(body.encode()) == []

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("00Dxx0000001gEREAY", "00Dxx0000001gER"),
            ("<SessionId xsi:nil", "<Session xsi:nil"),
            ("<sf:Amount>1250.5</sf:Amount>", "<sf:Unknown/>"),
        ],
    )
    def test_the_comparison_can_fail(self, old: str, new: str) -> None:
        changed = _outbound(old, new).replace(b"</SessionId", b"</Session")

        assert outbound_schema.problems(changed)


def test_the_acknowledgement_says_true_or_false() -> None:
    assert "<Ack>true</Ack>" in webhooks.ack(True)
    assert "<Ack>false</Ack>" in webhooks.ack(False)
