"""The events from which Flower builds its pages: none is lost between two threads."""

from __future__ import annotations

from typing import Any

from celery.events.dispatcher import EventDispatcher

from crmsync.celery import app


class Dispatcher(EventDispatcher):
    """Sends the events of tasks by the batch. Celery's empties the batch when it is sent, together with what another
    thread of the pool has added meanwhile: Flower then shows tasks that run for ever.
    """

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        if errors:
            super().flush(errors=True, groups=False)
        if groups:
            with self.mutex:
                for group, batch in self._group_buffer.items():
                    self._send(group, batch)

    def _send(self, group: str, batch: list[Any]) -> None:
        taken = batch[:]
        del batch[: len(taken)]
        self._publish(taken, self.producer, f"{group}.multi")


def install() -> None:
    app.events.dispatcher_cls = "crmsync.worker.events:Dispatcher"
