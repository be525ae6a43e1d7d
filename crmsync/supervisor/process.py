"""One supervised process: how it is started, and when it is started again."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

RESTART_SECONDS_MAX = 30.0
HEALTHY_SECONDS = 60.0
"""A process that ran this long starts anew with the shortest wait."""

# The child waits for its line, which comes when the guardian knows it; a supervisor that died before sends none.
_GATE = "read -r _ || exit 1; exec </dev/null; exec {command}"


@dataclass(frozen=True)
class ProcessSpec:
    """A process to be supervised.

    *command* is one simple shell command (as in a Procfile, `${NAME:-default}` is expanded) or a list of words.
    *env* is added to what *passes* of the supervisor's. The next process starts when *ready* says so.
    A process that runs *once* has to end well before the next is started; it's not restarted.
    """

    name: str
    command: str | Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    once: bool = False
    passes: Callable[[Mapping[str, str]], Mapping[str, str]] = dict

    @property
    def shell_command(self) -> str:
        return self.command if isinstance(self.command, str) else shlex.join(self.command)


def restart_delay(failures: int) -> float:
    """Seconds to wait before the next start.

    >>> [restart_delay(failures) for failures in range(7)]
    [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    """
    return min(RESTART_SECONDS_MAX, 2.0 ** min(failures, 10))


def spawn(spec: ProcessSpec, *, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
    """Start a process behind its gate, as the leader of its own group; `open_gate` lets it go."""
    return subprocess.Popen(
        [*_parent_death(), "sh", "-c", _GATE.format(command=spec.shell_command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment({**spec.passes(env), **spec.env}),
        cwd=cwd,
        process_group=0,
    )


def open_gate(process: subprocess.Popen[bytes]) -> None:
    with suppress(BrokenPipeError), gate_of(process) as gate:  # it may have been killed while it waited
        gate.write(b"go\n")


def close_gate(process: subprocess.Popen[bytes]) -> None:
    """End a process that still waits."""
    gate_of(process).close()


def gate_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None  # noqa: S101 - spawned with a pipe
    return process.stdin


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the process and of all that it started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """What became of a process, in words.

    >>> describe_exit(-9), describe_exit(3)
    ('was killed by SIGKILL', 'ended with status 3')
    """
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """The commands of this installation come first, whether or not its folder is on the PATH."""
    own = os.path.dirname(sys.executable)
    return {"PYTHONUNBUFFERED": "1", **env, "PATH": os.pathsep.join([own, env.get("PATH", os.defpath)])}


@cache
def _parent_death() -> tuple[str, ...]:
    """On Linux, a command prefix with which the kernel kills a child when its parent thread ends.

    A second net, for the case that the guardian is killed together with the supervisor.
    """
    prefix = ("setpriv", "--pdeathsig", "KILL")
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        return ()
    return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else ()
