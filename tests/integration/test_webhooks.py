"""The doors of the receiver: what they let in, what is stored before the answer, and what is refused and how."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import pytest
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import CrmsyncError, InvalidDealError, StoreUnavailableError, VendorUnavailableError
from crmsync.flows import order_to_invoice
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.store.tables import deliveries, runs
from crmsync.web.app import create_app
from crmsync.web.inbox import Arrived, Inbox
from crmsync.worker import shares
from crmsync.worker.flow import Flow, Message
from tests.builders import private_pem
from tests.fakes import DEFAULT, FakeClock, run_of_subject
from tests.system import until

SECRET = "a secret of the Salesforce door"
ZOHO_SECRET = "a secret of the Zoho door"
ORGANIZATION = "00D000000000001EAA"
DEAL = "0060000000000ABAAY"
DOOR = "/webhook/salesforce/deal-closed"
ZOHO_DOOR = "/webhook/zoho/payment"
ENVIRONMENT = {
    "SF_CLIENT_ID": "client",
    "SF_USERNAME": "user",
    "SF_PRIVATE_KEY": private_pem(),
    "SF_WEBHOOK_SECRET": SECRET,
    "SF_ORGANIZATION_ID": ORGANIZATION,
    "ZOHO_CLIENT_ID": "client",
    "ZOHO_CLIENT_SECRET": "secret",
    "ZOHO_REFRESH_TOKEN": "token",
    "ZOHO_ORGANIZATION_ID": "1",
    "ZOHO_WEBHOOK_SECRET": ZOHO_SECRET,
    "REDIS_URL": "redis://127.0.0.1:1/0",  # nobody listens there
}


class Bell:
    """Stands in for the enqueuer: which runs were enqueued."""

    def __init__(self) -> None:
        self.enqueued: list[str] = []

    def enqueue(self, flow: Flow, run_id: str, results: Mapping[str, Any]) -> None:
        self.enqueued.append(run_id)


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def enqueuer() -> Bell:
    return Bell()


@pytest.fixture
def client(services: Services, enqueuer: Bell) -> FlaskClient:
    return client_of(services, enqueuer)


def client_of(services: Services, enqueuer: Bell | None = None) -> FlaskClient:
    app = create_app(services)
    if enqueuer is not None:
        app.extensions["crmsync_enqueuer"] = enqueuer
    return app.test_client()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Crmsync-Signature": f"sha256={signature}"}


def post_json(client: FlaskClient, body: Any = None, headers: dict[str, str] | None = None) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body or {"opportunityId": DEAL}).encode()
    return client.post(DOOR, data=raw, headers=signed(raw) if headers is None else headers)


def deal_id(number: int) -> str:
    return f"006{number:012d}"  # the form of 15 characters


def notification(number: int, subject: str = "") -> str:
    return (
        f"<Notification><Id>04l{number:012d}</Id>"
        '<sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>{escape(subject) or deal_id(number)}</sf:Id></sObject></Notification>"
    )


def envelope(*notifications: str, organization: str = ORGANIZATION, prologue: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prologue}'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f'<OrganizationId>{organization}</OrganizationId><SessionId xsi:nil="true"/>{"".join(notifications)}'
        "</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()


def post_soap(client: FlaskClient, body: bytes, *, token: str = SECRET, content_type: str = "text/xml") -> TestResponse:
    return client.post(f"{DOOR}?{urlencode({'token': token})}", data=body, content_type=content_type)


def is_ack(response: TestResponse) -> bool:
    return b"<Ack>true</Ack>" in response.data


def post_payment(client: FlaskClient, body: bytes, *, content_type: str = "application/json", secret: str = ZOHO_SECRET,
                 text: bytes | None = None) -> TestResponse:  # fmt: skip
    """*text* is what was signed, where that is not the body."""
    signature = hmac.new(secret.encode(), body if text is None else text, hashlib.sha256).hexdigest()
    headers = {"Content-Type": content_type, "X-Zoho-Webhook-Signature": signature}
    return client.post(ZOHO_DOOR, data=body, headers=headers)


def count(services: Services, table: Any) -> int:
    with services.store.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def run_of(services: Services, subject: str = DEAL) -> Run:
    with services.store.read() as uow:
        run = run_of_subject(uow, "order_to_invoice", subject)
    assert run is not None
    return run


def dies_of(services: Services, error: CrmsyncError, subject: str = DEAL) -> str:
    """A run of the deal that waits as a dead letter; its id."""
    with services.store.begin() as uow:
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, subject, correlation_id="c")
        run = uow.runs.claim(run_id, "fetch_deal", lease_seconds=60)
        assert run is not None
        uow.runs.stop(run, title="Acme", amount=None, currency=None)
        uow.dead_letters.add(run, error)
    return run_id


# -- JSON


def test_a_signed_deal_is_durable_before_the_answer(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    response = post_json(client)

    run = run_of(services)
    assert (response.status_code, run.status, run.step) == (200, RunStatus.ACTIVE, "fetch_deal")
    assert enqueuer.enqueued == [run.id]
    assert count(services, deliveries) == 1


def test_a_bearer_secret_is_as_good_as_a_signature(services: Services, client: FlaskClient) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"}

    assert post_json(client, headers=headers).status_code == 200
    assert run_of(services).status is RunStatus.ACTIVE


def test_both_lengths_of_an_id_are_one_deal(services: Services, client: FlaskClient) -> None:
    post_json(client, {"opportunityId": DEAL})
    post_json(client, {"opportunityId": DEAL[:15]})

    assert (count(services, runs), count(services, deliveries)) == (1, 2)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"X-Crmsync-Signature": "sha256=" + "0" * 64}, id="a wrong signature"),
        pytest.param(signed(b"another body"), id="the signature of another body"),
        pytest.param(signed(json.dumps({"opportunityId": DEAL}).encode(), "another secret"), id="another secret"),
        pytest.param({"Authorization": "Bearer another secret"}, id="a wrong bearer"),
        pytest.param({"Authorization": "Bearer "}, id="an empty bearer"),
    ],
)
def test_what_is_not_authentic_is_refused(services: Services, client: FlaskClient, headers: dict[str, str]) -> None:
    response = post_json(client, headers={**headers, "Content-Type": "application/json"})

    assert response.status_code == 401
    assert (count(services, runs), count(services, deliveries)) == (0, 0)
    assert SECRET not in response.text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half a document"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b'{"opportunityId": NaN}', id="NaN"),
        pytest.param(b"[" * 100_000, id="nested beyond all bounds"),
        pytest.param(b"{}", id="without the id"),
        pytest.param(b'{"opportunityId": null}', id="null as id"),
        pytest.param(b'{"opportunityId": 6}', id="a number as id"),
        pytest.param(b'{"opportunityId": ""}', id="an empty id"),
        pytest.param(b'{"opportunityId": "006000000000"}', id="a short id"),
        pytest.param(b'{"opportunityId": "0060000000000ABAAA"}', id="a wrong checksum"),
        pytest.param(b'{"opportunityId": "001000000000001"}', id="an account"),
        pytest.param(b'{"opportunityId": "006\' OR Name != \'"}', id="a piece of SOQL"),
        pytest.param('{"opportunityId": "00600000000000é"}'.encode(), id="a letter that is none of an id"),
        pytest.param(b'{"opportunityId": "006000000000001\\u0000AA"}', id="a null character"),
    ],
)
def test_what_names_no_deal_is_malformed(services: Services, client: FlaskClient, body: bytes) -> None:
    response = post_json(client, body)

    assert response.status_code == 400
    assert response.get_json()["fields"]
    assert count(services, runs) == 0


def test_a_body_too_large_is_refused(services: Services, client: FlaskClient) -> None:
    body = json.dumps({"opportunityId": DEAL, "padding": "x" * 2_000_000}).encode()

    assert post_json(client, body).status_code == 413
    assert post_soap(client, envelope("x" * 2_000_000)).status_code == 413
    assert post_payment(client, body).status_code == 413
    assert count(services, runs) == 0


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_type_is_refused(client: FlaskClient, content_type: str) -> None:
    body = json.dumps({"opportunityId": DEAL}).encode()

    assert client.post(DOOR, data=body, headers={**signed(body), "Content-Type": content_type}).status_code == 415


def test_a_webhook_is_no_page(client: FlaskClient) -> None:
    assert client.get(DOOR).status_code == 405


# -- Outbound Messages


@pytest.mark.parametrize("number", [1, 100])
def test_each_notification_opens_a_run_of_its_own(
    services: Services, client: FlaskClient, enqueuer: Bell, number: int
) -> None:
    response = post_soap(client, envelope(*(notification(each) for each in range(number))))

    assert (response.status_code, is_ack(response)) == (200, True)
    assert response.mimetype == "text/xml"
    assert count(services, runs) == number
    assert len(set(enqueuer.enqueued)) == min(number, shares.share_of(services.settings)), "the others wait for those"


@pytest.mark.parametrize("number", [0, 101])
def test_a_message_of_another_size_is_malformed(services: Services, client: FlaskClient, number: int) -> None:
    response = post_soap(client, envelope(*(notification(each) for each in range(number))))

    assert (response.status_code, is_ack(response)) == (400, False)
    assert count(services, runs) == 0


@pytest.mark.parametrize("token", ["", "another secret", SECRET[:-1]])
def test_a_message_without_the_token_is_refused(services: Services, client: FlaskClient, token: str) -> None:
    response = post_soap(client, envelope(notification(1)), token=token)

    assert (response.status_code, is_ack(response)) == (401, False)
    assert count(services, runs) == 0


def test_a_message_of_another_organization_is_refused(services: Services, client: FlaskClient) -> None:
    response = post_soap(client, envelope(notification(1), organization="00D000000000002"))

    assert (response.status_code, is_ack(response)) == (401, False)
    assert count(services, runs) == 0


def test_a_bearer_secret_does_not_open_the_door_of_messages(client: FlaskClient) -> None:
    headers = {"Content-Type": "text/xml", "Authorization": f"Bearer {SECRET}"}

    assert client.post(DOOR, data=envelope(notification(1)), headers=headers).status_code == 401


BOMB = "".join(f'<!ENTITY a{each} "{f"&a{each - 1};" * 10 if each else "boom"}">' for each in range(10))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<Envelope", id="half a document"),
        pytest.param(b"<a/>", id="another document"),
        pytest.param(envelope(notification(1), prologue="<!DOCTYPE x>"), id="a DTD"),
        pytest.param(
            envelope(notification(1, "&a9;").replace("&amp;", "&"), prologue=f"<!DOCTYPE x [{BOMB}]>"), id="a bomb"
        ),
        pytest.param(
            envelope(
                notification(1, "&x;").replace("&amp;", "&"),
                prologue='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            ),
            id="an external entity",
        ),
        pytest.param(
            envelope(notification(1), prologue='<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'), id="an external DTD"
        ),
        pytest.param(envelope(notification(1, "006' OR '1'='1")), id="a piece of SOQL"),
        pytest.param(envelope(notification(1), organization=""), id="no organization"),
    ],
)
def test_a_message_that_is_none_is_malformed(services: Services, client: FlaskClient, body: bytes) -> None:
    response = post_soap(client, body)

    assert (response.status_code, is_ack(response)) == (400, False)
    assert "root:" not in response.text
    assert count(services, runs) == 0


# -- payments


PAYMENT = json.dumps({"payment": {"payment_id": "460000000042059", "amount": 10}}).encode()


def test_a_payment_opens_its_run_with_the_delivery(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    assert post_payment(client, PAYMENT).status_code == 200

    with services.store.read() as uow:
        assert uow.deliveries.counts(None) == {"zoho_books": 1}
        run = run_of_subject(uow, "payment_to_invoices", "460000000042059")
    assert run is not None
    assert (run.status, run.step, enqueuer.enqueued) == (RunStatus.ACTIVE, "find_invoices", [run.id])


def test_a_payment_that_is_announced_again_looks_again(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    post_payment(client, PAYMENT)
    with services.store.read() as uow:
        first = run_of_subject(uow, "payment_to_invoices", "460000000042059")

    post_payment(client, PAYMENT)

    with services.store.read() as uow:
        again = run_of_subject(uow, "payment_to_invoices", "460000000042059")
    assert first is not None
    assert again is not None
    assert again.id == first.id
    assert again.again, "it is under way, so it goes round once more instead of being enqueued"
    assert enqueuer.enqueued == [first.id]


def test_the_invoices_that_a_payment_names_are_remembered(services: Services, client: FlaskClient) -> None:
    body = json.dumps({"payment": {"payment_id": "46", "invoices": [{"invoice_id": "12"}, {"invoice_id": "no id"}]}})
    assert post_payment(client, body.encode()).status_code == 200

    with services.store.read() as uow:
        assert uow.applications.of_payment("zoho_books", "46") == ["12"]


def test_a_payment_as_a_form_is_kept(services: Services, client: FlaskClient) -> None:
    body = urlencode({"JSONString": PAYMENT.decode()}).encode()
    form = "application/x-www-form-urlencoded"

    response = post_payment(client, body, content_type=form, text=b"JSONString" + PAYMENT)

    assert response.status_code == 200
    assert count(services, deliveries) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 400, id="half a document"),
        pytest.param(b"{}", 400, id="no payment"),
        pytest.param(b'{"payment": {"payment_id": "x"}}', 400, id="an id that is none"),
        pytest.param(b'{"payment": {"payment_id": "1\' OR 1"}}', 400, id="an id with a quote"),
    ],
)
def test_a_payment_without_an_id_is_malformed(
    services: Services, client: FlaskClient, body: bytes, status: int
) -> None:
    assert post_payment(client, body).status_code == status
    assert count(services, deliveries) == 0


def test_a_payment_that_is_not_authentic_is_refused(services: Services, client: FlaskClient) -> None:
    assert post_payment(client, PAYMENT, secret="another secret").status_code == 401
    assert client.post(ZOHO_DOOR, data=PAYMENT, content_type="application/json").status_code == 401
    assert count(services, deliveries) == 0


def test_a_payment_of_another_type_is_refused(client: FlaskClient) -> None:
    assert post_payment(client, b"<payment/>", content_type="text/xml").status_code == 415


# -- a door without a secret


@pytest.mark.parametrize(
    "without",
    [
        pytest.param(("SF_WEBHOOK_SECRET", "ZOHO_WEBHOOK_SECRET"), id="no secret"),
        pytest.param(tuple(ENVIRONMENT), id="no vendor at all"),
    ],
)
def test_a_door_without_a_secret_is_closed(
    services: Services, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    for name in without:
        monkeypatch.delenv(name)
    client = client_of(Services(Settings.from_env(os.environ), services.store), Bell())

    answers = [
        post_json(client, headers={"Content-Type": "application/json", "Authorization": "Bearer "}),
        post_json(client, headers=signed(json.dumps({"opportunityId": DEAL}).encode(), "")),
        post_soap(client, envelope(notification(1)), token=""),
        post_payment(client, PAYMENT, secret=""),
    ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert (count(services, runs), count(services, deliveries)) == (0, 0)


# -- the same event twice, and runs that died


def test_the_same_deal_twice_is_one_run(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    assert [post_json(client).status_code for _ in range(3)] == [200] * 3

    assert count(services, runs) == 1
    assert enqueuer.enqueued == [run_of(services).id]


def test_the_same_message_twice_is_one_run_each(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    body = envelope(notification(1), notification(2), notification(1))

    assert [is_ack(post_soap(client, body)) for _ in range(2)] == [True, True]

    assert count(services, runs) == count(services, deliveries) == len(enqueuer.enqueued) == 2


def test_a_corrected_deal_revives_its_run(services: Services, client: FlaskClient, enqueuer: Bell) -> None:
    run_id = dies_of(services, InvalidDealError(field_errors={"Amount": "is missing"}))

    assert post_json(client).status_code == 200

    with services.store.read() as uow:
        letter = uow.dead_letters.of_run(run_id)
    assert letter is not None
    assert (run_of(services).status, letter.status) == (RunStatus.ACTIVE, LetterStatus.REPLAYING)
    assert enqueuer.enqueued == [run_id]


def test_a_failure_of_a_vendor_is_not_revived_by_a_webhook(
    services: Services, client: FlaskClient, enqueuer: Bell
) -> None:
    dies_of(services, VendorUnavailableError(system="SAP"))

    assert post_json(client).status_code == 200

    assert run_of(services).status is RunStatus.STOPPED
    assert enqueuer.enqueued == []


def test_what_comes_at_the_same_time_is_stored_together_and_each_rings_for_its_own(services: Services) -> None:
    deal, other, twice = WebhookEvent("006A"), WebhookEvent("006B", "wh:1:006B"), WebhookEvent("006C", "wh:2:006C")
    arrived = [
        Arrived("deals", "salesforce", events, name)
        for events, name in (([twice, deal], "first"), ([other, twice], "second"), ([deal], "third"))
    ]

    first, second, third = Inbox(services).store_all(arrived)

    assert [id for id, _ in first] == [run_of(services, "006A").id, run_of(services, "006C").id]
    assert [id for id, _ in second] == [run_of(services, "006B").id]
    assert (third, run_of(services, "006A").again) == ([], True)  # under way since a moment ago
    assert [run_of(services, f"006{each}").correlation_id for each in "ABC"] == ["first", "second", "first"]
    assert (count(services, runs), count(services, deliveries)) == (3, 4)


def test_a_repeated_message_is_no_correction(services: Services, client: FlaskClient) -> None:
    """Salesforce repeats what it believes lost: the deal is as wrong as it was."""
    post_soap(client, envelope(notification(1)))
    subject = f"{deal_id(1)}AAA"
    run = run_of(services, subject)
    with services.store.begin() as uow:
        claimed = uow.runs.claim(run.id, "fetch_deal", lease_seconds=60)
        assert claimed is not None
        uow.runs.stop(claimed, title=None, amount=None, currency=None)
        uow.dead_letters.add(claimed, InvalidDealError())

    post_soap(client, envelope(notification(1)))
    assert run_of(services, subject).status is RunStatus.STOPPED
    post_soap(client, envelope(notification(2, subject)))
    assert run_of(services, subject).status is RunStatus.ACTIVE


# -- what is behind the door fails


@pytest.fixture
def storeless() -> Iterator[FlaskClient]:
    """A receiver whose database does not answer."""
    store = Store("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    yield client_of(Services(Settings.from_env(os.environ), store), Bell())
    store.close()


def test_without_its_store_the_receiver_asks_to_be_called_again(storeless: FlaskClient) -> None:
    answers = [post_json(storeless), post_soap(storeless, envelope(notification(1))), post_payment(storeless, PAYMENT)]

    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert not any(is_ack(answer) for answer in answers)


def test_a_message_is_stored_whole_or_not_at_all(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = order_to_invoice.FLOW.open_runs

    def fails_when_all_is_written(*arguments: Any, **options: Any) -> list[tuple[str, bool]]:
        opened(*arguments, **options)
        raise StoreUnavailableError

    monkeypatch.setattr(order_to_invoice.FLOW, "open_runs", fails_when_all_is_written)

    response = post_soap(client, envelope(*(notification(each) for each in range(5))))

    assert (response.status_code, is_ack(response)) == (503, False)
    assert (count(services, runs), count(services, deliveries)) == (0, 0)


def test_without_its_broker_the_receiver_stores_and_the_sweeper_starts(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_broker(messages: Sequence[Message]) -> None:
        raise OperationalError("nobody listens")

    monkeypatch.setattr("crmsync.web.enqueuer.enqueue_all", no_broker)

    assert post_json(client_of(services)).status_code == 200

    until(lambda: run_of(services).queued_until is None, what="the sweeper may take the run at once")
    with services.store.begin() as uow:
        assert [run.id for run in uow.due.claim(limit=10, queued_until=clock.now)] == [run_of(services).id]
