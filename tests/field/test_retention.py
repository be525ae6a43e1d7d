"""Cases from the field: what a step learned of persons is kept for as long as it is needed, and no longer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from crmsync.cli import forget as command
from crmsync.cli.main import cli
from crmsync.domain.deals import Deal
from crmsync.domain.ledger import EntryKey
from crmsync.domain.retention import reduced
from crmsync.domain.runs import Run
from crmsync.errors import InvalidDealError
from crmsync.flows import invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.services import Services
from crmsync.store import Store
from crmsync.store.tables import metadata
from crmsync.worker import retention, starting
from tests.builders import customer, deal
from tests.fakes import DEFAULT, FakeClock, add_link

DAY = 86_400.0
ACCOUNT = "001xx000003dgb2AAA"
CUSTOMER = EntryKey("zoho_books", "customer", ACCOUNT.upper())
PERSON = customer(email="ida@acme.test", first_name="Ida", last_name="Quermann", tax_number="DE811", key=ACCOUNT)
WHAT_IS_PERSONAL = ("ida@acme.test", "Quermann", "DE811", "Main Street", "Acme Ltd")
NET = {"amount": "47000.00", "currency": "USD"}
LEARNED: Mapping[str, Mapping[str, Any]] = {
    "fetch_deal": deal(customer=PERSON).to_json(),
    "match_erp_customer": {"customer_key": "1000123"},
    "create_order": {
        "key": "1",
        "number": "4711",
        "net": {"amount": "47000.00", "currency": "USD"},
        "customer": ACCOUNT,
    },
    "match_books_customer": {"customer_key": "9"},
    "create_invoice": {"key": "2", "number": "INV-7", "net": NET},
    "send_invoice": {"invoice": "INV-7"},
    "write_back": {"order_number": "4711", "invoice_number": "INV-7", "status": "Synced"},
}


def run_of(store: Store, run_id: str) -> Run | None:
    with store.read() as uow:
        return uow.runs.get(run_id)


def work_through(store: Store, subject: str, *, until: str = "") -> str:
    """A deal's run that has gone through all its steps, or stands at *until*."""
    flow = order_to_invoice.FLOW
    with store.begin() as uow:
        uow.deliveries.add("salesforce", subject, event_key=f"event of {subject}")
        run_id, _ = flow.open_run(uow, DEFAULT, subject, correlation_id="c")
        uow.ledger.reserve(EntryKey("zoho_books", "customer", ACCOUNT.upper()), run_id, certain_at=uow.now)
        uow.ledger.confirmed(
            EntryKey("zoho_books", "customer", ACCOUNT.upper()),
            {"key": "9", "name": "Acme Ltd", "matched_by": "e-mail"},
        )
        add_link(uow, "zoho_books", "customer", ACCOUNT, "9", origin="e-mail")
    for step, following in zip(flow.steps, (*flow.steps[1:], None), strict=True):
        if step == until:
            break
        with store.begin() as uow:
            run = uow.runs.claim(run_id, step, first_step=flow.steps[0], lease_seconds=60)
            assert run is not None
            uow.runs.finish_step(
                run, LEARNED[step], next_step=following, queued_until=uow.now, title="Acme Ltd – 200 sensors"
            )
            uow.history.note(run, "done")
    return run_id


def stop(store: Store, run_id: str, step: str) -> None:
    with store.begin() as uow:
        run = uow.runs.claim(run_id, step, first_step="fetch_deal", lease_seconds=60)
        assert run is not None
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, InvalidDealError("Something is missing."))


def dump(store: Store) -> str:
    """Everything that the tables hold, as text."""
    with store.read() as uow:
        rows = [uow.connection.execute(select(table)).mappings().all() for table in metadata.sorted_tables]
    return json.dumps([[dict(row) for row in table] for table in rows], default=str)


def told(store: Store) -> list[str]:
    held = dump(store)
    return [word for word in WHAT_IS_PERSONAL if word in held]


def test_O4__what_a_step_learned_of_persons_is_gone_after_the_set_number_of_days(
    services: Services, clock: FakeClock
) -> None:
    run_id = work_through(services.store, "006A")
    clock.advance(89 * DAY)
    retention.prune(services)
    assert told(services.store) == list(WHAT_IS_PERSONAL)

    clock.advance(2 * DAY)
    retention.prune(services)

    assert told(services.store) == []
    run = run_of(services.store, run_id)
    assert run is not None
    assert run.results["create_invoice"] == LEARNED["create_invoice"], "numbers and amounts stay"
    assert run.results["fetch_deal"]["customer"] == {"key": ACCOUNT}
    with services.store.read() as uow:
        assert uow.history.of_run(run_id) == []
        assert uow.deliveries.counts(None) == {"salesforce": 1}, "how many there were is still known"
        assert uow.deliveries.last_received_at("salesforce") is None


def test_O15__a_clock_that_was_ahead_puts_off_no_retention(services: Services, clock: FakeClock) -> None:
    clock.advance(3000 * DAY)
    retention.prune(services)
    clock.advance(-3000 * DAY)
    work_through(services.store, "006A")
    clock.advance(91 * DAY)

    retention.prune(services)

    assert told(services.store) == []


@pytest.mark.parametrize("state", ["active", "stopped"])
def test_O4__what_is_under_way_or_waits_for_a_person_keeps_what_it_needs(
    services: Services, clock: FakeClock, state: str
) -> None:
    run_id = work_through(services.store, "006A", until="create_invoice")
    if state == "stopped":
        stop(services.store, run_id, "create_invoice")
    clock.advance(400 * DAY)

    retention.prune(services)

    run = run_of(services.store, run_id)
    assert run is not None
    assert Deal.from_json(run.results["fetch_deal"]).customer == PERSON
    with services.store.read() as uow:
        assert len(uow.history.of_run(run_id)) == 4
        assert len(uow.dead_letters.list(None)) == (state == "stopped")


def test_O4__a_pruned_deal_that_is_announced_again_is_not_done_again(services: Services, clock: FakeClock) -> None:
    run_id = work_through(services.store, "006A")
    clock.advance(91 * DAY)
    retention.prune(services)

    with services.store.begin() as uow:
        assert uow.deliveries.add("salesforce", "006A", event_key="event of 006A"), "the event itself is forgotten"
        to_enqueue = starting.start(uow, order_to_invoice.FLOW, DEFAULT, "006A", correlation_id="c")

    assert to_enqueue is not None
    assert order_to_invoice.FLOW.undone(to_enqueue[1]) == ["fetch_deal"], "it is looked at, and nothing is made"
    run = run_of(services.store, run_id)
    assert run is not None
    assert {"create_order", "create_invoice", "send_invoice"} <= run.results.keys()
    with services.store.begin() as uow:
        entry = uow.ledger.get(CUSTOMER)
        assert entry is not None
        assert entry.document == {"key": "9", "name": "", "matched_by": "e-mail"}


def test_O4__a_payment_that_is_announced_again_after_its_run_is_gone_is_looked_at_anew(
    services: Services, clock: FakeClock
) -> None:
    with services.store.begin() as uow:
        for flow, step in ((payment_to_invoices.FLOW, "find_invoices"), (invoice_to_deal.FLOW, "read_invoice")):
            run_id, _ = flow.open_run(uow, DEFAULT, "900", correlation_id="c")
            run = uow.runs.claim(run_id, step, first_step=step, lease_seconds=60)
            assert run is not None
            uow.runs.finish_step(run, {}, next_step=None, queued_until=uow.now, title="Acme Ltd – 200 sensors")
    clock.advance(91 * DAY)

    retention.prune(services)

    with services.store.begin() as uow:
        assert uow.runs.counts(None) == {}
        to_enqueue = starting.start(uow, payment_to_invoices.FLOW, DEFAULT, "900", correlation_id="c")
    assert to_enqueue is not None


def test_O4__it_goes_on_where_it_left_off_and_rests_when_nothing_is_left(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "SECONDS", -1.0)  # every sweep has time for one batch
    for number in range(5):
        work_through(services.store, f"006{number}")
    clock.advance(91 * DAY)

    def left() -> int:
        with services.store.read() as uow:
            return sum(not run.is_reduced for run in uow.runs.newest(None, limit=9))

    seen = []
    for _ in range(4):
        retention.prune(services)
        seen.append(left())

    assert seen == [3, 1, 0, 0]
    for _ in range(9):
        retention.prune(services)
    with services.store.read() as uow:
        next_at = uow.facts.get("retention.next")
    assert next_at == (clock.now + timedelta(hours=1)).isoformat()


def test_O4__nothing_is_forgotten_where_that_was_asked_for(services: Services, clock: FakeClock) -> None:
    settings = services.settings
    services.settings = replace(settings, behaviour=replace(settings.behaviour, keep_days=0))
    work_through(services.store, "006A")
    clock.advance(4000 * DAY)

    retention.prune(services)

    assert told(services.store) == list(WHAT_IS_PERSONAL)


def test_O4__what_another_release_learned_is_reduced_as_well() -> None:
    assert reduced({"fetch_deal": None, "new_step": {"email": "ida@acme.test", "note": "ask ida@acme.test"}}) == {
        "fetch_deal": {},
        "new_step": {"email": "***", "note": "ask ***"},
    }


# -- forgetting one customer


@pytest.fixture
def of_command(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setattr(command, "open_services", lambda: services)
    return services


def forget(*arguments: str, says: str = "") -> Result:
    return CliRunner().invoke(cli, ["forget", *arguments], input=says, env={"COLUMNS": "200"})


@pytest.mark.parametrize("account", [ACCOUNT, ACCOUNT[:15], "BOOKS=9", "books=9"])
def test_O4__forget_removes_what_is_known_of_one_customer_and_says_what_stays(
    of_command: Services, account: str
) -> None:
    work_through(of_command.store, "006A")
    with of_command.store.begin() as uow:
        other, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, "006B", correlation_id="c")

    result = forget(account, "--yes", "--json")

    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["account"], said["under_way"]) == (ACCOUNT, [])
    assert (said["removed"]["runs"], said["removed"]["history lines"]) == (1, 7)
    assert said["stays"] == {"links": 1, "ledger rows": 1}
    assert told(of_command.store) == []
    assert run_of(of_command.store, other) is not None


def test_O4__nothing_is_left_in_the_file_of_the_database(of_command: Services) -> None:
    if not of_command.store.is_sqlite:
        pytest.skip("PostgreSQL's vacuum overwrites it")
    work_through(of_command.store, "006A")

    forget(ACCOUNT, "--yes")

    path = Path(str(of_command.store.engine.url.database))
    held = path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
    assert [word for word in WHAT_IS_PERSONAL if word.encode() in held] == []


def test_O4__a_dry_run_of_forget_changes_nothing(of_command: Services) -> None:
    work_through(of_command.store, "006A")
    before = dump(of_command.store)

    result = forget(ACCOUNT, "--dry-run")

    assert "Would be removed" in result.stdout
    assert dump(of_command.store) == before


def test_O4__forget_asks_first(of_command: Services) -> None:
    work_through(of_command.store, "006A")

    result = forget(ACCOUNT, says="n\n")

    assert result.exit_code == 1
    assert told(of_command.store) == list(WHAT_IS_PERSONAL)


def test_O4__a_deal_that_is_under_way_is_named_and_not_broken(of_command: Services) -> None:
    run_id = work_through(of_command.store, "006A", until="create_invoice")

    result = forget(ACCOUNT, "--yes", "--json")

    assert (result.exit_code, json.loads(result.stdout)["under_way"]) == (1, [run_id])
    run = run_of(of_command.store, run_id)
    assert run is not None
    assert Deal.from_json(run.results["fetch_deal"]).customer == PERSON


def test_O4__a_deal_that_is_looked_at_again_is_under_way_as_well(of_command: Services) -> None:
    """What it learned of the customer stands elsewhere then, and must not be left there unsaid."""
    run_id = work_through(of_command.store, "006A")
    with of_command.store.begin() as uow:
        assert starting.start(uow, order_to_invoice.FLOW, DEFAULT, "006A", correlation_id="c") is not None

    result = forget(ACCOUNT, "--yes", "--json")

    assert (result.exit_code, json.loads(result.stdout)["under_way"]) == (1, [run_id])


def test_O4__a_customer_that_nobody_knows_is_no_error(of_command: Services) -> None:
    assert "Nothing is known about 001nobody" in forget("001nobody", "--yes").stdout
    for link in ("ERP=77", "ERP="):
        assert "No customer is linked" in forget(link, "--yes").stderr


def test_O4__a_number_is_found_however_it_is_written_and_never_stands_for_one_of_several(of_command: Services) -> None:
    with of_command.store.begin() as uow:
        add_link(uow, "s4hana", "customer", "001first", "0000000078", origin="created")
    assert json.loads(forget("ERP=78", "--dry-run", "--json").stdout)["account"] == "001first"

    with of_command.store.begin() as uow:
        add_link(uow, "s4hana", "customer", "001second", "78", origin="created")
    assert "name one: 001first, 001second." in " ".join(forget("ERP=0078", "--yes").stderr.split())
    assert "ERP=… or BOOKS=…" in " ".join(forget("78", "--yes").stdout.split())


def test_O4__forgetting_again_finds_nothing_and_says_so(of_command: Services) -> None:
    work_through(of_command.store, "006A")
    forget(ACCOUNT, "--yes")

    again = forget(ACCOUNT, "--yes")

    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, f"Nothing of {ACCOUNT} is left to remove.")
