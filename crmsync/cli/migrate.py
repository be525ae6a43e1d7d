"""`crmsync migrate`: migrates the database to the schema of this release."""

from __future__ import annotations

import os
from contextlib import closing

import click

from crmsync.cli import screen
from crmsync.settings import Settings


@click.command
def migrate() -> None:
    """Migrate the database to the schema of this release; several processes may do so at once."""
    from crmsync.store import Store, schema, whereabouts

    settings = Settings.from_env()
    _warn_of_misspelt()
    with closing(Store(settings.database_url)) as store:
        before = schema.current(store)
        schema.migrate(store)
    whereabouts.remember(settings.home, settings.database_url)
    screen.console().print(outcome(before, schema.HEAD))


def _warn_of_misspelt() -> None:
    """Here, because each deployment does this once, before all else."""
    from crmsync import spelling

    for each in spelling.unread(os.environ):
        screen.console(stderr=True).print(f"Warning: {each.name} {each.sentence}")


def outcome(before: str | None, head: str) -> str:
    """
    >>> outcome("0001", "0001"), outcome(None, "0001")
    ('The database is already at schema 0001.', 'The database is now at schema 0001 (it was empty).')
    """
    if before == head:
        return f"The database is already at schema {head}."
    return f"The database is now at schema {head} ({f'before: {before}' if before else 'it was empty'})."
