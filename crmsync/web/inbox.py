"""Stores what the doors let in, so that it is durable when it is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from crmsync.domain.webhooks import WebhookEvent
from crmsync.flows import order_to_invoice
from crmsync.services import Services
from crmsync.web.together import Together
from crmsync.worker import waking
from crmsync.worker.waking import Awake

AT_ONCE = (
    3  # transactions of a process, where the database has more than one writer: one wait for its disk overlaps others
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came with one webhook."""

    events: Sequence[WebhookEvent]
    correlation_id: str


class Inbox:
    """Deals that were announced. Those that come while others are being stored share one transaction."""

    def __init__(self, using: Services) -> None:
        self._using = using
        self._together = Together(self.store_all, at_once=1 if using.store.is_sqlite else AT_ONCE)

    def put(self, events: Sequence[WebhookEvent], correlation_id: str) -> list[Awake]:
        """Store the events with their runs: all of them, or none. Returns the runs that have something to do.

        Raises: StoreUnavailableError.
        """
        return self._together.ask(Arrived(events, correlation_id))

    def store_all(self, arrived: Sequence[Arrived]) -> list[list[Awake]]:
        """In one transaction. Returns for each of them the runs that have something to do."""
        behaviour = self._using.settings.behaviour
        items = [(event, place) for place, each in enumerate(arrived) for event in each.events]
        items.sort(key=lambda item: item[0].subject_key)  # all in one order: no two transactions wait for each other
        with self._using.store.begin() as uow:
            new = list(compress(items, uow.deliveries.add_all("salesforce", [event for event, _ in items])))
            subjects = [(event.subject_key, arrived[place].correlation_id) for event, place in new]
            woken = waking.wake_all(
                uow, order_to_invoice.FLOW, subjects, queued_for=behaviour.queued_for, pause=behaviour.look_again
            )
        found: list[list[Awake]] = [[] for _ in arrived]
        for (_, place), awake in zip(new, woken, strict=True):
            found[place].extend([awake] if awake else [])
        return found
