"""/approvals: what one person has proposed about a dead letter, and what a second one says to it."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields, validate

from crmsync.domain.approvals import Approval, ApprovalError, ApprovalStatus, Decision
from crmsync.store import UnitOfWork
from crmsync.web.api import effects, tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.problems import Problem, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, MoneySchema, QuerySchema, Text, page_of
from crmsync.web.context import services_of_app
from crmsync.worker import approvals as worker
from crmsync.worker.dead_letters import NotWaitingError

blueprint = Resource("approvals", "Decisions that need a second person")

STATUSES = [status.value for status in ApprovalStatus if status is not ApprovalStatus.OTHER]
ID_MAX = 2_147_483_647


class ApprovalSchema(ApiSchema):
    id = fields.Integer(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    dead_letter = fields.Integer(required=True, attribute="letter_id")
    decision = fields.String(required=True, validate=validate.OneOf([each.value for each in Decision]))
    answers = fields.Function(
        lambda of: {"accept": of.answers["accept"], "links": of.answers["links"]},
        metadata={"type": "object", "description": "those that go with the replay"},
    )
    money = fields.Nested(
        MoneySchema, required=True, allow_none=True, metadata={"description": "of the deal; null: it was not read yet"}
    )
    status = fields.Function(lambda of: _status(of), metadata={"type": "string", "enum": STATUSES})
    proposed_by = fields.String(required=True, metadata={"description": "a person, also where a token asked"})
    proposed_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True)
    reason = fields.String(required=True)
    decided_by = fields.String(required=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)


class ApprovalsQuerySchema(ListSchema):
    status = fields.String(
        load_default=ApprovalStatus.WAITING.value,
        validate=validate.OneOf([ApprovalStatus.WAITING.value, "all"]),
        metadata={"description": "waiting where nothing is said"},
    )


class DecisionSchema(ApiSchema):
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


def _status(of: Approval) -> str:
    return of.status_at(services_of_app().store.clock()).value


@blueprint.route("/approvals")
@blueprint.asks(ApprovalsQuerySchema)
@blueprint.response(200, page_of(ApprovalSchema))
def approvals(query: dict[str, Any]) -> dict[str, Any]:
    """List what waits for a second person, newest first; or all that was ever proposed."""
    place = place_of(query)
    with services_of_app().store.read() as uow:
        found = uow.approvals.newest(
            tenancy.own(),
            is_open=query["status"] != "all",
            before=place[0] if place else 0,
            limit=query["limit"] + 1,
        )
    shown = found[: query["limit"]]
    more = [shown[-1].id] if len(found) > len(shown) else None
    return {"items": shown, "next_cursor": cursor_of(more, query)}


@blueprint.route("/approvals/<int:approval_id>/approve", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(DecisionSchema)
@blueprint.response(200, ApprovalSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def approve(_: dict[str, Any], body: dict[str, Any], approval_id: int) -> Response:
    """Confirm it, as another person than the one who proposed it: then it is done at once."""

    def confirm(effect: Effect) -> Approval:
        _own(effect.uow, approval_id)
        try:
            approved, afterwards = worker.approve_in(effect.uow, services_of_app(), approval_id, by=effect.act)
        except (ApprovalError, NotWaitingError) as error:
            raise not_approved(error) from error
        effect.afterwards.append(afterwards)
        return approved

    return effects.once(confirm, schema=ApprovalSchema(), status=200, body=body, reason=body["reason"])


@blueprint.route("/approvals/<int:approval_id>/reject", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(DecisionSchema)
@blueprint.response(200, ApprovalSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def reject(_: dict[str, Any], body: dict[str, Any], approval_id: int) -> Response:
    """Reject it, or take back one's own: nothing is done, and the dead letter waits on."""

    def refuse(effect: Effect) -> Approval:
        _own(effect.uow, approval_id)
        try:
            return worker.reject(effect.uow, approval_id, by=effect.act)
        except ApprovalError as error:
            raise not_approved(error) from error

    return effects.once(refuse, schema=ApprovalSchema(), status=200, body=body, reason=body["reason"])


def not_approved(error: Exception) -> Problem:
    advice = getattr(error, "advice", None)
    return Problem(409, "not-approved", f"{error} {advice}" if advice else str(error))


def _own(uow: UnitOfWork, approval_id: int) -> Approval:
    """Raises: Problem 404, also for another tenant's."""
    found = uow.approvals.get(approval_id) if approval_id <= ID_MAX else None
    if found is None:
        raise not_found("proposal")
    tenancy.require("proposal", found.tenant)
    return found
