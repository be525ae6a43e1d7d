"""`celery -A crmsync dead-letters`: what a person sees of failures, and what happens when they act."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from kombu.exceptions import OperationalError

from crmsync.alerts.content import dead_letter_alert
from crmsync.cli import options
from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import RunStatus
from crmsync.errors import (
    AmbiguousMatchError,
    AmountMismatchError,
    InvalidDealError,
    RejectedError,
    VendorUnavailableError,
)
from crmsync.store.tables import runs
from crmsync.worker import dead_letters as worker
from crmsync.worker.flow import Flow
from tests.builders import customer
from tests.fakes import start_run

OTHER_DEAL = "006xx0000012abdAAA"


class Broker:
    """What reaches the broker; it may be told to be down."""

    def __init__(self, monkeypatch):
        self.enqueued = []
        self.drawn = 0
        self.is_down = False
        monkeypatch.setattr(Flow, "enqueue", lambda _, run_id, results=None: self.enqueued.append(run_id))
        monkeypatch.setattr(worker, "redraw", lambda _: self._draw())

    def _draw(self):
        if self.is_down:
            raise OperationalError("down")
        self.drawn += 1


@pytest.fixture
def broker(monkeypatch):
    return Broker(monkeypatch)


def status_of(store, letter_id):
    with store.read() as uow:
        return uow.dead_letters.get(letter_id).status


def run_of(store, letter_id):
    with store.read() as uow:
        return uow.runs.get(uow.dead_letters.get(letter_id).run_id)


# -- list


def test_an_empty_list_says_so(run_letters, store):
    assert run_letters("list").output == "No dead letter waits.\n"
    assert json.loads(run_letters("list", "--json").output) == []


def test_list_tells_the_task_the_deal_the_company_the_amount_the_error_and_the_kind(run_letters, bury):
    bury()

    line = run_letters("list").output.splitlines()[1].split("  ")
    cells = [cell.strip() for cell in line if cell.strip()]

    assert cells[0] == "1"
    assert cells[2:] == [
        "order_to_invoice.create_order",
        "006xx0000012abcAAA",
        "Acme Ltd – 200 sensors",
        "47,000.00 USD",
        "VendorUnavailableError",
        "failure",
    ]


def test_a_payments_letter_says_so(run_letters, store):
    with store.begin() as uow:
        run_id, _ = start_run(
            uow, "payment_to_invoices", "46000001", step="find_invoices", correlation_id="c", queued_until=uow.now
        )
        run = uow.runs.claim(run_id, "find_invoices", lease_seconds=60)
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, RejectedError(system="Zoho Books"))

    assert "payment 46000001" in run_letters("list").output
    assert "Payment        46000001" in run_letters("show", "1").output
    found = json.loads(run_letters("list", "--json").output)[0]
    assert (found["flow"], found["subject"], found["deal"]) == ("payment_to_invoices", "payment", "46000001")


def test_a_letter_of_a_flow_that_repeats_is_of_no_company(run_letters, store):
    with store.begin() as uow:
        run_id, _ = start_run(
            uow, "compare_orders", "compare_orders", step="look_at_orders", correlation_id="c", queued_until=uow.now
        )
        run = uow.runs.claim(run_id, "look_at_orders", lease_seconds=60)
        uow.runs.stop(run, title="Checked 3 orders", amount=None, currency=None)
        letter, _ = uow.dead_letters.add(run, RejectedError(system="SAP S/4HANA"))

    shown = run_letters("show", "1").output
    assert "About          Checked 3 orders" in shown
    assert "Company" not in shown
    told = dead_letter_alert(letter, subject="comparison of orders", command="")
    assert ["About", "Checked 3 orders"] in told["facts"]
    assert "Company" not in dict(told["facts"])

    with store.begin() as uow:
        worker.revive(uow, run_id)
    assert "by its next period" in run_letters("show", "1").output


def test_list_folds_a_letter_where_the_terminal_is_narrow(run_letters, bury, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    bury()

    lines = run_letters("list").output.splitlines()

    assert "order_to_invoice.create_order" in lines[1]
    assert "VendorUnavailableError" in lines[2]


def test_list_shows_those_of_one_error(run_letters, bury):
    bury()
    bury(OTHER_DEAL, RejectedError("The material does not exist.", system="SAP S/4HANA"))

    found = json.loads(run_letters("list", "--error", "RejectedError", "--json").output)

    assert [(letter["deal"], letter["kind"], letter["amount"]) for letter in found] == [
        (OTHER_DEAL, "data", "47000.00")
    ]
    assert "BugError" in run_letters("list", "--error", "BugError").output


def test_list_shows_what_has_ended_only_when_asked(run_letters, bury, broker):
    bury()
    run_letters("discard", "1", "--yes", "--reason", "a test")

    assert run_letters("list").output == "No dead letter waits.\n"
    assert "discarded" in run_letters("list", "--all").output


def test_a_letter_whose_deal_was_never_read_has_no_amount(run_letters, bury):
    bury(read=False, step="fetch_deal")

    assert "None" not in run_letters("list").output


# -- show


def test_show_tells_the_steps_the_documents_the_cause_and_the_next_command(run_letters, bury, store, tmp_path):
    letter_id = bury()
    with store.begin() as uow:
        key = EntryKey("s4hana", "customer", "001XX000003DGB2AAA")
        uow.ledger.reserve(key, uow.dead_letters.get(letter_id).run_id, certain_at=uow.now)
        uow.ledger.confirmed(key, {"key": "1000001", "name": "Acme Ltd", "matched_by": "created"})

    output = run_letters("show", "1").output

    for expected in (
        "SAP answered 503. [503]",
        "fetch_deal",
        "1000001",
        "confirmed",
        "When the cause is gone, replay it",
        f"CRMSYNC_HOME={tmp_path / 'home'} celery -A crmsync dead-letters replay 1",
    ):
        assert expected in output


def test_show_as_json_has_the_same(run_letters, bury):
    bury()

    shown = json.loads(run_letters("show", "1", "--json").output)

    assert [step["event"] for step in shown["steps"]] == ["done", "stopped"]
    assert shown["command"].endswith("dead-letters replay 1")
    assert shown["documents"] == []


@pytest.mark.parametrize(
    ("error", "step", "answer"),
    [
        (AmbiguousMatchError(), "match_erp_customer", "--link ERP=NUMBER"),
        (AmbiguousMatchError(), "match_books_customer", "--link BOOKS=NUMBER"),
        (AmountMismatchError(), "create_order", "--accept"),
        (InvalidDealError(), "fetch_deal", "replay 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_show_names_the_answer_that_only_a_person_knows(run_letters, bury, error, step, answer):
    bury(error=error, step=step, read=step != "fetch_deal")

    assert json.loads(run_letters("show", "1", "--json").output)["command"].endswith(answer)


def test_show_of_one_that_does_not_exist_is_an_error(run_letters, store):
    result = run_letters("show", "7")

    assert result.exit_code == 1
    assert "There is no dead letter 7:" in result.stderr


# -- replay


def test_replay_lets_the_run_go_on_and_says_who_did_it(run_letters, bury, store, broker, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ida")
    letter_id = bury()

    result = run_letters("replay", "1", "--yes")

    run = run_of(store, letter_id)
    assert result.exit_code == 0, result.output
    assert "replayed 1 dead letter. A worker continues from here." in result.output
    assert f"crmsync runs show {run.id}" in result.output
    assert (status_of(store, letter_id), run.status) == (LetterStatus.REPLAYING, RunStatus.ACTIVE)
    assert (broker.enqueued, broker.drawn) == ([run.id], 1)
    with store.read() as uow:
        assert uow.history.of_run(run.id)[-1].detail == "by ida"


@pytest.mark.parametrize(
    "words", [[], ["1", "--all"], ["1", "--error", "BugError"]], ids=["none", "id, all", "id, error"]
)
def test_replay_wants_one_way_to_choose(run_letters, bury, broker, words):
    bury()

    assert run_letters("replay", "--yes", *words).exit_code == 2
    assert broker.enqueued == []


def test_replay_asks_nobody_where_nobody_can_answer(run_letters, bury, store, broker):
    letter_id = bury()

    result = run_letters("replay", "1")

    assert result.exit_code == 2
    assert "Add --yes" in result.stderr
    assert status_of(store, letter_id) is LetterStatus.WAITING


@pytest.mark.parametrize(("answer", "status"), [("y\n", LetterStatus.REPLAYING), ("n\n", LetterStatus.WAITING)])
def test_replay_says_what_it_will_do_and_asks(run_letters, bury, store, broker, monkeypatch, answer, status):
    monkeypatch.setattr(options, "can_ask", lambda: True)
    letter_id = bury()

    result = run_letters("replay", "1", answer=answer)

    assert "nothing that is done is repeated" in result.output
    assert "Replay 1 dead letter?" in result.output
    assert status_of(store, letter_id) is status


def test_replay_of_one_that_does_not_wait_replays_the_others_and_fails(run_letters, bury, store, broker):
    bury()
    bury(OTHER_DEAL)
    run_letters("discard", "1", "--yes", "--reason", "a test")

    result = run_letters("replay", "1", "2", "99", "--yes")

    assert result.exit_code == 1
    assert "Dead letter 1 does not wait: it is settled" in result.output
    assert "There is no dead letter 99:" in result.output
    assert status_of(store, 2) is LetterStatus.REPLAYING


def test_replay_of_all_that_died_of_an_error_leaves_the_rest(run_letters, bury, store, broker):
    bury()
    bury(OTHER_DEAL, RejectedError())

    assert run_letters("replay", "--error", "VendorUnavailableError", "--all", "--yes").exit_code == 0

    assert [status_of(store, letter_id) for letter_id in (1, 2)] == [LetterStatus.REPLAYING, LetterStatus.WAITING]


def test_replay_of_all_where_none_waits_is_no_failure(run_letters, store, broker):
    result = run_letters("replay", "--all")

    assert (result.exit_code, result.output) == (0, "No dead letter waits.\n")


def test_replay_of_an_error_that_none_died_of_does_not_say_that_none_waits(run_letters, bury, broker):
    bury(error=RejectedError())

    told = run_letters("replay", "--error", "VendorUnavailable", "--yes").output
    assert "No dead letter with the error VendorUnavailable waits." in told
    assert "did you mean VendorUnavailableError?" in " ".join(told.split())
    assert "no error with that name" not in run_letters("replay", "--error", "VendorUnavailableError", "--yes").output


def test_replay_as_json_prints_nothing_else(run_letters, bury, broker):
    bury()

    result = run_letters("replay", "1", "5", "--yes", "--json")

    assert json.loads(result.stdout) == {
        "replayed": [1],
        "failed": [
            {"id": 5, "problem": "There is no dead letter 5: this database has never had one with that number."}
        ],
    }


def test_replay_tells_that_redis_is_down(run_letters, bury, store, broker):
    broker.is_down = True
    letter_id = bury()

    result = run_letters("replay", "1", "--yes")

    assert result.exit_code == 0
    assert "Redis does not answer" in result.output
    assert status_of(store, letter_id) is LetterStatus.REPLAYING


# -- the answers of a person


def test_link_names_the_customer_of_the_deal(run_letters, bury, store, broker, systems):
    bury(error=AmbiguousMatchError(), step="match_erp_customer")

    result = run_letters(
        "replay", "1", "--yes", "--link", "ERP=1000123", "--link", "BOOKS=46000000001", "--reason", "a test"
    )

    assert result.exit_code == 0, result.output
    with store.read() as uow:
        linked = {link.connection: link.key for link in uow.links.of_account("salesforce", "001xx000003dgb2AAA")}
    assert linked == {"s4hana": "1000123", "zoho_books": "46000000001"}


def test_a_number_that_does_not_exist_replays_nothing(run_letters, bury, store, broker, systems):
    letter_id = bury(error=AmbiguousMatchError(), step="match_erp_customer")
    systems["s4hana"].missing.add("999999999")

    result = run_letters("replay", "1", "--yes", "--link", "ERP=999999999", "--reason", "a test")

    assert result.exit_code == 1
    assert "SAP S/4HANA has no customer 999999999. Nothing was stored." in " ".join(result.output.split())
    assert status_of(store, letter_id) is LetterStatus.WAITING
    assert broker.enqueued == []


def test_a_blocked_customer_and_one_in_another_currency_are_refused(run_letters, bury, store, broker, systems):
    letter_id = bury(error=AmbiguousMatchError(), step="match_books_customer")
    systems["s4hana"].blocked.add("1000123")
    systems["zoho_books"].currency = "CHF"

    blocked = run_letters("replay", "1", "--yes", "--link", "ERP=1000123", "--reason", "a test")
    foreign = run_letters("replay", "1", "--yes", "--link", "BOOKS=46", "--reason", "a test")

    assert "blocked" in blocked.output
    assert "billed in CHF by Zoho Books, and the deal is in " in " ".join(foreign.output.split())
    assert status_of(store, letter_id) is LetterStatus.WAITING


def test_a_system_that_can_not_be_asked_links_nobody(run_letters, bury, store, broker, systems):
    letter_id = bury(error=AmbiguousMatchError(), step="match_erp_customer")
    systems["s4hana"].error = VendorUnavailableError("SAP answered 503.", system="SAP S/4HANA")

    result = run_letters("replay", "1", "--yes", "--link", "ERP=1000123", "--reason", "a test")

    assert "SAP S/4HANA can't be asked for customer 1000123 now" in " ".join(result.output.split())
    assert status_of(store, letter_id) is LetterStatus.WAITING


def test_both_names_are_shown_before_a_link_is_stored(run_letters, bury, store, broker, systems):
    letter_id = bury(error=AmbiguousMatchError(), step="match_erp_customer")
    with store.begin() as uow:
        run_id = uow.dead_letters.get(letter_id).run_id
        learned = {"fetch_deal": {"customer": customer(key="001xx000003dgb2AAA").to_json()}}
        uow.connection.execute(runs.update().where(runs.c.id == run_id).values(results=learned))
    systems["s4hana"].name = "Holding AG"

    told = " ".join(run_letters("replay", "1", "--yes", "--link", "ERP=C_10-01", "--reason", "a test").output.split())

    assert "The account 001xx000003dgb2AAA Acme Ltd, Springfield becomes C_10-01 Holding AG" in told
    assert "The names differ" in told
    with store.read() as uow:
        (link,) = uow.links.customers(None)
    assert (link.key, link.name, link.origin) == ("C_10-01", "Holding AG", "replay")
    assert link.linked_by, "it says who"


@pytest.mark.parametrize(
    "links",
    [["1000123"], ["ERP="], ["CRM=1"], ["erp=1"], ["ERP=10'--"], ["ERP=1 2"], ["ERP=1", "ERP=2"]],
    ids=" ".join,
)
def test_a_link_that_can_not_be_meant_is_refused(run_letters, bury, store, broker, links):
    letter_id = bury()

    result = run_letters(
        "replay", "1", "--yes", *(word for link in links for word in ("--link", link)), "--reason", "a test"
    )

    assert result.exit_code == 2
    assert status_of(store, letter_id) is LetterStatus.WAITING


def test_a_link_is_for_one_deal(run_letters, bury, store, broker):
    bury()
    bury(OTHER_DEAL)

    result = run_letters("replay", "--all", "--yes", "--link", "ERP=1", "--reason", "a test")

    assert result.exit_code == 2
    assert broker.enqueued == []


def test_a_link_needs_a_deal_that_was_read(run_letters, bury, store, broker):
    bury(read=False, step="fetch_deal")

    result = run_letters("replay", "1", "--yes", "--link", "ERP=1", "--reason", "a test")

    assert result.exit_code == 1
    assert "has not been read yet" in result.stderr
    assert broker.enqueued == []


def test_accept_goes_with_the_run(run_letters, bury, store, broker):
    letter_id = bury(error=AmountMismatchError())

    result = run_letters("replay", "1", "--yes", "--accept", "--reason", "a test")

    assert "what stopped it is accepted" in result.output
    assert run_of(store, letter_id).answers == {"accepted": ["create_order"]}


# -- discard


def test_discard_gives_the_run_up(run_letters, bury, store, broker):
    letter_id = bury()

    result = run_letters("discard", "--all", "--yes", "--reason", "a test")

    assert "discarded 1 dead letter." in result.output
    assert status_of(store, letter_id) is LetterStatus.DISCARDED
    assert run_of(store, letter_id).status is RunStatus.DISCARDED
    assert (broker.enqueued, broker.drawn) == ([], 1)


# -- as a part of celery


def test_celery_loads_it_without_anything_heavy():
    code = (
        "import sys, crmsync.cli.dead_letters;"
        "print({'rich', 'sqlalchemy', 'kombu', 'requests', 'crmsync.store', 'crmsync.celery'} & set(sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_wrong_environment_is_told_by_variable(run_letters, monkeypatch):
    monkeypatch.setenv("CRMSYNC_LEASE_SECONDS", "soon")

    result = run_letters("list")

    assert result.exit_code == 2
    assert "CRMSYNC_LEASE_SECONDS" in result.stderr
    assert "Traceback" not in result.output
