"""HTTP as the stand-ins speak it: the numbers in it, requests and answers, routes, and a threaded server."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from crmsync.lab.sandbox.kernel import wire
from crmsync.lab.sandbox.kernel.wire import Wire

# Numbers as strangers write them: only what a vendor's columns can hold is one; and how many digits a currency has.


LONGEST = 40  # digits before or after the point
# ISO 4217: a currency that is not named here has two.
_PLACES = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_WHOLE = re.compile(r"[0-9]{1,9}")


def decimal_of(value: Any) -> Decimal | None:
    """
    >>> [decimal_of(value) for value in ("12.50", 7, "1E+400000000", "NaN", "x", True, None)]
    [Decimal('12.50'), Decimal('7'), None, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: an integer of more digits than Python turns into text
        return None
    is_held = (
        number.is_finite() and abs(number.adjusted()) <= LONGEST and abs(int(number.as_tuple().exponent)) <= LONGEST
    )
    return number if is_held else None


def whole_of(text: str) -> int | None:
    """
    >>> [whole_of(text) for text in ("20", "007", "-1", "²", "9" * 5000)]
    [20, 7, None, None, None]
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def places(currency: str) -> int:
    """
    >>> [places(currency) for currency in ("EUR", "JPY", "KWD")]
    [2, 0, 3]
    """
    return _PLACES.get(currency, 2)


def decimals(number: Decimal) -> int:
    """How many digits after the point count.

    >>> [decimals(Decimal(number)) for number in ("12.50", "0.0125", "1E+3")]
    [1, 4, 0]
    """
    return max(0, -int(number.normalize().as_tuple().exponent))


# Requests, responses and routes: the little HTTP that the stand-ins need, without a framework.


JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=utf-8"


class ConnectionDropped(Exception):
    """The caller gets no answer: the connection is closed under the request."""


class BadJson(ValueError):
    """The body is not the JSON object that the vendor expects."""


class Refusal(Exception):
    """What the vendor does not accept; a subclass says it as the vendor does."""

    status = 400


class NotOffered(Exception):
    """The vendor would do this, and the stand-in cannot: it says so, and does not play a refusal of the vendor's."""

    def response(self) -> "Response":
        return answer({"sandbox": "the sandbox does not offer this", "what": str(self)}, 501)


@dataclass
class Request:
    """One request as received; header names are lower-case, query values decoded (the last one of a name wins).

    `is_inner` marks a part of a composite call, which was let in with the whole.
    """

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_inner: bool = False

    @cached_property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @cached_property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def json(self) -> Any:
        """Read the body as JSON; fractions become Decimal, NaN and Infinity are none. Raises BadJson."""
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, UnicodeDecodeError) as error:
            raise BadJson(str(error)) from error
        except RecursionError as error:
            raise BadJson("nested too deeply") from error


@dataclass
class Response:
    """One answer; `body` is sent as it is, over a line that is as `wire` says (None: good)."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wire: Wire | None = None

    def json(self) -> Any:
        return json.loads(self.body)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _plain(value: object) -> float | str:
    return float(value) if isinstance(value, Decimal) else str(value)


def dumps(value: object) -> bytes:
    return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def answer(value: object, status: int = 200, **headers: str) -> Response:
    """A JSON answer; keyword names become header names, with - for _."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, dumps(value), {"Content-Type": JSON, **named})


def html(status: int, text: str) -> Response:
    return Response(status, f"<html><body><h1>{text}</h1></body></html>".encode(), {"Content-Type": HTML})


Handler = Callable[..., Response]


@dataclass(frozen=True)
class Naming:
    """Gives a call the name of its operation, one of *names*, for faults and counts."""

    names: tuple[str, ...]
    of: Callable[[Request, dict[str, str]], str]


def always(name: str) -> Naming:
    """One name for all calls of a route."""
    return Naming((name,), lambda request, arguments: name)


@dataclass
class Route:
    """A method and a path pattern, what answers them, and how the operation is called."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    naming: Naming


@dataclass
class Match:
    """What a request asks for: the operation's name and the call that answers it."""

    operation: str
    call: Callable[[], Response]


class Router:
    """Finds the route of a request; path arguments are written `{name}` and arrive decoded."""

    def __init__(self) -> None:
        self._routes: dict[str, list[Route]] = {}

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of all operations that there are."""
        routes = (route for routes in self._routes.values() for route in routes)
        return tuple(dict.fromkeys(name for route in routes for name in route.naming.names))

    def add(self, method: str, path: str, handler: Handler, operation: Naming | str) -> None:
        naming = always(operation) if isinstance(operation, str) else operation
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")
        self._routes.setdefault(method, []).append(Route(method, pattern, handler, naming))

    def methods(self, path: str) -> list[str]:
        """By which methods *path* may be called."""
        return [name for name, routes in self._routes.items() if any(one.pattern.fullmatch(path) for one in routes)]

    def match(self, request: Request) -> Match | None:
        for route in self._routes.get(request.method, ()):
            found = route.pattern.fullmatch(request.path)
            if found:
                return _match(route, request, found.groupdict())
        return None


def _match(route: Route, request: Request, groups: dict[str, str | None]) -> Match:
    arguments = {name: unquote(text) for name, text in groups.items() if text}
    return Match(route.naming.of(request, arguments), lambda: route.handler(request, **arguments))


# A threaded HTTP/1.1 server on the standard library: keep-alive, no Nagle delay, and connections that can be cut.
#
# One thread serves one connection, so a call that waits (latency, a slow fault) holds back no other call.


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
