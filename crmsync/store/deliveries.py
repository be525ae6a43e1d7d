"""The inbox: webhooks as they arrived, and the runs that they opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import Row, and_, func, select

from crmsync.domain.webhooks import WebhookEvent
from crmsync.store.owners import Owners
from crmsync.store.rows import Rows
from crmsync.store.tables import deliveries, runs
from crmsync.store.tallies import DELIVERIES, Tallies

CATCH_UP = "catch_up."  # in front of a source: what catch-up saw there
# In front of a source, as names of facts: how many of its rows were deleted; how many of those catch-up had started.
GONE, GONE_HEALED = "gone.", "gone_healed."


def seen_by_catch_up(flow: str, connection: str) -> str:
    """The source of what catch-up saw for *flow* at a connection."""
    return f"{CATCH_UP}{flow}.{connection}"


def is_of_catch_up(source: str) -> bool:
    return source.startswith(CATCH_UP)


def connection_of(source: str) -> str:
    """
    >>> connection_of("crm"), connection_of("catch_up.order_to_invoice.crm")
    ('crm', 'crm')
    """
    return source.rpartition(".")[2] if is_of_catch_up(source) else source


def _flow_and_connection(source: str) -> tuple[str, str]:
    """
    >>> _flow_and_connection("catch_up.order_to_invoice.crm")
    ('order_to_invoice', 'crm')
    """
    return source.split(".")[1], connection_of(source)


class Deliveries(Rows):
    def add(self, source: str, subject_key: str, *, event_key: str = "", is_healed: bool = False) -> bool:
        """Record one event, of a webhook or seen by catch-up. False if the same was recorded before.

        *is_healed*: no webhook came, and catch-up starts what it would have started.
        """
        return self._insert_once(
            deliveries, self._row(source, WebhookEvent(subject_key, event_key), is_healed=is_healed)
        )

    def add_all(self, source: str, events: Sequence[WebhookEvent], payloads: Sequence[str | None] = ()) -> list[bool]:
        """Record events of webhooks, each with its masked payload. For each whether it was not recorded before."""
        kept = payloads or [None] * len(events)
        rows = [self._row(source, each) | {"payload": payload} for each, payload in zip(events, kept, strict=True)]
        new = self._insert_new(rows, deliveries.c.event_key)
        found = []
        for each in events:
            found.append(not each.event_key or each.event_key in new)
            new.discard(each.event_key)
        return found

    def _row(self, source: str, event: WebhookEvent, *, is_healed: bool = False) -> dict[str, Any]:
        return {
            "source": source,
            "event_key": event.event_key or None,
            "subject_key": event.subject_key,
            "is_healed": is_healed,
            "received_at": self._now,
        }

    def sources(self, tenant: str | None) -> list[str]:
        """The connections of a tenant that announced anything, and what catch-up saw there; None: of all tenants."""
        return [source for source in self._values(deliveries.c.source) if self._is_of(tenant, source)]

    def _is_of(self, tenant: str | None, source: str) -> bool:
        return self._owners.is_of(tenant, connection_of(source))

    @cached_property
    def _owners(self) -> Owners:
        return Owners(self._connection, self._now)

    def has(self, source: str, event_key: str) -> bool:
        query = select(deliveries.c.id).where(deliveries.c.source == source, deliveries.c.event_key == event_key)
        return self._connection.execute(query).first() is not None

    def last_received_at(self, source: str, subject_key: str | None = None) -> datetime | None:
        """When *source* sent its last webhook (of *subject_key*)."""
        is_of_source = deliveries.c.source == source
        if subject_key is None:
            return self._connection.execute(select(func.max(deliveries.c.received_at)).where(is_of_source)).scalar()
        # The few of one subject: asked for the last of them, SQLite looks through all of the source instead.
        query = select(deliveries.c.received_at).where(is_of_source, deliveries.c.subject_key == subject_key)
        return max(self._connection.execute(query).scalars(), default=None)

    def first_received_at(self, source: str, since: datetime) -> datetime | None:
        """When *source* sent its first webhook since then."""
        is_it = (deliveries.c.source == source, deliveries.c.received_at >= since)
        return self._connection.execute(select(func.min(deliveries.c.received_at)).where(*is_it)).scalar()

    def new_subjects(self, source: str, flow: str, since: datetime, until: datetime) -> int:
        """How many subjects *source* announced in [since, until] whose run of *flow* was opened in that time."""
        of_subject = and_(
            runs.c.flow == flow, runs.c.subject_key == deliveries.c.subject_key, runs.c.source == deliveries.c.source
        )
        query = (
            select(func.count(deliveries.c.subject_key.distinct()))
            .join(runs, of_subject)
            .where(deliveries.c.source == source, deliveries.c.received_at.between(since, until))
            .where(runs.c.created_at.between(since, until))
        )
        return self._connection.execute(query).scalar_one()

    def known(self, source: str, subject_keys: Collection[str]) -> set[str]:
        """Of which of these subjects an event of *source* was ever recorded."""
        is_of = (deliveries.c.source == source, deliveries.c.subject_key.in_(subject_keys))
        return set(self._connection.execute(select(deliveries.c.subject_key).where(*is_of)).scalars())

    def of_subject(self, connection: str, subject_key: str, *, last: int) -> list[Row[Any]]:
        """The *last* events of a subject of a connection, of webhooks or seen by catch-up; oldest first."""
        sources = [source for source in self._values(deliveries.c.source) if connection_of(source) == connection]
        is_of = (deliveries.c.source.in_(sources), deliveries.c.subject_key == subject_key)
        query = select(deliveries).where(*is_of).order_by(deliveries.c.id.desc()).limit(last)
        return list(self._connection.execute(query).all())[::-1]

    def count_since(self, tenant: str | None, seconds: float) -> int:
        """How many webhooks came in the last *seconds*."""
        since = self._now - timedelta(seconds=seconds)
        sources = [source for source in self.sources(tenant) if not is_of_catch_up(source)]
        is_recent = (deliveries.c.source.in_(sources), deliveries.c.received_at >= since)
        return self._connection.execute(select(func.count()).select_from(deliveries).where(*is_recent)).scalar_one()

    def healed_counts(self, tenant: str | None) -> dict[str, tuple[int, int]]:
        """For each flow that catch-up starts: how many changes it saw, and how many of them it had to start."""
        found: dict[str, tuple[int, int]] = {}
        for (flow, _), (seen, started) in self.healed_by_source(tenant).items():
            before = found.get(flow, (0, 0))
            found[flow] = (before[0] + seen, before[1] + started)
        return found

    def healed_by_source(self, tenant: str | None) -> dict[tuple[str, str], tuple[int, int]]:
        """As healed_counts(), by flow and connection."""
        seen, started = self._ever()
        own = [source for source in seen if is_of_catch_up(source) and self._is_of(tenant, source)]
        return {_flow_and_connection(source): (seen[source], started[source]) for source in own}

    def counts(self, tenant: str | None) -> dict[str, int]:
        """How many deliveries were ever received from each source."""
        seen, _ = self._ever()
        of_webhooks = {source: count for source, count in seen.items() if not is_of_catch_up(source)}
        return {source: count for source, count in of_webhooks.items() if self._is_of(tenant, source)}

    def _ever(self) -> tuple[Counter[str], Counter[str]]:
        """All that ever came, by source, and those of them that were healed: what is there, and what was deleted."""
        tallies = Tallies(self._connection, self._now)
        # Read at once: whoever deletes some moves them from one to the other.
        known = tallies.all_under(DELIVERIES.fact, GONE, GONE_HEALED)
        kept = tallies.read(DELIVERIES, known.get(DELIVERIES.fact))
        newer = {
            (source, is_healed): count for source, is_healed, count in self._connection.execute(tallies.newer(kept))
        }
        seen, started = _gone(known, GONE), _gone(known, GONE_HEALED)
        for (source, is_healed), count in (kept.counts + Counter(newer)).items():
            seen[source] += count
            started[source] += count if is_healed else 0
        return seen, started


def _gone(known: Mapping[str, str], beginning: str) -> Counter[str]:
    counts = {name.removeprefix(beginning): int(count) for name, count in known.items() if name.startswith(beginning)}
    return Counter(counts)
