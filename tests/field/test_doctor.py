"""`crmsync doctor` proves: against the sandbox, after one good run, so that what was kept would hide what is wrong."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from werkzeug.serving import make_server

from crmsync import broker
from crmsync.cli.main import cli
from crmsync.domain.breaker import FailedCall
from crmsync.lab.sandbox import Sandbox
from crmsync.needs import WITHHELD, for_process
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import whereabouts
from crmsync.store.tables import deliveries, runs
from crmsync.web.app import create_app
from tests.builders import customer
from tests.system import big_sandbox

NOBODY = "redis://127.0.0.1:1/0"
NOBODY_LISTENS = "http://127.0.0.1:1"
Doctor = Callable[..., "Told"]


class Told:
    """What doctor has said."""

    def __init__(self, result: Result) -> None:
        self.status = result.exit_code
        self.said = json.loads(result.output)
        self.found = {(each["area"], each["name"]): each for each in self.said["checks"]}

    def failed(self) -> dict[tuple[str, str], str]:
        return {key: each["detail"] for key, each in self.found.items() if each["state"] == "failed"}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with big_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture(autouse=True)
def environment(clean_environment: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**sandbox.environment(), "REDIS_URL": NOBODY, "CRMSYNC_SECRET_KEY": "k" * 44}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PORT", "1")  # nothing answers there
    monkeypatch.setattr(broker, "problem", lambda settings: None)
    monkeypatch.setattr(broker, "about", lambda settings: {"redis_version": "7.4.0"})


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services.from_settings(Settings.from_env())
    yield made
    made.store.close()


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Ask the doctor, in an environment with these changes."""

    def ask(**changes: str) -> Told:
        with monkeypatch.context() as patch:
            for name, value in changes.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(cli, ["doctor", "--json"])
        assert "Traceback" not in result.output
        return Told(result)

    return ask


@pytest.fixture
def good_run(services: Services, doctor: Doctor) -> None:
    """A customer was made, tokens are kept, and all was well."""
    services.company().orders.api.create_customer(customer(), reference="SF-1", currency="USD")
    assert doctor().failed() == {}


@pytest.fixture
def application(services: Services) -> Flask:
    return create_app(services)


@pytest.fixture
def receiver(application: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The doors, as they run with the good environment."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PORT", str(server.server_port))
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


SALESFORCE, SAP, ZOHO, DOORS = "Salesforce", "SAP S/4HANA", "Zoho Books", "Doors"


@pytest.mark.parametrize(
    ("changes", "area", "name", "words"),
    [
        ({"SF_CLIENT_ID": "wrong"}, SALESFORCE, "sign-in", "Check SF_CLIENT_ID"),
        ({"SF_USERNAME": "nobody@acme.test"}, SALESFORCE, "sign-in", "or check SF_USERNAME"),
        ({"SF_API_VERSION": "30.0"}, SALESFORCE, "version of the API", "correct SF_API_VERSION"),
        ({"SF_ORDER_NUMBER_FIELD": "Nope__c"}, SALESFORCE, "write-back fields", "no field Nope__c"),
        ({"SF_STOCK_FIELD": "Low_Stock_Alert__c", "SF_LOW_STOCK_FIELD": "Available_Stock__c"}, SALESFORCE,
         "stock fields", "of type boolean: make it one of type Number"),
        ({"SAP_CLIENT_SECRET": "wrong"}, SAP, "sign-in", "Check SAP_CLIENT_ID and SAP_CLIENT_SECRET"),
        ({"SF_LOGIN_URL": "http://127.0.0.1:1"}, SALESFORCE, "sign-in", "http://127.0.0.1:1 (SF_LOGIN_URL)"),
        ({"SAP_SALES_ORGANIZATION": "9999"}, SAP, "sales area", "9999/10/00; customers have 1010/10/00"),
        ({"SAP_DIVISION": "77"}, SAP, "sales area", "1010/10/77; customers have 1010/10/00"),
        ({"SAP_ORDER_TYPE": "ZZ"}, SAP, "try an order", "Correct SAP_ORDER_TYPE"),
        ({"SAP_PRICE_CONDITION_TYPE": "XXXX"}, SAP, "try an order", "Correct SAP_PRICE_CONDITION_TYPE"),
        ({"ZOHO_CLIENT_SECRET": "wrong"}, ZOHO, "sign-in", "Check ZOHO_CLIENT_SECRET"),
        ({"ZOHO_REFRESH_TOKEN": "1000.expired"}, ZOHO, "sign-in", "Check ZOHO_REFRESH_TOKEN"),
        ({"ZOHO_TAX_ID": "8"}, ZOHO, "tax", "has no tax 8 (ZOHO_TAX_ID)"),
        ({"SF_WEBHOOK_SECRET": ""}, DOORS, "/webhook/salesforce/deal-closed", "SF_WEBHOOK_SECRET is not set"),
        ({"ZOHO_WEBHOOK_SECRET": ""}, DOORS, "/webhook/zoho/payment", "ZOHO_WEBHOOK_SECRET is not set"),
    ],
)  # fmt: skip
def test_P5__what_is_wrong_is_found_after_a_good_run_and_says_nothing_of_the_others(
    good_run: None, doctor: Doctor, changes: Mapping[str, str], area: str, name: str, words: str
) -> None:
    told = doctor(**changes)

    failed = told.failed()
    assert told.status == 1
    assert words in failed[area, name]
    assert {each for each, _ in failed} == {area}


def test_P5__an_order_is_tried_and_nothing_is_written(good_run: None, doctor: Doctor, sandbox: Sandbox) -> None:
    before = sandbox.ledger()["events"]

    told = doctor()

    assert told.status == 0
    assert "SAP would make it" in told.found[SAP, "try an order"]["detail"]
    assert sandbox.ledger()["events"] == before
    assert sandbox.ledger()["orders"] == []


def test_P5__a_service_that_is_not_arranged_is_told_as_not_checked(
    good_run: None, doctor: Doctor, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.sap.profile, "missing_services", ("API_SALES_ORDER_SIMULATION_SRV",))

    told = doctor()

    assert told.status == 0
    assert told.found[SAP, "try an order"]["state"] == "note"
    assert "not checked: " in told.found[SAP, "try an order"]["detail"]


@pytest.mark.parametrize("name", ["SF_CLIENTID", "sf_client_id", "SF_CLIENT_IDD"])
def test_P5__a_misspelt_variable_is_suggested_a_correction(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, name: str
) -> None:
    monkeypatch.delenv("SF_CLIENT_ID")

    told = doctor(**{name: sandbox.environment()["SF_CLIENT_ID"]})

    assert told.failed()["Configuration", name] == "is not read; SF_CLIENT_ID is not set: did you mean that?"
    assert told.failed()["Configuration", "SF_CLIENT_ID"] == "is missing"


def test_P5__a_name_that_nobody_knows_is_a_note(doctor: Doctor) -> None:
    told = doctor(ZOHO_FAVOURITE_COLOUR="blue", SAP_CLIENTSECRET="left over")

    assert told.status == 0
    assert told.found["Configuration", "ZOHO_FAVOURITE_COLOUR"]["state"] == "note"
    assert "SAP_CLIENT_SECRET is set as well" in told.found["Configuration", "SAP_CLIENTSECRET"]["detail"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SF_PAYMENT_FIELD", "SF_PAYMENT_AMOUNT_FIELD, SF_PAYMENT_DATE_FIELD or SF_PAYMENT_RECEIVED_FIELD"),
        ("SAP_TYPE_OF_TAX", ""),
        ("SF_WEBHOOK_TOKEN_SECRET", "SF_WEBHOOK_SECRET or SF_WEBHOOK_TOKEN"),
        ("SAP_USERNAME", "SAP_USER"),
        ("SF_PASSWORD", ""),
        ("CRMSYNC_DATABASE_URL", "DATABASE_URL"),
        ("ZOHO_BOOKS_TAX_ID", "ZOHO_TAX_ID"),
        ("SALESFORCE_USERNAME", "SF_USERNAME"),
    ],
)
def test_P5__a_variable_is_suggested_the_names_that_may_be_meant_and_none_of_another_system(
    doctor: Doctor, name: str, meant: str
) -> None:
    detail = doctor(**{name: "x"}).found["Configuration", name]["detail"]

    assert meant in detail
    assert bool(meant) != ("is not a variable of crmsync" in detail)


def test_P5__one_wrong_variable_is_one_line_and_what_was_not_checked_is_said(doctor: Doctor) -> None:
    told = doctor(SF_LOGIN_URL="'https://login.salesforce.com'", SAP_DIVISION="000")

    assert told.failed() == {
        ("Configuration", "SF_LOGIN_URL"): "is written in quotes, and they would be part of the value: leave them out",
        ("Configuration", "SAP_DIVISION"): "expected at most 2 characters",
    }
    assert told.found["Configuration", "everything else"]["state"] == "note"


def test_P5__with_no_variables_each_system_names_its_guide(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SF_", "SAP_", "ZOHO_"))]:
        monkeypatch.delenv(name)

    told = doctor()

    for area, guide in ((SALESFORCE, "salesforce"), (SAP, "s4hana"), (ZOHO, "zoho-books")):
        assert told.failed()[area, "configuration"].endswith(f"and the others of docs/setup/{guide}.md")
    assert told.found[DOORS, "all doors"]["detail"] == "not checked: neither Salesforce nor Zoho Books is configured"


def test_P5__a_service_that_was_not_arranged_is_named_with_its_scenario(doctor: Doctor, sandbox: Sandbox) -> None:
    body = {"error": {"code": "/IWFND/MED/170", "message": {"value": "No service found"}}}
    headers = {"Content-Type": "application/json"}
    sandbox.faults.add("sap", "answer", status=403, path="API_PRODUCT_SRV", headers=headers, body=body)

    failed = doctor().failed()

    said = failed[SAP, "read products (SAP_COM_0009)"]
    assert said.endswith("arrangement of SAP_COM_0009 with crmsync's user; on premise, activate API_PRODUCT_SRV.")


def test_P5__a_home_that_may_not_be_entered_hides_no_system(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> bool:
        raise PermissionError(13, "Permission denied", "/home/other/crmsync.db")

    monkeypatch.setattr(whereabouts, "exists", refuse)

    told = doctor()

    assert told.failed() == {("Store", "this machine"): "Permission denied (/home/other/crmsync.db)"}
    assert told.found[SALESFORCE, "sign-in"]["state"] == "ok"


def test_P5__without_the_stock_nobody_asks_for_what_only_the_stock_needs(
    good_run: None, doctor: Doctor, sandbox: Sandbox
) -> None:
    for service in ("API_MATERIAL_STOCK_SRV", "API_PRODUCT_SRV"):
        sandbox.faults.add("sap", "answer", status=403, path=service, body="")

    told = doctor(CRMSYNC_INVENTORY_SECONDS="0", SF_STOCK_FIELD="Nobody_Made_It__c")

    assert told.failed() == {}
    assert told.found[SAP, "stock and products"]["state"] == "note"
    assert told.found[SALESFORCE, "products and stock fields"]["state"] == "note"
    assert doctor().found[SAP, "try an order"]["detail"] == "not checked: the failures above must be corrected first"


def test_P5__all_fields_that_are_missing_are_named_at_once(doctor: Doctor) -> None:
    fields = {"SF_PURCHASE_ORDER_FIELD": "PO__c", "SF_TAX_NUMBER_FIELD": "Vat__c", "SF_ACCOUNT_EMAIL_FIELD": "Mail__c"}

    told = doctor(**fields).failed()[SALESFORCE, "deals"]

    for variable, field in fields.items():
        assert told.count(f"has no field {field} ({variable})") == 1


def test_P5__a_go_live_that_is_to_come_is_told(doctor: Doctor) -> None:
    key = ("Configuration", "CRMSYNC_GO_LIVE")

    assert "held until a person decides" in doctor(CRMSYNC_GO_LIVE="9998-01-01").found[key]["detail"]
    assert key not in doctor(CRMSYNC_GO_LIVE="2026-01-01").found


def test_P5__stock_types_and_plants_that_nothing_lies_in_are_told(doctor: Doctor) -> None:
    assert doctor().found[SAP, "stock that counts"]["state"] == "ok"

    told = doctor(SAP_STOCK_TYPES="07", SAP_STOCK_PLANTS="9999").found[SAP, "stock that counts"]

    assert told["state"] == "note"
    assert "SAP_STOCK_TYPES=07 and SAP_STOCK_PLANTS=9999" in told["detail"]
    assert "none with SAP_STOCK_TYPES=07:" in doctor(SAP_STOCK_TYPES="07").found[SAP, "stock that counts"]["detail"]


def test_P5__where_the_books_do_not_answer_the_address_and_what_was_not_asked_are_said(
    doctor: Doctor, sandbox: Sandbox
) -> None:
    sandbox.faults.add("zoho", "error", status=503, path="organizations")

    told = doctor()

    assert f"It was asked at {sandbox.zoho.url} (ZOHO_API_URL)." in told.failed()[ZOHO, "organization"]
    assert told.found[ZOHO, "everything else"]["state"] == "note"


@pytest.mark.parametrize(
    ("variables", "named"),
    [({}, "SAP_BASE_URL"), ({"SAP_TOKEN_URL": "{}/oauth/token"}, "SAP_TOKEN_URL")],
    ids=["the usual address", "one of its own, at the same host"],
)
def test_P5__where_the_sign_in_of_sap_does_not_answer_the_variable_with_its_address_is_named(
    doctor: Doctor, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    monkeypatch.delenv("SAP_TOKEN_URL")
    sandbox.faults.add("sap", "down")

    told = doctor(**{name: value.format(sandbox.sap.url) for name, value in variables.items()})

    assert told.failed()[SAP, "sign-in"].endswith(f"({named}).")


@pytest.mark.parametrize(
    ("address", "why"),
    [("https://nobody.invalid", "its host name can't be resolved"), (NOBODY_LISTENS, "refuses the connection")],
)
def test_P5__why_a_system_can_not_be_reached_is_said(doctor: Doctor, address: str, why: str) -> None:
    told = doctor(SF_LOGIN_URL=address, ZOHO_ACCOUNTS_URL=address, SAP_BASE_URL=address, SAP_TOKEN_URL=address)

    for system in (SALESFORCE, ZOHO, SAP):
        assert why in told.failed()[system, "sign-in"]


def test_P5__the_scopes_that_no_call_proves_are_those_that_are_needed(doctor: Doctor) -> None:
    plain = doctor().found[ZOHO, "writing"]["detail"]
    upserting = doctor(ZOHO_INVOICE_UNIQUE_FIELD="cf_reference").found[ZOHO, "writing"]["detail"]

    assert plain.endswith("ZohoBooks.contacts.CREATE and ZohoBooks.invoices.CREATE as well")
    assert upserting.endswith("ZohoBooks.invoices.CREATE and ZohoBooks.invoices.UPDATE as well")


def test_P5__an_open_breaker_hides_no_healthy_system(good_run: None, services: Services, doctor: Doctor) -> None:
    breakers = services._breakers()
    breakers.failed("s4hana", SAP, FailedCall(False, "The plan is over."))
    assert breakers.read("s4hana").holds("read order")

    told = doctor()

    assert told.status == 0
    assert not breakers.read("s4hana").holds("read order")


@pytest.mark.parametrize("oddity", ["sap-clock-behind"])
def test_P5__a_clock_that_is_off_is_told(good_run: None, doctor: Doctor, sandbox: Sandbox, oddity: str) -> None:
    sandbox.faults.play(oddity)

    assert "NTP" in doctor().failed()[SAP, "clock"]


def test_P5__a_version_that_will_be_retired_is_told(good_run: None, doctor: Doctor, sandbox: Sandbox) -> None:
    sandbox.faults.play("salesforce-version-ends")

    told = doctor()

    assert told.status == 0
    assert "will be removed by Summer '27" in told.found[SALESFORCE, "it will end"]["detail"]


@pytest.mark.parametrize("url", ["postgresql://crmsync:geheim@127.0.0.1:1/none", "sqlite:////proc/none/crmsync.db"])
def test_P5__without_its_database_it_asks_the_systems_all_the_same(doctor: Doctor, url: str) -> None:
    told = doctor(DATABASE_URL=url)

    assert told.status == 1
    assert list(told.failed()) == [("Store", "database")]
    assert "geheim" not in str(told.said)
    assert told.found[SALESFORCE, "sign-in"]["state"] == "ok"
    assert told.found[ZOHO, "account"]["state"] == "note"


def test_P9__a_store_that_was_moved_away_is_missed_and_not_made_anew(doctor: Doctor) -> None:
    settings = Settings.from_env()
    doctor()
    whereabouts.remember(settings.home, settings.database_url)
    path = Path(make_url(settings.database_url).database or "")
    path.rename(path.with_name("moved.db"))

    told = doctor()

    assert "it was moved or deleted" in told.failed()["Store", "database"]
    assert not path.exists()
    assert told.found[SALESFORCE, "sign-in"]["state"] == "ok"


def test_P5__a_home_that_is_no_folder_is_told(doctor: Doctor, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")

    told = doctor(CRMSYNC_HOME=str(tmp_path / "file" / "home"))

    assert told.status == 1
    assert {area for area, _ in told.failed()} <= {"Store", "Configuration"}
    assert told.found[SALESFORCE, "sign-in"]["state"] == "ok"


def test_P5__an_embedded_server_that_cant_be_started_hides_nothing(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("REDIS_URL")
    (tmp_path / "file").write_text("")

    told = doctor(CRMSYNC_HOME=str(tmp_path / "file" / "home"))

    assert "Not a directory" in told.failed()["Broker", "this machine"]
    assert told.found[ZOHO, "organization"]["state"] == "ok"


def test_P5__what_nobody_foresaw_is_one_line(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Any]:
        yield from ()
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("crmsync.cli.check_doors.all_of", broken)

    told = doctor()

    assert told.status == 1
    assert "ZeroDivisionError" in str(told.failed())
    assert "a secret" not in str(told.said)


# -- doors


def test_P5__each_door_lets_a_signed_probe_in_and_nothing_begins(
    receiver: str, application: Flask, doctor: Doctor, services: Services
) -> None:
    told = doctor()

    assert {name: each["state"] for (area, name), each in told.found.items() if area == DOORS} == {
        "deals by signature": "ok",
        "deals by Standard Webhooks": "ok",
        "deals by bearer": "ok",
        "deals by Outbound Message": "ok",
        "payments": "ok",
    }
    assert not application.extensions["crmsync_refusals"].pending()
    with services.store.read() as uow:
        for table in (deliveries, runs):
            assert uow.connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"SF_WEBHOOK_SECRET": "another secret of this door"}, "deals by signature", "with SF_WEBHOOK_SECRET"),
        ({"SF_WEBHOOK_BEARER": "a bearer that it has not"}, "deals by bearer", "with SF_WEBHOOK_BEARER"),
        ({"ZOHO_WEBHOOK_SECRET": "anotherZohoSecret2026"}, "payments", "with ZOHO_WEBHOOK_SECRET"),
    ],
)
def test_P5__a_receiver_that_runs_with_another_secret_is_told(
    receiver: str, doctor: Doctor, changes: Mapping[str, str], name: str, words: str
) -> None:
    failed = doctor(**changes).failed()

    assert "it runs with another secret" in failed[DOORS, name]
    assert words in failed[DOORS, name]


def test_P5__a_door_with_one_form_is_knocked_at_in_that_form(receiver: str, doctor: Doctor) -> None:
    whsec = doctor(SF_WEBHOOK_FORMS="standard", SF_WEBHOOK_SECRET="whsec_" + "QUJD" * 8)

    assert [name for area, name in whsec.found if area == DOORS] == ["deals by Standard Webhooks", "payments"]
    assert list(whsec.failed()) == [(DOORS, "deals by Standard Webhooks")]


def test_P5__outbound_messages_that_were_chosen_need_the_organization(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SF_ORGANIZATION_ID")

    assert doctor().found[DOORS, "deals by Outbound Message"]["state"] == "note"
    failed = doctor(SF_WEBHOOK_TOKEN="a token for the address").failed()
    assert failed[DOORS, "deals by Outbound Message"] == (
        "it refuses Outbound Messages until SF_ORGANIZATION_ID is set"
    )


def test_P5__what_is_withheld_from_a_process_is_left_to_the_one_that_has_it(
    receiver: str, doctor: Doctor, sandbox: Sandbox
) -> None:
    """As the containers of a worker and of the receiver are given their secrets."""
    worker, web = (
        doctor(**{name: value for name, value in for_process(each, sandbox.environment()).items() if value == WITHHELD})
        for each in ("worker", "web")
    )

    assert (worker.failed(), worker.status) == ({}, 0)
    assert {key for key in worker.found if key[0] == DOORS} == {
        (DOORS, "/webhook/salesforce/deal-closed"),
        (DOORS, "/webhook/zoho/payment"),
    }
    assert (web.failed(), web.status) == ({}, 0)
    assert all(web.found[area, "everything"]["state"] == "note" for area in (SALESFORCE, SAP, ZOHO))
    assert web.found[DOORS, "payments"]["state"] == "ok"


def test_P5__a_receiver_of_another_organization_is_told(receiver: str, doctor: Doctor) -> None:
    told = doctor(SF_ORGANIZATION_ID="00DSb0000000009MAA")

    assert "another SF_ORGANIZATION_ID" in told.failed()[DOORS, "deals by Outbound Message"]
    assert "those of organization" in told.failed()[SALESFORCE, "sign-in"]


def test_P5__where_the_vendor_gives_no_more_tokens_the_kept_one_does_and_that_is_said(
    good_run: None, doctor: Doctor
) -> None:
    for _ in range(8):  # as many as crmsync asks Zoho for in ten minutes
        told = doctor()

    assert told.status == 0
    assert told.found[ZOHO, "a fresh sign-in"]["state"] == "note"


def test_P5__where_no_receiver_runs_that_is_said(doctor: Doctor) -> None:
    told = doctor()

    assert told.status == 0
    assert told.found[DOORS, "all doors"]["detail"].startswith("not checked: nothing answers at http://127.0.0.1:1;")


def test_P5__an_address_from_outside_that_leads_nowhere_is_told(receiver: str, doctor: Doctor) -> None:
    failed = doctor(CRMSYNC_DOORS_URL="http://127.0.0.1:1").failed()

    assert f"the receiver answers at {receiver}, but not at http://127.0.0.1:1" in failed[DOORS, "from outside"]


def test_P5__what_is_not_the_receiver_is_not_taken_for_it(doctor: Doctor, sandbox: Sandbox) -> None:
    failed = doctor(CRMSYNC_DOORS_URL=sandbox.zoho.url).failed()

    assert "is not the receiver (HTTP 404)" in failed[DOORS, "payments"]


# -- the table


def test_P5__it_ends_with_a_table_that_fits_a_page(good_run: None) -> None:
    result = CliRunner().invoke(cli, ["doctor"])

    lines = result.output.splitlines()
    table = lines[lines.index("") + 1 :]
    assert max(map(len, table)) <= 80
    assert [line.split() for line in table if line.startswith("area")] == [["area", "result", "what"]]
    assert any(line.startswith(("SAP S/4HANA", "Zoho Books")) and "account" in line for line in table)
    assert lines[-1] == "What was checked is as it should be. Not checked, each with its reason (•): 3."
    for secret in ("sandbox-zoho-secret", "sandboxSalesforceSecret1", "integration@"):
        assert secret not in result.output
