"""Who may open the control tower: signed-in users, users named by a trusted proxy, and the built-in operator.

The built-in operator has a password that is never empty or well known, and sends it by HTTP Basic or signs in with it.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable
from typing import cast

from flask import Flask, Response, current_app, g, request, session
from flask.sansio.app import App
from werkzeug.datastructures import Authorization

from crmsync.connectors.kit.signatures import as_sent
from crmsync.domain.access import Caller, Role, new_secret
from crmsync.passwords import TOWER_USER, tower_password
from crmsync.settings import Secret, Settings
from crmsync.store import Store, UnitOfWork
from crmsync.store.keys import key_texts
from crmsync.store.people import USED_SECONDS
from crmsync.web.proxies import is_among
from crmsync.web.sparing import Sparing

logger = logging.getLogger(__name__)

COOKIE = "crmsync_session"
BUILT_IN = Caller(TOWER_USER, Role.OPERATOR, person=TOWER_USER)

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
    sign_with_ring(app, settings)
    app.config.update(
        SESSION_COOKIE_NAME="crmsync_tower",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https://"),
    )


def caller_of_page() -> Caller | None:
    """Who sends a request to the pages, by HTTP Basic, a session or a trusted proxy's header; None: nobody known."""
    return _by_password() or _by_session() or _by_proxy()


def is_operator(app: Flask) -> bool:
    """True if the request carries the user and password; takes as long for a near miss as for a far one."""
    given = _given()
    if given is None or given.type != "basic":
        return False
    return is_built_in(app, given.username or "", given.password or "")


def is_built_in(app: Flask, name: str, password: str) -> bool:
    """Whether that is the operator who is always there, with the password of the environment or the file."""
    is_user = _equal(name, TOWER_USER)
    is_right = _equal(password, app.extensions["crmsync_tower_password"]) and is_user
    return is_right and not app.extensions["crmsync"].settings.oidc.only


def may_read_figures(app: Flask) -> bool:
    """True for people who may see the pages, and for a scraper with the token that is set for it."""
    token, given = app.extensions["crmsync"].settings.metrics_token, _given()
    if token is not None and given is not None and given.type == "bearer":
        return _equal(as_sent(given.token or ""), token.reveal())
    caller = caller_of_page()
    return caller is not None and caller.tenant is None  # they are of all companies together


def ask_for_password() -> Response:
    if "Authorization" in request.headers and current_app.extensions["crmsync_wrong_passwords"].allows():
        logger.warning("wrong password", extra={"action": "tower_refused", "client": client_address()})
    text = "User crmsync; password: CRMSYNC_TOWER_PASSWORD, else the file tower.password in the state directory.\n"
    return Response(text, 401, {"WWW-Authenticate": 'Basic realm="crmsync", charset="UTF-8"'}, mimetype="text/plain")


def is_browser() -> bool:
    """Whether a person would see the answer: a program is asked for a password in HTTP's own way."""
    return (
        "Authorization" not in request.headers
        and request.accept_mimetypes.accept_html
        and bool(request.accept_mimetypes)
    )


def client_address() -> str:
    """The client's address: that of the peer, or what a trusted proxy says of its own peer."""
    address, trusted = request.remote_addr or "", _settings().trusted_proxies
    for told in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not told.strip() or not is_among(address, trusted):
            break
        address = told.strip()
    return address


# -- signed in to a browser


def sign_in(name: str, proof: str) -> Callable[[Response], Response]:
    """Open a session for *name*, who has proved it; what is returned gives an answer its cookie."""
    key = new_secret()
    with _store().begin() as uow:
        uow.sessions.open(key, name, proof=proof)
    session.clear()  # a form that was shown to somebody else before is worth nothing now
    return lambda response: _with_cookie(response, key)


def sign_out(response: Response) -> Response:
    key = request.cookies.get(_cookie_name(), "")
    if key:
        with _store().begin() as uow:
            uow.sessions.close(key)
    session.clear()
    response.delete_cookie(_cookie_name(), path=_cookie_path(), secure=is_https(), httponly=True, samesite="Strict")
    return response


def form_token() -> str:
    """The session's own: a page of another site can't know it."""
    return str(session.setdefault("token", secrets.token_urlsafe(16)))


def has_form_token() -> bool:
    expected = str(session.get("token", ""))
    return bool(expected) and _equal(request.form.get("token", ""), expected)


def is_https() -> bool:
    """Whether the browser uses TLS, by the installation's address or a trusted proxy's headers."""
    settings = _settings()
    if settings.public_url:
        return settings.public_url.startswith("https://")
    is_proxied = is_among(request.remote_addr or "", settings.trusted_proxies)
    return is_proxied and request.headers.get("X-Forwarded-Proto", "") == "https"


def _by_password() -> Caller | None:
    return BUILT_IN if is_operator(current_app) else None


def _by_session() -> Caller | None:
    key = request.cookies.get(_cookie_name(), "")
    if not key:
        return None
    with _store().read() as uow:
        owner = uow.sessions.owner(key)
        caller = _caller_of(uow, owner.name, owner.proof) if owner else None
    if owner is not None and (uow.now - owner.seen_at).total_seconds() >= USED_SECONDS:
        with _store().begin(durable=False) as uow:
            uow.sessions.seen(key)
    g.has_session = caller is not None
    return caller


def _by_proxy() -> Caller | None:
    """Whom a trusted proxy has signed in; a name that nobody here has is nobody."""
    settings = _settings()
    name = request.headers.get(settings.proxy_user_header, "") if settings.proxy_user_header else ""
    if not name or not is_among(request.remote_addr or "", settings.trusted_proxies):
        return None
    with _store().read() as uow:
        user = uow.users.get(name.strip().lower())
    return user.caller if user is not None and not user.is_disabled else None


def proof_of(uow: UnitOfWork, name: str) -> str:
    """What a session of *name* is opened with, which changes with the password and the role; "": may not sign in."""
    if name == TOWER_USER:
        return str(current_app.extensions["crmsync"].vault.mark(_tower_secret()))
    user = uow.users.get(name)
    return str(user.version) if user is not None and not user.is_disabled else ""


def _caller_of(uow: UnitOfWork, name: str, proof: str) -> Caller | None:
    oidc = _settings().oidc
    if name == TOWER_USER:
        is_same = current_app.extensions["crmsync"].vault.is_mark_of(_tower_secret(), proof)
        return BUILT_IN if is_same and not oidc.only else None
    user = uow.users.get(name)
    if user is None or user.is_disabled or str(user.version) != proof:
        return None
    is_way_open = not oidc.only if user.identity is None else oidc.is_on
    return user.caller if is_way_open else None


def _tower_secret() -> Secret:
    return Secret(current_app.extensions["crmsync_tower_password"])


def _with_cookie(response: Response, key: str) -> Response:
    response.set_cookie(_cookie_name(), key, path=_cookie_path(), secure=is_https(), httponly=True, samesite="Strict")
    return response


def _cookie_name() -> str:
    """Its prefix has the browser refuse a cookie of that name that was not set just so."""
    if not is_https():
        return COOKIE
    return f"__Host-{COOKIE}" if _cookie_path() == "/" else f"__Secure-{COOKIE}"


def _cookie_path() -> str:
    """No other application of the same host gets the cookie."""
    return request.script_root or "/"


def _settings() -> Settings:
    return cast(Settings, current_app.extensions["crmsync"].settings)


def _store() -> Store:
    return cast(Store, current_app.extensions["crmsync"].store)


def _given() -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # bytes beyond ASCII where base64 is due
        return None


def harden(response: Response) -> Response:
    """Nothing of the tower is cached, framed, or loads anything from elsewhere."""
    response.headers.update(HEADERS)
    return response


def sign_with_ring(app: App, settings: Settings) -> None:
    """Have *app* sign with the newest key of the ring, and accept what the keys before it have signed."""
    app.secret_key, *older = session_keys(settings)
    app.config["SECRET_KEY_FALLBACKS"] = older


def session_keys(settings: Settings) -> list[bytes]:
    """The newest first: it signs; what the others have signed is good until they leave the ring."""
    texts = key_texts(settings.secret_key, settings.secret_key_previous, settings.home)
    return [hmac.digest(text.encode(), b"control tower session", "sha256") for text in dict.fromkeys(texts)]


def signing_keys() -> list[bytes]:
    """The keys of the application that answers, the newest first."""
    return [cast(bytes, current_app.secret_key), *current_app.config["SECRET_KEY_FALLBACKS"]]


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
