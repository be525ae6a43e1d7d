"""Starts processes in order, keeps them running, and stops them in the opposite order.

start    one by one; where a process has a readiness check, or runs once, the next one waits for it
restart  after 1, 2, 4 … 30 seconds; after a minute of health, after 1 again
stop     SIGTERM, then SIGKILL to the whole group; what nothing waited for stops together and first
die      the guardian kills every group
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from types import FrameType, TracebackType
from typing import Self

from crmsync.errors import ConfigurationError
from crmsync.supervisor.console import Console
from crmsync.supervisor.guardian import Guardian
from crmsync.supervisor.process import (
    HEALTHY_SECONDS,
    ProcessSpec,
    close_gate,
    describe_exit,
    kill_group,
    open_gate,
    restart_delay,
    spawn,
)

GRACE_SECONDS = 30.0
READY_SECONDS = 60.0
_POLL_SECONDS = 0.2
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Runs processes until it is told to stop.

    *on_line* gets the name and the line of whatever a process prints; it's called from several threads.
    Use `run` for a program that does nothing else, or a `with` block for one that does.
    """

    def __init__(
        self,
        processes: Sequence[ProcessSpec],
        *,
        env: Mapping[str, str],
        cwd: Path,
        on_line: Callable[[str, str], None] | None = None,
        restart: bool = True,
        grace_seconds: float = GRACE_SECONDS,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._on_line = on_line if on_line is not None else Console([spec.name for spec in processes])
        self._grace_seconds = grace_seconds
        self._ready_seconds = ready_seconds
        self._stop_requested = Event()
        self._has_signal = False
        self._guardian: Guardian | None = None
        self._keepers = [_Keeper(spec, self, env=env, cwd=cwd, restart=restart) for spec in processes]

    # -- the life of a supervisor

    def run(self) -> int:
        """Start, wait until a signal asks for the end, stop; returns the exit status."""
        with self._signals():
            try:
                self.start()
                return self.wait()
            finally:
                self.stop()

    def start(self) -> None:
        """Start every process in order; returns when the last one has been started (and is ready).

        Raises: ConfigurationError if one isn't ready in time, or one that runs once fails.
        """
        self._guardian = Guardian()
        for keeper in self._keepers:
            if self._is_asked_to_stop():
                return
            keeper.start(self._guardian)
            self._await_ready(keeper)

    def wait(self) -> int:
        """Block until a stop is requested (0) or every process has ended (1 if one failed)."""
        while not self._is_asked_to_stop():
            if all(keeper.is_over() for keeper in self._keepers):
                return int(any(keeper.has_failed() for keeper in self._keepers))
            self.sleep(_POLL_SECONDS)
        return 0

    def request_stop(self) -> None:
        """Make `wait` return, from any thread."""
        self._stop_requested.set()

    def stop(self) -> None:
        """Stop every process, the last started first; returns when none is left. Idempotent."""
        self.request_stop()
        for batch in self._batches_to_stop():
            _stop_together(batch, self._grace_seconds)
        if self._guardian is not None:
            self._guardian.close()

    def pids(self) -> dict[str, int]:
        """The process id of each process that runs now."""
        return {keeper.spec.name: keeper.process.pid for keeper in self._keepers if keeper.process is not None}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # -- what the keepers need

    def say(self, name: str, line: str) -> None:
        self._on_line(name, line)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past a request to stop."""
        self._stop_requested.wait(seconds)

    @property
    def is_stopping(self) -> bool:
        return self._stop_requested.is_set()

    # -- in detail

    def _await_ready(self, keeper: _Keeper) -> None:
        deadline = time.monotonic() + self._ready_seconds
        while not (self._is_asked_to_stop() or keeper.may_go_on()):
            if keeper.has_failed():
                raise ConfigurationError(f"{keeper.spec.name} failed, so the processes after it are not started.")
            if not keeper.spec.once and time.monotonic() > deadline:
                raise ConfigurationError(f"{keeper.spec.name} was not ready within {self._ready_seconds:g} s.")
            self.sleep(0.02)

    def _batches_to_stop(self) -> list[list[_Keeper]]:
        """From the last to the first; neighbours that nothing waited for are one batch."""
        batches: list[list[_Keeper]] = [[]]
        for keeper in reversed(self._keepers):
            if keeper.is_waited_for():
                batches += [[keeper], []]
            else:
                batches[-1].append(keeper)
        return batches

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal asks for the end, a second one doesn't wait for it."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Sets no Event: the interrupted code may be inside that Event's lock."""
        if self._has_signal:
            for keeper in self._keepers:
                keeper.kill()
        self._has_signal = True

    def _is_asked_to_stop(self) -> bool:
        if self._has_signal:
            self.request_stop()
        return self.is_stopping


class _Keeper:
    """Keeps one process running, in a thread of its own.

    The thread that starts a process also waits for it: the kernel's parent-death signal is bound to that thread.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        supervisor: Supervisor,
        *,
        env: Mapping[str, str],
        cwd: Path,
        restart: bool,
    ) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self._supervisor = supervisor
        self._env = env
        self._cwd = cwd
        self._restart = restart and not spec.once
        self._status: int | None = None
        self._is_stopping = False
        self._thread: Thread | None = None

    def start(self, guardian: Guardian) -> None:
        self._thread = Thread(target=self._keep, args=(guardian,), name=f"keeper-{self.spec.name}", daemon=True)
        self._thread.start()

    # -- questions

    def is_waited_for(self) -> bool:
        return self.spec.once or self.spec.ready is not None

    def may_go_on(self) -> bool:
        """True when the next process may start."""
        if self.spec.once:
            return self.is_over() and not self.has_failed()
        return self.spec.ready is None or self.spec.ready()

    def is_over(self) -> bool:
        """True when the process has ended and isn't started again."""
        return self._thread is None or not self._thread.is_alive()

    def has_failed(self) -> bool:
        return self.is_over() and self._status not in (None, 0)

    # -- the end

    def terminate(self) -> None:
        """Ask the leader alone: a Celery or Gunicorn master ends its own children in order."""
        self._is_stopping = True
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        if self.process is not None:
            kill_group(self.process)

    def join(self, seconds: float) -> bool:
        if self._thread is not None:
            self._thread.join(seconds)
        return self.is_over()

    # -- in its thread

    def _keep(self, guardian: Guardian) -> None:
        failures = 0
        while not self._ends():
            started_at = time.monotonic()
            self._status = self._run(guardian)
            if not self._restart or self._ends():
                return
            failures = 0 if time.monotonic() - started_at > HEALTHY_SECONDS else failures
            self._announce_restart(restart_delay(failures))
            self._supervisor.sleep(restart_delay(failures))
            failures += 1

    def _ends(self) -> bool:
        return self._is_stopping or self._supervisor.is_stopping

    def _run(self, guardian: Guardian) -> int | None:
        """Run the process to its end, with everything that it started; None if it was us who ended it."""
        process = spawn(self.spec, env=self._env, cwd=self._cwd)
        guardian.add(process.pid)
        self.process = process
        if self._is_stopping:
            close_gate(process)
        else:
            open_gate(process)
        status = self._follow(process)
        self.process = None
        guardian.remove(process.pid)
        return None if self._is_stopping else status

    def _follow(self, process: subprocess.Popen[bytes]) -> int:
        """A child of the process may hold the pipe open; killing the group ends it too."""
        reader = Thread(target=self._read, args=(process,), name=f"reader-{self.spec.name}", daemon=True)
        reader.start()
        status = process.wait()
        kill_group(process)
        reader.join()
        return status

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - spawned with a pipe
        with process.stdout:
            for line in process.stdout:
                self._supervisor.say(self.spec.name, line.decode(errors="replace").rstrip("\r\n"))

    def _announce_restart(self, seconds: float) -> None:
        how = describe_exit(self._status or 0)
        self._supervisor.say(self.spec.name, f"{how}; it starts again in {seconds:g} s")


def _stop_together(keepers: Sequence[_Keeper], grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    for keeper in keepers:
        keeper.terminate()
    for keeper in keepers:
        while not keeper.join(max(0.0, deadline - time.monotonic())):
            keeper.kill()
            deadline = time.monotonic() + 1.0
