"""A thread that regularly checks whether crmsync is at work; it needs no broker and no beat."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from crmsync.services import Services, services

logger = logging.getLogger(__name__)

Duty = Callable[[Services], None]

FIRST_SECONDS = 1.0


class Lookout:
    """Does *duty* once in a sweeper's period; an error in one round does not end it."""

    def __init__(self, duty: Duty, *, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._duty = duty
        self._guard = guard
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="lookout", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        wait = FIRST_SECONDS
        while not self._ended.wait(wait):
            wait = self._round()

    def _round(self) -> float:
        """Returns after how many seconds the next one is due."""
        try:
            with self._guard():
                self._duty(services())
        except Exception:
            logger.exception("the lookout could not check", extra={"action": "lookout_failed"})
        return services().settings.behaviour.sweep_seconds
