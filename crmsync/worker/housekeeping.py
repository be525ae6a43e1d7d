"""Housekeeping: the sweeper that enqueues due runs, the schedules of flows, and the delivery of alerts.

Beat asks for it by messages; where nobody did for some periods, each worker's lookout does it on its own timer. No
duty stops another, and no run another: what is wrong with one is logged, with an alert where a person must know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from crmsync import log
from crmsync.alerts import delivery
from crmsync.celery import HOUSEKEEPING, app
from crmsync.company import Company
from crmsync.services import Services, services
from crmsync.store.due import ANY, Lost, Place
from crmsync.store.tallies import BOOKS
from crmsync.worker import dead_letters, letter_alerts, questions, queues, retention, shares, starting, watch
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.neighbours import Neighbours

logger = logging.getLogger(__name__)

_neighbours = Neighbours()

OPTIONS: dict[str, Any] = {"queue": HOUSEKEEPING, "Strategy": "crmsync.worker.bulkhead:strategy"}


@app.task(name="housekeeping.sweep", **OPTIONS)
def sweep() -> None:
    """Bring back every run that is due and that nobody works on; then show dead letters and deliver alerts."""
    _sign(services(), watch.BEAT)
    sweep_now(services())


@app.task(name="housekeeping.start_periods", **OPTIONS)
def start_periods() -> None:
    """Start the flows whose time has come: each once for its period, however many beats there are."""
    start_periods_now(services())


@app.task(name="housekeeping.deliver_alerts", **OPTIONS)
def deliver_alerts() -> None:
    """Send alerts of what has just gone wrong, at once."""
    _deliver(services())


def keep_watch(using: Services) -> None:
    """The round of a worker's lookout: say that it lives, and do beat's duties if nobody has done them."""
    _sign(using, watch.WORKER)
    _do_each(neighbours=partial(_neighbours.check, using))
    if watch.needs_sweep(using):
        logger.warning("no sweep for some periods: this worker sweeps by itself", extra={"action": "swept_unasked"})
        sweep_now(using)
        start_periods_now(using)


def sweep_now(using: Services) -> None:
    _do_each(
        set_right=partial(_set_right, using),
        bring_back=partial(_bring_back, using),
        start_found=partial(_start_found, using),
        return_passing=partial(dead_letters.return_passing, using),
        redraw=partial(dead_letters.redraw, using),
        settle_alerts=partial(letter_alerts.settle_all, using),
        sign=partial(_sign, using, watch.SWEEP),
        watch=partial(watch.check, using),
        deliver=partial(_deliver, using),
        prune=partial(retention.prune, using),
        forget_questions=partial(questions.forget, using),
        count=partial(_count_what_is_over, using),
    )


def start_periods_now(using: Services) -> None:
    _do_each(**{flow.name: partial(_start_if_due, using, flow) for flow in FLOWS.values()})


def _do_each(**duties: Callable[[], Any]) -> None:
    for name, duty in duties.items():
        try:
            duty()
        except Exception:
            logger.exception("%s failed; the others go on", name, extra={"action": "housekeeping_failed"})


def _sign(using: Services, name: str) -> None:
    with using.store.begin(durable=False) as uow:
        watch.sign(uow, name)


def _count_what_is_over(using: Services) -> None:
    """Once in a quarter of an hour, so that whoever asks counts the last half hour and not years."""
    with using.store.read() as uow:
        due = [book for book in BOOKS if uow.tallies.is_due(book)]
    for book in due:
        with using.store.begin(durable=False) as uow:
            uow.tallies.fold(book)


def _deliver(using: Services) -> None:
    delivery.deliver(using.store, using.messenger)


# Due runs


def _set_right(using: Services) -> None:
    behaviour = using.settings.behaviour
    with using.store.begin(durable=False) as uow:
        count = uow.due.set_right(lease_seconds=behaviour.lease_seconds, queued_for=behaviour.queued_for)
    if count:
        logger.warning("a clock was wrong: %d instants of runs are set right", count, extra={"action": "clock_wrong"})


def _bring_back(using: Services) -> None:
    with using.store.read() as uow:
        sent = uow.due.sent()
    lost = _lost(sent, queues.lengths())  # without a broker this raises, and no run counts as queued
    enqueue_due(using, using.settings.behaviour.queued_for, lost)


def _lost(sent: Mapping[Place, int], lengths: Mapping[str, int]) -> list[Lost]:
    """How many messages each queue lacks: fewer wait there than were sent for runs that are due.

    The others are late, and more would only multiply them: each costs the workers a transaction. What waits in one
    queue says nothing of another: a flood of deals must not hold back stock and payments.
    """
    places: dict[str, list[Place]] = {}
    for place in sent:
        task = app.tasks.get(".".join(place))
        places.setdefault(task.queue if task else "", []).append(place)
    missing = {queue: sum(sent[place] for place in of) - lengths.get(queue, 0) for queue, of in places.items()}
    return [(places[queue], count) for queue, count in missing.items() if count > 0]


def enqueue_due(using: Services, queued_for: timedelta, lost: Sequence[Lost] = (ANY,)) -> int:
    """Send a chain for each due run, of each source as many as its share is; returns how many."""
    beside = [flow.name for flow in FLOWS.values() if flow.every is not None]
    share = shares.share_of(using.settings)
    with using.store.begin(durable=False) as uow:
        due = uow.due.claim(limit=share, queued_until=uow.now + queued_for, beside=beside, lost=lost)
    sent = shares.send(using.store, due)
    if sent:
        logger.info("brought back %d runs", sent, extra={"action": "swept", "count": sent})
    return sent


# Flows whose time has come


def _start_if_due(using: Services, flow: Flow) -> None:
    for company in _companies(using, flow) if flow.every else ():
        seconds = flow.every(company.options) if flow.every else 0
        if seconds:
            _start_period(using, flow, company, seconds)


def _companies(using: Services, flow: Flow) -> list[Company]:
    """Those that the flow is bound for and not paused, each of which its subjects come from but once."""
    bound = using.companies.all(flow.bound_as)
    bound = [company for company in bound if company.has(flow.roles) and not flow.is_paused(company)]
    return list({flow.origin(company): company for company in bound}.values())


def _start_period(using: Services, flow: Flow, company: Company, seconds: int) -> None:
    correlation_id = log.new_correlation_id()
    with using.store.begin(durable=False) as uow:
        queued_for = using.settings.behaviour.queued_for
        to_enqueue = starting.start_period(
            uow, flow, company, seconds, correlation_id=correlation_id, queued_for=queued_for
        )
    starting.enqueue(flow, to_enqueue)


# Flows that the store has news for


def _start_found(using: Services) -> None:
    for flow in FLOWS.values():
        for company in _companies(using, flow) if flow.finds is not None else ():
            _start_news(using, flow, company)


def _start_news(using: Services, flow: Flow, company: Company) -> None:
    assert flow.finds is not None  # as the caller sees to  # noqa: S101
    with using.store.read() as uow:
        subjects = sorted(flow.finds(using, company, uow))
    if not subjects:
        return
    correlation_id, queued_for = log.new_correlation_id(), using.settings.behaviour.queued_for
    with using.store.begin(durable=False) as uow:
        to_enqueue = [
            starting.start(uow, flow, company, subject, correlation_id=correlation_id, queued_for=queued_for)
            for subject in subjects
        ]
    for each in to_enqueue:
        starting.enqueue(flow, each)
