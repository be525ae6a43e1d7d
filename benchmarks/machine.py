"""Processes of a measurement: started by name, weighed while they run, gone afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from benchmarks.pss import process_tree, pss_bytes

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
TICKS = os.sysconf("SC_CLK_TCK")
RUN_SECONDS = 60.0
STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1

Value = TypeVar("Value")


class StuckError(RuntimeError):
    """Something that was waited for did not come."""


def until(condition: Callable[[], Value], *, what: str, seconds: float = 60.0, poll_seconds: float = 0.02) -> Value:
    """The first true value of *condition*. Raises: StuckError."""
    ends_at = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > ends_at:
            raise StuckError(f"not within {seconds:g} s: {what}")
        time.sleep(poll_seconds)
    return value


class Processes:
    """Shell commands by name, each in a session of its own; their output goes to *home*. All end with the block."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(*reversed(self._running))

    def start(self, name: str, command: str, **environment: str) -> None:
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                env={**self.environment, **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def await_word(self, name: str, word: str, *, seconds: float = 60.0) -> None:
        """Wait until the output of a process holds *word*. Raises: StuckError, also where the process has ended."""

        def is_there() -> bool:
            text = self.log(name).read_text(errors="replace")
            if word not in text and self._running[name].poll() is not None:
                raise StuckError(f"{name} has ended: {text[-2000:]}")
            return word in text

        until(is_there, what=f"{word!r} from {name}; see {self.log(name)}", seconds=seconds)

    def run(self, name: str, command: str, **environment: str) -> None:
        """Wait for a command that does its work and ends. Raises: StuckError if it fails."""
        self.start(name, command, **environment)
        if self._running[name].wait(RUN_SECONDS):
            raise StuckError(f"{name} failed: {self.log(name).read_text(errors='replace')[-2000:]}")
        self.stop(name)

    def stop(self, *names: str) -> None:
        """Ask all of them to end, then wait; what does not end in time is killed, children too."""
        stopping = {name: self._running.pop(name) for name in list(names) if name in self._running}
        for process in stopping.values():
            _signal(process.pid, signal.SIGTERM, is_group=False)
        for process in stopping.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            _signal(process.pid, signal.SIGKILL, is_group=True)
            process.wait(STOP_SECONDS)

    @property
    def names(self) -> list[str]:
        return list(self._running)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def cpu_seconds(self, name: str) -> float:
        """Processor time, user and system, of a process and its living descendants."""
        return sum(map(_cpu_seconds, process_tree(self.pid(name))))

    def pss_bytes(self, name: str) -> int:
        return sum(map(pss_bytes, process_tree(self.pid(name))))


def _cpu_seconds(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = stat.rpartition(")")[2].split()  # the name of a process may hold blanks
    return (int(fields[11]) + int(fields[12])) / TICKS


def _signal(pid: int, number: int, *, is_group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if is_group else os.kill)(pid, number)


def _end_with_parent() -> None:
    """A benchmark killed with -9 takes its processes along."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
