"""Alerts in Slack, by an incoming webhook or as a bot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests

from crmsync.alerts.blocks import as_message
from crmsync.connectors.way_out.answers import Reply, encode, foreign_answer, reply_of, retry_after_seconds
from crmsync.connectors.way_out.transport import exchange
from crmsync.errors import RetryableError, UnexpectedAnswerError, VendorUnavailableError
from crmsync.settings import Secret

TIMEOUT_SECONDS = 10.0  # for all of an exchange
SLACK = "Slack"

_WORD = re.compile(r"[a-z_]{1,60}")
# Why a message can't be updated any more: it was deleted or is too old, its channel is gone, another bot wrote it.
_GONE = frozenset(
    {
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
        "channel_not_found",
        "is_inactive",
        "is_archived",
        "not_in_channel",
        "no_permission",
    }
)


class SlackBot:
    """One message for each cause, whose count is updated in place."""

    update_seconds = 30.0

    def __init__(self, session: requests.Session, api_url: str, token: Secret, channel: str) -> None:
        self._session = session
        self._api_url = api_url.rstrip("/")
        self._token = token
        self._channel = channel

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        message = as_message(content, occurrences)
        answer = self._updated(message_id, message) or self._call(
            "chat.postMessage", {"channel": self._channel, **message}
        )
        return f"{answer.get('channel')}:{answer.get('ts')}"

    def _updated(self, message_id: str, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """None where there is no such message, or it can't be updated any more: then it is posted anew."""
        channel, _, stamp = message_id.partition(":")
        if not stamp:
            return None
        try:
            return self._call("chat.update", {"channel": channel, "ts": stamp, **message})
        except VendorUnavailableError as error:
            if error.code not in _GONE:
                raise
            return None

    def _call(self, method: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        reply = _post(self._session, f"{self._api_url}/{method}", body, headers)
        answer = reply.body
        if not isinstance(answer, Mapping) or reply.status != 200:
            raise _error(reply)
        if answer.get("ok") is not True:
            raise _error(reply, str(answer.get("error")))
        return answer


class SlackWebhook:
    """A webhook can't update a message, so a running count is sent seldom."""

    update_seconds = 300.0

    def __init__(self, session: requests.Session, url: Secret) -> None:
        self._session = session
        self._url = url

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        reply = _post(self._session, self._url.reveal(), as_message(content, occurrences), {})
        if reply.status != 200 or not _is_taken(reply):
            raise _error(reply)
        return ""


def _is_taken(reply: Reply) -> bool:
    """Slack answers `ok`, compatible services answer in JSON; after any other answer nobody has been notified.

    >>> [_is_taken(Reply(200, {}, body, text)) for body, text in ((None, "ok"), ({"success": True}, "…"), (None, ""))]
    [True, True, False]
    """
    told = reply.body if isinstance(reply.body, Mapping) else {}
    return reply.text.strip().lower() == "ok" or told.get("ok") is True or told.get("success") is True


def _post(session: requests.Session, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """Raises: RetryableError, whatever goes wrong: an alert is never given up."""
    try:
        with exchange(SLACK, "alert", seconds=TIMEOUT_SECONDS):
            json = {"Content-Type": "application/json; charset=utf-8"}
            response = session.post(url, data=encode(body), headers={**json, **headers})
            return reply_of(response, response.content)
    except UnexpectedAnswerError as error:
        raise VendorUnavailableError(str(error), system=SLACK, operation="alert") from None


def _error(reply: Reply, word: str = "") -> RetryableError:
    """A refusal is tried again as well: a person may still repair the token or the channel."""
    if reply.status < 400 and not word:
        return foreign_answer(SLACK, "alert", reply)
    return VendorUnavailableError(
        f"Slack answered {word if _WORD.fullmatch(word) else reply.status}.",
        system=SLACK,
        operation="alert",
        code=word if _WORD.fullmatch(word) else None,
        retry_after_seconds=retry_after_seconds(reply.headers),
    )
