"""A receiver as it is served: its processes, and peers that take their time."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.integration.test_webhooks import ENVIRONMENT, SECRET, signed
from tests.system import BIN, ROOT, free_port, until

PASSWORD = "a password of the tower"
START = ["gunicorn", "crmsync.web.wsgi:app", "--config", "python:crmsync.web.serving"]

KINDS = ("nothing", "headers", "body", "chunks", "half a line")
_FIRST = {
    "nothing": b"",
    "headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "body": b"POST /webhook/salesforce/deal-closed HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{",
    "chunks": b"POST /webhook/zoho/payment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "half a line": b"POST /web",
}
_MORE = {"nothing": b"", "headers": b"X-More: 1\r\n", "body": b"x", "chunks": b"1\r\nx\r\n", "half a line": b"h"}


class Receiver:
    """Processes that serve *port*, and *admin_port* if it is not 0."""

    def __init__(self, home: Path, *, files: int = 0, apart: bool = False, **environment: str) -> None:
        self.port = free_port()
        self.admin_port = free_port() if apart else 0
        self.log = home / "web.log"
        self._files = files
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "CRMSYNC_HOME": str(home / "state"),
            "CRMSYNC_TOWER_PASSWORD": PASSWORD,
            "PORT": str(self.port),
            **({"CRMSYNC_ADMIN_PORT": str(self.admin_port)} if apart else {}),
            **ENVIRONMENT,
            **environment,
        }

    def __enter__(self) -> Receiver:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*START], env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=self._limit,
            )  # fmt: skip
        until(self._answers, what="the receiver answers")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _limit(self) -> None:
        if self._files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._files, self._files))

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/healthz") == 200
        return False

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, port: int = 0,
            timeout: float = 20) -> int:  # fmt: skip
        """The status of one call on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            is_stream = not isinstance(body, bytes | None)
            connection.request(method, path, body=body, headers=headers or {}, encode_chunked=is_stream)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def announce(self, body: bytes) -> int:
        return self.ask("POST", "/webhook/salesforce/deal-closed", body, signed(body, SECRET))


class SlowPeer:
    """A connection that begins something and goes on with it, a few bytes at a time."""

    def __init__(self, port: int, kind: str) -> None:
        self.kind = kind
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.sendall(_FIRST[kind])

    def send_more(self) -> None:
        with suppress(OSError):
            self._socket.sendall(_MORE[self.kind])

    def is_closed(self) -> bool:
        """Whether the server has given the connection up."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(1000) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._socket.close()


@contextmanager
def slow_peers(port: int, count: int, *, every_seconds: float = 0.2) -> Iterator[list[SlowPeer]]:
    """*count* of all kinds, who keep sending."""
    peers = [SlowPeer(port, KINDS[number % len(KINDS)]) for number in range(count)]
    over = threading.Event()

    def drip() -> None:
        while not over.wait(every_seconds):
            for peer in peers:
                peer.send_more()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield peers
    finally:
        over.set()
        thread.join()
        for peer in peers:
            peer.close()


def exchange(port: int, *parts: bytes, pause: Callable[[], None] = lambda: None) -> bytes:
    """All that comes back for bytes sent as they are, until the server closes or is silent for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as peer:
        for part in parts:
            peer.sendall(part)
            pause()
        answer = b""
        with suppress(OSError):
            while more := peer.recv(65536):
                answer += more
        return answer
