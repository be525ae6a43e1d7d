"""The queues: one for each system that a step calls, one for housekeeping, and the dead letters."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from crmsync.celery import DEAD_LETTER, app

# As an object: naming it would add it to the queues that this process consumes when it reconnects.
dead_letter_queue = Queue(DEAD_LETTER, Exchange(DEAD_LETTER), routing_key=DEAD_LETTER)

consumed: frozenset[str] = frozenset()
"""The queues of this process; none where it is no worker."""

is_replayer = True
"""Whether this process may replay dead letters: of workers only one that was started with `-Q dead_letter`."""


def lengths() -> dict[str, int]:
    """How many messages wait in each queue that workers consume."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        return {queue.name: _length(channel, queue) for queue in app.conf.task_queues if queue.name != DEAD_LETTER}


def length(queue: Queue) -> int:
    with app.connection_for_read() as connection, connection.channel() as channel:
        return _length(channel, queue)


def empty(queue: Queue) -> int:
    """Drop all messages of a queue that is only a view. Returns how many there were."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        return int(queue(channel).purge() or 0)


def _length(channel: Any, queue: Queue) -> int:
    bound = queue(channel)
    bound.declare()
    return int(bound.queue_declare().message_count)
