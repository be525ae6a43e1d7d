"""Catching up by hand: what was missed since when, what it would cost, and the start of it page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from crmsync import log
from crmsync.domain.catch_up import Verdict
from crmsync.domain.money import Money
from crmsync.flows import catch_up
from crmsync.flows.catch_up import Seen
from crmsync.flows.sightings import Sighting, Started, looked_by_hand, seen_of
from crmsync.flows.sightings import start as start_page
from crmsync.reading.costs import calls_of, most_calls_of, written_by
from crmsync.services import Services
from crmsync.systems import ROLES
from crmsync.worker.flow import Flow

LOOK_BACK = timedelta(hours=24)
_WHY = {Verdict.LOOK: "another amount than its documents", Verdict.WON_AGAIN: "won again"}
CLOCKS = timedelta(minutes=1)  # a vendor's clock may be ahead of ours by this
PAGE = 50
STARTED_ALREADY = "was started by catch-up already"

_LOOKS: Sequence[tuple[Flow, Seen]] = (
    (catch_up.DEALS, catch_up.deals_seen),
    (catch_up.PAYMENTS, catch_up.payments_seen),
)

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Missed:
    """A change that nobody has started. *systems* are those that its run would write to.

    Not *is_certain*: it may have been announced, or read since, and is looked at again to be sure.
    """

    sighting: Sighting
    systems: Sequence[str]
    is_certain: bool = True

    @property
    def why(self) -> str:
        if self.sighting.verdict.looks:
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
            "systems": list(self.systems),
            "why": self.why,
        }


@dataclass
class Found:
    """What was seen between two instants. *names* are those of the systems, by role.

    *to_start* is what was missed, and what is only looked at again to be sure.
    """

    since: datetime
    until: datetime
    names: Mapping[str, str]
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
        """At least so many calls to each system, by its name."""
        count: Counter[str] = Counter()
        for each in self.to_start:
            for role, calls in _calls(each.sighting).items():
                count[self.names[role]] += calls
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
    return sighting.flow.look_calls if sighting.verdict.looks else calls_of(sighting.flow)


def _most_calls(sighting: Sighting) -> int:
    return sum((_calls(sighting) if sighting.verdict.looks else most_calls_of(sighting.flow)).values())


def window(using: Services, since: datetime | None) -> tuple[datetime, datetime]:
    """From *since*, or a day ago but not before going live, up to now, whatever clock tells that there.

    A webhook that is still on its way does no harm: whatever comes first opens the run, and it is one.
    """
    now = using.store.clock()
    return since or max(using.go_live(), now - LOOK_BACK), now + CLOCKS


def look(using: Services, since: datetime, until: datetime, advance: Advance) -> Found:
    """Read what changed at each configured source. Raises: ConfigurationError if none is; a vendor's errors."""
    company = using.company()
    looks = [(flow, seen) for flow, seen in _LOOKS if company.has(flow.roles)]
    if not looks:
        company.bound(_LOOKS[0][0].roles[0]).api  # noqa: B018 - says what is not configured
    bound = [company.bound(role) for flow, _ in _LOOKS for role in flow.roles]
    left_out = [each.connection for each in bound if not each.is_configured]
    found = Found(since, until, {role: company.bound(role).system for role in ROLES}, left_out)
    for _, seen in looks:
        for page in seen(using, company, since, until) if since < until else ():
            _sort(using, found, page)
            advance(len(page))
    return found


def _sort(using: Services, found: Found, page: Sequence[Sighting]) -> None:
    now, grace = using.store.clock(), timedelta(seconds=using.settings.behaviour.catch_up_grace_seconds)
    for sighting in page:
        if not sighting.verdict.wakes:
            found.left_alone[sighting.verdict.value] += 1
        elif _is_started(using, sighting):
            found.left_alone[STARTED_ALREADY] += 1
        else:
            systems = [found.names[role] for role in _writes_to(sighting)]
            found.to_start.append(Missed(sighting, systems, sighting.is_certainly_missed(now, grace)))


def _writes_to(sighting: Sighting) -> list[str]:
    """A deal that is looked at again writes nothing: a person is asked first."""
    return [] if sighting.verdict.looks else written_by(sighting.flow)


def _is_started(using: Services, sighting: Sighting) -> bool:
    """Whether catch-up has started this very change before; that would not start it again."""
    with using.store.read() as uow:
        source = seen_of(sighting.flow, using.company())
        return uow.deliveries.has(source, sighting.event_key)


def start(using: Services, to_start: Sequence[Missed], advance: Advance) -> Iterator[Started]:
    """Start them, a page in one transaction; yields what was started of each page."""
    correlation_id, waiting = log.new_correlation_id(), iter(to_start)
    while page := list(islice(waiting, PAGE)):
        yield start_page(using, using.company(), [each.sighting for each in page], correlation_id=correlation_id)
        advance(len(page))


def note_look(using: Services) -> None:
    """For people who ask when somebody last looked."""
    with using.store.begin(durable=False) as uow:
        for flow, _ in _LOOKS:
            if using.company().has(flow.roles):
                looked_by_hand(uow, flow, using.company())
