"""Access tokens: encrypted, shared by all processes, renewed by one of them at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select, update

from crmsync.store.rows import CLOCKS, Rows
from crmsync.store.tables import tokens


@dataclass(frozen=True, slots=True)
class TokenRow:
    """*value* is encrypted; *renewals* are the instants of the latest ones; *credentials* a fingerprint."""

    value: str
    expires_at: datetime | None
    instance_url: str
    renewals: tuple[datetime, ...]
    credentials: str


class Tokens(Rows):
    def get(self, connection: str) -> TokenRow | None:
        row = self._connection.execute(select(tokens).where(tokens.c.connection == connection)).first()
        if row is None:
            return None
        stamps = (datetime.fromtimestamp(stamp, UTC) for stamp in row.renewals)
        renewals = tuple(instant for instant in stamps if instant <= self._now + CLOCKS)
        return TokenRow(row.value, row.expires_at, row.instance_url, renewals, row.credentials)

    def begin_renewal(self, connection: str, *, seconds: float) -> bool:
        """Become the one who renews. False if somebody else is at it, for at most *seconds*."""
        until = self._now + timedelta(seconds=seconds)
        if self._insert_once(
            tokens, {"connection": connection, "renewing_until": until, "value": "", "instance_url": "", "renewals": []}
        ):
            return True
        statement = (
            update(tokens)
            .where(
                tokens.c.connection == connection,
                or_(
                    tokens.c.renewing_until.is_(None),
                    tokens.c.renewing_until <= self._now,
                    self._is_unreal(tokens.c.renewing_until, seconds),
                ),
            )
            .values(renewing_until=until)
        )
        return self._connection.execute(statement).rowcount == 1

    def count_renewal(self, connection: str, *, keep_seconds: float) -> None:
        """A token is about to be asked for: it counts against the vendor's limit whatever comes of it."""
        row = self.get(connection)
        since = self._now - timedelta(seconds=keep_seconds)
        stamps = [instant.timestamp() for instant in (row.renewals if row else ()) if instant > since]
        self._set(connection, renewals=[*stamps, self._now.timestamp()])

    def end_renewal(self, connection: str) -> None:
        self._set(connection, renewing_until=None)

    def save(self, connection: str, *, value: str, expires_at: datetime, instance_url: str, credentials: str) -> None:
        kept = {"value": value, "expires_at": expires_at, "instance_url": instance_url, "credentials": credentials}
        self._set(connection, **kept, renewing_until=None)

    def forget(self, connection: str) -> None:
        self._set(connection, value="", expires_at=None, instance_url="", credentials="")

    def _set(self, connection: str, **values: object) -> None:
        self._connection.execute(update(tokens).where(tokens.c.connection == connection).values(**values))
