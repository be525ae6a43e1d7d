"""Cases from the field, T1, T2, T8, T13: what becomes of answers that are cut, stalled, trickled, or too large."""

from __future__ import annotations

import urllib.request

from tests.field.raw_server import RawServer, answer


def test_the_raw_server_answers_each_request_with_its_script() -> None:
    with RawServer(answer(b"one"), answer(b"two")) as server:
        server.at("/other", answer(b"three"))
        said = [urllib.request.urlopen(f"{server.url}{path}").read() for path in ("/", "/other", "/", "/")]

    assert said == [b"one", b"three", b"two", b"two"]
    assert [request.path for request in server.requests] == ["/", "/other", "/", "/"]
