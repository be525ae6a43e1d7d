"""Catch-up: a change at a source that no webhook announced starts the same run as its webhook would.

Two flows, one for the CRM's deals and one for the books' payments. Each scan goes back further than the last one went,
because a change becomes visible later than its stamp says; and it leaves the last moments out, because their webhooks
are still on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from crmsync.alerts.content import silence_alert
from crmsync.company import Bound, Company
from crmsync.domain.catch_up import Verdict, WonDeal, is_of_another_amount, verdict
from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.learned import ChangesSeen, DealInShort, InvoiceRead
from crmsync.domain.payments import InvoiceChange, PaymentChange
from crmsync.domain.runs import Run, RunStatus
from crmsync.flows import invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.flows.business_day import known_zone
from crmsync.flows.corrections import is_corrected
from crmsync.flows.sightings import Sighting, Started, paged, source_of, start
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow, learned
from crmsync.worker.task import step

QUEUE = "background"
DEALS = Flow(
    "catch_up_deals",
    subject="catch-up of deals",
    steps=("look_for_deals",),
    repeats=True,
    every=lambda options: options.catch_up_seconds,
    roles=("deals",),
    title="Catch-up of deals",
)
PAYMENTS = Flow(
    "catch_up_payments",
    subject="catch-up of payments",
    steps=("look_for_payments",),
    repeats=True,
    every=lambda options: options.catch_up_seconds,
    roles=("payments",),
    title="Catch-up of payments",
    subject_role="payments",
    bound_as="payments",
)

CLOCKS = timedelta(minutes=1)  # how far ours and a vendor's may be apart
WRONG_CLOCK = timedelta(days=1)  # how far back a scan goes after a clock that was ahead
EARLY = timedelta(minutes=5)  # a webhook may come this much before the stamp of its change, by two clocks

Seen = Callable[[Services, Company, datetime, datetime], Iterator[Sequence[Sighting]]]


@step(DEALS, queue=QUEUE, learns=ChangesSeen)
def look_for_deals(attempt: Attempt) -> ChangesSeen:
    """Start a run for each deal that was won since the last scan and has none."""
    return _scan(attempt, DEALS, deals_seen, role="deals", is_oldest_first=True)


@step(PAYMENTS, queue=QUEUE, learns=ChangesSeen)
def look_for_payments(attempt: Attempt) -> ChangesSeen:
    """Start the runs of what was paid, credited or voided since the last scan and was not announced."""
    return _scan(attempt, PAYMENTS, payments_seen, role="payments")


def _scan(attempt: Attempt, flow: Flow, seen: Seen, *, role: str, is_oldest_first: bool = False) -> ChangesSeen:
    using = attempt.services
    since, until = _window(using, attempt.company, flow, attempt.started_at)
    looked, started = 0, Started()
    for page in seen(using, attempt.company, since, until) if since < until else ():
        started += start(using, attempt.company, page, correlation_id=attempt.run.correlation_id)
        looked += len(page)
        attempt.record_progress(seen=looked, **started.to_json())
        if is_oldest_first:
            _go_on_from(attempt, flow, page[-1].changed_at)
    with using.store.begin() as uow:
        attempt.hold(uow)
        if since < until:  # while going live is to come nothing is read: it may be moved to an earlier day
            uow.facts.set(_checkpoint(flow, attempt.run.source), until.isoformat())
        longest = timedelta(seconds=attempt.company.options.silence_seconds)
        _watch_for_silence(using, uow, attempt.company.bound(role), started.unannounced, longest)
    attempt.describe(title=f"Checked {looked:,} changes, started {started.all:,}, {started.healed:,} of them missed")
    return ChangesSeen(looked, started.healed, started.all, until)


def _go_on_from(attempt: Attempt, flow: Flow, changed_at: datetime) -> None:
    """A scan that is interrupted again and again comes to its end all the same."""
    with attempt.services.store.begin(durable=False) as uow:
        attempt.hold(uow)
        uow.facts.set(_checkpoint(flow, attempt.run.source), changed_at.isoformat())


def _window(using: Services, company: Company, flow: Flow, now: datetime) -> tuple[datetime, datetime]:
    behaviour, go_live = using.settings.behaviour, using.go_live(company)
    with using.store.read() as uow:
        checkpoint = uow.facts.get(_checkpoint(flow, flow.origin(company).source))
    overlap = timedelta(seconds=behaviour.catch_up_overlap_seconds)
    since = datetime.fromisoformat(checkpoint) - overlap if checkpoint else go_live
    if checkpoint and datetime.fromisoformat(checkpoint) > now:
        since = now - WRONG_CLOCK  # nobody knows since when the clock was wrong
    return max(since, go_live), now - timedelta(seconds=behaviour.catch_up_grace_seconds)


def _checkpoint(flow: Flow, connection: str) -> str:
    return f"{source_of(flow, connection)}.until"


# What was missed


def deals_seen(using: Services, company: Company, since: datetime, until: datetime) -> Iterator[Sequence[Sighting]]:
    """The deals that are won and were changed in [since, until), oldest change first."""
    go_live, zone, max_days = (
        using.go_live(company),
        known_zone(using, company.invoices),
        company.options.max_deal_age_days,
    )
    crm = company.deals.connection
    for deals in paged(chain.from_iterable(company.deals.api.won_deals(since, until))):
        with using.store.read() as uow:
            runs = uow.runs.of_subjects(order_to_invoice.FLOW.name, crm, [deal.key for deal in deals])
            judge = partial(verdict, go_live=go_live, zone=zone, now=uow.now, max_days=max_days)
            page = [_deal_seen(uow, deal, runs.get(deal.key), judge) for deal in deals]
        yield page


def _deal_seen(uow: UnitOfWork, deal: WonDeal, run: Run | None, judge: Callable[..., Verdict]) -> Sighting:
    found = judge(deal, has_run=run is not None)
    is_corrected = run is not None and run.status is RunStatus.STOPPED and _is_mended(uow, run, deal.changed_at)
    if run is not None and not is_corrected and is_of_another_amount(deal, run):
        return _seen(deal, Verdict.LOOK, has_webhook=False)
    read = learned(run, order_to_invoice.FLOW.source, DealInShort) if run is not None else None
    if run is not None and read is not None and not read.is_won:
        is_done = order_to_invoice.FLOW.is_complete(run)
        return _seen(deal, Verdict.WON_AGAIN if is_done else Verdict.START, has_webhook=False)
    return _seen(deal, Verdict.START if is_corrected else found, has_webhook=not is_corrected)


def _seen(deal: WonDeal, found: Verdict, *, has_webhook: bool) -> Sighting:
    is_missed = not found.rereads
    shown = (deal.title, deal.amount)
    return Sighting(
        order_to_invoice.FLOW, deal.key, deal.changed_at, found, *shown, has_webhook=has_webhook, is_missed=is_missed
    )


def _is_mended(uow: UnitOfWork, run: Run, changed_at: datetime) -> bool:
    """Whether a deal that is won now died of bad data, and was changed since it was read.

    One that was not won, or not there, is so now, whatever the stamp says: a change is stamped before it is seen.
    """
    letter = uow.dead_letters.of_run(run.id)
    was_unwon = letter is not None and letter.status is LetterStatus.WAITING and letter.is_of_unwon_deal
    return was_unwon or is_corrected(uow, run, changed_at)


def payments_seen(using: Services, company: Company, since: datetime, until: datetime) -> Iterator[Sequence[Sighting]]:
    """The payments changed in [since, until); then the invoices of ours whose figures are not those on their deals."""
    for payments in paged(company.payments.api.changed_payments(since)):
        with using.store.read() as uow:
            page = [_payment_seen(uow, company, each) for each in payments if each.changed_at < until]
        yield page
    for invoices in paged(company.payments.api.changed_invoices(since)):
        with using.store.read() as uow:
            page = [seen for each in invoices if each.changed_at < until for seen in _invoice_seen(uow, company, each)]
        yield page


def _payment_seen(uow: UnitOfWork, company: Company, payment: PaymentChange) -> Sighting:
    announced_at = uow.deliveries.last_received_at(company.payments.connection, payment.key)
    is_announced = announced_at is not None and announced_at >= payment.changed_at - EARLY
    found = Verdict.HAS_RUN if is_announced else Verdict.START
    may_be_announced = (
        announced_at is not None and announced_at >= (payment.changed_since or payment.changed_at) - EARLY
    )
    return Sighting(payment_to_invoices.FLOW, payment.key, payment.changed_at, found, is_missed=not may_be_announced)


def _invoice_seen(uow: UnitOfWork, company: Company, invoice: InvoiceChange) -> list[Sighting]:
    """One, or none where the invoice is not ours, or was read since it changed."""
    made = uow.ledger.of_document(company.invoices.connection, "invoice", invoice.key)
    if made is None:
        return []
    told = invoice_to_deal.FLOW.run_of(uow, company, invoice.key)
    if _is_told(invoice, told):
        return []
    run = uow.runs.get(made.run_id)
    return [
        Sighting(
            invoice_to_deal.FLOW,
            invoice.key,
            invoice.changed_at,
            Verdict.START,
            run.title if run else "",
            has_webhook=False,  # credit notes and write-offs are announced by none
            is_missed=not (_may_be_told(invoice, told) or _is_payment_announced(uow, company, invoice)),
        )
    ]


def _may_be_told(invoice: InvoiceChange, told: Run | None) -> bool:
    """Whether *told* may have brought the change home, or is about to."""
    if told is None:
        return False
    if told.status is RunStatus.ACTIVE:  # it was started already, and reads what is there then
        return True
    read = learned(told, "read_invoice", InvoiceRead)
    if read is None:
        return False
    is_same = (read.balance, read.is_void) == (str(invoice.balance), invoice.is_void)
    # Read at about the time of its change: two clocks can't say which came first.
    return is_same or read.read_at > invoice.changed_at - CLOCKS


def _is_payment_announced(uow: UnitOfWork, company: Company, invoice: InvoiceChange) -> bool:
    """Whether a payment of the invoice was announced since it changed: then its own run brings the invoice home."""
    payments = uow.applications.of_invoice(company.payments.connection, invoice.key)
    announced = (uow.deliveries.last_received_at(company.payments.connection, payment) for payment in payments)
    return any(at is not None and at >= invoice.changed_at - EARLY for at in announced)


def _is_told(invoice: InvoiceChange, told: Run | None) -> bool:
    """Whether *told*, the run that brings the invoice to its deal, has read it since it changed."""
    read = learned(told, "read_invoice", InvoiceRead) if told else None
    if read is None:
        return invoice.is_untouched and told is None
    # Of an equal balance another part may be paid: a payment that bounced and was written off.
    return read.read_at > invoice.changed_at + CLOCKS


# Silence


def _watch_for_silence(using: Services, uow: UnitOfWork, source: Bound[Any], missed: int, longest: timedelta) -> None:
    """Tell people, once, that a source's webhooks do not arrive although it changes."""
    cause, last = f"silence:{source.connection}", uow.deliveries.last_received_at(source.connection)
    is_silent = last is None or uow.now - last > longest
    if not is_silent:
        uow.alerts.close(cause)
    elif missed:
        content = silence_alert(
            source.system,
            last_at=last.strftime("%Y-%m-%d %H:%M UTC") if last else "",
            healed=missed,
            command=using.settings.pasteable("crmsync doctor"),
        )
        tenant = uow.owners.tenant_of(source.connection)
        uow.alerts.add_once(tenant, cause, content, connection=source.connection)
