"""How gunicorn serves the receiver: `gunicorn crmsync.web.wsgi:app --config python:crmsync.web.serving`.

The names are gunicorn's own settings.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from crmsync.errors import ConfigurationError
from crmsync.settings import Settings

# Imported before the master forks, so that its workers share them: 125 MB in three processes instead of 185.
from crmsync.web import health, metrics, tower, webhooks  # noqa: F401
from crmsync.web.server import worker  # noqa: F401

_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes a file of its own there


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except ConfigurationError as error:
        sys.exit(str(error))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_read = _settings()

bind = [_address(_read.host, _read.port)]
if _read.admin_port:
    bind.append(_address(_read.admin_host, _read.admin_port))
worker_class = "crmsync.web.server.worker.BufferingWorker"
workers = 2
threads = 8
graceful_timeout = 20
# Where each worker shows that it lives: memory, which a container has even where its root is read-only.
worker_tmp_dir = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
control_socket_disable = True  # it would lie in the home directory, and be shared by two instances


def when_ready(_: Any) -> None:
    """Before the first fork: what the collector frees or visits is copied for each worker."""
    gc.collect()
    gc.freeze()
