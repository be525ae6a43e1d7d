"""Redis as the connectors use it: with short timeouts, and optional."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from crmsync.broker_address import Address
from crmsync.errors import ConfigurationError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.3  # for a connection, and for each answer
REST_SECONDS = 5.0  # after a failure Redis isn't asked: one that hangs would slow each call
WARNING_SECONDS = 60.0

Answer = TypeVar("Answer")


class NoRedisError(Exception):
    """Redis does not answer; whoever asks goes on without it."""


def redis_client(address: Address, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Redis:
    """A client that gives up soon and never tries twice."""
    url, tls = address.redis_py()
    return Redis.from_url(
        url,
        **tls,
        protocol=2,  # no HELLO, no CLIENT SETINFO: a new connection costs no answer
        driver_info=None,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )


class Link:
    """One client for all threads of a process, opened when it is first needed."""

    def __init__(
        self, opening: Callable[[], Redis], *, clock: Callable[[], float] = time.monotonic, level: int = logging.WARNING
    ) -> None:
        """*level* is that of the line which a failure leaves in the log."""
        self._opening = opening
        self._level = level
        self._clock = clock
        self._client: Redis | None = None
        self._lock = threading.Lock()
        self._rests_until = self._silent_until = float("-inf")

    def ask(self, question: Callable[[Redis], Answer]) -> Answer:
        """Ask Redis. Raises: NoRedisError, at once while Redis is given its rest."""
        self._raise_while_resting()
        try:
            return question(self._client or self._opened())
        except (RedisError, OSError) as error:
            self._rest(error)
            raise NoRedisError from error

    def _opened(self) -> Redis:
        with self._lock:
            if self._client is None:
                self._raise_while_resting()  # another thread may have tried meanwhile, and starting a server takes time
                self._client = self._open()
            return self._client

    def _open(self) -> Redis:
        try:
            return self._opening()
        except (RedisError, OSError, ConfigurationError) as error:
            self._rest(error)
            raise NoRedisError from error

    def _raise_while_resting(self) -> None:
        if self._clock() < self._rests_until:
            raise NoRedisError

    def _rest(self, error: Exception) -> None:
        now = self._clock()
        self._rests_until = now + REST_SECONDS
        if now >= self._silent_until:
            self._silent_until = now + WARNING_SECONDS
            logger.log(
                self._level,
                "Redis does not answer (%s): calls to vendors are limited by this process alone, and by the vendors",
                type(error).__name__,
                extra={"action": "budget_unshared"},
            )
