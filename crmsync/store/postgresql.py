"""PostgreSQL as the store uses it: every wait has an end, and nothing depends on a session.

What a transaction needs is said in its first statement, so a pooler may give every transaction another session, and
what the role or the database has as its default changes nothing.

    packets are dropped                 tcp_user_timeout and keepalives end the connection
    bytes arrive, answers do not        the client's own limit ends it: BEGIN_SECONDS, ANSWER_SECONDS
    a statement or a lock takes long    statement_timeout, lock_timeout: the server ends it
    a client is frozen in a transaction idle_in_transaction_session_timeout: the server ends it
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy import Connection, Engine, create_engine, event

CONNECT_SECONDS = 4  # for each address of the host
BEGIN_SECONDS = 3.0  # a server that is well begins a transaction at once
STATEMENT_SECONDS = 6
LOCK_SECONDS = 5
IDLE_SECONDS = 60  # within a transaction
ANSWER_SECONDS = 8.0  # longer than the server's own limits: its refusal says more than our giving up
RECYCLE_SECONDS = 900

# What libpq is asked for unless DATABASE_URL says otherwise.
_CONNECT = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
    "application_name": "crmsync",
}
# Whatever PGCLIENTENCODING or the database's own encoding is: the driver gives no text of SQL_ASCII, only bytes.
_ENCODING = {"client_encoding": "UTF8"}

_BEGIN = f"""BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL synchronous_commit = {{commit}};
SET LOCAL statement_timeout = {STATEMENT_SECONDS * 1000};
SET LOCAL lock_timeout = {LOCK_SECONDS * 1000};
SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}"""

DURABLE = _BEGIN.format(commit="on")
QUICK = _BEGIN.format(commit="off")
READ = QUICK
# A migration may take as long as it takes, but waits for nobody who sits on a table.
UNHURRIED = f"""BEGIN; SET LOCAL synchronous_commit = on;
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {LOCK_SECONDS * 10_000}"""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer takes longer than *answer_seconds* (None: no limit)."""

    answer_seconds: float | None = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()  # an answer that comes late would be taken for the next one's
            raise psycopg.OperationalError("timeout expired: the server takes bytes and does not answer") from None


def open_engine(url: str, *, pool_size: int, pool_seconds: float) -> Engine:
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # the driver begins no transaction: _begin does, with what it needs
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_seconds,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
        use_native_hstore=False,  # costs a query for each new connection
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "begin", _begin)
    return engine


def _connect(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> BoundedConnection:
    # Prepared statements belong to a session, and a pooler in transaction mode gives the next one to somebody else.
    # Where there is none, DATABASE_URL may ask for them.
    asked = options.pop("prepare_threshold", None)
    prepared = {"prepare_threshold": int(asked) if asked else None}
    return BoundedConnection.connect(*arguments, **{**_CONNECT, **options, **prepared, **_ENCODING})


def _begin(connection: Connection) -> None:
    begin = connection.info.get("begin", DURABLE)
    seconds = None if begin == UNHURRIED else BEGIN_SECONDS
    with _patience(connection, seconds):
        connection.exec_driver_sql(begin)


@contextmanager
def _patience(connection: Connection, seconds: float | None) -> Iterator[None]:
    raw: Any = connection.connection.driver_connection
    raw.answer_seconds = seconds
    try:
        yield
    finally:
        raw.answer_seconds = None if seconds is None else ANSWER_SECONDS
