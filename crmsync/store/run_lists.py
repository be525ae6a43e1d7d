"""Lists and counts runs for people, from indexes in the right order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, func, literal, literal_column, or_, select, true, union_all

from crmsync.domain.runs import RunStatus
from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import runs
from crmsync.store.tallies import RUNS, Tallies

# Written out, so that the index of these alone serves a query.
IS_ACTIVE: ColumnElement[bool] = runs.c.status == literal_column("'active'")
_IS_NOT_DONE: ColumnElement[bool] = runs.c.status != literal_column("'done'")
_STANDING = (runs.c.flow, runs.c.status, runs.c.step)


class Place(NamedTuple):
    """A place in the list of runs, newest first."""

    created_at: datetime
    run_id: str


class Standing(NamedTuple):
    """How many runs stand at a step, and how many of them a worker holds; *step* is "" for those that are done."""

    flow: str
    status: str
    step: str
    standing: int
    leased: int


def is_of_tenant(tenant: str | None) -> ColumnElement[bool]:
    """None: of any; only who operates the whole installation asks so."""
    return true() if tenant is None else runs.c.tenant == tenant


def is_held(now: Any) -> ColumnElement[bool]:
    """Whether a worker holds the run. It was due when that took it, by a clock that may be ahead."""
    return and_(IS_ACTIVE, runs.c.due_at <= now + CLOCKS, runs.c.leased_until > now)


class RunLists(Rows):
    """What is read of many runs at once; what people are shown in lists lacks what holds persons."""

    def listed(
        self,
        tenant: str | None,
        *,
        limit: int,
        status: str = "",
        flow: str = "",
        source: str = "",
        without: Collection[str] = (),
        after: Place | None = None,
    ) -> list[Row[Any]]:
        """The newest runs that come *after* a place in the list, of *flow* only or of all flows but those *without*."""
        ids = self._newest(tenant, limit=limit, status=status, flow=flow, source=source, without=without, after=after)
        return list(self._connection.execute(in_list(_SHOWN.where(runs.c.id.in_(ids)))).all()) if ids else []

    def learned_by(self, run_ids: Collection[str], step: str) -> dict[str, Any]:
        """What *step* learned in each of these runs; None where it has not been done."""
        query = select(runs.c.id, runs.c.results[step]).where(runs.c.id.in_(run_ids))
        return dict(self._connection.execute(query).all())

    def _newest(
        self,
        tenant: str | None,
        *,
        limit: int,
        status: str | None,
        flow: str | None,
        source: str = "",
        without: Collection[str],
        after: Place | None,
    ) -> list[str]:
        """Their ids: the newest of those that are of the same flow and the same status, which an index has in order."""
        places = [
            place
            for place in self._places(runs.c.tenant, runs.c.flow, runs.c.status)
            if place == (place[0] if tenant is None else tenant, flow or place[1], status or place[2])
            and place[1] not in without
        ]
        newest = [newest_of(*place, after, limit, source=source).subquery() for place in places]
        if not newest:
            return []
        found = union_all(*(select(each.c.id, each.c.created_at) for each in newest)).subquery()
        query = select(found.c.id).order_by(found.c.created_at.desc(), found.c.id.desc()).limit(limit)
        return list(self._connection.execute(query).scalars())

    def counts(self, tenant: str | None) -> dict[tuple[str, str], int]:
        """How many runs stand in each (flow, status)."""
        counts: Counter[tuple[str, str]] = Counter()
        for flow, status, _, count in self._standing(tenant):
            counts[flow, status] += count
        return dict(counts)

    def tally(self, tenant: str | None) -> list[Standing]:
        """How many runs stand where."""
        held = select(*_STANDING).where(is_held(self._now), is_of_tenant(tenant))
        leased = Counter(tuple(row) for row in self._connection.execute(held))
        return [
            Standing(flow, status, step, count, leased[flow, status, step])
            for flow, status, step, count in self._standing(tenant)
        ]

    def _standing(self, tenant: str | None) -> list[tuple[str, str, str, int]]:
        """Those that are not done, by flow, status and step; and how many of each flow are done: all the others."""
        tallies = Tallies(self._connection, self._now)
        kept = tallies.kept(RUNS)
        newer = tallies.newer(kept).subquery()
        of_flow = (_IS_NOT_DONE, is_of_tenant(tenant))
        not_done = select(*_STANDING, func.count()).where(*of_flow).group_by(*_STANDING)
        is_asked = true() if tenant is None else newer.c[0] == tenant
        # In one question, so that a run which is opened or ends meanwhile is counted once.
        query = union_all(not_done, select(newer.c[1], literal(""), literal(""), newer.c[2]).where(is_asked))
        rows = [tuple(row) for row in self._connection.execute(query)]
        done = Counter[str]()
        for (owner, flow), count in kept.counts.items():
            done[flow] += count if tenant in (None, owner) else 0
        for flow, status, _, count in rows:
            done[flow] += -count if status else count
        ended = [(flow, RunStatus.DONE.value, "", count) for flow, count in done.items() if count > 0]
        return [row for row in rows if row[1]] + ended


_SHOWN = select(*(column for column in runs.c if column.name not in ("results", "answers", "progress")))


def in_list(query: Select[Any]) -> Select[Any]:
    return query.order_by(runs.c.created_at.desc(), runs.c.id.desc())


def newest_of(
    tenant: str, flow: str, status: str, after: Place | None, limit: int, *more: ColumnElement[Any], source: str = ""
) -> Select[Any]:
    """The next runs of the list that are of *tenant*, *flow* and *status*, which an index has in order."""
    is_it = (runs.c.tenant == tenant, runs.c.flow == flow, runs.c.status == status)
    query = select(runs.c.id, runs.c.created_at, *more).where(*is_it)
    if source:
        query = query.where(runs.c.source == source)
    if after is not None:  # said twice: an index knows nothing of what stands beside an "or"
        is_after = or_(runs.c.created_at < after.created_at, runs.c.id < after.run_id)
        query = query.where(runs.c.created_at <= after.created_at, is_after)
    return in_list(query).limit(limit)
