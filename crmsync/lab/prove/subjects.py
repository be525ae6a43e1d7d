"""What a case works with: deals that are won, invoices that are paid, stock that moves; as their vendors do it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from crmsync import log
from crmsync.company import Connections, company_of, default_roles
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.references import document_reference
from crmsync.lab.machine import until
from crmsync.lab.prove.stage import SETTLE_SECONDS, Stage
from crmsync.lab.prove.verdict import Expected
from crmsync.options import Options

if TYPE_CHECKING:
    from crmsync.lab.sandbox.deals import Deal
    from crmsync.lab.sandbox.kernel.account import Answer

RESEND_SECONDS = 0.3
INSIST_SECONDS = 60.0  # then the vendor has given up, and the deal is as good as lost
STAMP_SECONDS = 1.1  # stamps of vendors have whole seconds: a look that follows later sees the change
AT_ONCE = 4  # webhooks that a vendor sends at a time
TOLD_SECONDS = 30.0  # in which a stuck deal has to say so
STUCK = "Needs attention"
PAUSE_SECONDS = 0.3  # between two of them
PRICES = {"SENSOR-100": "235.00", "SENSOR-200": "310.50", "GATEWAY-10": "1490.00", "CABLE-05": "12.90"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is expected of a case, how it is set going, and what else may happen at its source afterwards."""

    expected: tuple[Expected, ...]
    go: Callable[[], None]
    goes_on: Callable[[], None] = lambda: None
    moves_stock: bool = False


class Sender:
    """A vendor that sends its webhooks until each is acknowledged, for a while, or until it is told to give up."""

    def __init__(self) -> None:
        self._gives_up = threading.Event()

    def give_up(self) -> None:
        self._gives_up.set()

    def insist(self, send: Callable[[], Answer]) -> bool:
        """False if it never was acknowledged."""
        ends_at = time.monotonic() + INSIST_SECONDS
        while not self._gives_up.is_set() and time.monotonic() < ends_at:
            if send().status == 200:
                return True
            self._gives_up.wait(RESEND_SECONDS)
        return False


class Subjects:
    """Makes what cases need at one company's systems; every name, address and reference is new."""

    def __init__(self, stage: Stage, number: int = 1) -> None:
        self.stage = stage
        self.company = stage.sandbox.companies[number - 1]
        self.sender = Sender()
        self.all: list[Expected] = []  # whatever was accepted so far
        self._invoiced: list[Expected] = []
        self._invoiced_at = 0.0

    @cached_property
    def neighbours(self) -> Sequence[Subjects]:
        """The same of each further company, from the second on."""
        return [Subjects(self.stage, company.number) for company in self.stage.sandbox.companies[1:]]

    # -- deals

    def new_deal(self, *, of: Expected | None = None) -> tuple[Deal, Expected]:
        """An open deal, of a new customer or of the one of another deal."""
        number, random = next(self.stage.numbers), self.stage.random
        customer = of.customer if of else f"Prove {number:05d} Ltd"
        codes = random.sample(sorted(PRICES), random.randint(1, 3))
        lines = [{"product": code, "quantity": random.randint(1, 40), "unit_price": PRICES[code]} for code in codes]
        mail = f"ap@{customer.replace(' ', '-').lower()}.example.com"
        deal = self.company.deals.create(customer, email=mail, lines=lines, name=f"{customer}: {number}")
        return deal, Expected(deal.id, customer, Decimal(deal.amount))

    def win(self, deal: Deal, expected: Expected, *, webhook: bool = True) -> None:
        """Close the deal; it counts as accepted when its webhook is acknowledged, or where there is none."""
        deals = self.company.deals
        deals.close(deal.id)
        if not webhook or self.sender.insist(lambda: deals.announce(deal.id)):
            self.all.append(expected)

    def won_deals(self, number: int) -> list[Expected]:
        """Deals of new customers, won one after the other."""
        made = [self.new_deal() for _ in range(number)]
        for deal, expected in made:
            self.win(deal, expected)
        return [expected for _, expected in made]

    @contextmanager
    def stream(self, number: int) -> Iterator[list[Expected]]:
        """Deals that are won while the block runs, at least *number*; two of three are of customers who have one.

        The list that is yielded grows; it is whole when the block is left.
        """
        made, over = _Stream(self, number), threading.Event()
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                sent = [pool.submit(made.send, over) for _ in range(AT_ONCE)]
                try:
                    yield made.expected
                finally:
                    over.set()
        except BaseException:
            self.sender.give_up()
            raise
        for each in sent:
            each.result()

    # -- payments

    def invoiced(self, wait: Callable[[Sequence[Expected]], object]) -> Expected:
        """A deal whose invoice is out and unpaid; made ten at a time, *wait* lets them end."""
        if not self._invoiced:
            self._invoiced = self.won_deals(10)
            wait(self._invoiced)
            self._invoiced_at = time.monotonic()
        return self._invoiced.pop()

    def pay(self, expected: Expected, share: Decimal, *, webhook: bool = True) -> None:
        """Pay a part of the deal's invoice."""
        payment_id = self._paid(expected, share)
        if webhook:
            self.sender.insist(lambda: self.company.payments.announce(payment_id))

    def instalments(self, expected: Expected) -> list[dict[str, Any]]:
        """Pay the deal's invoice in three parts, unannounced; each as the books showed it then."""
        paid = [self._paid(expected, share) for share in (Decimal("0.25"), Decimal("0.25"), Decimal(1))]
        return [self.company.payments.shown(payment_id) for payment_id in paid]

    def _paid(self, expected: Expected, share: Decimal) -> str:
        """A payment of that share of the deal, or of what is left to pay."""
        invoice = self._invoices(expected)[0]
        amount = min((expected.amount * share).quantize(Decimal("0.01")), invoice["balance"])
        reference = f"PAY-{next(self.stage.numbers)}"
        return self.company.invoices.pay(invoice["invoice_id"], amount, reference=reference).payment_id

    def has_open_invoice(self, expected: Expected) -> bool:
        return any(invoice["balance"] == expected.amount for invoice in self._invoices(expected))

    def _invoices(self, expected: Expected) -> list[dict[str, Any]]:
        first, zoho = document_reference(expected.deal), self.company.zoho
        with zoho.lock:
            found = [doc for doc in zoho.organization.invoices.docs.values() if doc["status"] != "void"]
        return [doc for doc in found if doc["reference_number"].startswith(first)]

    # -- people

    def invoice_of(self, expected: Expected) -> str:
        """The id of the deal's invoice that stands."""
        return str(self._invoices(expected)[0]["invoice_id"])

    def order_of(self, expected: Expected) -> str:
        """The number of the deal's order that stands."""
        first = document_reference(expected.deal)
        orders = [row for row in self.company.ledger()["orders"] if not row["rejected"]]
        return next(str(row["id"]) for row in orders if (row["reference"] or "").startswith(first))

    def became(self, before: Expected, now: Expected) -> Expected:
        """What is expected of a deal has changed."""
        self.all = [now if each == before else each for each in self.all]
        return now

    # -- stock and looks

    def move_stock(self) -> None:
        self.company.products.change_stock(0.5)

    def begin(self, flow_name: str) -> None:
        """Start the only run of a flow, as beat does when its time has come; the sweeper sends its message."""
        from crmsync.worker import starting
        from crmsync.worker.flow import FLOWS

        company = company_of(DEFAULT_TENANT, default_roles(), cast(Connections, None), Options())  # nobody is asked
        with self.stage.store.begin() as uow:
            starting.start(
                uow,
                FLOWS[flow_name],
                company,
                flow_name,
                correlation_id=log.new_correlation_id(),
                queued_for=timedelta(0),
            )

    # -- by flow

    def of_flow(self, flow: str, wait: Callable[[Sequence[Expected]], object]) -> Subject:
        """A subject on which every step of *flow* has work to do."""
        make = {
            "order_to_invoice": self._of_deal,
            "payment_to_invoices": self._of_payment,
            "invoice_to_deal": self._of_payment,
            "inventory": self._of_inventory,
            "catch_up_deals": self._of_missed_deal,
            "catch_up_payments": self._of_missed_payment,
            "compare_orders": lambda wait: self._of_made_document(wait, "compare_orders"),
            "compare_invoices": lambda wait: self._of_made_document(wait, "compare_invoices"),
            "deal_status": self._of_stuck_deal,
        }
        return make[flow](wait)

    def _of_deal(self, _wait: object) -> Subject:
        deal, expected = self.new_deal()
        return Subject((expected,), lambda: self.win(deal, expected))

    def _of_payment(self, wait: Callable[[Sequence[Expected]], object]) -> Subject:
        expected = self.invoiced(wait)
        half = Decimal("0.5")
        return Subject((expected,), lambda: self.pay(expected, half), lambda: self.pay(expected, Decimal(1)))

    def _of_inventory(self, _wait: object) -> Subject:
        def go() -> None:
            self.move_stock()
            self.begin("inventory")

        return Subject((), go, go, moves_stock=True)

    def _of_missed_deal(self, _wait: object) -> Subject:
        deal, expected = self.new_deal()

        def go() -> None:
            self.win(deal, expected, webhook=False)
            time.sleep(STAMP_SECONDS)
            self.begin("catch_up_deals")

        return Subject((expected,), go)

    def _of_missed_payment(self, wait: Callable[[Sequence[Expected]], object]) -> Subject:
        expected = self.invoiced(wait)

        def go() -> None:
            self.pay(expected, Decimal(1), webhook=False)
            time.sleep(STAMP_SECONDS)
            self.begin("catch_up_payments")

        return Subject((expected,), go)

    def _of_made_document(self, wait: Callable[[Sequence[Expected]], object], flow_name: str) -> Subject:
        """An order and an invoice that are old enough to be looked at."""
        expected = self.invoiced(wait)
        time.sleep(max(0.0, self._invoiced_at + SETTLE_SECONDS - time.monotonic()))
        return Subject((expected,), lambda: self.begin(flow_name))

    def _of_stuck_deal(self, _wait: object) -> Subject:
        """A deal that can't be ordered until somebody corrects it, who reads at the deal that it is stuck."""
        deal, expected = self.new_deal()

        def go() -> None:
            quantity = self._change_quantity(deal, Decimal(-1))
            self.win(deal, expected)
            until(lambda: self._says(deal) == STUCK or None, patience_seconds=TOLD_SECONDS)
            self._change_quantity(deal, quantity)
            self.sender.insist(lambda: self.company.deals.announce(deal.id))

        return Subject((expected,), go)

    def _change_quantity(self, deal: Deal, quantity: Decimal) -> Decimal:
        """Returns what it was before."""
        crm, line = self.company.salesforce, deal.line_ids[0]
        with crm.lock:
            before = Decimal(crm.org.get("OpportunityLineItem", line)["Quantity"])
            crm.org.update("OpportunityLineItem", line, {"Quantity": quantity})
        return before

    def _says(self, deal: Deal) -> str:
        crm = self.company.salesforce
        with crm.lock:
            return str(crm.org.get("Opportunity", deal.id)["Sync_Status__c"])


class _Stream:
    """One deal after the other, by several threads."""

    def __init__(self, subjects: Subjects, number: int) -> None:
        self._subjects = subjects
        self._number = number
        self._lock = threading.Lock()
        self.expected: list[Expected] = []

    def send(self, over: threading.Event) -> None:
        while (made := self._next(over)) is not None:
            self._subjects.win(*made)
            over.wait(PAUSE_SECONDS)

    def _next(self, over: threading.Event) -> tuple[Deal, Expected] | None:
        with self._lock:
            count = len(self.expected)
            if over.is_set() and count >= self._number:
                return None
            known = self.expected[count - count % 3] if count % 3 else None
            deal, expected = self._subjects.new_deal(of=known)
            self.expected.append(expected)
            return deal, expected
