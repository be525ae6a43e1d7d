"""Who may open the control tower: HTTP Basic, one user, and a password that is never empty or well known."""

from __future__ import annotations

import hmac
import logging

from flask import Flask, Response, current_app, request
from flask.sansio.app import App
from werkzeug.datastructures import Authorization

from crmsync.connectors.signatures import as_sent
from crmsync.passwords import SECRET_KEY_FILE, TOWER_USER, kept, tower_password
from crmsync.settings import Settings
from crmsync.web.sparing import Sparing

logger = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def guard(app: App, settings: Settings) -> None:
    """Give *app* the tower's password, and the key that signs the cookie of a form."""
    app.extensions["crmsync_tower_password"] = tower_password(settings)
    app.extensions["crmsync_wrong_passwords"] = Sparing()
    app.secret_key = _session_key(settings)
    app.config.update(
        SESSION_COOKIE_NAME="crmsync_tower",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https://"),
    )


def is_operator(app: Flask) -> bool:
    """True if the request carries the user and password; takes as long for a near miss as for a far one."""
    given, password = _given(), app.extensions["crmsync_tower_password"]
    if given is None or given.type != "basic":
        return False
    is_user = _equal(given.username or "", TOWER_USER)
    return _equal(given.password or "", password) and is_user


def may_read_figures(app: Flask) -> bool:
    """The operator, or a scraper with the token that is set for it."""
    token, given = app.extensions["crmsync"].settings.metrics_token, _given()
    if token is not None and given is not None and given.type == "bearer":
        return _equal(as_sent(given.token or ""), token.reveal())
    return is_operator(app)


def ask_for_password() -> Response:
    if "Authorization" in request.headers and current_app.extensions["crmsync_wrong_passwords"].allows():
        logger.warning("wrong password", extra={"action": "tower_refused", "client": request.remote_addr})
    text = "User crmsync; password: CRMSYNC_TOWER_PASSWORD, else the file tower.password in the state directory.\n"
    return Response(text, 401, {"WWW-Authenticate": 'Basic realm="crmsync", charset="UTF-8"'}, mimetype="text/plain")


def _given() -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # bytes beyond ASCII where base64 is due
        return None


def harden(response: Response) -> Response:
    """Nothing of the tower is cached, framed, or loads anything from elsewhere."""
    response.headers.update(HEADERS)
    return response


def _session_key(settings: Settings) -> bytes:
    key = settings.secret_key
    text = key.reveal() if key else kept(settings, SECRET_KEY_FILE, variable="CRMSYNC_SECRET_KEY")
    return hmac.digest(text.encode(), b"control tower session", "sha256")


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
