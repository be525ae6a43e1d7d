"""Cases from the field, T1, T2, T4, T8: Slack is reached by the one way out, and stops nothing when it can't be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from crmsync import __version__, errors
from crmsync.alerts import slack
from crmsync.alerts.messenger import Messenger, messenger_of
from crmsync.settings import Secret, SlackSettings
from tests.field.certificates import Authority
from tests.field.raw_server import CLOSE, SILENCE, RawServer, Script, answer, html, redirect, trickled, unpacks_to

TOLD = b'{"ok": true, "channel": "C1", "ts": "171.1"}'
ALERT: dict[str, Any] = {
    "headline": "SAP is down",
    "facts": [],
    "cause": "c",
    "advice": "a",
    "command": "crmsync doctor",
}


def bot(server: RawServer) -> Messenger:
    return messenger_of(SlackSettings(None, Secret("xoxb-1"), "C1", f"{server.url}/api/"))


def webhook(server: RawServer) -> Messenger:
    return messenger_of(SlackSettings(Secret(f"{server.url}/services/T/B/secret"), None, "", ""))


@pytest.fixture(params=[bot, webhook], ids=["bot", "webhook"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def tell(messenger: Messenger) -> str:
    return messenger.tell(ALERT, occurrences=1, message_id="")


def test_an_alert_goes_out_by_the_one_way(make: Any) -> None:
    with RawServer(answer(TOLD)) as server:
        tell(make(server))

    assert server.requests[0].headers["user-agent"] == f"crmsync/{__version__}"


@pytest.mark.parametrize("taken", [b"ok", b"ok\n", b'{"ok": true}', b'{"success": true}'])
def test_a_webhook_that_takes_an_alert_says_so(taken: bytes) -> None:
    with RawServer(answer(taken, content_type="text/plain")) as server:
        tell(webhook(server))

    assert len(server.requests) == 1


FAULTS: dict[str, Script] = {
    "nothing under 200": answer(b""),
    "an empty object": answer(b"{}"),
    "a portal's page, as a text": answer(b"<html>Please sign in", content_type="text/plain"),
    "a page without a name": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "a refusal under 200": answer(b'{"error": "down"}'),
    "no content": answer(b"", "204 No Content"),
    "accepted for later": answer(b"", "202 Accepted"),
    "cut": answer(TOLD[:9], length=99),
    "closed": CLOSE,
    "a page under 200": html(),
    "an outage": html("503 Service Unavailable", ["Retry-After: 7"]),
    "packed gigabytes": unpacks_to(megabytes=60),
    "nothing": SILENCE,
    "a trickle": trickled(TOLD),
}


@pytest.mark.parametrize("script", FAULTS.values(), ids=FAULTS)
def test_T1__whatever_goes_wrong_with_slack_is_tried_again(
    make: Any, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    monkeypatch.setattr(slack, "TIMEOUT_SECONDS", 0.5)
    started_at = time.monotonic()
    with RawServer(script) as server, pytest.raises(errors.RetryableError) as caught:
        tell(make(server))

    assert time.monotonic() - started_at < 5
    assert "secret" not in str(caught.value)


def test_T4__slack_is_not_followed_elsewhere(make: Any) -> None:
    with (
        RawServer() as thief,
        RawServer(redirect(thief.url, "307 Temporary Redirect")) as server,
        pytest.raises(errors.VendorUnavailableError),
    ):
        tell(make(server))

    assert thief.requests == []


def test_T8__slack_goes_by_the_certificates_and_the_proxy_of_the_machine(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with RawServer(answer(TOLD), tls=authority.server()) as server:
        with pytest.raises(errors.CertificateError):
            tell(make(server))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
        tell(make(server))

    with RawServer(answer(TOLD)) as proxy, RawServer() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        tell(make(server))

    assert server.requests == []
    assert proxy.requests[0].line.startswith(f"POST {server.url}/")


def test_what_slack_refuses_is_named_by_its_word() -> None:
    with (
        RawServer(answer(b'{"ok": false, "error": "channel_not_found"}')) as server,
        pytest.raises(errors.VendorUnavailableError, match="Slack answered channel_not_found"),
    ):
        tell(bot(server))


@pytest.mark.parametrize(
    "word", ["message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found", "is_archived"]
)
def test_T1__a_message_that_cannot_be_updated_any_more_is_posted_anew(word: str) -> None:
    refused = answer(b'{"ok": false, "error": "%s"}' % word.encode())
    with RawServer(answer(TOLD)) as server:
        server.at("/api/chat.update", refused)
        assert bot(server).tell(ALERT, occurrences=7, message_id="C0:9.9") == "C1:171.1"

    assert [request.path for request in server.requests] == ["/api/chat.update", "/api/chat.postMessage"]


@pytest.mark.parametrize("word", ["ratelimited", "internal_error", "invalid_auth"])
def test_T1__what_passes_does_not_post_a_message_twice(word: str) -> None:
    refused = answer(b'{"ok": false, "error": "%s"}' % word.encode())
    with RawServer(refused) as server, pytest.raises(errors.RetryableError, match=word):
        bot(server).tell(ALERT, occurrences=7, message_id="C0:9.9")

    assert [request.path for request in server.requests] == ["/api/chat.update"]
