"""What a campaign does and says: its cases, its verdicts, its matrix, its page, its repeat commands."""

from __future__ import annotations

import os
import shlex
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select

from crmsync.celery import app
from crmsync.errors import CrmsyncError, InvalidDealError, StoreUnavailableError, VendorUnavailableError
from crmsync.lab import failpoints
from crmsync.lab.failpoints import BOUNDARIES
from crmsync.lab.prove import at_steps, subjects
from crmsync.lab.prove.at_vendors import FAILING, OWN_WAYS, SYSTEMS, spoilt
from crmsync.lab.prove.campaign import known_flows
from crmsync.lab.prove.matrix import Cell, add_up, matrices, summary
from crmsync.lab.prove.page import page
from crmsync.lab.prove.plan import (
    ANSWERS,
    CALLS,
    CREATES,
    FAULTS,
    FIRST,
    HANDED_BACK,
    LAST,
    UPGRADED,
    Case,
    Plan,
    boundaries_of,
    cases,
    failpoint_of,
    operation_of,
    repeat_command,
)
from crmsync.lab.prove.proxy import READ_ONLY, SSL_REQUEST, Proxy
from crmsync.lab.prove.runs import Watch
from crmsync.lab.prove.scenarios import SCENARIOS
from crmsync.lab.prove.scene import Tools
from crmsync.lab.prove.stage import BEHAVIOUR, LAG_SECONDS, LEASE_SECONDS, SETTLE_SECONDS, Stage
from crmsync.lab.prove.strange import STRANGERS, StrangeRows
from crmsync.lab.prove.verdict import Expected, Verdict, examine, examine_apart, examine_stock
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.account import Answer
from crmsync.lab.sandbox.kernel.faults import KINDS
from crmsync.store import Store, schema
from crmsync.store.tables import runs
from crmsync.worker import flow as flow_module
from tests.builders import NOW
from tests.fakes import start_run
from tests.unit.cli.conftest import Bury

# Without those that other tests make for themselves.
FLOWS = {
    name: steps
    for name, steps in known_flows().items()
    if (task := app.tasks.get(f"{name}.{steps[0]}")) and task.body.__module__.startswith("crmsync.flows.")
}
STEPS = [f"{flow}.{step}" for flow, steps in FLOWS.items() for step in steps]
ORDER = "order_to_invoice.create_order"
DEAL = Expected("006A", "Prove 1 Ltd", Decimal("100.00"))


# -- the plan


def test_every_fault_can_be_played() -> None:
    assert set(SCENARIOS) == set(FAULTS)


def test_every_step_of_every_flow_has_a_call_to_be_broken() -> None:
    assert {*CREATES, *CALLS} == set(STEPS)


def test_every_call_to_be_broken_is_one_of_the_sandbox() -> None:
    known = {vendor.name: vendor.operations for vendor in Sandbox().vendors}

    assert [step for step in STEPS if operation_of(step)[1] not in known[operation_of(step)[0]]] == []


@pytest.mark.parametrize("ahead", [True, False])
def test_a_whole_campaign_kills_at_every_boundary_of_every_step(ahead: bool) -> None:
    planned = cases(FLOWS, Plan(seed=1, runs_ahead=ahead))

    killed = [(case.step, case.boundary) for case in planned if case.fault == "kill"]
    assert killed == [(step, each) for step in STEPS for each in boundaries_of("kill", step, runs_ahead=ahead)]
    assert {case.fault for case in planned} == set(FAULTS) - {UPGRADED}
    assert len(planned) == len(set(planned))


def test_an_upgrade_is_tried_alone_and_only_where_an_earlier_release_is_named() -> None:
    assert cases(FLOWS, Plan(seed=1, only=(UPGRADED,))) == []
    assert cases(FLOWS, Plan(seed=1, previous="/opt/before/bin")) == [Case(UPGRADED)]


def test_only_a_step_that_makes_something_reserves_it() -> None:
    assert boundaries_of("kill", ORDER, runs_ahead=True) == list(BOUNDARIES)
    assert "reserved" not in boundaries_of("kill", "order_to_invoice.fetch_deal", runs_ahead=True)


def test_only_who_runs_ahead_hands_a_chain_back() -> None:
    of_first, of_order = (
        boundaries_of("kill", step, runs_ahead=True) for step in ("order_to_invoice.fetch_deal", ORDER)
    )

    assert "handing" in of_order
    assert not {"handing", "unacknowledged"} & set(of_first), "it ends well, and the message goes on"
    assert "handing" not in boundaries_of("kill", ORDER, runs_ahead=False)


def test_the_steps_that_are_handed_back_are_those_of_flows_that_run_ahead() -> None:
    known = [flow for flow in flow_module.FLOWS.values() if flow.name in FLOWS]
    flows = [flow for flow in known if len(flow.steps) > 1 and not flow.is_background]

    assert {flow.task_name(flow.steps[0]) for flow in flows} == FIRST
    assert {flow.task_name(flow.steps[-1]) for flow in flows} == LAST
    assert {flow.task_name(step) for flow in flows for step in flow.steps} == HANDED_BACK


def test_the_plan_may_name_faults_and_cases() -> None:
    plan = Plan(seed=1, only=("kill",), cases=(f"{ORDER}:sent",))

    assert cases(FLOWS, plan) == [Case("kill", ORDER, "sent")]
    assert cases(FLOWS, Plan(seed=1, only=("two-beats",))) == [Case("two-beats")]
    assert cases(FLOWS, Plan(seed=1, cases=("no.such:case",))) == []


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case("kill", ORDER, "sent"), f"{ORDER} sent create kill"),
        (
            Case("worker-stopped", "order_to_invoice.fetch_deal", "claimed"),
            "order_to_invoice.fetch_deal claimed any stop",
        ),
        (Case("kill", "invoice_to_deal.write_payment", "sent"), "invoice_to_deal.write_payment sent write kill"),
    ],
    ids=str,
)
def test_a_failpoint_strikes_at_the_call_for_which_its_step_exists(case: Case, expected: str) -> None:
    assert str(failpoint_of(case)) == expected


@pytest.mark.parametrize("case", cases(FLOWS, Plan(seed=1)), ids=str)
def test_the_repeat_command_is_exactly_its_case(case: Case) -> None:
    from crmsync.lab.prove.command import prove

    words = shlex.split(repeat_command(case, Plan(seed=1), seed=9))
    options = prove.make_context("prove", words[2:]).params

    again = Plan(seed=options["seed"], only=options["only"], cases=options["case_names"])
    assert words[:2] == ["crmsync", "prove"]
    assert again.seed == 9
    assert cases(FLOWS, again) == [case]


def test_the_repeat_command_names_where_it_ran() -> None:
    plan = Plan(seed=1, kills=200, database="postgresql://u@h/d", broker="amqp://u:secret@h//", pool="prefork")

    assert repeat_command(Case("random-kill"), plan, seed=3) == (
        "crmsync prove --only random-kill --seed 3 --kills 200 "
        "--database postgresql://u@h/d --broker 'amqp://u:***@h//' --pool prefork"
    )


def test_what_a_killed_worker_made_is_listed_between_the_next_look_and_the_end_of_its_settle_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the settle time the campaign would find it twice; with less of a lag it would not be needed."""
    sandbox, lags = Sandbox(), list[float]()
    stage = SimpleNamespace(sandbox=sandbox)
    stage.late_lists = partial(Stage.late_lists, cast(Stage, stage))
    of_flow = SimpleNamespace(of_flow=lambda *_: subjects.Subject((), lambda: None))
    tools = cast(Tools, SimpleNamespace(stage=stage, subjects=of_flow, settle=lambda _: True))

    def strike(*_: object) -> failpoints.Strike:
        lags.append(sandbox.profile.sap.lag_seconds)
        return failpoints.Strike(pid=1, at=0.0)

    monkeypatch.setattr(at_steps, "_strike", strike)
    for step in (ORDER, "order_to_invoice.fetch_deal"):
        at_steps.kill(tools, Case("kill", step, "sent"))

    assert lags == [LAG_SECONDS, 0.0]
    assert LEASE_SECONDS + float(BEHAVIOUR["CRMSYNC_SWEEP_SECONDS"]) < LAG_SECONDS < SETTLE_SECONDS
    assert sandbox.profile.sap.lag_seconds == 0


@pytest.mark.parametrize("can_write", [True, False])
def test_the_source_changes_only_where_somebody_can_bring_it_home_beside_the_stopped_worker(
    monkeypatch: pytest.MonkeyPatch, *, can_write: bool
) -> None:
    """Another thread of the stopped process may be inside a transaction of SQLite, which has one writer."""
    changes, went_on = list[str](), list[int]()

    @contextmanager
    def begin(*, durable: bool) -> Iterator[None]:
        if not can_write:
            raise StoreUnavailableError("Another process has been writing for too long.")
        yield

    subject = subjects.Subject((), lambda: None, lambda: changes.append("changed"))
    tools = SimpleNamespace(
        stage=SimpleNamespace(store=SimpleNamespace(begin=begin), failpoints=None),
        subjects=SimpleNamespace(of_flow=lambda *_: subject),
        watch=SimpleNamespace(wait=lambda *_: True, ended_runs=dict, changed_since=lambda _: []),
        settle=lambda _: True,
    )
    monkeypatch.setattr(at_steps, "_strike", lambda *_: failpoints.Strike(pid=4711, at=0.0))
    monkeypatch.setattr(failpoints, "has_left", lambda _: True)
    monkeypatch.setattr(os, "kill", lambda pid, _: went_on.append(pid))

    scene = at_steps.worker_stopped(cast(Tools, tools), Case("worker-stopped", ORDER, "stored"))

    assert changes == (["changed"] if can_write else [])
    assert went_on == [4711]
    assert scene.problems == []


# -- verdicts


def ledger(**changes: Any) -> dict[str, Any]:
    """A deal whose documents are right, half paid."""
    deal = {"id": "006A", "SAP_Order_Number__c": "1", "Zoho_Invoice_Number__c": "INV-1", "Payment_Received__c": False}
    invoice = {"id": "i1", "number": "INV-1", "reference": "SF-006A", "sub_total": "100.00", "total": "100.00"}
    return {
        "deals": [{**deal, "Payment_Amount__c": Decimal("50.00")}],
        "orders": [{"id": "1", "reference": "SF-006A", "net": "100.00"}],
        "invoices": [{**invoice, "balance": Decimal("50.00")}],
        "mails": [{"invoice_id": "i1"}],
        "customers": [{"name": "Prove 1 Ltd"}],
        "contacts": [{"name": "Prove 1 Ltd"}],
        "products": [],
        "duplicates": {"orders": {}},
        **changes,
    }


def test_what_is_right_has_no_findings() -> None:
    found = examine([DEAL], ledger())

    assert (found.lost, found.doubled) == ([], [])


@pytest.mark.parametrize("kind", ["orders", "invoices", "mails", "customers", "contacts"])
def test_what_is_missing_is_lost_and_what_is_there_twice_is_doubled(kind: str) -> None:
    rows = ledger()[kind]

    assert examine([DEAL], ledger(**{kind: []})).lost
    assert examine([DEAL], ledger(**{kind: rows * 2})).doubled


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("orders", {"net": "99.99"}),
        ("invoices", {"sub_total": "100.01"}),
        ("deals", {"SAP_Order_Number__c": None}),
        ("deals", {"Zoho_Invoice_Number__c": "INV-2"}),
        ("deals", {"Payment_Amount__c": None}),
        ("deals", {"Payment_Received__c": True}),
    ],
    ids=str,
)
def test_a_figure_that_is_wrong_is_lost(kind: str, change: dict[str, Any]) -> None:
    rows = [{**row, **change} for row in ledger()[kind]]

    assert examine([DEAL], ledger(**{kind: rows})).lost


def test_a_reference_that_two_documents_carry_is_doubled() -> None:
    found = examine([], ledger(duplicates={"orders": {"SF-006B": 2}}))

    assert found.doubled == ["2 orders under SF-006B"]


def test_a_document_of_another_companys_deal_is_found() -> None:
    stranger = {"id": "2", "reference": "SF-006Z-2", "net": "100.00"}
    by_hand = {**stranger, "reference": None}
    again = {**stranger, "reference": "SF-006A-2"}

    assert examine_apart(ledger()) == []
    assert examine_apart(ledger(orders=[by_hand, again])) == []
    assert examine_apart(ledger(orders=[stranger])) == ["orders hold SF-006Z-2, a deal of another company"]
    assert len(examine_apart(ledger(invoices=[stranger]))) == 1


def test_stock_that_is_not_the_erps_is_found() -> None:
    row = {"ProductCode": "A", "IsActive": True, "Available_Stock__c": 3, "stock": Decimal(3)}
    unknown, retired = {**row, "stock": None}, {**row, "IsActive": False, "Available_Stock__c": 1}

    assert examine_stock(ledger(products=[row, unknown, retired])) == []
    assert len(examine_stock(ledger(products=[{**row, "Available_Stock__c": None}]))) == 1


# -- the matrix and the page

GOOD = Verdict(Case("kill", ORDER, "sent"), 7, runs=1, seconds=4.14)
SLOWER = Verdict(Case("kill", ORDER, "sent"), 8, runs=2, seconds=9.0)
BAD = Verdict(Case("kill", ORDER, "stored"), 7, runs=1, doubled=("2 × <order>",), seconds=1.0, repeat="crmsync <x>")
WHOLE = Verdict(Case("two-beats"), 7, runs=24, strikes=4, seconds=2.0)
SKIPPED = Verdict(Case("disk-full"), 7, skipped="not here")


def test_seeds_of_one_case_are_added_up() -> None:
    assert add_up([GOOD, SLOWER]) == Cell(cases=2, runs=3, strikes=2, lost=0, doubled=0, stuck=0, seconds=9.0)
    assert add_up([SKIPPED]) is None


def test_the_matrix_has_a_cell_for_each_boundary() -> None:
    kills, whole = matrices([GOOD, BAD, WHOLE, SKIPPED])

    assert kills.columns == ("step", *BOUNDARIES)
    assert [str(cell) for cell in kills.rows[0]] == [ORDER, "", "", "✓ 4.1 s", "", "", "✗ 1 twice", "", ""]
    assert [row[0] for row in whole.rows] == ["kill", "two-beats", "disk-full"]
    assert whole.rows[1] == ("two-beats", "4", "24", "0", "0", "0", "2.0 s")
    assert whole.rows[2][-1] == "not here"


def test_a_boundary_that_a_step_does_not_have_is_shown_as_such() -> None:
    (kills, _) = matrices([Verdict(Case("kill", "order_to_invoice.fetch_deal", "sent"), 1)])

    assert str(kills.rows[0][2]) == "–"


def test_the_summary_counts_everything() -> None:
    assert summary([GOOD, BAD, WHOLE, SKIPPED]) == (
        "3 cases of 2 faults, 6 strikes, 26 runs: 0 lost, 1 twice, 0 stuck."
    )
    assert summary([]) == "Nothing was tried."


def test_the_summary_counts_no_run_twice_and_leaves_nothing_out_that_the_audit_found() -> None:
    audit = Verdict(Case("audit"), 1, runs=3, strikes=0, lost=("no mail of D1",))
    assert summary([GOOD, audit]) == "1 case of 1 fault, 1 strike, 1 run: 1 lost, 0 twice, 0 stuck."


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    tags = Tags()
    tags.feed(page([GOOD, BAD, WHOLE], {"Seed": "7"}))

    assert tags.open == []
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "img", "iframe"}
    assert not [name for _, attrs in tags.seen for name, _ in attrs if name in ("src", "href")]


def test_the_page_escapes_what_it_quotes() -> None:
    html = page([BAD], {"Database": "<b>"})

    assert "2 × &lt;order&gt;" in html
    assert "crmsync &lt;x&gt;" in html
    assert "&lt;b&gt;" in html
    assert "<order>" not in html


# -- what breaks the system


@pytest.fixture
def echo() -> Iterator[Proxy]:
    """A proxy before a server that says again what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while data := connection.recv(1000):
                    connection.sendall(data)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        proxy = Proxy(*server.getsockname())
        yield proxy
        proxy.close()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def session(proxy: Proxy) -> tuple[socket.socket, bytes]:
    """A session of PostgreSQL's protocol that has asked for encryption first, and its startup message as it arrived."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), 5)
    connection.sendall(struct.pack("!II", 8, SSL_REQUEST))
    assert connection.recv(1) == b"N"
    words = b"user\0prove\0\0"
    connection.sendall(struct.pack("!II", 8 + len(words), 196608) + words)
    return connection, connection.recv(1000)


def test_sessions_behind_the_proxy_are_read_only_for_as_long_as_they_last(echo: Proxy) -> None:
    connection, before = session(echo)
    with echo.read_only():
        other, during = session(echo)
    with connection, other:
        assert READ_ONLY.encode() not in before
        assert READ_ONLY.encode() in during
        assert struct.unpack("!I", during[:4])[0] == len(during)
    after, message = session(echo)
    after.close()
    assert READ_ONLY.encode() not in message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops packets as Linux can")
def test_a_connection_whose_packets_were_dropped_never_answers_again(echo: Proxy) -> None:
    connection, _ = session(echo)
    with connection:
        with echo.dropping(), socket.socket() as late:
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.connect(("127.0.0.1", echo.port))
        connection.sendall(b"hello?")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    again, _ = session(echo)
    again.close()


def test_the_clock_of_a_campaign_jumps_and_comes_back(tmp_path: Path) -> None:
    clock = failpoints.clock(tmp_path)
    failpoints.set_clock(tmp_path, 3600)
    assert clock() - datetime.now(UTC) > timedelta(minutes=59)
    failpoints.set_clock(tmp_path, 0)
    assert clock() - datetime.now(UTC) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("error", "is_over"),
    [(InvalidDealError("It has no lines."), True), (VendorUnavailableError("SAP is down."), False)],
)
def test_a_campaign_waits_for_what_goes_on_by_itself(
    store: Store, bury: Bury, error: CrmsyncError, is_over: bool
) -> None:
    bury(error=error)

    stage = cast("Stage", SimpleNamespace(store=store))
    assert Watch(stage).wait([], patience_seconds=0) is is_over


def test_a_campaign_waits_as_long_as_runs_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, counts = Watch(cast("Stage", SimpleNamespace(store=store))), iter((1, 1, 2, 2, 2, 3))
    asked: list[int] = []
    monkeypatch.setattr(watch, "_count_done", lambda: asked.append(next(counts)) or asked[-1])
    monkeypatch.setattr(watch, "_is_over", lambda _: len(asked) > 5)

    assert not watch.wait([], patience_seconds=0), "none has ended since the second question"
    assert asked == [1, 1]

    assert watch.wait([], patience_seconds=60), "patience begins anew with each that ends"
    assert asked == [1, 1, 2, 2, 2, 3]


def test_a_run_is_stuck_that_was_never_over_and_not_one_that_was_started_since(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.begin() as uow:
        start_run(uow, "order_to_invoice", "006A", step="fetch_deal", correlation_id="c", queued_until=NOW)
    stage = cast("Stage", SimpleNamespace(store=store))

    started_since = Watch(stage)
    monkeypatch.setattr(started_since, "wait", lambda expected, patience_seconds: True)

    assert started_since.until_ended([], 0) == []
    [stuck] = Watch(stage).until_ended([], 0)
    assert stuck.startswith("order_to_invoice 006A stands at fetch_deal")


def test_rows_of_another_release_come_and_go(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/crmsync.db")
    schema.ensure(store)
    with store.begin() as uow:
        run_id, _ = start_run(uow, "order_to_invoice", "006A", step="fetch_deal", correlation_id="c", queued_until=NOW)
    strange = StrangeRows(store)

    strange.put()
    strange.put()
    with store.read() as uow:
        rows = uow.connection.execute(select(runs.c.id, runs.c.flow, runs.c.step, runs.c.results)).all()
        mine = uow.runs.get(run_id)
    assert len(rows) == 1 + len(STRANGERS)
    assert mine is not None
    assert "step_of_tomorrow" in mine.results

    strange.take_away()
    with store.read() as uow:
        left = uow.connection.execute(select(runs.c.id)).scalars().all()
    store.close()
    assert left == [run_id]


@pytest.mark.parametrize("fault", ANSWERS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_answer_that_goes_wrong_is_a_fault_of_the_sandbox(fault: str, system: str) -> None:
    sandbox = Sandbox()
    for seed in range(20):
        assert sandbox.faults.add(**{**spoilt(fault, system, Random(seed)), "system": system}).kind in KINDS


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_way_in_which_a_sign_in_fails_is_known_to_the_sandbox(system: str) -> None:
    assert {f"{system}-{way}" for way in (*FAILING, *OWN_WAYS.get(system, ()))} <= set(Sandbox().faults.oddities)


def test_a_vendor_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "INSIST_SECONDS", 0.0)
    assert not subjects.Sender().insist(lambda: Answer(503, ""))
