"""Detects another installation on the same Redis, whose workers would take our messages.

Nothing is lost, because the sweepers send every message again; but everything is late. So each installation leaves its
store's id there, and whoever sees another one says so.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from crmsync.alerts.content import Content, watch_alert
from crmsync.connectors.limits.redis_link import NoRedisError
from crmsync.services import Services
from crmsync.worker import watch

logger = logging.getLogger(__name__)

KEY = "crmsync:installations"
CAUSE = "watch:broker"
STALE_SECONDS = 120.0


class Neighbours:
    """What one process has seen since its first check: one that ended before is none."""

    def __init__(self) -> None:
        self._since: float | None = None

    def check(self, using: Services) -> None:
        """RabbitMQ can't be asked; there a message for an unknown run shows it."""
        if using.settings.broker_url and (using.settings.redis_url or using.settings.broker_url.startswith("amqp")):
            return
        try:
            others = using.link.ask(lambda redis: self._others(redis, store_id(using)))
        except NoRedisError:
            return
        if others:
            logger.warning(
                "another installation uses this Redis: give each its own database (REDIS_URL ends in /0, /1 and so on)",
                extra={"action": "broker_shared", "installations": others + 1},
            )
        watch.tell(using, {CAUSE: _alert(using) if others else None})

    def _others(self, redis: Any, mine: str) -> int:
        seconds, microseconds = redis.time()
        now = seconds + microseconds / 1e6
        self._since = now if self._since is None else self._since
        with redis.pipeline() as pipe:
            pipe.zadd(KEY, {mine: now})
            pipe.zremrangebyscore(KEY, "-inf", now - STALE_SECONDS)
            pipe.expire(KEY, int(STALE_SECONDS) * 2)
            pipe.zcount(KEY, f"({self._since}", "+inf")
            pipe.zscore(KEY, mine)
            *_, count, score = pipe.execute()
        return int(count) - (score > self._since)


def _alert(using: Services) -> Content:
    return watch_alert(
        "Another installation uses this Redis",
        cause="The workers of two installations take each other's messages. Nothing is lost, but everything is "
        "delayed.",
        advice="Give each its own Redis, or its own database there: REDIS_URL ends in /0, /1 and so on.",
        command=using.settings.pasteable("crmsync config"),
    )


def store_id(using: Services) -> str:
    """The id that distinguishes this installation from others: it was made with its store."""
    with using.store.read() as uow:
        kept = uow.facts.get("store.id")
    if kept is None:
        with using.store.begin() as uow:
            kept = uow.facts.set_once("store.id", uuid.uuid4().hex)
    return kept
