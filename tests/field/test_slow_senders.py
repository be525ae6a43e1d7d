"""Cases from the field, D1: a peer that takes its time holds up only itself. The receiver runs as it is served."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crmsync.settings import Settings
from crmsync.web.server import worker
from crmsync.web.server.peers import Peers
from crmsync.web.server.worker import Front
from crmsync.web.sparing import Sparing
from tests.fakes import FakeClock
from tests.field.receiver import KINDS, PASSWORD, Receiver, SlowPeer, exchange, slow_peers
from tests.integration.test_webhooks import signed
from tests.system import until

TOWER = {"Authorization": "Basic " + b64encode(f"crmsync:{PASSWORD}".encode()).decode()}
PROMPT_SECONDS = 3.0  # an answer takes milliseconds; a machine that does much else takes longer
_numbers = iter(range(1, 10_000))


def a_deal(padding: int = 0) -> bytes:
    return json.dumps({"opportunityId": f"006{next(_numbers):012d}", "padding": "x" * padding}).encode()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Its patience is two seconds."""
    with Receiver(tmp_path_factory.mktemp("receiver"), CRMSYNC_REQUEST_SECONDS="2") as made:
        yield made


def assert_serves(receiver: Receiver) -> None:
    """Health, a webhook and the tower, each on a connection of its own."""
    for ask in (
        lambda: receiver.ask("GET", "/healthz"),
        lambda: receiver.announce(a_deal()),
        lambda: receiver.ask("GET", "/", headers=TOWER),
        lambda: receiver.ask("POST", "/webhook/zoho/payment", iter([b"{}"])) == 401 and 200,
    ):
        begun = time.monotonic()
        assert ask() == 200
        assert time.monotonic() - begun < PROMPT_SECONDS


@pytest.mark.parametrize("count", [40, 400])
def test_D1__slow_connections_hold_up_nobody(tmp_path: Path, count: int) -> None:
    with Receiver(tmp_path) as receiver, slow_peers(receiver.port, count) as peers:
        for _ in range(3):
            assert_serves(receiver)
        assert not any(peer.is_closed() for peer in peers), "and none was given up for it"


def test_D1__more_connections_than_there_are_files_for_lock_nobody_out(tmp_path: Path) -> None:
    """256 files for each of two processes: they hold at most 208 connections each."""
    with Receiver(tmp_path, files=256) as receiver, slow_peers(receiver.port, 600) as peers:
        for _ in range(3):
            assert_serves(receiver)
        assert sum(peer.is_closed() for peer in peers) >= 150, "who was waited for longest"


@pytest.mark.parametrize("kind", KINDS)
def test_D1__a_request_has_a_total_time_to_arrive(receiver: Receiver, kind: str) -> None:
    """However little is missing, and however regularly something comes."""
    peer, begun = SlowPeer(receiver.port, kind), time.monotonic()

    def is_given_up() -> bool:
        peer.send_more()
        return peer.is_closed()

    until(is_given_up, what="the connection is closed")
    assert time.monotonic() - begun >= 1.5
    peer.close()


def test_D1__a_connection_that_was_answered_may_be_used_again_and_is_closed_when_idle(receiver: Receiver) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    idle = connection.sock
    assert idle.recv(10) == b"", "closed after two seconds"
    connection.close()


@pytest.mark.parametrize(("size", "status"), [(1_000_000, 200), (1_153_434, 413), (5_000_000, 413)])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_D7__a_body_too_large_is_answered_however_it_is_sent(
    receiver: Receiver, size: int, status: int, is_chunked: bool
) -> None:
    body = a_deal(size)
    sent = iter([body[start : start + 65_536] for start in range(0, len(body), 65_536)]) if is_chunked else body

    assert receiver.ask("POST", "/webhook/salesforce/deal-closed", sent, signed(body)) == status


HEAD = b"POST /webhook/salesforce/deal-closed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length and chunks"
        ),
        pytest.param(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}  ", id="two lengths"),
        pytest.param(HEAD + b"Content-Length: +3\r\n\r\n{} ", id="a length with a sign"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="another coding"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\n{} \r\n0\r\n\r\n", id="a size with a prefix"),
        pytest.param(HEAD + b"Content-Length : 3\r\n\r\n{} ", id="a blank before the colon"),
        pytest.param(b"POST /webhook/zoho/payment HTTP/9.9\r\nHost: x\r\n\r\n", id="another version"),
        pytest.param(HEAD + b"Host: y\r\nContent-Length: 3\r\n\r\n{} ", id="two hosts"),
        pytest.param(
            HEAD.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="chunks before there were chunks",
        ),
        pytest.param(HEAD + b"Bad\x00Name: 1\r\n\r\n", id="a null in a name"),
    ],
)
def test_D7__what_could_be_read_in_two_ways_is_refused(receiver: Receiver, request_bytes: bytes) -> None:
    answer = exchange(receiver.port, request_bytes + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"alive" not in answer, "what follows is not taken for a request"


def test_D7__a_body_shorter_than_its_length_is_never_taken(receiver: Receiver) -> None:
    body = a_deal()
    proof = signed(body)["X-Crmsync-Signature"].encode()
    head = HEAD + b"X-Crmsync-Signature: " + proof + b"\r\nContent-Length: " + str(len(body) + 1).encode()

    assert b"200" not in exchange(receiver.port, head + b"\r\n\r\n" + body)


def test_D1__headers_are_limited_in_number_and_in_size(receiver: Receiver) -> None:
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    large = b"X-Large: " + b"x" * 100_000 + b"\r\n"

    assert exchange(receiver.port, HEAD + many + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert b"200 OK" not in exchange(receiver.port, HEAD + large + b"\r\n")
    assert exchange(receiver.port, HEAD + large[:40_000] + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert exchange(receiver.port, b"GET /" + large[:40_000] + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("digits", [12, 25, 4_200, 6_000])
def test_D7__a_length_of_any_number_of_digits_is_answered(receiver: Receiver, digits: int) -> None:
    request_bytes = HEAD + b"Content-Length: " + b"9" * digits + b"\r\n\r\n"

    assert exchange(receiver.port, request_bytes).startswith(b"HTTP/1.1 413 ")


def test_D1__malformed_requests_fill_no_log(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        for _ in range(150):
            assert exchange(receiver.port, b"\x16\x03\x01\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        lines = [line for line in receiver.log.read_text().splitlines() if "Malformed HTTP" in line]

    assert 1 <= len(lines) < 100, "twenty a minute for each of two processes"
    assert all("127.0.0.1" in line for line in lines), "who it was is said"


@pytest.mark.parametrize(
    "header",
    ["Authorization: Bearer {}\x01", "Cookie: {}\x00", "Transfer-Encoding: {}", "Content-Length: {}", "{} X: 1"],
)
def test_D1__a_malformed_request_is_not_quoted_in_the_log(receiver: Receiver, header: str) -> None:
    """What a sender sets up wrongly may hold his secret, and a line may be as long as a stranger likes."""
    begun = len(receiver.log.read_text())
    secret = "my own secret " + "x" * 20_000
    assert exchange(receiver.port, HEAD + header.format(secret).encode() + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")

    told = receiver.log.read_text()[begun:]
    assert "own secret" not in told
    assert len(told) < 1000


def test_D1__lines_that_strangers_cause_are_twenty_a_minute() -> None:
    clock = FakeClock()
    sparing = Sparing(lambda: clock.now.timestamp())

    assert [sparing.allows() for _ in range(50)] == [True] * 20 + [False] * 30
    clock.advance(59)
    assert not sparing.allows()
    clock.advance(1)
    assert sparing.allows()


# -- the front alone, with applications that take their time


@contextmanager
def front_of(
    application: Any, *, threads: int = 2, **behaviour: Any
) -> Iterator[tuple[int, Front, Callable[[], None]]]:
    """A front that serves *application*: its port, itself, and what makes it stop as a signal does."""
    settings = Settings.from_env({"CRMSYNC_HOME": "/nowhere"})
    settings = replace(settings, behaviour=replace(settings.behaviour, **behaviour))
    listening = socket.create_server(("127.0.0.1", 0))
    port, started, stopped = listening.getsockname()[1], threading.Event(), threading.Event()
    made: list[Front] = []

    async def serve() -> None:
        made.append(Front(application, settings, threads=threads))
        made[0].listen([listening])
        started.set()
        while not stopped.is_set():
            made[0].peers.drop_late()
            await asyncio.sleep(0.02)
        await made[0].close(20, lambda: None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(20)
    try:
        yield port, made[0], stopped.set
    finally:
        stopped.set()
        thread.join()


def get(port: int, path: str = "/") -> bytes:
    return exchange(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


def test_D1__who_does_not_take_his_answer_holds_no_thread_and_is_given_up() -> None:
    page = b"x" * 20_000_000

    def large(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [page if environ["PATH_INFO"] == "/large" else b"small"]

    with front_of(large, threads=1, request_seconds=1.0) as (port, front, _):
        lazy = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        for peer in lazy:
            peer.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: get(port).endswith(b"small"), what="somebody else is answered")
        until(lambda: len(front.peers) == 0, what="all of them are given up")
        for peer in lazy:
            peer.close()


def test_D1__bodies_under_way_take_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BODIES_BYTES_MAX", 1_000_000)

    def echo(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [str(len(environ["wsgi.input"].read())).encode()]

    with front_of(echo) as (port, front, _):
        half = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n" + b"x" * 300_000
        peers = []
        for number in range(6):
            peers.append(socket.create_connection(("127.0.0.1", port)))
            peers[-1].sendall(half)
            until(lambda number=number: front.peers._held_bytes >= min(number + 1, 3) * 300_000)
        until(lambda: len(front.peers) == 3, what="the older ones are dropped")
        peers[-1].sendall(b"x" * 300_000)
        assert b"\r\n\r\n600000" in peers[-1].recv(1000), "the newest is served"
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("stays", [True, False])
def test_D1__bodies_that_wait_for_a_thread_take_a_bounded_amount_of_memory(
    monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """As while the database hangs. A sender who has gone leaves his body in the queue."""
    monkeypatch.setattr(worker, "BODIES_BYTES_MAX", 1_000_000)
    go_on, calls = threading.Event(), []

    def stuck(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(environ["CONTENT_LENGTH"])
        go_on.wait(20)
        start_response("200 OK", [])
        return [b"done"]

    with front_of(stuck, threads=1) as (port, front, _):
        whole = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
        peers = []
        for number in range(1, 4):
            peers.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            peers[-1].sendall(whole)
            until(lambda number=number: front.working == number)
            if not stays:
                peers[-1].close()
        until(lambda: len(front.peers) == (3 if stays else 0))
        assert all(_is_given_up(port, whole) for _ in range(5))
        go_on.set()
        until(lambda: front.working == 0)
        assert calls == ["300000"] * 3
        assert front.peers._held_bytes == 0
        assert get(port).endswith(b"done"), "and who comes now is served"
        for peer in peers:
            peer.close()


def _is_given_up(port: int, request_bytes: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        try:
            peer.sendall(request_bytes)
            return peer.recv(1) == b""
        except ConnectionError:
            return True


def test_D1__a_process_that_is_told_to_stop_answers_what_has_arrived() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        entered.set()
        go_on.wait(20)
        start_response("200 OK", [])
        return [b"done"]

    with front_of(slow) as (port, front, stop):
        idle = socket.create_connection(("127.0.0.1", port))
        answers: list[bytes] = []
        asks = threading.Thread(target=lambda: answers.append(_read_all(port)))
        asks.start()
        assert entered.wait(20)
        stop()
        until(lambda: front.is_closing, what="it stops")
        go_on.set()
        asks.join()
        idle.close()

    assert answers[0].startswith(b"HTTP/1.1 200 OK")
    assert answers[0].endswith(b"done")
    assert b"Connection: close" in answers[0]


def _read_all(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while more := peer.recv(1000):
            answer += more
        return answer


def test_D1__an_application_that_fails_is_answered_for() -> None:
    def fails(environ: Any, start_response: Any) -> list[bytes]:
        raise RuntimeError("a customer's data")

    with front_of(fails) as (port, _, _stop):
        answer = get(port)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"customer" not in answer


def test_D1__what_the_application_is_told_is_what_came() -> None:
    told: list[dict[str, Any]] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        told.append({**environ, "body": environ["wsgi.input"].read()})
        start_response("204 No Content", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return []

    with front_of(application) as (port, _, _stop):
        answer = exchange(
            port,
            b"PUT http://other.test/a%2Fb/%C3%BC?q=%20 HTTP/1.1\r\nHost: x\r\nX_Forwarded_Prefix: /evil\r\n"
            b"X-Twice: 1\r\nX-Twice: 2\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )

    (environ,) = told
    assert (environ["REQUEST_METHOD"], environ["QUERY_STRING"], environ["body"]) == ("PUT", "q=%20", b"abcde")
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a/b/ü"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["SERVER_PORT"]) == (
        "text/plain",
        "5",
        str(port),
    )
    assert environ["HTTP_X_TWICE"] == "1,2"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert not [name for name in environ if "EVIL" in name.upper() or name == "HTTP_X_FORWARDED_PREFIX"]
    assert answer.count(b"Set-Cookie") == 2
    assert b"Content-Length" not in answer


# -- the rule alone


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_D1__the_one_that_is_waited_for_longest_goes_first() -> None:
    clock, closed = Clock(), []
    peers = Peers(seconds=30, limit=3, bytes_max=100, clock=clock)
    made = {}
    for name in "abc":
        made[name] = peers.add(lambda name=name: closed.append(name))
        clock.now += 1
    peers.work_for(made["a"])

    peers.add(lambda: closed.append("d"))
    assert closed == ["b"], "a is at work: nobody waits for it"
    clock.now = 29.0
    peers.wait_for(made["a"])
    clock.now = 33.0
    assert peers.drop_late() == 2
    assert sorted(closed) == ["b", "c", "d"]
    clock.now = 59.0
    peers.drop_late()
    assert closed[-1] == "a"
    assert len(peers) == 0


def test_D1__where_all_are_at_work_nobody_is_dropped() -> None:
    peers = Peers(seconds=30, limit=1, bytes_max=100, clock=Clock())
    peers.work_for(peers.add(lambda: pytest.fail("it is at work")))

    peers.add(lambda: None)

    assert len(peers) == 2


def test_D1__a_supervisor_that_stops_it_finds_it_gone_in_time(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver, slow_peers(receiver.port, 10):
        receiver.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert receiver.process.wait(30) == 0
        assert time.monotonic() - begun < 15
