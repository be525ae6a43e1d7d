"""Each connection has doors of its own: the address says whose secret counts."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from crmsync import connections
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import Binding
from crmsync.domain.connections import Connection, Wanted
from crmsync.services import Services
from crmsync.store.tables import deliveries, runs
from tests.builders import private_pem
from tests.integration.test_webhooks import ENVIRONMENT, SECRET, Bell, client_of, envelope, is_ack, notification, signed

ADA = Act("ada", Origin.API)
OWN_SECRET, OTHER_SECRET = "a secret of its own door", "a secret of another door"
DEAL = json.dumps({"opportunityId": "0060000000000ABAAY"}).encode()
PAYMENT = json.dumps({"payment": {"payment_id": "460000000001", "invoices": [{"invoice_id": "46"}]}}).encode()


def change(verb: Callable[..., Any], using: Services, *args: Any, **options: Any) -> Any:
    """In a transaction of its own."""
    with using.store.begin() as uow:
        return verb(using, uow, *args, **options)


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return client_of(services, Bell())


def crm(services: Services, secret: str = OWN_SECRET, tenant: str = "acme") -> Connection:
    settings = {
        "client_id": "x",
        "username": "u",
        "private_key": private_pem(),
        "webhook_secret": secret,
        "organization_id": "00D000000000002EAA",
    }
    return change(
        connections.create, services, ADA, tenant, "salesforce", Wanted(name=f"CRM of {tenant}", settings=settings)
    )


def books(services: Services) -> Connection:
    settings = {
        "client_id": "x",
        "client_secret": "s",
        "refresh_token": "t",
        "organization_id": "2",
        "webhook_secret": OWN_SECRET,
    }
    return change(connections.create, services, ADA, "acme", "zoho_books", Wanted(name="Books", settings=settings))


def kept(services: Services) -> list[tuple[str, str]]:
    with services.store.read() as uow:
        rows = uow.connection.execute(select(deliveries.c.source, deliveries.c.subject_key).order_by(deliveries.c.id))
        return [(row.source, row.subject_key) for row in rows]


def refused(client: FlaskClient, services: Services) -> set[tuple[str, str]]:
    return set(client.application.extensions["crmsync_refusals"].pending())


def test_what_comes_in_is_kept_as_the_connections_own(services: Services, client: FlaskClient) -> None:
    made = crm(services)

    answer = client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, OWN_SECRET))

    assert (answer.status_code, answer.get_json()) == (200, {"status": "accepted"})
    assert kept(services) == [(made.id, "0060000000000ABAAY")]


def test_what_another_process_has_just_bound_starts_a_run(services: Services, client: FlaskClient) -> None:
    """With no other webhook and no catch-up, a deal that was only kept would wait for ever."""
    made = crm(services)
    services.companies.all("order_to_invoice")
    with services.store.begin() as uow:
        uow.bindings.add(Binding("acme", "order_to_invoice", made.id, {"deals": made.id}))

    client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, OWN_SECRET))

    with services.store.read() as uow:
        started = uow.connection.execute(select(runs.c.tenant, runs.c.source, runs.c.subject_key)).all()
    assert [tuple(run) for run in started] == [("acme", made.id, "0060000000000ABAAY")]


def test_one_of_the_books_as_well(services: Services, client: FlaskClient) -> None:
    made = books(services)
    signature = hmac.new(OWN_SECRET.encode(), PAYMENT, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Zoho-Webhook-Signature": signature}

    assert client.post(f"/hooks/{made.id}/payment", data=PAYMENT, headers=headers).status_code == 200

    assert kept(services) == [(made.id, "460000000001")]


def test_an_outbound_message_is_known_by_its_own_token_and_organization(
    services: Services, client: FlaskClient
) -> None:
    made = crm(services)
    address = f"/hooks/{made.id}/deal-closed?token="

    own = envelope(notification(1), organization="00D000000000002EAA")
    assert is_ack(client.post(f"{address}{OWN_SECRET}", data=own, content_type="text/xml"))
    of_the_environment = envelope(notification(2))
    assert client.post(f"{address}{OWN_SECRET}", data=of_the_environment, content_type="text/xml").status_code == 401


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET, ""])
def test_the_secret_of_another_door_opens_none(services: Services, client: FlaskClient, secret: str) -> None:
    made, _ = crm(services), crm(services, OTHER_SECRET, tenant="globex")

    answer = client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, secret))

    assert answer.status_code == 401
    assert refused(client, services) == {("salesforce_json", "mismatch")}
    assert kept(services) == []


def test_its_own_opens_not_the_environments(services: Services, client: FlaskClient) -> None:
    crm(services)
    own = signed(DEAL, OWN_SECRET)

    assert client.post("/webhook/salesforce/deal-closed", data=DEAL, headers=own).status_code == 401


def test_the_environments_connection_has_the_new_address_too(services: Services, client: FlaskClient) -> None:
    answer = client.post("/hooks/salesforce/deal-closed", data=DEAL, headers=signed(DEAL))

    assert answer.status_code == 200
    assert kept(services) == [("salesforce", "0060000000000ABAAY")]
    with services.store.read() as uow:
        assert uow.connection.execute(select(runs.c.subject_key)).scalar() == "0060000000000ABAAY"


@pytest.mark.parametrize(
    "path",
    ["/hooks/con_0123456789abcdef/deal-closed", "/hooks/{id}/payment", "/hooks/{id}", "/hooks/", "/hooks",
     "/hooks/hubspot/deal-closed", "/hooks/{id}/deal-closed/more", "/hooks/s4hana/deal-closed"],
)  # fmt: skip
def test_another_address_is_no_door(services: Services, client: FlaskClient, path: str) -> None:
    made = crm(services)

    answer = client.post(path.format(id=made.id), data=DEAL, headers=signed(DEAL, OWN_SECRET))

    assert answer.status_code == 404
    assert refused(client, services) == {("unknown", "address")}


def test_a_door_without_a_secret_refuses(services: Services, client: FlaskClient) -> None:
    made = crm(services, secret="")

    answer = client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, ""))

    assert (answer.status_code, answer.get_json()["reason"]) == (401, "closed")


def test_what_is_paused_takes_its_webhooks_all_the_same(services: Services, client: FlaskClient) -> None:
    """A sender does not come back because somebody resumes."""
    made = crm(services)
    change(connections.pause, services, ADA, "acme", made.id)

    assert client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, OWN_SECRET)).status_code == 200
    assert kept(services) == [(made.id, "0060000000000ABAAY")]


def test_one_whose_secrets_do_not_open_asks_for_the_call_again(services: Services, client: FlaskClient) -> None:
    made = crm(services)
    with services.store.begin() as uow:
        uow.connection.execute(text("UPDATE connections SET tenant = 'globex'"))

    answer = client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, OWN_SECRET))

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_rotated_secret_and_the_one_before_it_open_the_door_at_once(services: Services, client: FlaskClient) -> None:
    made = crm(services)
    _, shown = change(connections.rotate, services, ADA, "acme", made.id, {}, made=["webhook_secret"])

    for secret in (shown["webhook_secret"], OWN_SECRET):
        answer = client.post(f"/hooks/{made.id}/deal-closed", data=DEAL, headers=signed(DEAL, secret))
        assert answer.status_code == 200
