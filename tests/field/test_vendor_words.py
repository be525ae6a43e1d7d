"""Cases from the field: P7, the vendor's own words are kept, sealed, and shown to operators only."""

from __future__ import annotations

import base64
import json
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from crmsync import errors
from crmsync.cli import dead_letters as letter_commands
from crmsync.cli import process as cli_process
from crmsync.cli import runs as run_commands
from crmsync.domain.documents import OrderRequest
from crmsync.domain.words import CHARACTERS_MAX, known_persons, readable
from crmsync.passwords import tower_password
from crmsync.services import UNREADABLE_WORDS, Services
from crmsync.settings import Secret
from crmsync.store.tables import alerts
from crmsync.store.vault import Vault
from crmsync.web.app import create_app
from crmsync.worker import dead_letters
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests.builders import deal
from tests.fakes import DEFAULT, FakeMessenger
from tests.field.raw_server import RawServer
from tests.field.vendors import (
    ORDER_SERVICE,
    ORDERS,
    csrf_token,
    salesforce,
    salesforce_refusal,
    sap,
    sap_refusal,
    write_back,
    zoho,
    zoho_answer,
)

BLOCKED = "Sold-to party is blocked for sales area 1010 10 00"
PERSONS = "ask Ann Lee, ann@acme.test, +49 30 1234567, DE89 3704 0044 0532 0130 00"
SAID = f"{BLOCKED}; {PERSONS}"
SHOWN = f"{BLOCKED}; ask ***, ***, ***, ***"

_FLOW = Flow("worded", subject="deal", steps=("fetch_deal", "order"), rereads=())
_refuse: list[Callable[[], Any]] = []


@step(_FLOW, queue="crm")
def fetch_deal(attempt: Attempt) -> Mapping[str, Any]:
    return deal().to_json() | {"customer": _customer()}


@step(_FLOW, queue="erp")
def order(attempt: Attempt) -> Mapping[str, Any]:
    _refuse[0]()
    return {}


def _customer() -> dict[str, Any]:
    return {**deal().customer.to_json(), "first_name": "Ann", "last_name": "Lee"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(FLOWS["worded"], "enqueue", lambda run_id, results: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda *_, **__: None)
    yield
    _refuse.clear()


def refused(services: Services, refuse: Callable[[], Any]) -> tuple[str, int]:
    """A run that died of it, and its letter."""
    _refuse[:] = [refuse]
    with services.store.begin() as uow:
        run_id = _FLOW.open_run(uow, DEFAULT, "006xx0000012abcAAA", correlation_id="c")[0]
    fetch_deal.execute(run_id)
    with pytest.raises(errors.RejectedError):
        order.execute(run_id)
    with services.store.read() as uow:
        letter = uow.dead_letters.of_run(run_id)
    assert letter is not None
    return run_id, letter.id


def raises_words() -> None:
    error = errors.RejectedError("SAP S/4HANA answered create_order with 400.", system="SAP S/4HANA")
    error.words = SAID
    raise error


def words_of(services: Services, letter_id: int) -> str:
    with services.store.read() as uow:
        return services.words_of(uow, letter_id)


# -- from the vendor to the error

VENDORS: dict[str, tuple[bytes, Callable[[str], Any]]] = {
    "SAP": (
        sap_refusal("V1/382", SAID, ("V1/382", SAID)),
        lambda url: sap(url).create_order(OrderRequest("SF-1", "17100001", deal())),
    ),
    "Salesforce": (salesforce_refusal("STRING_TOO_LONG", SAID), lambda url: write_back(salesforce(url))),
    "Zoho Books": (zoho_answer(15, text=SAID), lambda url: zoho(url).read_invoice("46")),
}


@pytest.mark.parametrize(("refusal", "call"), VENDORS.values(), ids=VENDORS)
def test_P7__each_vendors_words_come_with_the_error_and_show_nowhere(
    refusal: bytes, call: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with RawServer(refusal) as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, refusal)
        with caplog.at_level(logging.DEBUG), pytest.raises(errors.CrmsyncError) as caught:
            call(server.url)

    assert caught.value.words == SAID
    public = f"{caught.value} {caught.value!r} {caught.value.cause} {caught.value.advice} {caplog.text}"
    assert "blocked" not in public
    assert b"blocked" not in pickle.dumps(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).words == ""


def test_P7__a_lock_keeps_its_words_too() -> None:
    with RawServer(csrf_token()) as server:
        server.at(ORDERS, sap_refusal("MC/601", "Object is currently locked by user ALEE"))
        with pytest.raises(errors.ConcurrentUpdateError) as caught:
            sap(server.url).create_order(OrderRequest("SF-1", "17100001", deal()))

    assert "locked by user" in caught.value.words


# -- from the error to the letter


def test_P7__they_are_sealed_in_the_store_and_masked(services: Services) -> None:
    _, letter_id = refused(services, raises_words)

    with services.store.read() as uow:
        sealed = uow.dead_letters.sealed_words(letter_id)
    assert "blocked" not in sealed
    assert b"blocked" not in base64.urlsafe_b64decode(sealed + "==")
    assert words_of(services, letter_id) == SHOWN


def test_P7__they_reach_no_log_no_alert_and_no_history(
    services: Services, caplog: pytest.LogCaptureFixture, messenger: FakeMessenger
) -> None:
    with caplog.at_level(logging.DEBUG):
        run_id, _ = refused(services, raises_words)

    with services.store.read() as uow:
        told = [row.content for row in uow.connection.execute(select(alerts))]
        history = [row.detail for row in uow.history.of_run(run_id)]
    assert told
    assert history
    assert not [place for place in (caplog.text, str(told), str(history), str(messenger.told)) if "blocked" in place]


@pytest.mark.parametrize("said", [True, False])
def test_P7__the_alert_names_the_command_that_shows_them(services: Services, said: bool) -> None:
    def raises() -> None:
        error = errors.RejectedError(system="SAP S/4HANA", code="V1/312")
        error.words = "Sold-to party is blocked" if said else ""
        raise error

    _, letter_id = refused(services, raises)

    with services.store.read() as uow:
        (alert,) = uow.alerts.open(None)
    command = services.settings.pasteable(f"celery -A crmsync dead-letters show {letter_id}")
    assert (f"What SAP S/4HANA said: `{command}`" in alert.content["advice"]) is said


def test_P7__another_death_replaces_them(services: Services) -> None:
    run_id, letter_id = refused(services, raises_words)

    def silent() -> None:
        raise errors.RejectedError("SAP S/4HANA answered create_order with 400.")

    _refuse[:] = [silent]
    dead_letters.replay(services, letter_id, by="a test")
    with pytest.raises(errors.RejectedError):
        order.execute(run_id)

    assert words_of(services, letter_id) == ""


def test_P7__with_another_key_they_are_not_there(services: Services, tmp_path: Any) -> None:
    _, letter_id = refused(services, raises_words)
    services.__dict__["vault"] = Vault(Secret("another key of thirty-two letters"), tmp_path)

    assert words_of(services, letter_id) == UNREADABLE_WORDS


# -- to the operators


def printed(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_P7__the_commands_show_them(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_process, "open_services", lambda: services)
    monkeypatch.setattr(run_commands, "open_services", lambda: services)
    run_id, letter_id = refused(services, raises_words)
    run = CliRunner().invoke

    assert f"What SAP S/4HANA said {SHOWN}" in printed(run(letter_commands.show, [str(letter_id)]))
    assert SHOWN in printed(run(run_commands.show, [run_id]))
    assert json.loads(run(letter_commands.show, [str(letter_id), "--json"]).output)["vendor_words"] == SHOWN
    assert json.loads(run(run_commands.show, [run_id, "--json"]).output)["vendor_words"] == SHOWN
    assert "blocked" not in run(letter_commands.list_, ["--json"]).output


def test_P7__the_control_tower_shows_them_on_the_page_of_the_run_and_escapes_them(services: Services) -> None:
    def marked_up() -> None:
        error = errors.RejectedError(system="SAP S/4HANA")
        error.words = "<b>Sold-to</b> party is blocked"
        raise error

    run_id, _ = refused(services, marked_up)
    client = create_app(services).test_client()
    password = tower_password(services.settings)
    shown = client.get(f"/runs/{run_id}", auth=("crmsync", password))

    assert shown.status_code == 200
    assert "&lt;b&gt;Sold-to&lt;/b&gt; party is blocked" in shown.text
    assert "is blocked" not in client.get(f"/runs/{run_id}").text
    assert "is blocked" not in client.get("/metrics").text
    assert "is blocked" not in client.get("/runs", auth=("crmsync", password)).text


# -- what is masked

MASKED = {
    "an e-mail address": ("write to o'brien+x@acme-labs.co.uk now", "write to o'*** now"),
    "an international number": ("call +1 (555) 867-5309.", "call ***."),
    "a number of a city": ("call 030 1234567 or (0171) 123-4567", "call *** or ***"),
    "an IBAN in one piece": ("pay to DE89370400440532013000!", "pay to ***!"),
    "an IBAN in small letters": ("pay to de89370400440532013000!", "pay to ***!"),
    "a card": ("paid with 4111 1111 1111 1111 or 5500-0000-0000-0004", "paid with *** or ***"),
    "a social security number": ("SSN 123-45-6789", "SSN ***"),
    "an encoded address": ("see ?to=ann%40acme.test&x", "see ?to=***&x"),
    "a signed token": ("sent eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln-x", "sent ***"),
    "a title": ("Frau Dr. Müller has locked it", "Frau *** has locked it"),
    "a known person": ("Contact ANN  LEE is inactive", "Contact *** is inactive"),
    "a token": ("sent Bearer abc.def-ghi", "sent Bearer ***"),
    "numbers of records": ("order 4711, customer 0017100001, 460000000026049", None),
    "a sales area": (BLOCKED, None),
    "an amount and a day": ("1,300.56 EUR on 2026-11-29 at 10:00", None),
    "codes": ("V1/382 00/088 INV-00012 SF-006xx0000012abcAAA", None),
    "control characters": ("a\x1b]0;x\x07b\u202ec\x9bd", "a ]0;x b c d"),
    "lines": ("one\r\n\r\n  two\t three", "one\ntwo three"),
    "half a character": ("a\ud800b", "a b"),
}


@pytest.mark.parametrize(("text", "expected"), MASKED.values(), ids=MASKED)
def test_P7__persons_are_masked_and_records_are_not(text: str, expected: str | None) -> None:
    assert readable(text, ["ann lee", "ann", "lee"]) == (text if expected is None else expected)


def test_P7__they_are_bounded() -> None:
    assert len(readable("x y " * 10_000)) == CHARACTERS_MAX
    assert readable("") == ""


def test_P7__the_persons_of_the_deal_are_known() -> None:
    assert {"ann", "lee", "ann lee"} <= known_persons({"fetch_deal": {"customer": _customer()}, "order": {"a": 1}})
    assert known_persons({"create_order": {"customer": "001"}, "x": []}) == frozenset()
