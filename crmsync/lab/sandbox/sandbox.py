"""The sandbox: a world of stand-ins and its control API, each on its own port, in one process."""

import threading
from typing import Any, Self

from crmsync.lab.sandbox.control import Control
from crmsync.lab.sandbox.profile import SandboxProfile
from crmsync.lab.sandbox.server import Server
from crmsync.lab.sandbox.world import World

RETRY_POLL_SECONDS = 0.2


class Sandbox(World):
    """A world that is served: a context manager that starts and stops its servers."""

    def __init__(self, profile: SandboxProfile | None = None, **settings: Any) -> None:
        super().__init__(profile, **settings)
        self._control: Server | None = None
        self._stopped = threading.Event()

    def start(self) -> Self:
        base = self.profile.port_base
        self._control = Server(Control(self).serve, base)
        for offset, vendor in enumerate(self.vendors, 1):
            vendor.open(base + offset if base else 0)
        self._control.start()
        self._stopped.clear()
        threading.Thread(target=self._repeat_messages, daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        for vendor in self.vendors:
            vendor.close()
        if self._control:
            self._control.stop()
            self._control = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def control_url(self) -> str:
        """Where the control API is. Raises: RuntimeError before the start."""
        if self._control is None:
            raise RuntimeError("the sandbox is not started")
        return self._control.url

    def _repeat_messages(self) -> None:
        """Send Outbound Messages again when their wait is over."""
        while not self._stopped.wait(RETRY_POLL_SECONDS):
            for company in self.companies:
                company.deliver(due_only=True)
