"""ETags made from a row's version: a change based on an outdated version is refused."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from crmsync.web.api.problems import Problem

IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    "schema": {"type": "string"},
    "description": "the ETag of the version that was read, or * for any",
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string"},
    "description": "a known ETag: the answer is 304 if nothing has changed",
}
ETAG = {"ETag": {"schema": {"type": "string"}, "description": "the version of the resource"}}


def etag_of(*version: Any) -> str:
    return hashlib.sha256(repr(version).encode()).hexdigest()[:20]


def require(*version: Any) -> None:
    """Raises: Problem 428 where nobody says what was read, 412 where that is not so any more."""
    if not request.headers.get("If-Match", "").strip():
        raise Problem(428, "precondition-required", "Send If-Match with the ETag of the version that was read, or *.")
    if not request.if_match.contains(etag_of(*version)):
        raise Problem(412, "changed-meanwhile", "It has changed since it was read. Read it again.")


def marked(response: Response, *version: Any) -> Response:
    """The answer with its ETag, of a resource that also shows values that change without a new version."""
    response.set_etag(etag_of(*version))
    return response


def tagged(response: Response, *version: Any) -> BaseResponse:
    """The answer with its ETag; 304 without a body where the caller knows it."""
    response.set_etag(etag_of(*version))
    return response.make_conditional(request.environ) if request.method in ("GET", "HEAD") else response
