"""Cases from the field: whatever number people have, the run is found, or it is said where it was looked for."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import event

from crmsync.domain.ledger import EntryKey
from crmsync.errors import PermanentError
from crmsync.flows import deal_status, invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.services import Services
from crmsync.store import UnitOfWork, finding
from crmsync.worker.finding import find
from tests.fakes import DEFAULT, FakeClock, add_link, run_of_subject

DEAL = "006xx0000012abcAAA"
SHORT = DEAL[:15]
ACCOUNT = "001xx000003DGb2AAG"


def made(uow: UnitOfWork, run_id: str, connection: str, kind: str, number: str, key: str, reference: str) -> None:
    entry = EntryKey(connection, kind, reference)
    uow.ledger.reserve(entry, run_id, certain_at=uow.now)
    uow.ledger.confirmed(entry, {"key": key, "number": number})


@pytest.fixture(autouse=True)
def business(services: Services) -> None:
    """A deal with its order, its invoice and a payment, and another deal of another company."""
    with services.store.begin() as uow:
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, DEAL, correlation_id="c0ffee")
        run = uow.runs.claim(run_id, "fetch_deal", lease_seconds=60)
        assert run is not None
        uow.runs.finish_step(
            run,
            {"key": DEAL, "customer": {"key": ACCOUNT}},
            next_step="match_erp_customer",
            queued_until=uow.now,
            title="Muster GmbH – 200 sensors",
            amount=Decimal(47000),
            currency="EUR",
        )
        made(uow, run_id, "s4hana", "order", "0000004734", "4734", f"SF-{DEAL}")
        made(uow, run_id, "zoho_books", "invoice", "INV-000001", "98200001", f"SF-{DEAL}")
        add_link(uow, "s4hana", "customer", ACCOUNT, "0010001234", origin="created")
        add_link(uow, "zoho_books", "customer", ACCOUNT, "460000000099", origin="created")
        invoice_to_deal.FLOW.open_run(uow, DEFAULT, "98200001", correlation_id="c2")
        payment_to_invoices.FLOW.open_run(uow, DEFAULT, "46000777", correlation_id="c3")
        uow.applications.replace("zoho_books", "46000777", ["98200001"], paid_on=date(2026, 11, 20))
        other, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, "006xx0000012zzzAAA", correlation_id="c4")
        stopped = uow.runs.claim(other, "fetch_deal", lease_seconds=60)
        assert stopped is not None
        uow.dead_letters.add(stopped, PermanentError("It can't be done."))


def found(services: Services, text: str) -> list[tuple[str, str]]:
    with services.store.read() as uow:
        return [(hit.run.subject_key, hit.what) for hit in find(uow, None, text) if hit.is_direct]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("INV-000001", "invoice INV-000001"),
        ("inv 000001", "invoice INV-000001"),
        ("INV000001", "invoice INV-000001"),
        ("v 000001", "invoice INV-000001"),
        (" inv-000001 ", "invoice INV-000001"),
        ("invoice INV-000001", "invoice INV-000001"),
        ("4734", "order 0000004734"),
        ("0000004734", "order 0000004734"),
        ("order 4734", "order 0000004734"),
        ("#4734", "order 0000004734"),
        ("４７３４", "order 0000004734"),
        ("INV\u2011000001.", "invoice INV-000001"),
        ("https://books.test/app/123#/invoices/98200001", "invoice INV-000001"),
        (f"https://acme.test/lightning/r/Opportunity/{DEAL}/view", "id"),
        ("GmbH – 200", "name or part of an id"),
        (DEAL, "id"),
        (SHORT, "id"),
        (f"SF-{DEAL}", "id"),
        (f"SF-{DEAL}-2", "id"),
        (f"sf-{DEAL.lower()}", "name or part of an id"),
        (f"deal {DEAL.upper()}", "name or part of an id"),
        (f"Reference: SF-{DEAL}", "id"),
        ("sales order 4734", "order 0000004734"),
        (f"opportunity {DEAL}", "id"),
        ("c0ffee", "correlation id"),
        ("10001234", "customer 0010001234"),
        ("0010001234", "customer 0010001234"),
        ("customer 460000000099", "customer 460000000099"),
        (ACCOUNT, "account"),
        (ACCOUNT[:15], "account"),
        ("200 sensors", "name or part of an id"),
        ("muster", "name or part of an id"),
    ],
)
def test_P15__a_deal_is_found_by_any_number_that_people_have(services: Services, text: str, what: str) -> None:
    assert (DEAL, what) in found(services, text)
    of_deals = {subject for subject, _ in found(services, text) if subject.startswith("006")}
    assert of_deals == {DEAL}


def test_P15__a_deal_comes_before_what_tells_of_it(services: Services) -> None:
    with services.store.begin() as uow:
        deal_status.FLOW.open_run(uow, DEFAULT, DEAL, correlation_id="c5")

        assert [hit.run.flow for hit in find(uow, None, DEAL)] == ["order_to_invoice", "deal_status"]


def test_P15__an_id_of_a_run_is_found_in_capitals_and_by_its_beginning(services: Services) -> None:
    with services.store.begin() as uow:
        run_id, _ = order_to_invoice.FLOW.open_run(
            uow, DEFAULT, "006xx0000012hexAAA", correlation_id="edfd207e18c943fe"
        )

    for text in (run_id.upper(), "EDFD207E18C943FE", "Correlation ID: edfd207e18c943fe"):
        assert [subject for subject, _ in found(services, text)] == ["006xx0000012hexAAA"]
    for text in (run_id[:8], "edfd207e", "EDFD207E18"):
        assert found(services, text) == [("006xx0000012hexAAA", "beginning of an id")]


def test_P15__a_dead_letter_is_found_by_its_id(services: Services) -> None:
    for text in ("1", "dead letter 1", "#1"):
        assert found(services, text) == [("006xx0000012zzzAAA", "dead letter 1")]


def test_P15__a_payment_is_found_with_the_runs_that_it_belongs_to(services: Services) -> None:
    with services.store.read() as uow:
        hits = [(hit.run.flow, hit.what, hit.is_direct) for hit in find(uow, None, "46000777")]

    assert hits == [
        ("payment_to_invoices", "id", True),
        ("invoice_to_deal", "invoice that it pays", False),
        ("order_to_invoice", "invoice INV-000001", False),
    ]


def test_P15__an_invoice_is_found_with_its_payments(services: Services) -> None:
    with services.store.read() as uow:
        hits = find(uow, None, "INV-000001")

    assert hits[0].what == "invoice INV-000001"
    assert {hit.run.flow for hit in hits[1:]} == {"invoice_to_deal", "payment_to_invoices"}


def test_P15__digits_with_zeros_in_front_are_part_of_a_number_and_no_dead_letter(services: Services) -> None:
    hits = found(services, "000001")

    assert hits[0] == (DEAL, "invoice INV-000001")
    assert "dead letter 1" not in [what for _, what in hits]


def test_P15__a_payment_is_found_by_the_number_that_the_books_show(services: Services) -> None:
    """A small number, which may be a dead letter's as well: who says that it is a payment's gets no letter."""
    with services.store.begin() as uow:
        run = run_of_subject(uow, "payment_to_invoices", "46000777")
        assert run is not None
        held = uow.runs.claim(run.id, "find_invoices", lease_seconds=60)
        assert held is not None
        uow.runs.finish_step(held, {"ours": [], "number": "1"}, next_step=None, queued_until=uow.now)

    assert found(services, "Payment 1") == [("46000777", "payment 1")]
    assert found(services, "payment no. 1") == [("46000777", "payment 1")]


def test_a_part_is_looked_for_among_the_newest_unless_all_are_wanted(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of names, of documents' numbers, and the numbers that the books give payments."""
    monkeypatch.setattr(finding, "WINDOW", 2)
    monkeypatch.setattr(finding, "DOCUMENTS", 2)
    with services.store.begin() as uow:
        payment = run_of_subject(uow, "payment_to_invoices", "46000777")
        assert payment is not None
        held = uow.runs.claim(payment.id, "find_invoices", lease_seconds=60)
        assert held is not None
        uow.runs.finish_step(held, {"ours": [], "number": "29"}, next_step="find_invoices", queued_until=uow.now)
    for number in range(3):
        clock.advance(60)
        with services.store.begin() as uow:
            for flow in (order_to_invoice.FLOW, payment_to_invoices.FLOW):
                run_id, _ = flow.open_run(uow, DEFAULT, f"new-{number}", correlation_id="c")
            made(uow, run_id, "s4hana", "order", f"80000{number}", f"80000{number}", f"SF-new-{number}")

    for text, what in (
        ("muster", "name or part of an id"),
        ("v 000001", "invoice INV-000001"),
        ("payment 29", "payment 29"),
    ):
        with services.store.read() as uow:
            assert what not in [hit.what for hit in find(uow, None, text, everything=False)]
            assert what in [hit.what for hit in find(uow, None, text)]
    with services.store.read() as uow:
        assert next(hit.run.subject_key for hit in find(uow, None, "new-", everything=False)) == "new-2"


def test_a_company_is_found_by_its_name_however_old_its_deals_are(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "WINDOW", 1)
    with services.store.begin() as uow:
        add_link(uow, "s4hana", "customer", "001xx000003NAMEDA", "77", origin="created", name="Nordwind AG")
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, "006xx0000012oldAAA", correlation_id="c")
        run = uow.runs.claim(run_id, "fetch_deal", lease_seconds=60)
        assert run is not None
        learned = {"customer": {"key": "001xx000003NAMEDA"}}
        uow.runs.finish_step(run, learned, next_step="match_erp_customer", queued_until=uow.now)
    clock.advance(60)
    with services.store.begin() as uow:
        order_to_invoice.FLOW.open_run(uow, DEFAULT, "006xx0000012newAAA", correlation_id="c")

        hits = find(uow, None, "nordwind", everything=False)

    assert [(hit.run.subject_key, hit.what) for hit in hits] == [("006xx0000012oldAAA", "customer Nordwind AG")]


NONSENSE = ["", "  ", "%", "_", "INV-9", "9" * 20, "9" * 5000, "x" * 100_000, "'; DROP TABLE runs"]


@pytest.mark.parametrize("text", [*NONSENSE, "\u202e", "\0", "a\0b", "\ud800"], ids=lambda text: ascii(text[:24]))
def test_P15__what_is_not_there_is_not_found(services: Services, text: str) -> None:
    assert found(services, text) == []


def test_P15__a_number_costs_no_reading_of_all_runs(services: Services) -> None:
    """Each question about runs and documents is answered by an index, on SQLite as on PostgreSQL."""
    asked: list[tuple[str, object]] = []
    engine = services.store.engine

    def note(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with services.store.read() as uow:
        find(uow, None, "INV-000001")
    event.remove(engine, "before_cursor_execute", note)
    if not services.store.is_sqlite:
        pytest.skip("PostgreSQL reads a small table as a whole, whatever its indexes")
    with engine.connect() as connection:
        for statement, parameters in asked:
            if "FROM runs" in statement or "FROM ledger" in statement:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                assert not [row for row in plan if str(row[3]).startswith(("SCAN runs", "SCAN ledger"))], statement


def test_P15__the_command_line_finds_it(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from crmsync.cli import runs

    monkeypatch.setattr(runs, "open_services", lambda: services)

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(runs.runs, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    one = json.loads(said("show", "inv-000001", "--json"))
    assert (one["deal"], [each["flow"] for each in one["related"]]) == (
        DEAL,
        ["invoice_to_deal", "payment_to_invoices"],
    )
    assert "Related" in said("show", "4734") or "Muster" in said("show", "4734")
    assert "customer 0010001234" in said("list", "--find", "10001234")
    assert "Searched: ids of runs" in said("list", "--find", "INV-9")


def test_P15__several_that_may_be_meant_are_listed(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from crmsync.cli import runs

    monkeypatch.setattr(runs, "open_services", lambda: services)
    with services.store.begin() as uow:
        run = run_of_subject(uow, "order_to_invoice", "006xx0000012zzzAAA")
        assert run is not None
        made(uow, run.id, "zoho_books", "invoice", "4734", "98200002", "SF-006xx0000012zzzAAA")

    output = CliRunner().invoke(runs.runs, ["show", "4734"]).output

    assert "order 0000004734" in output
    assert "invoice 4734" in output
