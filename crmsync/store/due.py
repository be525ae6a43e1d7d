"""The runs that are due: which are to be enqueued again, since when they wait, and whether any worker takes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_, update

from crmsync.domain.runs import LONG_WAIT_SECONDS, Run, RunStatus
from crmsync.store.owners import Owners
from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.run_lists import IS_ACTIVE, is_held, is_of_tenant
from crmsync.store.runs import Runs, is_free
from crmsync.store.tables import history, runs

Place = tuple[str, str]  # a flow, and a step of it
Lost = tuple[Collection[Place], int | None]  # how many messages for runs at these places are missing; none: anywhere
ANY: Lost = ((), None)
_PLACE = tuple_(runs.c.flow, runs.c.step)


class Due(Rows):
    def claim(
        self, *, limit: int, queued_until: datetime, beside: Collection[str] = (), lost: Sequence[Lost] = (ANY,)
    ) -> list[Run]:
        """Runs that are due, free, and that no message is on its way for; they count as queued from here on.

        Of each source so many that *limit* of it are on their way then: however many one has, the others have theirs.
        The flows *beside* have one run for each source, which waits for no share. Of runs whose message is late, those
        get another that are *lost*, the oldest first.
        One that can't be read must not keep the others: it comes without a flow.
        """
        found = self._claim(and_(runs.c.flow.in_(beside), ~_was_sent()), limit, queued_until)
        for places, count in lost:
            late = and_(_was_sent(), self._has_no_message(), *([_PLACE.in_(places)] if places else ()))
            found += self._claim(late, limit if count is None else count, queued_until)
        for source in self._sources(None):
            found += self.claim_of(source, limit=limit, queued_until=queued_until)
        return found

    def claim_of(self, source: str, *, limit: int, queued_until: datetime) -> list[Run]:
        """Runs of one source that have had no message since they are due."""
        free = limit - self.on_their_way(source, most=limit)
        return self._claim(and_(runs.c.source == source, ~_was_sent()), free, queued_until)

    def _claim(self, which: ColumnElement[bool], limit: int, queued_until: datetime) -> list[Run]:
        is_it = and_(which, self._is_due())
        batch = select(runs.c.id).where(is_it).order_by(runs.c.due_at).limit(max(0, limit))
        # The condition stands twice: PostgreSQL checks only the outer one again after it has waited for a row.
        statement = update(runs).where(runs.c.id.in_(batch), is_it).values(queued_until=queued_until)
        ids = list(self._connection.execute(statement.returning(runs.c.id)).scalars())
        return [self._readable(run_id) for run_id in ids]

    def on_their_way(self, source: str, *, most: int) -> int:
        """How many runs of *source* have had a message since they are due, or a worker holds; *most* at most.

        A message that is late counts as well: it waits in a queue that is long already.
        """
        is_it = and_(runs.c.source == source, IS_ACTIVE, runs.c.due_at <= self._now)
        some = select(runs.c.id).where(is_it, or_(_was_sent(), ~is_free(self._now))).limit(most)
        return self._connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()

    def sent(self) -> Mapping[Place, int]:
        """How many due runs have had a message since, and are held by no worker, at each step of a flow."""
        query = select(runs.c.flow, runs.c.step, func.count()).where(self._is_due(), _was_sent())
        rows = self._connection.execute(query.group_by(runs.c.flow, runs.c.step))
        return {(flow, step): count for flow, step, count in rows}

    def is_any_waiting(self, source: str) -> bool:
        """Whether a run of *source* could go on, and has had no message."""
        is_it = (runs.c.source == source, self._is_due(), ~_was_sent())
        return self._connection.execute(select(runs.c.id).where(*is_it).limit(1)).first() is not None

    def _has_no_message(self) -> ColumnElement[bool]:
        return or_(runs.c.queued_until.is_(None), runs.c.queued_until <= self._now)

    def set_right(self, *, lease_seconds: float, queued_for: timedelta) -> int:
        """Take back what a clock that was ahead promised: due times, leases and messages of hours to come.

        A run that was written in the future is due now; a lease or a message is worth no more than one of now. Returns
        how many were set right.
        """
        longest = timedelta(seconds=lease_seconds)
        message = timedelta(seconds=LONG_WAIT_SECONDS) + queued_for
        # What was written in the future and is due in the past is taken in its turn.
        is_ahead = and_(runs.c.due_at > self._now + CLOCKS, runs.c.updated_at > self._now + CLOCKS)
        written = update(runs).where(IS_ACTIVE, is_ahead)
        leased = update(runs).where(IS_ACTIVE, self._is_unreal(runs.c.leased_until, lease_seconds))
        queued = update(runs).where(IS_ACTIVE, self._is_unreal(runs.c.queued_until, message.total_seconds()))
        statements = (
            leased.values(leased_until=self._now + longest),
            queued.values(queued_until=None),
            written.values(due_at=self._now, queued_until=None, updated_at=self._now),
        )
        return sum(self._connection.execute(statement).rowcount for statement in statements)

    def postpone(self, run_ids: Collection[str], *, seconds: float) -> None:
        """Let runs that nobody can continue be due again later."""
        later = self._now + timedelta(seconds=seconds)
        self._connection.execute(
            update(runs).where(runs.c.id.in_(run_ids), IS_ACTIVE).values(due_at=later, queued_until=None)
        )

    def count(self, tenant: str | None) -> int:
        """How many runs could go on now, whether a message is on its way for them or not."""
        query = select(func.count()).select_from(runs).where(self._is_due(), is_of_tenant(tenant))
        return self._connection.execute(query).scalar_one()

    def oldest(self, tenant: str | None) -> datetime | None:
        """Since when the longest-waiting run of a tenant could have gone on; None: of all. It costs one probe of an
        index, however many wait."""
        return min(self.oldest_by_source(tenant).values(), default=None)

    def oldest_by_source(self, tenant: str | None) -> dict[str, datetime]:
        """The same for each connection that subjects of a tenant's runs come from, where one waits."""
        found = {source: self._connection.execute(self._oldest(source)).scalar() for source in self._sources(tenant)}
        return {source: since for source, since in found.items() if since is not None}

    def _oldest(self, source: str) -> Select[Any]:
        is_it = (runs.c.source == source, self._is_due())
        return select(runs.c.due_at).where(*is_it).order_by(runs.c.due_at).limit(1)

    def _sources(self, tenant: str | None) -> list[str]:
        """The connections that the subjects of a tenant's active runs come from."""
        owners = Owners(self._connection, self._now)
        return [source for source in self._values(runs.c.source, IS_ACTIVE) if owners.is_of(tenant, source)]

    def taken_at(self) -> datetime | None:
        """When a worker last took a run; now, where one holds a run."""
        if self._connection.execute(select(runs.c.id).where(is_held(self._now)).limit(1)).first():
            return self._now
        ended = select(history.c.at).where(history.c.started_at.is_not(None)).order_by(history.c.id.desc()).limit(1)
        # Who waits for a quota or a lock leaves no line in the history, but a due time after its last change.
        released = select(func.max(runs.c.updated_at)).where(IS_ACTIVE, runs.c.due_at > runs.c.updated_at)
        found = [self._connection.execute(query).scalar() for query in (ended, released)]
        return max((each for each in found if each is not None), default=None)

    def _is_due(self) -> ColumnElement[bool]:
        return and_(IS_ACTIVE, runs.c.due_at <= self._now, is_free(self._now))

    def _readable(self, run_id: str) -> Run:
        try:
            found = Runs(self._connection, self._now).get(run_id)
        except (ValueError, TypeError):
            found = None
        return found or Run(run_id, "", "", RunStatus.ACTIVE, "", "", self._now, self._now, self._now)


def _was_sent() -> ColumnElement[bool]:
    """Whether the run has had a message since it is due, which may be late or lost by now."""
    return and_(runs.c.queued_until.is_not(None), runs.c.queued_until > runs.c.due_at)
