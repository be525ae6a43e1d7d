"""One request and its answer: read by the event loop, processed by a thread, sent by the event loop."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from tornado import httputil

logger = logging.getLogger(__name__)

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32 * 1024
DISCARDED_MAX = 16 * 1024 * 1024  # of a body that is too large: read and thrown away, so that its sender gets an answer

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = tuple[str, list[tuple[str, str]], bytes]  # status line, headers, body

_FAILED: Answer = ("500 Internal Server Error", [("Content-Type", "text/plain")], b"Internal server error\n")
_ALONE = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "keep-alive", "expect"})


class Turn(Protocol):
    """What a request reports to the server, which decides whose turn it is."""

    def began(self) -> None:
        """Its headers are here."""

    def holds(self, size: int) -> None:
        """*size* bytes more of it are in memory."""

    def arrived(self, request: Request) -> None:
        """It is whole."""


class Request(httputil.HTTPMessageDelegate):
    """A request as it arrives. What is beyond *body_max* is not kept; one byte of it is, as a sign."""

    def __init__(self, connection: httputil.HTTPConnection, turn: Turn, *, body_max: int) -> None:
        self.connection = connection
        self._turn = turn
        self._body_max = body_max
        self._seen_bytes = 0
        self._is_refused = False
        self.body = bytearray()

    def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        self.start_line, self.headers = start_line, headers
        self._turn.began()
        if _is_ambiguous(start_line, headers):
            self._refuse(400, "Bad Request")
        elif _is_too_much(start_line.path, headers):
            self._refuse(431, "Request Header Fields Too Large")
        elif _is_too_long(headers.get("Content-Length", "")):
            self._refuse(413, "Content Too Large")

    def data_received(self, chunk: bytes) -> None:
        self._seen_bytes += len(chunk)
        if self._seen_bytes > DISCARDED_MAX:
            self._refuse(413, "Content Too Large")
        kept = chunk[: self._body_max + 1 - len(self.body)]
        if kept and not self._is_refused:
            self.body += kept
            self._turn.holds(len(kept))

    def finish(self) -> None:
        if not self._is_refused:
            self._turn.arrived(self)

    def on_connection_close(self) -> None:
        self.body.clear()

    def _refuse(self, status: int, reason: str) -> None:
        """The connection ends with this answer."""
        if not self._is_refused:
            self._is_refused = True
            send(self.connection, (f"{status} {reason}", [], b""), is_last=True)


def _is_ambiguous(start_line: httputil.RequestStartLine, headers: httputil.HTTPHeaders) -> bool:
    """What two servers in a row read in two ways, beyond that which Tornado refuses (RFC 9112, 3.2 and 6.1)."""
    is_chunked_too_early = start_line.version == "HTTP/1.0" and "Transfer-Encoding" in headers
    return is_chunked_too_early or len(headers.get_list("Host")) > 1


def _is_too_much(target: str, headers: httputil.HTTPHeaders) -> bool:
    pairs = list(headers.get_all())
    size = len(target) + sum(len(name) + len(value) for name, value in pairs)
    return len(pairs) > HEADERS_MAX or size > HEADER_BYTES_MAX


def _is_too_long(length: str) -> bool:
    """Python reads no number of thousands of digits.

    >>> _is_too_long("16777216"), _is_too_long("16777217"), _is_too_long("9" * 5000), _is_too_long("5, 5")
    (False, True, True, False)
    """
    return length.isdecimal() and (len(length) > 20 or int(length) > DISCARDED_MAX)


def environ_of(request: Request, *, address: tuple[str, str], port: int) -> Environ:
    """The request as WSGI has it. *address* is the peer's, *port* the one that it came to."""
    path, _, query = _target(request.start_line.path).partition("?")
    body = bytes(request.body)
    environ = {
        "REQUEST_METHOD": request.start_line.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REMOTE_ADDR": address[0],
        "REMOTE_PORT": address[1],
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": request.start_line.version,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if "Content-Type" in request.headers:
        environ["CONTENT_TYPE"] = request.headers["Content-Type"]
    return environ | _headers(request.headers)


def _target(target: str) -> str:
    """Path and query; a proxy's form has an address in front.

    >>> _target("/a?b"), _target("http://host/a?b"), _target("http://[")
    ('/a?b', '/a?b', '/')
    """
    if target.startswith("/"):
        return target
    with suppress(ValueError):
        return urlsplit(target)._replace(scheme="", netloc="", fragment="").geturl() or "/"
    return "/"


def _headers(headers: httputil.HTTPHeaders) -> Environ:
    """A name with an underscore could pass for another name with a hyphen, which a proxy may have set: left out."""
    return {
        f"HTTP_{name.replace('-', '_').upper()}": headers[name]
        for name in headers
        if "_" not in name and name.lower() not in _ALONE
    }


def answer_of(application: Application, environ: Environ) -> Answer:
    """Run in a thread. Whatever the application does, there is an answer."""
    try:
        return _run(application, environ)
    except Exception as error:
        logger.error("the application failed: %s", type(error).__name__, extra={"action": "bug"})
        return _FAILED


def _run(application: Application, environ: Environ) -> Answer:
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        begun.append((status, headers))
        return written.append

    chunks = application(environ, start_response)
    try:
        written.extend(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    status, headers = begun[-1]
    return status, headers, b"".join(written)


def send(connection: httputil.HTTPConnection, answer: Answer, *, is_last: bool = False) -> None:
    """Hand *answer* to the event loop, which sends it as fast as the peer takes it."""
    status, pairs, body = answer
    code, _, reason = status.partition(" ")
    headers = httputil.HTTPHeaders()
    for name, value in pairs:
        headers.add(name, value)
    if "Content-Length" not in headers and code not in ("204", "304"):
        headers["Content-Length"] = str(len(body))
    if is_last:
        headers["Connection"] = "close"
    connection.write_headers(httputil.ResponseStartLine("HTTP/1.1", int(code), reason), headers, body)
    connection.finish()
