"""Cases from the field: M1, M2, M3 and M5. What a deal, its order and its invoice come to, whatever each system rounds;
and that no number of another currency gets into the deal."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from crmsync.domain.dead_letters import Answers
from crmsync.domain.runs import RunStatus
from crmsync.lab.sandbox.deals import Deal
from tests.fakes import run_of_subject
from tests.field.life import asked, replay
from tests.system import NO_PERIODS, System, big_sandbox, running, until

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


def test_M1__books_that_keep_too_few_decimals_get_one_wrong_draft_and_no_other(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none at all after a doctor; when they keep all of them, the deal goes on by a replay."""
    known, first, second = (won(system, f"Fine {each} Ltd", [line("7", total="1.001")], "KWD") for each in range(3))
    system.close(known.id)  # the list of currencies, read for the first deal of each, would say it
    system.wait_for("done", known)
    monkeypatch.setitem(system.sandbox.zoho.profile.price_precision, "KWD", 2)

    system.close(first.id)
    asked(system, first, error="AmountMismatchError")
    system.close(second.id)
    letter = asked(system, second, error="MappingError")
    assert "keeps KWD with 2 of its 3 decimals, and a line comes to 1.001" in letter.cause
    assert system.documents(second)[1] == []

    monkeypatch.undo()
    replay(system, second)
    system.wait_for("done", second)
    assert totals(system, second) == [("KWD", Decimal("1.001"))] * 2


ACCEPT = Answers(accept=True)


def test_M3__what_was_paid_in_another_currency_is_said_in_words_and_never_as_a_number(system: System) -> None:
    """Somebody has given the customer another currency in the books, and a person accepts the invoice."""
    deal = accepted_in_euro(system, "Paid Abroad Ltd")
    (invoice,) = system.documents(deal)[1]

    system.sandbox.invoices.pay(invoice["number"], Decimal(7), webhook=True, date="2026-11-18")
    assert told(system, deal, day="2026-11-18") == (False, None, "7.00 EUR paid")
    alert = foreign_alert(system, invoice["id"])
    assert f"the invoice {invoice['number']}, which is in EUR, but its deal is in USD" in alert["cause"]

    system.sandbox.invoices.pay(invoice["number"], webhook=True, date="2026-11-20")
    assert told(system, deal, day="2026-11-20") == (True, None, "51.60 EUR paid")
    assert foreign_alert(system, invoice["id"]) == alert, "people hear of it once"


def test_M3__it_is_over_when_nothing_is_paid_any_more(system: System) -> None:
    deal = accepted_in_euro(system, "Paid Back Abroad Ltd")
    (invoice,) = system.documents(deal)[1]
    paid = system.sandbox.invoices.pay(invoice["number"], webhook=True, date="2026-11-18")
    assert told(system, deal, day="2026-11-18") == (True, None, "51.60 EUR paid")

    system.sandbox.payments.delete(paid.payment_id, webhook=True)

    assert told(system, deal, day=None) == (False, 0, "Synced")
    assert foreign_alert(system, invoice["id"]) == {}


def test_M3__a_deal_that_gets_the_currency_of_its_invoice_says_the_number_by_itself(system: System) -> None:
    deal = accepted_in_euro(system, "Sold Abroad Ltd")
    (invoice,) = system.documents(deal)[1]
    system.sandbox.invoices.pay(invoice["number"], webhook=True, date="2026-11-18")
    assert told(system, deal, day="2026-11-18") == (True, None, "51.60 EUR paid")

    give_currency(system, deal, "EUR")
    asked(system, deal, error="DealChangedError")

    until(lambda: told(system, deal, day="2026-11-18")[:2] == (True, Decimal("51.60")), what="the number")
    assert foreign_alert(system, invoice["id"]) == {}


def test_M3__a_deal_that_gets_another_currency_keeps_no_number_of_the_old_one(system: System) -> None:
    deal = won(system, "Moved Abroad Ltd", [line("4", "12.90")], "USD")
    system.close(deal.id)
    system.wait_for("done", deal)
    (invoice,) = system.documents(deal)[1]
    system.sandbox.invoices.pay(invoice["number"], webhook=True, date="2026-11-18")
    assert told(system, deal, day="2026-11-18") == (True, Decimal("51.60"), "Synced")

    give_currency(system, deal, "EUR")
    asked(system, deal, error="DealChangedError")

    until(lambda: told(system, deal, day="2026-11-18")[:2] == (True, None), what="the number is taken away")
    assert foreign_alert(system, invoice["id"])["times"] == 1


def give_currency(system: System, deal: Deal, currency: str) -> None:
    """A seller gives the deal another currency: Salesforce keeps its numbers as they are."""
    crm = system.sandbox.salesforce
    with crm.lock:
        crm.org.update("Opportunity", deal.id, {"CurrencyIsoCode": currency})
    assert system.sandbox.deals.announce(deal.id).status == 200


def accepted_in_euro(system: System, name: str) -> Deal:
    """A deal in USD whose invoice a person has accepted in EUR."""
    first, second = (won(system, name, [line("4", "12.90")], "USD") for _ in range(2))
    system.close(first.id)
    system.wait_for("done", first)
    books = system.sandbox.zoho
    with books.lock:
        (customer,) = (doc for doc in books.organization.contacts.docs.values() if doc["contact_name"] == name)
        customer["currency_code"] = "EUR"
    system.close(second.id)
    asked(system, second, error="AmountMismatchError")
    replay(system, second, ACCEPT)
    system.wait_for("done", second)
    return second


def told(system: System, deal: Deal, *, day: str | None) -> tuple[bool, Decimal | None, str]:
    """What the deal says of its payment, once it is of this *day*."""

    def row() -> dict[str, Any]:
        (found,) = [each for each in system.sandbox.ledger()["deals"] if each["id"] == deal.id]
        return dict(found)

    def is_told() -> bool:
        return row()["Payment_Date__c"] == day and is_over(system, deal)

    until(is_told, what="the deal is told")
    found = row()
    amount = found["Payment_Amount__c"]
    return found["Payment_Received__c"], None if amount is None else Decimal(str(amount)), found["Sync_Status__c"]


def is_over(system: System, deal: Deal) -> bool:
    """Whether nothing is left to do for the payments of the deal's invoice."""
    (invoice,) = system.documents(deal)[1]
    with system.store.read() as uow:
        run = run_of_subject(uow, "invoice_to_deal", invoice["id"])
    return run is not None and run.status is RunStatus.DONE


def foreign_alert(system: System, invoice: str) -> dict[str, Any]:
    """What people were told of it, and how often, while it is open; {} else."""
    with system.store.read() as uow:
        found = [each for each in uow.alerts.open(None) if each.cause == f"other_currency:zoho_books:{invoice}"]
    return {**found[0].content, "times": found[0].occurrences} if found else {}


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
