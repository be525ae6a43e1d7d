"""Faults of this process or its machine: the run waits, no attempt is counted, one alert says why."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from crmsync.alerts.content import watch_alert
from crmsync.errors import ConfigurationError, ProcessFaultError, StoreUnavailableError
from crmsync.services import Services
from crmsync.store import UnitOfWork

TELL_SECONDS = 30.0  # an outage of the store that was shorter is only logged
_MOST_CAUSES = 20

_LACKS = {
    errno.EMFILE: (
        "This process may open no more files.",
        "Raise the limit (ulimit -n), and restart it.",
    ),
    errno.ENFILE: ("The machine may open no more files.", "Raise fs.file-max, or stop what opens so many."),
    errno.ENOMEM: ("The machine has no memory left.", "Give it more, or run fewer workers."),
    errno.ENOBUFS: ("The machine has no memory left.", "Give it more, or run fewer workers."),
    errno.EADDRNOTAVAIL: ("The machine has no free port left.", "Check what opens so many connections."),
    errno.ENOSPC: ("The disk is full.", "Free space on it."),
    errno.EDQUOT: ("The disk quota is used up.", "Free space, or raise the quota."),
    errno.EROFS: ("The disk is read-only.", "Check the disk and the system's log."),
    errno.EIO: ("The disk is failing.", "Check the disk and the system's log."),
}
_MEMORY = _LACKS[errno.ENOMEM]
_THREADS = ("The process can start no more threads.", "Raise the limit of processes (ulimit -u) or of the container.")
_FILE = "A file of crmsync can't be used: {}."
_FILE_ADVICE = "Give this process the right to read and write its state directory (CRMSYNC_HOME)."


def process_fault(error: BaseException) -> ProcessFaultError | None:
    """*error*, or what lies under it, as a lack of this process; None if it is none."""
    for each in _causes(error):
        if isinstance(each, ProcessFaultError):
            return each
        lack = _lack_of(each, is_direct=each is error)
        if lack is not None:
            sentence, advice = lack
            return ProcessFaultError(sentence, code=_code_of(each), advice=advice)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _lack_of(error: BaseException, *, is_direct: bool) -> tuple[str, str] | None:
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _THREADS
    if isinstance(error, ConfigurationError) and is_direct and error.field_errors.get("CRMSYNC_SECRET_KEY"):
        return str(error), error.advice or ""
    if not isinstance(error, OSError):
        return None
    if error.errno in _LACKS:
        return _LACKS[error.errno]
    return (_FILE.format(error.strerror), _FILE_ADVICE) if is_direct and error.filename is not None else None


def _code_of(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, "") if number else type(error).__name__


def tell(uow: UnitOfWork, using: Services, error: ProcessFaultError) -> None:
    """One alert for the process's fault, however many runs wait for it."""
    if isinstance(error, StoreUnavailableError):
        remember(error)
    else:
        _add_alert(uow, using, error)


def _add_alert(uow: UnitOfWork, using: Services, error: ProcessFaultError) -> None:
    content = watch_alert(
        "crmsync can't work",
        cause=f"{error} The runs wait, and go on by themselves when it can.",
        advice=error.advice or "",
        command=using.settings.pasteable("crmsync doctor"),
    )
    uow.alerts.add(None, f"process:{error.cause}", content)


class _Remembered(NamedTuple):
    error: StoreUnavailableError
    since: float


_remembered: _Remembered | None = None
_lock = threading.Lock()


def remember(error: StoreUnavailableError) -> None:
    """The store itself is the fault, so nothing can be written now."""
    global _remembered
    with _lock:
        since = _remembered.since if _remembered else time.monotonic()
        _remembered = _Remembered(error, since)


def tell_remembered(using: Services) -> None:
    """The store answers again: say what was wrong, unless it was only for a moment."""
    global _remembered
    with _lock:
        past, _remembered = _remembered, None
    if past and (time.monotonic() - past.since >= TELL_SECONDS or (past.error.code or "").startswith("53")):
        with using.store.begin() as uow:
            _add_alert(uow, using, past.error)
