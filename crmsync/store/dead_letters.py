"""Dead letters: runs that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, select, update

from crmsync.domain.dead_letters import DeadLetter, LetterKind, LetterStatus, alert_cause, kind_of
from crmsync.domain.runs import Run
from crmsync.errors import CrmsyncError
from crmsync.store.rows import Rows
from crmsync.store.run_lists import is_of_tenant
from crmsync.store.tables import dead_letters, runs

_QUERY: Select[Any] = select(
    *(column for column in dead_letters.c if column.name != "words"),  # only who shows them reads them
    runs.c.tenant,
    runs.c.flow,
    runs.c.source,
    runs.c.subject_key,
    runs.c.title,
    runs.c.amount,
    runs.c.currency,
    runs.c.correlation_id,
).join(runs, runs.c.id == dead_letters.c.run_id)


_UNSETTLED = (LetterStatus.WAITING.value, LetterStatus.REPLAYING.value)
_IS_WAITING = dead_letters.c.status == LetterStatus.WAITING.value
_ONE_MORE = dead_letters.c.failures + 1


def _of(tenant: str | None, query: Any) -> Any:
    """*query* of dead letters, kept to those of a tenant's runs; None: of all."""
    if tenant is None:
        return query
    return query.join_from(dead_letters, runs, runs.c.id == dead_letters.c.run_id).where(runs.c.tenant == tenant)


def _behind(cause: str) -> tuple[ColumnElement[bool], ...]:
    return dead_letters.c.alert_cause == cause, dead_letters.c.status.in_(_UNSETTLED)


class DeadLetters(Rows):
    def add(self, run: Run, error: CrmsyncError, *, sealed_words: str = "") -> tuple[DeadLetter, bool]:
        """Put the run's letter to waiting. Returns it, and False if it died again of the same in a replay.

        One that was settled before is a new incident: a flow that repeats dies, is well for a month, and dies again.
        """
        facts = {
            "step": run.step,
            "kind": kind_of(error).value,
            "status": LetterStatus.WAITING.value,
            "error": type(error).__name__,
            "system": error.system or "",
            "connection": error.connection,
            "cause": str(error),
            "advice": error.advice or "",
            "field_errors": dict(error.field_errors),
            "words": sealed_words,
            "alert_cause": alert_cause(error, step=run.step, run_id=run.id, tenant=run.tenant),
            "updated_at": self._now,
        }
        before = self.of_run(run.id)
        is_settled = before is None or before.status in (LetterStatus.REPLAYED, LetterStatus.DISCARDED)
        if before is None:
            first = {**facts, "run_id": run.id, "created_at": self._now, "failures": 1}
            self._connection.execute(dead_letters.insert(), first)
        else:
            again = facts | ({"failures": 1, "created_at": self._now} if is_settled else {"failures": _ONE_MORE})
            self._connection.execute(update(dead_letters).where(dead_letters.c.id == before.id).values(**again))
        letter = self.of_run(run.id)
        assert letter is not None  # just written  # noqa: S101
        return letter, before is None or is_settled or (before.step, before.cause) != (letter.step, letter.cause)

    def get(self, letter_id: int) -> DeadLetter | None:
        row = self._connection.execute(_QUERY.where(dead_letters.c.id == letter_id)).first()
        return letter_of(row) if row is not None else None

    def sealed_words(self, letter_id: int) -> str:
        """What the vendor itself said, as the vault sealed it; "" where it said nothing."""
        query = select(dead_letters.c.words).where(dead_letters.c.id == letter_id)
        return self._connection.execute(query).scalar() or ""

    def of_run(self, run_id: str) -> DeadLetter | None:
        row = self._connection.execute(_QUERY.where(dead_letters.c.run_id == run_id)).first()
        return letter_of(row) if row is not None else None

    def behind(self, cause: str) -> list[DeadLetter]:
        """The letters of one alert that wait, or are being replayed, oldest first."""
        query = _QUERY.where(*_behind(cause)).order_by(dead_letters.c.id)
        return [letter_of(row) for row in self._connection.execute(query)]

    def some_behind(self, cause: str, limit: int) -> tuple[int, list[DeadLetter]]:
        """How many there are, and the first of them, those that wait before those that are being replayed."""
        count = select(func.count()).select_from(dead_letters).where(*_behind(cause))
        waits_first = (dead_letters.c.status == LetterStatus.WAITING.value).desc()
        query = _QUERY.where(*_behind(cause)).order_by(waits_first, dead_letters.c.id).limit(limit)
        return self._connection.execute(count).scalar_one(), [letter_of(row) for row in self._connection.execute(query)]

    def newest_behind(self, cause: str) -> DeadLetter | None:
        query = _QUERY.where(*_behind(cause)).order_by(dead_letters.c.created_at.desc(), dead_letters.c.id.desc())
        row = self._connection.execute(query.limit(1)).first()
        return letter_of(row) if row is not None else None

    def list(
        self,
        tenant: str | None,
        *,
        status: LetterStatus | None = LetterStatus.WAITING,
        error: str | None = None,
        limit: int | None = None,
        after: int = 0,
    ) -> list[DeadLetter]:
        """Those of a tenant, that status and that error, of all where None is said, that come *after* an id; oldest
        first."""
        query = _QUERY.where(is_of_tenant(tenant)).order_by(dead_letters.c.id).limit(limit)
        if status is not None:
            query = query.where(dead_letters.c.status == status.value)
        if error is not None:
            query = query.where(dead_letters.c.error == error)
        if after:
            query = query.where(dead_letters.c.id > after)
        return [letter_of(row) for row in self._connection.execute(query)]

    def waiting_count(self, tenant: str | None) -> int:
        """How many letters of a tenant wait; None: of all."""
        query = _of(tenant, select(func.count()).select_from(dead_letters).where(_IS_WAITING))
        return int(self._connection.execute(query).scalar_one())

    def waiting_by_kind(self, tenant: str | None) -> dict[str, int]:
        query = _of(tenant, select(dead_letters.c.kind, func.count()).where(_IS_WAITING))
        return dict(self._connection.execute(query.group_by(dead_letters.c.kind)).all())

    def waiting_by_connection(self, tenant: str | None) -> dict[tuple[str, str], int]:
        """How many letters wait, by connection and kind.

        One about no connection counts for that from which the run's subject comes.
        """
        about = func.coalesce(func.nullif(dead_letters.c.connection, ""), runs.c.source)
        query = select(about, dead_letters.c.kind, func.count()).join(runs, runs.c.id == dead_letters.c.run_id)
        rows = self._connection.execute(
            query.where(_IS_WAITING, is_of_tenant(tenant)).group_by(about, dead_letters.c.kind)
        )
        return {(connection, kind): count for connection, kind, count in rows}

    def waiting_causes(self, tenant: str | None, *, limit: int) -> Sequence[tuple[DeadLetter, int]]:
        """Of each cause the letter that has waited longest, and how many wait for it; the oldest cause first."""
        cause, first = dead_letters.c.alert_cause, func.min(dead_letters.c.id)
        # A letter of an older release has no cause: each of those stands for itself.
        alone = case((cause == "", dead_letters.c.id), else_=0)
        query = _of(tenant, select(first, func.count()).where(_IS_WAITING))
        groups = self._connection.execute(query.group_by(cause, alone).order_by(first).limit(limit))
        counts: dict[int, int] = dict(groups.all())
        letters = _QUERY.where(dead_letters.c.id.in_(counts)).order_by(dead_letters.c.id)
        return [(letter, counts[letter.id]) for letter in map(letter_of, self._connection.execute(letters))]

    def move(self, letter: DeadLetter, *, to: LetterStatus) -> bool:
        """Change the status of a letter that waits as it was read: False if somebody else was faster.

        One that went on and died again in between asks something else, perhaps of another amount.
        """
        is_as_read = (dead_letters.c.updated_at == letter.updated_at, dead_letters.c.failures == letter.failures)
        statement = (
            update(dead_letters)
            .where(dead_letters.c.id == letter.id, dead_letters.c.status == LetterStatus.WAITING.value, *is_as_read)
            .values(status=to.value, updated_at=self._now)
        )
        return self._connection.execute(statement).rowcount == 1

    def take_up(self, run_id: str) -> None:
        """The run was given up, and its source was announced again: make it read that."""
        self._connection.execute(
            update(dead_letters)
            .where(dead_letters.c.run_id == run_id, dead_letters.c.status == LetterStatus.DISCARDED.value)
            .values(status=LetterStatus.REPLAYING.value, updated_at=self._now)
        )

    def run_is_done(self, run_id: str, *, is_discarded: bool = False) -> str:
        """The run went through, or was given up before and stays so: its letter, if one is open, is settled.

        Returns the cause of its alert, or "".
        """
        settled = LetterStatus.DISCARDED if is_discarded else LetterStatus.REPLAYED
        is_open = dead_letters.c.status.in_((LetterStatus.WAITING.value, LetterStatus.REPLAYING.value))
        statement = (
            update(dead_letters)
            .where(dead_letters.c.run_id == run_id, is_open)
            .values(status=settled.value, updated_at=self._now)
        )
        return self._connection.execute(statement.returning(dead_letters.c.alert_cause)).scalar() or ""


def letter_of(row: Row[Any]) -> DeadLetter:
    values = dict(row._mapping)
    values["kind"], values["status"] = LetterKind(values["kind"]), LetterStatus(values["status"])
    return DeadLetter(**values)
