"""The campaign's database: how it is made, broken and removed."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from crmsync.errors import ConfigurationError
from crmsync.store.sqlite import BUSY_SECONDS

LOCK_SECONDS = BUSY_SECONDS + 1.0  # longer than anybody waits
OUTAGE_SECONDS = 4.0


class Database(Protocol):
    """*url* is for the processes; *may_fill_up* tells whether a limit on their files reaches the store."""

    url: str
    may_fill_up: bool

    def break_down(self, sleep: Callable[[float], None]) -> None:
        """Be out of order for a while."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody write meanwhile: who tries waits."""
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


class SqliteFile:
    """A file that goes with its folder."""

    may_fill_up = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

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
    """A schema that only this campaign uses; its sessions are known by their application's name."""

    may_fill_up = False

    def __init__(self, url: str) -> None:
        self.name = f"prove_{uuid.uuid4().hex[:12]}"
        self._admin: Engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        self._execute(f"CREATE SCHEMA {self.name}")
        joint = "&" if "?" in url else "?"
        self.url = f"{url}{joint}options={quote(f'-csearch_path={self.name}')}&application_name={self.name}"

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
        self._end_sessions()
        self._execute(f"DROP SCHEMA {self.name} CASCADE")
        self._admin.dispose()
