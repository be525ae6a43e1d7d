"""POST /connections/{connection_id}/test: a worker tries a connection, and the request waits for what it finds."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields

from crmsync.connection_trial import Trial
from crmsync.web.api import effects, waiting
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.connections import own_connection
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.context import services_of_app
from crmsync.worker import trials

blueprint = Resource("connection-tests", "Tests of connections, by a worker")

_WHAT = "the test"


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
    with waiting.place():
        with services_of_app().store.begin() as uow:
            trial_id = trials.ask(uow, connection_id)
        if not trials.send(connection_id):
            raise waiting.no_broker(_WHAT)
        return waiting.awaited(
            _WHAT, lambda uow: trials.result(uow, connection_id, trial_id), advice="Try again: it may go on."
        )
