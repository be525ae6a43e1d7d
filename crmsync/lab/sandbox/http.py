"""Requests, responses and routes: the little HTTP that the stand-ins need, without a framework."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

from crmsync.lab.sandbox.wire import Wire

JSON = "application/json;charset=UTF-8"
HTML = "text/html;charset=utf-8"


class ConnectionDropped(Exception):
    """The caller gets no answer: the connection is closed under the request."""


class BadJson(ValueError):
    """The body is not the JSON object that the vendor expects."""


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
Naming = str | Callable[[Request, dict[str, str]], str]


@dataclass
class Route:
    """A method and a path pattern, what answers them, and the operation's name for faults and counts."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    naming: Naming

    def operation(self, request: Request, arguments: dict[str, str]) -> str:
        return self.naming if isinstance(self.naming, str) else self.naming(request, arguments)


@dataclass
class Match:
    """What a request asks for: the operation's name and the call that answers it."""

    operation: str
    call: Callable[[], Response]


class Router:
    """Finds the route of a request; path arguments are written `{name}` and arrive decoded."""

    def __init__(self) -> None:
        self._routes: dict[str, list[Route]] = {}

    def add(self, method: str, path: str, handler: Handler, operation: Naming) -> None:
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")
        self._routes.setdefault(method, []).append(Route(method, pattern, handler, operation))

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
    return Match(route.operation(request, arguments), lambda: route.handler(request, **arguments))
