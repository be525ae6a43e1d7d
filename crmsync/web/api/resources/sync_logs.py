"""/sync-logs: what was transferred, when, and with what result: the runs, under another common name."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from crmsync.reading.runs import RunRow
from crmsync.reading.triggers import Start, Trigger, ends_of, last_start
from crmsync.web.api.cursors import cursor_of
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.runs import DeliverySchema, DocumentSchema, EventSchema, StepSchema, listed, whole
from crmsync.web.api.resources.sync_configs import own_config
from crmsync.web.api.schemas import ApiSchema, ListSchema, MoneySchema, QuerySchema, Text, page_of
from crmsync.web.context import services_of_app

blueprint = Resource("sync-logs", "What was transferred, and with what result")

# A run's status, as those know it who count synchronisations.
_STATUSES = {"in_progress": "active", "failed": "stopped", "success": "done", "cancelled": "discarded"}
_OF_RUN = {status: name for name, status in _STATUSES.items()}


class SyncLogSchema(ApiSchema):
    id = fields.String(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    connection = fields.String(required=True, attribute="source")
    flow = fields.String(required=True)
    subject = fields.String(required=True)
    subject_key = fields.String(required=True)
    title = fields.String(required=True)
    money = fields.Nested(MoneySchema, allow_none=True)
    status = fields.String(required=True, metadata={"description": "in_progress, failed, success or cancelled"})
    step = fields.String(required=True)
    attempts = fields.Integer(required=True)
    started_at = fields.AwareDateTime(required=True)
    completed_at = fields.AwareDateTime(required=True, allow_none=True)
    correlation_id = fields.String(required=True)


class CountsSchema(ApiSchema):
    steps = fields.Integer(required=True)
    steps_done = fields.Integer(required=True)
    attempts = fields.Integer(required=True)
    failures = fields.Integer(required=True)
    documents = fields.Integer(required=True)


class WholeSyncLogSchema(SyncLogSchema):
    triggered_by = fields.String(
        required=True,
        validate=validate.OneOf([each.value for each in Trigger]),
        metadata={"description": "what started it the last time; run: another run, as a payment's its invoices'"},
    )
    triggered_by_name = fields.String(
        required=True, metadata={"description": "whose token or name; empty of no person"}
    )
    counts = fields.Nested(CountsSchema, required=True)
    error = fields.String(required=True, allow_none=True)
    dead_letter = fields.Integer(required=True, allow_none=True)
    steps = fields.List(fields.Nested(StepSchema), required=True)
    documents = fields.List(fields.Nested(DocumentSchema), required=True)
    history = fields.List(fields.Nested(EventSchema), required=True)
    deliveries = fields.List(fields.Nested(DeliverySchema), required=True)


class SyncLogsQuerySchema(ListSchema):
    flow = Text(load_default="", validate=validate.Length(max=60))
    connection = Text(load_default="", validate=validate.Length(max=40))
    config_id = Text(
        load_default="", validate=validate.Length(max=110), metadata={"description": "the runs of this sync config"}
    )
    status = fields.String(load_default="", validate=validate.OneOf(["", *_STATUSES]))


@blueprint.route("/sync-logs")
@blueprint.asks(SyncLogsQuerySchema)
@blueprint.response(200, page_of(SyncLogSchema))
def sync_logs(query: dict[str, Any]) -> dict[str, Any]:
    """List the runs, newest first."""
    flow, source = query["flow"], query["connection"]
    if query["config_id"]:
        config = own_config(query["config_id"])
        if flow not in ("", config.fixed.flow) or source not in ("", config.binding.source):
            return {"items": [], "next_cursor": None}
        flow, source = config.fixed.flow, config.binding.source
    found = listed(query, status=_STATUSES.get(query["status"], ""), flow=flow, source=source)
    place = found.next_place
    cursor = cursor_of([place.created_at.isoformat(), place.run_id] if place else None, query)
    return {
        "items": [_line({name: getattr(row, name) for name in RunRow.__slots__}) for row in found.rows],
        "next_cursor": cursor,
    }


@blueprint.route("/sync-logs/<run_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, WholeSyncLogSchema)
def sync_log(_: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Show a run: what triggered it, its steps and attempts, the documents it made, and why it failed."""
    found = whole(run_id, "sync log")
    failures = [event for event in found["history"] if event.event in ("retry", "stopped")]
    counts = {
        "steps": len(found["steps"]),
        "steps_done": sum(step.state == "done" for step in found["steps"]),
        "attempts": sum(step.attempts for step in found["steps"]),
        "failures": len(failures),
        "documents": len(found["documents"]),
    }
    is_failed = found["status"].value == "stopped"
    error = failures[-1].detail if failures and is_failed else None
    start = _start(found)
    told = {"counts": counts, "error": error, "triggered_by": start.trigger.value, "triggered_by_name": start.name}
    return {**found, **_line(found), **told}


def _line(run: dict[str, Any]) -> dict[str, Any]:
    is_over = run["status"].value in ("done", "discarded")
    return {
        **run,
        "subject_key": run["key"],
        "status": _OF_RUN.get(run["status"].value, run["status"].value),
        "started_at": run["created_at"],
        "completed_at": run["updated_at"] if is_over else None,
    }


def _start(run: dict[str, Any]) -> Start:
    steps = [step.name for step in run["steps"]]
    with services_of_app().store.read() as uow:
        return last_start(
            uow,
            run["id"],
            is_only_one=run["key"] == run["flow"],
            deliveries=run["deliveries"],
            ends=ends_of(run["history"], steps[-1]) if steps else [],
        )
