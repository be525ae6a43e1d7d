"""Ends the children of a supervisor that was killed with -9.

    supervisor ──pipe──▶ guardian (a shell of 1 MB, in a session of its own)
                         reads the list of process groups; at end of file kills those of the last list

The kernel closes the pipe however the supervisor ends.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from threading import Lock, Thread

_SCRIPT = """
trap '' HUP INT TERM
while read -r line; do groups=$line; done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class Guardian:
    """The process groups that must not outlive this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._groups: set[int] = set()
        self._closing = False
        self._shell = _start_shell()
        Thread(target=self._watch, name="guardian", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._shell.pid

    def add(self, group: int) -> None:
        """When this returns, *group* is safe."""
        with self._lock:
            self._groups.add(group)
            self._tell()

    def remove(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)
            self._tell()

    def close(self) -> None:
        """End the guardian; the groups that it still knows are killed."""
        with self._lock:
            self._closing = True
            self._hang_up()
        self._shell.wait()

    def _tell(self) -> None:
        """A guardian that has died is replaced by `_watch`, which tells the new one."""
        if not self._closing and self._shell.stdin is not None:
            with suppress(BrokenPipeError):
                self._shell.stdin.write(f"{' '.join(map(str, self._groups))}\n".encode())

    def _watch(self) -> None:
        """Replace a guardian that was killed."""
        while True:
            self._shell.wait()
            with self._lock:
                if self._closing:
                    return
                self._hang_up()
                self._shell = _start_shell()
                self._tell()

    def _hang_up(self) -> None:
        if self._shell.stdin is not None:
            self._shell.stdin.close()


def _start_shell() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", _SCRIPT],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},  # it needs no secret, and lives as long as all of them
        cwd="/",
        start_new_session=True,
    )
