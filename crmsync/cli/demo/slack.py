"""A stand-in of Slack: takes what is posted to it, so that the demo's alert is really delivered."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class SlackCatcher:
    """An incoming webhook on this machine; a context manager."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.messages))
        self._thread = threading.Thread(target=self._server.serve_forever, name="slack", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/services/DEMO"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent, and right also for one that was never entered."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _handler(messages: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal: the story is there."""

    return Handler


def lines_of(message: dict[str, Any]) -> list[str]:
    """The message as Slack would show it, without its markup."""
    return [line for block in message["blocks"] for line in _block(block)]


def _block(block: dict[str, Any]) -> list[str]:
    if "fields" in block:
        pairs = [_plain(field["text"]).split("\n", 1) for field in block["fields"]]
        width = max(len(name) for name, _ in pairs)
        return [f"{name:<{width}}  {value}" for name, value in pairs]
    return _plain(block["text"]["text"]).splitlines()


def _plain(text: str) -> str:
    """
    >>> _plain("*Cause*\\nA &amp; B")
    'Cause\\nA & B'
    """
    text = text.replace("```", "").replace("*", "")
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text
