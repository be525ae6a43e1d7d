"""Nothing missed: what changed at a source and never reached a door starts the same run as its webhook would.

Two flows, one for the CRM's deals and one for the books' payments. Each look goes back further than the last one went,
because a change becomes visible later than its stamp says; and it leaves the last moments out, because their webhooks
are still on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any, TypeVar

from crmsync.alerts.content import silence_alert
from crmsync.domain.catch_up import Verdict, WonDeal, verdict
from crmsync.domain.dead_letters import LetterKind, LetterStatus
from crmsync.domain.money import Money
from crmsync.domain.payments import InvoiceChange, PaymentChange
from crmsync.domain.runs import Run, RunStatus
from crmsync.flows import invoice_to_deal, order_to_invoice, payment_to_invoices
from crmsync.services import ROLES, Services
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import CATCH_UP
from crmsync.worker import dead_letters, waking
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step
from crmsync.worker.waking import Awake

QUEUE = "background"
DEALS = Flow(
    "catch_up_deals",
    subject="catch-up of deals",
    steps=("look_for_deals",),
    repeats=True,
    every=lambda behaviour: behaviour.catch_up_seconds,
    roles=("deals",),
)
PAYMENTS = Flow(
    "catch_up_payments",
    subject="catch-up of payments",
    steps=("look_for_payments",),
    repeats=True,
    every=lambda behaviour: behaviour.catch_up_seconds,
    roles=("payments",),
)

PAGE = 50  # few enough to be done well within a lease, on a slow database too
CLOCKS = timedelta(minutes=1)  # how far ours and a vendor's may be apart
WRONG_CLOCK = timedelta(days=1)  # how far back is looked after a clock that was ahead
EARLY = timedelta(minutes=5)  # a webhook may come this much before the stamp of its change, by two clocks


@dataclass(frozen=True, slots=True)
class Sighting:
    """A change at a source, and what *flow* should do about it."""

    flow: Flow
    key: str
    changed_at: datetime
    verdict: Verdict
    title: str = ""
    amount: Money | None = None
    has_webhook: bool = True  # whether the vendor should have announced it
    is_missed: bool = True  # False: it may have been announced or read since, and is looked at again to be sure

    @property
    def source(self) -> str:
        """The name under which it is counted."""
        return source_of(self.flow)

    @property
    def event_key(self) -> str:
        """The name under which this very change is counted: it is started once."""
        return f"{self.key}:{self.changed_at.isoformat()}"


Change = TypeVar("Change")
Seen = Callable[[Services, datetime, datetime], Iterator[Sequence[Sighting]]]


def source_of(flow: Flow) -> str:
    return f"{CATCH_UP}{flow.name}"


@step(DEALS, queue=QUEUE)
def look_for_deals(attempt: Attempt) -> Mapping[str, Any]:
    """Start the deals that were won since the last look and have no run."""
    return _look(attempt, DEALS, deals_seen, role="deals", is_oldest_first=True)


@step(PAYMENTS, queue=QUEUE)
def look_for_payments(attempt: Attempt) -> Mapping[str, Any]:
    """Wake what was paid, credited or voided since the last look and was not announced."""
    return _look(attempt, PAYMENTS, payments_seen, role="payments")


def _look(attempt: Attempt, flow: Flow, seen: Seen, *, role: str, is_oldest_first: bool = False) -> Mapping[str, Any]:
    using, behaviour = attempt.services, attempt.services.settings.behaviour
    since, until = _window(using, flow, attempt.started_at)
    looked = healed = missed = 0
    for page in seen(using, since, until) if since < until else ():
        started = heal(using, page, correlation_id=attempt.run.correlation_id)
        missed += started if any(map(_is_missed, page)) else 0
        healed += started
        looked += len(page)
        attempt.record_progress(doing="looking", seen=looked, healed=healed)
        if is_oldest_first:
            _go_on_from(attempt, flow, page[-1].changed_at)
    with using.store.begin() as uow:
        attempt.hold(uow)
        uow.facts.set(_checkpoint(flow), until.isoformat())
        _watch_for_silence(using, uow, role, missed, timedelta(seconds=behaviour.silence_seconds))
    attempt.describe(title=f"Looked at {looked:,} changes, started {healed:,}")
    return {"seen": looked, "healed": healed, "until": until.isoformat()}


def _is_missed(sighting: Sighting) -> bool:
    """Whether a webhook should have come, and certainly did not."""
    return sighting.has_webhook and sighting.is_missed and sighting.verdict is Verdict.START


def _go_on_from(attempt: Attempt, flow: Flow, changed_at: datetime) -> None:
    """A look that is interrupted again and again comes to its end all the same."""
    with attempt.services.store.begin(durable=False) as uow:
        attempt.hold(uow)
        uow.facts.set(_checkpoint(flow), changed_at.isoformat())


def _window(using: Services, flow: Flow, now: datetime) -> tuple[datetime, datetime]:
    behaviour, go_live = using.settings.behaviour, using.go_live()
    with using.store.read() as uow:
        checkpoint = uow.facts.get(_checkpoint(flow))
    overlap = timedelta(seconds=behaviour.catch_up_overlap_seconds)
    since = datetime.fromisoformat(checkpoint) - overlap if checkpoint else go_live
    if checkpoint and datetime.fromisoformat(checkpoint) > now:
        since = now - WRONG_CLOCK  # nobody knows since when the clock was wrong
    return max(since, go_live), now - timedelta(seconds=behaviour.catch_up_grace_seconds)


def _checkpoint(flow: Flow) -> str:
    return f"{source_of(flow)}.until"


def heal(using: Services, sightings: Iterable[Sighting], *, correlation_id: str) -> int:
    """Start what was missed, and count every change once. Returns how many were started."""
    # In the order of the receiver, and a few at a time: two that wake the same runs must not wait for each other.
    waiting = iter(sorted(sightings, key=attrgetter("flow.name", "key")))
    return sum(_heal_some(using, some, correlation_id) for some in _paged(waiting))


def _heal_some(using: Services, sightings: Sequence[Sighting], correlation_id: str) -> int:
    with using.store.begin() as uow:
        _count(uow, [each for each in sightings if each.verdict is Verdict.HAS_RUN])
        missed = [each for each in sightings if each.verdict is Verdict.START]
        started = [(each, _start(using, uow, each, correlation_id)) for each in missed]
    awake = [(each.flow, *awake) for each, awake in started if awake]
    for flow, run_id, results in awake:
        dead_letters.best_effort(partial(flow.ring, run_id, results))
    return len(awake)


def _count(uow: UnitOfWork, sightings: Sequence[Sighting]) -> None:
    """What had its webhook is counted once, however often it changes afterwards."""
    known = uow.deliveries.known([each.key for each in sightings]) if sightings else ()
    for each in sightings:
        if (each.source, each.key) not in known:
            uow.deliveries.add(each.source, each.key, event_key=each.key)


def _start(using: Services, uow: UnitOfWork, sighting: Sighting, correlation_id: str) -> Awake | None:
    """The run to ring, if nobody has started it for this change. What may have been announced counts as received."""
    is_healed, event_key = sighting.is_missed, sighting.event_key
    if not uow.deliveries.add(sighting.source, sighting.key, event_key=event_key, is_healed=is_healed):
        return None
    queued_for = using.settings.behaviour.queued_for
    return waking.wake(uow, sighting.flow, sighting.key, correlation_id=correlation_id, queued_for=queued_for)


# What was missed


def deals_seen(using: Services, since: datetime, until: datetime) -> Iterator[Sequence[Sighting]]:
    """The deals that are won and were changed in [since, until), oldest change first."""
    go_live = using.go_live()
    for deals in _paged(chain.from_iterable(using.deals.won_deals(since, until))):
        with using.store.read() as uow:
            runs = uow.runs.of_subjects(order_to_invoice.FLOW.name, [deal.key for deal in deals])
            page = [_deal_seen(uow, deal, runs.get(deal.key), go_live) for deal in deals]
        yield page


def _deal_seen(uow: UnitOfWork, deal: WonDeal, run: Run | None, go_live: datetime) -> Sighting:
    found = verdict(deal, has_run=run is not None, go_live=go_live)
    is_corrected = run is not None and run.status is RunStatus.STOPPED and _is_corrected(uow, run.id, deal.changed_at)
    return Sighting(
        order_to_invoice.FLOW,
        deal.key,
        deal.changed_at,
        Verdict.START if is_corrected else found,
        deal.title,
        deal.amount,
        has_webhook=not is_corrected,
    )


def _is_corrected(uow: UnitOfWork, run_id: str, changed_at: datetime) -> bool:
    """Whether the deal died of bad data and was changed since it was read."""
    letter = uow.dead_letters.of_run(run_id)
    if letter is None or (letter.kind, letter.status) != (LetterKind.DATA, LetterStatus.WAITING):
        return False
    read_at = uow.history.last_stopped_attempt_at(run_id)
    return read_at is not None and changed_at > read_at


def payments_seen(using: Services, since: datetime, until: datetime) -> Iterator[Sequence[Sighting]]:
    """The payments changed in [since, until); then the invoices of ours whose figures are not those on their deals."""
    for payments in _paged(using.payments.changed_payments(since)):
        with using.store.read() as uow:
            page = [_payment_seen(uow, each) for each in payments if each.changed_at < until]
        yield page
    for invoices in _paged(using.payments.changed_invoices(since)):
        with using.store.read() as uow:
            page = [seen for each in invoices if each.changed_at < until for seen in _invoice_seen(uow, each)]
        yield page


def _paged(changes: Iterator[Change]) -> Iterator[list[Change]]:
    while page := list(islice(changes, PAGE)):
        yield page


def _payment_seen(uow: UnitOfWork, payment: PaymentChange) -> Sighting:
    announced_at = uow.deliveries.last_received_at(ROLES["payments"], payment.key)
    is_announced = announced_at is not None and announced_at >= payment.changed_at - EARLY
    found = Verdict.HAS_RUN if is_announced else Verdict.START
    may_be_announced = (
        announced_at is not None and announced_at >= (payment.changed_since or payment.changed_at) - EARLY
    )
    return Sighting(payment_to_invoices.FLOW, payment.key, payment.changed_at, found, is_missed=not may_be_announced)


def _invoice_seen(uow: UnitOfWork, invoice: InvoiceChange) -> list[Sighting]:
    """One, or none where the invoice is not ours, or was read since it changed."""
    made = uow.ledger.of_document(ROLES["invoices"], "invoice", invoice.key)
    if made is None:
        return []
    told = uow.runs.of_subject(invoice_to_deal.FLOW.name, invoice.key)
    if _is_told(invoice, told):
        return []
    run, read_at = uow.runs.get(made.run_id), _read_at(told)
    return [
        Sighting(
            invoice_to_deal.FLOW,
            invoice.key,
            invoice.changed_at,
            Verdict.START,
            run.title if run else "",
            has_webhook=False,  # credit notes and write-offs are announced by none
            # Read at about the time of its change, it may have been told: two clocks can't say which came first.
            is_missed=read_at is None or read_at <= invoice.changed_at - CLOCKS,
        )
    ]


def _is_told(invoice: InvoiceChange, told: Run | None) -> bool:
    """Whether *told*, the run that brings the invoice to its deal, has read it since it changed."""
    read_at = _read_at(told)
    if read_at is None:
        return invoice.is_untouched and told is None
    # Of an equal balance another part may be paid: a payment that bounced and was written off.
    return read_at > invoice.changed_at + CLOCKS


def _read_at(told: Run | None) -> datetime | None:
    read = told.results.get("read_invoice") if told else None
    return datetime.fromisoformat(read["read_at"]) if read is not None else None


# Silence


def _watch_for_silence(using: Services, uow: UnitOfWork, role: str, healed: int, longest: timedelta) -> None:
    """Tell people, once, that a source's webhooks do not arrive although it changes."""
    source = ROLES[role]
    cause, last = f"silence:{source}", uow.deliveries.last_received_at(source)
    is_silent = last is None or uow.now - last > longest
    if not is_silent:
        uow.alerts.close(cause)
    elif healed:
        system = using.connector(source).system
        content = silence_alert(
            system,
            last_at=last.strftime("%Y-%m-%d %H:%M UTC") if last else "",
            healed=healed,
            command=using.settings.pasteable("crmsync doctor"),
        )
        uow.alerts.add_once(cause, content)
