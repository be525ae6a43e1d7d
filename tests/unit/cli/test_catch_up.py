"""`crmsync catch-up`: what would start is told exactly, and started only when it is wanted."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crmsync.cli import catch_up as command
from crmsync.cli import catch_up_work, options
from crmsync.domain.catch_up import WonDeal
from crmsync.domain.ledger import EntryKey
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange, PaymentChange
from crmsync.errors import VendorUnavailableError
from crmsync.flows.sightings import Started
from crmsync.reading.flows import catch_up_rows
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.worker.flow import Flow
from tests.fakes import connection_of, run_of_subject, start_run
from tests.unit.cli.test_up import CONFIGURED

KEY = "006xx0000012ab{}AAA"
GO_LIVE = datetime(2026, 1, 1, tzinfo=UTC)


class Crm:
    system = "Salesforce"

    def __init__(self):
        self.pages = []
        self.asked = []

    def won_deals(self, since, until):
        self.asked.append((since, until))
        yield from self.pages


class Books:
    system = "Zoho Books"

    def __init__(self):
        self.payments = []
        self.invoices = []

    def changed_payments(self, since):
        yield from self.payments

    def changed_invoices(self, since):
        yield from self.invoices


class Erp:
    system = "SAP S/4HANA"


@pytest.fixture
def crm():
    return Crm()


@pytest.fixture
def books():
    return Books()


@pytest.fixture
def enqueued(monkeypatch):
    sent = []
    monkeypatch.setattr(Flow, "enqueue", lambda _, run_id, results=None: sent.append(run_id))
    return sent


@pytest.fixture
def using(store, crm, books, enqueued, monkeypatch):
    settings = replace(Settings.from_env({**os.environ, **CONFIGURED}), go_live=GO_LIVE)
    connectors = {connection_of("deals"): crm, connection_of("payments"): books, connection_of("orders"): Erp()}
    made = Services(settings, store, connectors=connectors.__getitem__)
    monkeypatch.setattr(command, "open_services", lambda **_: made)
    return made


def won(number, store, amount="100.00", currency="USD", **changes):
    changed_at = store.clock() - timedelta(hours=1)
    made = WonDeal(KEY.format(number), "Acme Ltd", "sensors", Money.of(amount, currency), changed_at, won_at=changed_at)
    return replace(made, **changes)


def keys_of_runs(store, flow="order_to_invoice"):
    with store.read() as uow:
        return {run.subject_key for run in uow.runs.newest(None, limit=100) if run.flow == flow}


def test_a_dry_run_tells_and_starts_nothing(run_cli, using, crm, store, enqueued):
    crm.pages = [[won(1, store), won(2, store, "50.00", "EUR")], [won(3, store, "200.00")]]

    output = run_cli("catch-up", "--dry-run").output

    assert "Acme Ltd – sensors" in output
    assert "SAP S/4HANA, Zoho Books, Salesforce" in output
    assert "3 runs to start" in output
    assert "50.00 EUR, 300.00 USD" in output
    assert "Dry run, nothing was started." in output
    assert (keys_of_runs(store), enqueued) == (set(), [])


def test_calls_are_told_for_each_system(run_cli, using, crm, books, store):
    crm.pages = [[won(1, store), won(2, store)]]
    books.payments = [PaymentChange("46001", store.clock() - timedelta(hours=1))]

    found = json.loads(run_cli("catch-up", "--dry-run", "--json").stdout)

    assert found["calls"]["at_least"] == {"SAP S/4HANA": 2, "Salesforce": 5, "Zoho Books": 7}
    assert found["calls"]["at_most_about"] == 28
    assert found["totals"] == {"USD": "200.00"}
    assert [(each["subject"], each["systems"]) for each in found["missed"]][-1] == ("payment", ["Salesforce"])
    assert (found["dry_run"], found["started"]) == (True, 0)


def test_what_is_left_alone_is_counted_with_its_reason(run_cli, using, crm, store):
    with store.begin() as uow:
        start_run(uow, "order_to_invoice", KEY.format(1), step="fetch_deal", correlation_id="c", queued_until=uow.now)
    old = GO_LIVE - timedelta(days=1)
    crm.pages = [
        [won(1, store), won(2, store, order_number="4500001"), won(3, store, won_at=old), won(4, store, won_at=old)]
    ]

    output = run_cli("catch-up", "--dry-run").output

    assert "Nothing was missed." in output
    assert "was won before going live    2" in output
    assert json.loads(run_cli("catch-up", "--dry-run", "--json").stdout)["left_alone"] == {
        "has a run": 1,
        "carries an order number": 1,
        "was won before going live": 2,
    }


def test_they_are_started(run_cli, using, crm, store, enqueued):
    crm.pages = [[won(1, store)], [won(2, store)]]

    result = run_cli("catch-up", "--yes")

    assert result.exit_code == 0
    assert "✓ 2 runs started." in result.output
    assert "crmsync runs list" in result.output
    assert keys_of_runs(store) == {KEY.format(1), KEY.format(2)}
    assert len(enqueued) == 2


def test_the_same_again_starts_nothing(run_cli, using, crm, store, enqueued):
    crm.pages = [[won(1, store)]]
    run_cli("catch-up", "--yes")

    assert "Nothing was missed." in run_cli("catch-up", "--yes").output
    assert len(enqueued) == 1


def test_a_payment_that_was_started_is_not_told_again(run_cli, using, books, store, enqueued):
    books.payments = [PaymentChange("46001", store.clock() - timedelta(hours=1))]
    run_cli("catch-up", "--yes")

    found = json.loads(run_cli("catch-up", "--dry-run", "--json").stdout)

    assert (found["missed"], found["left_alone"]) == ([], {"was already started by catch-up": 1})
    assert keys_of_runs(store, "payment_to_invoices") == {"46001"}


def test_what_may_have_been_announced_is_not_told_as_missed(run_cli, using, books, store, enqueued):
    books.payments = [PaymentChange("46001", store.clock()), PaymentChange("46002", store.clock() - timedelta(hours=1))]

    found = json.loads(run_cli("catch-up", "--yes", "--json").stdout)

    assert [each["key"] for each in found["missed"]] == ["46002"]
    assert [each["key"] for each in found["looked_at_again"]] == ["46001"], "its webhook may be on its way"
    assert (found["started"], found["healed"], len(enqueued)) == (2, 1, 2)


def test_a_look_by_hand_is_the_last_look_of_the_overview(run_cli, using, books, store, enqueued):
    books.payments = [PaymentChange("46002", store.clock() - timedelta(hours=1))]
    run_cli("catch-up", "--dry-run")
    with store.read() as uow:
        assert [row.looked_at for row in catch_up_rows(uow, None)] == []

    run_cli("catch-up", "--yes")

    with store.read() as uow:
        rows = {row.flow: row for row in catch_up_rows(uow, None)}
    assert rows["payment_to_invoices"].healed == 1
    assert all(row.looked_at is not None for row in rows.values())


def test_an_invoice_of_ours_that_was_paid_is_told_with_its_deal(run_cli, using, books, store, bury):
    bury()
    with store.begin() as uow:
        deal = run_of_subject(uow, "order_to_invoice", "006xx0000012abcAAA")
        entry = EntryKey("zoho_books", "invoice", "SF-1")
        uow.ledger.reserve(entry, deal.id, certain_at=uow.now)
        uow.ledger.confirmed(entry, {"key": "982000999", "number": "INV-1"})
    books.invoices = [InvoiceChange("982000999", "SF-1", store.clock() - timedelta(hours=1), 0, 100)]

    found = json.loads(run_cli("catch-up", "--dry-run", "--json").stdout)["missed"]

    assert [(each["subject"], each["key"], each["company"]) for each in found] == [
        ("invoice", "982000999", "Acme Ltd – 200 sensors")
    ]


def test_many_are_started_page_by_page(run_cli, using, crm, store, monkeypatch):
    monkeypatch.setattr(catch_up_work, "PAGE", 2)
    crm.pages = [[won(number, store) for number in range(5)]]

    assert json.loads(run_cli("catch-up", "--yes", "--json").stdout)["started"] == 5


def test_what_was_started_before_a_fault_is_told(run_cli, using, crm, store, monkeypatch):
    crm.pages = [[won(number, store) for number in range(2)]]

    def one_page_only(using, missed, advance):
        yield Started(1, 1, 1)
        raise VendorUnavailableError("No answer.")

    monkeypatch.setattr(catch_up_work, "start", one_page_only)

    result = run_cli("catch-up", "--yes")

    assert result.exit_code == 1
    assert "1 run started before this; the others were not." in result.output
    assert "No answer." in result.stderr


# -- asking


def test_where_nobody_can_be_asked_nothing_is_started(run_cli, using, crm, store):
    crm.pages = [[won(1, store)]]

    result = run_cli("catch-up")

    assert result.exit_code == 2
    assert "Add --yes" in result.stderr
    assert keys_of_runs(store) == set()


@pytest.mark.parametrize(("answer", "started"), [(True, {KEY.format(1)}), (False, set())])
def test_a_person_is_asked(run_cli, using, crm, store, monkeypatch, answer, started):
    crm.pages = [[won(1, store)]]
    asked = []

    def confirm(text, **options):
        asked.append(text)
        if not answer:
            raise command.click.Abort

    monkeypatch.setattr(options, "can_ask", lambda: True)
    monkeypatch.setattr(command.click, "confirm", confirm)

    run_cli("catch-up")

    assert asked == ["Start 1 run?"]
    assert keys_of_runs(store) == started


# -- since when


def test_it_looks_back_a_day(run_cli, using, crm, store):
    run_cli("catch-up", "--dry-run")

    (since, until), now = crm.asked[0], store.clock()
    assert abs(now - timedelta(hours=24) - since) < timedelta(minutes=1)
    assert until > now, "what happened a moment ago is looked at, whatever clock tells when that was"


def test_it_does_not_look_before_going_live(run_cli, using, crm, store):
    using.settings = replace(using.settings, go_live=store.clock() - timedelta(hours=3))

    run_cli("catch-up", "--dry-run")

    assert crm.asked[0][0] == using.settings.go_live


def test_since_is_a_day_or_an_instant(run_cli, using, crm):
    run_cli("catch-up", "--dry-run", "--since", "2026-11-01")
    run_cli("catch-up", "--dry-run", "--since", "2026-11-01T09:00:00+02:00")

    assert [since.isoformat() for since, _ in crm.asked] == ["2026-11-01T00:00:00+00:00", "2026-11-01T07:00:00+00:00"]


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-01T09:00:00", "2199-01-01"])
def test_a_since_that_is_none_is_told_by_its_option(run_cli, using, crm, text):
    result = run_cli("catch-up", "--since", text)

    assert result.exit_code == 2
    assert "--since" in result.stderr
    assert crm.asked == []


def test_right_after_going_live_there_is_nothing_missed(run_cli, using, crm, store):
    using.settings = replace(using.settings, go_live=store.clock())

    assert "Nothing was missed." in run_cli("catch-up").output
    assert crm.asked[0][0] == using.settings.go_live


def test_without_the_systems_it_is_a_configuration_error(run_cli, store):
    result = run_cli("catch-up")

    assert result.exit_code == 2
    assert "SF_CLIENT_ID" in result.stderr


def test_a_source_that_is_not_configured_is_left_out(run_cli, using, crm, store):
    using.settings = replace(
        using.settings, systems={name: own for name, own in using.settings.systems.items() if name != "zoho_books"}
    )
    crm.pages = [[won(1, store)]]

    output = run_cli("catch-up", "--dry-run").output

    assert "zoho_books is not configured: its changes were not checked." in output
    assert "1 run to start" in output
