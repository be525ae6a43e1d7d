"""Mounts the API below /api/erp and imports it with the first request: most receivers get none."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from crmsync.services import Services
from crmsync.web.api.endpoints import PREFIX

_DOOR = re.compile(f"{PREFIX}/webhooks/[^/]+/receive")  # of strangers: what comes in there is no business of the API
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MountedApi:
    def __init__(self, application: Wsgi, services: Services) -> None:
        self._application = application
        self._services = services
        self._api: Wsgi | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if (path != PREFIX and not path.startswith(f"{PREFIX}/")) or _DOOR.fullmatch(path):
            return self._application(environ, start_response)
        return (self._api or self._made())(environ, start_response)

    def _made(self) -> Wsgi:
        with self._lock:
            if self._api is None:
                from crmsync.web.api.app import create_api

                self._api = create_api(self._services)
            return self._api
