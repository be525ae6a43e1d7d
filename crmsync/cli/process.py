"""Gives a command what it works with: valid settings, and services over a store that answers."""

from __future__ import annotations

import getpass
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from crmsync.cli import screen
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.services import Services


def open_services(settings: Settings | None = None, *, check_accounts: bool = True, creates: bool = False) -> Services:
    """Services of this environment, until the command ends. Only a command that *creates* makes a store.

    Raises: ConfigurationError, also where there is no store yet or it belongs to other accounts;
    StoreUnavailableError if the database does not answer.
    """
    from crmsync.services import Services

    settings = _with_the_right_store(settings or Settings.from_env())
    _say_which_broker(settings)
    try:
        _look_at(settings, creates=creates)
        made = Services.from_settings(settings, check_accounts=check_accounts)
    except OSError as error:
        raise ConfigurationError(
            f"The state directory can't be used: {error.strerror}.",
            field_errors={"CRMSYNC_HOME": str(settings.home)},
        ) from error
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(made.store.close)
    return made


def _with_the_right_store(settings: Settings) -> Settings:
    """A shell that lacks DATABASE_URL asks the database of the processes, where that needs no password."""
    from crmsync.store import whereabouts

    used, asked = whereabouts.remembered(settings.home), whereabouts.address_of(settings.database_url)
    if used in ("", asked):
        return settings
    if not settings.has_default_store:
        screen.console(stderr=True).print(
            f"Note: this command uses {asked}; the processes of {settings.home} use {used}."
        )
        return settings
    if used.startswith("sqlite:"):
        return replace(settings, database_url=used)
    raise ConfigurationError(
        "This shell does not say which database to use.",
        field_errors={"DATABASE_URL": f"is not set here; the processes of {settings.home} use {used}"},
        advice="Set it, with its password, as it is set for them.",
    )


def _say_which_broker(settings: Settings) -> None:
    """A shell without REDIS_URL sends its messages where nobody listens. Nothing is lost by that, only time."""
    from crmsync.store import whereabouts

    used = whereabouts.remembered(settings.home, whereabouts.BROKER)
    if used in ("", whereabouts.OWN_BROKER) or settings.redis_url or settings.broker_url:
        return
    wait = settings.behaviour.queued_for.total_seconds() + settings.behaviour.sweep_seconds
    screen.console(stderr=True).print(
        f"Note: REDIS_URL is not set here; the processes of {settings.home} use {used}. What you start here may begin "
        f"only after {wait:g} s, when they scan by themselves. Set it as it is set for them."
    )


def _look_at(settings: Settings, *, creates: bool) -> None:
    """Raises: StoreUnavailableError; ConfigurationError if there is none and this command makes none."""
    from crmsync.store import Store, schema, whereabouts

    is_there = creates or whereabouts.exists(settings.database_url)
    if is_there:
        store = Store(settings.database_url)
        try:
            store.ping()
            is_there = creates or schema.current(store) is not None
        finally:
            store.close()
    if not is_there:
        raise ConfigurationError(
            f"There is no store yet: {whereabouts.address_of(settings.database_url)} has no tables of crmsync.",
            advice="`crmsync up` and `crmsync migrate` make one. If crmsync runs already, then with another "
            "CRMSYNC_HOME or DATABASE_URL: set them here as they are set there.",
        )


def user() -> str:
    """The name of this terminal's user, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under an id without a name
        return f"user {os.getuid()}"
