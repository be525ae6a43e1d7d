"""Brings a database to the schema that this release needs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url

from crmsync.errors import ConfigurationError
from crmsync.store.engine import Store

HEAD = "0006"  # the newest migration: a test compares it with the folder
_LOCK_KEY = 7_236_541  # PostgreSQL's advisory lock of whoever migrates


def current(store: Store) -> str | None:
    """The migration that the database stands at; None for an empty one."""
    with store.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def ensure(store: Store) -> None:
    """Make the tables of an empty database, and bring an embedded one up to date.

    Raises: ConfigurationError for an older PostgreSQL schema: migrating it is a person's decision.
    """
    found = current(store)
    if found == HEAD:
        return
    if found is not None and not store.is_sqlite:
        raise ConfigurationError(
            f"The database is at schema {found}, this release needs {HEAD}. Run `crmsync migrate`."
        )
    migrate(store)


def migrate(store: Store) -> None:
    """Apply what is missing; several processes may call it at once."""
    from alembic import command  # heavy, and needed only here
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with _alone(store) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


@contextmanager
def _alone(store: Store) -> Iterator[Connection]:
    if not store.is_sqlite:
        with store.engine.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({_LOCK_KEY})"))
            connection.commit()
            try:
                yield connection
            finally:
                connection.rollback()
                connection.execute(text(f"SELECT pg_advisory_unlock({_LOCK_KEY})"))
                connection.commit()
        return
    database = make_url(store.url).database or "memory"
    with open(f"{database}.lock", "w") as lock, store.engine.connect() as connection:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield connection
