"""The changes that catch-up found at a source: how each is counted, and the start of those that have no run yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from typing import TypeVar

from crmsync.company import Company
from crmsync.domain.catch_up import Verdict
from crmsync.domain.money import Money
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.store.deliveries import seen_by_catch_up
from crmsync.worker import shares, starting
from crmsync.worker.flow import Flow
from crmsync.worker.starting import ToEnqueue

_BY_HAND = ".by_hand"
PAGE = 50  # few enough to be done well within a lease, on a slow database too

Change = TypeVar("Change")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A change at a source, and what *flow* should do about it."""

    flow: Flow
    key: str
    changed_at: datetime
    verdict: Verdict
    title: str = ""
    amount: Money | None = None
    has_webhook: bool = True  # whether the vendor should have announced it
    is_missed: bool = True  # False: it may have been announced or read since, and is checked again to be sure

    def is_certainly_missed(self, now: datetime, grace: timedelta) -> bool:
        """Whether nobody announced it and nobody can be about to: what has just changed may still be on its way."""
        return self.is_missed and self.changed_at <= now - grace

    @property
    def event_key(self) -> str:
        """The name under which this very change is counted: it is started once."""
        return f"{self.key}:{self.changed_at.isoformat()}"


def source_of(flow: Flow, connection: str) -> str:
    """The name under which is kept what catch-up saw for *flow* at a connection."""
    return seen_by_catch_up(flow.name, connection)


def seen_of(flow: Flow, company: Company) -> str:
    return source_of(flow, flow.origin(company).source)


def paged(changes: Iterator[Change]) -> Iterator[list[Change]]:
    while page := list(islice(changes, PAGE)):
        yield page


def scanned_by_hand(uow: UnitOfWork, flow: Flow, company: Company) -> None:
    """A person has had *flow*'s sources scanned; that moves no checkpoint."""
    uow.facts.set(_by_hand(flow, flow.origin(company).source), uow.now.isoformat())


def last_scan_by_hand(uow: UnitOfWork, tenant: str | None, flow: Flow, *, connection: str = "") -> datetime | None:
    """When a person last had *flow* scan: at that *connection*, "" for any, of *tenant*, None: of anybody."""
    prefix = source_of(flow, "")
    sources = [rest.removesuffix(_BY_HAND) for rest in uow.facts.under(prefix) if rest.endswith(_BY_HAND)]
    own = [source for source in sources if uow.owners.is_of(tenant, source) and connection in ("", source)]
    looked_at = [uow.facts.instant(_by_hand(flow, source)) for source in own]
    return max((at for at in looked_at if at is not None), default=None)


def _by_hand(flow: Flow, connection: str) -> str:
    return f"{source_of(flow, connection)}{_BY_HAND}"


@dataclass(frozen=True, slots=True)
class Started:
    """How many runs were started; how many of them for a change that was missed (*healed*) and that a webhook should
    have announced (*unannounced*). The others are checked again to be sure."""

    all: int = 0
    healed: int = 0
    unannounced: int = 0

    def __add__(self, more: Started) -> Started:
        return Started(self.all + more.all, self.healed + more.healed, self.unannounced + more.unannounced)

    def to_json(self) -> dict[str, int]:
        return {"started": self.all, "healed": self.healed}


def start(using: Services, company: Company, sightings: Iterable[Sighting], *, correlation_id: str) -> Started:
    """Start what has no run yet, and count every change once. Returns how many were started."""
    # In the order of the receiver, and a few at a time: two that start the same runs must not wait for each other.
    waiting = iter(sorted(sightings, key=attrgetter("flow.name", "key")))
    return sum((_start_some(using, company, some, correlation_id) for some in paged(waiting)), Started())


def _start_some(using: Services, company: Company, sightings: Sequence[Sighting], correlation_id: str) -> Started:
    grace = timedelta(seconds=using.settings.behaviour.catch_up_grace_seconds)
    sources = Counter(each.flow.origin(company).source for each in sightings if each.verdict.starts)
    left = {source: shares.take(using, source, count) for source, count in sources.items()}
    with using.store.begin() as uow:
        _count(uow, company, [each for each in sightings if each.verdict is Verdict.HAS_RUN])
        wanted = [each for each in sightings if each.verdict.starts]
        opened = [(each, run) for each in wanted if (run := _start(using, uow, company, each, grace, correlation_id))]
        missed = [each for each, _ in opened if each.is_certainly_missed(uow.now, grace)]
    for each, run in opened:
        source = each.flow.origin(company).source
        left[source] -= 1
        if left[source] >= 0:
            starting.enqueue(each.flow, run)
        else:  # beyond the share of its source: it gets its message when others of it end
            _unqueue(using, run)
    return Started(len(opened), len(missed), sum(each.has_webhook for each in missed))


def _unqueue(using: Services, run: ToEnqueue) -> None:
    with using.store.begin(durable=False) as uow:
        uow.runs.queued(run[0], None)


def _count(uow: UnitOfWork, company: Company, sightings: Sequence[Sighting]) -> None:
    """What had its webhook is counted once, however often it changes afterwards."""
    for flow in dict.fromkeys(each.flow for each in sightings):
        keys = [each.key for each in sightings if each.flow is flow]
        source = seen_of(flow, company)
        known = uow.deliveries.known(source, keys)
        for key in keys:
            if key not in known:
                uow.deliveries.add(source, key, event_key=key)


def _start(
    using: Services,
    uow: UnitOfWork,
    company: Company,
    sighting: Sighting,
    grace: timedelta,
    correlation_id: str,
) -> ToEnqueue | None:
    """The run to enqueue, if nobody has started it for this change. What may have been announced counts as received."""
    source = seen_of(sighting.flow, company)
    is_healed, event_key = sighting.is_certainly_missed(uow.now, grace), sighting.event_key
    if not uow.deliveries.add(source, sighting.key, event_key=event_key, is_healed=is_healed):
        return None
    queued_for = using.settings.behaviour.queued_for
    return starting.start(
        uow, sighting.flow, company, sighting.key, correlation_id=correlation_id, queued_for=queued_for
    )
