"""How a call goes out: as the library would send it, by a shorter way."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from crmsync.connectors.way_out.transport import Session, new_session

URL = "https://books.test/v3/invoices"


class Wire(HTTPAdapter):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[Any, ...]] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append((request.method, request.url, sorted(request.headers.items()), request.body, options))
        response = requests.Response()
        response.status_code = 200
        return response


def connected(session: Session) -> Wire:
    wire = Wire()
    session.mount("https://", wire)
    return wire


def asked_and_requested(session: Session, method: str, url: str, **call: Any) -> list[tuple[Any, ...]]:
    """What ask() sends, and what request() does."""
    wire = connected(session)
    call = {"params": None, "body": None, "headers": {}} | call
    session.ask(method, url, **call)
    session.request(method, url, params=call["params"], data=call["body"], headers=call["headers"], stream=True)
    return wire.sent


@pytest.mark.parametrize(
    ("method", "url", "call"),
    [
        ("GET", URL, {}),
        ("get", f"{URL}/1?a=b#c", {"params": {"send": "true", "name": "Øre & Co"}}),
        ("GET", "https://BOOKS.test/v3/a b/../é?q=SELECT Id", {"headers": {"accept": "text/csv", "X-Id": "1"}}),
        ("POST", URL, {"body": b'{"a": 1}', "headers": {"Content-Type": "application/json"}}),
        ("POST", URL, {"body": b""}),
        ("POST", URL, {"body": "Id,Stock\n1,ø\n", "headers": {"Content-Type": "text/csv"}}),
        ("POST", URL, {"body": {"grant": "x y", "code": "1"}}),
        ("POST", URL, {}),
        ("DELETE", URL, {}),
        ("HEAD", URL, {}),
    ],
)
def test_a_call_is_sent_as_requests_would_send_it(method: str, url: str, call: dict[str, Any]) -> None:
    asked, requested = asked_and_requested(new_session(), method, url, **call)

    assert asked[:-1] == requested[:-1]
    assert asked[-1] | {"cert": None} == requested[-1] | {"cert": None}


@pytest.mark.parametrize("proxy", ["", "http://proxy.test:3128"])
def test_a_call_takes_the_way_that_this_machine_prescribes(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    asked, requested = asked_and_requested(new_session(), "GET", URL)

    assert asked[-1]["proxies"] == requested[-1]["proxies"]
    assert asked[-1]["proxies"].get("https", "") == proxy


def test_a_session_that_keeps_cookies_sends_them() -> None:
    session = new_session(cookies=True)
    session.cookies.set("SAP_SESSIONID", "1", domain="books.test")

    asked, requested = asked_and_requested(session, "GET", URL)

    assert asked == requested
    assert ("Cookie", "SAP_SESSIONID=1") in asked[2]


def test_a_header_of_two_lines_is_not_sent() -> None:
    session = new_session()
    wire = connected(session)

    with pytest.raises(requests.exceptions.InvalidHeader):
        session.ask("GET", URL, params=None, body=None, headers={"X-Id": "1\r\nX-Other: 2"})

    assert not wire.sent


def test_credentials_in_an_address_are_sent_as_credentials() -> None:
    asked, requested = asked_and_requested(new_session(), "GET", "https://user:word@books.test/")

    assert asked == requested
    assert "Authorization" in dict(asked[2])
