"""`crmsync` itself: help, version, configuration, runs, errors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from crmsync import __version__
from crmsync.cli.configuration import effective
from crmsync.reading import history as reading_history
from crmsync.settings import Settings
from tests.builders import DEAL_KEY, invoice_read, private_pem
from tests.fakes import start_run


def test_help_names_every_command(run_cli):
    output = run_cli("--help").output

    for name in ("up", "demo", "doctor", "sandbox", "migrate", "links", "runs", "inventory", "catch-up", "config"):
        assert f"\n  {name} " in output


def test_version(run_cli):
    assert __version__ in run_cli("--version").output


def test_help_loads_nothing_heavy():
    code = (
        "import sys, crmsync.cli.main;"
        "print({'rich', 'sqlalchemy', 'celery', 'kombu', 'requests', 'flask', 'marshmallow'} & set(sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("words", [["config"], ["migrate"], ["runs", "list"], ["links", "list"]], ids=" ".join)
def test_every_problem_of_the_environment_is_told_by_variable(run_cli, monkeypatch, words):
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("CRMSYNC_LOG_STYLE", "loud")

    result = run_cli(*words)

    assert result.exit_code == 2
    assert "PORT" in result.stderr
    assert "CRMSYNC_LOG_STYLE" in result.stderr
    assert "Traceback" not in result.output


def test_a_database_that_does_not_answer_is_one_sentence(run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}")  # a folder

    result = run_cli("runs", "list")

    assert result.exit_code == 1
    assert "✗ The database file can't be opened." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_state_directory_that_can_not_be_made_is_told(run_cli, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CRMSYNC_HOME", str(tmp_path / "file" / "home"))

    result = run_cli("runs", "list")

    assert result.exit_code == 2
    assert "CRMSYNC_HOME" in result.stderr


# -- config


def test_config_never_shows_a_secret():
    env = {
        "SF_CLIENT_ID": "id",
        "SF_USERNAME": "crmsync@example.com",
        "SF_PRIVATE_KEY": private_pem(),
        "SF_WEBHOOK_SECRET": "geheim-geheim-geheim",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/geheim",
        "DATABASE_URL": "postgresql://crmsync:geheim@db.example.com/crmsync",
        "REDIS_URL": "rediss://:geheim@redis.example.com",
        "CRMSYNC_SECRET_KEY": "geheim" * 6,
    }

    shown = effective(Settings.from_env(env))

    assert not [name for name, value in shown.items() if "geheim" in value or "BEGIN" in value]
    assert shown["salesforce.username"] == "crmsync@example.com"
    assert shown["sap"] == "not configured"
    assert shown["database_url"].endswith("crmsync:***@db.example.com/crmsync")


def test_config_is_a_list_or_json(run_cli):
    assert "behaviour.max_retries" in run_cli("config").output
    assert json.loads(run_cli("config", "--json").output)["behaviour.max_retries"] == "3"


# -- migrate, runs


def test_migrate_says_what_it_has_done(run_cli):
    assert "it was empty" in run_cli("migrate").output
    assert "already" in run_cli("migrate").output


def test_no_run_yet(run_cli, store):
    assert run_cli("runs", "list").output == "There are no runs yet.\n"


def test_runs_are_listed_with_what_they_are_about(run_cli, bury):
    bury()

    found = json.loads(run_cli("runs", "list", "--status", "stopped", "--json").output)

    assert [(run["company"], run["amount"], run["step"]) for run in found] == [
        ("Acme Ltd – 200 sensors", "47,000.00 USD", "create_order")
    ]
    assert "Acme Ltd" in run_cli("runs", "list").output
    assert run_cli("runs", "list", "--status", "done").output == "No run matches.\n"


def test_a_run_is_found_by_its_deal_and_shows_its_steps(run_cli, bury):
    bury()

    output = run_cli("runs", "show", "006xx0000012abcAAA").output

    assert "fetch_deal" in output
    assert "stopped" in output
    assert "celery -A crmsync dead-letters show 1" in output


def open_run(store, flow, key, *, step, results=None):
    with store.begin() as uow:
        run_id, _ = start_run(uow, flow, key, step=step, correlation_id="c" * 32, queued_until=uow.now)
        if results is not None:
            run = uow.runs.claim(run_id, step, lease_seconds=60)
            uow.runs.finish_step(run, results, next_step=None, queued_until=uow.now, title="Acme Ltd – 200 sensors")
    return run_id


@pytest.fixture
def all_flows(store, bury):
    """A run of each kind."""
    bury()
    read = invoice_read(deal="006xx0000012abcAAA").to_json()
    open_run(store, "payment_to_invoices", "46000001", step="find_invoices")
    open_run(store, "invoice_to_deal", "98200001", step="read_invoice", results=read)
    open_run(store, "inventory", "inventory", step="read_catalogue")
    open_run(store, "catch_up_deals", "catch_up_deals", step="look_for_deals")


def test_runs_that_look_at_everything_are_listed_only_when_asked_for(run_cli, all_flows):
    def subjects(*words):
        return {run["subject"] for run in json.loads(run_cli("runs", "list", "--json", *words).output)}

    assert subjects() == {"deal", "payment", "invoice"}
    assert subjects("--all") == {"deal", "payment", "invoice", "inventory", "catch-up of deals"}
    assert subjects("--flow", "inventory") == {"inventory"}
    assert subjects("--flow", "payment_to_invoices") == {"payment"}
    assert subjects("--flow", "payment_to_invoices", "--status", "done") == set()


def test_a_list_says_what_each_run_is_for(run_cli, all_flows):
    output = run_cli("runs", "list").output

    for subject in ("deal 006xx0000012abcAAA", "payment 46000001", "invoice 98200001"):
        assert subject in output


def test_json_names_flow_subject_key_and_deal(run_cli, all_flows):
    found = json.loads(run_cli("runs", "list", "--json").output)

    assert {(run["flow"], run["subject"], run["key"], run["deal"]) for run in found} == {
        ("order_to_invoice", "deal", "006xx0000012abcAAA", "006xx0000012abcAAA"),
        ("payment_to_invoices", "payment", "46000001", ""),
        ("invoice_to_deal", "invoice", "98200001", "006xx0000012abcAAA"),
    }


def test_an_unknown_flow_is_told_with_those_that_there_are(run_cli, store):
    result = run_cli("runs", "list", "--flow", "orders")

    assert result.exit_code == 2
    assert "--flow" in result.stderr
    assert "order_to_invoice" in result.stderr


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("46000001", "payment 46000001"),
        ("98200001", "invoice 98200001"),
        ("inventory", "inventory"),
        ("catch_up_deals", "catch-up of deals"),
    ],
)
def test_a_run_of_any_flow_is_found_by_its_subject(run_cli, all_flows, key, expected):
    assert f"For            {expected} " in run_cli("runs", "show", key).output


def test_a_deal_is_found_first(run_cli, store):
    open_run(store, "payment_to_invoices", "4711", step="find_invoices")
    open_run(store, "order_to_invoice", "4711", step="fetch_deal")

    assert json.loads(run_cli("runs", "show", "4711", "--json").output)["flow"] == "order_to_invoice"


def test_a_run_shows_how_crmsync_heard_of_it(run_cli, store):
    open_run(store, "order_to_invoice", DEAL_KEY, step="fetch_deal")
    with store.begin() as uow:
        uow.deliveries.add("salesforce", DEAL_KEY)
        uow.deliveries.add("catch_up.order_to_invoice.salesforce", DEAL_KEY, event_key="1", is_healed=True)

    announced = json.loads(run_cli("runs", "show", DEAL_KEY, "--json").output)["announced"]

    assert [(each["by"], each["missed"]) for each in announced] == [("webhook", False), ("catch-up", True)]
    assert "no webhook had arrived" in run_cli("runs", "show", DEAL_KEY).output


def test_a_long_history_is_cut(run_cli, store, monkeypatch):
    monkeypatch.setattr(reading_history, "LINES_SHOWN", 100)
    run_id = open_run(store, "inventory", "inventory", step="read_catalogue")
    with store.begin() as uow:
        for number in range(120):
            uow.history.note(uow.runs.get(run_id), "done", detail=f"line {number}")

    steps = json.loads(run_cli("runs", "show", "inventory", "--json").output)["steps"]

    assert [steps[0]["detail"], steps[-1]["detail"]] == ["line 20", "line 119"]


def test_a_run_that_does_not_exist_is_an_error(run_cli, store):
    result = run_cli("runs", "show", "nothing")

    assert result.exit_code == 1
    assert "There is no run nothing." in result.stderr
