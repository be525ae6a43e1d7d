"""A way to PostgreSQL on which packets can be lost, and behind which its sessions can be read-only.

Lost packets are lost indeed: a filter at the socket makes the kernel drop what arrives, acknowledgements and the
answers to keepalives included, as a firewall does that has forgotten a connection. Linux only.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # one instruction: return 0, keep nothing of the packet
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
READ_ONLY = "-c default_transaction_read_only=on"

Pair = tuple[socket.socket, socket.socket]  # towards us, towards the server


class Proxy:
    """Passes connections on to the server at *host* (or in that folder) and *port*; a thread for each direction."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Lock()
        self._pairs: set[Pair] = set()
        self._lost: set[Pair] = set()
        self._options = ""  # further options of each new session
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for the next
        self._listener.close()
        for pair in list(self._pairs):
            _close(pair)

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Lose every packet meanwhile; what was connected before is lost for good, and nobody is told."""
        with self._lock:
            self._lost |= self._pairs
            _drop_packets(self._listener)
            for client, _ in self._lost:
                _drop_packets(client)
        try:
            yield
        finally:
            self._listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, struct.pack("i", 0))

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Every session that begins meanwhile can only read, and stays so."""
        self._options = READ_ONLY
        try:
            yield
        finally:
            self._options = ""

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error):
            first = _startup(client, self._options)
            pair = client, self._connect()
            self._pairs.add(pair)
            pair[1].sendall(first)
            threading.Thread(target=self._pump, args=(pair, pair[1], client), daemon=True).start()
            self._pump(pair, client, pair[1])

    def _connect(self) -> socket.socket:
        host, port = self._server
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        found = socket.socket(socket.AF_UNIX)
        found.connect(f"{host}/.s.PGSQL.{port}")
        return found

    def _pump(self, pair: Pair, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if pair in self._lost:
                    return
                target.sendall(data)
        if pair not in self._lost:
            self._pairs.discard(pair)
            _close(pair)


def _close(pair: Pair) -> None:
    for each in pair:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def _drop_packets(connection: socket.socket) -> None:
    program = ctypes.create_string_buffer(DROP_ALL)
    with suppress(OSError):  # it has just ended
        connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


def _startup(client: socket.socket, options: str) -> bytes:
    """The first message of a session, with *options* added; encryption, which would hide it, is declined before."""
    while True:
        head = _exactly(client, 8)
        length, code = struct.unpack("!II", head)
        if code not in (SSL_REQUEST, GSS_REQUEST):
            break
        client.sendall(b"N")
    rest = _exactly(client, length - 8)
    return head + rest if code == CANCEL_REQUEST or not options else with_options(code, rest, options)


def with_options(code: int, parameters: bytes, options: str) -> bytes:
    """A startup message whose sessions have further options.

    >>> with_options(196608, b"user\\0u\\0options\\0-csearch_path=s\\0\\0", "-c a=b")[8:]
    b'user\\x00u\\x00options\\x00-csearch_path=s -c a=b\\x00\\x00'
    """
    words = parameters.split(b"\0")[:-2]
    given = dict(zip(words[::2], words[1::2], strict=True))
    given[b"options"] = b" ".join(filter(None, [given.get(b"options", b""), options.encode()]))
    body = b"".join(name + b"\0" + value + b"\0" for name, value in given.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, code) + body


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = connection.recv(size - len(found))
        if not data:
            raise ConnectionResetError
        found += data
    return found
