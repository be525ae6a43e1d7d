"""The API as a separate Flask application: its resources, the checks of every request, and the form of every error."""

from __future__ import annotations

import http
import logging
from importlib import import_module
from typing import Any

from flask import Flask, Response, g, request
from flask_smorest import Api
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from crmsync import __version__, log
from crmsync.errors import CrmsyncError, StoreUnavailableError
from crmsync.services import Services
from crmsync.web import access
from crmsync.web.api.callers import admit
from crmsync.web.api.problems import MEDIA_TYPE, Problem, ProblemSchema, of_messages
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import CAMEL_TYPE, Said, Text, WholeNumber, Word
from crmsync.web.attempts import Requests

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 1_048_576
RETRY_AFTER_SECONDS = 30
RESOURCES = (
    "dashboard",
    "runs",
    "dead_letters",
    "approvals",
    "sync_logs",
    "sync_records",
    "links",
    "webhook_events",
    "connections",
    "connection_tests",
    "consents",
    "callback",
    "bindings",
    "sync_configs",
    "webhooks",
    "rate_limits",
    "systems",
    "audit",
    "tokens",
    "me",
    "document",
)
_DESCRIPTION = """Runs, dead letters, links, connections and tokens of crmsync.

Send a token (`crmsync token create`) as `Authorization: Bearer crm_…`. Its role and its tenant say what it may do;
for it, what belongs to another tenant does not exist.
Names are accepted in snake_case and in camelCase, and returned in snake_case, or in camelCase with `case=camel`.
Lists continue with `cursor`. A POST with an `Idempotency-Key` can safely be sent again.
Errors are problem details (RFC 9457).
A URL has at most 8,190 bytes."""


def create_api(services: Services) -> Flask:
    """The API of these services."""
    return serve(describe(), services)


def serve(app: Flask, services: Services) -> Flask:
    """What is described, for these services."""
    access.sign_with_ring(app, services.settings)
    app.extensions["crmsync"] = services
    app.extensions["crmsync_requests"] = Requests(services.link, services.settings.api_per_minute)
    return app


def describe() -> Flask:
    """The resources with their OpenAPI document, which takes a while to make and is the same for everybody."""
    app = Flask("crmsync.web")
    app.config.update(
        API_TITLE="crmsync",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        MAX_CONTENT_LENGTH=BODY_BYTES_MAX,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(admit)
    app.after_request(access.harden)
    app.after_request(_named_by_case)
    api = ManagementApi(app, spec_kwargs={"info": {"description": _DESCRIPTION}})
    app.extensions["crmsync_api"] = api
    for name in RESOURCES:
        blueprint = import_module(f"crmsync.web.api.resources.{name}").blueprint
        (api if isinstance(blueprint, Resource) else app).register_blueprint(blueprint)
    app.register_error_handler(Problem, lambda problem: problem.response)
    app.register_error_handler(StoreUnavailableError, _no_store)
    app.register_error_handler(CrmsyncError, _refused)
    app.register_error_handler(RecursionError, _too_deep)
    app.register_error_handler(Exception, _unexpected)
    return app


class ManagementApi(Api):
    """flask-smorest's, with problem details."""

    ERROR_SCHEMA = ProblemSchema

    def _init_spec(self, **options: Any) -> None:
        super()._init_spec(**options)
        self.register_field(WholeNumber, "integer", None)
        for kind in (Text, Word, Said):
            self.register_field(kind, "string", None)
        self.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
        self.spec.options["security"] = [{"token": []}]

    def _register_responses(self) -> None:
        """As the original, with the media type of problems."""
        for status in http.HTTPStatus:
            answer: dict[str, Any] = {"description": status.phrase}
            if status >= 400:
                answer["content"] = {MEDIA_TYPE: {"schema": self.ERROR_SCHEMA}}
            self.spec.components.response(status.name, answer, lazy=True)
        told = {"description": "an error", "content": {MEDIA_TYPE: {"schema": self.ERROR_SCHEMA}}}
        self.spec.components.response("DEFAULT_ERROR", told, lazy=True)

    def handle_http_exception(self, error: HTTPException) -> Response:
        if isinstance(error, RequestEntityTooLarge):
            return Problem(413, "too-large", f"A body has at most {BODY_BYTES_MAX} bytes.").response
        status, data = error.code or 500, getattr(error, "data", None) or {}
        headers = {**dict(error.get_headers()), **(data.get("headers") or {})}
        kept = {name: value for name, value in headers.items() if name in ("Allow", "Retry-After", "WWW-Authenticate")}
        messages = data.get("messages") or {}
        name = _NAMES.get(status, http.HTTPStatus(status).phrase.lower().replace(" ", "-"))
        detail = _DETAILS.get(status, error.description or http.HTTPStatus(status).phrase)
        return Problem(status, name, detail, errors=of_messages(messages)[:100], headers=kept).response


_NAMES = {400: "malformed", 404: "not-found", 422: "invalid", 500: "fault"}
_DETAILS = {
    400: "The request could not be read.",
    404: "There is no such URL.",
    422: "The request is not valid.",
    500: "Something went wrong in crmsync; its log says where.",
}


def _named_by_case(response: Response) -> Response:
    """An answer in camelCase is of another type than the one that the document describes."""
    if g.get("case") == "camel" and response.mimetype == "application/json":
        response.mimetype = CAMEL_TYPE
    return response


def _no_store(_: StoreUnavailableError) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(503, "no-database", "The database does not answer. Try again.", headers=headers).response


def _refused(error: CrmsyncError) -> Response:
    """What the functions that CLI and control tower use as well refuse, in their own words."""
    errors = [{"pointer": f"#/{field}", "detail": text} for field, text in error.field_errors.items()]
    return Problem(422 if errors else 409, "refused", error.with_advice, errors=errors).response


def _too_deep(_: RecursionError) -> Response:
    """Nothing of ours goes on for ever: it is the body that does."""
    return Problem(400, "malformed", "The body is nested too deeply.").response


def _unexpected(error: Exception) -> Response:
    """Its text may hold data, so only its place is kept."""
    facts = {"action": "bug", "place": log.place_of(error), "route": str(request.url_rule)}
    logger.error("unexpected %s in the API", type(error).__name__, extra=facts)
    return Problem(500, "fault", _DETAILS[500]).response
