"""Structured log lines with one correlation id from the webhook to every vendor call; secrets are masked."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from crmsync.plain import json_text, visible

CORRELATION_HEADER = "X-Correlation-Id"

_context: ContextVar[dict[str, str] | None] = ContextVar("crmsync_log_context", default=None)

# A password in an address may hold an @ or a / that should have been encoded: everything up to the last @ is taken.
_IN_ADDRESSES = (
    (re.compile(r"(://[^:/@\s]*):\S*@"), r"\1:***@"),
    (re.compile(r"\b((?:rediss?|redis\+socket|unix)://)[^:/@\s]+@"), r"\1***@"),
    (re.compile(r"(?i)([?&][\w-]*(?:pass|pwd|secret|token)\w*=).*?(?=&[\w.-]+=|[\s\"']|$)"), r"\1***"),
)

# What may look like a secret or a person in a line of a library that we do not control.
_REDACTIONS = (
    (re.compile(r"(?i)\b(bearer|zoho-oauthtoken|basic)\s+[\w.~+/=!-]+"), r"\1 ***"),
    (re.compile(r"(?i)\b((?:access_|refresh_)?token|client_secret|password|assertion|secret)=[^&\s\"']+"), r"\1=***"),
    *_IN_ADDRESSES,
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"), "***@***"),
)

# Without any of these nothing of the above can match; most texts have none, and six patterns cost more than one.
_SUSPICIOUS = re.compile(r"[@=]|(?i:\b(?:bearer|zoho-oauthtoken|basic)\s)")

# Libraries whose lines of level INFO repeat ours, or say nothing to an operator.
_QUIET = (
    *("alembic", "amqp", "celery.app.trace", "celery.redirected", "celery.worker.strategy", "kombu"),
    *("oauthlib", "requests_oauthlib", "urllib3"),
)

# Attributes that every LogRecord has; whatever else is on one was given by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def new_correlation_id() -> str:
    return uuid.uuid4().hex


def correlation_id() -> str:
    """The id of what is being worked on, or "" outside of any work."""
    return (_context.get() or {}).get("correlation_id", "")


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Add *fields* to every line logged inside the block."""
    token = _context.set({**(_context.get() or {}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def redact(text: str) -> str:
    """*text* without tokens, passwords and e-mail addresses.

    >>> redact("GET https://u:pw@host/?token=abc Authorization: Bearer x.y.z of ann@example.com")
    'GET https://u:***@host/?token=*** Authorization: Bearer *** of ***@***'
    """
    if _SUSPICIOUS.search(text) is None:
        return text
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def without_password(address: str) -> str:
    """*address* as it may be shown, even one that is written wrongly.

    >>> without_password("postgresql://crm:p@s/s#@db/crmsync"), without_password("redis://:secret@host/0")
    ('postgresql://crm:***@db/crmsync', 'redis://:***@host/0')
    >>> without_password("unix://:secret@/run/r.sock?db=1"), without_password("postgresql://db/x?user=a&password=b&c")
    ('unix://:***@/run/r.sock?db=1', 'postgresql://db/x?user=a&password=***')
    """
    for pattern, replacement in _IN_ADDRESSES:
        address = pattern.sub(replacement, address)
    return address


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, event (a sentence), action (a stable word), and the context."""

    def format(self, record: logging.LogRecord) -> str:
        return json_text(_fields(record))


class ConsoleFormatter(logging.Formatter):
    """The same facts for a person: time, level, sentence, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        head = f"{fields.pop('at')[11:19]} {fields.pop('level'):<7} {fields.pop('event')}"
        fields.pop("logger")
        tail = " ".join(f"{key}={value}" for key, value in fields.items())
        return visible(f"{head}  {tail}".rstrip())


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
    fields = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": redact(record.getMessage()),
        **(_context.get() or {}),
        **{key: redact(str(value)) for key, value in extra.items() if key not in ("data", "sender")},
    }
    if record.exc_info:
        fields["error"] = _where(record.exc_info)
    return fields


def _where(exc_info: Any) -> str:
    """Class and place of an exception, without its text: that may hold data of a person."""
    error_type, _, innermost = exc_info
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    place = f" at {innermost.tb_frame.f_code.co_filename}:{innermost.tb_lineno}" if innermost is not None else ""
    return f"{getattr(error_type, '__name__', error_type)}{place}"


def place_of(error: BaseException) -> str:
    """Where an error that nobody foresaw came from, innermost call first: all of it that may be logged."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def configure(style: str = "json", level: str = "INFO") -> None:
    """Send every logger of this process to stderr as *style*, `json` or `console`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter() if style == "console" else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


# A command that does not configure logging tells its user by itself; Python would print the warnings beside it.
logging.getLogger("crmsync").addHandler(logging.NullHandler())
