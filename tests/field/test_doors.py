"""Cases from the field, the doors: D2 to D8, and P6. D1 is in test_slow_senders.py."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import logging
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from celery.exceptions import Ignore
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, select
from werkzeug.test import TestResponse

from crmsync import broker
from crmsync.alerts.content import headline
from crmsync.errors import InvalidDealError, RecordNotFoundError, RejectedError, StoreUnavailableError
from crmsync.flows import payment_to_invoices
from crmsync.log import redact
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import tables
from crmsync.web import metrics
from crmsync.web.refusals import Refusals
from tests.builders import NOW
from tests.fakes import FakeClock, fill_everywhere, run_of_subject
from tests.integration.test_webhooks import (
    DEAL,
    DOOR,
    ENVIRONMENT,
    PAYMENT,
    SECRET,
    ZOHO_DOOR,
    ZOHO_SECRET,
    Bell,
    client,
    client_of,
    count,
    deal_id,
    dies_of,
    enqueuer,
    envelope,
    is_ack,
    notification,
    post_json,
    post_payment,
    post_soap,
    signed,
)
from tests.system import until

__all__ = ["client", "enqueuer"]

NIL = '<Notification><Id>04l000000000777</Id><sObject xsi:nil="true"/></Notification>'
FORM = "application/x-www-form-urlencoded"
OTHER = "another secret of that door"
TOWER_PASSWORD = "a password of the tower"
OPERATOR_BASIC = "Basic " + b64encode(f"crmsync:{TOWER_PASSWORD}".encode()).decode()
OPERATOR = {"Authorization": OPERATOR_BASIC}


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "CRMSYNC_TOWER_PASSWORD": TOWER_PASSWORD}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metrics, "queue_names", lambda: ("crm",))  # Celery's would start a server
    monkeypatch.setattr(broker, "TIMEOUT_SECONDS", 0.3)


def client_with(services: Services, **environment: str) -> FlaskClient:
    """A receiver with other variables, on the same store."""
    changed = {name: value for name, value in {**os.environ, **environment}.items() if value}
    return client_of(Services(Settings.from_env(changed), services.store), Bell())


def subjects(services: Services) -> set[str]:
    with services.store.engine.connect() as connection:
        return set(connection.execute(select(tables.runs.c.subject_key)).scalars())


def hex_of(body: bytes, secret: str = ZOHO_SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def send_payment(client: FlaskClient, body: bytes, content_type: str, *, method: str = "POST", signs: bytes = b"",
                 query: str = "", **headers: str) -> TestResponse:  # fmt: skip
    signature = {"X-Zoho-Webhook-Signature": hex_of(signs or body)}
    return client.open(
        f"{ZOHO_DOOR}{query}", method=method, data=body, content_type=content_type, headers={**signature, **headers}
    )


# -- D3: a secret for each form, two at a time, a form switched off, and a signature that grows old


def standard(
    body: bytes, at: float, *, key: bytes = SECRET.encode(), message_id: str = "msg_1", more: str = ""
) -> dict[str, str]:
    text = f"{message_id}.{int(at)}.".encode() + body
    signature = "v1," + b64encode(hmac.digest(key, text, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": f"{more}{signature}",
    }


BODY = json.dumps({"opportunityId": DEAL}).encode()


@pytest.mark.parametrize("more", ["", "v1,AAAA ", "v1a,AAAA v1,Zm9v "])
@pytest.mark.parametrize("seconds", [0, -299, 299])
def test_D3__a_message_in_the_form_of_standard_webhooks_is_let_in(
    services: Services, client: FlaskClient, clock: FakeClock, seconds: float, more: str
) -> None:
    headers = standard(BODY, clock.now.timestamp() + seconds, more=more)

    assert post_json(client, BODY, headers).status_code == 200
    assert subjects(services) == {f"{DEAL}"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"seconds": -301}, "stale", id="six minutes old"),
        pytest.param({"seconds": 301}, "stale", id="from the future"),
        pytest.param({"seconds": -301, "key": b"a guess"}, "mismatch", id="old and wrong: not told that it is old"),
        pytest.param({"key": b"a guess"}, "mismatch", id="another secret"),
        pytest.param({"headers": {"webhook-id": "msg_2"}}, "mismatch", id="another id"),
        pytest.param({"headers": {"webhook-timestamp": "1"}}, "mismatch", id="another time"),
        pytest.param({"headers": {"webhook-timestamp": "9" * 12}}, "mismatch", id="a time beyond all calendars"),
        pytest.param({"headers": {"webhook-timestamp": "soon"}}, "format", id="no time"),
        pytest.param({"headers": {"webhook-signature": "AAAA"}}, "format", id="no version"),
        pytest.param({"headers": {"webhook-signature": "v1a,AAAA"}}, "format", id="another version only"),
        pytest.param({"headers": {"webhook-id": ""}}, "missing", id="no id"),
        pytest.param({"headers": {"webhook-signature": "v1,é"}}, "mismatch", id="no base64"),
    ],
)
def test_D3__a_message_that_does_not_fit_or_is_old_is_refused_with_its_reason(
    services: Services, client: FlaskClient, clock: FakeClock, change: dict[str, Any], reason: str
) -> None:
    at = clock.now.timestamp() + change.get("seconds", 0)
    headers = {**standard(BODY, at, key=change.get("key", SECRET.encode())), **change.get("headers", {})}

    answer = post_json(client, BODY, headers)

    assert (answer.status_code, answer.get_json()["reason"]) == (401, reason)
    assert subjects(services) == set()


def test_D3__a_secret_in_the_spelling_of_standard_webhooks_stands_for_its_bytes(
    services: Services, clock: FakeClock
) -> None:
    key = b"twenty-four bytes of key"
    client = client_with(services, SF_WEBHOOK_SECRET="whsec_" + b64encode(key).decode().rstrip("="))

    assert post_json(client, BODY, standard(BODY, clock.now.timestamp(), key=key)).status_code == 200


def test_D3__each_form_has_a_secret_of_its_own_where_one_is_set(services: Services) -> None:
    client = client_with(services, SF_WEBHOOK_BEARER="the secret of callouts", SF_WEBHOOK_TOKEN="the-secret-in-the-url")
    message = envelope(notification(1))

    def bearer(secret: str) -> int:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
        return post_json(client, BODY, headers).status_code

    assert post_json(client, BODY).status_code == 200, "the signature keeps SF_WEBHOOK_SECRET"
    assert (bearer("the secret of callouts"), bearer(SECRET), bearer("the-secret-in-the-url")) == (200, 401, 401)
    tokens = ("the-secret-in-the-url", SECRET, "the secret of callouts")
    assert [post_soap(client, message, token=token).status_code for token in tokens] == [200, 401, 401]
    assert post_json(client, BODY, signed(BODY, "the-secret-in-the-url")).status_code == 401, "a token signs nothing"


def test_D3__a_receiver_may_have_a_token_and_nothing_else(services: Services) -> None:
    client = client_with(services, SF_WEBHOOK_SECRET="", SF_WEBHOOK_TOKEN="the-secret-in-the-url")

    assert post_soap(client, envelope(notification(1)), token="the-secret-in-the-url").status_code == 200
    assert post_json(client, BODY, signed(BODY, "")).status_code == 401


def proofs(clock: FakeClock) -> dict[str, dict[str, str]]:
    return {
        "signature": signed(BODY),
        "standard": standard(BODY, clock.now.timestamp()),
        "bearer": {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"},
    }


@pytest.mark.parametrize("allowed", ["signature", "standard", "bearer", "token", "signature, standard"])
def test_D3__a_form_that_is_switched_off_opens_nothing(services: Services, clock: FakeClock, allowed: str) -> None:
    client = client_with(services, SF_WEBHOOK_FORMS=allowed)

    opened = {form for form, headers in proofs(clock).items() if post_json(client, BODY, headers).status_code == 200}
    if post_soap(client, envelope(notification(1))).status_code == 200:
        opened.add("token")

    assert opened == set(allowed.split(", "))


def test_D3__the_secret_before_the_present_one_is_good_until_it_is_taken_away(services: Services) -> None:
    both = client_with(
        services,
        SF_WEBHOOK_SECRET=OTHER,
        SF_WEBHOOK_SECRET_PREVIOUS=SECRET,
        ZOHO_WEBHOOK_SECRET=OTHER,
        ZOHO_WEBHOOK_SECRET_PREVIOUS=ZOHO_SECRET,
    )
    after = client_with(services, SF_WEBHOOK_SECRET=OTHER, ZOHO_WEBHOOK_SECRET=OTHER)

    def statuses(client: FlaskClient, old: str, old_of_zoho: str) -> list[int]:
        return [
            post_json(client, BODY, signed(BODY, old)).status_code,
            post_soap(client, envelope(notification(1)), token=old).status_code,
            post_payment(client, PAYMENT, secret=old_of_zoho).status_code,
        ]

    assert statuses(both, OTHER, OTHER) == statuses(both, SECRET, ZOHO_SECRET) == [200] * 3
    assert statuses(after, OTHER, OTHER) == [200] * 3
    assert statuses(after, SECRET, ZOHO_SECRET) == [401] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SF_WEBHOOK_FORMS", "signature,hope"),
        ("SF_WEBHOOK_TOKEN", "short"),
        ("SF_WEBHOOK_BEARER", "short"),
        ("SF_WEBHOOK_TOKEN_PREVIOUS", "a token without one after it"),
        ("ZOHO_WEBHOOK_SECRET_PREVIOUS", "short"),
    ],
)
def test_D3__what_is_wrong_with_a_door_is_said_before_it_opens(services: Services, name: str, value: str) -> None:
    from crmsync.errors import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        client_with(services, **{name: value})

    assert list(caught.value.field_errors) == [name]


# -- D5: what makes two messages one


def test_D5__one_message_id_with_two_deals_is_two_facts(
    services: Services, client: FlaskClient, enqueuer: Bell
) -> None:
    assert is_ack(post_soap(client, envelope(notification(1, deal_id(1)))))
    assert is_ack(post_soap(client, envelope(notification(1, deal_id(2)))))
    assert is_ack(post_soap(client, envelope(notification(1, deal_id(2)))))

    assert subjects(services) == {f"{deal_id(1)}AAA", f"{deal_id(2)}AAA"}
    assert len(enqueuer.enqueued) == 2
    assert count(services, tables.deliveries) == 2, "the third is a repetition"


def test_D5__one_id_for_two_deals_in_one_message(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    assert is_ack(post_soap(client, envelope(notification(1, deal_id(1)), notification(1, deal_id(2)))))

    assert len(enqueuer.enqueued) == 2


@pytest.mark.parametrize("message_id", ["msg_1", "m" * 500])
def test_D5__a_standard_message_is_known_by_its_id_and_its_deal(
    services: Services, client: FlaskClient, clock: FakeClock, message_id: str
) -> None:
    for deal in (deal_id(1), deal_id(2), deal_id(1)):
        body = json.dumps({"opportunityId": deal}).encode()
        headers = standard(body, clock.now.timestamp(), message_id=message_id)
        assert post_json(client, body, headers).status_code == 200

    assert count(services, tables.runs) == count(services, tables.deliveries) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_D3__a_secret_beyond_ascii_is_known_again_in_each_form(
    services: Services, clock: FakeClock, encoding: str
) -> None:
    secret = "völlig geheim 12"
    client = client_with(services, SF_WEBHOOK_SECRET=secret, ZOHO_WEBHOOK_SECRET=secret)
    bearer = f"Bearer {secret}".encode(encoding).decode("latin-1")  # bytes, as WSGI has them
    message_id = "msg_é"
    headers = standard(BODY, clock.now.timestamp(), key=secret.encode(), message_id=message_id)
    headers["webhook-id"] = message_id.encode().decode("latin-1")

    answers = [
        post_json(client, BODY, {"Content-Type": "application/json", "Authorization": bearer}),
        post_json(client, BODY, headers),
        post_json(client, BODY, signed(BODY, secret)),
        post_soap(client, envelope(notification(1)), token=secret),
        post_payment(client, PAYMENT, secret=secret),
    ]

    assert [answer.status_code for answer in answers] == [200] * 5


@pytest.mark.parametrize("token", ["a token of plain letters", "völlig geheim 12"])
def test_D2__a_scraper_reads_the_figures_with_its_token(services: Services, token: str) -> None:
    client = client_with(services, CRMSYNC_METRICS_TOKEN=token)

    def status(given: str) -> int:
        headers = {"Authorization": f"Bearer {given}".encode().decode("latin-1")}
        return client.get("/metrics", headers=headers).status_code

    assert (status(token), status(token[:-1]), status("")) == (200, 401, 401)


ODD = [b"Basic \xff\xfe", b"Basic \xe9:x", b"\xff", b"Basic", b"Basic ////", b"Bearer \xff\xfe", b"Basic w7w6/w=="]


@pytest.mark.parametrize("given", ODD)
@pytest.mark.parametrize("path", ["/", "/metrics", "/runs", DOOR])
def test_D3__credentials_that_are_none_are_refused_and_no_fault_of_ours(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str, given: bytes
) -> None:
    headers = {"Authorization": given.decode("latin-1"), "Content-Type": "application/json"}

    answer = client.open(path, method="POST" if path == DOOR else "GET", data=BODY, headers=headers)

    assert answer.status_code == 401
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["/runs?text=a%00b", "/stock?text=%00", "/runs/%00", "/runs?status=%00"])
def test_O20__an_address_that_no_database_takes_is_refused(client: FlaskClient, path: str) -> None:
    assert client.get(path, headers=OPERATOR).status_code == 400
    assert client.get(path).status_code == 401


@pytest.mark.parametrize("number", ["0", "2147483647", "2147483648", "9" * 19, "9" * 40])
@pytest.mark.parametrize("button", ["replay", "discard"])
def test_O20__a_dead_letter_of_any_number_is_answered(client: FlaskClient, number: str, button: str) -> None:
    client.get("/dead-letters", headers=OPERATOR)
    with client.session_transaction() as session:
        form = {"token": session["token"], "confirm": "yes"}

    assert client.post(f"/dead-letters/{number}/{button}", data=form, headers=OPERATOR).status_code in (303, 404)


def test_D3__a_guesser_at_the_control_tower_fills_no_log(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(50):
        client.get("/metrics", headers={"Authorization": f"Bearer guess{number}"})

    assert len([record for record in caplog.records if getattr(record, "action", "") == "tower_refused"]) == 20


# -- D6: one bad member

BAD_MEMBERS = {
    "no data": NIL,
    "no data, by number": NIL.replace('"true"', '"1"'),
    "no record": "<Notification><Id>04l000000000777</Id></Notification>",
    "an empty record": "<Notification><Id>04l000000000777</Id><sObject/></Notification>",
    "another object": notification(7, "001000000000001"),
    "no id": notification(7, "nothing"),
    "a wrong checksum": notification(7, "0060000000000ABAAA"),
    "no message id": notification(7).replace("<Id>04l000000000007</Id>", "", 1),
    "two records": notification(7).replace("</Notification>", "<sObject/></Notification>"),
}


@pytest.mark.parametrize("bad", BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
@pytest.mark.parametrize("place", [0, 1, 2])
def test_D6__one_bad_member_is_left_out_and_the_others_run(
    services: Services, client: FlaskClient, caplog: pytest.LogCaptureFixture, bad: str, place: int
) -> None:
    members = [notification(1), notification(2)]
    members.insert(place, bad)

    with caplog.at_level(logging.WARNING):
        answer = post_soap(client, envelope(*members))

    assert (answer.status_code, is_ack(answer)) == (200, True)
    assert subjects(services) == {f"{deal_id(1)}AAA", f"{deal_id(2)}AAA"}
    assert any("left out" in record.message for record in caplog.records)


@pytest.mark.parametrize("count", [1, 100])
def test_D6__a_message_of_records_that_are_gone_is_acknowledged(
    services: Services, client: FlaskClient, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    """Refused, it would be repeated for a day and say the same."""
    with caplog.at_level(logging.WARNING):
        answer = post_soap(client, envelope(*[NIL] * count))

    assert (answer.status_code, is_ack(answer)) == (200, True)
    assert subjects(services) == set()
    assert any("the record is gone" in record.message for record in caplog.records)
    assert post_soap(client, envelope(NIL), token="a guess").status_code == 401


@pytest.mark.parametrize("bad", [bad for bad in BAD_MEMBERS.values() if "xsi:nil" not in bad])
def test_D6__a_message_of_bad_members_only_is_refused(services: Services, client: FlaskClient, bad: str) -> None:
    answer = post_soap(client, envelope(bad, bad))

    assert (answer.status_code, is_ack(answer)) == (400, False)
    assert answer.get_json()["fields"]
    assert subjects(services) == set()


# -- D7: a body is read whole or refused


def padded(size: int) -> bytes:
    empty = json.dumps({"opportunityId": DEAL, "padding": ""})
    return json.dumps({"opportunityId": DEAL, "padding": "x" * (size - len(empty))}).encode()


def chunked(client: FlaskClient, path: str, body: bytes, headers: dict[str, str]) -> int:
    """A body whose length nobody told, as a server hands it over."""
    terminated = {"wsgi.input_terminated": True}
    sent = client.post(path, input_stream=io.BytesIO(body), headers=headers, environ_overrides=terminated)
    return sent.status_code


@pytest.mark.parametrize(("size", "status"), [(1_048_576, 200), (1_048_577, 413), (1_153_434, 413), (5_000_000, 413)])
def test_D7__a_chunked_body_beyond_the_limit_is_refused_never_cut(
    services: Services, client: FlaskClient, size: int, status: int
) -> None:
    body = padded(size)
    payment = PAYMENT + b" " * (size - len(PAYMENT))

    assert chunked(client, DOOR, body, signed(body)) == status
    assert chunked(client, ZOHO_DOOR, payment, {"X-Zoho-Webhook-Signature": hex_of(payment),
                                                "Content-Type": "application/json"}) == status  # fmt: skip
    assert client.post(DOOR, data=body, headers=signed(body)).status_code == status, "and with its length told"


def test_D7__a_chunked_message_beyond_the_limit_is_refused(services: Services, client: FlaskClient) -> None:
    message = envelope(notification(1)) + b" " * 1_100_000

    assert chunked(client, f"{DOOR}?{urlencode({'token': SECRET})}", message, {"Content-Type": "text/xml"}) == 413


# -- D8: bodies as senders write them

INNER = PAYMENT.decode()

READ = {
    "a byte order mark": (b"\xef\xbb\xbf" + PAYMENT, "application/json"),
    "a mark and the charset": (b"\xef\xbb\xbf" + PAYMENT, "application/json; charset=utf-8"),
    "UTF-16 with its mark": (INNER.encode("utf-16"), "application/json"),
    "UTF-16, named": (INNER.encode("utf-16-le"), "application/json; charset=UTF-16LE"),
    "Latin-1, named": (
        INNER.replace('"amount"', '"who": "Müller", "amount"').encode("latin-1"),
        'application/json; charset="ISO-8859-1"',
    ),
    "Windows-1252, named": (
        INNER.replace('"amount"', '"€"').encode("cp1252"),
        "text/json; charset=windows-1252",
    ),
    "JSON text inside JSON": (json.dumps(INNER).encode(), "application/json"),
    "JSON text under its key": (
        json.dumps({"payment": json.dumps(json.loads(PAYMENT)["payment"])}).encode(),
        "application/json",
    ),
    "JSONString in JSON": (json.dumps({"JSONString": INNER}).encode(), "application/json"),
    "a form field payment": (urlencode({"payment": json.dumps(json.loads(PAYMENT)["payment"])}).encode(), FORM),
    "a form field payment, wrapped twice": (urlencode({"JSONString": json.dumps(INNER)}).encode(), FORM),
    "no encoding, by name": (PAYMENT, "application/json"),
}


@pytest.mark.parametrize(("body", "content_type"), READ.values(), ids=READ.keys())
def test_D8__a_payment_is_read_however_it_is_written(
    services: Services, client: FlaskClient, body: bytes, content_type: str
) -> None:
    answer = send_payment(client, body, content_type, **{"Content-Encoding": "identity"})

    assert answer.status_code == 200, answer.get_json()
    assert subjects(services) == {"460000000042059"}


@pytest.mark.parametrize("path", [DOOR, ZOHO_DOOR])
@pytest.mark.parametrize("method", ["GET", "PATCH", "HEAD"])
@pytest.mark.parametrize("apart", ["", "9999"])
def test_D8__a_method_that_is_not_taken_is_refused_with_the_one_to_set(
    services: Services, path: str, method: str, apart: str
) -> None:
    client = client_with(services, CRMSYNC_ADMIN_PORT=apart)

    answer = client.open(path, method=method, data=BODY, headers=signed(BODY))

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert method == "HEAD" or "Set the webhook to POST" in answer.get_json()["message"]
    assert subjects(services) == set()
    assert client.put(DOOR, data=BODY, headers=signed(BODY)).status_code == 405
    assert client.options(path).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_D8__the_method_is_a_choice_of_the_sender(services: Services, client: FlaskClient, method: str) -> None:
    assert send_payment(client, PAYMENT, "application/json", method=method).status_code == 200
    assert send_payment(client, PAYMENT, "application/json", method=method, signs=b"x").status_code == 401
    assert subjects(services) == {"460000000042059"}


def test_D8__a_call_without_a_body_names_its_payment_in_the_address(services: Services, client: FlaskClient) -> None:
    query = "?payment_id=46&event=deleted"

    answer = send_payment(client, b"", "", method="DELETE", query=query, signs=b"eventdeletedpayment_id46")

    assert answer.status_code == 200
    assert subjects(services) == {"46"}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd"])
def test_D8__a_packed_body_is_refused_with_the_encoding_named(
    services: Services, client: FlaskClient, encoding: str
) -> None:
    packed = gzip.compress(PAYMENT)
    deal, message = gzip.compress(BODY), gzip.compress(envelope(notification(1)))
    header = {"Content-Encoding": encoding}

    answers = [
        send_payment(client, packed, "application/json", **header),
        client.post(DOOR, data=deal, headers={**signed(deal), **header}),
        client.post(f"{DOOR}?{urlencode({'token': SECRET})}", data=message, content_type="text/xml", headers=header),
    ]

    assert [answer.status_code for answer in answers] == [415] * 3
    assert all(encoding.lower() in answer.get_json()["message"] for answer in answers)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "told"),
    [
        pytest.param("Müller".encode("latin-1"), "application/json", 400, "send UTF-8", id="Latin-1, not named"),
        pytest.param(PAYMENT, "application/json; charset=utf-7", 400, "send UTF-8", id="a charset of nobody"),
        pytest.param(PAYMENT, "application/json; charset=zip", 400, "send UTF-8", id="a charset that is none"),
        pytest.param(PAYMENT, "multipart/form-data; boundary=x", 415, "application/json", id="another form"),
        pytest.param(b"payment=%FF", FORM, 400, "UTF-8", id="a form in another charset"),
        pytest.param(b"payment=no+JSON", FORM, 400, "payment", id="a field that is not valid JSON"),
        pytest.param(b"[" * 100_000, "application/json", 400, "is not valid JSON", id="nested beyond all bounds"),
        pytest.param(json.dumps("[" * 100_000).encode(), "application/json", 400, "payment_id", id="nested in text"),
    ],
)
def test_D8__what_can_not_be_read_is_refused_with_the_cure(
    services: Services, client: FlaskClient, body: bytes, content_type: str, status: int, told: str
) -> None:
    answer = send_payment(client, body, content_type)

    assert answer.status_code == status
    assert told in json.dumps(answer.get_json())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"\xef\xbb\xbf" + BODY, "application/json", id="a byte order mark"),
        pytest.param(BODY.decode().encode("utf-16"), "application/json", id="UTF-16 with its mark"),
        pytest.param(BODY.decode().encode("utf-16-be"), "application/json; charset=utf-16be", id="UTF-16, named"),
        pytest.param(json.dumps(BODY.decode()).encode(), "application/json", id="JSON text inside JSON"),
        pytest.param(
            json.dumps({"opportunityId": DEAL, "who": "Müller"}, ensure_ascii=False).encode("latin-1"),
            "application/json;charset=iso-8859-1",
            id="Latin-1, named",
        ),
    ],
)
def test_D8__a_deal_is_read_however_it_is_written(
    services: Services, client: FlaskClient, body: bytes, content_type: str
) -> None:
    assert client.post(DOOR, data=body, headers={**signed(body), "Content-Type": content_type}).status_code == 200
    assert subjects(services) == {DEAL}


# -- what nobody foresaw


@pytest.mark.parametrize("error", [RuntimeError("a customer's data"), ValueError(), KeyError("x")])
def test_D8__an_unforeseen_error_asks_for_the_call_again_and_is_logged_without_its_text(
    services: Services,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("crmsync.worker.flow.Flow.open_runs", fails)

    answers = [post_json(client), post_soap(client, envelope(notification(1))), post_payment(client, PAYMENT)]

    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert "a customer's data" not in caplog.text
    assert type(error).__name__ in caplog.text
    assert count(services, tables.deliveries) == 0


# -- D4: how often a subject is looked at


class Books:
    """The books, which count how often a payment is read. *when_read* happens while the answer is on its way."""

    def __init__(self, clock: FakeClock) -> None:
        self.looks: list[datetime] = []
        self.when_read: Callable[[], None] = lambda: None
        self._clock = clock

    def read_payment(self, key: str) -> Any:
        self.looks.append(self._clock.now)
        self.when_read()
        raise RecordNotFoundError


@pytest.fixture
def books(services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Books:
    made = Books(clock)
    fill_everywhere(monkeypatch, payments=made)
    return made


def sweep(services: Services) -> None:
    """What the sweeper brings back is worked on at once."""
    with services.store.begin() as uow:
        due = uow.due.claim(limit=10, queued_until=uow.now + timedelta(seconds=30))
    for run in due:
        with suppress(Ignore):
            payment_to_invoices.find_invoices.execute(run.id)


def test_D4__a_payment_that_is_announced_again_and_again_is_looked_at_once_in_some_seconds(
    services: Services, client: FlaskClient, clock: FakeClock, enqueuer: Bell, books: Books
) -> None:
    pause = services.settings.behaviour.look_again_seconds

    for number in range(150):
        assert post_payment(client, PAYMENT).status_code == 200
        while enqueuer.enqueued:
            with suppress(Ignore):
                payment_to_invoices.find_invoices.execute(enqueuer.enqueued.pop())
        if number % 3 == 0:
            sweep(services)
        clock.advance(1 / 3)
    announced_at = clock.now
    clock.advance(pause)
    sweep(services)

    gaps = [(after - before).total_seconds() for before, after in pairwise(books.looks)]
    assert min(gaps) >= pause
    assert len(books.looks) <= 50 / pause + 2
    assert books.looks[-1] >= announced_at, "the last announcement is followed by a look"
    clock.advance(3600)
    sweep(services)
    assert books.looks[-1] < clock.now - timedelta(seconds=3000), "and then it is quiet"


def test_D4__what_is_announced_while_a_look_is_under_way_is_followed_by_another(
    services: Services, client: FlaskClient, clock: FakeClock, enqueuer: Bell, books: Books
) -> None:
    books.when_read = lambda: post_payment(client, PAYMENT) and None
    post_payment(client, PAYMENT)
    with suppress(Ignore):
        payment_to_invoices.find_invoices.execute(enqueuer.enqueued.pop())

    books.when_read = lambda: None
    sweep(services)
    assert len(books.looks) == 1, "not at once"
    clock.advance(services.settings.behaviour.look_again_seconds)
    sweep(services)
    clock.advance(3600)
    sweep(services)
    assert len(books.looks) == 2, "once"


def test_D4__a_payment_that_waits_for_a_person_is_not_revived_at_every_announcement(
    services: Services, client: FlaskClient, clock: FakeClock, enqueuer: Bell, books: Books
) -> None:
    def refuses() -> None:
        raise RejectedError

    books.when_read = refuses
    for _ in range(50):
        post_payment(client, PAYMENT)
        while enqueuer.enqueued:
            with suppress(Ignore, RejectedError):
                payment_to_invoices.find_invoices.execute(enqueuer.enqueued.pop())
        sweep_quietly(services)
        clock.advance(0.2)

    assert 2 <= len(books.looks) <= 10 / services.settings.behaviour.look_again_seconds + 2


def sweep_quietly(services: Services) -> None:
    with suppress(RejectedError):
        sweep(services)


def test_D4__a_deal_that_can_not_be_synced_is_not_revived_at_every_announcement(
    services: Services, client: FlaskClient, clock: FakeClock, enqueuer: Bell
) -> None:
    """At once when it is announced for the first time after it failed: somebody has corrected it."""
    dies_of(services, InvalidDealError())
    revived = []
    for _ in range(50):
        post_json(client)
        with services.store.begin() as uow:
            run = run_of_subject(uow, "order_to_invoice", DEAL)
            assert run is not None
            claimed = uow.runs.claim(run.id, "fetch_deal", lease_seconds=60)
            if claimed is not None:
                revived.append(uow.now)
                uow.runs.stop(claimed, title="Acme", amount=None, currency=None)
                uow.dead_letters.add(claimed, InvalidDealError())
        clock.advance(0.2)

    assert revived[0] == NOW
    assert len(revived) <= 10 / services.settings.behaviour.look_again_seconds + 2
    assert set(enqueuer.enqueued) == {run.id}
    assert len(enqueuer.enqueued) == 1


# -- P6: what is refused is counted, logged, alerted and answered


@pytest.fixture
def refusals(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Refusals:
    """The receiver's own, written down when the test says so."""
    monkeypatch.setattr(Refusals, "_start", lambda self: None)
    return cast(Refusals, client.application.extensions["crmsync_refusals"])


def refuse_twelve(client: FlaskClient, clock: FakeClock) -> list[TestResponse]:
    stale = standard(BODY, clock.now.timestamp() - 900)
    elsewhere = envelope(notification(1), organization="00D000000000002")
    json_type = {"Content-Type": "application/json"}
    return [
        post_json(client, BODY, json_type),
        post_json(client, BODY, signed(BODY, "another secret")),
        post_json(client, BODY, signed(BODY, "a third secret")),
        post_json(client, BODY, {**json_type, "X-Crmsync-Signature": "sha256=short"}),
        post_json(client, BODY, {**json_type, "Authorization": "Basic eDp5"}),
        post_json(client, BODY, stale),
        post_json(client, b"{}"),
        post_soap(client, envelope(notification(1)), token=""),
        post_soap(client, envelope(notification(1)), token="a guess"),
        post_soap(client, elsewhere),
        post_payment(client, PAYMENT, secret="another secret"),
        post_payment(client, b"<payment/>", content_type="text/xml"),
    ]


TWELVE = {
    ("salesforce_json", "missing"): 1,
    ("salesforce_json", "mismatch"): 2,
    ("salesforce_json", "format"): 2,
    ("salesforce_json", "stale"): 1,
    ("salesforce_json", "malformed"): 1,
    ("salesforce_outbound", "missing"): 1,
    ("salesforce_outbound", "mismatch"): 1,
    ("salesforce_outbound", "organization"): 1,
    ("zoho_payment", "mismatch"): 1,
    ("zoho_payment", "type"): 1,
}


def figures_of(client: FlaskClient) -> dict[tuple[str, str], float]:
    answer = client.get("/metrics", headers=OPERATOR)
    assert answer.status_code == 200
    return {
        (sample.labels["door"], sample.labels["reason"]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "crmsync_webhooks_refused_total"
    }


def test_P6__twelve_refused_webhooks_are_counted_logged_shown_and_alerted_once(
    services: Services, client: FlaskClient, clock: FakeClock, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answers = refuse_twelve(client, clock)
    assert figures_of(client) == TWELVE, "before it is written down"

    page = client.get("/", headers=OPERATOR).text
    refuse_twelve(client, clock)
    refusals.flush()

    assert figures_of(client) == {labels: 2 * number for labels, number in TWELVE.items()}
    assert "Refused webhooks" in page
    assert "another organisation" in page
    assert len([record for record in caplog.records if getattr(record, "action", "") == "refused"]) == 24
    with services.store.read() as uow:
        (alert,) = uow.alerts.newest(None, limit=10)
    assert alert.content["headline"] == "Webhooks are refused"
    assert headline(alert.content, occurrences=3) == "Webhooks are refused", "its facts have the number"
    assert all(answer.get_json()["reason"] for answer in answers)


def test_P6__the_answer_says_what_was_wrong_and_nothing_of_a_secret(
    client: FlaskClient, clock: FakeClock, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    told = {(answer.get_json()["reason"], answer.get_json()["message"]) for answer in refuse_twelve(client, clock)}

    assert len({message for _, message in told}) == len(told) >= 9, "each is told what it can mend"
    near = post_json(client, BODY, signed(BODY, SECRET[:-1])).get_json()
    far = post_json(client, BODY, signed(BODY, "x")).get_json()
    assert near == far, "no guess is nearer than another"
    for secret in (SECRET, ZOHO_SECRET):
        assert secret not in caplog.text + json.dumps(sorted(told))


def test_P6__what_the_log_says_of_a_refusal_can_be_read(
    client: FlaskClient, clock: FakeClock, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    """The masking of secrets must not take words out of our own sentences."""
    with caplog.at_level(logging.WARNING):
        refuse_twelve(client, clock)
        post_json(client, BODY, {"Content-Type": "application/json", "Authorization": "Bearer another secret"})

    lines = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "refused"]
    assert len(lines) == 13
    assert [redact(line) for line in lines] == lines


def test_P6__a_flood_writes_a_bounded_number_of_lines_and_rows(
    services: Services, client: FlaskClient, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    statements: list[str] = []
    event.listen(services.store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    with caplog.at_level(logging.WARNING):
        for _ in range(200):
            post_json(client, BODY, signed(BODY, "another secret"))
        assert statements == [], "nothing is written for a call that proves nothing"
        refusals.flush()

    assert len(statements) < 12
    assert figures_of(client) == {("salesforce_json", "mismatch"): 200}
    assert 20 <= len(caplog.records) <= 25
    assert "200 webhooks refused" in caplog.text


def test_P6__what_several_processes_refuse_adds_up_and_survives_them(
    services: Services, client: FlaskClient, refusals: Refusals
) -> None:
    other = client_of(services, Bell())
    for receiver in (client, other):
        post_json(receiver, BODY, signed(BODY, "another secret"))
        cast(Refusals, receiver.application.extensions["crmsync_refusals"]).flush()

    assert figures_of(client_of(services, Bell())) == {("salesforce_json", "mismatch"): 2}
    with services.store.read() as uow:
        assert len(uow.alerts.newest(None, limit=10)) == 1


def test_P6__what_can_not_be_written_down_now_is_written_later(
    services: Services, client: FlaskClient, refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_store(**_: Any) -> None:
        raise StoreUnavailableError

    post_json(client, BODY, signed(BODY, "another secret"))
    with monkeypatch.context() as broken:
        broken.setattr(services.store, "begin", no_store)
        refusals.flush()
    refusals.flush()

    assert refusals.pending() == {}
    assert figures_of(client) == {("salesforce_json", "mismatch"): 1}


def test_P6__a_receiver_writes_down_by_itself(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crmsync.web.refusals.FLUSH_SECONDS", 0.05)
    post_json(client, BODY, signed(BODY, "another secret"))

    def written() -> bool:
        with services.store.read() as uow:
            return bool(uow.refusals.totals())

    until(written, what="the refusal is in the store")


@pytest.mark.parametrize("address", ["/webhook/zoho/payments", "/webhook/zoho/payment/", "/webhook/", "/webhook"])
def test_P6__a_misspelt_address_is_counted_and_answered_like_a_wrong_secret(
    client: FlaskClient, refusals: Refusals, address: str
) -> None:
    answer = client.post(address, data=PAYMENT, headers={"Content-Type": "application/json"})

    assert answer.status_code == 404
    assert ZOHO_DOOR in answer.get_json()["message"]
    assert figures_of(client) == {("unknown", "address"): 1}
    assert "no door: an unknown address below /webhook" in client.get("/", headers=OPERATOR).text


def test_P6__a_member_left_out_is_counted_and_alerts_nobody(
    services: Services, client: FlaskClient, refusals: Refusals
) -> None:
    post_soap(client, envelope(notification(1), NIL))
    refusals.flush()

    assert figures_of(client) == {("salesforce_outbound", "left_out"): 1}
    with services.store.read() as uow:
        assert list(uow.alerts.newest(None, limit=10)) == []


# -- D2: who asks does not choose what it costs


def test_D2__figures_are_counted_once_in_some_seconds_however_often_they_are_asked_for(
    services: Services, client: FlaskClient, clock: FakeClock
) -> None:
    on_runs: list[str] = []
    event.listen(
        services.store.engine,
        "before_cursor_execute",
        lambda *args: on_runs.append(args[2]) if "FROM runs" in args[2] else None,
    )

    def scrape() -> int:
        before = len(on_runs)
        assert client.get("/metrics", headers=OPERATOR).status_code == 200
        return len(on_runs) - before

    cost = scrape()
    assert cost > 0
    assert [scrape() for _ in range(20)] == [0] * 20
    clock.advance(10)
    assert scrape() == cost


def test_D2__readiness_asks_for_the_longest_waiting_run_and_never_goes_through_all(
    services: Services, client: FlaskClient, clock: FakeClock
) -> None:
    for number in (1, 2):
        body = json.dumps({"opportunityId": deal_id(number)}).encode()
        assert client.post(DOOR, data=body, headers=signed(body)).status_code == 200
        clock.advance(30)
    asked: list[str] = []
    event.listen(services.store.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))

    assert client.get("/readyz").get_json()["checks"]["store"]["oldest_due_seconds"] == 60
    assert any("FROM runs" in each and "LIMIT" in each for each in asked)
    assert not [each for each in asked if "FROM runs" in each and "GROUP BY" in each]


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_D2__a_database_that_hangs_holds_one_of_those_who_ask(
    services: Services, client: FlaskClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client.get(path, headers=OPERATOR)
    clock.advance(60)
    hangs, is_asked = threading.Event(), threading.Event()
    read = services.store.read
    here = threading.current_thread()

    def slow(*args: Any) -> Any:
        if threading.current_thread() is not here:
            is_asked.set()
            hangs.wait(20)
        return read(*args)

    monkeypatch.setattr(services.store, "read", slow)
    asks = threading.Thread(target=lambda: client.application.test_client().get(path, headers=OPERATOR))
    asks.start()
    assert is_asked.wait(20)

    begun = time.monotonic()
    assert client.get(path, headers=OPERATOR).status_code == 200
    assert time.monotonic() - begun < 10
    hangs.set()
    asks.join()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param("", 401, id="a stranger"),
        pytest.param("Basic " + b64encode(b"crmsync:a guess").decode(), 401, id="a wrong password"),
        pytest.param("Bearer a guess", 401, id="a wrong token"),
        pytest.param("Bearer ", 401, id="no token"),
        pytest.param("Bearer the-scraper's-token", 200, id="the token"),
        pytest.param(OPERATOR_BASIC, 200, id="the operator"),
    ],
)
def test_D2__figures_are_not_for_everybody(services: Services, header: str, status: int) -> None:
    client = client_with(services, CRMSYNC_METRICS_TOKEN="the-scraper's-token")

    assert client.get("/metrics", headers={"Authorization": header} if header else {}).status_code == status


def test_D2__without_a_token_no_bearer_opens_the_figures(client: FlaskClient) -> None:
    for header in ("Bearer ", "Bearer None", f"Bearer {TOWER_PASSWORD}"):
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 401
