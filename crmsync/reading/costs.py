"""What a run of a flow costs and touches, according to its steps, before anything is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from crmsync.domain.steps import About, Calls
from crmsync.worker.flow import Flow


def calls_of(flow: Flow) -> Counter[str]:
    """At least so many calls to each role, where the customers of a run are linked."""
    return _sum(about.calls for about in _abouts(flow))


def most_calls_of(flow: Flow) -> Counter[str]:
    """About so many at most, where everything is new."""
    return _sum(about.most_calls or about.calls for about in _abouts(flow))


def written_by(flow: Flow) -> list[str]:
    """The roles that a run writes to, in the order in which it does."""
    return list(dict.fromkeys(about.writes for about in _abouts(flow) if about.writes))


def _abouts(flow: Flow) -> Iterator[About]:
    """Of its steps, and of the run that it starts."""
    yield from (flow.about_of(step) for step in flow.steps)
    if flow.leads_to is not None:
        yield from _abouts(flow.leads_to)


def _sum(each: Iterator[Calls]) -> Counter[str]:
    return sum((Counter(calls) for calls in each), Counter[str]())
