"""What stuck deals say in the CRM, and which deals must be updated there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select, update

from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.runs import Origin, RunStatus
from crmsync.domain.seller import RETRYING_AFTER, Status, Telling, passing, untold
from crmsync.store.prepared import Prepared
from crmsync.store.rows import Rows
from crmsync.store.run_lists import IS_ACTIVE
from crmsync.store.tables import dead_letters, history, runs, tellings

UNCERTAIN = "?"  # an answer was lost: nobody knows what the deal says
REFUSED_AGAIN = timedelta(hours=1)  # what the CRM did not take is tried again so late, where it took another
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_HELD = ("waiting", "retry")  # the lines of a run that was held back
_IN_WORK = (Status.WAITING.value, Status.RETRYING.value)


@dataclass(frozen=True, slots=True)
class Told:
    """A row of `tellings`."""

    connection: str
    deal: str
    status: str
    reason: str
    told_at: datetime | None
    changed_at: datetime | None
    looked_at: datetime
    is_refused: bool

    @property
    def telling(self) -> Telling:
        return Telling(self.status, self.reason)


_IS_EARLIER = or_(tellings.c.told_at.is_(None), tellings.c.told_at <= bindparam("since"))
_SETTLED = Prepared(
    update(tellings)
    .where(tellings.c.connection == bindparam("in_crm"), tellings.c.deal == bindparam("of_deal"), _IS_EARLIER)
    .values(status=bindparam("new_status"), reason="", looked_at=bindparam("now"), is_refused=False)
)


class Tellings(Rows):
    def of(self, connection: str, deal: str) -> Told | None:
        row = self._connection.execute(select(tellings).where(*_is(connection, deal))).first()
        return Told(**row._mapping) if row is not None else None

    def is_own_change(self, connection: str, deal: str, changed_at: datetime) -> bool:
        """Whether the deal's last change is the one by which crmsync wrote how it stands."""
        told = self.of(connection, deal)
        return told is not None and told.changed_at == changed_at

    def told(
        self, connection: str, deal: str, telling: Telling, *, changed_at: datetime | None, looked_at: datetime
    ) -> None:
        """The CRM has taken it; it was decided at *looked_at*, and what happened since counts as a change."""
        says = {"status": telling.status, "reason": telling.reason}
        self._set(connection, deal, looked_at, is_refused=False, told_at=self._now, changed_at=changed_at, **says)

    def settled(self, connection: str, deal: str, status: str, *, since: datetime) -> None:
        """The deal's own run began *since* to write that it is done; what may have been written later may stand."""
        values = {"in_crm": connection, "of_deal": deal, "since": since, "new_status": status, "now": self._now}
        _SETTLED.run(self._connection, values)

    def looked(self, connection: str, deal: str, telling: Telling | None = None, *, looked_at: datetime) -> None:
        """Nothing was to be written, because the deal says *telling* already; None: what it says is as it was."""
        says = {} if telling is None else {"status": telling.status, "reason": telling.reason}
        self._set(connection, deal, looked_at, is_refused=False, **says)

    def refused(self, connection: str, deal: str, *, looked_at: datetime) -> None:
        """The CRM has not taken it, and would not the next time."""
        self._set(connection, deal, looked_at, is_refused=True)

    def uncertain(self, connection: str, deal: str, *, until: datetime, looked_at: datetime) -> None:
        """Whether the CRM has taken it is not known, and may come late, up to *until*."""
        self._set(connection, deal, looked_at, status=UNCERTAIN, reason="", told_at=until, changed_at=None)

    def is_any_refused(self, connection: str) -> bool:
        is_it = (tellings.c.connection == connection, tellings.c.is_refused)
        return self._connection.execute(select(tellings.c.deal).where(*is_it).limit(1)).first() is not None

    def try_refused_again(self, connection: str) -> None:
        """The CRM takes it again, of one deal: those that it refused some time ago are tried once more."""
        long_ago = tellings.c.looked_at < self._now - REFUSED_AGAIN
        statement = update(tellings).where(tellings.c.connection == connection, tellings.c.is_refused, long_ago)
        self._connection.execute(statement.values(looked_at=_NEVER))

    def _set(self, connection: str, deal: str, looked_at: datetime, **values: Any) -> None:
        first = {
            "connection": connection,
            "deal": deal,
            "status": "",
            "reason": "",
            "told_at": None,
            "changed_at": None,
            "is_refused": False,
        }
        values = {**values, "looked_at": looked_at}
        if not self._insert_once(tellings, {**first, **values}):
            self._connection.execute(update(tellings).where(*_is(connection, deal)).values(**values))

    # -- news

    def news(
        self,
        origin: Origin,
        flow: str,
        *,
        telling_flow: str,
        crm_steps: Collection[str],
        held_for: timedelta | None,
        limit: int,
    ) -> Sequence[str]:
        """The deals of a tenant's CRM in *flow* that stand otherwise than they say, and that no run of
        *telling_flow* is at work on.

        *held_for*: after how long a run that waits by itself counts as stuck; None: never. What waits for the CRM
        itself (*crm_steps*) can't be told there.
        """
        is_theirs = runs.c.tenant == origin.tenant  # where the index of what stands at a status serves
        conditions = [
            and_(is_theirs, self._stopped()),
            self._replayed(),
            self._over(origin.source),
            self._refused(origin.source),
        ]
        if held_for:
            conditions += [and_(is_theirs, self._going_on(held_for, crm_steps)), self._held(held_for, crm_steps)]
        found: dict[str, None] = {}
        for condition in conditions:
            query = _deals(origin, flow, telling_flow).where(condition).limit(limit)
            found.update(dict.fromkeys(row.subject_key for row in self._connection.execute(query)))
        return list(found)[:limit]

    def _stopped(self) -> ColumnElement[bool]:
        """Those that wait for a person."""
        return and_(
            runs.c.status == RunStatus.STOPPED.value,
            dead_letters.c.status == LetterStatus.WAITING.value,
            _has_letter_news(),
            dead_letters.c.error.not_in([*passing(), *untold()]),
        )

    def _going_on(self, held_for: timedelta, crm_steps: Collection[str]) -> ColumnElement[bool]:
        """Those that died of what passes, and are replayed again and again."""
        return and_(
            runs.c.status.in_((RunStatus.STOPPED.value, RunStatus.ACTIVE.value)),
            dead_letters.c.status.in_((LetterStatus.WAITING.value, LetterStatus.REPLAYING.value)),
            dead_letters.c.created_at < self._now - held_for,
            dead_letters.c.step.not_in(crm_steps),
            _has_letter_news(),
            dead_letters.c.error.in_(passing()),
            dead_letters.c.error.not_in(untold()),
        )

    def _replayed(self) -> ColumnElement[bool]:
        """Those that say that somebody must act, and somebody has."""
        return and_(
            IS_ACTIVE,
            dead_letters.c.status == LetterStatus.REPLAYING.value,
            dead_letters.c.updated_at < self._now - RETRYING_AFTER,
            tellings.c.status.in_((Status.NEEDS_ATTENTION.value, UNCERTAIN)),
            ~tellings.c.is_refused,
        )

    def _refused(self, connection: str) -> ColumnElement[bool]:
        """One of those that the CRM did not take, when none was tried for an hour: somebody may have mended it."""
        long_ago = self._now - REFUSED_AGAIN
        other = tellings.alias("other")
        is_any_recent = exists().where(
            other.c.connection == connection, other.c.is_refused, other.c.looked_at >= long_ago
        )
        is_refused = (tellings.c.connection == connection, tellings.c.is_refused)
        oldest = select(tellings.c.deal).where(*is_refused).order_by(tellings.c.looked_at, tellings.c.deal)
        return and_(tellings.c.deal == oldest.limit(1).scalar_subquery(), ~is_any_recent)

    def _over(self, connection: str) -> ColumnElement[bool]:
        """Those that said that they were stuck, and are over."""
        is_of = tellings.c.connection == connection
        saying = select(tellings.c.deal).where(is_of, or_(tellings.c.status != "", tellings.c.is_refused))
        return and_(
            runs.c.subject_key.in_(saying),  # from those the database begins, and not from all that is over
            runs.c.status.not_in((RunStatus.ACTIVE.value, RunStatus.STOPPED.value)),
            or_(runs.c.status != RunStatus.DONE.value, tellings.c.status != Status.SYNCED.value),
            or_(tellings.c.status != "", tellings.c.is_refused),
            tellings.c.looked_at < runs.c.updated_at,
        )

    def _held(self, held_for: timedelta, crm_steps: Collection[str]) -> ColumnElement[bool]:
        return and_(
            IS_ACTIVE,
            runs.c.created_at < self._now - held_for,
            runs.c.step.not_in(crm_steps),
            _is_held(self._now - held_for),
            or_(
                tellings.c.deal.is_(None),
                and_(~tellings.c.is_refused, or_(tellings.c.status.not_in(_IN_WORK), _has_moved())),
            ),
        )

    def is_held(self, run_id: str, held_for: timedelta) -> bool:
        """Whether the run has been held back at its step for so long."""
        query = select(runs.c.id).where(runs.c.id == run_id, IS_ACTIVE)
        return self._connection.execute(query.where(_is_held(self._now - held_for))).first() is not None


def _deals(origin: Origin, flow: str, telling_flow: str) -> Select[Any]:
    of_run = dead_letters.c.run_id == runs.c.id
    teller = runs.alias("teller")
    is_at_work = exists().where(
        teller.c.flow == telling_flow,
        teller.c.subject_key == runs.c.subject_key,
        teller.c.source == runs.c.source,
        teller.c.status.in_((RunStatus.ACTIVE.value, RunStatus.STOPPED.value)),
    )
    of_deal = and_(tellings.c.connection == runs.c.source, tellings.c.deal == runs.c.subject_key)
    both = runs.outerjoin(dead_letters, of_run).outerjoin(tellings, of_deal)
    is_it = (runs.c.flow == flow, runs.c.source == origin.source, ~is_at_work)
    return select(runs.c.subject_key).select_from(both).where(*is_it)


def _is(connection: str, deal: str) -> tuple[ColumnElement[bool], ...]:
    return tellings.c.connection == connection, tellings.c.deal == deal


def _has_letter_news() -> ColumnElement[bool]:
    return or_(tellings.c.deal.is_(None), tellings.c.looked_at < dead_letters.c.updated_at)


def _is_held(since: datetime) -> ColumnElement[bool]:
    """A line says that it was held back before *since*, and none that it has moved after that."""
    held, moved = history.alias("held"), history.alias("moved")
    has_moved = exists().where(moved.c.run_id == held.c.run_id, moved.c.id > held.c.id, moved.c.event.not_in(_HELD))
    return exists().where(held.c.run_id == runs.c.id, held.c.event.in_(_HELD), held.c.at < since, ~has_moved)


def _has_moved() -> ColumnElement[bool]:
    """Whether the run has moved since it was last decided what its deal should say."""
    last = select(func.max(history.c.at)).where(history.c.run_id == runs.c.id, history.c.event.not_in(_HELD))
    return tellings.c.looked_at < last.scalar_subquery()
