"""/runs: runs under way and finished ones, and starting one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response
from marshmallow import fields, validate

from crmsync.company import Company
from crmsync.domain.runs import RunStatus
from crmsync.flows import (
    catch_up,
    compare_invoices,
    compare_orders,
    inventory,
    invoice_to_deal,
    order_to_invoice,
    payment_to_invoices,
)
from crmsync.reading.run import whole_run
from crmsync.reading.runs import RunList, newest_runs, run_row
from crmsync.store.run_lists import Place
from crmsync.web.api import effects, starting, tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.instants import instant
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, MoneySchema, QuerySchema, Text, Word, page_of
from crmsync.web.context import services_of_app
from crmsync.worker.flow import FLOWS, Flow

blueprint = Resource("runs", "One execution of a flow for one object: a deal, a payment, an invoice, the stock")

# What a person may start; all else is started by these.
OF_A_SUBJECT = tuple(flow.name for flow in (order_to_invoice.FLOW, payment_to_invoices.FLOW, invoice_to_deal.FLOW))
ONLY_ONE = tuple(
    flow.name
    for flow in (catch_up.DEALS, catch_up.PAYMENTS, inventory.FLOW, compare_orders.FLOW, compare_invoices.FLOW)
)
STATUSES = [status.value for status in RunStatus if status is not RunStatus.OTHER]


class RunSchema(ApiSchema):
    id = fields.String(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    connection = fields.String(
        required=True, attribute="source", metadata={"description": "the connection that its subject comes from"}
    )
    flow = fields.String(required=True)
    subject = fields.String(required=True, metadata={"description": "what it is for: a deal, a payment …"})
    subject_key = fields.String(required=True, attribute="key")
    deal = fields.String(required=True)
    title = fields.String(required=True)
    money = fields.Nested(MoneySchema, allow_none=True)
    status = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "its status; for an active run, running or waiting"})
    step = fields.String(required=True)
    attempts = fields.Integer(required=True)
    correlation_id = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)
    due_at = fields.AwareDateTime(required=True)


class StepSchema(ApiSchema):
    name = fields.String(required=True)
    state = fields.String(required=True)
    outcome = fields.String(required=True)
    attempts = fields.Integer(required=True)


class DocumentSchema(ApiSchema):
    connection = fields.String(required=True)
    kind = fields.String(required=True)
    number = fields.String(required=True)
    key = fields.String(required=True)
    reference = fields.String(required=True)
    generation = fields.Integer(required=True)
    net = fields.Nested(MoneySchema, allow_none=True)
    state = fields.String(required=True)
    sends = fields.Integer(required=True)
    sent_at = fields.AwareDateTime(allow_none=True)


class EventSchema(ApiSchema):
    step = fields.String(required=True)
    event = fields.String(required=True)
    at = fields.AwareDateTime(required=True)
    started_at = fields.AwareDateTime(allow_none=True)
    detail = fields.String(required=True)


class DeliverySchema(ApiSchema):
    source = fields.String(required=True)
    received_at = fields.AwareDateTime(required=True)
    is_healed = fields.Boolean(
        required=True, metadata={"description": "true if no webhook arrived and catch-up found it"}
    )


class WholeRunSchema(RunSchema):
    steps = fields.List(fields.Nested(StepSchema), required=True)
    documents = fields.List(fields.Nested(DocumentSchema), required=True)
    history = fields.List(fields.Nested(EventSchema), required=True)
    deliveries = fields.List(fields.Nested(DeliverySchema), required=True)
    dead_letter = fields.Integer(required=True, allow_none=True)


class RunsQuerySchema(ListSchema):
    status = fields.String(load_default="", validate=validate.OneOf(["", *STATUSES]))
    flow = Text(load_default="", validate=validate.Length(max=60))


class StartSchema(ApiSchema):
    flow = fields.String(required=True, validate=validate.OneOf([*OF_A_SUBJECT, *ONLY_ONE]))
    subject_key = Word(
        "[A-Za-z0-9_-]{0,100}",
        "letters, digits, _ and -",
        load_default="",
        metadata={"description": "the id of the deal, payment or invoice; empty for a flow that has one run"},
    )
    tenant_id = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={"description": "whose run it is to be; may be empty if the caller sees one company only"},
    )
    connection = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={
            "description": "the connection that its subject comes from; required if several are bound to the flow"
        },
    )
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


@blueprint.route("/runs")
@blueprint.asks(RunsQuerySchema)
@blueprint.response(200, page_of(RunSchema))
def runs(query: dict[str, Any]) -> dict[str, Any]:
    """List the runs, newest first."""
    found = listed(query, status=query["status"], flow=query["flow"])
    return {"items": found.rows, "next_cursor": _cursor(found, query)}


def listed(query: dict[str, Any], *, status: str, flow: str, source: str = "") -> RunList:
    at, tenant = place_of(query), tenancy.own()
    place = Place(instant(at[0]), at[1]) if at else None
    with services_of_app().store.read() as uow:
        return newest_runs(uow, tenant, limit=query["limit"], status=status, flow=flow, source=source, after=place)


def _cursor(found: RunList, query: dict[str, Any]) -> str | None:
    place = found.next_place
    return cursor_of([place.created_at.isoformat(), place.run_id] if place else None, query)


@blueprint.route("/runs/<run_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, WholeRunSchema)
def run(_: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Show a run: its steps, its documents, its history, and the dead letter that it may have."""
    return whole(run_id, "run")


def whole(run_id: str, what: str) -> dict[str, Any]:
    """Raises: Problem 404, also for another tenant's."""
    with services_of_app().store.read() as uow:
        found = whole_run(uow, tenancy.own(), run_id)
    if found is None:
        raise not_found(what)
    own = {name: getattr(found.run, name) for name in found.run.__slots__}
    parts = {name: getattr(found, name) for name in ("steps", "documents", "history", "deliveries")}
    return own | parts | {"dead_letter": found.letter.letter.id if found.letter else None}


@blueprint.route("/runs", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(StartSchema)
@blueprint.response(202, RunSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def start(_: dict[str, Any], body: dict[str, Any]) -> Response:
    """Start a run, or let a finished one check its subject again, as a webhook would.

    A run that is under way checks once more at its end; one that waits for a person keeps waiting.
    """
    flow = FLOWS[body["flow"]]
    subject = starting.subject_of(flow, body["subject_key"], has_one_run=flow.name in ONLY_ONE)
    company = _company(flow, body["tenant_id"], body["connection"])

    def begin(effect: Effect) -> Any:
        return run_row(effect.uow, starting.start(effect, flow, company, subject))

    return effects.once(begin, schema=RunSchema(), status=202, body=body, reason=body["reason"])


def _company(flow: Flow, tenant: str, connection: str) -> Company:
    """Whose run it is to be. Raises: Problem where the caller has no such company, or several and names none."""
    companies = services_of_app().companies
    bound = [each for each in companies.all(flow.bound_as) if tenancy.sees(each.tenant) and tenant in ("", each.tenant)]
    found = [each for each in bound if connection in ("", flow.origin(each).source)]
    if len(found) > 1:  # that of the environment is none of them where nothing is configured for it
        named = companies.named(flow.bound_as, flow.subject_role)
        found = [each for each in found if each in named]
    if not found:
        raise not_found("connection" if connection else "flow")
    if len(found) > 1:
        raise _several(flow, found)
    return found[0]


def _several(flow: Flow, found: Sequence[Company]) -> Problem:
    if len(tenants := sorted({each.tenant for each in found})) > 1:
        return invalid("Several companies are meant.", tenant_id=f"expected one of {', '.join(tenants)}")
    sources = ", ".join(sorted(flow.origin(each).source for each in found))
    return invalid("Several connections are bound to this flow.", connection=f"expected one of {sources}")
