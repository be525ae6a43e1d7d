"""Opens the database so that a commit survives a crash, and hands out units of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, RootTransaction, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError

from crmsync.errors import StoreUnavailableError
from crmsync.store import faults, sqlite
from crmsync.store.unit_of_work import UnitOfWork

POOL_SIZE = 5  # a transaction lasts for milliseconds: the threads of a process take turns
POOL_SECONDS = 5.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """A database and its transactions. Rolled back unless the block ends without an error."""

    def __init__(self, url: str, *, clock: Clock = utc_now, pool_size: int = POOL_SIZE) -> None:
        self.url = url
        self.clock = clock
        self.is_closed = False  # for threads that write now and then
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        # By name: PostgreSQL's driver costs 6 MB for each process.
        self._kind: Any = import_module(f"crmsync.store.{'sqlite' if self.is_sqlite else 'postgresql'}")
        self.engine = self._kind.open_engine(url, pool_size=pool_size, pool_seconds=POOL_SECONDS)
        event.listen(self.engine, "handle_error", _give_up_broken)
        self._writer = threading.Lock()

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[UnitOfWork]:
        """A transaction that may write.

        One that is not *durable* survives a killed process, but a power cut may take back the last of them. That
        is enough for who does what and how far a run is: what was asked of other systems is in the ledger, durably.

        Raises: StoreUnavailableError if the database does not answer or can't write.
        """
        with self._one_writer(), self.connected(self._kind.DURABLE if durable else self._kind.QUICK) as connection:
            yield UnitOfWork(connection, self.clock())

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """A transaction that only reads, and never waits for a writer."""
        with self.connected(self._kind.READ) as connection:
            yield UnitOfWork(connection, self.clock())

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        """Threads of one process queue here, in order; SQLite's own waiting polls and starves."""
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=sqlite.BUSY_SECONDS):
            raise StoreUnavailableError("Another thread has been writing for too long.")
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def connected(self, begin: str) -> Iterator[Connection]:
        """A transaction that begins so. Raises: StoreUnavailableError."""
        with faults.translated():
            connection, transaction = self._begun(begin)
            with connection, transaction:
                yield connection

    def _begun(self, begin: str) -> tuple[Connection, RootTransaction]:
        """A connection in a transaction. One that turns out to be broken is replaced, once: nothing was asked yet."""
        try:
            return self._begun_once(begin)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._begun_once(begin)

    def _begun_once(self, begin: str) -> tuple[Connection, RootTransaction]:
        connection = self.engine.connect()
        try:
            connection.info["begin"] = begin
            return connection, connection.begin()
        except BaseException:
            connection.close()
            raise

    def ping(self) -> None:
        """Ask the database for an answer. Raises: StoreUnavailableError."""
        with self.read() as uow:
            uow.ping()

    def check_writable(self) -> None:
        """Raises: StoreUnavailableError if the database answers and can't write, too."""
        if self.is_sqlite:
            with faults.translated(), self.engine.connect() as connection:
                sqlite.try_to_write(connection)
            return
        with self.begin(durable=False) as uow:
            uow.touch()

    def wipe(self) -> None:
        """Leave nothing of what was deleted in SQLite's log; PostgreSQL's vacuum does so by itself."""
        if self.is_sqlite:
            with faults.translated(), self.engine.connect() as connection:
                sqlite.empty_log(connection)

    def close(self) -> None:
        self.is_closed = True
        self.engine.dispose()


def _give_up_broken(context: ExceptionContext) -> None:
    """A session that is read-only, was ended or is out of step leaves the pool, and with it all that are as old."""
    if faults.is_broken(context.original_exception):
        context.is_disconnect = True
