"""The receiver, the control tower, health and metrics; nothing here ever calls a vendor."""

from __future__ import annotations

from typing import cast

from flask import Flask, Response, current_app, jsonify
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from crmsync.errors import BodyTooLargeError, NotStoredError, StoreUnavailableError, WebhookError
from crmsync.services import Services

RETRY_AFTER_SECONDS = 30


def create_app(services: Services) -> Flask:
    """A receiver that works with *services*."""
    from crmsync.web import health, metrics, tower, webhooks

    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.behaviour.max_body_bytes
    app.extensions["crmsync"] = services
    app.extensions["crmsync_doorbell"] = webhooks.Doorbell(services.store)
    for module in (webhooks, health, metrics, tower):
        app.register_blueprint(module.blueprint)
    app.register_error_handler(WebhookError, _refuse)
    app.register_error_handler(StoreUnavailableError, lambda _: _refuse(NotStoredError()))
    app.register_error_handler(RequestEntityTooLarge, lambda _: _refuse(BodyTooLargeError()))
    return app


def services_of_app() -> Services:
    return cast(Services, current_app.extensions["crmsync"])


def _refuse(error: Exception) -> Response | HTTPException:
    """The status says what the sender should do next; the body says what was wrong, and where."""
    assert isinstance(error, WebhookError)  # noqa: S101 - registered for nothing else
    response = jsonify(error=type(error).__name__, message=str(error.args[0]), fields=error.field_errors)
    response.status_code = error.status_code
    if error.status_code == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
