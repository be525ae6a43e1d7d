"""Which runs there are, and how many stand where: for people, from indexes that have them in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, func, literal_column, or_, select, union_all

from crmsync.domain.runs import RunStatus
from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import runs

# Written out, so that the index of these alone serves a query.
IS_ACTIVE: ColumnElement[bool] = runs.c.status == literal_column("'active'")
_IS_NOT_DONE: ColumnElement[bool] = runs.c.status != literal_column("'done'")


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


def is_held(now: Any) -> ColumnElement[bool]:
    """Whether a worker holds the run. It was due when that took it, by a clock that may be ahead."""
    return and_(IS_ACTIVE, runs.c.due_at <= now + CLOCKS, runs.c.lease_until > now)


class RunLists(Rows):
    """What is read of many runs at once; what people are shown in lists lacks what holds persons."""

    def listed(
        self,
        *,
        limit: int,
        status: str = "",
        flow: str = "",
        without: Collection[str] = (),
        after: Place | None = None,
    ) -> list[Row[Any]]:
        """The newest runs that come *after* a place in the list, of *flow* only or of all flows but those *without*."""
        ids = self._newest(limit=limit, status=status, flow=flow, without=without, after=after)
        return list(self._connection.execute(in_list(_SHOWN.where(runs.c.id.in_(ids)))).all()) if ids else []

    def _newest(
        self, *, limit: int, status: str | None, flow: str | None, without: Collection[str], after: Place | None
    ) -> list[str]:
        """Their ids: the newest of those that are of the same flow and the same status, which an index has in order."""
        flows = [flow] if flow else [each for each in self._values(runs.c.flow) if each not in without]
        places = [(each, one) for each in flows for one in ([status] if status else self._statuses(each))]
        newest = [_newest_of(*place, after, limit).subquery() for place in places]
        if not newest:
            return []
        found = union_all(*(select(each.c.id, each.c.created_at) for each in newest)).subquery()
        query = select(found.c.id).order_by(found.c.created_at.desc(), found.c.id.desc()).limit(limit)
        return list(self._connection.execute(query).scalars())

    def _statuses(self, flow: str) -> list[str]:
        return self._values(runs.c.status, runs.c.flow == flow)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many runs stand in each (flow, status)."""
        rows = self._connection.execute(
            select(runs.c.flow, runs.c.status, func.count()).group_by(runs.c.flow, runs.c.status)
        )
        return {(flow, status): count for flow, status, count in rows}

    def tally(self) -> list[Standing]:
        """How many runs stand where."""
        place = (runs.c.flow, runs.c.status, runs.c.step)
        not_done = select(*place, func.count()).where(_IS_NOT_DONE).group_by(*place)
        leased = Counter(tuple(row) for row in self._connection.execute(select(*place).where(is_held(self._now))))
        rows = self._connection.execute(not_done).all()
        found = [Standing(flow, status, step, count, leased[flow, status, step]) for flow, status, step, count in rows]
        done = [each for each in self.counts().items() if each[0][1] == RunStatus.DONE]
        return found + [Standing(flow, status, "", count, 0) for (flow, status), count in done]


_SHOWN = select(*(column for column in runs.c if column.name not in ("results", "answers", "progress")))


def in_list(query: Select[Any]) -> Select[Any]:
    return query.order_by(runs.c.created_at.desc(), runs.c.id.desc())


def _newest_of(flow: str, status: str, after: Place | None, limit: int) -> Select[Any]:
    query = select(runs.c.id, runs.c.created_at).where(runs.c.flow == flow, runs.c.status == status)
    if after is not None:  # said twice: an index knows nothing of what stands beside an "or"
        is_after = or_(runs.c.created_at < after.created_at, runs.c.id < after.run_id)
        query = query.where(runs.c.created_at <= after.created_at, is_after)
    return in_list(query).limit(limit)
