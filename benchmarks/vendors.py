"""The sandbox in a process of its own, and a replay of its answers for chains that do nothing but call.

`python -m benchmarks.vendors [COMPANIES]` prints one line of JSON, {"environment", "control", "replay", "connections"},
and serves until SIGTERM; *connections* are the accounts of each company.
The replay offers the last five vendor calls that were no sign-in: GET /calls lists them in order, a request to
/0 … /4 gets the answer that the sandbox gave, after the same latency; GET /answered counts those.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.account import Account
from crmsync.lab.sandbox.kernel.http import Request, Response, Server, answer
from crmsync.lab.sandbox.kernel.ledger import OVERHEAD
from crmsync.lab.sandbox.world import LOAD

CALLS = 5  # of a deal whose customer is known


@dataclass
class Call:
    request: Request
    response: Response


class Tape:
    """The last business calls of a sandbox; what GET /calls has shown stays as it was shown."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._latency = sandbox.latency
        self._last: deque[Call] = deque(maxlen=CALLS)
        self._shown: list[Call] = []
        self._answered: Counter[str] = Counter()
        self._lock = threading.Lock()
        for vendor in sandbox.vendors:
            vendor.serve = self._recorded(vendor, vendor.serve)  # type: ignore[method-assign,assignment]

    def _recorded(self, vendor: Account, serve: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def recorded(request: Request) -> Response:
            response = serve(request)
            match = vendor.router.match(request)
            if match is not None and match.operation not in OVERHEAD:
                self._last.append(Call(request, response))
            return response

        return recorded

    def serve(self, request: Request) -> Response:
        if request.path == "/calls":
            self._shown = list(self._last)
            bodies = [(call.request.method, call.request.body.decode()) for call in self._shown]
            return answer([{"method": method, "body": body} for method, body in bodies])
        if request.path == "/answered":
            return answer(dict(self._answered))
        time.sleep(self._latency.seconds)
        with self._lock:
            self._answered[request.path] += 1
        return self._shown[int(request.path.strip("/"))].response


def main() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    sandbox = Sandbox(None, companies=int(sys.argv[1]) if sys.argv[1:] else 1, **LOAD)
    tape = Tape(sandbox)
    replay = Server(tape.serve)
    replay.start()
    with sandbox:
        facts = {
            "environment": sandbox.environment(),
            "control": sandbox.control_url,
            "replay": replay.url,
            "connections": [[each.connection() for each in company.accounts] for company in sandbox.companies],
        }
        print(json.dumps(facts), flush=True)
        ended.wait()
    replay.stop()


if __name__ == "__main__":
    main()
