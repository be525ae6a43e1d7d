"""Flower as crmsync runs it: closed, however it is started, and with the length of every queue on its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flower.views import BaseHandler
from tornado.options import options

from crmsync.errors import ConfigurationError
from crmsync.passwords import TOWER_USER, tower_password
from crmsync.settings import Settings


def prepare() -> None:
    """Configure Flower, closed.

    Raises: SystemExit with the reason where Flower would be open to anybody. (Celery would log any Exception.)
    """
    if not options.auth:  # people sign in elsewhere
        options.basic_auth = _checked(options.basic_auth or _configured())
    BaseHandler.get_active_queue_names = _declared_queues


def _configured() -> list[str]:
    """FLOWER_BASIC_AUTH or its file; else the password of the control tower."""
    try:
        settings = Settings.from_env()
        own = settings.flower.basic_auth
        return own.reveal().split(",") if own else [f"{TOWER_USER}:{tower_password(settings)}"]
    except ConfigurationError as error:
        raise SystemExit(f"Flower does not start without a password. {error}") from error


def _checked(logins: Sequence[str]) -> list[str]:
    if not all(re.fullmatch("[^:]+:.+", login) for login in logins):
        raise SystemExit("Flower does not start without a password: --basic_auth must be user:password.")
    return list(logins)


def _declared_queues(handler: Any) -> list[str]:
    """Those that no worker consumes as well: dead letters wait for a person."""
    return sorted(queue.name for queue in handler.capp.conf.task_queues)
