"""Checks and measures of the broker that never block: every question has a deadline."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from amqp.exceptions import AMQPError, NotFound
from kombu import Connection
from redis.exceptions import RedisError

from crmsync import broker_faults
from crmsync.broker_address import QUEUE_ARGUMENTS, Address
from crmsync.connectors.limits.redis_link import redis_client
from crmsync.embedded import embedded_client_url
from crmsync.settings import Settings

TIMEOUT_SECONDS = 1.0  # for a connection, and for each answer
_KEPT_SECONDS = 10  # a trial message that nobody took back is gone after that
_NO_RETURN = "it accepted a message but did not return it: is its disk or its memory full?"

# One of each kind that kombu and the call budgets have.
_KEYS = ("crm", "crm\x06\x163", "unacked", "unacked_index", "unacked_mutex", "_kombu.binding.crm", "crmsync:trial")
_ERRORS = (OSError, ValueError, RedisError, AMQPError)

Answer = TypeVar("Answer")


def problem(settings: Settings) -> str | None:
    """Why no message can be sent, without the broker's address; None if one was sent and came back."""
    try:
        came_back = _ask(settings, in_redis=_through_redis, in_rabbit=_through_rabbit)
    except _ERRORS as error:
        return broker_faults.sentence(error, timeout_seconds=TIMEOUT_SECONDS)
    return None if came_back else _NO_RETURN


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


def problem_of_queues(settings: Settings, names: Sequence[str]) -> str | None:
    """Which of our queues a RabbitMQ has in another form than workers declare them; None if none."""
    for name in names:
        try:
            _ask(settings, in_redis=lambda redis: None, in_rabbit=partial(_declared, name=name))
        except _ERRORS as error:
            return f"{name}: {broker_faults.sentence(error, timeout_seconds=TIMEOUT_SECONDS)}"
    return None


def about(settings: Settings) -> Mapping[str, Any]:
    """What a Redis server reports of itself (INFO); empty where it is no Redis, or does not allow the command."""
    try:
        return _ask(settings, in_redis=lambda redis: cast(dict[str, Any], redis.info()), in_rabbit=lambda rabbit: {})
    except _ERRORS:
        return {}


def seconds_ahead(settings: Settings) -> float | None:
    """How far a Redis' clock is before ours; None where it is none, or does not say."""

    def ahead(redis: Any) -> float:
        seconds, microseconds = redis.time()
        return float(seconds) + microseconds / 1_000_000 - time.time()

    try:
        return _ask(settings, in_redis=ahead, in_rabbit=lambda rabbit: None)
    except _ERRORS:
        return None


def _ask(settings: Settings, *, in_redis: Callable[[Any], Answer], in_rabbit: Callable[[Any], Answer]) -> Answer:
    address = settings.broker_address or Address(embedded_client_url(settings.home))
    connect, question = (_rabbit, in_rabbit) if address.is_rabbit else (_redis, in_redis)
    broker = connect(address)
    try:
        return question(broker)
    finally:
        with suppress(*_ERRORS):  # what it said counts, not how it takes leave
            broker.close()


def _redis(address: Address) -> Any:
    return redis_client(address, timeout_seconds=TIMEOUT_SECONDS)


def _rabbit(address: Address) -> Any:
    url, tls = address.kombu()
    timeouts = {"read_timeout": TIMEOUT_SECONDS, "write_timeout": TIMEOUT_SECONDS}
    connection = Connection(url, ssl=tls, connect_timeout=TIMEOUT_SECONDS, transport_options=timeouts)
    return connection.transport.establish_connection()


def _through_redis(redis: Any) -> bool:
    """As kombu does it: a list, whose key begins as those of kombu do."""
    key, text = f"_kombu.trial.{uuid.uuid4().hex}", b"trial"
    redis.lpush(key, text)
    with suppress(RedisError):
        redis.expire(key, _KEPT_SECONDS)
    came_back = redis.rpop(key) == text
    _use_rights(redis)
    return cast(bool, came_back)


def _use_rights(redis: Any) -> None:
    """Do what workers do besides, and change nothing. Raises: NoPermissionError where an ACL forbids it to them."""
    redis.exists(*_KEYS)
    redis.eval("return 1", 0)
    database = redis.connection_pool.connection_kwargs.get("db") or 0
    with redis.pubsub(ignore_subscribe_messages=True) as mailbox:
        mailbox.psubscribe(f"/{database}.celery.pidbox")
        mailbox.get_message(timeout=TIMEOUT_SECONDS)


def _through_rabbit(rabbit: Any) -> bool:
    """A queue of this connection alone; a broker that is short of room takes the message and hands out none."""
    from amqp import Message

    channel = rabbit.channel()
    name = channel.queue_declare(exclusive=True, arguments=QUEUE_ARGUMENTS).queue
    channel.basic_publish(Message("trial"), routing_key=name)
    ends_at = time.monotonic() + TIMEOUT_SECONDS
    with suppress(TimeoutError):  # it stops listening to who has published
        while time.monotonic() < ends_at:
            if channel.basic_get(name, no_ack=True) is not None:
                return True
    return False


def _declared(rabbit: Any, name: str) -> None:
    """As workers do it, where it exists; nothing is made here."""
    with suppress(NotFound), rabbit.channel() as channel:
        channel.queue_declare(name, passive=True)
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=QUEUE_ARGUMENTS)


def _length(rabbit: Any, name: str) -> int:
    try:
        with rabbit.channel() as channel:
            return int(channel.queue_declare(name, passive=True).message_count)
    except NotFound:  # no worker has made it yet
        return 0
