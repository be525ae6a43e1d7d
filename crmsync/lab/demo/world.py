"""The demo's world: the stand-ins, every process of crmsync, a Slack, and a state directory of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from crmsync.cli.processes import specs
from crmsync.lab import machine
from crmsync.lab.demo.narrator import Narrator
from crmsync.lab.rig import Rig
from crmsync.lab.sandbox import Sandbox
from crmsync.store import Store
from crmsync.supervisor import Supervisor

SETTLE_SECONDS = 2
CURRENCY = "USD"  # of the stand-in org, which has only one
COMMAND_SECONDS = 60


class World(Rig):
    """Use `in_temporary_state`, then `running`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, Sandbox())
        self.start_seconds = 0.0

    @classmethod
    @contextmanager
    def in_temporary_state(cls, *, keep: bool, say: Callable[[str], None]) -> Iterator[World]:
        """Its state directory is removed at the end, unless it is to be kept."""
        with machine.state_directory("crmsync-demo-", say if keep else None) as home:
            world = cls(home)
            try:
                yield world
            finally:
                world.slack.close()

    @contextmanager
    def running(self, narrator: Narrator) -> Iterator[None]:
        """Everything up, and down again at the end."""
        machine.forget_proxies()
        with self.sandbox, self.slack:
            with narrator.waiting("starting Redis, receiver, worker, beat and Flower"):
                supervisor = self._supervisor()
                watch = Stopwatch()
                supervisor.__enter__()
            self.start_seconds = watch()
            try:
                yield
            finally:
                with narrator.waiting("stopping every process"):
                    supervisor.stop()
                self.store.close()

    def _supervisor(self) -> Supervisor:
        made = specs(self.settings, ready={"worker": self.ready(["worker1"])["worker1"]})
        return Supervisor(made, env=self.env, cwd=self.home, on_line=self.logs, grace_seconds=10)

    # -- where it is

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.flower_port}/"

    @cached_property
    def store(self) -> Store:
        return Store(self.settings.database_url)

    @cached_property
    def password(self) -> str:
        from crmsync.passwords import tower_password

        return tower_password(self.settings)

    def sign_in_link(self) -> str:
        """Opens the control tower for whoever sits here: good for a few minutes, and once."""
        from crmsync.domain.access import new_secret
        from crmsync.passwords import TOWER_USER

        key = new_secret()
        with self.store.begin() as uow:
            uow.sessions.open(key, TOWER_USER, is_link=True)
        return f"{self.url}/sign-in/{key}"

    def configuration(self) -> dict[str, str]:
        return {
            **super().configuration(),
            "CRMSYNC_LOG_STYLE": "console",
            "CRMSYNC_WORKERS": "1",
            "CRMSYNC_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "CRMSYNC_CATCH_UP_GRACE_SECONDS": "0",
            "CRMSYNC_DEFAULT_CURRENCY": CURRENCY,
            "CRMSYNC_INVENTORY_SECONDS": "0",  # the story asks for both itself
            "CRMSYNC_CATCH_UP_SECONDS": "0",
        }

    # -- what a person types

    def command(self, text: str) -> str:
        """*text* as it can be pasted into another shell. What calls the stand-ins needs their addresses and keys."""
        if not text.startswith("crmsync "):
            return self.settings.pasteable(text)
        return f". {shlex.quote(str(self._environment_file))}; {text}"

    @cached_property
    def _environment_file(self) -> Path:
        """What the processes know, as lines of a shell; only this user may read it."""
        path = self.home / "environment"
        path.touch(mode=0o600)
        path.write_text("".join(f"export {key}={shlex.quote(value)}\n" for key, value in self.configuration().items()))
        return path

    def run(self, text: str, *, width: int) -> subprocess.CompletedProcess[str]:
        """Really run a command, in a shell that knows nothing but what the command itself says."""
        return subprocess.run(
            ["sh", "-c", self.command(text)],
            env={**machine.environment(), "PATH": _path(), "COLUMNS": str(width)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )


def _path() -> str:
    """The commands of this installation first."""
    return os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._started_at
