"""Which database and broker an installation uses: its processes write that to its state directory.

No password is written. A command that is pasted into another shell, one that lacks DATABASE_URL or REDIS_URL, then
asks the right server or says which.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from crmsync.files import FILE, make_private_folder

NAME = "database.address"
BROKER = "broker.address"
OWN_BROKER = "the server of the state directory"
_SECRET_WORDS = ("pass", "pwd", "secret", "token")


def address_of(url: str) -> str:
    """*url* as it may be shown and written down.

    >>> address_of("postgresql+psycopg://crm:geheim@db/crmsync?sslmode=require&password=geheim")
    'postgresql+psycopg://crm@db/crmsync?sslmode=require'
    """
    whole = make_url(url)
    harmless = {key: value for key, value in whole.query.items() if not any(word in key for word in _SECRET_WORDS)}
    return whole._replace(password=None, query=type(whole.query)(harmless)).render_as_string()


def remember(home: Path, url: str) -> None:
    """Best effort: a state directory may be read-only."""
    _write(home, NAME, address_of(url))


def remember_broker(home: Path, address: str) -> None:
    """*address* as it may be shown."""
    _write(home, BROKER, address)


def _write(home: Path, name: str, address: str) -> None:
    if remembered(home, name) != address:
        with suppress(OSError):
            make_private_folder(home)
            (home / name).write_text(f"{address}\n")
            (home / name).chmod(FILE)


def remembered(home: Path, name: str = NAME) -> str:
    """The address that the processes of *home* used last; "" if none ever ran."""
    try:
        return (home / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def exists(url: str) -> bool:
    """Whether there can be a store: a file that is missing would be made by opening it, and an empty one filled."""
    whole = make_url(url)
    if whole.get_backend_name() != "sqlite" or not whole.database:
        return True
    path = Path(whole.database)
    return path.exists() and path.stat().st_size > 0
