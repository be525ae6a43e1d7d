"""Secrets that crmsync generates for itself on first start and keeps in the state directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from crmsync import files
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings

TOWER_USER = "crmsync"
SECRET_KEY_FILE = "secret.key"  # noqa: S105 - the name of a file
TOWER_PASSWORD_FILE = "tower.password"  # noqa: S105 - the name of a file


def tower_password(settings: Settings) -> str:
    """The password of the control tower and of Flower: CRMSYNC_TOWER_PASSWORD, else one made on first start.

    Raises: ConfigurationError if there is neither.
    """
    if settings.tower_password is not None:
        return settings.tower_password.reveal()
    password = kept(settings, TOWER_PASSWORD_FILE, variable="CRMSYNC_TOWER_PASSWORD").strip()
    if not password:
        path = settings.home / TOWER_PASSWORD_FILE
        raise ConfigurationError(f"{path} is empty. Delete it, or write a password into it.")
    return password


def kept(settings: Settings, name: str, *, variable: str) -> str:
    """The secret in a file of the state directory. Raises: ConfigurationError that names *variable* instead."""
    try:
        return kept_secret(settings.home / name)
    except OSError as error:
        problem = f"must be set, because {settings.home} can't be used ({error.strerror})"
        raise ConfigurationError("The environment is not right.", field_errors={variable: problem}) from error


def kept_secret(path: Path) -> str:
    """The secret that *path* holds; made on first use, readable by its owner only.

    Several processes may ask at once: all get the same one.
    """
    if not path.exists():
        files.make_private_folder(path.parent)
        draft = _draft(path)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # fails if another process was first: its secret counts
        draft.unlink()
    return path.read_text()


def _draft(path: Path) -> Path:
    """A file beside *path* that nobody else writes to, 0600, with a fresh secret."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with open(handle, "w") as file:
        file.write(secrets.token_urlsafe(32))
    return Path(name)
