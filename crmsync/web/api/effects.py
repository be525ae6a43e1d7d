"""Writes of the API: effect, audit entry and the answer to an Idempotency-Key are one transaction."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Response, g, json, request
from marshmallow import Schema

from crmsync.domain.audit import Act, Origin
from crmsync.store import UnitOfWork
from crmsync.store.requests import Request
from crmsync.web.access import signing_keys
from crmsync.web.api.problems import Problem
from crmsync.web.context import services_of_app

KEY_HEADER = "Idempotency-Key"
KEY_LENGTH = 200
_KEY = re.compile(f"[!-~]{{1,{KEY_LENGTH}}}")
PARAMETER = {
    "in": "header",
    "name": KEY_HEADER,
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[!-~]+$"},
    "description": "a request that is sent again with the same key within a day gets the same answer and does nothing",
}


@dataclass
class Effect:
    """What a write works with: its transaction, who does it, and what is to be done once it is committed.

    *other* is what is answered instead of what the endpoint usually does: a schema and a status.
    """

    uow: UnitOfWork
    act: Act
    afterwards: list[Callable[[], Any]] = field(default_factory=list)
    other: tuple[Schema, int] | None = None


def act(reason: str = "") -> Act:
    return Act(g.caller.name, Origin.API, reason, behind=g.caller.person)


def once(
    work: Callable[[Effect], Any], *, schema: Schema | None, status: int, body: Any = None, reason: str = ""
) -> Response:
    """Do *work* and answer what it returns, by *schema* or as it is; one with a key that was used before does nothing.

    Raises: Problem 422 for the key of another request.
    """
    key, asked = _key_of_request(), _fingerprints(body)
    services = services_of_app()
    with services.store.begin() as uow:
        if key:
            before = uow.requests.begin(_caller(), key, asked[0])
            if before is not None:
                return _as_before(before, key, asked)
        effect = Effect(uow, act(reason))
        made = work(effect)
        schema, status = effect.other or (schema, status)
        text = json.dumps(schema.dump(made) if schema is not None else made)
        if key:
            uow.requests.end(_caller(), key, status=status, answer=services.vault.seal_for(text, _seal(key)))
    for each in effect.afterwards:
        each()
    return _answer(text, status)


def answered_before(body: Any = None) -> Response | None:
    """What a request with this key was answered; None for a new one, and for one without a key.

    For work that takes too long for a transaction: ask this first, do it, and answer by once(). Raises: as once().
    """
    key = _key_of_request()
    if not key:
        return None
    with services_of_app().store.read() as uow:
        before = uow.requests.get(_caller(), key)
    return _as_before(before, key, _fingerprints(body)) if before else None


def _key_of_request() -> str:
    """Empty where it has none. Raises: Problem 400."""
    key = request.headers.get(KEY_HEADER, "")
    if KEY_HEADER in request.headers and not _KEY.fullmatch(key):
        told = {"parameter": KEY_HEADER, "detail": f"expected 1 to {KEY_LENGTH} visible ASCII characters"}
        raise Problem(400, "invalid-key", "The idempotency key is not valid.", errors=[told])
    return key


def _as_before(before: Request, key: str, asked: list[str]) -> Response:
    text = _opened(before.answer, key)
    if before.fingerprint not in asked:
        told = {"parameter": KEY_HEADER, "detail": "was used for another request"}
        raise Problem(422, "key-of-another-request", "The idempotency key belongs to another request.", errors=[told])
    if text is None:  # the key that sealed it is gone
        raise Problem(409, "answer-gone", "The request was already carried out, and its answer can no longer be read.")
    response = _answer(text, before.status)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _opened(sealed: str, key: str) -> str | None:
    return services_of_app().vault.open_for(sealed, _seal(key))


def _seal(key: str) -> str:
    """What the answer belongs to: it may hold what is shown once."""
    return f"answer:{_caller()}:{key}"


def _answer(text: str, status: int) -> Response:
    return Response(text, status, content_type="application/json")


def _caller() -> str:
    return str(g.caller.token_id)


def _fingerprints(body: Any) -> list[str]:
    """By each key of the ring: a body may hold a password that is short, and what is kept of it must not tell which."""
    asked = json.dumps([request.method, request.full_path, body], sort_keys=True, default=str).encode()
    return [hmac.new(key, asked, "sha256").hexdigest() for key in signing_keys()]
