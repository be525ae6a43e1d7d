"""The doors: a webhook is verified, stored together with its run, and only then acknowledged.

200 durable, also if seen before   401 not authentic   400 malformed   413 too large   415 wrong type
503 can't be stored: send it again
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import cast

from flask import Blueprint, Response, current_app, jsonify, request

from crmsync import log
from crmsync.connectors.salesforce import webhooks as salesforce
from crmsync.connectors.zoho_books import webhooks as zoho_books
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import SignatureError, WrongTypeError
from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.settings import Secret
from crmsync.store import Store, UnitOfWork
from crmsync.web import services_of_app
from crmsync.worker import dead_letters, waking
from crmsync.worker.flow import Flow, Results
from crmsync.worker.waking import Awake

logger = logging.getLogger(__name__)
blueprint = Blueprint("webhooks", __name__)

DOORBELL_SIZE = 10_000

_XML = frozenset({"text/xml", "application/xml", "application/soap+xml"})


@blueprint.post("/webhook/salesforce/deal-closed")
def deal_closed() -> Response:
    """A deal was closed: JSON, or an Outbound Message with up to 100 deals."""
    secret = _secret("SF_WEBHOOK_SECRET")
    if request.mimetype in _XML:
        return _outbound_message(secret)
    if request.mimetype != "application/json":
        raise WrongTypeError("Send application/json or, for an Outbound Message, text/xml.")
    body = request.get_data(cache=False)
    salesforce.verify_json(dict(request.headers), body, secret)
    _accept(salesforce.parse_json(body))
    return jsonify(status="accepted")


def _outbound_message(secret: Secret) -> Response:
    salesforce.verify_token(request.args.get("token", ""), secret)
    message = salesforce.parse_outbound(request.get_data(cache=False))
    settings = services_of_app().settings.salesforce
    salesforce.verify_organization(message.organization_id, settings.organization_id if settings else "")
    _accept(message.events)
    return Response(salesforce.ack(True), mimetype="text/xml")


@blueprint.post("/webhook/zoho/payment")
def payment() -> Response:
    """A payment was recorded. It is kept; what was paid is read from the books, never from here."""
    body = request.get_data(cache=False)
    zoho_books.verify(
        list(request.args.items(multi=True)),
        request.content_type,
        body,
        request.headers.get(zoho_books.SIGNATURE_HEADER),
        _secret("ZOHO_WEBHOOK_SECRET"),
    )
    notice = zoho_books.parse(request.content_type, body)
    correlation_id = log.new_correlation_id()
    with log.bound(correlation_id=correlation_id):
        with services_of_app().store.begin() as uow:
            uow.deliveries.add("zoho_books", notice.payment_key)
            uow.applications.hint(notice.payment_key, notice.invoice_keys)
            awake = _wake(uow, payment_to_invoices.FLOW, notice.payment_key, correlation_id)
        _ring([(payment_to_invoices.FLOW, awake)])
        logger.info("payment accepted", extra={"action": "accepted"})
    return jsonify(status="accepted")


def _secret(variable: str) -> Secret:
    """Raises: SignatureError where none is configured: the door is never open by accident."""
    settings = services_of_app().settings
    vendor = settings.salesforce if variable.startswith("SF_") else settings.zoho_books
    if vendor is None or vendor.webhook_secret is None:
        raise SignatureError(f"This receiver refuses webhooks until {variable} is set.")
    return vendor.webhook_secret


def _accept(events: Sequence[WebhookEvent]) -> None:
    """Store every event with its run, in one transaction; then ring for the runs that have something to do."""
    correlation_id = log.new_correlation_id()
    with log.bound(correlation_id=correlation_id):
        with services_of_app().store.begin() as uow:
            awake = [_store(uow, event, correlation_id) for event in sorted(events, key=attrgetter("subject_key"))]
        _ring([(order_to_invoice.FLOW, each) for each in awake])
        logger.info("%d deals accepted", len(events), extra={"action": "accepted", "deals": len(events)})


def _store(uow: UnitOfWork, event: WebhookEvent, correlation_id: str) -> Awake | None:
    """The run to ring, if this event gives it something to do."""
    is_first = uow.deliveries.add("salesforce", event.subject_key, event_key=event.event_key)
    return _wake(uow, order_to_invoice.FLOW, event.subject_key, correlation_id) if is_first else None


def _wake(uow: UnitOfWork, flow: Flow, subject_key: str, correlation_id: str) -> Awake | None:
    queued_for = services_of_app().settings.behaviour.queued_for
    return waking.wake(uow, flow, subject_key, correlation_id=correlation_id, queued_for=queued_for)


def _ring(awake: Sequence[tuple[Flow, Awake | None]]) -> None:
    bell = cast(Doorbell, current_app.extensions["crmsync_doorbell"])
    for flow, each in awake:
        if each:
            bell.ring(flow, *each)


class Doorbell:
    """Sends the first message of a run from a thread of its own, so that a slow Redis never holds a webhook.

    What does not get through is no loss: the run is in the store, and the sweeper starts it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[tuple[Flow, str, Results]] = queue.Queue(DOORBELL_SIZE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, flow: Flow, run_id: str, results: Results) -> None:
        self._start()
        try:
            self._waiting.put_nowait((flow, run_id, results))
        except queue.Full:
            logger.warning("the doorbell is full", extra={"action": "doorbell_full"})

    def _start(self) -> None:
        """In the process that serves: a thread does not survive gunicorn's fork."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="doorbell", daemon=True)
                    self._thread.start()

    def _work(self) -> None:
        while True:
            flow, run_id, results = self._waiting.get()
            try:
                if not dead_letters.best_effort(partial(flow.ring, run_id, results)):
                    self._unqueue(run_id)
            except Exception:
                # One run's bell must not silence the others; the sweeper rings for it.
                logger.exception("the doorbell failed", extra={"action": "doorbell_failed"})

    def _unqueue(self, run_id: str) -> None:
        """No message is on its way: let the next sweep bring the run."""
        with self._store.begin() as uow:
            uow.runs.queued(run_id, None)
