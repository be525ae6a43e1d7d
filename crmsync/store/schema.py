"""Migrates a database to the schema that this release needs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url

from crmsync import files
from crmsync.errors import ConfigurationError, StoreUnavailableError
from crmsync.store import sqlite
from crmsync.store.engine import Store

HEAD = "0028"  # the newest migration: a test compares it with the folder
_LOCK_KEY = 7_236_541  # PostgreSQL's advisory lock of whoever migrates
_DEADLOCK = "40P01"
MIGRATION_TRIES = 20  # each waits a second at most for PostgreSQL to see that two wait for each other


def current(store: Store) -> str | None:
    """The migration that the database stands at; None for an empty one. Raises: StoreUnavailableError."""
    with store.read() as uow:
        return _current(uow.connection)


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def ensure(store: Store) -> None:
    """Make the tables of an empty database, and bring an embedded one up to date.

    Raises: ConfigurationError for an older PostgreSQL schema, because migrating it is a person's decision, and for a
    schema that a newer release has made.
    """
    found = current(store)
    if found == HEAD:
        return
    if found is not None and not store.is_sqlite:
        refuse_newer(found)
        raise ConfigurationError(
            f"The database is at schema {found}, this release needs {HEAD}.", advice="Run `crmsync migrate`."
        )
    migrate(store)


def refuse_newer(found: str | None) -> None:
    """Raises: ConfigurationError for a schema that this release does not know."""
    if found is not None and found > HEAD:
        raise ConfigurationError(
            f"The database is at schema {found}, which is newer than this release ({HEAD}).",
            advice="Install the release that made it, or restore the backup from before its migration.",
        )


def migrate(store: Store) -> None:
    """Apply what is missing, in one transaction; several processes may call it at once, and others be at work.

    Raises: ConfigurationError for a schema newer than this release, or a database that can't hold every name;
    StoreUnavailableError.
    """
    for tries_left in reversed(range(MIGRATION_TRIES)):
        try:
            _migrate(store)
            return
        except StoreUnavailableError as error:
            if error.code != _DEADLOCK or not tries_left:
                raise


def _migrate(store: Store) -> None:
    with _alone(store) as connection:
        found = _current(connection)
        if found == HEAD:
            return
        refuse_newer(found)
        if not store.is_sqlite:
            if found is None:
                _refuse_other_encodings(connection)
            _lock_tables(connection)
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # heavy, and needed only here
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _lock_tables(connection: Connection) -> None:
    """Wait until nobody is inside a transaction, and let nobody begin one before this ends.

    Table by table as they are changed, the migration would meet transactions that hold one and wait for another.
    """
    quote = connection.dialect.identifier_preparer.quote
    tables = ", ".join(quote(name) for name in sorted(inspect(connection).get_table_names()))
    if tables:
        connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))


def _refuse_other_encodings(connection: Connection) -> None:
    """A name that the database has no letters for would stop its deal, much later. Raises: ConfigurationError."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database stores text as {encoding}, which can't hold every customer's name.",
            advice="Let DATABASE_URL name another one: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        )


@contextmanager
def _alone(store: Store) -> Iterator[Connection]:
    if not store.is_sqlite:
        from crmsync.store import postgresql

        with store.connected(postgresql.UNHURRIED) as connection:
            # Until the transaction ends: a lock of the session would stay behind in a pooler.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
            yield connection
        return
    lock_file = f"{make_url(store.url).database or 'memory'}.lock"
    lock = os.open(lock_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, files.FILE)
    try:
        files.take_from_others(Path(lock_file))  # an earlier release let others read it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with store.connected(sqlite.DURABLE) as connection:
            yield connection
    finally:
        os.close(lock)
