"""Cases from the field: M1, M2 and M5. What a deal, its order and its invoice come to, whatever each system rounds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from crmsync.sandbox.deals import Deal
from tests.system import NO_PERIODS, System, big_sandbox, running

CURRENCIES = {
    "salesforce_multi_currency": True,
    "sap_create_response": "full",
    "zoho_currencies": ("USD", "EUR", "JPY", "KWD", "HUF", "CLF"),
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("money")
    settings = {**NO_PERIODS, "CRMSYNC_DEFAULT_CURRENCY": ""}
    with running(home, "web", "worker", "beat", sandbox=big_sandbox(**CURRENCIES), **settings) as made:
        yield made


def line(
    quantity: str, unit_price: str = "", total: str = "", product: str = "CABLE-05", **more: Any
) -> dict[str, Any]:
    price = {"total_price": total} if total else {"unit_price": unit_price}
    return {"product": product, "quantity": quantity, **price, **more}


# name: currency, lines, what documents come to
EXACT = {
    "M1 a rate of a tenth of a cent": ("USD", [line("1000", "0.0125")], "12.50"),
    "M1 half a cent": ("EUR", [line("200", "17.555")], "3511.00"),
    "M1 a million": ("EUR", [line("1000000", "0.001")], "1000.00"),
    "M1 a prime of pieces": ("USD", [line("1299709", "0.0125")], "16246.36"),
    "M1 a piece and a half": ("USD", [line("123456.5", "0.0125")], "1543.21"),
    "M1 kilograms": ("EUR", [line("2.5", "3.333")], "8.33"),
    "M1 grams": ("EUR", [line("2.125", "3.99")], "8.48"),
    "M1 yen": ("JPY", [line("3", "33.33"), line("1000", "0.5")], "600"),
    "M1 dinars": ("KWD", [line("1000", "0.0125"), line("7", total="1.001")], "13.501"),
    "M1 units of account, of four decimals": ("CLF", [line("2", "1.2345"), line("3", total="0.0001")], "2.4691"),
    "M1 forints, of which SAP keeps no cents": ("HUF", [line("2", "33.50"), line("3", "33.3333")], "167.00"),
    "M1 a discount that no rate divides": ("USD", [line("7", "19.99", Discount="12.5")], "122.44"),
    "M2 as many decimals as the API has": ("USD", [line("0.72", total="1300.5617283950617")], "1300.56"),
    "M2 a third": ("EUR", [line("3", "33.3333333333")], "100.00"),
    "M2 a seventh": ("EUR", [line("7", "14.285714285714286")], "100.00"),
    "M2 binary": ("USD", [line("3", total="0.30000000000000004")], "0.30"),
    "M2 up and down": ("USD", [line("1", "33.335"), line("1", "66.664")], "100.00"),
    "M5 free of charge": ("USD", [line("4", "12.90"), line("1", "0")], "51.60"),
}


def test_M1_M2__every_document_comes_to_exactly_the_deal(system: System) -> None:
    deals = {
        name: won(system, f"Buyer {number} Ltd", lines, currency)
        for number, (name, (currency, lines, _)) in enumerate(EXACT.items())
    }

    system.close_all(list(deals.values()))
    system.wait_for("done", *deals.values())

    assert {name: totals(system, deal) for name, deal in deals.items()} == {
        name: [(currency, Decimal(total))] * 2 for name, (currency, _, total) in EXACT.items()
    }


def test_M1__sap_gets_a_price_for_a_thousand_and_the_books_one_piece_that_says_so(system: System) -> None:
    deal = won(system, "Tiny Parts Ltd", [line("1000", "0.0125")], "USD")
    system.close(deal.id)
    system.wait_for("done", deal)

    order, invoice = (found[0] for found in system.documents(deal))
    sap, books = system.sandbox.sap, system.sandbox.zoho
    with sap.lock, books.lock:
        prices = sap.tables["A_SalesOrderItemPrElement"].where(("SalesOrder",), (order["id"],))
        (piece,) = books.organization.invoices.get(invoice["id"])["line_items"]

    assert [(row["ConditionRateValue"], row["ConditionQuantity"]) for row in prices] == [(Decimal("12.50"), 1000)]
    assert (piece["quantity"], piece["rate"], piece["item_id"]) == (1, Decimal("12.50"), "")
    assert piece["description"].startswith("1,000 × 0.0125 USD: ")


# name: lines, the field that is named, what is said of it
REFUSED = {
    "M2 a cent more than the deal": (
        [line("1", "50.005"), line("1", "50.005")],
        "Amount: is 100.01 USD, but the products add up to 100.02 USD",
    ),
    "M5 a discount as a line": ([line("4", "12.90"), line("1", "-10")], "OpportunityLineItems[2].TotalPrice"),
    "M5 a return as a line": ([line("4", "12.90"), line("-1", "12.90")], "OpportunityLineItems[2].Quantity"),
    "M5 nothing to pay": ([line("4", "12.90"), line("-4", "12.90")], "Amount: must be more than zero"),
}


def test_M2_M5__what_no_document_can_say_is_refused_before_anything_is_made(system: System) -> None:
    deals = {
        name: won(system, f"Refused {number} Ltd", lines, "USD")
        for number, (name, (lines, _)) in enumerate(REFUSED.items())
    }

    system.close_all(list(deals.values()))
    system.wait_for("stopped", *deals.values())

    for name, deal in deals.items():
        letter = system.letter_of(deal)
        assert (letter.error, REFUSED[name][1] in letter.cause) == ("InvalidDealError", True), letter.cause
        assert system.documents(deal) == ([], [])


def won(system: System, name: str, lines: list[dict[str, Any]], currency: str) -> Deal:
    email = f"{name.replace(' ', '').lower()}@example.com"
    return system.sandbox.deals.create(name, email=email, lines=lines, currency=currency)


def totals(system: System, deal: Deal) -> list[tuple[str, Decimal]]:
    """Currency and net of each order and invoice."""
    orders, invoices = system.documents(deal)
    return [
        *((order["currency"], Decimal(order["net"])) for order in orders),
        *((invoice["currency"], Decimal(invoice["sub_total"])) for invoice in invoices),
    ]
