"""Accepts only crmsync's own messages from the broker. Anything else is logged and dropped.

Anybody who reaches the broker can write into a queue. Such a message costs nothing but a line in the log: runs are in
the store, and the sweeper sends a message again for every one that needs it. Nor does a command that came with the
broker change what a worker does: see refuse_commands().
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from celery.worker import consumer as celery_consumer
from celery.worker.control import Panel
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as redis_transport
from redis import ResponseError

from crmsync.celery import app
from crmsync.domain.messages import chained, envelope_fault, fault

logger = logging.getLogger(__name__)

HARMLESS = frozenset({"enable_events", "disable_events", "heartbeat"})


class Channel(redis_transport.Channel):
    """Outlives what is no JSON, which kombu would let end the worker; and asks the broker through one client."""

    _shared: Any = None

    def conn_or_acquire(self, client: Any = None) -> Any:
        """Kombu makes three clients for each task, and making them costs more than what is asked of them."""
        return super().conn_or_acquire(client or self._client_of_pool())

    def _client_of_pool(self) -> Any:
        """Its commands take a connection each, so threads may share it. A new pool (after a fork) has a new one."""
        shared = self._shared
        if shared is None or shared.connection_pool is not self.pool:
            shared = self._shared = self._create_client()
        return shared

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError):
            return _dropped("it is not JSON")


class Transport(redis_transport.Transport):
    """Hands on what has the form of kombu's messages."""

    Channel = Channel

    # What Redis refuses (it is read-only, full, or holds something else under a queue's name) does not end the worker:
    # it connects again until Redis does not refuse it any more.
    connection_errors = (*redis_transport.Transport.connection_errors, ResponseError)

    def _deliver(self, message: Any, queue: str) -> None:
        problem = envelope_fault(message)
        if problem:
            _dropped(problem)
        else:
            super()._deliver(message, queue)


class Consumer(celery_consumer.Consumer):
    """Hands on what is a message of crmsync's."""

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*args, **options)

        def on_message(message: Any) -> Any:
            try:
                problem = _fault(message) or _unknown(message)
                if not problem:
                    return handle(message)
            except self.connection_errors:
                raise
            except Exception as error:
                problem = f"it can't be handled ({type(error).__name__})"
            message.ack_log_error(logger, self.connection_errors)
            return _dropped(problem)

        return on_message

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Log it in our words: Celery's quote the message."""
        message.ack_log_error(logger, self.connection_errors)
        _dropped(f"its body can't be read ({type(exc).__name__})")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Of another release, or of nobody; the sweeper knows what became of its run."""
        message.ack_log_error(logger, self.connection_errors)
        _dropped("this release has no such task")


def _fault(message: Any) -> str:
    try:
        payload = message.payload
    except Exception as error:
        return f"its body can't be read ({type(error).__name__})"
    return fault(message.headers, payload)


def _unknown(message: Any) -> str:
    """A chain that this release can't send on is sent by the sweeper, with the steps that it has."""
    names = (message.headers["task"], *chained(message.payload))
    is_ours = all(name in app.tasks and not name.startswith("celery.") for name in names)
    return "" if is_ours else "this release has no such task"


def _dropped(problem: str) -> None:
    logger.error("a message was dropped: %s", problem, extra={"action": "message_dropped"})


def refuse_commands() -> None:
    """Refuse what Celery's remote control can change: no message stops a worker or makes it consume dead letters."""
    for name, meta in Panel.meta.items():
        if meta.type == "control" and name not in HARMLESS:
            for known in filter(None, (name, meta.alias)):
                Panel.data[known] = _refuse


def _refuse(state: Any, **_: Any) -> Mapping[str, str]:
    logger.warning("a remote command was refused", extra={"action": "command_refused"})
    return {"error": "crmsync's workers take no orders from the broker: start, stop and configure the process itself"}


def install(conf: Any) -> None:
    """Make the worker that is about to start careful."""
    conf.worker_consumer = "crmsync.worker.intake:Consumer"
    for alias in ("redis", "rediss"):
        TRANSPORT_ALIASES[alias] = "crmsync.worker.intake:Transport"
    refuse_commands()
