"""The story: a deal becomes an order and an invoice and is paid, and whatever goes wrong, nothing is made twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from crmsync.domain.dead_letters import LetterStatus
from crmsync.lab.demo.evidence import Evidence, money
from crmsync.lab.demo.narrator import Narrator, lines_of
from crmsync.lab.demo.sightings import NeverHappened, Sightings, until
from crmsync.lab.demo.world import SETTLE_SECONDS, Stopwatch, World

if TYPE_CHECKING:
    from crmsync.lab.sandbox.deals import Deal

COMPANY = "Acme Manufacturing"
EMAIL = "accounts@acme.example.com"
QUIET_SECONDS = 1.5  # how long the story watches that nothing happens

SENSORS = {"product": "SENSOR-100", "quantity": 200, "unit_price": "235.00"}
GATEWAYS = {"product": "GATEWAY-10", "quantity": 12, "unit_price": "1490.00"}
CABLES = {"product": "CABLE-05", "quantity": 1000, "unit_price": "12.90"}
METERS = {"product": "SENSOR-100", "quantity": 40, "unit_price": "240.00"}
FIRST_PART = Decimal("7000.00")


class Story:
    """Its chapters, in order; *deals* are those that were won in it, *paid* those of them that were paid."""

    def __init__(self, world: World, narrator: Narrator) -> None:
        self.evidence = Evidence(world)
        self.deals: list[Deal] = []
        self.paid: list[Deal] = []
        self._world = world
        self._narrator = narrator

    def tell(self) -> None:
        """Raises: NeverHappened."""
        self._a_deal_is_won()
        self._the_same_webhook_again()
        self._the_customer_pays()
        self._sap_goes_down()
        self._a_person_looks()
        self._sap_comes_back()
        self._an_answer_is_lost()
        self._a_webhook_never_comes()
        self._stock_reaches_the_products()

    # -- the chapters

    def _a_deal_is_won(self) -> None:
        self._narrator.chapter("A deal is won")
        deal = self._new_deal("200 sensors", SENSORS)
        self._narrator.say(
            f"{COMPANY} buys {deal.name} for {money(deal.amount)}. The deal is closed in Salesforce, which announces "
            "it to crmsync with a signed webhook. Everything else happens by itself."
        )
        seen = self._close(deal)
        seen.sap_customer(COMPANY)
        seen.order()
        seen.zoho_customer(COMPANY)
        seen.invoice()
        seen.numbers()

    def _the_same_webhook_again(self) -> None:
        self._narrator.chapter("The same webhook comes again")
        self._narrator.say("Networks repeat messages. crmsync remembers which deals it has accepted.")
        deal, before = self.deals[-1], self.evidence.calls()
        self._announce(deal, "recognised, and acknowledged again")
        with self._narrator.waiting("watching that nothing happens"):
            time.sleep(QUIET_SECONDS)
        calls = self.evidence.calls() - before
        text = f"{calls} calls to other systems since; there is {self.evidence.count(deal)} for the deal"
        self._narrator.step("crmsync", text, is_good=calls == 0)

    def _the_customer_pays(self) -> None:
        self._narrator.chapter("The customer pays")
        deal = self.deals[-1]
        invoice = self.evidence.invoices(deal)[0]["number"]
        self._narrator.say(
            f"Two payments for invoice {invoice} arrive in Zoho Books, which announces each to crmsync with a signed "
            "webhook. crmsync treats that as a hint only, and reads from the books what has been paid."
        )
        seen = Sightings(deal, self.evidence, self._narrator, Stopwatch())
        self._pay(invoice, FIRST_PART, "PAY-1")
        seen.payment(FIRST_PART, is_all=False)
        self._pay(invoice, None, "PAY-2")
        seen.payment(Decimal(deal.amount), is_all=True)
        self.paid.append(deal)

    def _sap_goes_down(self) -> None:
        self._narrator.chapter("SAP goes down, and a deal is won")
        self._world.sandbox.faults.add("sap", "down")
        deal = self._new_deal("12 gateways", GATEWAYS)
        self._narrator.say(
            f"SAP now answers every call with an error page. {COMPANY} buys {deal.name} for {money(deal.amount)}. "
            "crmsync tries again by itself, three times, after up to 2, 4 and 8 seconds; then it notifies people."
        )
        watch = Stopwatch()
        self._close(deal).failures()
        message = until(lambda: self._world.slack.messages, "the alert reaches Slack")[-1]
        self._narrator.step("Slack", "this message was delivered:", seconds=watch())
        self._narrator.quote("Slack", lines_of(message))

    def _a_person_looks(self) -> None:
        self._narrator.chapter("A person checks what is waiting")
        self._narrator.say("Nothing is lost: the deal waits as a dead letter, and other deals go on meanwhile.")
        self._type("celery -A crmsync dead-letters list")

    def _sap_comes_back(self) -> None:
        self._narrator.chapter("SAP comes back, and the dead letter is replayed")
        deal = self.deals[-1]
        letter = until(lambda: self.evidence.letter(deal), "the dead letter is written")
        self._world.sandbox.faults.clear("sap")
        self._narrator.say("SAP answers again. One command lets the deal go on where it stopped.")
        seen = Sightings(deal, self.evidence, self._narrator, None)
        self._type(f"celery -A crmsync dead-letters replay {letter.id} --yes", or_else=self._crmsync_was_faster)
        seen.order()
        seen.invoice()
        seen.numbers()

    def _crmsync_was_faster(self) -> bool:
        """On a slow machine the letter of an outage has gone on by itself before the command looks."""
        letter = self.evidence.letter(self.deals[-1])
        if letter is None or letter.status is LetterStatus.WAITING:
            return False
        self._narrator.say("crmsync was faster than the command: it tries what an outage stopped again by itself.")
        return True

    def _an_answer_is_lost(self) -> None:
        self._narrator.chapter("SAP makes an order, but its answer is lost")
        self._world.sandbox.faults.add("sap", "lost", "create_order", times=1)
        deal = self._new_deal("1,000 cables", CABLES)
        self._narrator.say(
            f"{COMPANY} buys {deal.name} for {money(deal.amount)}. SAP makes the order, and the connection breaks "
            "before crmsync hears of it. To try again blindly would create a second order, so crmsync checks first. "
            "(How long SAP's lists may lag behind is CRMSYNC_SETTLE_SECONDS: "
            f"{SETTLE_SECONDS} in this demo, 30 otherwise.)"
        )
        before = self.evidence.asked_sap()
        seen = self._close(deal)
        seen.failures(count=1)
        seen.adoption(before)
        seen.invoice()
        seen.numbers()

    def _a_webhook_never_comes(self) -> None:
        self._narrator.chapter("A webhook never comes")
        deal = self._new_deal("40 meters", METERS)
        self._world.sandbox.deals.close(deal.id)
        self._narrator.say(
            f"{COMPANY} buys {deal.name} for {money(deal.amount)}, and the webhook is lost on the way. Every ten "
            "minutes crmsync compares Salesforce with what was announced. Here somebody starts that by hand. (How long "
            "a webhook may be on its way is CRMSYNC_CATCH_UP_GRACE_SECONDS: 0 in this demo, 120 otherwise.)"
        )
        seen = Sightings(deal, self.evidence, self._narrator, Stopwatch())
        self._type("crmsync catch-up --yes")
        seen.order()
        seen.invoice()
        seen.numbers()

    def _stock_reaches_the_products(self) -> None:
        self._narrator.chapter("The stock reaches the products")
        product, left = str(GATEWAYS["product"]), 4
        self._world.sandbox.products.set_stock(product, Decimal(left))
        self._narrator.say(
            f"Only {left} of {product} are left in SAP. Every hour crmsync writes to the products in Salesforce what "
            "changed, and reports to Slack what has run low. Here somebody does not wait for the hour:"
        )
        known = len(self._world.slack.messages)
        self._type("crmsync inventory run")
        wrong = self.evidence.wrong_products()
        count = self.evidence.product_count()
        text = f"all {count} products show what SAP has" if not wrong else f"these products are wrong: {wrong}"
        self._narrator.step("Salesforce", text, is_good=not wrong)
        message = until(lambda: self._world.slack.messages[known:], "the digest reaches Slack")[-1]
        self._narrator.step("Slack", "this message was delivered:")
        self._narrator.quote("Slack", lines_of(message))

    # -- what is done in them

    def _pay(self, invoice: str, amount: Decimal | None, reference: str) -> None:
        watch = Stopwatch()
        paid = self._world.sandbox.invoices.pay(invoice, amount, webhook=True, reference=reference)
        if paid.answer is None or paid.answer.status != 200:
            raise NeverHappened(f"The receiver did not accept the payment's webhook: {paid.answer}")
        self._narrator.step("Zoho Books", f"payment of {money(paid.amount)} recorded and announced", seconds=watch())

    def _new_deal(self, name: str, line: dict[str, object]) -> Deal:
        deal = self._world.sandbox.deals.create(COMPANY, email=EMAIL, lines=[line], name=name)
        self.deals.append(deal)
        return deal

    def _close(self, deal: Deal) -> Sightings:
        self._world.sandbox.deals.close(deal.id)
        seen = Sightings(deal, self.evidence, self._narrator, Stopwatch())
        self._announce(deal, "webhook verified, stored in the database, acknowledged")
        return seen

    def _announce(self, deal: Deal, what: str) -> None:
        watch = Stopwatch()
        answer = self._world.sandbox.deals.announce(deal.id)
        seconds = watch()
        if answer.status != 200 or self.evidence.run(deal) is None:
            raise NeverHappened(f"The receiver did not accept the webhook: it answered {answer.status} {answer.text}")
        self._narrator.step("crmsync", f"{what} (HTTP {answer.status} in {seconds * 1000:.0f} ms)", seconds=seconds)

    def _type(self, command: str, *, or_else: Callable[[], bool] = lambda: False) -> None:
        """Raises: NeverHappened for a command that fails where *or_else* knows no good reason."""
        with self._narrator.waiting("running the command"):
            watch, ended = Stopwatch(), self._world.run(command, width=self._narrator.room)
        self._narrator.typed(self._world.command(command), ended.stdout.rstrip().splitlines(), seconds=watch())
        if ended.returncode != 0 and not or_else():
            raise NeverHappened(f"The command ended with status {ended.returncode}: {ended.stderr.strip()}")
