"""The campaign's broker: how it is found, emptied, restarted and left behind."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import redis

from crmsync import embedded
from crmsync.errors import ConfigurationError

QUEUES = ("crm", "erp", "books", "background", "housekeeping", "dead_letter")


class Broker(Protocol):
    """*environment* points the processes at it; *may_be_killed* tells whether it is a process of ours."""

    environment: Mapping[str, str]
    may_be_killed: bool
    may_cut_connections: bool

    def empty(self) -> None:
        """Forget every message."""

    def cut_connections(self) -> None:
        """End the connection of every client, where the broker can do that."""


def broker(url: str, home: Path) -> Broker:
    """The broker at *url*, emptied, or the embedded server of *home*.

    Raises: ConfigurationError for an address of another kind, or if it does not answer.
    """
    if not url:
        return Redis(embedded.embedded_client_url(home), {}, is_ours=True)
    if url.startswith(("amqp://", "amqps://")):
        return _answering(Amqp(url), url)
    if url.startswith(("redis://", "rediss://", "unix://")):
        return _answering(Redis(url, {"REDIS_URL": url}, is_ours=False), url)
    raise ConfigurationError("prove needs Redis or RabbitMQ.", field_errors={"--broker": "redis://… or amqp://…"})


def _answering(found: Broker, url: str) -> Broker:
    try:
        found.empty()
    except (redis.RedisError, OSError) as error:
        raise ConfigurationError(
            "The broker does not answer.", field_errors={"--broker": type(error).__name__}
        ) from error
    return found


class Redis:
    """A Redis or Valkey."""

    may_cut_connections = True

    def __init__(self, url: str, environment: Mapping[str, str], *, is_ours: bool) -> None:
        self.environment = environment
        self.may_be_killed = is_ours
        self._url = url

    def empty(self) -> None:
        with redis.Redis.from_url(self._url) as client:
            client.flushdb()

    def cut_connections(self) -> None:
        with redis.Redis.from_url(self._url) as client:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


class Amqp:
    """A RabbitMQ; its queues are emptied, not removed."""

    may_be_killed = False
    may_cut_connections = False

    def __init__(self, url: str) -> None:
        self.environment: Mapping[str, str] = {"CELERY_BROKER_URL": url}
        self._url = url

    def empty(self) -> None:
        from kombu import Connection, Queue

        with Connection(self._url, connect_timeout=5) as connection, connection.channel() as channel:
            for name in QUEUES:
                with suppress(*connection.channel_errors):  # the queue is not there yet
                    Queue(name).bind(channel).purge()

    def cut_connections(self) -> None:
        """RabbitMQ's management is out of our reach."""
