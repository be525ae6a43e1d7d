"""What a database error means: one sentence and its cure, by SQLSTATE or SQLite's own code, otherwise by its text.

A refusal that a statement of ours deserved (a duplicate, a value that does not fit, a misspelt column) is a bug and
passes through; all else is a state of the database or of this process, and no run's fault.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from crmsync.errors import StoreUnavailableError

logger = logging.getLogger(__name__)

SYSTEM = "the database"
QUIET_SECONDS = 10.0  # the same refusal is logged once in so long
WORDS_LENGTH = 200


class Fault(NamedTuple):
    sentence: str
    advice: str


_FULL = Fault("The disk of the database is full.", "Free space there; what waits goes on by itself.")
_TOO_MANY = Fault(
    "The database accepts no more connections.",
    "Raise its max_connections or the limit of its user, or lower CRMSYNC_DATABASE_CONNECTIONS; "
    "docs/configuration.md says how many crmsync needs.",
)
_READ_ONLY = Fault(
    "The database is read-only.",
    "Let DATABASE_URL name the primary, or wait until the failover is over.",
)
_STARTING = Fault("The database is starting or stopping.", "Wait until it is up; what waits goes on by itself.")
_LOGIN = Fault("The database refused the user or the password.", "Correct both in DATABASE_URL.")
_NO_DATABASE = Fault("There is no such database.", "Create it, or correct the name in DATABASE_URL.")
_HBA = Fault("The database does not admit this machine or user.", "Add a line for them to its pg_hba.conf.")
_SSL = Fault("The database asks for TLS.", "Add ?sslmode=require to DATABASE_URL.")
_NO_SSL = Fault("The database does not speak TLS.", "Switch it on there, or change sslmode in DATABASE_URL.")
_CERTIFICATE = Fault(
    "The certificate of the database was not accepted.", "Check sslrootcert and sslmode in DATABASE_URL."
)
_NO_HOST = Fault("The host of the database is unknown.", "Correct the host in DATABASE_URL.")
_OPTION = Fault(
    "An option of the database's address has a value that PostgreSQL does not know.",
    "Correct what follows the ? in DATABASE_URL, such as sslmode.",
)
_NOBODY = Fault(
    "Nothing listens at the address of the database.", "Start it, or correct host and port in DATABASE_URL."
)
_SILENT = Fault("The database does not answer.", "Check that it runs and that the network to it is open.")
_SLOW = Fault("The database took too long.", "Check its load and who holds locks in it.")
_BROKEN = Fault("The connection to the database broke.", "Nothing: crmsync connects again.")
_RIGHTS = Fault(
    "The user of the database lacks a right.",
    "GRANT USAGE, CREATE ON SCHEMA public and all rights on its tables to the user of DATABASE_URL.",
)
_TABLES = Fault("The tables in the database are not those of this release.", "Run `crmsync migrate`.")
_NO_SCHEMA = Fault(
    "The search_path of the database's user names no schema that exists.",
    "ALTER ROLE … SET search_path = public, or make the schema and GRANT USAGE, CREATE on it.",
)
_POOLER = Fault(
    "The pooler before the database mixes sessions within a transaction.",
    "Set its pool mode to transaction or session.",
)
_DAMAGED = Fault("The database file is damaged.", "Stop crmsync, and restore the file from a backup.")
_NOT_SQLITE = Fault("The file is not a database of SQLite.", "Correct the path in DATABASE_URL.")
_NO_FILE = Fault("The database file can't be opened.", "Check that its folder exists and belongs to this user.")
_GONE = Fault("The database file was moved or deleted.", "Put it back, or restart crmsync to begin with an empty one.")
_READ_ONLY_FILE = Fault("The database file is read-only.", "Give the user of this process the right to write it.")
_BUSY = Fault("Another process has been writing for too long.", "See which process holds the database file.")
_INPUT = Fault("The disk of the database is failing.", "Check the disk and the system's log.")
_MEMORY = Fault("The database has no memory left.", "Check the memory of its machine.")
_FILES = Fault("This process may open no more files.", "Raise the limit of open files (ulimit -n).")
_POOL = Fault(
    "All database connections of this process are in use.",
    "Raise CRMSYNC_DATABASE_CONNECTIONS, or find out why the database is slow.",
)
_OTHER = Fault("The database refuses to work.", "Its own message is in the log of crmsync and in that of the database.")

# The longest beginning of a SQLSTATE counts.
_BY_STATE = {
    "08": _BROKEN,
    "08P01": _POOLER,
    "0A": _TABLES,
    "25": _BROKEN,
    "25006": _READ_ONLY,
    "26": _POOLER,
    "28": _LOGIN,
    "28000": _HBA,
    "3D": _NO_DATABASE,
    "3F": _NO_SCHEMA,
    "40": _SLOW,
    "42501": _RIGHTS,
    "42P01": _TABLES,
    "42703": _TABLES,
    "42P05": _POOLER,
    "53": _MEMORY,
    "53100": _FULL,
    "53300": _TOO_MANY,
    "55": _SLOW,
    "57": _STARTING,
    "57014": _SLOW,
    "58": _INPUT,
    "XX": _OTHER,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "F0": _OTHER,
    "P0": _OTHER,
}
# A session that says so is of no more use, or has another's state in it.
_BROKEN_STATES = ("08", "25", "26", "42P05", "57P", "58", "XX")

# While connecting there is no SQLSTATE, only words.
_BY_WORDS: Sequence[tuple[str, str, Fault]] = (
    (r"too many (clients|connections)|connection slots", "53300", _TOO_MANY),
    (r"password authentication failed|no password supplied|authentication failed", "28P01", _LOGIN),
    (r"no pg_hba\.conf entry.*(no encryption|SSL off)", "28000", _SSL),
    (r"no pg_hba\.conf entry", "28000", _HBA),
    (r"role .* (does not exist|is not permitted)", "28000", _LOGIN),
    (r"database .* does not exist|no such database", "3D000", _NO_DATABASE),
    (r"permission denied for database", "42501", _RIGHTS),
    (r"starting up|shutting down|not yet accepting|in recovery mode", "57P03", _STARTING),
    (r"not in hot standby", "", _OPTION),
    (r"in hot standby mode", "25006", _READ_ONLY),
    (r"read-only|read.write.*not (found|available)", "25006", _READ_ONLY),
    (r"does not support SSL", "", _NO_SSL),
    (r"certificate", "", _CERTIFICATE),
    (
        r"invalid \S+ value|invalid connection option|bad value for|configuration parameter|definition of service"
        r"|channel binding",
        "",
        _OPTION,
    ),
    (r"resolve host|translate host|name or service not known|name resolution", "", _NO_HOST),
    (r"connection refused|no such file or directory", "08001", _NOBODY),
    (r"too many open files", "", _FILES),
    (r"timeout expired|timed out|no route|unreachable", "08006", _SILENT),
    (r"connection (is|was) (closed|lost)|closed the connection|connection reset|broken pipe", "08006", _BROKEN),
    (r"the database file is gone", "", _GONE),
)
_BY_SQLITE = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_NOMEM: _MEMORY,
    sqlite3.SQLITE_READONLY: _READ_ONLY_FILE,
    sqlite3.SQLITE_PERM: _READ_ONLY_FILE,
    sqlite3.SQLITE_IOERR: _INPUT,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: _NO_FILE,
    sqlite3.SQLITE_NOTADB: _NOT_SQLITE,
    sqlite3.SQLITE_ERROR: _TABLES,
}
_OURS = ("22", "23", "42")  # unless a longer beginning is among the states above


@contextmanager
def translated() -> Iterator[None]:
    """Raises: StoreUnavailableError for what is no statement's fault, with a sentence, a cure and the SQLSTATE."""
    try:
        yield
    except (PoolTimeoutError, DBAPIError, sqlite3.Error) as error:
        unavailable = unavailable_of(error)
        if unavailable is None:
            raise
        raise unavailable from None


def unavailable_of(error: SQLAlchemyError | sqlite3.Error) -> StoreUnavailableError | None:
    if isinstance(error, PoolTimeoutError):
        return _unavailable(_POOL, "", "")
    original = error.orig if isinstance(error, DBAPIError) else error
    found = _BROKEN if original is None else _fault_of(original)
    if found is None and not (isinstance(error, DBAPIError) and error.connection_invalidated):
        return None
    return _unavailable(found or _BROKEN, code_of(original), words_of(original))


def _fault_of(error: BaseException) -> Fault | None:
    """None: the statement is wrong."""
    if isinstance(error, sqlite3.Error):
        return _fault_of_sqlite(error)
    return _fault_of_postgresql(error)


def _fault_of_postgresql(error: BaseException) -> Fault | None:
    import psycopg  # 6 MB for each process, which SQLite spares

    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        known = _by_words(str(error))
        return known[1] if known else _OTHER if isinstance(error, psycopg.OperationalError) else None
    return _by_state(state)


def _by_state(state: str) -> Fault | None:
    found = next((_BY_STATE[state[:length]] for length in (5, 4, 3, 2) if state[:length] in _BY_STATE), None)
    return found or (None if state.startswith(_OURS) else _OTHER)


def _fault_of_sqlite(error: sqlite3.Error) -> Fault | None:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
        return None
    known = _by_words(str(error))
    return known[1] if known else _BY_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHER)


def _by_words(words: str) -> tuple[str, Fault] | None:
    matches = ((state, fault) for form, state, fault in _BY_WORDS if re.search(form, words, re.IGNORECASE | re.DOTALL))
    return next(matches, None)


def code_of(error: BaseException | None) -> str:
    """The SQLSTATE, or SQLite's name of the error; "" where there is none."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "")
    state = getattr(error, "sqlstate", None)
    known = _by_words(str(error)) if error is not None and state is None else None
    return state or (known[0] if known else "")


def words_of(error: BaseException | None) -> str:
    """The server's first sentence, bounded; what it says of a row's values stands behind it.

    >>> words_of(Exception('connection failed: FATAL:  no such thing\\nDETAIL: Key (email)=(ida@acme.test)'))
    'connection failed: FATAL: no such thing'
    """
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    first = (primary or str(error or "")).strip().split("\n", maxsplit=1)[0]
    return " ".join("".join(each if each.isprintable() else " " for each in first).split())[:WORDS_LENGTH]


def is_broken(error: BaseException | None) -> bool:
    """Whether the session that said so must not be used again."""
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return state.startswith(_BROKEN_STATES)


_logged: dict[tuple[str, str], float] = {}


def _unavailable(fault: Fault, code: str, words: str) -> StoreUnavailableError:
    now = time.monotonic()
    if now - _logged.get((fault.sentence, code), -QUIET_SECONDS) >= QUIET_SECONDS:
        _logged[fault.sentence, code] = now
        facts: dict[str, Any] = {"action": "store_unavailable", "sqlstate": code, "words": words}
        logger.warning("%s %s", fault.sentence, fault.advice, extra=facts)
    return StoreUnavailableError(fault.sentence, code=code or None, advice=fault.advice)
