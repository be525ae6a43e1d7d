"""SQLite as the store uses it: one writer at a time, readers that wait for nobody, and a file of our own."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError

from crmsync import files
from crmsync.errors import ConfigurationError

BUSY_SECONDS = 20  # how long a process waits for SQLite's one writer before it gives up
POLL_SECONDS = (0.0005, 0.0015)

READ = "BEGIN"
DURABLE = "FULL"  # how much of a write waits for the disk: PRAGMA synchronous
QUICK = "NORMAL"

_WRITE = "BEGIN IMMEDIATE"

FileKey = tuple[int, int]


def open_engine(url: str, *, pool_size: int, pool_seconds: float) -> Engine:
    """Raises: ConfigurationError if there is no file and none can be made."""
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_seconds,
        hide_parameters=True,
    )
    database = file_of(url)
    if database:
        _make_private(database)
    event.listen(engine, "connect", _prepare)
    if database:
        _watch_file(engine, database)
    event.listen(engine, "begin", _begin)
    return engine


def file_of(url: str) -> str:
    """The path of the database; "" for one in memory."""
    database = make_url(url).database or ""
    return "" if database == ":memory:" or database.startswith("file:") else database


def _make_private(database: str) -> None:
    try:
        files.make_private_file(database)
    except OSError as error:
        raise ConfigurationError(
            f"The database file can't be used: {error.strerror}.",
            field_errors={"DATABASE_URL": database},
            advice="Let DATABASE_URL or CRMSYNC_HOME name a folder that the user of this process may write.",
        ) from error


def _watch_file(engine: Engine, database: str) -> None:
    """Never write into a file that was replaced or taken away: nobody would find it again.

    SQLite itself does not check, and would make an empty database where there is none any more.
    """

    def connect(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> None:
        if not os.path.exists(database):
            raise sqlite3.OperationalError("the database file is gone")

    def remember(_connection: Any, record: Any) -> None:
        record.info["file"] = _key_of(database)
        for ending in ("", "-wal", "-shm"):  # only now is it known to be a database, and no file of somebody else's
            files.take_from_others(Path(database + ending))

    def compare(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.get("file") != _key_of(database):
            raise InvalidatePoolError

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


def _key_of(database: str) -> FileKey | None:
    try:
        found = os.stat(database)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself: see _begin
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, too
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes the write lock at once: one that upgrades later could fail instead of waiting."""
    begin = connection.info.get("begin", DURABLE)
    if begin == READ:
        connection.exec_driver_sql(READ)
        return
    with _impatient(connection, begin) as raw:
        if not _took_write_lock(raw):
            connection.exec_driver_sql(_WRITE)  # fails, in SQLAlchemy's words


@contextmanager
def _impatient(connection: Connection, synchronous: str) -> Iterator[sqlite3.Connection]:
    """The driver's own connection, which does not wait for another writer meanwhile."""
    raw: Any = connection.connection.driver_connection
    if connection.info.get("synchronous") != synchronous:
        raw.execute(f"PRAGMA synchronous={synchronous}")
        connection.info["synchronous"] = synchronous
    raw.execute("PRAGMA busy_timeout=0")
    try:
        yield raw
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
            connection.execute(_WRITE)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                return False
            time.sleep(random.uniform(*POLL_SECONDS))
        else:
            return True
    return False


def try_to_write(connection: Connection) -> None:
    """Write a row that means nothing: only what reaches the disk shows that it is not full. Where somebody else is
    writing just now, that shows as well that one can.

    Raises: sqlite3.OperationalError.
    """
    with _impatient(connection, QUICK) as raw:
        try:
            raw.execute(_WRITE)
            raw.execute("INSERT OR REPLACE INTO facts (name, value) VALUES ('probe', '')")
            raw.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")


def empty_log(connection: Connection) -> None:
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
