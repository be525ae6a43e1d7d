"""Validates DATABASE_URL before anybody connects: a misread password would be shown as a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

_ENCODED = "in a user name or password, @ : / ? # and % are written %40 %3A %2F %3F %23 and %25"
_SEVERAL = "expected one host and a port from 1 to 65535; several hosts are written ?host=a:5432&host=b:5432"
# What sqlite3.connect takes, as far as it makes sense in an address.
_OF_SQLITE = ("mode", "timeout", "uri")


# As SQLAlchemy takes an address apart; the store's part is not needed for it.
_PARTS = re.compile(
    r"""
    (?P<scheme>[\w+]+)://
    (?:[^:/]*(?::[^@]*)?@)?
    (?:\[[^/?]+\]|(?P<host>[^/:?]+))?
    (?::(?P<port>[^/?]*))?
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?
    """,
    re.VERBOSE | re.DOTALL,
)


def problem_of(url: str) -> str:
    """What is to be corrected in an address of SQLAlchemy; "" if nothing is.

    >>> problem_of("postgresql+psycopg://crm:p@ss@db/crmsync")
    "can't be read: in a user name or password, @ : / ? # and % are written %40 %3A %2F %3F %23 and %25"
    """
    found = _PARTS.fullmatch(url)
    if found is None:
        return f"can't be read: {_ENCODED}"
    host, port, database = found["host"] or "", found["port"], found["database"] or ""
    if "@" in host + database:
        return f"can't be read: {_ENCODED}"
    if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        return _SEVERAL
    options = dict(parse_qsl(found["query"] or "", keep_blank_values=True))
    if found["scheme"] == "sqlite":
        return _problem_of_file(host, database) or _unknown_to_sqlite(options)
    return _unknown_to_postgresql(options)


def _problem_of_file(host: str, path: str) -> str:
    if host:
        return "a path begins with a third slash (a fourth, if it is absolute): sqlite:////path/of/crmsync.db"
    is_file = path not in ("", ":memory:")
    return "" if is_file else "must name a file: other processes can't see a database in memory"


def _unknown_to_sqlite(options: Mapping[str, str]) -> str:
    return next((f"the option {name} is not supported" for name in options if name not in _OF_SQLITE), "")


def _unknown_to_postgresql(options: Mapping[str, str]) -> str:
    import psycopg
    from psycopg.conninfo import make_conninfo

    threshold = options.get("prepare_threshold", "0")
    if not re.fullmatch("[0-9]{1,6}", threshold):
        return "the option prepare_threshold must be a number"
    for name in set(options) - {"prepare_threshold"}:
        try:
            make_conninfo("", **{name: "1"})
        except psycopg.ProgrammingError:
            return f"{name!r} is not an option of PostgreSQL"
    return ""
