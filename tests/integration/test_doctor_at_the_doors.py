"""`crmsync doctor` knocks at the doors of stored connections, each with its own secrets, and nothing begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from crmsync import bindings, connections, subscriptions
from crmsync.cli import check_doors
from crmsync.cli.check_doors import At, Reply
from crmsync.cli.check_systems import called, stored
from crmsync.cli.finding import Finding
from crmsync.domain.connections import Connection, Wanted
from crmsync.environment import Secret
from crmsync.services import Services
from tests.builders import private_pem
from tests.integration.test_doors_of_connections import ADA, OWN_SECRET, books, change, client_of, crm, kept
from tests.integration.test_webhooks import ENVIRONMENT, Bell

KNOCKS = ("bearer", "signature", "Standard Webhooks", "Outbound Message")


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture(autouse=True)
def asked(environment: None, services: Services, bell: Bell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked of the receiver, which is another process with its own memory."""
    receiver = Services(services.settings, services.store)
    client, paths = client_of(receiver, bell), list[str]()

    def ask(url: str, at: At, *, is_here: bool) -> Reply:
        paths.append(at.path)
        return _answered(client, at)

    monkeypatch.setattr(check_doors, "_ask", ask)
    return paths


def _answered(client: FlaskClient, at: At) -> Reply:
    answer = client.post(at.address, data=at.knock.body, headers=dict(at.knock.headers))
    return Reply(answer.status_code, answer.get_json(silent=True))


def found(services: Services, tenant: str | None = None, connection: str = "") -> list[Finding]:
    return list(check_doors.of_connections(services, stored(services, tenant, connection)))


def test_each_connection_is_tried_at_its_own_doors_with_its_own_secrets(
    services: Services, asked: list[str], bell: Bell
) -> None:
    ours, theirs, payments = crm(services), crm(services, "quite another secret", "other"), books(services)

    findings = found(services)

    assert [each for each in findings if not each.is_ok or each.is_note] == []
    of_ours = [each.name for each in findings if each.area == called(ours)]
    assert len(of_ours) == 4
    assert all(any(words in name for name in of_ours) for words in KNOCKS)
    assert set(asked) == {
        f"/hooks/{ours.id}/deal-closed",
        f"/hooks/{theirs.id}/deal-closed",
        f"/hooks/{payments.id}/payment",
    }
    assert (kept(services), bell.enqueued) == ([], [])


def test_only_those_that_are_meant_are_tried(services: Services, asked: list[str]) -> None:
    ours, theirs = crm(services), crm(services, "quite another secret", "other")

    assert {each.area for each in found(services, "other")} == {called(theirs)}
    assert set(asked) == {f"/hooks/{theirs.id}/deal-closed"}
    assert {each.area for each in found(services, connection=ours.id)} == {called(ours)}


def test_a_receiver_with_another_secret_is_named_by_the_setting(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = crm(services)
    known = services.book.get(ours.id)
    other = replace(known, settings=replace(known.settings, webhook_secret=Secret("a secret nobody else has")))
    monkeypatch.setattr(services.book, "get", lambda _: other)

    findings = found(services)

    refused = [each for each in findings if not each.is_ok]
    assert {each.area for each in refused} == {called(ours)}
    assert all("made with webhook_secret as it is set here" in each.detail for each in refused)
    assert all("another database" in each.detail for each in refused)
    assert "SF_" not in str(findings)
    assert "a secret nobody else has" not in str(findings)


def without_secret(services: Services) -> Connection:
    wanted = Wanted(name="Mute", settings={"client_id": "x", "username": "u", "private_key": private_pem()})
    made: Connection = change(connections.create, services, ADA, "acme", "salesforce", wanted)
    return made


def test_a_door_without_a_secret_is_a_fault_where_a_company_waits_for_it(services: Services) -> None:
    mute = without_secret(services)
    (before,) = found(services, connection=mute.id)
    assert before.is_unseen
    assert "webhook_secret is not set" in before.detail

    erp = change(connections.create, services, ADA, "acme", "s4hana", Wanted(name="ERP", settings=_sap()))
    roles = {"deals": mute.id, "orders": erp.id, "invoices": books(services).id}
    change(bindings.put, services, ADA, "acme", "order_to_invoice", roles)

    (after,) = found(services, connection=mute.id)
    assert (after.is_ok, after.area) == (False, called(mute))


def _sap() -> dict[str, Any]:
    return {
        "base_url": "https://sap.acme.example",
        "auth": "basic",
        "user": "CRMSYNC",
        "password": "pass-word",
        "sales_organization": "1010",
    }


def test_a_webhook_with_an_address_of_its_own_is_tried_there(services: Services, asked: list[str]) -> None:
    mute = without_secret(services)
    webhook, _ = change(subscriptions.create, services, ADA, "acme", mute.id)

    findings = found(services, connection=mute.id)

    assert all(each.is_ok and webhook.id in each.name for each in findings)
    assert set(asked) == {f"/api/erp/webhooks/{webhook.id}/receive"}


def test_a_connection_that_is_paused_is_left_alone(services: Services, asked: list[str]) -> None:
    ours = crm(services)
    change(connections.pause, services, ADA, None, ours.id)

    assert (found(services), asked) == ([], [])


def test_of_those_of_the_environment_and_of_people_one_receiver_is_asked(services: Services, asked: list[str]) -> None:
    ours = crm(services)

    findings = list(check_doors.all_of(services.settings, services))

    assert {each.area for each in findings} == {check_doors.AREA, called(ours)}
    assert {"/webhook/salesforce/deal-closed", f"/hooks/{ours.id}/deal-closed"} <= set(asked)
    assert OWN_SECRET not in str(findings)


def test_nothing_answers(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    crm(services)
    monkeypatch.setattr(check_doors, "_ask", lambda *_, **__: Reply(0))

    (only,) = found(services)

    assert (only.is_unseen, only.area) == (True, check_doors.AREA)
