"""What beat starts: the sweeper that brings runs back, flows whose time has come, and the delivery of alerts."""

from __future__ import annotations

import logging
from datetime import timedelta

from crmsync import log
from crmsync.alerts import delivery
from crmsync.celery import app
from crmsync.services import Services, services
from crmsync.store.engine import Store
from crmsync.worker import dead_letters, queues, waking
from crmsync.worker.flow import FLOWS, Flow

logger = logging.getLogger(__name__)

BATCH = 500  # runs that one sweep may enqueue
QUEUE = "housekeeping"


@app.task(name="housekeeping.sweep", queue=QUEUE)
def sweep() -> None:
    """Bring back every run that is due and that nobody works on; then show dead letters and deliver alerts."""
    with services().store.read() as uow:
        due = uow.runs.due_count()
    # Where as many messages wait as runs are due, they are on their way: more would only multiply them.
    if queues.backlog() < max(BATCH, due):
        enqueue_due(services().store, services().settings.behaviour.queued_for)
    dead_letters.redraw(services())
    delivery.deliver(services().store, services().messenger)


@app.task(name="housekeeping.start_periods", queue=QUEUE)
def start_periods() -> None:
    """Start the flows whose time has come: each once for its period, however many beats there are."""
    using = services()
    for flow in FLOWS.values():
        seconds = flow.every(using.settings.behaviour) if flow.every else 0
        if seconds and using.has(flow.roles):
            _start_period(using, flow, seconds)


def _start_period(using: Services, flow: Flow, seconds: int) -> None:
    correlation_id = log.new_correlation_id()
    with using.store.begin(durable=False) as uow:
        queued_for = using.settings.behaviour.queued_for
        awake = waking.start_period(uow, flow, seconds, correlation_id=correlation_id, queued_for=queued_for)
    if awake:
        flow.ring(*awake)


@app.task(name="housekeeping.deliver_alerts", queue=QUEUE)
def deliver_alerts() -> None:
    """Tell people at once what has just gone wrong."""
    delivery.deliver(services().store, services().messenger)


def enqueue_due(store: Store, queued_for: timedelta) -> int:
    """Send a chain for each due run; returns how many."""
    with store.begin(durable=False) as uow:
        due = uow.runs.claim_due(limit=BATCH, queued_until=uow.now + queued_for)
    for run in due:
        FLOWS[run.flow].ring(run.id, run.results)
    if due:
        logger.info("brought back %d runs", len(due), extra={"action": "swept", "count": len(due)})
    return len(due)
