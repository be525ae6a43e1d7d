"""The receiver as a Flask application: its pages and webhook endpoints, put together."""

from __future__ import annotations

from flask import Flask

from crmsync.services import Services
from crmsync.web import health, metrics, paths, tower, webhooks
from crmsync.web.api.mounted import MountedApi
from crmsync.web.enqueuer import Enqueuer
from crmsync.web.inbox import Inbox
from crmsync.web.refusals import Refusals
from crmsync.web.tower import sign_in, sign_on


def create_app(services: Services) -> Flask:
    """A receiver that works with *services*."""
    app = Flask("crmsync.web")  # beside whose __init__ its templates lie
    # One byte more: a body of unknown length is cut at the limit, and only the next byte says that it was too long.
    app.config["MAX_CONTENT_LENGTH"] = services.settings.behaviour.max_body_bytes + 1
    app.extensions["crmsync"] = services
    app.extensions["crmsync_enqueuer"] = Enqueuer(services.store)
    app.extensions["crmsync_inbox"] = Inbox(services)
    app.extensions["crmsync_refusals"] = Refusals(services.store, services.settings)
    for module in (webhooks, health, metrics, tower, sign_in, sign_on):
        app.register_blueprint(module.blueprint)
    app.wsgi_app = MountedApi(app.wsgi_app, services)  # type: ignore[method-assign]
    paths.mount(app, services.settings)
    return app
