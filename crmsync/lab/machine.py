"""A machine of its own on this machine: signals that end it, a state directory, an environment, logs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

KEPT_LINES = 200
POLL_SECONDS = 0.03

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What the processes may know of the machine: nothing that configures crmsync, and no proxy, as all is on this machine.
_KEPT = (
    "PATH HOME USER LOGNAME SHELL LANG LC_ALL TERM TMPDIR TZ NO_COLOR PYTHONPATH VIRTUAL_ENV LD_LIBRARY_PATH".split()
)

Value = TypeVar("Value")


class Interrupted(BaseException):
    """A signal asks for the end."""


@contextmanager
def signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does; one that comes while it ends changes nothing."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


@contextmanager
def state_directory(prefix: str, tell_kept: Callable[[str], None] | None) -> Iterator[Path]:
    """A state directory that is removed at the end, unless somebody is to be told that it is kept."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield home
    finally:
        if tell_kept is None:
            shutil.rmtree(home, ignore_errors=True)
        else:
            tell_kept(f"The state directory is kept: {home}")


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def forget_proxies() -> None:
    """This process speaks to nothing but this machine."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]


def until(find: Callable[[], Value | None], *, patience_seconds: float) -> Value | None:
    """The first true value of *find*; None when patience is over."""
    ends_at = time.monotonic() + patience_seconds
    while True:
        value = find()
        if value or time.monotonic() > ends_at:
            return value or None
        time.sleep(POLL_SECONDS)


class Logs:
    """Keeps what the processes print: call it with a process's name and a line, from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._latest: dict[str, deque[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, line: str) -> None:
        with self._lock:
            self._latest.setdefault(name, deque(maxlen=KEPT_LINES)).append(line)
            with (self.folder / f"{name}.log").open("a") as file:
                file.write(f"{line}\n")

    def contains(self, name: str, text: str) -> bool:
        with self._lock:
            return any(text in line for line in self._latest.get(name, ()))

    def tails(self, count: int) -> dict[str, list[str]]:
        """The last lines of each process that has said anything."""
        with self._lock:
            return {name: list(lines)[-count:] for name, lines in self._latest.items()}
