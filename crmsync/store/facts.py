"""Single values that outlive processes."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Text, cast, delete, or_, select, update

from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import facts


class Facts(Rows):
    def get(self, name: str) -> str | None:
        return self._connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()

    def under(self, prefix: str) -> dict[str, str]:
        """The facts whose names begin with *prefix*, by the rest of their names, in order."""
        query = select(facts.c.name, facts.c.value).where(facts.c.name.startswith(prefix, autoescape=True))
        return {name.removeprefix(prefix): value for name, value in self._connection.execute(query.order_by("name"))}

    def all_under(self, *prefixes: str) -> dict[str, str]:
        """The facts whose names begin with any of *prefixes*, by their names, as they are at one moment."""
        is_under = or_(*(facts.c.name.startswith(prefix, autoescape=True) for prefix in prefixes))
        return dict(self._connection.execute(select(facts.c.name, facts.c.value).where(is_under)).all())

    def instant(self, name: str, *, longest_ahead: timedelta = timedelta(0)) -> datetime | None:
        """The instant that is kept; None where there is none, or none that a clock that is right could have written:
        it lies further ahead than it could.
        """
        with suppress(ValueError):
            kept = datetime.fromisoformat(self.get(name) or "")
            return kept if kept <= self._now + longest_ahead + CLOCKS else None
        return None

    def set_once(self, name: str, value: str) -> str:
        """Keep the first value ever given; returns it."""
        self._insert_once(facts, {"name": name, "value": value})
        return self.get(name) or value

    def set(self, name: str, value: str) -> None:
        if not self._insert_once(facts, {"name": name, "value": value}):
            self._connection.execute(update(facts).where(facts.c.name == name).values(value=value))

    def drop(self, name: str) -> None:
        self._connection.execute(delete(facts).where(facts.c.name == name))

    def advance(self, name: str, number: int, *, unreal: int | None = None) -> bool:
        """Raise a number that only grows. False if it stands there already: somebody else was first.

        One that stands at *unreal* or above was written by a wrong clock, and is set back.
        """
        if self._insert_once(facts, {"name": name, "value": str(number)}):
            return True
        kept = cast(facts.c.value, BigInteger)
        is_new = kept < number if unreal is None else or_(kept < number, kept >= unreal)
        statement = update(facts).where(facts.c.name == name, is_new).values(value=str(number))
        return self._connection.execute(statement).rowcount == 1

    def count(self, name: str, more: int) -> None:
        """Add to a counter."""
        if more and not self._insert_once(facts, {"name": name, "value": str(more)}):
            total = cast(cast(facts.c.value, BigInteger) + more, Text)
            self._connection.execute(update(facts).where(facts.c.name == name).values(value=total))

    def counter(self, name: str) -> int:
        return int(self.get(name) or 0)
