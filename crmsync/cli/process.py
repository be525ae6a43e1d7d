"""What a command works with: settings that hold, and services over a store that answers."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from crmsync.errors import ConfigurationError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.services import Services


def open_services(settings: Settings | None = None, *, check_accounts: bool = True) -> Services:
    """Services of this environment; the tables of an empty database are made.

    Raises: ConfigurationError, also where the store belongs to other accounts; StoreUnavailableError if the database
    does not answer.
    """
    from crmsync.services import Services

    settings = settings or Settings.from_env()
    try:
        return Services.from_settings(settings, check_accounts=check_accounts)
    except OSError as error:
        raise ConfigurationError(
            f"The state directory can't be used: {error.strerror}.",
            field_errors={"CRMSYNC_HOME": str(settings.home)},
        ) from error


def user() -> str:
    """Who sits at this terminal, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under an id without a name
        return f"user {os.getuid()}"
