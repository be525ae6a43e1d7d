"""The bulkhead between housekeeping and work: if one of them hangs, the other continues.

A worker takes messages of `housekeeping` over a channel of its own, with a prefetch count of its own, and executes
them in threads of their own. Calls that hang hold all threads of the pool, and neither these threads nor the messages
for them. To Celery they are tasks like all others: events, `inspect` and Flower show them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ClassVar

from celery import Task, bootsteps
from celery.concurrency.thread import TaskPool
from celery.exceptions import TaskRevokedError
from celery.signals import celeryd_after_setup
from celery.worker.consumer import Tasks
from celery.worker.control import active_queues as consumed_queues
from celery.worker.control import inspect_command
from celery.worker.strategy import default
from kombu.common import ignore_errors

from crmsync import services
from crmsync.celery import DEAD_LETTER, HOUSEKEEPING, app
from crmsync.worker import housekeeping, queues
from crmsync.worker.lookout import Lookout

THREADS = 2  # one may deliver alerts to a Slack that hangs, while the other sweeps
FORK_PATIENCE_SECONDS = 10.0


def strategy(task: Task, celery: Any, consumer: Any, **options: Any) -> Any:
    """How a worker executes a message of *task*: as always, but in the threads of their own."""
    return default(task, celery, _OwnPool(consumer), **options)


class _OwnPool:
    """A consumer as Celery's strategies use it, with another pool."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.pool = consumer.controller.housekeeping_pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def on_task_request(self, request: Any) -> None:
        with suppress(TaskRevokedError):
            request.execute_using_pool(self.pool)


@celeryd_after_setup.connect
def _reserve_queue(instance: Any, **_: Any) -> None:
    """Leave `housekeeping` to Consumer, below; a worker of nothing else needs no bulkhead."""
    consumed = instance.app.amqp.queues.consume_from
    queues.consumed = frozenset(consumed)
    queues.is_replayer = DEAD_LETTER in consumed
    instance.has_bulkhead = HOUSEKEEPING in consumed and len(consumed) > 1
    if instance.has_bulkhead:
        instance.app.amqp.queues.deselect([HOUSEKEEPING])


class Threads(bootsteps.StartStopStep):
    """Of a worker process: the threads for housekeeping, and the lookout."""

    requires: ClassVar = {"celery.worker.components:Pool"}

    def create(self, worker: Any) -> None:
        worker.housekeeping_pool = GuardedPool(THREADS, app=worker.app)
        self._lookout = Lookout(housekeeping.keep_watch, guard=no_fork)

    def start(self, worker: Any) -> None:
        worker.housekeeping_pool.start()
        self._lookout.start()

    def stop(self, worker: Any) -> None:
        self._lookout.stop()
        worker.housekeeping_pool.stop()

    terminate = stop


class Consumer(bootsteps.StartStopStep):
    """Of a connection to the broker: what takes the messages of `housekeeping`, beside the work's consumer."""

    requires: ClassVar = {Tasks}

    def __init__(self, consumer: Any, **options: Any) -> None:
        consumer.housekeeping = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        if not consumer.controller.has_bulkhead:
            return
        queue = consumer.app.amqp.queues[HOUSEKEEPING]
        channel = consumer.connection.channel()
        mine = consumer.app.amqp.TaskConsumer(channel, queues=[queue], on_decode_error=consumer.on_decode_error)
        mine.qos(prefetch_count=THREADS)
        mine.on_message = consumer.create_task_handler()
        mine.consume()
        consumer.housekeeping = mine

    def stop(self, consumer: Any) -> None:
        """Take no more; what was taken may still be acknowledged."""
        if consumer.housekeeping is not None:
            ignore_errors(consumer, consumer.housekeeping.cancel)

    def shutdown(self, consumer: Any) -> None:
        self.stop(consumer)
        mine, consumer.housekeeping = consumer.housekeeping, None
        if mine is not None:
            ignore_errors(consumer, mine.channel.close)


@inspect_command()
def active_queues(state: Any) -> list[dict[str, Any]]:
    """List the queues that a worker consumes: those of its work, and `housekeeping` beside them."""
    mine = getattr(state.consumer, "housekeeping", None)
    return [*consumed_queues(state), *(dict(queue.as_dict(recurse=True)) for queue in (mine.queues if mine else ()))]


class GuardedPool(TaskPool):
    """Threads beside which a process may fork."""

    def on_apply(self, target: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return super().on_apply(partial(_at_work, target), *args, **options)


def _at_work(target: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with no_fork():
        return target(*args, **options)


# A prefork worker replaces children while these threads live. A child must inherit neither a transaction that is
# under way nor a connection: SQLite's locks belong to a process, but its memory of them would be copied.
_busy = threading.Condition()
_working = 0


@contextmanager
def no_fork() -> Iterator[None]:
    """Let this process fork only before or after."""
    global _working
    with _busy:
        _working += 1
    try:
        yield
    finally:
        with _busy:
            _working -= 1
            _busy.notify_all()


def _before_fork() -> None:
    _busy.acquire()
    _busy.wait_for(lambda: _working == 0, timeout=FORK_PATIENCE_SECONDS)
    services.disconnect()


def _in_child() -> None:
    global _busy, _working
    _busy, _working = threading.Condition(), 0


def install() -> None:
    """Make the workers of this process's app have a bulkhead."""
    app.steps["worker"].add(Threads)
    app.steps["consumer"].add(Consumer)
    os.register_at_fork(before=_before_fork, after_in_parent=lambda: _busy.release(), after_in_child=_in_child)
