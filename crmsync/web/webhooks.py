"""Receives webhooks: each is verified, stored together with its run, and only then acknowledged.

200 durable, also if seen before   401 not authentic   400 malformed   404 another address   405 another method
413 too large   415 wrong type   503 can't be stored: send it again
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

from flask import Blueprint, Response, current_app, g, jsonify, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from crmsync import log, subscriptions
from crmsync.connectors import registry
from crmsync.connectors.doors import Announced, Arrival, Door
from crmsync.connectors.kit import probe
from crmsync.domain.payloads import kept_of
from crmsync.errors import (
    BodyTooLargeError,
    ConfigurationError,
    NoDoorError,
    NotStoredError,
    ProcessFaultError,
    WebhookError,
    WrongMethodError,
    WrongTypeError,
)
from crmsync.services import Services
from crmsync.web.context import refusals_of_app, services_of_app
from crmsync.web.enqueuer import Enqueuer
from crmsync.web.inbox import FLOWS, Arrived, Inbox
from crmsync.web.refusals import LEFT_OUT
from crmsync.worker.flow import Flow
from crmsync.worker.starting import ToEnqueue

logger = logging.getLogger(__name__)
blueprint = Blueprint("webhooks", __name__)

RETRY_AFTER_SECONDS = 30

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")  # each gets an answer that its sender can use


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    """Before the process is forked: what a door needs costs memory once, and not in each that serves."""
    using = cast(Services, state.app.extensions["crmsync"])
    for system in registry.systems().values():
        if system.name in using.settings.systems:
            for door in system.doors:
                door.code()


@blueprint.route("/webhook/", methods=_METHODS, strict_slashes=False)
@blueprint.route("/webhook/<path:_address>", methods=_METHODS)
def fixed(_address: str = "") -> Response:
    """A door of the environment's own connection.

    A sender whose address is misspelt announces nothing, so it causes an alert.
    """
    system, door = registry.fixed_doors().get(f"/webhook/{_address}", (None, None))
    if system is None or door is None:
        raise NoDoorError(
            f"There is no webhook endpoint at this address; the endpoints are {' and '.join(registry.fixed_doors())}."
        )
    return _knock(door, system.name, services_of_app().settings.systems.get(system.name))


@blueprint.route("/hooks/<connection>/<name>", methods=_METHODS)
def of_connection(connection: str, name: str) -> Response:
    """A door of any connection: its secret is found by the address."""
    try:
        known = services_of_app().book.get(connection)
    except ConfigurationError as error:
        raise NoDoorError from error
    door = next((each for each in known.system.doors if each.name == name), None)
    if door is None:
        raise NoDoorError
    return _knock(door, connection, known.settings)


@blueprint.route("/api/erp/webhooks/<webhook_id>/receive", methods=_METHODS)
def of_webhook(webhook_id: str) -> Response:
    """A door that people have given an address and a secret of its own."""
    of, door, settings = subscriptions.opening(services_of_app(), webhook_id)
    return _knock(door, of.connection, settings)


@blueprint.route("/hooks/", methods=_METHODS, strict_slashes=False)
@blueprint.route("/hooks/<path:_address>", methods=_METHODS)
def no_door(_address: str = "") -> Response:
    raise NoDoorError


def _knock(door: Door, connection: str, settings: Any) -> Response:
    arrival = Arrival(
        dict(request.headers), list(request.args.items(multi=True)), request.mimetype, request.content_type or ""
    )
    code = door.code()
    g.door_form = code.form(arrival)
    _require_method(*door.methods)
    code.admit(arrival, settings)
    body = _body()
    announced = code.read(arrival, settings, body, services_of_app().store.clock())
    if announced.is_probe:
        return jsonify(probe.ANSWER)
    for problem in announced.left_out:
        _note(LEFT_OUT, problem)
    _accept(door.announces, connection, announced, kept_of(body, arrival.mimetype))
    if announced.answer is not None:
        text, mimetype = announced.answer
        return Response(text, mimetype=mimetype)
    return jsonify(status="accepted")


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


def _accept(role: str, connection: str, announced: Announced, payload: str | None) -> None:
    """Store every event with its run; then enqueue the runs that have something to do."""
    correlation_id, flow = log.new_correlation_id(), FLOWS[role]
    with log.bound(correlation_id=correlation_id):
        inbox = cast(Inbox, current_app.extensions["crmsync_inbox"])
        arrived = Arrived(role, connection, announced.events, correlation_id, announced.hints, payload)
        _enqueue(flow, inbox.put(arrived))
        count = len(announced.events)
        told = {"action": "accepted", role: count, "connection": connection}
        logger.info("%d %s accepted", count, role, extra=told)


def _enqueue(flow: Flow, to_enqueue: Sequence[ToEnqueue]) -> None:
    enqueuer = cast(Enqueuer, current_app.extensions["crmsync_enqueuer"])
    for each in to_enqueue:
        enqueuer.enqueue(flow, *each)


def _note(reason: str, detail: str) -> None:
    refusals_of_app().note(g.get("door_form", "unknown"), reason, detail, client=request.remote_addr)


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


@blueprint.errorhandler(ProcessFaultError)
def _not_now(_: ProcessFaultError) -> Response:
    """The store does not answer, or the connection's secrets do not open here."""
    return _refuse(NotStoredError())


@blueprint.errorhandler(Exception)
def _unexpected(error: Exception) -> Response | HTTPException:
    """What nobody foresaw is no reason for a sender to give up. Its text may hold data, so only its place is kept."""
    if isinstance(error, HTTPException):
        return error
    facts = {"action": "bug", "place": log.place_of(error)}
    logger.error("unexpected %s at a door", type(error).__name__, extra=facts)
    return _refuse(NotStoredError())
