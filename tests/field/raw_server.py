"""A server for tests that sends any bytes at any pace: answers that are cut, stalled, trickled, endless, or no HTTP.

    with RawServer(answer(b"{}")) as server:                       # each request gets the same good answer
    with RawServer(answer(b"{}", length=1128)) as server:          # cut: 2 bytes of 1,128, then the end
    with RawServer(answer(b"{}"), RESET) as server:                # the first is good, all later ones are reset
    with RawServer(lambda peer: peer.trickle(b"HTTP/1.1 200 OK\r\n")) as server:
    server.at("/oauth/", trickled(b"{}"))                          # another script for paths that start so

A script is the bytes to send, or a function of the Peer that sends them. The connection is kept for the next request
unless the script closes it, or the bytes name a length that they don't have. Nothing outlasts the `with` block.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

PACE_SECONDS = 0.02  # fast for a person, and slow enough that nothing trickled comes to its end within a test
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class _GoneError(Exception):
    """The other side, or the test, has ended the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came, as it came: the first line, the header fields by lower-case name, the body."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


class Peer:
    """The connection to one client, as a script sees it."""

    def __init__(self, connection: socket.socket, is_over: threading.Event, request: Request) -> None:
        self._connection = connection
        self._is_over = is_over
        self.request = request

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            raise _GoneError from None

    def trickle(self, data: bytes, *, every_seconds: float = PACE_SECONDS) -> None:
        """One byte at a time."""
        for each in data:
            self.send(bytes([each]))
            self.wait(every_seconds)

    def repeat(self, data: bytes, *, every_seconds: float = PACE_SECONDS) -> None:
        """The same bytes again and again, until the client has had enough."""
        for _ in itertools.count():
            self.send(data)
            self.wait(every_seconds)

    def wait(self, seconds: float) -> None:
        if self._is_over.wait(seconds):
            raise _GoneError

    def stall(self) -> None:
        """Send nothing more, and keep the connection open until the client closes it or the test is over."""
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError):
                self._connection.settimeout(PACE_SECONDS)
                if not self._connection.recv(1024):
                    break
        raise _GoneError

    def close(self) -> None:
        raise _GoneError

    def reset(self) -> None:
        """End it with a RST instead of an orderly close."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _GoneError


Script = bytes | Callable[[Peer], None]


def answer(
    body: bytes = b"{}",
    status: str = "200 OK",
    headers: Iterable[str] = (),
    *,
    length: int | None = None,
    content_type: str = "application/json",
) -> bytes:
    """One whole answer; *length* is what Content-Length claims, where that is not the truth."""
    fields = [f"Content-Type: {content_type}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return head(status, fields) + body


def head(status: str = "200 OK", headers: Iterable[str] = ()) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, [f"Location: {location}"], content_type="text/html")


def html(status: str = "200 OK", headers: Iterable[str] = ()) -> bytes:
    return answer(b"<html><body>Down for maintenance</body></html>", status, headers, content_type="text/html")


def unpacks_to(megabytes: int) -> bytes:
    """An answer of gzip that is a thousandth of what it unpacks to."""
    block = gzip.compress(b"\0" * 1024 * 1024)
    return answer(block * megabytes, headers=["Content-Encoding: gzip"])


def trickled(body: bytes, *, every_seconds: float = PACE_SECONDS) -> Script:
    """The head at once, the body a byte at a time."""

    def script(peer: Peer) -> None:
        peer.send(head(headers=["Content-Type: application/json", f"Content-Length: {len(body)}"]))
        peer.trickle(body, every_seconds=every_seconds)

    return script


def stalled(data: bytes) -> Script:
    """The bytes, and then nothing."""

    def script(peer: Peer) -> None:
        peer.send(data)
        peer.stall()

    return script


def SILENCE(peer: Peer) -> None:
    peer.stall()


def CLOSE(peer: Peer) -> None:
    peer.close()


def RESET(peer: Peer) -> None:
    peer.reset()


class RawServer:
    """Serves the scripts one request after the other, and the last of them for good; any number of clients."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = {"": list(scripts or [answer()])}
        self._tls = tls
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.requests: list[Request] = []
        self.connected = 0  # connections so far

    def at(self, path: str, *scripts: Script) -> None:
        """From now on, what serves requests whose path starts with *path*."""
        with self._lock:
            self._scripts[path] = list(scripts)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connected += 1
            self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, _GoneError), plain:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            with self._lock:
                self._connections.add(connection)
            try:
                with connection:
                    while True:
                        self._answer(connection)
            finally:
                self._connections.discard(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = _read(connection)
        with self._lock:
            self.requests.append(request)
            script = self._script(request.path)
        if callable(script):
            script(Peer(connection, self._is_over, request))
            return
        connection.sendall(script)
        if not _is_whole(script):
            raise _GoneError

    def _script(self, path: str) -> Script:
        longest = max((prefix for prefix in self._scripts if path.startswith(prefix)), key=len)
        scripts = self._scripts[longest]
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]


def _read(connection: socket.socket) -> Request:
    connection.settimeout(None)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    top, _, body = data.partition(b"\r\n\r\n")
    found = _LENGTH.search(top)
    while len(body) < int(found[1] if found else 0):
        body += _received(connection)
    line, *fields = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Request(line, headers, body)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise _GoneError
    return data


def _is_whole(data: bytes) -> bool:
    """Whether the client can tell where it ends. *data* may be large, and is not copied."""
    begins_at = data.find(b"\r\n\r\n") + 4
    found = _LENGTH.search(data, 0, begins_at)
    return found is not None and len(data) - begins_at >= int(found[1])
