"""A threaded HTTP/1.1 server on the standard library: keep-alive, no Nagle delay, and connections that can be cut.

One thread serves one connection, so a call that waits (latency, a slow fault) holds back no other call.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from crmsync.lab.sandbox import wire
from crmsync.lab.sandbox.http import ConnectionDropped, Request, Response, html

App = Callable[[Request], Response]
REASONS = {status.value: status.phrase for status in HTTPStatus}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def _serve(self) -> None:
        try:
            response = self.server.app(self._request())
        except ConnectionDropped:
            self._drop()
        else:
            self._send(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_MERGE = do_OPTIONS = _serve

    def _request(self) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(headers.get("content-length", 0)))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _send(self, response: Response) -> None:
        message = self._message(response)
        if response.wire:
            self.close_connection = True
            wire.send(self.connection, response.wire, message)
        else:
            self.wfile.write(message.head() + message.body)

    def _message(self, response: Response) -> wire.Message:
        lines = [f"{name}: {value}" for name, one in response.headers.items() for value in one.split("\n")]
        if response.status != 204:
            lines.append(f"Content-Length: {len(response.body)}")
        body = b"" if self.command == "HEAD" else response.body
        return wire.Message(f"HTTP/1.1 {response.status} {REASONS.get(response.status, '')}", lines, body)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the ledger and the call counts tell what happened."""


class Server(ThreadingHTTPServer):
    """Serves one app on 127.0.0.1; port 0 takes a free port."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, app: App, port: int = 0) -> None:
        self.app = guarded(app)
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and cut the connections that are still open."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            _cut(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a caller that hangs up is no event here."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def guarded(app: App) -> App:
    """Answer 500 with the traceback when the stand-in itself is wrong, so that a test shows where."""

    def call(request: Request) -> Response:
        try:
            return app(request)
        except ConnectionDropped:
            raise
        except Exception:
            import traceback

            return html(500, f"sandbox failure<pre>{traceback.format_exc()}</pre>")

    return call
