"""A dry run of a replay: it changes nothing anywhere, and what it shows is what is sent then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from crmsync import people
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.domain.ledger import EntryState
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.deals import Deal
from crmsync.store.tables import dead_letters, facts, history, ledger, links, locks, runs
from tests.system import NO_PERIODS, System, running, until

PERSON = {"BillingStreet": "12 Harbour Road", "BillingCity": "Springfield", "BillingCountry": "United States"}
EMAIL = "ida.berg@example.com"
_BY_ITSELF = ("seen.", "retention.", "tally.", "store.id")
OF_THE_DEAL = {
    "salesforce": {"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION"},
    "sap": {"code": "V1/555", "message": "This sales document is not complete"},
    "zoho": {"code": "15"},
}
SECRETS = ("bearer", "oauthtoken", "csrf", "cookie")

Record = list[tuple[str, str, Any]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("rehearsal")
    with running(home, "web", "worker", **NO_PERIODS, CRMSYNC_TELL_SELLERS="no") as system:
        yield system


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    yield shared
    shared.sandbox.faults.clear()


@pytest.fixture
def sandbox(system: System) -> Sandbox:
    return system.sandbox


_numbers = iter(range(1, 10_000))


@pytest.fixture
def deal(sandbox: Sandbox) -> Deal:
    """Of a customer that nobody knows yet."""
    name = f"Rehearsed {next(_numbers):03d} Ltd"
    return sandbox.deals.create(name, email=f"{next(_numbers)}.{EMAIL}", account_fields=PERSON)


@pytest.fixture
def writes(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Record:
    """What reaches the vendors and would change something: method, address without host, body."""
    seen: Record = []
    for vendor in sandbox.vendors:
        monkeypatch.setattr(vendor, "finish", _recording(vendor, seen))
    return seen


def _recording(vendor: Any, seen: Record) -> Callable[..., Any]:
    real = vendor.finish

    def finish(request: Any, response: Any) -> Any:
        if request.method != "GET" and "oauth" not in request.target:
            seen.append((request.method, request.target, json.loads(request.body) if request.body else None))
        return real(request, response)

    return finish


def stopped(system: System, deal: Deal, vendor: str, operation: str) -> int:
    """The dead letter of the deal, which *vendor* refused at *operation*; the fault is gone.

    A refusal of the deal: a letter about an outage would go on by itself, perhaps in the middle of a dry run.
    """
    system.sandbox.faults.add(vendor, "refuse", operation, **OF_THE_DEAL[vendor])
    system.close(deal.id)
    system.wait_for("stopped", deal)
    system.sandbox.faults.clear()
    letter = system.letter_of(deal)
    assert not letter.is_passing
    return letter.id


def state_of(system: System) -> Any:
    """What no dry run may touch: all that exists at the vendors, and the rows of runs and of what they made."""
    tables = (runs, ledger, links, locks, history, dead_letters)
    with system.store.read() as uow:
        # PostgreSQL lists what was written last at the end.
        rows = {table.name: sorted(uow.connection.execute(table.select()), key=str) for table in tables}
        # The workers beside us write by themselves that they live, when they last looked after the store, and counts.
        known = [each for each in uow.connection.execute(facts.select()) if not each.name.startswith(_BY_ITSELF)]
    return system.sandbox.ledger(), rows, sorted(known, key=str)


def dry_run(system: System, letter_id: int, *options: str) -> Any:
    return system.dead_letters("replay", str(letter_id), "--dry-run", *options)


def dry_run_by_api(system: System, letter_id: int, **answers: Any) -> Any:
    """What the API answers, for which a worker rehearses."""
    with system.store.begin() as uow:
        made = people.create_token(uow, Act("ada", Origin.CLI), name=f"ada-{next(_numbers)}", role=Role.OPERATOR)
    answer = requests.post(
        system.url(f"/api/erp/dead-letters/{letter_id}/replay"),
        json={"dry_run": True, **answers},
        headers={"Authorization": f"Bearer {made.text}"},
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


def request_of(found: Any) -> Any:
    """The one request that a dry run shows: of the last step that it came to."""
    assert found["steps"][-1]["end"] == "writes", found["steps"]
    return found["steps"][-1]["request"]


@pytest.mark.parametrize(
    ("vendor", "operation", "step"),
    [
        ("sap", "create_customer", "match_erp_customer"),
        ("sap", "create_order", "create_order"),
        ("zoho", "create_customer", "match_books_customer"),
        ("zoho", "create_invoice", "create_invoice"),
        ("zoho", "send_invoice", "send_invoice"),
        ("salesforce", "update_deal", "write_back"),
    ],
)
def test_what_it_shows_is_what_is_sent_and_it_sends_nothing(
    system: System, deal: Deal, writes: Record, vendor: str, operation: str, step: str
) -> None:
    letter_id = stopped(system, deal, vendor, operation)
    before = state_of(system)
    writes.clear()

    found = dry_run(system, letter_id)

    assert writes == []
    assert state_of(system) == before
    assert found["steps"][-1]["step"] == step
    shown = request_of(found)
    assert EMAIL not in json.dumps(found)
    assert "Harbour" not in json.dumps(found)
    assert not [word for word in SECRETS if word in json.dumps(found).lower()]

    system.dead_letters("replay", str(letter_id), "--yes")
    system.wait_for("done", deal)
    method, target, body = writes[0]
    assert (shown["method"], shown["address"].partition("127.0.0.1")[2].partition("/")[2]) == (method, target[1:])
    assert shown["body"] == like(shown["body"], body)


def like(shown: Any, sent: Any) -> Any:
    """*sent*, with *** where *shown* has it and something was sent."""
    if shown == "***":
        return "***" if sent else sent
    if isinstance(shown, dict) and isinstance(sent, dict):
        return {name: like(shown.get(name), value) for name, value in sent.items()}
    if isinstance(shown, list) and isinstance(sent, list) and len(shown) == len(sent):
        return [like(*pair) for pair in zip(shown, sent, strict=True)]
    return sent


def test_it_tells_what_is_done_and_reads_the_deal_once(system: System, sandbox: Sandbox, deal: Deal) -> None:
    letter_id = stopped(system, deal, "zoho", "create_invoice")
    queries = sandbox.calls()["salesforce"]["operations"]["query"]

    found = dry_run(system, letter_id)

    [order], _ = system.documents(deal)
    done = {(each["kind"], each["system"]): each["number"] for each in found["done"]}
    assert done["order", "s4hana"] == order["id"]
    assert {("customer", "s4hana"), ("customer", "zoho_books")} <= set(done)
    assert [(step["step"], step["end"]) for step in found["steps"]] == [
        ("fetch_deal", "done"),
        ("match_erp_customer", "done"),
        ("match_books_customer", "done"),
        ("create_invoice", "writes"),
    ]
    assert found["later"] == ["send_invoice", "write_back"]
    assert found["source"]["changes"] == []
    assert sandbox.calls()["salesforce"]["operations"]["query"] == queries + 1


def test_a_customer_that_it_finds_is_not_linked_by_it(system: System, deal: Deal) -> None:
    letter_id = stopped(system, deal, "sap", "create_order")
    with system.store.begin() as uow:
        uow.connection.execute(links.delete())
        uow.connection.execute(ledger.delete().where(ledger.c.kind == "customer"))
    before = state_of(system)

    found = dry_run(system, letter_id)

    assert found["steps"][-1]["step"] == "create_order"
    assert request_of(found)["body"]["SoldToParty"]
    assert state_of(system) == before


def test_a_changed_amount_is_shown_refused_and_accepted(system: System, sandbox: Sandbox, deal: Deal) -> None:
    letter_id = stopped(system, deal, "zoho", "create_invoice")
    with sandbox.salesforce.lock:
        sandbox.salesforce.org.update("OpportunityLineItem", deal.line_ids[0], {"Quantity": Decimal(201)})

    found = dry_run(system, letter_id)
    refused = system.run("celery", "-A", "crmsync", "dead-letters", "replay", str(letter_id), "--yes")
    accepted = dry_run(system, letter_id, "--accept-changes")

    fields = {change["field"]: (change["before"], change["after"]) for change in found["source"]["changes"]}
    assert fields["amount"] == ("47,000.00 USD", "47,235.00 USD")
    assert fields["line SENSOR-100: quantity"] == ("200", "201")
    assert (bool(found["refusal"]), found["steps"][-1]["end"]) == (True, "stops")
    assert refused.returncode == 1
    assert found["command"] in refused.stderr
    assert request_of(accepted)["body"]["line_items"][0]["quantity"] == 201

    system.dead_letters("replay", str(letter_id), "--yes", "--accept-changes")
    system.wait_for("done", deal)
    [order], [invoice] = system.documents(deal)
    assert (f"{order['net']:.2f}", f"{invoice['sub_total']:.2f}") == ("47000.00", "47235.00")


def test_where_an_answer_was_lost_it_looks_first_and_takes_what_is_there(
    system: System, sandbox: Sandbox, deal: Deal
) -> None:
    sandbox.faults.add("sap", "lost", "create_order", times=1)
    sandbox.faults.add("sap", "refuse", "find_order", **OF_THE_DEAL["sap"])
    system.close(deal.id)
    system.wait_for("stopped", deal)
    sandbox.faults.clear()
    before = state_of(system)

    found = dry_run(system, system.letter_of(deal).id)

    [order], _ = system.documents(deal)
    [step] = [step for step in found["steps"] if step["step"] == "create_order"]
    assert step["end"] == "done"
    assert step["notes"] == [
        f"An answer about order SF-{deal.id} was lost: the run searches for it there first.",
        f"Order {order['id']} exists: it is used, not created again.",
    ]
    assert state_of(system) == before
    with system.store.read() as uow:
        [entry] = [each for each in uow.ledger.of_run(system.run_of(deal).id) if each.key.kind == "order"]
    assert entry.state in (EntryState.SENT, EntryState.UNKNOWN)


def test_a_payment_that_could_not_be_written_shows_what_is_written(
    system: System, sandbox: Sandbox, deal: Deal, writes: Record
) -> None:
    system.close(deal.id)
    system.wait_for("done", deal)
    _, [invoice] = system.documents(deal)
    sandbox.faults.add("salesforce", "refuse", "update_deal", **OF_THE_DEAL["salesforce"])
    sandbox.invoices.pay(invoice["number"], webhook=True)
    [letter] = until(lambda: [each for each in system.letters() if each.flow == "invoice_to_deal"], what="it stops")
    sandbox.faults.clear()
    before = state_of(system)
    writes.clear()

    found = dry_run(system, letter.id)

    assert (state_of(system), writes) == (before, [])
    shown = request_of(found)
    assert (shown["method"], shown["body"]["Payment_Received__c"]) == ("PATCH", True)


@pytest.mark.parametrize(("vendor", "operation"), [("sap", "create_order"), ("zoho", "create_invoice")])
def test_by_the_api_a_worker_finds_the_same_and_sends_nothing(
    system: System, deal: Deal, writes: Record, vendor: str, operation: str
) -> None:
    letter_id = stopped(system, deal, vendor, operation)
    before = state_of(system)
    writes.clear()

    answer = dry_run_by_api(system, letter_id)

    assert (writes, state_of(system)) == ([], before)
    of_command = dry_run(system, letter_id)
    assert request_of(answer["foreseen"])["body"]
    # The command is pasted where crmsync runs, and its letter is a little older.
    own = {name: of_command[name] for name in ("command", "age_seconds")}
    assert {**answer["foreseen"], **own} == of_command
    assert answer["foreseen"]["command"] in of_command["command"]
    assert str(system.home) not in json.dumps(answer)
    assert EMAIL not in json.dumps(answer)
    assert "Harbour" not in json.dumps(answer)


def test_a_dry_run_by_the_api_does_not_keep_its_worker_from_sending(system: System, deal: Deal) -> None:
    """The same process does both."""
    letter_id = stopped(system, deal, "sap", "create_order")
    assert dry_run_by_api(system, letter_id)["is_dry_run"] is True

    system.dead_letters("replay", str(letter_id), "--yes")

    system.wait_for("done", deal)
