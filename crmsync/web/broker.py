"""What can be asked of the broker without ever waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar, cast

from amqp.exceptions import AMQPError  # type: ignore[import-untyped]
from kombu import Connection
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from crmsync.broker_address import Address
from crmsync.connectors.redis_link import redis_client
from crmsync.embedded import embedded_client_url
from crmsync.settings import Settings

TIMEOUT_SECONDS = 1.0  # for a connection, and for each answer

_ERRORS = (OSError, ValueError, RedisError, AMQPError)

Answer = TypeVar("Answer")


def problem(settings: Settings) -> str | None:
    """Why the broker does not answer, without its address; None if it does."""
    try:
        _ask(settings, in_redis=lambda redis: redis.ping(), in_rabbit=lambda rabbit: None)
    except _ERRORS as error:
        return _why(error)
    return None


def queue_lengths(settings: Settings, names: Sequence[str]) -> Mapping[str, int]:
    """How many messages wait in each queue; nothing while the broker is down."""
    try:
        return _ask(
            settings,
            in_redis=lambda redis: {name: cast(int, redis.llen(name)) for name in names},
            in_rabbit=lambda rabbit: {name: _length(rabbit, name) for name in names},
        )
    except _ERRORS:
        return {}


def _ask(settings: Settings, *, in_redis: Callable[[Any], Answer], in_rabbit: Callable[[Any], Answer]) -> Answer:
    address = settings.broker_address or Address(embedded_client_url(settings.home))
    connect, question = (_rabbit, in_rabbit) if address.is_rabbit else (_redis, in_redis)
    with closing(connect(address)) as broker:
        return question(broker)


def _redis(address: Address) -> Any:
    return redis_client(address, timeout_seconds=TIMEOUT_SECONDS)


def _rabbit(address: Address) -> Any:
    url, tls = address.kombu()
    timeouts = {"read_timeout": TIMEOUT_SECONDS, "write_timeout": TIMEOUT_SECONDS}
    connection = Connection(url, ssl=tls, connect_timeout=TIMEOUT_SECONDS, transport_options=timeouts)
    return connection.transport.establish_connection()


def _length(rabbit: Any, name: str) -> int:
    with rabbit.channel() as channel:
        return int(channel.queue_declare(name, passive=True).message_count)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(error, AuthenticationError):
        return "it refuses the password"
    return f"it can't be reached ({type(error).__name__})"
