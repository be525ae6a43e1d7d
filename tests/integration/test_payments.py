"""Payments on a real worker: whatever happens to the money, and in whatever order it is told, the deal says what the
books say.

The tests share one running system, so each works with customers of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from crmsync.domain.runs import Run, RunStatus
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.deals import Deal
from tests.fakes import run_of_subject
from tests.system import NO_PERIODS, System, running, until

PAID = Decimal("47000.00")
PART = Decimal("7000.00")
_numbers = iter(range(1, 10_000))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("payments")
    with running(home, "web", "worker", "beat", **NO_PERIODS, CRMSYNC_TELL_SELLERS="no") as system:
        yield system


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    yield shared
    shared.sandbox.faults.clear()


@pytest.fixture
def sandbox(system: System) -> Sandbox:
    return system.sandbox


@pytest.fixture
def billed(system: System) -> Callable[..., Sequence[Deal]]:
    """Deals of one new customer that have become invoices."""

    def make(count: int = 1, **options: Any) -> Sequence[Deal]:
        name = f"Payer {next(_numbers):04d} Ltd"
        email = f"{re.sub('[^a-z0-9]', '', name.lower())}@example.com"
        deals = [system.sandbox.deals.create(name, email=email, **options) for _ in range(count)]
        system.close_all(deals)
        system.wait_for("done", *deals)
        return deals

    return make


def invoice_of(system: System, deal: Deal) -> dict[str, Any]:
    (invoice,) = system.documents(deal)[1]
    return invoice


def figures(system: System, deal: Deal) -> tuple[bool, Decimal | None, str | None]:
    """received, amount, day, as the deal says."""
    (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal.id]
    amount = row["Payment_Amount__c"]
    return bool(row["Payment_Received__c"]), None if amount is None else Decimal(str(amount)), row["Payment_Date__c"]


def says(system: System, deal: Deal, received: bool, amount: Decimal | int, day: str | None = ...) -> None:  # type: ignore[assignment]
    def is_so() -> bool:
        found = figures(system, deal)
        return found[:2] == (received, Decimal(amount)) and (day is ... or found[2] == day)

    try:
        until(is_so)
    except AssertionError:
        letters = [(letter.step, letter.cause) for letter in system.letters()]
        raise AssertionError(f"the deal says {figures(system, deal)}; dead letters: {letters}") from None


def run_of(system: System, flow: str, key: str) -> Run | None:
    with system.store.read() as uow:
        return run_of_subject(uow, flow, key)


@pytest.mark.parametrize("form", ["json", "flat", "jsonstring", "form", "raw"])
def test_a_payment_in_full_marks_the_deal_paid(system: System, billed: Any, form: str) -> None:
    (deal,) = billed()

    paid = system.sandbox.invoices.pay(invoice_of(system, deal)["number"], webhook=True, form=form, date="2026-11-20")

    assert paid.answer is not None
    assert paid.answer.status == 200
    says(system, deal, True, PAID, "2026-11-20")


def test_it_costs_three_calls(system: System, billed: Any) -> None:
    (deal,) = billed()
    number = invoice_of(system, deal)["number"]
    before = {name: calls["business"] for name, calls in system.sandbox.calls().items()}

    system.sandbox.invoices.pay(number, webhook=True)
    says(system, deal, True, PAID)

    after = {name: calls["business"] - before[name] for name, calls in system.sandbox.calls().items()}
    assert after == {"salesforce": 1, "sap": 0, "zoho": 2}


def test_a_part_payment_is_no_payment_in_full(system: System, billed: Any) -> None:
    (deal,) = billed()
    number = invoice_of(system, deal)["number"]

    system.sandbox.invoices.pay(number, PART, webhook=True, date="2026-11-10")
    says(system, deal, False, PART, "2026-11-10")

    system.sandbox.invoices.pay(number, webhook=True, date="2026-11-18")
    says(system, deal, True, PAID, "2026-11-18")


def test_an_overpayment_counts_as_far_as_it_was_owed(system: System, billed: Any) -> None:
    (deal,) = billed()

    system.sandbox.invoices.pay_many({invoice_of(system, deal)["number"]: None}, PAID + 500, webhook=True)

    says(system, deal, True, PAID)


def test_one_payment_over_several_invoices_counts_for_each_with_its_part(system: System, billed: Any) -> None:
    one, other = billed(2)
    parts = {invoice_of(system, one)["number"]: None, invoice_of(system, other)["number"]: PART}

    system.sandbox.invoices.pay_many(parts, webhook=True)

    says(system, one, True, PAID)
    says(system, other, False, PART)


def test_a_deleted_payment_takes_it_back(system: System, billed: Any) -> None:
    (deal,) = billed()
    paid = system.sandbox.invoices.pay(invoice_of(system, deal)["number"], webhook=True)
    says(system, deal, True, PAID)

    system.sandbox.payments.delete(paid.payment_id, webhook=True)

    says(system, deal, False, 0, None)


def test_a_payment_that_is_applied_to_another_invoice_moves_the_money(system: System, billed: Any) -> None:
    one, other = billed(2)
    numbers = [invoice_of(system, deal)["number"] for deal in (one, other)]
    paid = system.sandbox.invoices.pay(numbers[0], webhook=True)
    says(system, one, True, PAID)

    system.sandbox.payments.update(paid.payment_id, invoices={numbers[1]: PAID}, webhook=True)

    says(system, one, False, 0, None)
    says(system, other, True, PAID)


def test_a_refund_of_what_was_taken_off_the_invoice_takes_it_back(system: System, billed: Any) -> None:
    (deal,) = billed()
    number = invoice_of(system, deal)["number"]
    paid = system.sandbox.invoices.pay(number, webhook=True)
    says(system, deal, True, PAID)

    system.sandbox.payments.update(paid.payment_id, invoices={number: PART})
    system.sandbox.payments.refund(paid.payment_id, PAID - PART, webhook=True)

    says(system, deal, False, PART)


def test_a_voided_invoice_is_not_paid(system: System, billed: Any) -> None:
    (deal,) = billed()
    number = invoice_of(system, deal)["number"]
    system.sandbox.invoices.pay(number, webhook=True)
    says(system, deal, True, PAID)

    system.sandbox.invoices.void(number, webhook=True)

    says(system, deal, False, 0, None)


def test_a_payment_in_another_currency_is_told_in_the_invoices_own(system: System, billed: Any) -> None:
    (deal,) = billed()

    system.sandbox.invoices.pay(invoice_of(system, deal)["number"], PART, webhook=True, exchange_rate="1.0832")

    says(system, deal, False, PART)


def test_events_that_come_late_and_twice_end_in_the_present_state(system: System, billed: Any) -> None:
    (deal,) = billed()
    number = invoice_of(system, deal)["number"]
    first = system.sandbox.invoices.pay(number, PART)
    second = system.sandbox.invoices.pay(number)
    system.sandbox.payments.delete(second.payment_id)

    for payment_id in (second.payment_id, first.payment_id, first.payment_id, second.payment_id):
        body = {"payment": {"payment_id": payment_id, "invoices": [{"invoice_id": invoice_of(system, deal)["id"]}]}}
        assert announce(system, body) == 200

    says(system, deal, False, PART)


def test_invoices_of_others_are_left_alone_and_counted(system: System, sandbox: Sandbox, billed: Any) -> None:
    (deal,) = billed()
    foreign = by_hand(sandbox, invoice_of(system, deal))
    with system.store.read() as uow:
        before = uow.facts.counter("payments.foreign_invoices.zoho_books")

    paid = sandbox.invoices.pay_many({foreign: None, invoice_of(system, deal)["number"]: PART}, webhook=True)

    says(system, deal, False, PART)
    until(lambda: is_done(system, "payment_to_invoices", paid.payment_id))
    with system.store.read() as uow:
        assert uow.facts.counter("payments.foreign_invoices.zoho_books") == before + 1


def test_a_payment_that_comes_before_the_write_back_waits_for_it(system: System, sandbox: Sandbox) -> None:
    deal = sandbox.deals.create("Hasty Payer Ltd", email="hasty@example.com")
    sandbox.faults.add("salesforce", "refuse", operation="update_deal")
    system.close(deal.id)
    system.wait_for("stopped", deal)

    sandbox.invoices.pay(invoice_of(system, deal)["number"], webhook=True)
    until(lambda: waits_for_a_person(system, invoice_of(system, deal)["id"]))
    assert figures(system, deal)[1] is None

    sandbox.faults.clear()
    system.dead_letters("replay", str(system.letter_of(deal).id), "--yes")
    system.wait_for("done", deal)
    hurry(system, "invoice_to_deal", invoice_of(system, deal)["id"])
    says(system, deal, True, PAID)


def test_a_deal_that_refuses_its_figures_reaches_a_person_and_is_replayed(
    system: System, sandbox: Sandbox, billed: Any
) -> None:
    (deal,) = billed()
    sandbox.deals.refuse(deal.id, times=1)
    invoice = invoice_of(system, deal)

    sandbox.invoices.pay(invoice["number"], webhook=True)
    until(lambda: any(letter.subject_key == invoice["id"] for letter in system.letters()))
    (letter,) = [letter for letter in system.letters() if letter.subject_key == invoice["id"]]
    system.dead_letters("replay", str(letter.id), "--yes")

    says(system, deal, True, PAID)
    assert letter.title == system.run_of(deal).title, "people see which deal it is"


def announce(system: System, payload: dict[str, Any]) -> int:
    import hashlib
    import hmac
    import json

    body = json.dumps(payload).encode()
    secret = system.environment["ZOHO_WEBHOOK_SECRET"].encode()
    headers = {
        "Content-Type": "application/json",
        "X-Zoho-Webhook-Signature": hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    return requests.post(system.url("/webhook/zoho/payment"), data=body, headers=headers, timeout=10).status_code


def by_hand(sandbox: Sandbox, like: dict[str, Any]) -> str:
    """An invoice that somebody wrote for the same customer; its number."""
    environment = sandbox.environment()
    base = f"{environment['ZOHO_API_URL']}/books/v3"
    token = requests.post(
        f"{environment['ZOHO_ACCOUNTS_URL']}/oauth/v2/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": environment["ZOHO_REFRESH_TOKEN"],
            "client_id": environment["ZOHO_CLIENT_ID"],
            "client_secret": environment["ZOHO_CLIENT_SECRET"],
        },
        timeout=10,
    ).json()["access_token"]
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    organization = {"organization_id": environment["ZOHO_ORGANIZATION_ID"]}
    detail = requests.get(f"{base}/invoices/{like['id']}", params=organization, headers=headers, timeout=10).json()
    body = {
        "customer_id": detail["invoice"]["customer_id"],
        "line_items": [{"name": "Advice", "rate": 100, "quantity": 1}],
    }
    made = requests.post(f"{base}/invoices", params=organization, headers=headers, json=body, timeout=10).json()
    return str(made["invoice"]["invoice_number"])


def is_done(system: System, flow: str, key: str) -> bool:
    run = run_of(system, flow, key)
    return run is not None and run.status is RunStatus.DONE


def waits_for_a_person(system: System, invoice: str) -> bool:
    """Whether the invoice's run has looked at its deal's, and comes back much later."""
    run = run_of(system, "invoice_to_deal", invoice)
    return run is not None and run.due_at - run.updated_at > timedelta(minutes=1)


def hurry(system: System, flow: str, key: str) -> None:
    """Let the run be due now: its wait for a person is two minutes."""
    from sqlalchemy import update

    from crmsync.store.tables import runs

    with system.store.begin() as uow:
        uow.connection.execute(
            update(runs).where(runs.c.flow == flow, runs.c.subject_key == key).values(due_at=uow.now, queued_until=None)
        )
