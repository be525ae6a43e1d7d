"""`crmsync doctor` finds what is wrong and says what to do; it never fails itself."""

from __future__ import annotations

import json

import pytest

from crmsync import broker
from crmsync.alerts.messenger import LogMessenger
from crmsync.cli import checks
from crmsync.connectors.base import Check
from crmsync.connectors.kit.doctor import noted
from crmsync.errors import VendorUnavailableError
from crmsync.services import Services


@pytest.fixture(autouse=True)
def _broker(monkeypatch):
    """A broker that takes messages."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(broker, "problem", lambda settings: None)
    monkeypatch.setattr(broker, "about", lambda settings: {"redis_version": "7.4.0"})


@pytest.fixture
def systems(monkeypatch):
    """Every system answers with these checks."""

    def use(*found):
        monkeypatch.setattr(Services, "examine", lambda *_: iter(found))

    use(Check("sign-in", True))
    return use


def findings(result):
    return {(found["area"], found["name"]): found for found in json.loads(result.output)["checks"]}


def test_all_is_well(run_cli, systems):
    result = run_cli("doctor")

    assert result.exit_code == 0
    assert "✓ SAP S/4HANA: sign-in" in result.output
    assert "What was checked is as it should be. Not checked, each with its reason (•): 1." in result.output


def test_a_wrong_environment_is_all_that_can_be_told(run_cli, monkeypatch):
    monkeypatch.setenv("PORT", "eighty")

    result = run_cli("doctor")

    assert result.exit_code == 1
    assert "✗ Configuration: PORT" in result.output


def test_a_missing_permission_is_told_as_the_connector_says_it(run_cli, systems):
    systems(Check("sign-in", True), Check("write orders", False, "the user lacks SAP_COM_0109"))

    result = run_cli("doctor", "--json")

    assert result.exit_code == 1
    assert not json.loads(result.output)["ok"]
    assert findings(result)["SAP S/4HANA", "write orders"]["detail"] == "the user lacks SAP_COM_0109"


def test_a_note_is_no_failure_and_is_said(run_cli, systems):
    systems(Check("sign-in", True), noted("version", "it ends in summer"))

    result = run_cli("doctor")
    found = findings(run_cli("doctor", "--json"))["SAP S/4HANA", "version"]

    assert result.exit_code == 0
    assert "• SAP S/4HANA: version – it ends in summer" in result.output
    assert (found["state"], found["is_ok"]) == ("note", True)


def test_a_system_that_is_not_configured_fails(run_cli):
    result = run_cli("doctor", "--json")

    assert result.exit_code == 1
    assert "SAP_BASE_URL" in findings(result)["SAP S/4HANA", "configuration"]["detail"]


def test_a_broker_that_does_not_answer_fails(run_cli, systems, monkeypatch):
    monkeypatch.setattr(broker, "problem", lambda settings: "nothing listens at its address")

    found = findings(run_cli("doctor", "--json"))["Broker", "Redis at redis://127.0.0.1:1/0"]

    assert (found["is_ok"], found["detail"]) == (False, "nothing listens at its address")


def test_a_store_that_does_not_answer_fails_and_the_rest_is_checked(run_cli, systems, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}")

    found = findings(run_cli("doctor", "--json"))

    assert not found["Store", "database"]["is_ok"]
    assert ("Slack", "not configured") in found


@pytest.mark.parametrize(
    ("info", "failed"),
    [
        ({"redis_version": "7.4.0", "maxmemory_policy": "noeviction"}, 0),
        ({"redis_version": "6.0.16", "maxmemory_policy": "noeviction"}, 1),
        ({"redis_version": "7.4.0", "maxmemory_policy": "allkeys-lru"}, 1),
    ],
    ids=["a good one", "too old", "it may drop messages"],
)
def test_what_a_redis_says_of_itself_is_judged(info, failed):
    found = [checks.version_of(info), checks.eviction_of(info)]

    assert sum(not finding.is_ok for finding in found) == failed


class Deaf(LogMessenger):
    def tell(self, content, *, occurrences, message_id):
        raise VendorUnavailableError("Slack answered 403.", system="Slack")


def test_no_message_is_sent_to_slack_unasked(run_cli, systems, monkeypatch):
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.example/1")
    monkeypatch.setattr("crmsync.alerts.messenger.messenger_of", lambda _: Deaf())

    assert run_cli("doctor").exit_code == 0
    result = run_cli("doctor", "--send-test-alert")
    assert result.exit_code == 1
    assert "Slack answered 403." in result.output


def test_a_test_alert_without_slack_is_a_failure(run_cli, systems):
    assert run_cli("doctor", "--send-test-alert").exit_code == 1
