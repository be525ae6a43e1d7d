"""What demo and campaign are played on: crmsync, stand-ins of its systems and a Slack, in a state of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from crmsync.cli.processes import free_ports
from crmsync.lab import machine
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.http import ConnectionDropped, Request, Response, Server
from crmsync.settings import Settings

WORKER_READY = "ready."


class Rig:
    """Its parts, where they are, and what its processes know; a kind of it starts them."""

    def __init__(self, home: Path, sandbox: Sandbox) -> None:
        self.home = home
        self.sandbox = sandbox
        self.slack = SlackCatcher()
        self.logs = machine.Logs(home / "logs")
        self._port, self.flower_port = free_ports(2)
        sandbox.receiver.base_url = self.url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_env(self.configuration())

    @cached_property
    def env(self) -> Mapping[str, str]:
        """The environment of every process."""
        return {**machine.environment(), **self.configuration(), "FLOWER_PORT": str(self.flower_port)}

    def configuration(self) -> dict[str, str]:
        """The variables of crmsync."""
        return {
            "CRMSYNC_HOME": str(self.home),
            "PORT": str(self._port),
            "SLACK_WEBHOOK_URL": self.slack.url,
            **self.sandbox.environment(),
        }

    def ready(self, workers: Iterable[str]) -> dict[str, Callable[[], bool]]:
        """For each of the workers, whether it says that it takes work."""
        return {name: partial(self.logs.contains, name, WORKER_READY) for name in workers}


class SlackCatcher:
    """A stand-in of Slack that takes what is posted to it, and hangs up on whoever calls while it is not open."""

    def __init__(self) -> None:
        self.is_open = True
        self.messages: list[dict[str, Any]] = []
        self.refused = 0
        self._server = Server(self._take)
        self._is_started = False

    @property
    def url(self) -> str:
        return f"{self._server.url}/services/SLACK"

    def _take(self, request: Request) -> Response:
        if not self.is_open:
            self.refused += 1
            raise ConnectionDropped
        self.messages.append(request.json())
        return Response(200, b"ok")

    def __enter__(self) -> Self:
        self._server.start()
        self._is_started = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent, and right also for one that was never entered."""
        if self._is_started:
            self._is_started = False
            self._server.stop()
        self._server.server_close()
