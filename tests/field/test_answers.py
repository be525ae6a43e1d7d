"""Cases from the field, T1, T2, T8, T13: what becomes of answers that are cut, stalled, trickled, or too large."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from crmsync import errors
from crmsync.connectors.http import VendorClient, new_session, speaks_json
from tests.field.raw_server import RawServer, Script, answer, html, redirect


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
