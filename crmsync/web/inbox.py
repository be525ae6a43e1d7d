"""Stores accepted webhooks, so that they are durable before they are acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import compress, groupby

from crmsync.company import Company
from crmsync.domain.webhooks import WebhookEvent
from crmsync.flows import order_to_invoice, payment_to_invoices
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.web.together import Together
from crmsync.worker import shares, starting
from crmsync.worker.flow import Flow
from crmsync.worker.starting import ToEnqueue

AT_ONCE = (
    3  # transactions of a process, where the database has more than one writer: one wait for its disk overlaps others
)
FLOWS = {"deals": order_to_invoice.FLOW, "payments": payment_to_invoices.FLOW}
"""Which flow an announcement starts, by the role whose record it is about."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came with one webhook of a connection; *role* is the one whose records it announces.

    *hints* are the records that each subject touches, as far as the webhook names them; *payload* is its masked body.
    """

    role: str
    connection: str
    events: Sequence[WebhookEvent]
    correlation_id: str
    hints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    payload: str | None = None


_Item = tuple[str, str, WebhookEvent, int]  # role, connection, event, and by which webhook it came


class Inbox:
    """What was announced. What comes while other webhooks are being stored shares one transaction."""

    def __init__(self, using: Services) -> None:
        self._using = using
        self._together = Together(self.store_all, at_once=1 if using.store.is_sqlite else AT_ONCE)

    def put(self, arrived: Arrived) -> list[ToEnqueue]:
        """Store the events with their runs: all of them, or none. Returns the runs that have something to do.

        Raises: StoreUnavailableError.
        """
        return self._together.ask(arrived)

    def store_all(self, arrived: Sequence[Arrived]) -> list[list[ToEnqueue]]:
        """Store them in one transaction. Returns for each of them the runs that have something to do."""
        items = [
            (each.role, each.connection, event, place) for place, each in enumerate(arrived) for event in each.events
        ]
        # All in one order: no two transactions wait for each other.
        items.sort(key=lambda item: (item[0], item[1], item[2].subject_key))
        found: list[list[ToEnqueue]] = [[] for _ in arrived]
        places = {(each.role, each.connection) for each in arrived}
        companies = {place: self._company(FLOWS[place[0]], place[1]) for place in places}
        counts = Counter((role, connection) for role, connection, *_ in items)
        at_once = {place: shares.take(self._using, place[1], count) for place, count in counts.items()}
        with self._using.store.begin() as uow:
            for place_of, some in groupby(items, key=lambda item: (item[0], item[1])):
                stored = self._stored(uow, *place_of, companies[place_of], list(some), arrived, at_once[place_of])
                for place, to_enqueue in stored:
                    found[place].extend([to_enqueue] if to_enqueue else [])
        return found

    def _stored(
        self,
        uow: UnitOfWork,
        role: str,
        connection: str,
        company: Company | None,
        items: Sequence[_Item],
        arrived: Sequence[Arrived],
        at_once: int,
    ) -> list[tuple[int, ToEnqueue | None]]:
        """One connection's, with the webhook that each came by. What is bound for no *company* only is kept."""
        payloads = [arrived[place].payload for *_, place in items]
        new = list(compress(items, uow.deliveries.add_all(connection, [event for _, _, event, _ in items], payloads)))
        for _, _, event, place in new:
            if hinted := arrived[place].hints.get(event.subject_key):
                uow.applications.hint(connection, event.subject_key, hinted)
        if company is None:
            return []
        behaviour = self._using.settings.behaviour
        subjects = [(event.subject_key, arrived[place].correlation_id) for _, _, event, place in new]
        pause = behaviour.look_again
        started_runs = starting.start_all(
            uow, FLOWS[role], company, subjects[:at_once], queued_for=behaviour.queued_for, pause=pause
        )
        # Beyond the share of its source a run is due, and gets its message when others of it end.
        starting.start_all(uow, FLOWS[role], company, subjects[at_once:], queued_for=timedelta(0), pause=pause)
        started_runs += [None] * len(subjects[at_once:])
        return [(item[3], to_enqueue) for item, to_enqueue in zip(new, started_runs, strict=True)]

    def _company(self, flow: Flow, connection: str) -> Company | None:
        """Whose run it is; None for a connection that is bound to no such flow, or to one that is paused."""
        companies = self._using.companies

        def find() -> Company | None:
            bound = (each for each in companies.all(flow.bound_as) if not flow.is_paused(each))
            return next((each for each in bound if flow.origin(each).source == connection), None)

        return companies.sought(find)
