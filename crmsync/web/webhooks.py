"""The doors: a webhook is verified, stored together with its run, and only then acknowledged.

200 durable, also if seen before   401 not authentic   400 malformed   404 another address   405 another method
413 too large   415 wrong type   503 can't be stored: send it again
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from crmsync import log
from crmsync.connectors.salesforce import webhooks as salesforce
from crmsync.connectors.salesforce.settings import WebhookKeys
from crmsync.connectors.zoho_books import webhooks as zoho_books
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import (
    BodyTooLargeError,
    NoDoorError,
    NotStoredError,
    StoreUnavailableError,
    WebhookError,
    WrongMethodError,
    WrongTypeError,
)
from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.store import UnitOfWork
from crmsync.web import probe
from crmsync.web.context import refusals_of_app, services_of_app
from crmsync.web.doorbell import Doorbell
from crmsync.web.inbox import Inbox
from crmsync.web.refusals import LEFT_OUT
from crmsync.worker import waking
from crmsync.worker.flow import Flow
from crmsync.worker.waking import Awake

logger = logging.getLogger(__name__)
blueprint = Blueprint("webhooks", __name__)

RETRY_AFTER_SECONDS = 30

_SALESFORCE_DOORS = ("salesforce_json", "salesforce_outbound")
_XML = frozenset({"text/xml", "application/xml", "application/soap+xml"})
_OTHER_DOORS = {"webhooks.payment": "zoho_payment", "webhooks.no_door": "unknown"}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")  # each gets an answer that its sender can use


@blueprint.route("/webhook/salesforce/deal-closed", methods=_METHODS)
def deal_closed() -> Response:
    """A deal was closed: JSON, or an Outbound Message with up to 100 deals."""
    _require_method("POST")
    settings = services_of_app().settings.systems.get("salesforce")
    keys = settings.webhook_keys if settings else WebhookKeys()
    if request.mimetype in _XML:
        return _outbound_message(keys, settings.organization_id if settings else "")
    if request.mimetype != "application/json":
        raise WrongTypeError("Send application/json or, for an Outbound Message, text/xml.")
    body = _body()
    message_id = salesforce.verify_json(dict(request.headers), body, keys, services_of_app().store.clock())
    if probe.is_probe(body):
        return jsonify(probe.ANSWER)
    _accept(salesforce.parse_json(body, request.content_type or "", message_id=message_id))
    return jsonify(status="accepted")


def _outbound_message(keys: WebhookKeys, organization_id: str) -> Response:
    salesforce.verify_token(request.args.get("token", ""), keys)
    body = _body()
    if (probed := probe.organization_of(body)) is not None:
        salesforce.verify_organization(probed, organization_id)
        return jsonify(probe.ANSWER)
    message = salesforce.parse_outbound(body)
    salesforce.verify_organization(message.organization_id, organization_id)
    for problem in message.left_out:
        _note(LEFT_OUT, f"a notification is left out. {problem}")
    _accept(message.events)
    return Response(salesforce.ack(True), mimetype="text/xml")


@blueprint.route("/webhook/zoho/payment", methods=_METHODS)
def payment() -> Response:
    """A payment was recorded. It is kept; what was paid is read from the books, never from here.

    The method is a choice of whoever sets the webhook up, and says nothing.
    """
    _require_method("POST", "PUT", "DELETE")
    body, pairs = _body(), list(request.args.items(multi=True))
    settings = services_of_app().settings.systems.get("zoho_books")
    zoho_books.verify(
        pairs,
        request.content_type,
        body,
        request.headers.get(zoho_books.SIGNATURE_HEADER),
        settings.webhook_secrets if settings else (),
    )
    if probe.is_probe(body):
        return jsonify(probe.ANSWER)
    notice = zoho_books.parse(request.content_type, body, pairs)
    correlation_id = log.new_correlation_id()
    with log.bound(correlation_id=correlation_id):
        with services_of_app().store.begin() as uow:
            uow.deliveries.add("zoho_books", notice.payment_key)
            uow.applications.hint(notice.payment_key, notice.invoice_keys)
            awake = _wake(uow, payment_to_invoices.FLOW, notice.payment_key, correlation_id)
        _ring(payment_to_invoices.FLOW, [awake] if awake else [])
        logger.info("payment accepted", extra={"action": "accepted"})
    return jsonify(status="accepted")


@blueprint.route("/webhook/", methods=_METHODS, strict_slashes=False)
@blueprint.route("/webhook/<path:_address>", methods=_METHODS)
def no_door(_address: str = "") -> Response:
    """A sender whose address is misspelt announces nothing, so people have to hear of it."""
    raise NoDoorError


def _require_method(*methods: str) -> None:
    if request.method not in methods:
        raise WrongMethodError(methods=methods)


def _body() -> bytes:
    """The whole body as it came, or nothing of it. Raises: BodyTooLargeError, WrongTypeError."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise WrongTypeError(f"Send the body as it is, without Content-Encoding ({encoding[:20]}).")
    body = request.get_data(cache=False)  # reads one byte more than is allowed, if there is one
    if len(body) > services_of_app().settings.behaviour.max_body_bytes:
        raise BodyTooLargeError
    return body


def _accept(events: Sequence[WebhookEvent]) -> None:
    """Store every event with its run; then ring for the runs that have something to do."""
    correlation_id = log.new_correlation_id()
    with log.bound(correlation_id=correlation_id):
        inbox = cast(Inbox, current_app.extensions["crmsync_inbox"])
        _ring(order_to_invoice.FLOW, inbox.put(events, correlation_id))
        logger.info("%d deals accepted", len(events), extra={"action": "accepted", "deals": len(events)})


def _wake(uow: UnitOfWork, flow: Flow, subject_key: str, correlation_id: str) -> Awake | None:
    behaviour = services_of_app().settings.behaviour
    return waking.wake(
        uow,
        flow,
        subject_key,
        correlation_id=correlation_id,
        queued_for=behaviour.queued_for,
        pause=behaviour.look_again,
    )


def _ring(flow: Flow, awake: Sequence[Awake]) -> None:
    bell = cast(Doorbell, current_app.extensions["crmsync_doorbell"])
    for each in awake:
        bell.ring(flow, *each)


def _note(reason: str, detail: str) -> None:
    is_message = request.mimetype in _XML
    door = _OTHER_DOORS.get(request.endpoint or "", _SALESFORCE_DOORS[is_message])
    refusals_of_app().note(door, reason, detail, client=request.remote_addr)


@blueprint.errorhandler(WebhookError)
def _refuse(error: WebhookError) -> Response:
    """The status says what the sender should do next; the body says what was wrong, and where."""
    _note(error.reason, str(error))
    response = jsonify(
        error=type(error).__name__, reason=error.reason, message=str(error.args[0]), fields=error.field_errors
    )
    response.status_code = error.status_code
    if error.status_code == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, WrongMethodError):
        response.headers["Allow"] = ", ".join(error.methods)
    return response


@blueprint.errorhandler(RequestEntityTooLarge)
def _too_large(_: RequestEntityTooLarge) -> Response:
    return _refuse(BodyTooLargeError())


@blueprint.errorhandler(StoreUnavailableError)
def _no_store(_: StoreUnavailableError) -> Response:
    return _refuse(NotStoredError())


@blueprint.errorhandler(Exception)
def _unexpected(error: Exception) -> Response | HTTPException:
    """What nobody foresaw is no reason for a sender to give up. Its text may hold data, so only its place is kept."""
    if isinstance(error, HTTPException):
        return error
    facts = {"action": "bug", "place": log.place_of(error)}
    logger.error("unexpected %s at a door", type(error).__name__, extra=facts)
    return _refuse(NotStoredError())
