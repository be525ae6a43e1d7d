"""POST /connections/{connection_id}/test: a worker tries a connection, and the request waits for what it finds."""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Response
from marshmallow import fields

from crmsync.connection_trial import Trial
from crmsync.services import Services
from crmsync.web.api import effects
from crmsync.web.api.problems import Problem
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.connections import own_connection
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.context import services_of_app
from crmsync.worker import trials

blueprint = Resource("connection-tests", "Tests of connections, by a worker")

TRIAL_SECONDS = 25.0
LOOK_SECONDS = 0.2
WAITING_AT_ONCE = 2  # requests of a process: each holds one of its threads
_waiting = threading.BoundedSemaphore(WAITING_AT_ONCE)


class TrialSchema(ApiSchema):
    success = fields.Boolean(required=True)
    message = fields.String(required=True)
    latency = fields.Float(
        required=True, attribute="latency_seconds", metadata={"description": "duration of the sign-in, in seconds"}
    )
    missing = fields.List(
        fields.String(), required=True, metadata={"description": "the permissions and fields that are missing"}
    )


@blueprint.route("/connections/<connection_id>/test", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.response(200, TrialSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def try_connection(_: dict[str, Any], connection_id: str) -> Response:
    """Sign in and try what runs will do; nothing is written there. A worker does it: this process calls no system.

    A request during a test gets the result of that test.
    """
    own_connection(connection_id)
    before = effects.answered_before()
    if before is not None:
        return before
    found = _tried(connection_id)
    return effects.once(lambda _: found, schema=TrialSchema(), status=200)


def _tried(connection_id: str) -> Trial:
    if not _waiting.acquire(blocking=False):
        raise _no_result("Too many tests are already waiting.")
    try:
        with services_of_app().store.begin() as uow:
            trial_id = trials.ask(uow, connection_id)
        if not trials.send(connection_id):
            raise _no_result("The broker does not answer, so no worker can run the test.")
        return _awaited(services_of_app(), connection_id, trial_id)
    finally:
        _waiting.release()


def _awaited(using: Services, connection_id: str, trial_id: str) -> Trial:
    until = time.monotonic() + TRIAL_SECONDS
    while True:
        with using.store.read() as uow:
            found = trials.result(uow, connection_id, trial_id)
        if found is not None:
            return found
        if time.monotonic() >= until:
            raise _no_result(f"No worker has finished the test within {TRIAL_SECONDS:.0f} s. Try again: it may go on.")
        time.sleep(LOOK_SECONDS)


def _no_result(detail: str) -> Problem:
    return Problem(503, "no-result", detail, headers={"Retry-After": "10"})
