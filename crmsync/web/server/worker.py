"""The worker class for gunicorn's master: an event loop that accepts, reads and writes, and a few threads."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]
from tornado import httputil
from tornado.http1connection import HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.iostream import IOStream

from crmsync.settings import Settings
from crmsync.web.server.exchange import HEADER_BYTES_MAX, Answer, Application, Request, answer_of, environ_of, send
from crmsync.web.server.peers import Peers
from crmsync.web.sparing import Sparing

TICK_SECONDS = 0.25
GRACE_SECONDS = 1.0  # for requests that are on their way when the worker is told to stop
BODIES_BYTES_MAX = 64 * 1024 * 1024  # of all requests that are arriving or wait for a thread, together
CONNECTIONS_MAX = 1000
FILES_RESERVED = 48  # for the database, the broker, logs


class BufferingWorker(Worker):
    """Accepts while it is alive; when it is told to stop, it finishes what has arrived."""

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        logging.getLogger("tornado.general").addFilter(Unquoted())  # whatever is malformed makes a line
        front = Front(self.wsgi, Settings.from_env(), threads=self.cfg.threads)
        front.listen([each.sock for each in self.sockets])
        while self.alive and self.ppid == os.getppid():
            self.notify()
            front.peers.drop_late()
            await asyncio.sleep(TICK_SECONDS)
        await front.close(self.cfg.graceful_timeout, self.notify)


class Unquoted(Sparing):
    """Lines about malformed requests, without what they quote: it may be a secret, and as long as a stranger likes."""

    def filter(self, record: logging.LogRecord) -> bool:
        *about, reason = record.args if isinstance(record.args, tuple) and record.args else (None,)
        if isinstance(reason, httputil.HTTPInputError):
            record.args = (*about, " ".join(str(reason).split()[:2]))  # its first words are always Tornado's own
        return super().filter(record)


class Front:
    """Between the connections and the application."""

    def __init__(self, application: Application, settings: Settings, *, threads: int) -> None:
        self._application = application
        self.body_max = settings.behaviour.max_body_bytes
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        # Twice the limit of a header: up to there its sender gets an answer, beyond it is cut off.
        # Header and body have no limit of time of their own: Peers has one for both. See Request for the size.
        self._protocol = HTTP1ConnectionParameters(max_header_size=2 * HEADER_BYTES_MAX, max_body_size=1 << 40)
        self.peers = Peers(
            seconds=settings.behaviour.request_seconds,
            limit=connections_max(),
            bytes_max=BODIES_BYTES_MAX,
            clock=time.monotonic,
        )
        self.working = 0
        self.is_closing = False

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        for listening in sockets:
            listening.setblocking(False)
            self._listening.append(listening)
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """One at a time, so that the processes share what comes."""
        try:
            connection, address = listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # another process was first, or the peer has gone
        except OSError:  # no file descriptor is left
            self.peers.drop_slowest()
            return
        connection.setblocking(False)
        stream = IOStream(connection, max_buffer_size=1 << 20, read_chunk_size=1 << 16)
        connected = Connected(self, stream, address, listening)
        HTTP1ServerConnection(stream, self._protocol, connected.client).start_serving(connected)

    def work(self, request: Request, environ: dict[str, Any], done: Callable[[Request, Answer], None]) -> None:
        self.working += 1

        def ended(future: Future[Answer]) -> None:
            with suppress(RuntimeError):  # a quick stop has ended the loop
                self._loop.call_soon_threadsafe(self._ended, request, future.result(), done)

        self._threads.submit(answer_of, self._application, environ).add_done_callback(ended)

    def _ended(self, request: Request, answer: Answer, done: Callable[[Request, Answer], None]) -> None:
        self.working -= 1
        done(request, answer)

    async def close(self, seconds: float, notify: Callable[[], None]) -> None:
        """Accept nothing more, and answer what has arrived, or arrives very soon."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self.is_closing = True
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds - GRACE_SECONDS:
            self.peers.drop_all(idle=True)
            if not self.working and (passed > GRACE_SECONDS or not len(self.peers)):
                break
            notify()
            await asyncio.sleep(TICK_SECONDS / 5)
        self.peers.drop_all(idle=False)


class Connected(httputil.HTTPServerConnectionDelegate):
    """One connection, and what is known of its peer."""

    def __init__(self, front: Front, stream: IOStream, address: Any, listening: socket.socket) -> None:
        self._front = front
        self._stream = stream
        is_internet = isinstance(address, tuple)
        self._address = (str(address[0]), str(address[1])) if is_internet else ("127.0.0.1", "0")
        self._port = int(listening.getsockname()[1]) if is_internet else 0
        self.client = self._address[0]
        self._peer = front.peers.add(stream.close)
        self._is_first = True
        self._size_at_work = 0

    # -- what the protocol tells

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> Request:
        if not self._is_first:
            self._front.peers.wait_for(self._peer, is_idle=True)
        self._is_first = False
        return Request(request_conn, self, body_max=self._front.body_max)

    def on_close(self, server_conn: object) -> None:
        self._front.peers.remove(self._peer)

    # -- what a request tells

    def began(self) -> None:
        if self._peer.is_idle:
            self._front.peers.wait_for(self._peer)

    def holds(self, size: int) -> None:
        self._front.peers.hold(self._peer, size)

    def arrived(self, request: Request) -> None:
        self._size_at_work = self._front.peers.work_for(self._peer)
        environ = environ_of(request, address=self._address, port=self._port)
        request.body.clear()  # the application has its own
        self._front.work(request, environ, self._answer)

    def _answer(self, request: Request, answer: Answer) -> None:
        self._front.peers.done(self._size_at_work)
        if not self._stream.closed():
            self._front.peers.wait_for(self._peer)
            send(request.connection, answer, is_last=self._front.is_closing)


def connections_max() -> int:
    """As many as there are file descriptors for, and not so many that they are a burden."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # as far as start.allow_files() could raise it
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else max(8, min(CONNECTIONS_MAX, soft - FILES_RESERVED))
