"""Errors as RFC 9457 problem details: a type, a sentence, and where in the request the error is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response, json, request
from marshmallow import Schema, fields

MEDIA_TYPE = "application/problem+json"
_TYPES = "urn:crmsync:problem:"


class Problem(Exception):
    """Ends a request with this answer; what its transaction has done is rolled back."""

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.errors = errors
        self.headers = dict(headers or {})

    @property
    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": _TYPES + self.name,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
        }
        if self.errors:
            body["errors"] = list(self.errors)
        return Response(json.dumps(body), self.status, self.headers, content_type=MEDIA_TYPE)


def not_found(what: str) -> Problem:
    """Also for what is another tenant's: whoever asks need not know that it exists."""
    return Problem(404, "not-found", f"There is no {what} of that name.")


def invalid(detail: str, paths: Mapping[tuple[str, ...], str] | None = None, **places: str) -> Problem:
    """What a field of the body says can't be taken; one within another is named by its path."""
    body = request.get_json(silent=True)
    found: dict[tuple[str, ...], str] = {**{(name,): text for name, text in places.items()}, **(paths or {})}
    errors = [{"pointer": f"#/{_as_sent(path, body)}", "detail": text} for path, text in found.items()]
    return Problem(422, "invalid", detail, errors=errors)


def of_messages(messages: Mapping[str, Any]) -> list[dict[str, str]]:
    """What marshmallow found, by location, as a flat list that points at each place."""
    found = []
    for location, told in messages.items():
        body = request.get_json(silent=True) if location == "json" else None
        for path, text in _flat((), told):
            place = path[:-1] if path and path[-1] == "_schema" else path
            if location == "json":
                found.append({"pointer": f"#/{_as_sent(place, body)}" if place else "#", "detail": text})
            else:
                found.append({"parameter": place[0] if place else location, "detail": text})
    return found


def _flat(path: tuple[str, ...], told: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(told, Mapping):
        for key, value in told.items():
            yield from _flat((*path, str(key)), value)
    elif isinstance(told, (list, tuple)):
        for each in told:
            yield from _flat(path, each)
    else:
        yield path, str(told)


def _as_sent(path: Sequence[str], body: Any) -> str:
    """A JSON pointer (RFC 6901) with the names that the sender used, which may be in camelCase."""
    segments = []
    for name in path:
        sent = name
        if isinstance(body, Mapping):
            camel = re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
            sent = camel if name not in body and camel in body else name
            body = body.get(sent)
        elif isinstance(body, list) and name.isdigit() and int(name) < len(body):
            body = body[int(name)]
        segments.append(sent.replace("~", "~0").replace("/", "~1"))
    return "/".join(segments)


class FieldErrorSchema(Schema):
    pointer = fields.String(metadata={"description": "where in the body, as a JSON pointer"})
    parameter = fields.String(metadata={"description": "which query parameter or header"})
    detail = fields.String(required=True)


class ProblemSchema(Schema):
    """What every refusal looks like; used for the documentation only."""

    type = fields.String(required=True, metadata={"format": "uri"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.List(fields.Nested(FieldErrorSchema))
