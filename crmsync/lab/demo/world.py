"""The demo's world: the stand-ins, every process of crmsync, a Slack, and a state directory of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from crmsync.cli.processes import free_ports, specs
from crmsync.lab import machine
from crmsync.lab.demo.narrator import Narrator
from crmsync.lab.machine import Logs, SlackCatcher
from crmsync.lab.sandbox import Sandbox
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.supervisor import Supervisor

SETTLE_SECONDS = 2
CURRENCY = "USD"  # of the stand-in org, which has only one
COMMAND_SECONDS = 60
WORKER_READY = "ready."


class World:
    """Use `in_temporary_state`, then `running`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sandbox = Sandbox()
        self.slack = SlackCatcher()
        self.logs = Logs(home / "logs")
        self.start_seconds = 0.0
        self._port, self.flower_port = free_ports(2)

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
            self.sandbox.receiver.base_url = self.url
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
        ready = {"worker": lambda: self.logs.contains("worker1", WORKER_READY)}
        return Supervisor(
            specs(self.settings, ready=ready), env=self.env, cwd=self.home, on_line=self.logs, grace_seconds=10
        )

    # -- where it is

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.flower_port}/"

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_env(self._configuration())

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

    @cached_property
    def env(self) -> Mapping[str, str]:
        """The environment of every process."""
        return {**machine.environment(), **self._configuration(), "FLOWER_PORT": str(self.flower_port)}

    def _configuration(self) -> dict[str, str]:
        return {
            "CRMSYNC_HOME": str(self.home),
            "PORT": str(self._port),
            "CRMSYNC_LOG_STYLE": "console",
            "CRMSYNC_WORKERS": "1",
            "CRMSYNC_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "CRMSYNC_CATCH_UP_GRACE_SECONDS": "0",
            "CRMSYNC_DEFAULT_CURRENCY": CURRENCY,
            "CRMSYNC_INVENTORY_SECONDS": "0",  # the story asks for both itself
            "CRMSYNC_CATCH_UP_SECONDS": "0",
            "SLACK_WEBHOOK_URL": self.slack.url,
            **self.sandbox.environment(),
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
        path.write_text("".join(f"export {key}={shlex.quote(value)}\n" for key, value in self._configuration().items()))
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
