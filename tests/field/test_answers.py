"""Cases from the field, T1, T2, T8, T13: what becomes of answers that are cut, stalled, trickled, or too large."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import os
import re
import socket
import threading
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

import crmsync
from crmsync import __version__, errors
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.connectors.salesforce.client import Salesforce
from crmsync.connectors.salesforce.errors import speaks_csv
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.way_out import transport, wire
from crmsync.connectors.way_out.answers import speaks_json
from crmsync.connectors.way_out.lease import deadline
from crmsync.connectors.way_out.transport import new_session
from crmsync.domain.runs import RetryPolicy, next_try
from crmsync.domain.tokens import AccessToken
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store.tables import alerts
from tests.builders import private_pem
from tests.field import vendors
from tests.field.certificates import Authority
from tests.field.raw_server import (
    CLOSE,
    RESET,
    SILENCE,
    Peer,
    RawServer,
    Script,
    answer,
    head,
    html,
    redirect,
    stalled,
    trickled,
    unpacks_to,
)

SECONDS = 1.0  # the deadline of calls that run into it
MUCH_LATER = 3.0  # far beyond it, for a machine that is busy; a call that keeps no deadline would take a minute
JSON = "Content-Type: application/json"
CHUNKED = [JSON, "Transfer-Encoding: chunked"]
GZIP = [JSON, "Content-Encoding: gzip"]


@pytest.fixture(autouse=True)
def machine_without_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates but those that a test sets up."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def client(**more: Any) -> VendorClient:
    """A client of a vendor that speaks JSON."""
    settings = {"session": new_session(), "authorizer": None, "explain": lambda reply: None, "call_seconds": 5.0}
    return VendorClient(system="Books", **{**settings, "speaks": speaks_json, **more})


@pytest.fixture
def books() -> Iterator[VendorClient]:
    made = client()
    yield made
    made.session.close()


def outage(client: VendorClient, server: RawServer) -> errors.VendorUnavailableError:
    with pytest.raises(errors.VendorUnavailableError) as caught:
        client.call("make order", "POST", f"{server.url}/orders", json={})
    return caught.value


def test_the_raw_server_answers_each_request_with_its_script() -> None:
    with RawServer(answer(b"one"), answer(b"two")) as server:
        server.at("/other", answer(b"three"))
        said = [urllib.request.urlopen(f"{server.url}{path}").read() for path in ("/", "/other", "/", "/")]

    assert said == [b"one", b"three", b"two", b"two"]
    assert [request.path for request in server.requests] == ["/", "/other", "/", "/"]


FOREIGN = {
    "a page under 200": html(),
    "a page under 404": html("404 Not Found"),
    "a page under 403": html("403 Forbidden"),
    "a page under 420": html("420 Enhance Your Calm"),
    "nothing under 200": answer(b""),
    "nothing under 406": answer(b"", "406 Not Acceptable"),
    "a text": answer(b"OK", content_type="text/plain"),
    "a bare word of JSON": answer(b'"maintenance"'),
    "moved to a log-in": redirect("https://login.example/"),
    "moved for good, in JSON": answer(b"{}", "308 Permanent Redirect", ["Location: https://elsewhere.example/"]),
}


@pytest.mark.parametrize("script", FOREIGN.values(), ids=FOREIGN)
def test_T6__what_is_not_the_applications_own_answer_is_an_outage(books: VendorClient, script: Script) -> None:
    with RawServer(script) as server:
        error = outage(books, server)

    assert not error.is_definite
    assert len(server.requests) == 1


def test_T6__an_edge_may_say_when_to_come_back(books: VendorClient) -> None:
    with RawServer(html("420 Enhance Your Calm", ["Retry-After: 17"])) as server:
        assert outage(books, server).retry_after_seconds == 17


NO_WAITS = {
    "at once": "0",
    "before now": "-5",
    "a date that is over": "Sun, 06 Nov 1994 08:49:37 GMT",
    "an instant instead of seconds": "1795169472",
    "milliseconds": "1795169472000",
    "for ever": "inf",
    "a zone beyond all": "Wed, 21 Oct 2026 07:28:00 +99999999999999999999",
    "an hour beyond all": "Wed, 21 Oct 2026 99999999999:28:00 GMT",
    "two": "5, 9",
    "a word": "soon",
    "nothing": "",
}


@pytest.mark.parametrize("told", NO_WAITS.values(), ids=NO_WAITS)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_T5__a_wait_that_is_none_neither_hurries_nor_holds_a_run(books: VendorClient, status: str, told: str) -> None:
    with RawServer(html(status, [f"Retry-After: {told}"])) as server, pytest.raises(errors.RetryableError) as caught:
        books.call("make order", "POST", f"{server.url}/orders", json={})
    retry = next_try(caught.value, 0, RetryPolicy())

    assert retry is not None
    assert 1 <= retry.wait_seconds < 120


# T1: faults in the middle of an answer

ORDER = b'{"order": "' + b"4711" * 280 + b'"}'
PACKED = gzip.compress(ORDER)

BROKEN = {
    "cut": answer(ORDER[:100], length=len(ORDER)),
    "cut and reset": lambda peer: (peer.send(answer(ORDER[:100], length=len(ORDER))), peer.reset()),
    "cut after its head": head(headers=[JSON, "Content-Length: 1128"]),
    "cut in its head": b"HTTP/1.1 200 OK\r\nContent-",
    "cut in its first line": b"HTTP/1.1 2",
    "nothing at all": CLOSE,
    "reset": RESET,
    "chunked without end": head(headers=CHUNKED) + b'5\r\n{"a":\r\n',
    "chunked, cut in a chunk": head(headers=CHUNKED) + b'64\r\n{"a":',
    "chunked, a length that is none": head(headers=CHUNKED) + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunked, a length below zero": head(headers=CHUNKED) + b"-5\r\n{}\r\n0\r\n\r\n",
    "chunked, a length beyond all": head(headers=CHUNKED) + b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n",
    "chunked, a length line without end": head(headers=CHUNKED) + b"5;" + b"x" * 100_000,
    "said to be packed, and is not": answer(ORDER, headers=["Content-Encoding: gzip"]),
    "packed and cut": answer(PACKED[:-20], headers=["Content-Encoding: gzip"]),
    "packed, with a bad sum": answer(PACKED[:-8] + b"12345678", headers=["Content-Encoding: gzip"]),
    "packed, with rubbish behind": answer(PACKED + b"rubbish", headers=["Content-Encoding: gzip"]),
    "packed in a way nobody asked for": answer(ORDER, headers=["Content-Encoding: br"]),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status that is no number": b"HTTP/1.1 OK fine\r\n\r\n{}",
    "a status below all": b"HTTP/1.1 007 Bond\r\n\r\n{}",
    "another protocol": b"HTTP/9.9 200 OK\r\n\r\n{}",
    "a header line too long": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n{}",
    "header lines too many": head(headers=[JSON, *["X: y"] * 500]) + b"{}",
    "two lengths": head(headers=[JSON, "Content-Length: 2", "Content-Length: 9"]) + b"{}",
    "a character set that is none": answer(b"\xff\xfe", content_type="application/json; charset=no-such-thing"),
    "a character set that is no text": answer(b"abc", content_type="application/json; charset=idna"),
    "brackets without end": answer(b"[" * 200_000),
    "a number beyond all": answer(b"[1e99999999999999999999]"),
    "half of a letter": answer('{"a": "ö"}'.encode()[:8]),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_T1__a_fault_in_the_middle_of_an_answer_is_an_outage_of_unknown_outcome(
    books: VendorClient, script: Script
) -> None:
    with RawServer(script) as server:
        error = outage(books, server)

    assert type(error) is errors.VendorUnavailableError
    assert not error.is_definite
    assert (error.system, error.operation) == ("Books", "make order")
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


def test_T1__a_good_answer_after_a_broken_one_is_read(books: VendorClient) -> None:
    with RawServer(answer(b"{", length=1128), answer(b'{"number": 7}')) as server:
        outage(books, server)

        assert books.call("make order", "POST", f"{server.url}/orders", json={}).body == {"number": 7}


def refused_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    "address",
    [
        refused_port,
        lambda: "http://[::1",
        lambda: "http://no-such-host.invalid",
        lambda: "http://" + "x" * 70 + ".invalid",
        lambda: "http://.invalid",
        lambda: "http://127.0.0.1:99999",
    ],
    ids=["a closed port", "half an address", "no such name", "a label too long", "an empty label", "no such port"],
)
def test_T1__where_no_byte_has_left_the_outcome_is_known(
    books: VendorClient, monkeypatch: pytest.MonkeyPatch, address: Callable[[], str]
) -> None:
    with pytest.raises(errors.VendorUnavailableError, match="can't be reached") as caught:
        books.call("make order", "POST", address(), json={})

    assert caught.value.is_definite


# T2: servers that trickle

EMPTY_BLOCK = gzip.compress(b"")

TRICKLES: dict[str, Script] = {
    "nothing": SILENCE,
    "a first line": lambda peer: peer.trickle(b"HTTP/1.1 200 OK" + b" " * 3000),
    "one header line": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\n"), peer.trickle(b"X: " + b"y" * 3000)),
    "header lines": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\n"), peer.repeat(b"X: y\r\n", every_seconds=0.1)),
    "100 Continue": lambda peer: peer.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue, fast": lambda peer: peer.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, every_seconds=0.001),
    "a body": trickled(ORDER),
    "a body without a length": lambda peer: (peer.send(head(headers=[JSON])), peer.trickle(ORDER)),
    "a chunk's length": lambda peer: (peer.send(head(headers=CHUNKED)), peer.trickle(b"0" * 3000)),
    "a chunk's extension": lambda peer: (peer.send(head(headers=CHUNKED)), peer.trickle(b"1;" + b"x" * 3000)),
    "chunks": lambda peer: (peer.send(head(headers=CHUNKED)), peer.repeat(b"1\r\nx\r\n")),
    "trailers": lambda peer: (peer.send(head(headers=CHUNKED) + b"0\r\n"), peer.repeat(b"X: y\r\n")),
    "blocks that unpack to nothing": lambda peer: (peer.send(head(headers=GZIP)), peer.repeat(EMPTY_BLOCK)),
    "blocks that unpack to nothing, fast": lambda peer: (
        peer.send(head(headers=GZIP)),
        peer.repeat(EMPTY_BLOCK * 100, every_seconds=0.001),
    ),
    "one packed block": lambda peer: (peer.send(head(headers=GZIP)), peer.trickle(gzip.compress(os.urandom(3000)))),
    "a body that stops": stalled(answer(ORDER[:-1], length=len(ORDER))),
}


def ends_in_time(work: Callable[[], object]) -> errors.VendorUnavailableError:
    """*work* fails for the deadline, and neither before nor long after it."""
    started_at = time.monotonic()
    with pytest.raises(errors.VendorUnavailableError) as caught:
        work()
    assert SECONDS * 0.9 <= time.monotonic() - started_at < MUCH_LATER
    return caught.value


@pytest.mark.parametrize("script", TRICKLES.values(), ids=TRICKLES)
def test_T2__a_server_that_trickles_ends_on_time(script: Script) -> None:
    quick = client(call_seconds=SECONDS)
    with RawServer(script) as server:
        error = ends_in_time(lambda: quick.call("make order", "POST", f"{server.url}/", json={}))
    quick.session.close()

    assert not error.is_definite


def test_T2__an_endless_but_quick_head_ends_as_well(books: VendorClient) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n")
        peer.repeat(b"X: y\r\n" * 1000, every_seconds=0)

    with RawServer(script) as server:
        outage(books, server)


def test_T2__a_server_that_takes_nothing_ends_on_time() -> None:
    quick = client(call_seconds=SECONDS)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:  # accepts, and reads nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        error = ends_in_time(lambda: quick.call("upload", "PUT", url, data=b"x" * 64_000_000))
    quick.session.close()

    assert not error.is_definite


def test_T2__an_upload_over_a_connection_of_before_has_its_own_deadline() -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer())
            is_over.wait(60)  # and reads nothing more

    slow, is_over = client(call_seconds=3 * MUCH_LATER), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        slow.call("look", "GET", url)
        slow._call_seconds = SECONDS
        ends_in_time(lambda: slow.call("upload", "PUT", url, data=b"x" * 64_000_000))
        is_over.set()
        thread.join()
    slow.session.close()


@pytest.mark.parametrize("record", [b"", b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xf0"], ids=["says nothing", "trickles"])
def test_T2__the_handshake_of_TLS_ends_on_time(record: bytes) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            for each in record + b"\0" * 3000:
                if is_over.wait(0.02):
                    return
                connection.send(bytes([each]) if record else b"")

    quick, is_over = client(call_seconds=SECONDS), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        error = ends_in_time(lambda: quick.call("make order", "POST", url, json={}))
        is_over.set()
        thread.join()
    quick.session.close()

    assert error.is_definite


@pytest.mark.parametrize("name", ["a first line", "a body", "a chunk's extension", "nothing"])
def test_T2__a_server_that_trickles_through_TLS_ends_on_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    quick = client(call_seconds=SECONDS)
    with RawServer(TRICKLES[name], tls=authority.server()) as server:
        error = ends_in_time(lambda: quick.call("make order", "POST", f"{server.url}/", json={}))
    quick.session.close()

    assert not error.is_definite


def test_T2__a_name_server_that_does_not_answer_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over, quick = threading.Event(), client(call_seconds=SECONDS)

    def getaddrinfo(*args: Any, **_: Any) -> Any:
        if len(args) < 6:  # no flags: a name, and no address
            is_over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = ends_in_time(lambda: quick.call("make order", "POST", "http://books.example/", json={}))
    is_over.set()

    assert error.is_definite


def test_T2__a_name_that_is_found_late_leaves_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first of two name servers is down, each look-up takes five seconds."""
    patient, find, now = client(call_seconds=30.0), socket.getaddrinfo, 1000.0

    def getaddrinfo(host: Any, *args: Any, **_: Any) -> Any:
        nonlocal now
        if host != "books.example":
            return find(host, *args)
        if len(args) < 6:  # no flags: a name, and no address
            now += 5.1
            return find("127.0.0.1", *args)
        raise socket.gaierror(socket.EAI_NONAME, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(wire, "time", SimpleNamespace(monotonic=lambda: now))
    with RawServer() as server:
        assert patient.call("look", "GET", f"http://books.example:{server.port}/").body == {}
    patient.session.close()


# T4, T13: sizes


def test_T4__what_unpacks_to_gigabytes_needs_little_memory(
    books: VendorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "BODY_BYTES_MAX", 8 * 1024 * 1024)
    with RawServer(unpacks_to(megabytes=2500)) as server:
        tracemalloc.start()
        with pytest.raises(errors.UnexpectedAnswerError, match="larger than crmsync takes") as caught:
            books.call("make order", "POST", f"{server.url}/", json={})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 32 * 1024 * 1024
    assert not caught.value.is_definite


# T8: certificates and proxies


def test_T8__a_private_authority_is_trusted_where_the_environment_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with RawServer(tls=authority.server()) as server:
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            with monkeypatch.context() as patch:
                patch.setenv(variable, str(authority.path))
                trusting = client()
                assert trusting.call("look", "GET", server.url).body == {}
                trusting.session.close()


CERTIFICATES = {
    "of an authority that nobody knows": ({}, "REQUESTS_CA_BUNDLE"),
    "that has expired": ({"ends_at": datetime.now(UTC) - timedelta(days=1)}, "has expired"),
    "for another host": ({"host": "other.example"}, "another (host|address)"),
}


@pytest.mark.parametrize(("made", "cure"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_T8__a_certificate_that_fails_is_an_error_of_its_own_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: dict[str, Any], cure: str
) -> None:
    authority = Authority(tmp_path)
    if made:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    careful = client()
    with (
        RawServer(tls=authority.server(**made)) as server,
        pytest.raises(errors.CertificateError, match=cure) as caught,
    ):
        careful.call("make order", "POST", server.url, json={})
    careful.session.close()

    assert server.requests == []
    assert caught.value.is_definite
    assert caught.value.is_outage
    assert "did not answer" not in str(caught.value)


def test_T8__a_certificate_that_fails_is_told_at_once_with_its_cure(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    breaker = SharedBreaker("zoho_books", "Books", services._breakers())
    careful = client(budget=GuardedBudget(UNLIMITED, breaker))
    with RawServer(tls=Authority(tmp_path).server()) as server:
        with pytest.raises(errors.CertificateError):
            careful.call("make order", "POST", server.url, json={})
        with pytest.raises(errors.NotNowError, match="The certificate of Books"):
            careful.call("make order", "POST", server.url, json={})
    careful.session.close()

    with services.store.read() as uow:
        (told,) = uow.connection.execute(select(alerts.c.content)).scalars()
    assert told["headline"] == "Books can't be used"
    assert "REQUESTS_CA_BUNDLE" in told["cause"]


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["no file", "no certificate in it"])
def test_T8__a_bundle_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    careful = client()

    with pytest.raises(errors.CertificateError, match="REQUESTS_CA_BUNDLE names"):
        careful.call("make order", "POST", "https://127.0.0.1:9/", json={})


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
def test_T8__a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    with RawServer(answer(b"<html>", status, content_type="text/html")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:pass-word@"))
        careful = client()
        with pytest.raises(errors.VendorUnavailableError, match=f"proxy .* {status[:3]}") as caught:
            careful.call("make order", "POST", "https://books.example/", json={})
        careful.session.close()

    assert proxy.requests[0].line.rpartition("/")[0] == "CONNECT books.example:443 HTTP"  # 1.0 before Python 3.13
    assert caught.value.is_definite
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "through TLS"])
def test_T8__a_proxy_that_trickles_ends_on_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_encrypted: bool
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    quick = client(call_seconds=SECONDS)
    with RawServer(TRICKLES["a first line"], tls=authority.server() if is_encrypted else None) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = ends_in_time(lambda: quick.call("make order", "POST", "https://books.example/", json={}))
    quick.session.close()

    assert error.is_definite


def test_T8__no_proxy_is_used_for_hosts_that_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer() as server, RawServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        direct = client()
        assert direct.call("look", "GET", server.url).body == {}
        direct.session.close()

    assert proxy.requests == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:1080",
        "socks5h://127.0.0.1:1080",
        "ftp://127.0.0.1:21",
        "http://",
        "http://me:pass#word@127.0.0.1:3128",
        "http://me:pass/word@127.0.0.1:3128",
        "http://proxy.example:port",
    ],
)
def test_T8__a_proxy_that_is_no_address_is_named(
    books: VendorClient, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(errors.VendorUnavailableError, match=r"variable HTTPS_PROXY .* ALL_PROXY") as caught:
        books.call("make order", "POST", "https://books.example/", json={})

    assert caught.value.is_definite
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("made", [refused_port, lambda: "http://no-such-host.invalid:3128"], ids=["closed", "no name"])
def test_T8__a_proxy_that_cannot_be_reached_is_not_taken_for_the_system(
    books: VendorClient, monkeypatch: pytest.MonkeyPatch, made: Callable[[], str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", made())
    with pytest.raises(errors.VendorUnavailableError, match=r"through the proxy .* check HTTPS_PROXY") as caught:
        books.call("make order", "POST", "https://books.example/", json={})

    assert caught.value.is_definite


def test_T8__a_proxy_gets_a_password_of_any_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer(b"[7]")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//m%C3%BCller:p%E2%82%AC%40%3A%2F@"))
        through = client()
        assert through.call("make order", "POST", "http://books.example/", json={}).body == [7]
        through.session.close()

    scheme, _, told = proxy.requests[0].headers["proxy-authorization"].partition(" ")
    assert (scheme, base64.b64decode(told).decode()) == ("Basic", "müller:p€@:/")


# Whole answers of servers to the first bytes of a handshake: alerts of TLS, and a server that speaks none.
HANDSHAKES = {
    "another version": (b"\x15\x03\x01\x00\x02\x02\x46", "version of TLS"),
    "nothing in common": (b"\x15\x03\x03\x00\x02\x02\x28", "certificate of the client"),
    "another name": (b"\x15\x03\x03\x00\x02\x02\x70", "does not know the host"),
    "no TLS": (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "does not speak TLS"),
}


@pytest.mark.parametrize(("said", "cause"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_T8__a_handshake_that_fails_says_why(books: VendorClient, said: bytes, cause: str) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(errors.CertificateError, match=cause) as caught:
            books.call("make order", "POST", url, json={})
        thread.join()

    assert caught.value.is_definite


def file_name(common_name: str) -> str:
    """What OpenSSL looks for in a folder, for an authority that has no other part of a name."""
    text = common_name.lower().encode()
    pair = b"\x06\x03\x55\x04\x03" + bytes([0x0C, len(text)]) + text
    name = bytes([0x31, len(pair) + 2, 0x30, len(pair)]) + pair
    return hashlib.sha1(name, usedforsecurity=False).digest()[3::-1].hex() + ".0"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_T8__authorities_may_stand_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    authority, folder = Authority(tmp_path, "Private CA"), tmp_path / "authorities"
    folder.mkdir()
    (folder / file_name("Private CA")).write_bytes(authority.path.read_bytes())
    monkeypatch.setenv(variable, str(folder))
    trusting = client()
    with RawServer(tls=authority.server()) as server:
        assert trusting.call("look", "GET", server.url).body == {}
    trusting.session.close()


# The way out as a whole


def test_a_connection_is_used_again_and_says_who_calls(books: VendorClient) -> None:
    with RawServer() as server:
        for _ in range(3):
            books.call("look", "GET", server.url)

    assert server.connected == 1
    assert {request.headers["user-agent"] for request in server.requests} == {f"crmsync/{__version__}"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_T1__a_connection_that_was_idle_is_not_trusted(
    books: VendorClient, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A firewall may have forgotten it: what is sent over it comes nowhere, and no side hears of that."""

    def is_forgotten_after(peer: Peer) -> None:
        peer.send(answer(b"[1]"))
        peer.stall()

    monkeypatch.setattr(wire, "IDLE_SECONDS", -1.0)
    with RawServer(is_forgotten_after, answer(b"[2]")) as server:
        books.call("look", "GET", server.url)
        assert books.call("go on", method, server.url).body == [2]

    assert server.connected == 2


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["closed", "reset"])
def test_T1__a_read_over_a_connection_that_has_just_ended_is_sent_once_more(books: VendorClient, end: Script) -> None:
    with RawServer(answer(b"[1]"), end, answer(b"[2]")) as server:
        assert [books.call("look", "GET", server.url).body for _ in range(2)] == [[1], [2]]

    assert (server.connected, len(server.requests)) == (2, 3)


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["closed", "reset"])
def test_T1__a_write_over_it_is_of_unknown_outcome(books: VendorClient, end: Script) -> None:
    with RawServer(answer(b"[1]"), end, answer(b"[2]")) as server:
        books.call("look", "GET", server.url)
        assert not outage(books, server).is_definite

    assert len(server.requests) == 2


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["closed", "reset"])
def test_T1__a_read_that_meets_no_old_connection_is_sent_once(books: VendorClient, end: Script) -> None:
    with RawServer(end) as server, pytest.raises(errors.VendorUnavailableError):
        books.call("look", "GET", server.url)

    assert len(server.requests) == 1


@pytest.mark.parametrize("left_seconds", [4.5, 600], ids=["too short", "long enough"])
def test_a_call_begins_only_under_a_lease_that_outlasts_it(books: VendorClient, left_seconds: float) -> None:
    """Such a client's calls may take five seconds: what is under way then must not meet the run's next worker."""
    is_too_short = left_seconds < 5
    refused = pytest.raises(errors.NotNowError) if is_too_short else contextlib.nullcontext()
    with RawServer() as server, deadline(time.monotonic() + left_seconds), refused:
        books.call("make order", "POST", server.url, json={})

    assert len(server.requests) == (0 if is_too_short else 1)


def test_nothing_goes_out_without_a_deadline() -> None:
    with new_session() as session, RawServer() as server, pytest.raises(Exception, match="LookupError"):
        session.get(server.url)

    assert server.requests == []


def refused_rows(count: int) -> Iterator[bytes]:
    """A result file of Salesforce in which a trigger's whole text stands in each row."""
    told = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:StockTrigger: System.DmlException\nCaused by: " + "x" * 700 + ":--"
    yield b"sf__Id,sf__Error,Id,Available_Stock__c\n"
    for number in range(count):
        yield f'01t{number:012}AAA,"{told}",01t{number:012}AAA,7\n'.encode()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_T13__38_megabytes_of_refused_rows_are_read_as_a_stream_and_named(
    salesforce: SalesforceSettings, packed: bool
) -> None:
    count = 500 if packed else 50_000
    content = b"".join(refused_rows(count))
    assert packed or len(content) > 38_000_000
    job = {"id": "750xx0000000001AAA", "state": "JobComplete", "numberRecordsProcessed": count}
    with RawServer() as server:
        server.at("/services/data/v68.0/jobs", answer(json.dumps({**job, "numberRecordsFailed": count}).encode()))
        coding = ["Content-Encoding: gzip"] if packed else []
        body = gzip.compress(content, 1) if packed else content
        results = answer(body, headers=coding, content_type="text/csv")
        server.at("/services/data/v68.0/jobs/ingest/750xx0000000001AAA/failedResults", results)
        crm = bulk_writer(salesforce, server.url)
        found = crm.bulk_rejections(f"750xx0000000001AAA:{count}", lambda: None)

    assert found is not None
    assert [found[0].product_key, found[-1].product_key] == ["01t000000000000AAA", f"01t{count - 1:012}AAA"]
    assert len(found) == count
    assert "trigger or flow" in found[0].reason


def test_T13__a_stream_needs_little_memory(books: VendorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BODY_BYTES_MAX", 1_000_000)
    content = gzip.compress(b"".join(refused_rows(20_000)), 1)
    with RawServer(answer(content, headers=["Content-Encoding: gzip"], content_type="text/csv")) as server:
        tracemalloc.start()
        reply = books.call("read", "GET", server.url, speaks=speaks_csv, read=lambda lines: sum(map(len, lines)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert reply.body > 15_000_000
    assert peak < 4_000_000


def test_T13__a_packed_stream_that_is_cut_is_no_whole_list(books: VendorClient) -> None:
    """Its length is right, so that nothing else tells."""
    packed = gzip.compress(b"".join(refused_rows(300)))
    cut = answer(packed[: len(packed) // 2], headers=["Content-Encoding: gzip"], content_type="text/csv")
    with RawServer(cut) as server, pytest.raises(errors.VendorUnavailableError):
        books.call("read", "GET", server.url, speaks=speaks_csv, read=list)


def test_T13__a_line_without_end_is_not_taken(books: VendorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LINE_CHARS_MAX", 10_000)
    endless = RawServer(answer(b"x" * 100_000, content_type="text/csv"))
    with endless as server, pytest.raises(errors.UnexpectedAnswerError, match="larger than crmsync takes"):
        books.call("read", "GET", server.url, speaks=speaks_csv, read=list)


@pytest.mark.parametrize("size", [100, 190_000], ids=["at the start", "far inside"])
def test_T13__a_stream_that_is_cut_is_an_outage_and_no_list_of_refused_rows(
    salesforce: SalesforceSettings, size: int
) -> None:
    content = b"".join(refused_rows(300 if size > 100 else 5))
    job = {"id": "750xx0000000001AAA", "state": "JobComplete", "numberRecordsProcessed": 5, "numberRecordsFailed": 5}
    with RawServer() as server:
        server.at("/services/data/v68.0/jobs", answer(json.dumps(job).encode()))
        cut = answer(content[:size], length=len(content) + 1, content_type="text/csv")
        server.at("/services/data/v68.0/jobs/ingest/750xx0000000001AAA/failedResults", cut)
        crm = bulk_writer(salesforce, server.url)
        with pytest.raises(errors.VendorUnavailableError, match="in the middle of its answer"):
            crm.bulk_rejections("750xx0000000001AAA:5", lambda: None)


@pytest.mark.parametrize("size", [0.4, 0.5], ids=["in a row", "between rows"])
@pytest.mark.parametrize("name", ["failedResults", "unprocessedrecords"])
def test_T13__fewer_rows_than_the_job_has_counted_are_no_whole_list(
    salesforce: SalesforceSettings, name: str, size: float
) -> None:
    """An answer that ends with its connection has no length that tells."""
    lines = b"".join(refused_rows(4)).splitlines(keepends=True)
    whole = b"".join(lines)
    content = b"".join(lines[:3]) if size == 0.5 else whole[: len(b"".join(lines[:3])) + 20]
    failed, processed = (4, 4) if name == "failedResults" else (0, 0)
    job = {"id": "750xx0000000001AAA", "state": "JobComplete"}
    job |= {"numberRecordsProcessed": processed, "numberRecordsFailed": failed}
    with RawServer() as server:
        server.at("/services/data/v68.0/jobs", answer(json.dumps(job).encode()))
        head = b"HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\n"
        path = f"/services/data/v68.0/jobs/ingest/750xx0000000001AAA/{name}"

        def cut(peer: Peer) -> None:
            peer.send(head + content)
            peer.close()

        server.at(path, cut)
        with pytest.raises(errors.VendorUnavailableError, match=f"in the middle of {name}"):
            bulk_writer(salesforce, server.url).bulk_rejections("750xx0000000001AAA:4", lambda: None)


@pytest.fixture
def salesforce() -> SalesforceSettings:
    env = {
        "HOME": "/nowhere",
        "SF_CLIENT_ID": "3MVG9",
        "SF_USERNAME": "robot@acme.test",
        "SF_PRIVATE_KEY": private_pem(),
    }
    found = Settings.from_env(env).systems.get("salesforce")
    assert found is not None
    return found


def bulk_writer(settings: SalesforceSettings, url: str) -> Salesforce:
    class SignedIn:
        def token(self) -> AccessToken:
            return AccessToken("good", datetime.now(UTC) + timedelta(hours=1), url)

        def headers(self) -> dict[str, str]:
            return {"Authorization": "Bearer good"}

        def renew(self, stale: Any) -> Renewal:
            return Renewal.NOTHING

    behaviour = Settings.from_env({"HOME": "/nowhere"}).behaviour
    return Salesforce(session=new_session(), authorizer=SignedIn(), settings=settings, behaviour=behaviour)


def test_salesforce_hears_which_client_calls(salesforce: SalesforceSettings) -> None:
    with RawServer(answer(b'{"records": [], "done": true}')) as server:
        crm = bulk_writer(salesforce, server.url)
        list(crm.products(None))

    assert server.requests[0].headers["sforce-call-options"] == "client=crmsync"
    assert server.requests[0].headers["user-agent"] == f"crmsync/{__version__}"


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("connect", [vendors.salesforce, vendors.sap, vendors.zoho])
def test_T1__the_doctor_says_what_is_wrong_whatever_the_system_answers(
    connect: Callable[[str], Any], script: Script
) -> None:
    with RawServer(script) as server:
        checks = [check for check in connect(server.url).check() if not check.is_note]

    assert not checks[-1].is_ok
    assert all(check.detail for check in checks if not check.is_ok)


def test_T4__there_is_no_second_way_out() -> None:
    """Whoever calls a system by another way than the transport has none of its guards."""
    package = Path(crmsync.__file__).parent
    opens = re.compile(
        r"import urlopen|urllib\.request|(?<!\.)\brequests\.(get|post|put|request)\(|http\.client import HTTP\w*Con"
    )
    others = {"cli/processes.py"}  # asks a receiver on this machine whether it is ready
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if opens.search(path.read_text()) and "sandbox" not in path.parts
    }
    sessions = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if "requests.Session(" in path.read_text()
    }

    assert found - others == set()
    assert sessions == {"connectors/way_out/transport.py"}
