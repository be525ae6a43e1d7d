"""Where `crmsync prove` kills or stops a process on purpose, how it says so, and what does it in the process.

    claimed         the run is leased, nothing was asked for yet
    reserved        the intent to create is committed, the call is not made yet
    sent            the request has left, its answer has not come
    answered        the answer came, nothing of it is stored
    ending          the outcome is written, and with it the next step's claim, and nothing is committed
    stored          the outcome is committed, the chain has not gone on
    handing         what is left of the chain is free, and not handed back to Celery yet
    unacknowledged  the next message is sent, this one's is not acknowledged

The file `armed` in the folder names one of them; the process that gets there first takes the file away, so that a
failpoint strikes once, whoever comes by. It leaves `struck` behind, with its process id and the instant.

The file `clock` holds by how many seconds the machine's clock is wrong, as the processes see it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

from crmsync import failpoints

BOUNDARIES = ("claimed", "reserved", "sent", "answered", "ending", "stored", "handing", "unacknowledged")
ANY, WRITE, CREATE = "any", "write", "create"
KILL, STOP = "kill", "stop"
SIGNALS = {KILL: signal.SIGKILL, STOP: signal.SIGSTOP}

_ARMED, _STRUCK, _LEFT, _CLOCK = "armed", "struck", "left", "clock"
_TAKING_EFFECT_SECONDS = 0.05  # a stop goes to the process: this thread may run on for a moment
_READS = ("GET", "HEAD")
_SIGN_IN = "oauth"  # in the address of every token endpoint: signing in is no part of a step

_folder: Path | None = None
_step: ContextVar[str] = ContextVar("crmsync_failpoint_step", default="")
_is_creating: ContextVar[bool] = ContextVar("crmsync_failpoint_is_creating", default=False)
_is_struck: ContextVar[bool] = ContextVar("crmsync_failpoint_is_struck", default=False)


@dataclass(frozen=True, slots=True)
class Failpoint:
    """Where to strike and how. *call* tells which request counts for `sent`: any, one that writes, or a create."""

    step: str  # "flow.step"
    boundary: str
    call: str = ANY
    action: str = KILL

    def __str__(self) -> str:
        return f"{self.step} {self.boundary} {self.call} {self.action}"


@dataclass(frozen=True, slots=True)
class Strike:
    """A failpoint that has struck; *at* is seconds since the epoch."""

    pid: int
    at: float


# In the processes that may be struck


def arm_process(folder: Path | None) -> None:
    """Let this process and its forks look for failpoints in *folder*; None: for none."""
    global _folder
    _folder = folder
    failpoints.watch(_hit if folder is not None else None)
    if folder is not None:
        _watch_requests()
        _watch_tasks()


def clock(folder: Path) -> Callable[[], datetime]:
    """A clock that is as wrong as *folder* says just now."""
    return lambda: datetime.now(UTC) + timedelta(seconds=_ahead_seconds(folder))


def _ahead_seconds(folder: Path) -> float:
    try:
        return float((folder / _CLOCK).read_text())
    except FileNotFoundError:
        return 0.0


def _hit(boundary: str, step: str) -> None:
    if _folder is not None:
        _step.set(step)
        _is_creating.set(boundary == "reserved")
        _strike_if_armed(_folder, step, boundary, {ANY})


def leave() -> None:
    """This thread's step is over: what it calls from here on belongs to none."""
    if _folder is not None:
        _step.set("")
        if _is_struck.get():
            _is_struck.set(False)
            (_folder / _LEFT).touch()


def _watch_tasks() -> None:
    """`unacknowledged` lies between two lines of Celery."""
    from celery.signals import task_postrun

    task_postrun.connect(_pass_end_of_task)


def _pass_end_of_task(task: Any, state: str, **_: Any) -> None:
    """The next message is sent by now, and this one is acknowledged after this."""
    from celery.states import SUCCESS

    if state == SUCCESS:
        _hit("unacknowledged", _step.get() or task.name)  # a message may go through several steps: the last one
    leave()


def _watch_requests() -> None:
    """`sent` has no place in our code: it is between two lines of urllib3."""
    from urllib3.connection import HTTPConnection

    original = HTTPConnection.getresponse
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def getresponse(connection: HTTPConnection) -> Any:
        _hit_sent(connection)
        return original(connection)

    HTTPConnection.getresponse = getresponse  # type: ignore[method-assign, assignment]


def _hit_sent(connection: Any) -> None:
    options, step = connection._response_options, _step.get()
    if _folder is not None and step and options is not None and _SIGN_IN not in options.request_url:
        _strike_if_armed(_folder, step, "sent", _kinds(options.request_method))


def _kinds(method: str) -> set[str]:
    if method.upper() in _READS:
        return {ANY}
    return {ANY, WRITE, CREATE} if _is_creating.get() else {ANY, WRITE}


def _strike_if_armed(folder: Path, step: str, boundary: str, calls: set[str]) -> None:
    armed = _read(folder)
    if armed is None or (armed.step, armed.boundary) != (step, boundary):
        return
    if boundary != "sent" or armed.call in calls:
        _strike(folder, armed)


def _read(folder: Path) -> Failpoint | None:
    try:
        return Failpoint(*(folder / _ARMED).read_text().split())
    except FileNotFoundError:
        return None


def _strike(folder: Path, armed: Failpoint) -> None:
    pid = os.getpid()
    try:
        os.rename(folder / _ARMED, folder / f"taken-{pid}")
    except FileNotFoundError:  # another thread or process was first
        return
    note = folder / f"struck-{pid}"
    note.write_text(f"{pid} {time.time()}")
    os.rename(note, folder / _STRUCK)
    _is_struck.set(True)
    os.kill(pid, SIGNALS[armed.action])
    time.sleep(_TAKING_EFFECT_SECONDS)


# In the campaign


def arm(folder: Path, failpoint: Failpoint) -> None:
    """Let the first process that comes to *failpoint* be struck, once."""
    disarm(folder)
    waiting = folder / "waiting"
    waiting.write_text(str(failpoint))
    os.rename(waiting, folder / _ARMED)


def disarm(folder: Path) -> None:
    """Forget what is armed, and what has struck."""
    for name in (_ARMED, _STRUCK, _LEFT):
        (folder / name).unlink(missing_ok=True)


def set_clock(folder: Path, ahead_seconds: float) -> None:
    """Let the clock of every process be wrong by so much."""
    waiting = folder / "clock-waiting"
    waiting.write_text(str(ahead_seconds))
    os.rename(waiting, folder / _CLOCK)


def struck(folder: Path) -> Strike | None:
    """What became of the armed failpoint; None: nobody has come to it yet."""
    try:
        pid, at = (folder / _STRUCK).read_text().split()
    except FileNotFoundError:
        return None
    return Strike(int(pid), float(at))


def has_left(folder: Path) -> bool:
    """Whether a process that was stopped has gone on and come to the end of its step."""
    return (folder / _LEFT).exists()
