"""What the tower and /metrics tell of stock, catch-up and payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from crmsync.domain.runs import Run
from crmsync.domain.stock import Product, Rejection, StockLevel
from crmsync.errors import VendorUnavailableError
from crmsync.reading import history as history_module
from crmsync.reading import stock as stock_module
from crmsync.services import Services
from crmsync.worker.flow import FLOWS
from tests.fakes import FakeClock, start_run
from tests.unit.web.test_metrics import scrape
from tests.unit.web.test_tower import HOSTILE, words

Learned = Mapping[str, Mapping[str, Any]]

INVENTORY: Learned = {
    "read_catalogue": {"products": 2500, "is_whole": True, "at": "2026-11-20T09:15:00+00:00"},
    "read_stock": {"materials": 2400, "unknown": 1, "first_unknown": ["UNHEARD"], "mixed_units": 0},
    "write_levels": {
        "changed": 12,
        "written": 11,
        "refused": 1,
        "reasons": {"NOT_ALLOWED": 1},
        "newly_refused": 1,
        "newly_low": 2,
        "lowest": [["CABLE", "0"], ["SENSOR", "1.5"]],
    },
}
INVOICE: Learned = {
    "read_invoice": {
        "read_at": "2026-11-20T09:15:00+00:00",
        "deal": "006xx0000012abcAAA",
        "number": "INV-000042",
        "balance": "17000.00",
        "is_void": False,
        "figures": {
            "is_received": False,
            "amount": {"amount": "30000.00", "currency": "USD"},
            "paid_on": "2026-11-19",
        },
    },
    "write_payment": {},
}
PAYMENT: Learned = {"find_invoices": {"ours": ["98200001", "98200002"], "foreign": 3, "is_gone": False}}


def carry_out(
    services: Services, clock: FakeClock, flow: str, key: str, learned: Learned, *, title: str = "", remark: str = ""
) -> Run:
    """A run of *flow* that has done all the steps of *learned*, each in half a second."""
    steps = FLOWS[flow].steps
    with services.store.begin() as uow:
        run_id, is_new = start_run(uow, flow, key, step=steps[0], correlation_id="c", queued_until=uow.now)
        if not is_new:
            uow.runs.restart(run_id, first_step=steps[0], queued_until=uow.now)
    for number, (step, result) in enumerate(learned.items(), 1):
        _do(services, clock, run_id, step, result, following=steps[number : number + 1], title=title, remark=remark)
    with services.store.read() as uow:
        run = uow.runs.get(run_id)
    assert run is not None
    return run


def _do(
    services: Services,
    clock: FakeClock,
    run_id: str,
    step: str,
    result: Mapping[str, Any],
    *,
    following: Sequence[str],
    title: str,
    remark: str,
) -> None:
    with services.store.begin() as uow:
        run, started_at = uow.runs.claim(run_id, step, lease_seconds=60), uow.now
    assert run is not None
    clock.advance(0.5)
    with services.store.begin() as uow:
        uow.runs.finish_step(
            run, result, next_step=following[0] if following else None, queued_until=uow.now, title=title
        )
        uow.history.note(run, "done", started_at=started_at, detail="" if following else remark)


def take_stock(services: Services, clock: FakeClock) -> Run:
    remark = "11 written, 1 refused, 2 newly low"
    return carry_out(services, clock, "inventory", "inventory", INVENTORY, title="Stock of 4 products", remark=remark)


@pytest.fixture
def products(services: Services) -> None:
    """Four products: two are low, of which one was refused; one is not in the ERP."""
    stock = {"CABLE": 3, "SENSOR": 500, "VALVE": 4, "UNHEARD": 0}
    found = [Product(f"01t{code}", code, True, Decimal(left), 0 < left < 10) for code, left in stock.items()]
    with services.store.begin() as uow:
        uow.products.saw("salesforce", found, seen_at=uow.now, trust=True)
        uow.products.unknown("salesforce", ["01tUNHEARD"])
        refused = StockLevel("01tVALVE", "VALVE", Decimal(2), True)
        uow.products.want("salesforce", [refused])
        uow.products.written("salesforce", [refused], [Rejection("01tVALVE", "NOT_ALLOWED")])


# Stock


@pytest.mark.usefixtures("products")
def test_the_stock_page_has_counts_and_lists(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    take_stock(services, clock)
    clock.advance(720)

    page = words(operator.get("/stock"))

    assert "Last inventory 12 min ago" in page
    assert "11 written, 1 refused, 2 newly low" in page
    assert "Active products 4" in page
    assert "Low on stock 2" in page
    assert "Refused by the CRM 1" in page
    assert "Not in the ERP 1" in page
    assert "VALVE 2 refused low NOT_ALLOWED 4" in page
    assert "UNHEARD – not in the ERP 0" in page
    assert "SENSOR" not in page.split("Low on stock", maxsplit=1)[1]


@pytest.mark.usefixtures("products")
def test_products_are_found_by_a_part_of_their_code(operator: FlaskClient) -> None:
    page = words(operator.get("/stock?text=sens"))

    assert "1 product with “sens” in the code" in page
    assert "SENSOR 500 in order" in page
    assert "CABLE" not in page
    assert "No product matches." in words(operator.get("/stock?text=%25"))


@pytest.mark.usefixtures("products")
def test_lists_end_at_a_number_and_say_so(operator: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_module, "PRODUCTS_SHOWN", 1)

    page = words(operator.get("/stock"))

    assert "The first 1 of 2; crmsync inventory show --low --limit 2 has all of them." in page


def test_a_hostile_code_stays_text(operator: FlaskClient, services: Services) -> None:
    with services.store.begin() as uow:
        uow.products.saw("salesforce", [Product("01t", HOSTILE, True, Decimal(1), True)], seen_at=uow.now, trust=True)

    for path in ("/stock", "/stock?text=script"):
        page = operator.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_an_inventory_that_is_under_way_is_named(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    carry_out(services, clock, "inventory", "inventory", {"read_catalogue": INVENTORY["read_catalogue"]})

    assert "waiting Read stock" in words(operator.get("/stock"))
    assert "waiting Read stock" in words(operator.get("/"))


# Overview


@pytest.mark.usefixtures("products")
def test_the_overview_has_a_line_for_the_inventory(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    take_stock(services, clock)
    clock.advance(180)

    page = words(operator.get("/"))

    assert "Last completed 3 min ago: 11 written, 1 refused, 2 newly low" in page
    assert "4 products: 2 low, 1 refused, 1 not in the ERP" in page


def test_the_overview_tells_what_catch_up_saw(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    saw_changes(services)
    look = {"look_for_deals": {"seen": 4, "healed": 1, "until": "2026-11-20T09:13:00+00:00"}}
    carry_out(services, clock, "catch_up_deals", "catch_up_deals", look)
    clock.advance(300)

    page = words(operator.get("/"))

    assert "Changes of expected received missed Last scan Deals 4 3 1 5 min ago" in page
    assert "Payments 2 2 0 never" in page


def saw_changes(services: Services) -> None:
    """Of four deals catch-up had to start one; of two payments none."""
    with services.store.begin() as uow:
        for number in range(4):
            uow.deliveries.add(
                "catch_up.order_to_invoice.salesforce", str(number), event_key=str(number), is_healed=not number
            )
        for number in range(2):
            uow.deliveries.add("catch_up.payment_to_invoices.zoho_books", str(number), event_key=str(number))


def test_the_overview_has_the_flows_in_the_order_they_happen(operator: FlaskClient) -> None:
    page = operator.get("/").text

    places = [page.index(f"flow-{flow}") for flow in ("order_to_invoice", "payment_to_invoices", "invoice_to_deal")]
    assert places == sorted(places)
    assert "flow-inventory" not in page


def test_newest_runs_leave_out_what_looks_at_everything(
    operator: FlaskClient, services: Services, clock: FakeClock
) -> None:
    take_stock(services, clock)
    carry_out(services, clock, "payment_to_invoices", "46000001", PAYMENT)

    page = words(operator.get("/"))

    assert "Payment 46000001" in page
    assert "Stock of 4 products" not in page


# Runs


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"Payment 46000001", "Invoice 98200001"}),
        ("?flow=payment_to_invoices", {"Payment 46000001"}),
        ("?flow=invoice_to_deal", {"Invoice 98200001"}),
        ("?flow=inventory", {"Stock of 4 products"}),
        ("?flow=no-such-flow", {"Payment 46000001", "Invoice 98200001"}),
        ("?flow=payment_to_invoices&text=98200001", set()),
    ],
)
def test_runs_are_filtered_by_flow(
    operator: FlaskClient, services: Services, clock: FakeClock, query: str, found: set[str]
) -> None:
    take_stock(services, clock)
    carry_out(services, clock, "payment_to_invoices", "46000001", PAYMENT)
    carry_out(services, clock, "invoice_to_deal", "98200001", INVOICE, title="Acme Ltd – 200 sensors")

    page = words(operator.get(f"/runs{query}"))

    names = {"Payment 46000001", "Invoice 98200001", "Stock of 4 products"}
    assert {name for name in names if name in page} == found


def test_an_invoices_run_tells_what_was_paid(
    operator: FlaskClient, services: Services, clock: FakeClock, a_run: Any
) -> None:
    deal = a_run(done=7)
    run = carry_out(services, clock, "invoice_to_deal", "98200001", INVOICE, title="Acme Ltd – 200 sensors")

    answer = operator.get(f"/runs/{run.id}")

    page = words(answer)
    assert "Paid 30,000.00 USD Balance 17,000.00 USD Payment received no Last payment 2026-11-19" in page
    assert "Invoice number INV-000042" in page
    assert f'href="/runs/{deal.id}"' in answer.text
    assert "petra@acme.test" not in answer.text


def test_a_payments_run_tells_its_invoices(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    invoice = carry_out(services, clock, "invoice_to_deal", "98200001", INVOICE, title="Acme Ltd – 200 sensors")
    run = carry_out(services, clock, "payment_to_invoices", "46000001", PAYMENT)

    answer = operator.get(f"/runs/{run.id}")

    page = words(answer)
    assert "Payment 46000001" in page
    assert "Find invoices 2 of ours, 3 of others done" in page
    assert "Invoices of ours 2 Invoices of others 3" in page
    assert f'<a href="/runs/{invoice.id}">Invoice 98200001, Acme Ltd – 200 sensors</a>' in answer.text
    assert "<li>Invoice 98200002</li>" in answer.text
    assert "Nothing has been created in another system yet" not in page


def test_an_inventorys_run_tells_what_it_did(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    page = words(operator.get(f"/runs/{take_stock(services, clock).id}"))

    assert "Products read 2,500, all of them Materials 2,400 Newly not in the ERP 1" in page
    assert "Written 11 Refused 1 (NOT_ALLOWED: 1) Newly low 2 Lowest CABLE: 0, SENSOR: 1.5" in page
    assert "Write levels 11 written done" in page


def test_progress_is_seen_while_a_step_is_at_work(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    run = carry_out(services, clock, "inventory", "inventory", {"read_catalogue": INVENTORY["read_catalogue"]})
    with services.store.begin() as uow:
        held = uow.runs.claim(run.id, "read_stock", lease_seconds=60)
        assert held is not None
        uow.runs.record_progress(held, {"doing": "reading the stock", "materials": 800}, lease_seconds=60)

    assert "Read stock 800 materials running" in words(operator.get(f"/runs/{run.id}"))


def test_attempts_of_earlier_rounds_are_not_counted(
    operator: FlaskClient, services: Services, clock: FakeClock
) -> None:
    for _ in range(3):
        run = take_stock(services, clock)

    page = words(operator.get(f"/runs/{run.id}"))

    assert "attempts" not in page
    assert page.count("Read stock done after 0.5 s") == 3


def test_a_long_history_is_cut(
    operator: FlaskClient, services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "LINES_SHOWN", 3)
    for _ in range(2):
        run = take_stock(services, clock)

    page = words(operator.get(f"/runs/{run.id}"))

    assert "The last 3 lines." in page
    assert page.count("Read stock done after") == 1


def test_a_payments_letter_is_named(operator: FlaskClient, services: Services) -> None:
    with services.store.begin() as uow:
        run_id, _ = start_run(
            uow, "payment_to_invoices", "46000001", step="find_invoices", correlation_id="c", queued_until=uow.now
        )
        run = uow.runs.claim(run_id, "find_invoices", lease_seconds=60)
        assert run is not None
        uow.runs.stop(run, title=None, amount=None, currency=None)
        uow.dead_letters.add(run, VendorUnavailableError())

    page = words(operator.get("/dead-letters"))

    assert "Payment 46000001" in page
    assert "Customer number in" not in page


# Metrics


@pytest.mark.usefixtures("products")
def test_stock_is_measured(operator: FlaskClient, services: Services, clock: FakeClock) -> None:
    take_stock(services, clock)

    figures = scrape(operator)

    assert {state: figures["crmsync_products", state] for state in ("active", "low", "unknown", "refused")} == {
        "active": 4,
        "low": 2,
        "unknown": 1,
        "refused": 1,
    }
    assert figures["crmsync_inventory_last_success_timestamp_seconds",] == clock.now.timestamp()


def test_catch_up_is_measured(operator: FlaskClient, services: Services) -> None:
    saw_changes(services)
    with services.store.begin() as uow:
        uow.facts.count("payments.foreign_invoices.zoho_books", 3)

    figures = scrape(operator)

    name = "crmsync_catch_up_changes_total"
    assert [figures[name, outcome, "order_to_invoice"] for outcome in ("expected", "received", "healed")] == [4, 3, 1]
    assert figures[name, "healed", "payment_to_invoices"] == 0
    assert figures["crmsync_foreign_invoices_total",] == 3
