"""The campaign's database: how it is made, broken and removed."""

from __future__ import annotations

import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.engine import make_url

from crmsync.errors import ConfigurationError
from crmsync.lab.prove.proxy import Proxy
from crmsync.store.sqlite import BUSY_SECONDS

LOCK_SECONDS = BUSY_SECONDS + 1.0  # longer than anybody waits
OUTAGE_SECONDS = 4.0
DISK, PACKETS, READ_ONLY = "disk-full", "packets-dropped", "database-readonly"  # faults that not every database has
ENCRYPTED = "the connection is encrypted to its end"


class Database(Protocol):
    """*url* is for the processes, *own_url* for the campaign; *cannot* says why a fault does not exist here."""

    url: str
    own_url: str
    cannot: Mapping[str, str]

    def break_down(self, sleep: Callable[[float], None]) -> None:
        """Be out of order for a while."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody write meanwhile: who tries waits."""
        yield

    @contextmanager
    def packets_dropped(self) -> Iterator[None]:
        """Lose what the processes send and are sent; their connections of before are lost for good."""
        yield

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Cut every session; those that begin meanwhile can only read, for as long as they last."""
        yield

    def close(self) -> None: ...


def database(url: str, home: Path) -> Database:
    """An empty database: a schema of its own in the PostgreSQL at *url*, or a file in *home*.

    Raises: ConfigurationError for another kind.
    """
    if not url:
        return SqliteFile(home / "crmsync.db")
    if not url.startswith(("postgres://", "postgresql://", "postgresql+psycopg://")):
        raise ConfigurationError("prove needs a PostgreSQL address.", field_errors={"--database": "postgresql://…"})
    return PostgresqlSchema(url)


class SqliteFile(Database):
    """A file that goes with its folder; faults that it cannot have leave it as it is."""

    cannot: Mapping[str, str] = {
        PACKETS: "SQLite has no connection that could lose packets",
        READ_ONLY: "a file that is open stays writable",
    }

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = self.own_url = f"sqlite:///{path}"

    def break_down(self, sleep: Callable[[float], None]) -> None:
        with self.held():
            sleep(LOCK_SECONDS)

    @contextmanager
    def held(self) -> Iterator[None]:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing to do: the folder is removed."""


class PostgresqlSchema:
    """A schema that only this campaign uses; its sessions are known by their application's name.

    The processes reach it through a proxy of the campaign, unless the address asks for encryption to the end.
    """

    def __init__(self, url: str) -> None:
        self.name = f"prove_{uuid.uuid4().hex[:12]}"
        address = make_url(url).set(drivername="postgresql+psycopg")
        self._admin: Engine = create_engine(address, isolation_level="AUTOCOMMIT")
        self._execute(f"CREATE SCHEMA {self.name}")
        options = " ".join(filter(None, [str(address.query.get("options", "")), f"-csearch_path={self.name}"]))
        own = address.update_query_dict({"options": options, "application_name": self.name})
        self.own_url = _text(own)
        self._proxy = None if _is_encrypted(address) else Proxy(*self._server())
        self.url = _text(_by_way_of(own, self._proxy.port)) if self._proxy else self.own_url
        self.cannot: Mapping[str, str] = {DISK: "the store is not a file of these processes"}
        if self._proxy is None:
            self.cannot = {**self.cannot, PACKETS: ENCRYPTED, READ_ONLY: ENCRYPTED}
        elif not sys.platform.startswith("linux"):
            self.cannot = {**self.cannot, PACKETS: "only Linux can lose packets on purpose"}

    def _server(self) -> tuple[str, int]:
        """Host, or folder of the socket, and port of the server, as the driver finds them."""
        with self._admin.connect() as connection:
            driver: Any = connection.connection.driver_connection
            return driver.info.host, driver.info.port

    @contextmanager
    def packets_dropped(self) -> Iterator[None]:
        with self._proxy.dropping() if self._proxy else nullcontext():
            yield

    @contextmanager
    def read_only(self) -> Iterator[None]:
        with self._proxy.read_only() if self._proxy else nullcontext():
            self._end_sessions()
            yield

    def break_down(self, sleep: Callable[[float], None]) -> None:
        ends_at = time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < ends_at:
            self._end_sessions()
            sleep(0.2)

    def _end_sessions(self) -> None:
        self._execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{self.name}'"  # noqa: S608
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._admin.connect().execution_options(isolation_level="READ COMMITTED") as connection:
            connection.execute(text(f"LOCK TABLE {self.name}.runs IN EXCLUSIVE MODE"))
            yield
            connection.rollback()

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    def close(self) -> None:
        if self._proxy:
            self._proxy.close()
        self._end_sessions()
        self._execute(f"DROP SCHEMA {self.name} CASCADE")
        self._admin.dispose()


def _text(address: URL) -> str:
    return address.set(drivername="postgresql").render_as_string(hide_password=False)


def _is_encrypted(address: URL) -> bool:
    return address.query.get("sslmode", "") in ("require", "verify-ca", "verify-full")


def _by_way_of(address: URL, port: int) -> URL:
    """The same database through a port of this machine."""
    return address.difference_update_query(["host", "hostaddr", "port"]).set(host="127.0.0.1", port=port)
