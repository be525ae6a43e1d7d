"""`dead-letters replay ID` where the deal may have changed, and `--dry-run`, with a CRM that is told what to say."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.documents import Document
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.errors import (
    AuthenticationError,
    DealChangedError,
    RecordNotFoundError,
    RejectedError,
    VendorUnavailableError,
)
from crmsync.store.tables import metadata, runs
from crmsync.worker import customer_links
from crmsync.worker import dead_letters as worker
from crmsync.worker.flow import Flow
from tests.builders import DEAL_KEY, customer, deal, line
from tests.fakes import FakeCustomers, add_link, fill_everywhere, start_run

ORDER = {"key": "4711", "number": "4711", "net": Money.of("47000.00", "USD").to_json(), "customer": customer().key}
REFERENCE = f"SF-{DEAL_KEY}"


class Crm:
    """The deal as it is now, and how often it was read."""

    system = "the CRM"

    def __init__(self):
        self.deal = deal()
        self.error = None
        self.reads = 0

    def fetch_deal(self, key):
        self.reads += 1
        if self.error:
            raise self.error
        return self.deal


class Erp:
    """The order as it stands now; None: it is gone."""

    system = "the ERP"

    def __init__(self):
        self.order = Document("4711", "4711", net=Money.of("47000.00", "USD"))

    def read_order(self, key):
        if self.order is None:
            raise RecordNotFoundError
        return self.order

    def find_orders(self, reference):
        return [self.order] if self.order else []


@pytest.fixture
def crm(monkeypatch):
    made = Crm()
    fill_everywhere(monkeypatch, deals=made)
    return made


@pytest.fixture
def customers_are_known(monkeypatch):
    """Numbers can be looked up, though no system is configured."""
    monkeypatch.setattr(customer_links, "role", lambda using, connection: FakeCustomers(connection))


@pytest.fixture(autouse=True)
def erp(monkeypatch):
    made = Erp()
    fill_everywhere(monkeypatch, orders=made)
    return made


@pytest.fixture(autouse=True)
def enqueued(monkeypatch):
    """The runs that were handed to a worker."""
    told = []
    monkeypatch.setattr(Flow, "enqueue", lambda _, run_id, results=None: told.append(run_id))
    monkeypatch.setattr(worker, "redraw", lambda _: None)
    return told


@pytest.fixture
def bury_deal(store, crm):
    """A run that read deal(), made its order where *order* says so, and died at *step*."""

    def make(step="create_invoice", *, order="confirmed", read=True, error=None, key=DEAL_KEY):
        made = {"fetch_deal": deal().to_json(), "match_erp_customer": {"customer_key": "1000001"}}
        made |= {"create_order": ORDER} if order == "confirmed" else {}
        results = {name: value for name, value in made.items() if read or name == "create_order"}
        with store.begin() as uow:
            run_id, _ = start_run(uow, "order_to_invoice", key, step=step, correlation_id="c", queued_until=uow.now)
            uow.connection.execute(runs.update().where(runs.c.id == run_id).values(results=results))
            run = uow.runs.claim(run_id, step, lease_seconds=60)
            if order:
                _reserve(uow, run_id, order)
            uow.runs.stop(run, title="Acme Ltd – 200 sensors", amount=Decimal("47000.00"), currency="USD")
            return uow.dead_letters.add(run, error or RejectedError(system="Zoho Books"))[0].id

    return make


def _reserve(uow, run_id, state):
    key = EntryKey("s4hana", "order", REFERENCE)
    uow.ledger.reserve(key, run_id, certain_at=uow.now)
    if state == "confirmed":
        uow.ledger.confirmed(key, ORDER)


def letter_of(store, letter_id=1):
    with store.read() as uow:
        return uow.dead_letters.get(letter_id)


def answers_of(store, letter_id=1):
    with store.read() as uow:
        return uow.runs.get(uow.dead_letters.get(letter_id).run_id).answers


def everything(store):
    """Every row but those of signing in."""
    with store.read() as uow:
        return {table.name: uow.connection.execute(table.select()).all() for table in metadata.sorted_tables}


DEARER = deal(amount=Money.of("50000.00", "USD"), lines=(line(unit_price=Decimal(250), total=Decimal(50000)),))
RECOUNTED = deal(lines=(line(quantity=Decimal(100), unit_price=Decimal(470)),))
MOVED = deal(customer=customer(key="001xx000003dgb3AAA"))


# -- a replay of one


@pytest.mark.parametrize("now", [DEARER, RECOUNTED, MOVED], ids=["amount", "lines", "account"])
@pytest.mark.parametrize("order", ["confirmed", "sent"])
def test_a_replay_is_refused_where_money_changed_and_documents_exist(run_letters, bury_deal, store, crm, now, order):
    bury_deal(order=order)
    crm.deal = now

    result = run_letters("replay", "1", "--yes")

    assert result.exit_code == 1
    assert "The deal changed after documents were made from it." in result.stderr
    assert "celery -A crmsync dead-letters replay 1 --accept-changes" in result.stderr
    assert letter_of(store).status is LetterStatus.WAITING


def test_an_order_whose_answer_was_lost_and_that_is_not_there_is_in_nobodys_way(
    run_letters, bury_deal, store, crm, erp
):
    bury_deal(order="sent")
    crm.deal, erp.order = DEARER, None

    assert run_letters("replay", "1", "--yes").exit_code == 0
    assert letter_of(store).status is LetterStatus.REPLAYING


def test_the_refusal_shows_what_changed_and_nobodys_name(run_letters, bury_deal, crm):
    bury_deal()
    crm.deal = deal(amount=Money.of("50000", "USD"), customer=customer(email="ida@acme.test", first_name="Ida"))

    result = run_letters("replay", "1", "--yes", "--json")

    failed = json.loads(result.stdout)
    assert result.exit_code == 1
    assert failed["replayed"] == []
    assert failed["command"].endswith("dead-letters replay 1 --accept-changes")
    assert {"field": "amount", "before": "47,000.00 USD", "after": "50,000.00 USD", "concerns": "money"} in (
        failed["changes"]
    )
    assert "50,000.00 USD" in result.stderr
    assert "ida" not in result.output.lower()
    assert {"field": "e-mail", "before": "***", "after": "***", "concerns": "customer"} in failed["changes"]


def test_what_is_accepted_goes_with_the_run(run_letters, bury_deal, store, crm, enqueued):
    bury_deal()
    crm.deal = DEARER

    result = run_letters("replay", "1", "--yes", "--accept-changes")

    assert result.exit_code == 0, result.output
    assert "what changed at the deal is accepted" in result.output
    assert "50,000.00 USD" in result.stderr  # what one says yes to is shown
    assert answers_of(store) == {"accepted": ["fetch_deal"]}
    assert len(enqueued) == 1


def test_a_number_of_somebody_else_is_not_accepted_with_the_changes(run_letters, bury_deal, store, crm):
    bury_deal()
    crm.deal = deal(amount=Money.of("50000", "USD"), order_number="4711", invoice_number="INV-77")

    result = run_letters("replay", "1", "--yes", "--accept-changes")

    assert result.exit_code == 1
    assert "carries the invoice INV-77, which crmsync did not write" in result.stderr
    assert "--accept-changes" not in result.stderr
    shown = run_letters("replay", "1", "--dry-run").output
    assert "which crmsync did not write" in shown
    assert "celery -A" not in shown
    assert letter_of(store).status is LetterStatus.WAITING


@pytest.mark.parametrize(
    ("order", "now"),
    [("", DEARER), ("confirmed", deal()), ("confirmed", deal(name="x", customer=customer(email="x@acme.test")))],
    ids=["no documents", "no change", "a change that is not of money"],
)
@pytest.mark.parametrize("options", [(), ("--accept-changes",)], ids=" ".join)
def test_nothing_to_accept_accepts_nothing(run_letters, bury_deal, store, crm, order, now, options):
    bury_deal(order=order)
    crm.deal = now

    assert run_letters("replay", "1", "--yes", *options).exit_code == 0
    assert (answers_of(store), crm.reads) == ({}, 1 if order else 0)


@pytest.mark.parametrize("options", [(), ("--accept-changes",)], ids=" ".join)
def test_a_deal_that_can_not_be_read_is_left_to_the_run(run_letters, bury_deal, store, crm, options):
    bury_deal()
    crm.error = VendorUnavailableError("Salesforce can't be reached.")

    result = run_letters("replay", "1", "--yes", *options)

    assert result.exit_code == 0
    assert "Salesforce can't be reached. The run will read it itself." in result.stderr
    assert answers_of(store) == {}


def test_a_run_that_stopped_because_the_deal_changed_is_compared_with_its_documents(run_letters, bury_deal, store, crm):
    bury_deal("fetch_deal", read=False, error=DealChangedError())
    crm.deal = DEARER

    refused = run_letters("replay", "1", "--yes")
    assert refused.exit_code == 1
    assert "amount of order 4711" in refused.stderr

    assert run_letters("replay", "1", "--yes", "--accept", "--reason", "a test").exit_code == 0
    assert answers_of(store) == {"accepted": ["fetch_deal"]}


@pytest.mark.parametrize("words", [["--all"], ["--error", "RejectedError"], ["1", "2"]], ids=" ".join)
def test_several_are_not_looked_at(run_letters, bury_deal, crm, enqueued, words):
    bury_deal()
    bury_deal(key="006xx0000012abdAAA", order="")
    crm.deal = DEARER

    assert run_letters("replay", "--yes", *words).exit_code == 0
    assert (crm.reads, len(enqueued)) == (0, 2)


@pytest.mark.parametrize("option", ["--dry-run", "--accept-changes"])
@pytest.mark.parametrize("words", [["--all"], ["1", "2"], ["--error", "RejectedError"]], ids=" ".join)
def test_to_look_and_to_accept_is_for_one(run_letters, bury_deal, enqueued, option, words):
    bury_deal()

    result = run_letters("replay", "--yes", option, *words)

    assert result.exit_code == 2
    assert f"{option} is for one dead letter" in result.stderr
    assert enqueued == []


# -- a dry run; tests/integration/test_rehearsal.py has those that reach the other systems


def test_a_dry_run_changes_nothing(run_letters, bury_deal, store, crm, enqueued):
    bury_deal()
    crm.deal = DEARER
    before = everything(store)

    result = run_letters("replay", "1", "--dry-run")

    assert result.exit_code == 0, result.output
    assert everything(store) == before
    assert (enqueued, crm.reads) == ([], 1)


def test_a_dry_run_tells_what_is_done_what_changed_and_what_stops_it(run_letters, bury_deal, store, crm):
    bury_deal()
    with store.begin() as uow:
        add_link(uow, "s4hana", "customer", customer().key, "1000001", origin="created")
    crm.deal = DEARER

    output = run_letters("replay", "1", "--dry-run").output

    for expected in (
        "Dry run of dead letter 1: nothing is sent, nothing is stored",
        "Acme Ltd – 200 sensors",
        "1000001",
        "4711",
        "line SENSOR-100: unit price",
        "50,000.00 USD",
        "✗ fetch_deal: stops: The deal is 50,000.00 USD; order 4711 is 47,000.00 USD.",
        "the ERP: order 4711 is 47,000.00 USD",
        "then match_erp_customer, match_books_customer, create_invoice, send_invoice, write_back",
        "A replay is refused: The deal changed after documents were made from it.",
        "celery -A crmsync dead-letters replay 1 --accept-changes",
    ):
        assert expected in output
    assert "--accept to" not in output  # that answer is for the step that stopped, and this is another


def test_a_dry_run_as_json_says_the_same(run_letters, bury_deal, crm):
    bury_deal()
    crm.deal = DEARER

    found = json.loads(run_letters("replay", "1", "--dry-run", "--json").output)

    assert (found["id"], found["dry_run"]) == (1, True)
    assert found["refusal"] == "The deal changed after documents were made from it."
    assert [(each["kind"], each["number"], each["state"]) for each in found["done"]] == [("order", "4711", "confirmed")]
    assert [step["end"] for step in found["steps"]] == ["stops"]
    assert found["source"]["is_read"] is True


def test_a_dry_run_with_an_answer_goes_as_far_as_the_answer_leads(run_letters, bury_deal, crm, customers_are_known):
    bury_deal()
    crm.deal = DEARER
    words = ("replay", "1", "--dry-run", "--json", "--accept-changes", "--link", "ERP=7", "--link", "BOOKS=8")

    found = json.loads(run_letters(*words).output)

    assert found["refusal"] == ""
    assert [(each["system"], each["number"]) for each in found["done"]][:2] == [("s4hana", "7"), ("zoho_books", "8")]
    # The books are not configured here, and --link answers both matches.
    assert [(step["step"], step["end"]) for step in found["steps"]] == [
        ("fetch_deal", "done"), ("create_invoice", "stops"),
    ]  # fmt: skip
    assert found["command"].endswith("replay 1 --link ERP=7 --link BOOKS=8 --accept-changes")


def test_a_dry_run_of_a_deal_that_can_not_be_read_says_so(run_letters, bury_deal, crm):
    bury_deal()
    crm.error = AuthenticationError("Salesforce refused to sign in.")

    output = run_letters("replay", "1", "--dry-run").output

    assert "It can't be read now: Salesforce refused to sign in." in output
    assert "✗ fetch_deal: stops: Salesforce refused to sign in." in output


def test_a_dry_run_of_one_that_does_not_wait_is_an_error(run_letters, store):
    result = run_letters("replay", "7", "--dry-run")

    assert result.exit_code == 1
    assert "There is no dead letter 7:" in result.output


@pytest.mark.parametrize(
    ("flow", "step", "key"),
    [
        ("payment_to_invoices", "find_invoices", "46000001"),
        ("inventory", "read_stock", "inventory"),
        ("catch_up_deals", "look_for_deals", "catch_up_deals"),
    ],
)
def test_a_flow_that_reads_before_it_decides_says_so(run_letters, store, flow, step, key):
    with store.begin() as uow:
        run_id, _ = start_run(uow, flow, key, step=step, correlation_id="c", queued_until=uow.now)
        run = uow.runs.claim(run_id, step, lease_seconds=60)
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, RejectedError())
    before = everything(store)

    result = run_letters("replay", "1", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "what it will send is not known before" in result.output
    assert step in result.output
    assert everything(store) == before
