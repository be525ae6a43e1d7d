"""Metrics for Prometheus, read from the store every few seconds: correct however many processes serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, current_app
from flask.blueprints import BlueprintSetupState
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crmsync import broker
from crmsync.celery import app as celery
from crmsync.errors import StoreUnavailableError
from crmsync.reading.overview import Figures, figures
from crmsync.reading.stock import StockLine
from crmsync.services import Services
from crmsync.store import Store
from crmsync.web import access, connection_metrics
from crmsync.web.context import refusals_of_app, services_of_app
from crmsync.web.kept import Kept

blueprint = Blueprint("metrics", __name__)

KEPT_SECONDS = 10.0


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    services = state.app.extensions["crmsync"]
    state.app.extensions["crmsync_figures"] = Kept(
        lambda: _figures(services), seconds=KEPT_SECONDS, clock=services.store.clock
    )


@blueprint.before_request
def _admit() -> Response | None:
    return None if access.may_read_figures(current_app) else access.ask_for_password()


@blueprint.get("/metrics")
def metrics() -> Response:
    """What costs something is counted once in some seconds, however many ask; what is refused is told at once."""
    kept: Kept[bytes] = current_app.extensions["crmsync_figures"]
    text = kept.get() + _text(RefusalCollector(services_of_app().store, refusals_of_app().pending()))
    return Response(text, content_type=CONTENT_TYPE_LATEST)


@blueprint.errorhandler(StoreUnavailableError)
def _no_figures(_: StoreUnavailableError) -> Response:
    """A failed scrape, which Prometheus itself reports as `up == 0`; old figures would look like health."""
    return Response("The database does not answer.\n", 503, mimetype="text/plain")


def _figures(services: Services) -> bytes:
    return _text(StoreCollector(services))


def _text(collector: Collector) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


class StoreCollector(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        with self._services.store.read() as uow:
            known = figures(uow)
        yield from _of_runs(known)
        yield from _of_people(known)
        yield from _of_documents(known)
        yield from _of_catch_up(known)
        yield from _of_stock(known.stock)
        yield from connection_metrics.families(self._services)
        yield from self._of_queues()

    def _of_queues(self) -> Iterator[Metric]:
        lengths = broker.queue_lengths(self._services.settings, queue_names())
        yield _gauge("crmsync_queue_length", "Messages in each queue.", ("queue",), _by_one(lengths))


class RefusalCollector(Collector):
    """What all processes wrote down, and what this one has not written down yet."""

    def __init__(self, store: Store, pending: Mapping[tuple[str, str], int]) -> None:
        self._store = store
        self._pending = pending

    def collect(self) -> Iterator[Metric]:
        with self._store.read() as uow:
            counts = Counter({(each.door, each.reason): each.count for each in uow.refusals.totals()})
        counts.update(self._pending)
        text = "Webhooks refused, by door and reason."
        refused = CounterMetricFamily("crmsync_webhooks_refused", text, labels=["door", "reason"])
        for labels, count in sorted(counts.items()):
            refused.add_metric(labels, count)
        if counts:
            yield refused


def queue_names() -> tuple[str, ...]:
    """The queues that workers consume, and the one that waits for a person."""
    return tuple(queue.name for queue in celery.conf.task_queues)


def _of_runs(known: Figures) -> Iterator[Metric]:
    yield _gauge("crmsync_runs", "Runs by flow and status.", ("flow", "status"), known.runs)
    text = "How long the longest-waiting run has been due."
    yield GaugeMetricFamily("crmsync_oldest_due_seconds", text, known.oldest_due_seconds)


def _of_people(known: Figures) -> Iterator[Metric]:
    letters = _by_one(known.letters)
    yield _gauge("crmsync_dead_letters", "Dead letters that wait for a person.", ("kind",), letters)
    text = "Alerts that have not been delivered completely."
    yield GaugeMetricFamily("crmsync_alerts_pending", text, known.alerts_pending)


def _of_documents(known: Figures) -> Iterator[Metric]:
    received = CounterMetricFamily("crmsync_deliveries", "Webhooks received.", labels=["source"])
    for source, count in known.deliveries.items():
        received.add_metric([source], count)
    yield received
    text = "Documents in other systems by what is known of them."
    yield _gauge("crmsync_ledger", text, ("kind", "state"), known.documents)


def _of_catch_up(known: Figures) -> Iterator[Metric]:
    changes = CounterMetricFamily(
        "crmsync_catch_up_changes",
        "Changes that catch-up saw at a source: expected is the sum of received (announced, or maybe announced) and "
        "healed (missed, and started by it).",
        labels=["source", "outcome"],
    )
    for row in known.catch_up:
        for outcome in ("expected", "received", "healed"):
            changes.add_metric([row.flow, outcome], getattr(row, outcome))
    yield changes
    if known.foreign_invoices:
        text = "Invoices that payments touched and crmsync did not make."
        yield CounterMetricFamily("crmsync_foreign_invoices", text, known.foreign_invoices)


def _of_stock(stock: StockLine) -> Iterator[Metric]:
    """Nothing before the first inventory."""
    states = {state: count for state, count in stock.counts.items() if stock.counts["active"]}
    text = (
        "Active products, and those that were read as low, are not in the ERP, refused by the CRM, or not written yet."
    )
    yield _gauge("crmsync_products", text, ("state",), _by_one(states))
    if stock.last_done:
        yield GaugeMetricFamily(
            "crmsync_inventory_last_success_timestamp_seconds",
            "When the last inventory came to its end.",
            stock.last_done.at.timestamp(),
        )


def _by_one(values: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    return {(label,): value for label, value in values.items()}


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
