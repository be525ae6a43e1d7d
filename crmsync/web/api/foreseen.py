"""What a replay would do, as the API answers it: the JSON of `dead-letters replay --dry-run --json`."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from crmsync.domain.dead_letters import Answers
from crmsync.reading import foresight
from crmsync.web.api import waiting
from crmsync.web.api.problems import invalid
from crmsync.web.api.schemas import ApiSchema


class ForeseenDoneSchema(ApiSchema):
    """A customer as it is linked, or a document that was made."""

    system = fields.String(required=True)
    kind = fields.String(required=True)
    number = fields.String(required=True)
    name = fields.String(metadata={"description": "of a customer; empty for a person"})
    matched_by = fields.String(metadata={"description": "of a customer: how it was found"})
    reference = fields.String(required=True)
    generation = fields.Integer(metadata={"description": "of a document"})
    state = fields.String(required=True)


class ForeseenChangeSchema(ApiSchema):
    field = fields.String(required=True)
    before = fields.String(required=True)
    after = fields.String(required=True)
    concerns = fields.String(required=True)


class ForeseenSourceSchema(ApiSchema):
    is_read = fields.Boolean(required=True)
    problem = fields.String(required=True, metadata={"description": "why it can't be read now"})
    changes = fields.List(fields.Nested(ForeseenChangeSchema), required=True)
    has_documents = fields.Boolean(required=True)
    foreign_numbers = fields.List(fields.String(), required=True)
    documents = fields.List(fields.String(), required=True)
    in_the_way = fields.List(fields.String(), required=True)


class ForeseenRequestSchema(ApiSchema):
    """Without credentials, and with *** in place of personal data."""

    operation = fields.String(required=True)
    method = fields.String(required=True)
    address = fields.String(required=True)
    headers = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    body = fields.Raw(required=True, allow_none=True)


class ForeseenStepSchema(ApiSchema):
    step = fields.String(required=True)
    end = fields.String(required=True, metadata={"description": "done, writes, waits or stops"})
    notes = fields.List(fields.String(), required=True)
    request = fields.Nested(
        ForeseenRequestSchema,
        required=True,
        allow_none=True,
        metadata={"description": "what would be sent; nothing was"},
    )
    problem = fields.String(required=True)
    advice = fields.String(required=True)


class ForeseenSchema(ApiSchema):
    """The letter, and what a replay of it would do."""

    id = fields.Integer(required=True)
    status = fields.String(required=True)
    kind = fields.String(required=True)
    task = fields.String(required=True)
    flow = fields.String(required=True)
    subject = fields.String(required=True)
    deal = fields.String(required=True)
    company = fields.String(required=True, allow_none=True)
    amount = fields.String(required=True, allow_none=True)
    currency = fields.String(required=True, allow_none=True)
    error = fields.String(required=True)
    system = fields.String(required=True, allow_none=True)
    cause = fields.String(required=True)
    failures = fields.Integer(required=True)
    age_seconds = fields.Integer(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})
    run = fields.String(required=True)
    correlation_id = fields.String(required=True)
    dry_run = fields.Boolean(required=True)
    done = fields.List(
        fields.Nested(ForeseenDoneSchema), required=True, metadata={"description": "what is not made again"}
    )
    source = fields.Nested(
        ForeseenSourceSchema, required=True, allow_none=True, metadata={"description": "how the deal has changed since"}
    )
    refusal = fields.String(required=True, metadata={"description": "why the command would not begin this replay"})
    steps = fields.List(
        fields.Nested(ForeseenStepSchema), required=True, metadata={"description": "up to the first that would write"}
    )
    later = fields.List(fields.String(), required=True, metadata={"description": "the steps after those"})
    command = fields.String(required=True, metadata={"description": "does it, on the command line"})


def foreseen(letter_id: int, answers: Answers) -> dict[str, Any]:
    """What a worker finds; it reads from the systems, and sends nothing.

    Raises: Problem 422 for customers that the run would not take; 503 where no worker answers.
    """
    asked = {"accept": answers.accept, "links": dict(answers.links), "is_seen": answers.is_seen}
    found: dict[str, Any] = waiting.answer("the dry run", foresight.TASK, letter_id=letter_id, answers=asked)
    if found["wrong_links"]:
        raise invalid("The customer is not taken.", links=found["wrong_links"])
    return dict(found["foreseen"])
