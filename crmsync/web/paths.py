"""Where the receiver is mounted: behind a proxy, under a path, on a port of its own for the private pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import NotFound

from crmsync.settings import Settings
from crmsync.web import access
from crmsync.web.proxies import is_among

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")

Environ = dict[str, Any]


def mount(app: Flask, settings: Settings) -> None:
    """Let *app* know the path that it is reached under, and keep public and private pages apart where they are."""
    app.wsgi_app = Mounted(  # type: ignore[method-assign]
        app.wsgi_app, urlsplit(settings.public_url).path, settings.trusted_proxies
    )
    app.session_interface = _SessionHere()
    if settings.admin_port:
        app.before_request(lambda: _keep_apart(str(settings.admin_port)))


def is_public_port(settings: Settings) -> bool:
    """Whether the request came to a port that only strangers use."""
    return bool(settings.admin_port) and request.environ.get("SERVER_PORT") != str(settings.admin_port)


def _keep_apart(admin_port: str) -> Response | None:
    """Health is answered on both ports; a door is on the public one only, and everything else on the private one.

    What is on the other port is answered like what is nowhere: a stranger need not know which pages there are.
    """
    is_private_port, is_door = request.environ.get("SERVER_PORT") == admin_port, request.blueprint == "webhooks"
    if request.blueprint != "health" and is_door == is_private_port:
        return access.harden(cast(Response, NotFound().get_response(request.environ)))
    return None


class Mounted:
    """Takes the path in front off, whether the proxy has left it there or not; links then begin with it.

    It is that of CRMSYNC_PUBLIC_URL, or what a trusted proxy says in X-Forwarded-Prefix. A slash too many counts as
    one: a redirect to the right address would go to the host that the caller names, by http.
    """

    def __init__(
        self, application: Callable[..., Iterable[bytes]], path: str, trusted: Sequence[IPv4Network | IPv6Network]
    ) -> None:
        self._application = application
        self._path = path.rstrip("/")
        self._trusted = trusted

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        told = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/") if self._is_from_proxy(environ) else ""
        prefix = told if _PREFIX.fullmatch(told) else self._path
        path = environ["PATH_INFO"] = re.sub("/+", "/", environ.get("PATH_INFO", "")) or "/"
        environ["SCRIPT_NAME"] = prefix
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._application(environ, start_response)

    def _is_from_proxy(self, environ: Environ) -> bool:
        return is_among(environ.get("REMOTE_ADDR", ""), self._trusted)


class _SessionHere(SecureCookieSessionInterface):
    def get_cookie_path(self, app: Flask) -> str:
        """No other application of the same host gets the cookie."""
        return request.script_root or "/"
