"""Catch-up by hand: finds what was missed since an instant, estimates its cost, and starts it page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

from crmsync import log
from crmsync.company import Company
from crmsync.domain.bindings import UnclearCompanyError
from crmsync.domain.catch_up import Verdict
from crmsync.domain.money import Money
from crmsync.flows import catch_up
from crmsync.flows.catch_up import Seen
from crmsync.flows.sightings import Sighting, Started, scanned_by_hand, seen_of
from crmsync.flows.sightings import start as start_page
from crmsync.reading.costs import calls_of, most_calls_of, written_by
from crmsync.services import Services
from crmsync.worker.flow import Flow

LOOK_BACK = timedelta(hours=24)
_WHY = {Verdict.LOOK: "an amount that differs from its documents", Verdict.WON_AGAIN: "won again"}
CLOCKS = timedelta(minutes=1)  # a vendor's clock may be ahead of ours by this
PAGE = 50
STARTED_ALREADY = "was already started by catch-up"

_FLOWS: Sequence[tuple[Flow, Seen]] = (
    (catch_up.DEALS, catch_up.deals_seen),
    (catch_up.PAYMENTS, catch_up.payments_seen),
)

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of catch-up: the changes of a flow at one connection of a company."""

    flow: Flow
    seen: Seen
    company: Company

    @property
    def is_configured(self) -> bool:
        return self.company.has(self.flow.roles)

    @property
    def lacking(self) -> list[str]:
        bound = (self.company.bound(role) for role in self.flow.roles)
        return [each.connection for each in bound if not each.is_configured]

    def since(self, using: Services, asked: datetime | None) -> datetime:
        """The start of the scan: as it is *asked*, or a day ago but not before going live."""
        return asked or max(using.go_live(self.company), using.store.clock() - LOOK_BACK)


@dataclass(frozen=True, slots=True)
class Missed:
    """A change at a connection of *company* that nobody has started.

    Not *is_certain*: it may have been announced, or read since, and is checked again to be sure.
    """

    sighting: Sighting
    company: Company
    is_certain: bool = True

    @property
    def systems(self) -> list[str]:
        """The systems that its run would write to: none if a deal is checked again, for a person is asked first."""
        roles = [] if self.sighting.verdict.rereads else written_by(self.sighting.flow)
        return [self.company.bound(role).system for role in roles]

    @property
    def why(self) -> str:
        if self.sighting.verdict.rereads:
            return _WHY[self.sighting.verdict]
        return "missed" if self.is_certain else "to be sure"

    @property
    def subject(self) -> str:
        return self.sighting.flow.subject

    def to_json(self) -> dict[str, Any]:
        amount = self.sighting.amount
        return {
            "flow": self.sighting.flow.name,
            "subject": self.subject,
            "key": self.sighting.key,
            "company": self.sighting.title,
            "amount": amount.amount if amount else None,
            "currency": amount.currency if amount else "",
            "changed_at": self.sighting.changed_at,
            "systems": self.systems,
            "why": self.why,
        }


@dataclass
class Found:
    """What was seen between two instants.

    *to_start* is what was missed, and what is only checked again to be sure.
    """

    since: datetime
    until: datetime
    not_looked_at: Sequence[str] = ()
    to_start: list[Missed] = field(default_factory=list)
    left_alone: Counter[str] = field(default_factory=Counter)

    @property
    def missed(self) -> list[Missed]:
        return [each for each in self.to_start if each.is_certain]

    @property
    def looked_at_again(self) -> list[Missed]:
        return [each for each in self.to_start if not each.is_certain]

    def totals(self) -> list[Money]:
        """The sum of the deals in each currency."""
        sums: dict[str, Decimal] = {}
        for each in self.to_start:
            money = each.sighting.amount
            if money is not None:
                sums[money.currency] = sums.get(money.currency, Decimal(0)) + money.amount
        return [Money(amount, currency) for currency, amount in sorted(sums.items())]

    def calls(self) -> dict[str, int]:
        """The least number of calls to each system, by its name."""
        count: Counter[str] = Counter()
        for each in self.to_start:
            for role, calls in _calls(each.sighting).items():
                count[each.company.bound(role).system] += calls
        return dict(sorted(count.items()))

    def most_calls(self) -> int:
        """About so many in all, where every customer is new on both sides."""
        return sum(_most_calls(each.sighting) for each in self.to_start)

    def to_json(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "until": self.until,
            "missed": [each.to_json() for each in self.missed],
            "looked_at_again": [each.to_json() for each in self.looked_at_again],
            "totals": {money.currency: money.amount for money in self.totals()},
            "calls": {"at_least": self.calls(), "at_most_about": self.most_calls()},
            "left_alone": dict(self.left_alone),
            "not_looked_at": list(self.not_looked_at),
        }


def _calls(sighting: Sighting) -> Mapping[str, int]:
    return sighting.flow.look_calls if sighting.verdict.rereads else calls_of(sighting.flow)


def _most_calls(sighting: Sighting) -> int:
    return sum((_calls(sighting) if sighting.verdict.rereads else most_calls_of(sighting.flow)).values())


def scans_of(using: Services, *, tenant: str | None, connection: str) -> list[Scan]:
    """The scans for the one company that is meant, at all its connections or at one.

    Raises: UnclearCompanyError where several companies are meant, or none.
    """
    every = [Scan(*each, company) for each in _FLOWS for company in _companies(using, each[0], tenant, connection)]
    scans = [each for each in every if each.is_configured] or every
    tenants = sorted({each.company.tenant for each in scans})
    if len(tenants) == 1:
        return [each for each in every if each.company.tenant == tenants[0]]
    what = f"Several companies are meant: {', '.join(tenants)}." if tenants else "No flow is bound for such a company."
    raise UnclearCompanyError(what)


def _companies(using: Services, flow: Flow, tenant: str | None, connection: str) -> list[Company]:
    found = (each for each in using.companies.all(flow.bound_as) if tenant in (None, each.tenant))
    return [each for each in found if connection in ("", flow.origin(each).source)]


def window(using: Services, scans: Sequence[Scan], since: datetime | None) -> tuple[datetime, datetime]:
    """From the earliest instant at which one of *scans* begins, up to now, with a margin for clocks that are ahead.

    A webhook that is still on its way does no harm: whatever comes first opens the run, and it is one.
    """
    return min(each.since(using, since) for each in scans), using.store.clock() + CLOCKS


def scan(using: Services, scans: Sequence[Scan], since: datetime | None, advance: Advance) -> Found:
    """Read what changed at each configured source, from *since* or from where each scan begins.

    Raises: ConfigurationError if none is configured; a vendor's errors.
    """
    start, until = window(using, scans, since)
    wanted = [each for each in scans if each.is_configured]
    if not wanted:
        scans[0].company.bound(scans[0].flow.roles[0]).api  # noqa: B018 - says what is not configured
    missing = [flow.bound_as for flow, _ in _FLOWS if flow not in {each.flow for each in scans}]
    found = Found(start, until, [*(name for each in scans for name in each.lacking), *missing])
    for each in wanted:
        begin = each.since(using, since)
        for page in each.seen(using, each.company, begin, until) if begin < until else ():
            _sort(using, found, each.company, page)
            advance(len(page))
    return found


def _sort(using: Services, found: Found, company: Company, page: Sequence[Sighting]) -> None:
    now, grace = using.store.clock(), timedelta(seconds=using.settings.behaviour.catch_up_grace_seconds)
    for sighting in page:
        if not sighting.verdict.starts:
            found.left_alone[sighting.verdict.value] += 1
        elif _is_started(using, company, sighting):
            found.left_alone[STARTED_ALREADY] += 1
        else:
            found.to_start.append(Missed(sighting, company, sighting.is_certainly_missed(now, grace)))


def _is_started(using: Services, company: Company, sighting: Sighting) -> bool:
    """Whether catch-up has started this very change before; that would not start it again."""
    with using.store.read() as uow:
        return uow.deliveries.has(seen_of(sighting.flow, company), sighting.event_key)


def start(using: Services, to_start: Sequence[Missed], advance: Advance) -> Iterator[Started]:
    """Start them, a page of a company's in one transaction; yields what was started of each page."""
    correlation_id = log.new_correlation_id()
    for company, missed in groupby(to_start, key=attrgetter("company")):
        while page := list(islice(missed, PAGE)):
            yield start_page(using, company, [each.sighting for each in page], correlation_id=correlation_id)
            advance(len(page))


def note_scan(using: Services, scans: Sequence[Scan]) -> None:
    """Record when a person last scanned, for those who ask."""
    with using.store.begin(durable=False) as uow:
        for each in scans:
            if each.is_configured:
                scanned_by_hand(uow, each.flow, each.company)
