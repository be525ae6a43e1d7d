"""/dead-letters: the runs that wait for a person, and what that person decides."""

from __future__ import annotations

from typing import Any

from flask import Response, g
from marshmallow import ValidationError, fields, validate, validates_schema

from crmsync.domain.access import Role
from crmsync.domain.approvals import Approval, ApprovalError, Decision, TwoPeopleError
from crmsync.domain.choices import choices
from crmsync.domain.customer_numbers import customer_number
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterStatus, why_not
from crmsync.domain.money import Money
from crmsync.domain.runs import Run
from crmsync.store import UnitOfWork
from crmsync.web.api import effects, tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.effects import Effect
from crmsync.web.api.foreseen import ForeseenSchema, foreseen
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.approvals import ApprovalSchema, not_approved
from crmsync.web.api.schemas import (
    ApiSchema,
    ListSchema,
    MoneySchema,
    QuerySchema,
    ReasonSchema,
    Text,
    Truth,
    page_of,
)
from crmsync.web.context import services_of_app
from crmsync.worker import dead_letters as worker
from crmsync.worker.flow import FLOWS, Flow

blueprint = Resource("dead-letters", "Runs that wait for a person")

STATUSES = [status.value for status in LetterStatus if status is not LetterStatus.OTHER]
ID_MAX = 2_147_483_647


class ChoiceSchema(ApiSchema):
    answer = fields.String(required=True)
    means = fields.String(required=True)


class LetterSchema(ApiSchema):
    id = fields.Integer(required=True)
    tenant_id = fields.String(required=True, attribute="tenant")
    connection = fields.String(required=True, attribute="source")
    run_id = fields.String(required=True)
    status = fields.String(required=True)
    kind = fields.String(required=True, metadata={"description": "failure, data or review: what it waits for"})
    flow = fields.String(required=True)
    step = fields.String(required=True)
    subject_key = fields.String(required=True)
    title = fields.String(required=True)
    money = fields.Nested(MoneySchema, allow_none=True)
    system = fields.String(required=True)
    error = fields.String(required=True)
    cause = fields.String(required=True)
    advice = fields.String(required=True)
    field_errors = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    failures = fields.Integer(required=True)
    correlation_id = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class WholeLetterSchema(LetterSchema):
    choices = fields.List(fields.Nested(ChoiceSchema), required=True)
    approval = fields.Nested(
        ApprovalSchema, required=True, allow_none=True, metadata={"description": "what was proposed, and waits"}
    )
    vendor_words = fields.String(
        required=True, metadata={"description": "what the system itself said; empty if the token is not an operator's"}
    )


class LettersQuerySchema(ListSchema):
    status = fields.String(
        load_default=LetterStatus.WAITING.value,
        validate=validate.OneOf([*STATUSES, "all"]),
        metadata={"description": "waiting if left out"},
    )
    error = Text(load_default="", validate=validate.Length(max=60))


class ReplaySchema(ApiSchema):
    """Without an answer the run goes on at the failed step, and asks again what it asked."""

    accept = Truth(
        load_default=False,
        metadata={"description": "continue in spite of what stopped it"},
    )
    links = fields.Dict(
        keys=fields.String(),
        values=Text(validate=validate.Length(1, 40)),
        load_default=dict,
        metadata={
            "description": "the number of the customer, by connection; the worker checks that it exists before "
            "it links it"
        },
    )
    is_seen = Truth(
        load_default=False,
        metadata={"description": "confirms a customer whose name differs from the account's"},
    )
    dry_run = Truth(load_default=False)
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})

    @validates_schema
    def _has_reason(self, data: dict[str, Any], **_: Any) -> None:
        decides = data["accept"] or data["links"]
        if decides and not data["reason"].strip() and not data["dry_run"]:
            raise ValidationError("is required with accept and links", "reason")


class ReplayedSchema(ApiSchema):
    dead_letter = fields.Integer(required=True)
    run_id = fields.String(required=True)
    status = fields.String(required=True)
    is_dry_run = fields.Boolean(required=True)
    goes_on_at = fields.String(required=True, metadata={"description": "the step at which the run continues"})
    done_steps = fields.List(
        fields.String(), required=True, metadata={"description": "the steps that are not repeated"}
    )
    approval = fields.Nested(
        ApprovalSchema,
        required=True,
        allow_none=True,
        metadata={"description": "what waits for a second person; null where one is enough"},
    )
    foreseen = fields.Nested(
        ForeseenSchema,
        required=True,
        allow_none=True,
        metadata={"description": "with dry_run: what the replay would do, and the next request as it would be sent"},
    )


@blueprint.route("/dead-letters")
@blueprint.asks(LettersQuerySchema)
@blueprint.response(200, page_of(LetterSchema))
def letters(query: dict[str, Any]) -> dict[str, Any]:
    """List dead letters that are waiting, oldest first; or those that were settled."""
    place = place_of(query)
    status = None if query["status"] == "all" else LetterStatus(query["status"])
    with services_of_app().store.read() as uow:
        found = uow.dead_letters.list(
            tenancy.own(),
            status=status,
            error=query["error"] or None,
            limit=query["limit"] + 1,
            after=place[0] if place else 0,
        )
    shown = found[: query["limit"]]
    more = [shown[-1].id] if len(found) > len(shown) else None
    return {"items": [as_json(letter) for letter in shown], "next_cursor": cursor_of(more, query)}


@blueprint.route("/dead-letters/<int:letter_id>")
@blueprint.asks(QuerySchema)
@blueprint.response(200, WholeLetterSchema)
def letter(_: dict[str, Any], letter_id: int) -> dict[str, Any]:
    """Show a dead letter with the possible answers."""
    with services_of_app().store.read() as uow:
        found = _own(uow, letter_id)
        words = services_of_app().words_of(uow, found.id) if g.caller.may(Role.OPERATOR) else ""
        approval = uow.approvals.waiting_for([found.id]).get(found.id)
    return {**as_json(found), "choices": choices(found), "approval": approval, "vendor_words": words}


@blueprint.route("/dead-letters/<int:letter_id>/replay", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(ReplaySchema)
@blueprint.response(202, ReplayedSchema)
@blueprint.doc(parameters=[effects.PARAMETER])
def replay(_: dict[str, Any], body: dict[str, Any], letter_id: int) -> Response:
    """Let the run continue: its source is read again, then the failed step and the rest are done; nothing is repeated.

    What needs two people is proposed: the answer has the approval that a second one gives, and the letter waits on.
    With dry_run nothing is done: a worker reads the source, and the answer shows the next request, which is not sent.
    """
    if body["dry_run"]:
        return _foreseen(body, letter_id)

    def let_go_on(effect: Effect) -> dict[str, Any]:
        found, run, answers = _asked(effect.uow, body, letter_id)
        proposed = _reopened(effect, FLOWS[found.flow], found, answers)
        return {
            **_as_it_goes_on(found, run, answers),
            "approval": proposed,
            "status": found.status if proposed else LetterStatus.REPLAYING,
            "foreseen": None,
        }

    return effects.once(let_go_on, schema=ReplayedSchema(), status=202, body=body, reason=body["reason"])


@blueprint.route("/dead-letters/<int:letter_id>/discard", methods=["POST"])
@blueprint.asks(QuerySchema)
@blueprint.takes(ReasonSchema)
@blueprint.response(200, LetterSchema)
@blueprint.alt_response(202, schema=ApprovalSchema, description="it needs two people, and is proposed")
@blueprint.doc(parameters=[effects.PARAMETER])
def discard(_: dict[str, Any], body: dict[str, Any], letter_id: int) -> Response:
    """Leave the run as it is: documents that exist stay, and a deal that was done stays done."""

    def give_up(effect: Effect) -> Any:
        _waiting(effect.uow, letter_id)
        try:
            worker.discard_in(effect.uow, services_of_app(), letter_id, by=effect.act)
        except TwoPeopleError:
            effect.other = (ApprovalSchema(), 202)
            return _proposed(effect, letter_id, Decision.DISCARD)
        effect.afterwards.append(worker.tell_soon)
        return as_json(_own(effect.uow, letter_id))

    return effects.once(give_up, schema=LetterSchema(), status=200, body=body, reason=body["reason"])


def _foreseen(body: dict[str, Any], letter_id: int) -> Response:
    """Which a worker finds out: too slow for a transaction."""
    before = effects.answered_before(body)
    if before is not None:
        return before
    with services_of_app().store.read() as uow:
        found, run, answers = _asked(uow, body, letter_id)
    shown = {
        **_as_it_goes_on(found, run, answers),
        "approval": None,
        "status": found.status,
        "is_dry_run": True,
        "foreseen": foreseen(letter_id, answers),
    }
    return effects.once(lambda _: shown, schema=ReplayedSchema(), status=202, body=body, reason=body["reason"])


def _asked(uow: UnitOfWork, body: dict[str, Any], letter_id: int) -> tuple[DeadLetter, Run, Answers]:
    """The letter, its run, and what a person answers. Raises: Problem."""
    found = _waiting(uow, letter_id)
    run = uow.runs.get(found.run_id)
    if run is None or found.flow not in FLOWS:
        raise Problem(409, "other-release", "Only another release of crmsync has this flow.")
    links = _numbers(FLOWS[found.flow], run, body["links"])
    return found, run, Answers(accept=body["accept"], links=links, is_seen=body["is_seen"])


def _as_it_goes_on(found: DeadLetter, run: Run, answers: Answers) -> dict[str, Any]:
    """From what is stored."""
    flow = FLOWS[found.flow]
    again = worker.reopened(flow, run, found, answers)
    return {
        "dead_letter": found.id,
        "run_id": found.run_id,
        "is_dry_run": False,
        "goes_on_at": again.step,
        "done_steps": [step for step in flow.steps if step in again.results],
    }


def _reopened(effect: Effect, flow: Flow, found: DeadLetter, answers: Answers) -> Approval | None:
    """Let the run go on, or propose that."""
    try:
        _, results = worker.reopen_in(effect.uow, services_of_app(), found.id, answers, by=effect.act)
    except TwoPeopleError:
        return _proposed(effect, found.id, Decision.REPLAY, answers)
    effect.afterwards.append(lambda: worker.best_effort(lambda: flow.enqueue(found.run_id, results)))
    return None


def _proposed(effect: Effect, letter_id: int, decision: Decision, answers: Answers = worker.NO_ANSWERS) -> Approval:
    """Raises: Problem 409 where somebody else has proposed something, or nobody knows who asks."""
    try:
        return worker.propose_in(effect.uow, letter_id, decision, answers, by=effect.act)
    except ApprovalError as error:
        raise not_approved(error) from error


def as_json(found: DeadLetter) -> dict[str, Any]:
    own = {name: getattr(found, name) for name in found.__slots__}
    money = Money(found.amount, found.currency) if found.amount is not None else None
    return own | {"money": money, "status": found.status.value, "kind": found.kind.value}


def _own(uow: UnitOfWork, letter_id: int) -> DeadLetter:
    """Raises: Problem 404, also for another tenant's."""
    found = uow.dead_letters.get(letter_id) if letter_id <= ID_MAX else None
    if found is None:
        raise not_found("dead letter")
    tenancy.require("dead letter", found.tenant)
    return found


def _waiting(uow: UnitOfWork, letter_id: int) -> DeadLetter:
    """Raises: Problem 409 for one that was settled."""
    found = _own(uow, letter_id)
    if found.status is not LetterStatus.WAITING:
        raise Problem(409, "not-waiting", why_not(letter_id, found))
    return found


def _numbers(flow: Flow, run: Run, links: dict[str, str]) -> dict[str, str]:
    """Raises: Problem for a connection that links no customers, or what is no number."""
    if not links:
        return {}
    company = flow.company_of(services_of_app(), run)
    known = set(worker.linkable(company).values())
    found = {}
    for connection, number in links.items():
        if connection not in known:
            raise invalid("This connection links no customers.", links=f"expected {' or '.join(sorted(known))}")
        try:
            found[connection] = customer_number(number)
        except ValueError as error:
            raise invalid("This is not a customer number.", links=str(error)) from None
    return found
