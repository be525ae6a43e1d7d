"""Opens the database so that a commit survives, and hands out units of work."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from crmsync.errors import StoreUnavailableError
from crmsync.store.unit_of_work import UnitOfWork

BUSY_SECONDS = 20  # how long a process waits for SQLite's one writer before it gives up
POLL_SECONDS = (0.0005, 0.0015)
WRITE = "BEGIN IMMEDIATE"
POOL_SIZE = 40  # at least the threads of a worker

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """A database and its transactions. Rolled back unless the block ends without an error."""

    def __init__(self, url: str, *, clock: Clock = utc_now) -> None:
        self.url = url
        self.clock = clock
        self.engine = _engine(url, durable=True)
        self._quick_engine = _engine(url, durable=False)
        self._one_writer: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[UnitOfWork]:
        """A transaction that may write.

        One that is not *durable* survives a killed process, but a power cut may take back the last of them. That
        is enough for who does what and how far a run is: what was asked of other systems is in the ledger, durably.

        Raises: StoreUnavailableError if the database does not answer or can't write.
        """
        engine = self.engine if durable else self._quick_engine
        # Threads of one process queue here, in order; SQLite's own waiting polls and starves.
        with self._one_writer, self._connected(engine, WRITE) as connection:
            yield UnitOfWork(connection, self.clock())

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """A transaction that only reads, and never waits for a writer."""
        with self._connected(self.engine, "BEGIN") as connection:
            yield UnitOfWork(connection, self.clock())

    @contextmanager
    def _connected(self, engine: Engine, begin: str) -> Iterator[Connection]:
        try:
            with engine.connect() as connection:
                if self.is_sqlite:
                    connection.info["begin"] = begin
                with connection.begin():
                    yield connection
        except PoolTimeoutError:
            raise StoreUnavailableError(system="the database") from None
        except DBAPIError as error:
            if _is_outage(error):
                raise StoreUnavailableError(system="the database") from None
            raise

    def ping(self) -> None:
        """Raises: StoreUnavailableError."""
        try:
            with self.read() as uow:
                uow.ping()
        except SQLAlchemyError as error:
            raise StoreUnavailableError(system="the database") from error

    def close(self) -> None:
        self.engine.dispose()
        self._quick_engine.dispose()


def _is_outage(error: DBAPIError) -> bool:
    """A broken connection, a full disk or a lock that never came; not a wrong statement."""
    return error.connection_invalidated or type(error.orig).__name__ in (
        "OperationalError",
        "InterfaceError",
        "AdminShutdown",
        "CannotConnectNow",
        "ConnectionTimeout",
        "DiskFull",
        "QueryCanceled",
        "ReadOnlySqlTransaction",
        "SerializationFailure",
        "DeadlockDetected",
    )


def _engine(url: str, *, durable: bool) -> Engine:
    is_sqlite = make_url(url).get_backend_name() == "sqlite"
    options = {"timeout": BUSY_SECONDS} if is_sqlite else {"connect_timeout": 5}
    engine = create_engine(url, pool_size=POOL_SIZE, max_overflow=10, connect_args=options, hide_parameters=True)
    if is_sqlite:
        _make_folder(make_url(url).database)
        event.listen(engine, "begin", _begin_sqlite)
    prepare = _prepare_sqlite if is_sqlite else _prepare_postgresql
    event.listen(engine, "connect", partial(prepare, durable=durable))
    return engine


def _make_folder(database: str | None) -> None:
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _prepare_sqlite(connection: Any, _record: Any, *, durable: bool) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself: see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: Any, *, durable: bool) -> None:
    if not durable:
        connection.execute("SET SESSION synchronous_commit = off")
        connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the write lock at once: one that upgrades later could fail instead of waiting."""
    begin = connection.info.get("begin", WRITE)
    if begin != WRITE:
        connection.exec_driver_sql(begin)
        return
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA busy_timeout=0")
    try:
        if not _took_write_lock(raw):
            connection.exec_driver_sql(begin)  # fails, in SQLAlchemy's words
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _took_write_lock(connection: sqlite3.Connection) -> bool:
    """Begin a transaction that writes. False if the lock did not come in time, or something else is wrong.

    SQLite's own waiting sleeps for up to a tenth of a second, while the lock is free again within milliseconds: in a
    burst the processes waited for each other's sleep, and did a fifth less.
    """
    ends_at = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < ends_at:
        try:
            connection.execute(WRITE)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                return False
            time.sleep(random.uniform(*POLL_SECONDS))
        else:
            return True
    return False
